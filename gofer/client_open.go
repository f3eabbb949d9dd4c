package gofer

import "golang.org/x/sys/unix"

// Opened is a file that has been opened. The caller closes FD and releases
// Node.
type Opened struct {
	Node Node // 0 if the file was named by its own node
	Attr Attr
	FD   int // the host's descriptor, close-on-exec
}

// Open opens a regular file and returns a descriptor of the host's file.
// Flags are an access mode and any of O_TRUNC, O_SYNC, O_DSYNC, O_DIRECT,
// O_NOATIME; others give EINVAL. A directory gives EISDIR, a symbolic link
// ELOOP, any other type ENXIO. There is no O_APPEND: the caller writes at
// offsets.
func (c *Client) Open(t Target, flags int) (Opened, error) {
	o := Opened{FD: -1}
	if e := t.check(); e != 0 {
		return o, e
	}
	s := c.begin()
	if s == nil {
		return o, unix.EIO
	}
	s.req.target(&t)
	s.req.u32(uint32(flags))
	d, e := c.call(s, opOpen)
	if e == 0 {
		if o.FD, e = c.donated(s); e == 0 {
			o.Node = Node(d.u64())
			d.attr(&o.Attr)
		} else if e != unix.EIO {
			c.Release(Node(d.u64()))
		}
	}
	return o, c.finishFD(s, &d, e, &o.FD)
}

// finishFD is finish for a reply with a descriptor, which it closes if the
// reply was malformed.
func (c *Client) finishFD(s *slot, d *decoder, e unix.Errno, fd *int) error {
	err := c.finish(s, d, e)
	if err != nil && *fd >= 0 {
		unix.Close(*fd)
		*fd = -1
	}
	return err
}

// Created is a file that Create has made or found.
type Created struct {
	Opened
	DirAttr Attr // of the directory, afterwards
	New     bool // the file did not exist before
}

// Create makes a regular file in a directory, with exactly this mode and
// owner, and opens it. Flags are those of Open and O_EXCL; without that, a
// regular file that exists already is opened. EPERM means that the host
// refuses the owner.
func (c *Client) Create(dir Node, name string, flags int, mode, uid, gid uint32) (Created, error) {
	o := Created{Opened: Opened{FD: -1}}
	if e := checkName(name); e != 0 {
		return o, e
	}
	s := c.begin()
	if s == nil {
		return o, unix.EIO
	}
	s.req.u64(uint64(dir))
	putString(&s.req, name)
	s.req.u32(uint32(flags &^ unix.O_CREAT))
	s.req.u32(mode)
	s.req.u32(uid)
	s.req.u32(gid)
	d, e := c.call(s, opCreate)
	if e == 0 {
		o.FD, e = c.donated(s)
		o.New = d.u32() != 0
		d.u32()
		node := Node(d.u64())
		if e == 0 {
			o.Node = node
			d.attr(&o.Attr)
			d.attr(&o.DirAttr)
		} else if e != unix.EIO {
			c.Release(node)
		}
	}
	return o, c.finishFD(s, &d, e, &o.FD)
}

// Tmpfile makes a regular file without a name in the file system of a directory,
// with exactly this mode and owner, and opens it for reading and writing. Flags are
// those of Open and O_EXCL, without which Link may give it a name (open(2),
// O_TMPFILE). EOPNOTSUPP if the file system has no such files.
func (c *Client) Tmpfile(dir Node, flags int, mode, uid, gid uint32) (Opened, error) {
	o := Opened{FD: -1}
	s := c.begin()
	if s == nil {
		return o, unix.EIO
	}
	s.req.u64(uint64(dir))
	s.req.u32(uint32(flags))
	s.req.u32(mode)
	s.req.u32(uid)
	s.req.u32(gid)
	d, e := c.call(s, opTmpfile)
	if e == 0 {
		o.FD, e = c.donated(s)
		node := Node(d.u64())
		if e == 0 {
			o.Node = node
			d.attr(&o.Attr)
		} else if e != unix.EIO {
			c.Release(node)
		}
	}
	return o, c.finishFD(s, &d, e, &o.FD)
}

// Connect returns a non-blocking socket of the given type (SOCK_STREAM,
// SOCK_DGRAM or SOCK_SEQPACKET) that is connected to the unix socket bound to
// the target. EACCES means that the tree does not allow it, EAGAIN that the
// listener's queue is full.
func (c *Client) Connect(t Target, typ int) (fd int, err error) {
	if e := t.check(); e != 0 {
		return -1, e
	}
	s := c.begin()
	if s == nil {
		return -1, unix.EIO
	}
	s.req.target(&t)
	s.req.u32(uint32(typ))
	fd = -1
	d, e := c.call(s, opConnect)
	if e == 0 {
		fd, e = c.donated(s)
	}
	return fd, c.finishFD(s, &d, e, &fd)
}
