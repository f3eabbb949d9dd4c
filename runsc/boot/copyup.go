package boot

import (
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/tmpfs"
	"casemate/vfs/usermem"
)

// copyInto fills the new file system sb with what the directory at name has, as the
// option tmpcopyup asks for (runc, as the spec has no word for it). Owners and
// permissions are copied, times and extended attributes are not.
func (s *container) copyInto(sb *vfs.Superblock, name string) error {
	ns := s.vfs.NewNamespace(s.userNS, sb, 0)
	defer ns.DecRef()
	c := copier{from: s.ctx, to: vfs.NewContext(s.ctx.Cred, ns)}
	if err := c.directory(path.Clean("/"+name), "/"); err != nil {
		return fmt.Errorf("tmpcopyup: %w", err)
	}
	return nil
}

// attachCopy mounts a copy in memory of sb, which is a single file, on dst: what an
// overlay is for one.
func (s *container) attachCopy(sb *vfs.Superblock, dst vfs.Path, o vfs.MountOptions) (*vfs.Mount, error) {
	from := s.vfs.NewNamespace(s.userNS, sb, 0)
	defer from.DecRef()
	to := s.vfs.NewNamespace(s.userNS, tmpfs.New(s.vfs, s.memory, tmpfs.Options{Mode: 0o755}).Superblock(), 0)
	defer to.DecRef()
	c := copier{from: vfs.NewContext(s.ctx.Cred, from), to: vfs.NewContext(s.ctx.Cred, to)}
	const name = "/file"
	if err := c.copy("/", name); err != nil {
		return nil, err
	}
	p, err := c.to.Walk(vfs.Start{}, name, 0)
	if err != nil {
		return nil, err
	}
	defer p.DecRef()
	return s.vfs.Bind(p, dst, false, &o)
}

// A copier copies files from one root to another.
type copier struct{ from, to *vfs.Context }

// directory copies what is in the directory src to dst, which is there.
func (c *copier) directory(src, dst string) error {
	f, err := c.from.Open(vfs.Start{}, src, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	var names []string
	err = f.ReadDir(c.from, &vfs.DirEmitter{Func: func(name string, _ uint64, _ uint8, _ int64) bool {
		if name != "." && name != ".." {
			names = append(names, name)
		}
		return true
	}})
	f.DecRef()
	if err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	for _, name := range names {
		if err := c.copy(path.Join(src, name), path.Join(dst, name)); err != nil {
			return err
		}
	}
	return nil
}

// copy copies src, whatever it is, to dst, which is not there.
func (c *copier) copy(src, dst string) error {
	p, err := c.from.Walk(vfs.Start{}, src, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	defer p.DecRef()
	in := p.Inode()
	switch in.Type() {
	case unix.S_IFDIR:
		err = c.to.Mkdir(vfs.Start{}, dst, 0o700)
	case unix.S_IFLNK:
		var target string
		if target, err = c.from.Readlink(p); err == nil {
			err = c.to.Symlink(target, vfs.Start{}, dst)
		}
	case unix.S_IFREG:
		err = c.content(p, dst)
	default:
		err = c.to.Mknod(vfs.Start{}, dst, in.Type(), in.Rdev())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	if in.IsDir() {
		if err := c.directory(src, dst); err != nil {
			return err
		}
	}
	q, err := c.to.Walk(vfs.Start{}, dst, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", dst, err)
	}
	defer q.DecRef()
	a := vfs.SetAttr{Mask: vfs.AttrUID | vfs.AttrGID, UID: in.UID(), GID: in.GID(), Ctime: in.Ctime()}
	if err := c.to.Setattr(q, &a); err != nil {
		return fmt.Errorf("%s: %w", dst, err)
	}
	if in.IsSymlink() {
		return nil
	}
	// After the owner, for a new one takes set-ID bits away.
	a.Mask, a.Mode = vfs.AttrMode, in.Mode()&0o7777
	if err := c.to.Setattr(q, &a); err != nil {
		return fmt.Errorf("%s: %w", dst, err)
	}
	return nil
}

// content copies the data of the regular file p.
func (c *copier) content(p vfs.Path, dst string) error {
	p.IncRef()
	in, err := c.from.OpenAt(p, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer in.DecRef()
	out, err := c.to.Open(vfs.Start{}, dst, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.DecRef()
	buf := make([]byte, 128<<10)
	for {
		seq := usermem.Kernel(buf)
		n, err := in.Read(c.from, &seq, 0)
		if err != nil || n == 0 {
			return err
		}
		if err := writeAll(c.to, out, string(buf[:n])); err != nil {
			return err
		}
	}
}
