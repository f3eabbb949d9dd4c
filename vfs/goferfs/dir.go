package goferfs

import (
	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/vfs"
	"casemate/vfs/cred"
)

func uid(a *gofer.Attr) cred.UID       { return cred.UID(a.UID) }
func gid(a *gofer.Attr) cred.GID       { return cred.GID(a.GID) }
func statUID(st *unix.Stat_t) cred.UID { return cred.UID(st.Uid) }
func statGID(st *unix.Stat_t) cred.GID { return cred.GID(st.Gid) }

// A listing is all names of a directory that nobody else changes, as far as they
// have not been looked up since.
type listing struct {
	entries map[string]*gofer.Dirent
}

// maxListing is how many names are fetched ahead, in one message or a few.
const maxListing = 4096

// load fetches the directory's names unless they are known or too many. n.Inode.mu is
// held.
func (n *node) load() error {
	if n.list != nil || n.fs.shared {
		return nil
	}
	h, err := n.dirHandle()
	if err != nil {
		return err
	}
	list := &listing{entries: map[string]*gofer.Dirent{}}
	var ents []gofer.Dirent
	for cookie, end := uint64(0), false; !end; {
		ents, cookie, end, err = n.fs.client.Readdir(h, cookie, 1<<17, nil)
		if err != nil {
			return err
		}
		for i := range ents {
			list.entries[ents[i].Name] = &ents[i]
		}
		if len(list.entries) > maxListing {
			// Names are asked for one by one then.
			list.entries = nil
			break
		}
	}
	n.list = list
	return nil
}

// Lookup implements vfs.InodeOps.
func (n *node) Lookup(_ *vfs.Context, name string) (*vfs.Inode, error) {
	if !n.IsDir() {
		return nil, unix.ENOTDIR
	}
	if err := n.load(); err != nil {
		return nil, err
	}
	if n.list != nil && n.list.entries != nil {
		e := n.list.entries[name]
		if e == nil {
			return nil, unix.ENOENT
		}
		if !e.NoAttr {
			// What has been looked up may change by its node, so the listing
			// is not right any more once that has been forgotten.
			delete(n.list.entries, name)
			n.list.entries[name] = &gofer.Dirent{Name: name, Ino: e.Ino, Type: e.Type, NoAttr: true}
			return &n.fs.node(&e.Attr, n, name).Inode, nil
		}
	}
	h, err := n.dirHandle()
	if err != nil {
		return nil, err
	}
	var out [1]gofer.Entry
	found, stop, link, err := n.fs.client.Walk(h, []string{name}, false, out[:])
	if found == 0 {
		if stop != gofer.StopError || err == nil {
			err = unix.ENOENT
		}
		return nil, err
	}
	c := n.fs.node(&out[0].Attr, n, name)
	c.mu.Lock()
	spare := out[0].Node
	if c.handle == 0 && spare != 0 {
		c.handle, spare = spare, 0
	}
	if stop == gofer.StopSymlink {
		c.link = link
	}
	c.mu.Unlock()
	if spare != 0 {
		n.fs.client.Release(spare)
	}
	return &c.Inode, nil
}

// added and removed keep the listing true. n.Inode.mu is held.
func (n *node) added(c *node, name string) {
	if n.list != nil && n.list.entries != nil {
		n.list.entries[name] = &gofer.Dirent{Name: name, Ino: c.Ino(), Type: vfs.DirentType(c.Mode()), NoAttr: true}
	}
}

func (n *node) removed(name string) {
	if n.list != nil && n.list.entries != nil {
		delete(n.list.entries, name)
	}
}

// made returns the inode of an object that the gofer has made in n.
func (n *node) made(m gofer.Made, name string) *vfs.Inode {
	n.update(&m.DirAttr)
	c := n.fs.node(&m.Attr, n, name)
	c.mu.Lock()
	spare := m.Node
	if c.handle == 0 {
		c.handle, spare = spare, 0
	}
	c.mu.Unlock()
	if spare != 0 {
		n.fs.client.Release(spare)
	}
	n.added(c, name)
	return &c.Inode
}

