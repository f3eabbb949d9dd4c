package tmpfs

import (
	"slices"

	"casemate/vfs"
	"casemate/vfs/cred"

	"golang.org/x/sys/unix"
)

// A dir is a directory. Its entries are guarded by Inode.mu.
type dir struct {
	node
	vfs.NotSymlink
	names map[string]*dirent
	// order has the entries by cookie, in order of their making; removed ones are nil until
	// they are the larger part.
	order  []*dirent
	live   int
	cookie int64
}

// A dirent is a name in a directory.
type dirent struct {
	name   string
	inode  *vfs.Inode
	cookie int64
}

// firstCookie is the position of the first entry after "." and "..".
const firstCookie = 2

func (fs *FS) newDir(mode uint32, uid cred.UID, gid cred.GID) *dir {
	d := &dir{names: make(map[string]*dirent), cookie: firstCookie}
	d.init(fs, d, mode, uid, gid)
	d.SetSize(2 * direntSize)
	fs.inodes.Add(1)
	return d
}

// direntSize is what an entry, "." and ".." too, adds to a directory's size, as Linux's
// tmpfs has it.
const direntSize = 20

func (d *dir) add(name string, in *vfs.Inode) {
	e := &dirent{name, in, d.cookie}
	d.cookie++
	d.names[name] = e
	d.order = append(d.order, e)
	d.live++
	d.SetSize(d.Size() + direntSize)
}

func (d *dir) remove(name string) {
	e := d.names[name]
	delete(d.names, name)
	i, _ := d.find(e.cookie)
	// Keep the cookie where it was, for the binary search.
	d.order[i] = &dirent{cookie: e.cookie}
	d.live--
	if len(d.order) > 16 && d.live < len(d.order)/2 {
		d.order = slices.DeleteFunc(d.order, func(e *dirent) bool { return e.inode == nil })
	}
	d.SetSize(d.Size() - direntSize)
}

// find returns the index of the first entry at or after a position.
func (d *dir) find(cookie int64) (int, bool) {
	return slices.BinarySearchFunc(d.order, cookie, func(e *dirent, c int64) int {
		if e.cookie < c {
			return -1
		} else if e.cookie > c {
			return 1
		}
		return 0
	})
}

// Lookup implements vfs.InodeOps.
func (d *dir) Lookup(_ *vfs.Context, name string) (*vfs.Inode, error) {
	e := d.names[name]
	if e == nil {
		return nil, unix.ENOENT
	}
	e.inode.IncRef()
	return e.inode, nil
}

// link enters a new object, which has one reference for the caller.
func (d *dir) link(name string, in *vfs.Inode) *vfs.Inode {
	d.add(name, in)
	d.TouchCM()
	return in
}

// Create implements vfs.InodeOps.
func (d *dir) Create(ctx *vfs.Context, name string, mode uint32) (*vfs.Inode, error) {
	r, err := d.fs.newRegular(ctx, &d.Inode, mode)
	if err != nil {
		return nil, err
	}
	return d.link(name, &r.Inode), nil
}

// Tmpfile implements vfs.InodeOps.
func (d *dir) Tmpfile(ctx *vfs.Context, mode uint32) (*vfs.Inode, error) {
	r, err := d.fs.newRegular(ctx, &d.Inode, mode)
	if err != nil {
		return nil, err
	}
	r.SetNlink(0)
	return &r.Inode, nil
}

// Mkdir implements vfs.InodeOps.
func (d *dir) Mkdir(ctx *vfs.Context, name string, mode uint32) (*vfs.Inode, error) {
	if err := d.fs.addInode(); err != nil {
		return nil, err
	}
	d.fs.inodes.Add(^uint64(0)) // newDir counts it
	uid, gid, mode := vfs.InitOwner(ctx, &d.Inode, mode)
	n := d.fs.newDir(mode, uid, gid)
	d.AddNlink(1)
	return d.link(name, &n.Inode), nil
}

// Mknod implements vfs.InodeOps.
func (d *dir) Mknod(ctx *vfs.Context, name string, mode uint32, dev vfs.Dev) (*vfs.Inode, error) {
	if err := d.fs.addInode(); err != nil {
		return nil, err
	}
	uid, gid, mode := vfs.InitOwner(ctx, &d.Inode, mode)
	s := &special{}
	s.init(d.fs, s, mode, uid, gid)
	s.SetRdev(dev)
	return d.link(name, &s.Inode), nil
}

