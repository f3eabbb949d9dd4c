package gofer

import "golang.org/x/sys/unix"

// Getxattr reads an extended attribute into buf and returns its length; with
// an empty buf only the length. ERANGE means that buf is too small, ENODATA
// that there is no such attribute.
func (c *Client) Getxattr(t Target, name string, buf []byte) (int, error) {
	if e := checkXattr(&t, name); e != 0 {
		return 0, e
	}
	s := c.begin()
	if s == nil {
		return 0, unix.EIO
	}
	s.req.target(&t)
	s.req.u32(uint32(min(len(buf), maxXattr)))
	putString(&s.req, name)
	d, e := c.call(s, opGetxattr)
	return c.finishValue(s, d, e, buf)
}

// Listxattr reads the names of a file's extended attributes, each with a NUL,
// into buf and returns their length; with an empty buf only the length.
func (c *Client) Listxattr(t Target, buf []byte) (int, error) {
	if e := t.check(); e != 0 {
		return 0, e
	}
	s := c.begin()
	if s == nil {
		return 0, unix.EIO
	}
	s.req.target(&t)
	s.req.u32(uint32(min(len(buf), maxXattr)))
	d, e := c.call(s, opListxattr)
	return c.finishValue(s, d, e, buf)
}

func (c *Client) finishValue(s *slot, d decoder, e unix.Errno, buf []byte) (int, error) {
	n := 0
	if e == 0 {
		n = int(d.u32())
		if len(buf) > 0 {
			if n > len(buf) {
				d.bad = true
			} else {
				copy(buf, d.take(n))
			}
		} else if n > maxXattr {
			d.bad = true
		}
	}
	return n, c.finish(s, &d, e)
}

// Setxattr sets an extended attribute; flags are 0, XATTR_CREATE or
// XATTR_REPLACE (setxattr(2)).
func (c *Client) Setxattr(t Target, name string, value []byte, flags uint32) error {
	if e := checkXattr(&t, name); e != 0 {
		return e
	}
	if len(value) > maxXattr {
		return unix.E2BIG
	}
	s := c.begin()
	if s == nil {
		return unix.EIO
	}
	s.req.target(&t)
	s.req.u32(flags)
	s.req.u32(uint32(len(value)))
	s.req.bytes(value)
	putString(&s.req, name)
	d, e := c.call(s, opSetxattr)
	return c.finish(s, &d, e)
}

// Removexattr removes an extended attribute.
func (c *Client) Removexattr(t Target, name string) error {
	if e := checkXattr(&t, name); e != 0 {
		return e
	}
	s := c.begin()
	if s == nil {
		return unix.EIO
	}
	s.req.target(&t)
	putString(&s.req, name)
	d, e := c.call(s, opRemovexattr)
	return c.finish(s, &d, e)
}

func checkXattr(t *Target, name string) unix.Errno {
	if name == "" || len(name) > maxName {
		return unix.ERANGE // as the kernel has it
	}
	return t.check()
}
