package goferfs

import (
	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/vfs"
)

// made returns the inode of an object that the gofer has made in n.
func (n *node) made(m gofer.Made, name string) *vfs.Inode {
	n.update(&m.DirAttr)
	c := n.fs.node(&m.Attr, n, name)
	c.takeHandle(m.Node, m.Watch)
	n.list.add(c, name)
	return &c.Inode
}

// Create implements vfs.InodeOps.
func (n *node) Create(ctx *vfs.Context, name string, mode uint32) (*vfs.Inode, error) {
	h, err := n.anyHandle()
	if err != nil {
		return nil, err
	}
	uid, gid, mode, err := n.newOwner(ctx, mode|unix.S_IFREG)
	if err != nil {
		return nil, err
	}
	var created gofer.Created
	n.expect(name, false)
	for tried := false; ; {
		created, err = n.fs.client.Create(h, name, unix.O_RDWR|unix.O_EXCL, mode&0o7777, uid, gid)
		if !n.fs.again(err, &tried) {
			break
		}
	}
	if err != nil {
		n.unexpect(name, false)
		n.unsure()
		return nil, err
	}
	n.update(&created.DirAttr)
	c := n.opened(&created.Opened, name)
	n.list.add(c, name)
	return &c.Inode, nil
}

// opened returns the node of a file that the gofer has made in n and opened for reading and
// writing.
func (n *node) opened(o *gofer.Opened, name string) *node {
	c := n.fs.node(&o.Attr, n, name)
	c.takeHandle(o.Node, 0)
	c.mu.Lock()
	if c.fd.write < 0 {
		c.fd.write = o.FD
		n.fs.open.Add(1)
	} else {
		unix.Close(o.FD)
	}
	c.mu.Unlock()
	return c
}

// unsure drops the listing, after a call has failed that may have been served in part.
func (n *node) unsure() { n.list.names = nil }

// Mkdir implements vfs.InodeOps.
func (n *node) Mkdir(ctx *vfs.Context, name string, mode uint32) (*vfs.Inode, error) {
	h, err := n.anyHandle()
	if err != nil {
		return nil, err
	}
	uid, gid, mode, err := n.newOwner(ctx, mode|unix.S_IFDIR)
	if err != nil {
		return nil, err
	}
	var m gofer.Made
	n.expect(name, false)
	for tried := false; ; {
		m, err = n.fs.client.Mkdir(h, name, mode&0o7777, uid, gid)
		if !n.fs.again(err, &tried) {
			break
		}
	}
	if err != nil {
		n.unexpect(name, false)
		n.unsure()
		return nil, err
	}
	in := n.made(m, name)
	if !n.fs.shared {
		in.Ops().(*node).list.names = map[string]listed{}
	}
	return in, nil
}

// Mknod implements vfs.InodeOps.
func (n *node) Mknod(ctx *vfs.Context, name string, mode uint32, dev vfs.Dev) (*vfs.Inode, error) {
	h, err := n.anyHandle()
	if err != nil {
		return nil, err
	}
	uid, gid, mode, err := n.newOwner(ctx, mode)
	if err != nil {
		return nil, err
	}
	n.expect(name, false)
	m, err := n.fs.client.Mknod(h, name, mode, dev.Major(), dev.Minor(), uid, gid)
	if err != nil {
		n.unexpect(name, false)
		n.unsure()
		return nil, err
	}
	return n.made(m, name), nil
}

// Symlink implements vfs.InodeOps.
func (n *node) Symlink(ctx *vfs.Context, name, target string) (*vfs.Inode, error) {
	h, err := n.anyHandle()
	if err != nil {
		return nil, err
	}
	uid, gid, _, err := n.newOwner(ctx, unix.S_IFLNK|0o777)
	if err != nil {
		return nil, err
	}
	n.expect(name, false)
	m, err := n.fs.client.Symlink(h, name, target, uid, gid)
	if err != nil {
		n.unexpect(name, false)
		n.unsure()
		return nil, err
	}
	return n.made(m, name), nil
}

// Link implements vfs.InodeOps.
func (n *node) Link(_ *vfs.Context, name string, target *vfs.Inode) error {
	h, err := n.anyHandle()
	if err != nil {
		return err
	}
	c := target.Ops().(*node)
	c.mu.Lock()
	t, err := c.target()
	var m gofer.Made
	n.expect(name, false)
	if err == nil {
		m, err = n.fs.client.Link(t, h, name)
	}
	c.mu.Unlock()
	if err != nil {
		n.unexpect(name, false)
		n.unsure()
		return err
	}
	if !n.fs.shared {
		target.AddNlink(1)
	} else {
		c.update(&m.Attr)
	}
	n.update(&m.DirAttr)
	c.stale.Store(true)
	n.list.add(c, name)
	return nil
}

// keep makes sure that c, whose name is going to be removed, can be reached without it if
// somebody uses it or it has others. c.mu is held.
func (c *node) keep() error {
	if c.opens == 0 && c.Nlink() <= 1 && !c.IsDir() && !c.fs.shared && !c.maps.Mapped() {
		return nil
	}
	_, err := c.ownHandle()
	return err
}

