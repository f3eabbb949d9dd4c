package overlay

import (
	"strings"
	"sync"

	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

func credUID(id uint32) cred.UID { return cred.UID(id) }

func credGID(id uint32) cred.GID { return cred.GID(id) }

func nanoseconds(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }

// private reports whether an extended attribute is the union's own.
func private(name string) bool { return strings.HasPrefix(name, "trusted.overlay.") }

// copyUp returns the node's object in the upper layer, after making it if need be.
// EROFS without an upper layer.
func (n *node) copyUp(ctx *vfs.Context) (*vfs.Inode, error) {
	if u := n.upper.Load(); u != nil {
		return u, nil
	}
	if !n.fs.upper {
		return nil, unix.EROFS
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if u := n.upper.Load(); u != nil {
		return u, nil
	}
	u, err := n.makeCopy(ctx)
	if err != nil {
		return nil, err
	}
	fs := n.fs
	fs.mu.Lock()
	fs.nodes[u] = n
	if n.IsDir() {
		for _, l := range n.lower {
			l.inode.IncRef()
		}
		fs.below[u] = n.lower
	} else if n.lower[0].inode.Nlink() > 1 {
		// Its other names lead to the lower object still: they must find n.
		n.IncRef()
		fs.kept = append(fs.kept, n)
	}
	fs.mu.Unlock()
	n.upper.Store(u)
	if n.IsRegular() {
		if err := n.remap(ctx); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// makeCopy makes the copy of the lower object. n.mu is held.
func (n *node) makeCopy(ctx *vfs.Context) (*vfs.Inode, error) {
	lower := n.lower[0]
	if n.parent == nil && !n.IsRegular() {
		return nil, unix.ENOENT
	}
	var dir *vfs.Inode
	name := n.name
	if n.parent != nil {
		var err error
		if dir, err = n.parent.copyUp(ctx); err != nil {
			return nil, err
		}
	} else {
		dir = n.fs.layers[0].Root
	}
	// As the owner of the copy: no limits, all capabilities.
	as := *ctx
	as.FileSizeLimit = unix.RLIM_INFINITY
	owner := ctx.Cred.Clone()
	owner.FSUID, owner.FSGID, owner.Effective = n.UID(), n.GID(), cred.AllCaps
	as.Cred = owner

	var st unix.Statx_t
	if err := lower.inode.Ops().Getattr(&as, unix.STATX_BASIC_STATS, 0, &st); err != nil {
		return nil, err
	}
	u, err := n.makeEmpty(&as, dir, name, uint32(st.Mode))
	if err != nil {
		return nil, err
	}
	err = n.fill(&as, u, lower, &st)
	if err != nil {
		if n.parent != nil {
			dir.Lock()
			if n.IsDir() {
				dir.Ops().Rmdir(&as, name, u)
			} else {
				dir.Ops().Unlink(&as, name, u)
			}
			dir.Unlock()
		}
		u.DecRef()
		return nil, err
	}
	return u, nil
}

// makeEmpty makes an object like n in the upper directory dir. One without a name
// is made as a file without a name.
func (n *node) makeEmpty(ctx *vfs.Context, dir *vfs.Inode, name string, mode uint32) (*vfs.Inode, error) {
	dir.Lock()
	defer dir.Unlock()
	if n.parent == nil {
		return dir.Ops().Tmpfile(ctx, unix.S_IFREG|mode&0o7777)
	}
	switch n.Type() {
	case unix.S_IFREG:
		return dir.Ops().Create(ctx, name, mode)
	case unix.S_IFDIR:
		return dir.Ops().Mkdir(ctx, name, mode)
	case unix.S_IFLNK:
		target, err := n.lower[0].inode.Ops().Readlink(ctx)
		if err != nil {
			return nil, err
		}
		return dir.Ops().Symlink(ctx, name, target)
	}
	return dir.Ops().Mknod(ctx, name, mode, n.Rdev())
}

// fill copies data, extended attributes and attributes of a lower object.
func (n *node) fill(ctx *vfs.Context, u *vfs.Inode, lower lowerDir, st *unix.Statx_t) error {
	if n.IsRegular() {
		if err := n.copyData(ctx, u, lower); err != nil {
			return err
		}
	}
	names, err := lower.inode.Ops().Listxattr(ctx)
	if err == nil {
		for _, name := range names {
			if private(name) {
				continue
			}
			v, err := lower.inode.Ops().Getxattr(ctx, name)
			if err == nil {
				err = u.Ops().Setxattr(ctx, name, v, 0)
			}
			if err != nil && err != unix.EOPNOTSUPP && err != unix.ENODATA {
				return err
			}
		}
	}
	a := &vfs.SetAttr{
		Mask: vfs.AttrUID | vfs.AttrGID | vfs.AttrAtime | vfs.AttrMtime,
		UID:  credUID(st.Uid), GID: credGID(st.Gid), Mode: uint32(st.Mode) & 0o7777,
		Atime: nanoseconds(st.Atime), Mtime: nanoseconds(st.Mtime), Ctime: nanoseconds(st.Ctime),
	}
	if !n.IsSymlink() {
		a.Mask |= vfs.AttrMode
	}
	u.Lock()
	defer u.Unlock()
	return u.Ops().Setattr(ctx, a)
}

const copySize = 256 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// copyData copies the data of a lower file.
func (n *node) copyData(ctx *vfs.Context, u *vfs.Inode, lower lowerDir) error {
	from, err := n.fs.open(ctx, lower.layer, lower.inode, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer from.DecRef()
	to, err := n.fs.open(ctx, 0, u, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer to.DecRef()
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	seq := new(usermem.Seq)
	off := int64(0)
	for {
		*seq = usermem.Kernel(buf[:])
		got, err := from.Pread(ctx, seq, off, 0)
		if err != nil {
			return err
		}
		if got == 0 {
			break
		}
		for done := 0; done < got; {
			*seq = usermem.Kernel(buf[done:got])
			put, err := to.Pwrite(ctx, seq, off+int64(done), 0)
			if err != nil {
				return err
			}
			done += put
		}
		off += int64(got)
	}
	return nil
}

// open opens an object of a layer.
func (fs *FS) open(ctx *vfs.Context, layer int, in *vfs.Inode, flags uint32) (*vfs.File, error) {
	in.IncRef()
	return ctx.OpenInternal(vfs.AnonymousPath(fs.layers[layer].mount, "", in), flags)
}