// Symlink implements vfs.InodeOps.
func (d *dir) Symlink(ctx *vfs.Context, name, target string) (*vfs.Inode, error) {
	if len(target) >= pageSize {
		return nil, unix.ENAMETOOLONG
	}
	if err := d.fs.addInode(); err != nil {
		return nil, err
	}
	uid, gid, mode := vfs.InitOwner(ctx, &d.Inode, unix.S_IFLNK|0o777)
	s := &symlink{target: target}
	s.init(d.fs, s, mode, uid, gid)
	s.SetSize(int64(len(target)))
	return d.link(name, &s.Inode), nil
}

// Link implements vfs.InodeOps.
func (d *dir) Link(_ *vfs.Context, name string, target *vfs.Inode) error {
	target.AddNlink(1)
	target.TouchC()
	d.link(name, target)
	return nil
}

// Unlink implements vfs.InodeOps.
func (d *dir) Unlink(_ *vfs.Context, name string, child *vfs.Inode) error {
	d.remove(name)
	d.TouchCM()
	child.AddNlink(-1)
	child.TouchC()
	return nil
}

// Rmdir implements vfs.InodeOps.
func (d *dir) Rmdir(_ *vfs.Context, name string, child *vfs.Inode) error {
	c := child.Ops().(*dir)
	if len(c.names) > 0 {
		return unix.ENOTEMPTY
	}
	d.remove(name)
	d.TouchCM()
	d.AddNlink(-1)
	child.SetNlink(0)
	child.TouchC()
	return nil
}

// Rename implements vfs.InodeOps.
func (d *dir) Rename(ctx *vfs.Context, name string, child, newDir *vfs.Inode, newName string, replaced *vfs.Inode, flags uint32) error {
	to := newDir.Ops().(*dir)
	moveDir := func(in *vfs.Inode, from, to *dir) {
		if in.IsDir() && from != to {
			from.AddNlink(-1)
			to.AddNlink(1)
		}
	}
	if flags&unix.RENAME_EXCHANGE != 0 {
		d.names[name].inode, to.names[newName].inode = replaced, child
		moveDir(child, d, to)
		moveDir(replaced, to, d)
	} else {
		if replaced != nil {
			if c, ok := replaced.Ops().(*dir); ok {
				if len(c.names) > 0 {
					return unix.ENOTEMPTY
				}
				replaced.SetNlink(0)
				to.AddNlink(-1)
			} else {
				replaced.AddNlink(-1)
			}
		}
		var whiteout *special
		if flags&unix.RENAME_WHITEOUT != 0 {
			if err := d.fs.addInode(); err != nil {
				return err
			}
			whiteout = &special{}
			whiteout.init(d.fs, whiteout, unix.S_IFCHR, ctx.Cred.FSUID, ctx.Cred.FSGID)
		}
		if replaced != nil {
			to.remove(newName)
			replaced.TouchC()
		}
		d.remove(name)
		to.add(newName, child)
		moveDir(child, d, to)
		if whiteout != nil {
			d.add(name, &whiteout.Inode)
			whiteout.DecRef()
		}
	}
	d.TouchCM()
	if to != d {
		to.TouchCM()
	}
	child.TouchC()
	if flags&unix.RENAME_EXCHANGE != 0 {
		replaced.TouchC()
	}
	return nil
}

// Open implements vfs.InodeOps.
func (d *dir) Open(*vfs.Context, *vfs.File) (vfs.FileOps, error) { return &d.fs.dirFile, nil }

// Evict implements vfs.InodeOps.
func (d *dir) Evict() {
	if d.Nlink() == 0 {
		d.fs.inodes.Add(^uint64(0))
	}
}

// releaseTree frees the data of all files below d, when nobody can reach them any more.
func (d *dir) releaseTree() {
	for _, e := range d.names {
		switch c := e.inode.Ops().(type) {
		case *dir:
			c.releaseTree()
		case *regular:
			c.freeAll()
		}
	}
	d.names, d.order = nil, nil
}

// A dirFile is an open directory.
type dirFile struct{ vfs.DirectoryFile }

// ReadDir implements vfs.FileOps.
func (dirFile) ReadDir(_ *vfs.Context, f *vfs.File, e *vfs.DirEmitter) error {
	d := f.Inode().Ops().(*dir)
	if !e.Dots(f) {
		return nil
	}
	i, _ := d.find(e.Pos)
	for ; i < len(d.order); i++ {
		ent := d.order[i]
		if ent.inode != nil && !e.Emit(ent.name, ent.inode.Ino(), vfs.DirentType(ent.inode.Mode()), ent.cookie+1) {
			return nil
		}
	}
	return nil
}

// Seek implements vfs.FileOps.
func (dirFile) Seek(_ *vfs.Context, f *vfs.File, off int64, whence int) (int64, error) {
	if whence == unix.SEEK_END {
		return 0, unix.EINVAL
	}
	return vfs.SeekSized(f, off, whence, 1<<63-1)
}