// Create implements vfs.InodeOps.
func (n *node) Create(ctx *vfs.Context, name string, mode uint32) (*vfs.Inode, error) {
	h, err := n.dirHandle()
	if err != nil {
		return nil, err
	}
	uid, gid, mode := vfs.InitOwner(ctx, &n.Inode, mode|unix.S_IFREG)
	created, err := n.fs.client.Create(h, name, unix.O_RDWR|unix.O_EXCL, mode&0o7777, uint32(uid), uint32(gid))
	if err != nil {
		return nil, err
	}
	n.update(&created.DirAttr)
	c := n.fs.node(&created.Attr, n, name)
	c.mu.Lock()
	spare := created.Node
	if c.handle == 0 {
		c.handle, spare = spare, 0
	}
	if c.fd.write < 0 {
		c.fd.write = created.FD
		n.fs.open.Add(1)
	} else {
		unix.Close(created.FD)
	}
	c.mu.Unlock()
	if spare != 0 {
		n.fs.client.Release(spare)
	}
	n.added(c, name)
	return &c.Inode, nil
}

// Mkdir implements vfs.InodeOps.
func (n *node) Mkdir(ctx *vfs.Context, name string, mode uint32) (*vfs.Inode, error) {
	h, err := n.dirHandle()
	if err != nil {
		return nil, err
	}
	uid, gid, mode := vfs.InitOwner(ctx, &n.Inode, mode|unix.S_IFDIR)
	m, err := n.fs.client.Mkdir(h, name, mode&0o7777, uint32(uid), uint32(gid))
	if err != nil {
		return nil, err
	}
	in := n.made(m, name)
	if !n.fs.shared {
		in.Ops().(*node).list = &listing{entries: map[string]*gofer.Dirent{}}
	}
	return in, nil
}

// Mknod implements vfs.InodeOps.
func (n *node) Mknod(ctx *vfs.Context, name string, mode uint32, dev vfs.Dev) (*vfs.Inode, error) {
	h, err := n.dirHandle()
	if err != nil {
		return nil, err
	}
	uid, gid, mode := vfs.InitOwner(ctx, &n.Inode, mode)
	m, err := n.fs.client.Mknod(h, name, mode, dev.Major(), dev.Minor(), uint32(uid), uint32(gid))
	if err != nil {
		return nil, err
	}
	return n.made(m, name), nil
}

// Symlink implements vfs.InodeOps.
func (n *node) Symlink(ctx *vfs.Context, name, target string) (*vfs.Inode, error) {
	h, err := n.dirHandle()
	if err != nil {
		return nil, err
	}
	uid, gid, _ := vfs.InitOwner(ctx, &n.Inode, unix.S_IFLNK|0o777)
	m, err := n.fs.client.Symlink(h, name, target, uint32(uid), uint32(gid))
	if err != nil {
		return nil, err
	}
	return n.made(m, name), nil
}

// Link implements vfs.InodeOps.
func (n *node) Link(_ *vfs.Context, name string, target *vfs.Inode) error {
	h, err := n.dirHandle()
	if err != nil {
		return err
	}
	c := target.Ops().(*node)
	t, err := c.lockTarget()
	if err != nil {
		return err
	}
	m, err := n.fs.client.Link(t, h, name)
	if err != nil {
		return err
	}
	n.made(m, name).DecRef()
	return nil
}

// Unlink implements vfs.InodeOps.
func (n *node) Unlink(_ *vfs.Context, name string, child *vfs.Inode) error {
	h, err := n.dirHandle()
	if err != nil {
		return err
	}
	c := child.Ops().(*node)
	c.mu.Lock()
	if c.opens > 0 || child.Nlink() > 1 || c.maps.Mapped() {
		c.ownHandle() // it lives on without this name
	}
	c.mu.Unlock()
	a, err := n.fs.client.Unlink(h, name)
	if err != nil {
		return err
	}
	n.update(&a)
	n.removed(name)
	child.AddNlink(-1)
	child.TouchC()
	return nil
}

// Rmdir implements vfs.InodeOps.
func (n *node) Rmdir(_ *vfs.Context, name string, child *vfs.Inode) error {
	h, err := n.dirHandle()
	if err != nil {
		return err
	}
	child.Ops().(*node).anyHandle()
	a, err := n.fs.client.Rmdir(h, name)
	if err != nil {
		return err
	}
	n.update(&a)
	n.removed(name)
	child.SetNlink(0)
	return nil
}

