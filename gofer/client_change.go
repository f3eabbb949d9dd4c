package gofer

import "golang.org/x/sys/unix"

// Made is a file that has been made without being opened.
type Made struct {
	Node    Node    // only of a directory
	Watch   WatchID // of it
	Attr    Attr
	DirAttr Attr // of the directory that it is in, afterwards
}

// Mkdir makes a directory with exactly this mode and owner (a set-group-ID bit
// that the host lets it inherit is added). Its node is the caller's to
// release.
func (c *Client) Mkdir(dir Node, name string, mode, uid, gid uint32) (m Made, err error) {
	if e := checkName(name); e != 0 {
		return m, e
	}
	s := c.begin()
	if s == nil {
		return m, unix.EIO
	}
	s.req.u64(uint64(dir))
	putString(&s.req, name)
	s.req.u32(mode)
	s.req.u32(uid)
	s.req.u32(gid)
	d, e := c.call(s, opMkdir)
	if e == 0 {
		m.Node = Node(d.u64())
		m.Watch = d.attr(&m.Attr)
		d.attr(&m.DirAttr)
	}
	return m, c.finish(s, &d, e)
}

// Symlink makes a symbolic link to target, which may be any string of up to
// 4,095 bytes without NUL.
func (c *Client) Symlink(dir Node, name, target string, uid, gid uint32) (m Made, err error) {
	if e := checkName(name); e != 0 {
		return m, e
	}
	if target == "" {
		return m, unix.ENOENT
	}
	if len(target) > maxLink {
		return m, unix.ENAMETOOLONG
	}
	s := c.begin()
	if s == nil {
		return m, unix.EIO
	}
	s.req.u64(uint64(dir))
	putString(&s.req, name)
	putString(&s.req, target)
	s.req.u32(uid)
	s.req.u32(gid)
	d, e := c.call(s, opSymlink)
	return c.finishMade(s, d, e)
}

// Mknod makes a regular file, FIFO, socket, or device; mode has the type. The
// host decides whether a device may be made.
func (c *Client) Mknod(dir Node, name string, mode, major, minor, uid, gid uint32) (m Made, err error) {
	if e := checkName(name); e != 0 {
		return m, e
	}
	s := c.begin()
	if s == nil {
		return m, unix.EIO
	}
	s.req.u64(uint64(dir))
	putString(&s.req, name)
	s.req.u32(mode)
	s.req.u32(major)
	s.req.u32(minor)
	s.req.u32(uid)
	s.req.u32(gid)
	d, e := c.call(s, opMknod)
	return c.finishMade(s, d, e)
}

// Link makes a further name for a file of the same tree; EXDEV for one of
// another.
func (c *Client) Link(t Target, dir Node, name string) (m Made, err error) {
	if e := t.check(); e != 0 {
		return m, e
	}
	if e := checkName(name); e != 0 {
		return m, e
	}
	s := c.begin()
	if s == nil {
		return m, unix.EIO
	}
	s.req.target(&t)
	s.req.u64(uint64(dir))
	putString(&s.req, name)
	d, e := c.call(s, opLink)
	return c.finishMade(s, d, e)
}

func (c *Client) finishMade(s *slot, d decoder, e unix.Errno) (m Made, err error) {
	if e == 0 {
		d.attr(&m.Attr)
		d.attr(&m.DirAttr)
	}
	return m, c.finish(s, &d, e)
}

// Unlink removes a name that is not a directory's, and returns the
// directory's attributes afterwards.
func (c *Client) Unlink(dir Node, name string) (Attr, error) { return c.remove(dir, name, 0) }

// Rmdir removes an empty directory, and returns the attributes of the one that
// it was in.
func (c *Client) Rmdir(dir Node, name string) (Attr, error) {
	return c.remove(dir, name, unix.AT_REMOVEDIR)
}

func (c *Client) remove(dir Node, name string, flags uint32) (a Attr, err error) {
	if e := checkName(name); e != 0 {
		return a, e
	}
	s := c.begin()
	if s == nil {
		return a, unix.EIO
	}
	s.req.u64(uint64(dir))
	putString(&s.req, name)
	s.req.u32(flags)
	d, e := c.call(s, opUnlink)
	if e == 0 {
		d.attr(&a)
	}
	return a, c.finish(s, &d, e)
}

// Rename moves a name within a tree, with flags of 0, RENAME_NOREPLACE or
// RENAME_EXCHANGE (renameat2(2)), and returns the attributes of both
// directories afterwards.
func (c *Client) Rename(oldDir Node, oldName string, newDir Node, newName string, flags uint32) (oldAttr, newAttr Attr, err error) {
	for _, name := range [...]string{oldName, newName} {
		if e := checkName(name); e != 0 {
			return oldAttr, newAttr, e
		}
	}
	s := c.begin()
	if s == nil {
		return oldAttr, newAttr, unix.EIO
	}
	s.req.u64(uint64(oldDir))
	putString(&s.req, oldName)
	s.req.u64(uint64(newDir))
	putString(&s.req, newName)
	s.req.u32(flags)
	d, e := c.call(s, opRename)
	if e == 0 {
		d.attr(&oldAttr)
		d.attr(&newAttr)
	}
	return oldAttr, newAttr, c.finish(s, &d, e)
}

// Setattr changes attributes of a file and returns what they are afterwards.
// If it fails, some of the changes may have been made: they are made in the
// order size, owner, mode, times. The host clears set-user-ID bits when it
// changes an owner, so a caller that wants them passes the mode too.
func (c *Client) Setattr(t Target, set *SetAttr) (a Attr, err error) {
	if e := t.check(); e != 0 {
		return a, e
	}
	s := c.begin()
	if s == nil {
		return a, unix.EIO
	}
	s.req.target(&t)
	s.req.putSetAttr(set)
	d, e := c.call(s, opSetattr)
	return c.finishAttr(s, d, e)
}

// Fallocate is fallocate(2) on a regular file.
func (c *Client) Fallocate(n Node, mode uint32, off, size uint64) (Attr, error) {
	s := c.begin()
	if s == nil {
		return Attr{}, unix.EIO
	}
	s.req.u64(uint64(n))
	s.req.u32(mode)
	s.req.u64(off)
	s.req.u64(size)
	d, e := c.call(s, opFallocate)
	return c.finishAttr(s, d, e)
}

func (c *Client) finishAttr(s *slot, d decoder, e unix.Errno) (a Attr, err error) {
	if e == 0 {
		d.attr(&a)
	}
	return a, c.finish(s, &d, e)
}

// Fsync is fsync(2) on a regular file or directory; with dataOnly,
// fdatasync(2).
func (c *Client) Fsync(n Node, dataOnly bool) error {
	if dataOnly {
		return c.sync(n, syncData)
	}
	return c.sync(n, syncFile)
}

// Syncfs is syncfs(2) on the file system that a regular file or directory is
// on.
func (c *Client) Syncfs(n Node) error { return c.sync(n, syncFS) }

func (c *Client) sync(n Node, what uint32) error {
	s := c.begin()
	if s == nil {
		return unix.EIO
	}
	s.req.u64(uint64(n))
	s.req.u32(what)
	d, e := c.call(s, opSync)
	return c.finish(s, &d, e)
}