// unlinked notes that a name of c has gone. c.mu is held.
func (c *node) unlinked() {
	if c.IsDir() {
		c.SetNlink(0)
	} else if c.Nlink() > 0 {
		c.AddNlink(-1)
	}
	c.stale.Store(true)
	if c.Nlink() == 0 {
		c.fs.forget(c)
	}
}

// Unlink implements vfs.InodeOps.
func (n *node) Unlink(_ *vfs.Context, name string, child *vfs.Inode) error {
	return n.remove(name, child, n.fs.client.Unlink)
}

// Rmdir implements vfs.InodeOps.
func (n *node) Rmdir(_ *vfs.Context, name string, child *vfs.Inode) error {
	return n.remove(name, child, n.fs.client.Rmdir)
}

func (n *node) remove(name string, child *vfs.Inode, call func(gofer.Node, string) (gofer.Attr, error)) error {
	h, err := n.anyHandle()
	if err != nil {
		return err
	}
	c := child.Ops().(*node)
	c.mu.Lock()
	var a gofer.Attr
	n.expect(name, true)
	if err = c.keep(); err == nil {
		a, err = call(h, name)
	}
	if err != nil {
		n.unexpect(name, true)
		c.mu.Unlock()
		if err != unix.ENOTEMPTY {
			n.unsure()
		}
		return err
	}
	c.unlinked()
	old := c.detach(n, name)
	c.mu.Unlock()
	n.update(&a)
	n.list.remove(name)
	if old != nil {
		old.DecRef()
	}
	return nil
}

// Rename implements vfs.InodeOps.
func (n *node) Rename(_ *vfs.Context, name string, child, newDir *vfs.Inode, newName string, replaced *vfs.Inode, flags uint32) error {
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return unix.EINVAL
	}
	to := newDir.Ops().(*node)
	oldHandle, err := n.anyHandle()
	if err != nil {
		return err
	}
	newHandle, err := to.anyHandle()
	if err != nil {
		return err
	}
	c := child.Ops().(*node)
	var r *node
	if replaced != nil {
		r = replaced.Ops().(*node)
	}
	lockBoth(c, r)
	exchange := flags&unix.RENAME_EXCHANGE != 0
	if r != nil && !exchange {
		err = r.keep()
	}
	n.expect(name, true)
	to.expect(newName, false)
	if exchange {
		n.expect(name, false)
		to.expect(newName, true)
	}
	var oldAttr, newAttr gofer.Attr
	if err == nil {
		oldAttr, newAttr, err = n.fs.client.Rename(oldHandle, name, newHandle, newName, flags)
	}
	if err != nil {
		n.unexpect(name, true)
		to.unexpect(newName, false)
		if exchange {
			n.unexpect(name, false)
			to.unexpect(newName, true)
		}
		unlockBoth(c, r)
		n.unsure()
		to.unsure()
		return err
	}
	var gone [2]*node
	gone[0] = c.moved(n, name, to, newName)
	if r != nil && exchange {
		gone[1] = r.moved(to, newName, n, name)
		r.stale.Store(true)
	} else if r != nil {
		r.unlinked()
		gone[1] = r.detach(to, newName)
	}
	unlockBoth(c, r)
	c.stale.Store(true)
	n.update(&oldAttr)
	to.update(&newAttr)
	n.list.remove(name)
	to.list.add(c, newName)
	if exchange {
		n.list.add(r, name)
	}
	for _, d := range gone {
		if d != nil {
			d.DecRef()
		}
	}
	return nil
}

// lockBoth locks two entries, of which the second may be nil, in the order of their
// numbers.
func lockBoth(a, b *node) {
	if b != nil && b.id.ino < a.id.ino {
		a, b = b, a
	}
	a.mu.Lock()
	if b != nil {
		b.mu.Lock()
	}
}

func unlockBoth(a, b *node) {
	a.mu.Unlock()
	if b != nil {
		b.mu.Unlock()
	}
}

// moved tells a node that a name of it has become another. It returns what the caller
// gives back when n.mu, which is held, is not any more.
func (n *node) moved(oldDir *node, oldName string, dir *node, name string) *node {
	if n.dir != nil && (n.dir != oldDir || n.name != oldName) {
		return nil // it is reached by another name
	}
	old := n.dir
	dir.IncRef()
	n.dir, n.name = dir, name
	return old
}

// Tmpfile implements vfs.InodeOps.
func (n *node) Tmpfile(ctx *vfs.Context, mode uint32) (*vfs.Inode, error) {
	h, err := n.anyHandle()
	if err != nil {
		return nil, err
	}
	uid, gid, mode, err := n.newOwner(ctx, mode)
	if err != nil {
		return nil, err
	}
	var o gofer.Opened
	for tried := false; ; {
		o, err = n.fs.client.Tmpfile(h, unix.O_RDWR, mode&0o7777, uid, gid)
		if !n.fs.again(err, &tried) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	c := n.opened(&o, "")
	c.mu.Lock()
	old := c.detach(n, "")
	c.mu.Unlock()
	if old != nil {
		old.DecRef()
	}
	return &c.Inode, nil
}