// Rename implements vfs.InodeOps.
func (n *node) Rename(_ *vfs.Context, name string, child, newDir *vfs.Inode, newName string, replaced *vfs.Inode, flags uint32) error {
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return unix.EINVAL
	}
	to := newDir.Ops().(*node)
	oldHandle, err := n.dirHandle()
	if err != nil {
		return err
	}
	newHandle, err := to.dirHandle()
	if err != nil {
		return err
	}
	c := child.Ops().(*node)
	var r *node
	if replaced != nil {
		r = replaced.Ops().(*node)
		r.mu.Lock()
		if r.opens > 0 || flags&unix.RENAME_EXCHANGE != 0 || replaced.Nlink() > 1 || r.maps.Mapped() {
			r.ownHandle()
		}
		r.mu.Unlock()
	}
	oldAttr, newAttr, err := n.fs.client.Rename(oldHandle, name, newHandle, newName, flags)
	if err != nil {
		return err
	}
	n.update(&oldAttr)
	to.update(&newAttr)
	n.removed(name)
	c.moved(to, newName)
	to.added(c, newName)
	child.TouchC()
	if r != nil {
		if flags&unix.RENAME_EXCHANGE != 0 {
			r.moved(n, name)
			n.added(r, name)
		} else if replaced.IsDir() {
			replaced.SetNlink(0)
		} else {
			replaced.AddNlink(-1)
		}
	}
	return nil
}

// moved tells a node its new name.
func (n *node) moved(dir *node, name string) {
	dir.IncRef()
	n.mu.Lock()
	old := n.dir
	n.dir, n.name = dir, name
	n.mu.Unlock()
	if old != nil {
		old.DecRef()
	}
}

// Tmpfile implements vfs.InodeOps.
func (n *node) Tmpfile(*vfs.Context, uint32) (*vfs.Inode, error) { return nil, unix.EOPNOTSUPP }

// A dirFile is an open directory. It reads the names when it is at its beginning.
type dirFile struct {
	vfs.DirectoryFile
	n    *node
	ents []gofer.Dirent // position 2+i is entry i
	read bool
}

// ReadDir implements vfs.FileOps.
func (d *dirFile) ReadDir(_ *vfs.Context, f *vfs.File, e *vfs.DirEmitter) error {
	if e.Pos == 0 || !d.read {
		if err := d.fill(); err != nil {
			return err
		}
	}
	if !e.Dots(f) {
		return nil
	}
	for i := e.Pos - 2; i < int64(len(d.ents)); i++ {
		ent := &d.ents[i]
		typ := ent.Type
		if typ == unix.DT_UNKNOWN && !ent.NoAttr {
			typ = vfs.DirentType(ent.Attr.Mode)
		}
		if !e.Emit(ent.Name, ent.Ino, typ, i+3) {
			return nil
		}
	}
	return nil
}

// fill reads all names, from the listing if there is one.
func (d *dirFile) fill() error {
	d.ents = d.ents[:0]
	d.read = true
	if l := d.n.list; l != nil && l.entries != nil {
		for _, e := range l.entries {
			d.ents = append(d.ents, *e)
		}
		return nil
	}
	h, err := d.n.dirHandle()
	if err != nil {
		return err
	}
	for cookie, end := uint64(0), false; !end; {
		d.ents, cookie, end, err = d.n.fs.client.Readdir(h, cookie, 1<<17, d.ents)
		if err != nil {
			return err
		}
	}
	return nil
}

// Seek implements vfs.FileOps.
func (d *dirFile) Seek(_ *vfs.Context, f *vfs.File, off int64, whence int) (int64, error) {
	return vfs.SeekSized(f, off, whence, 0)
}

// Fsync implements vfs.FileOps.
func (d *dirFile) Fsync(_ *vfs.Context, _ *vfs.File, dataOnly bool) error {
	h, err := d.n.dirHandle()
	if err != nil {
		return err
	}
	return d.n.fs.client.Fsync(h, dataOnly)
}
