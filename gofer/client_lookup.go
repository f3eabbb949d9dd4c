package gofer

import "golang.org/x/sys/unix"

// Target names the file that a call is about: the node itself if Name is
// empty, else the entry Name of the directory Node, never followed if it is a
// symbolic link.
type Target struct {
	Node Node
	Name string
}

// At returns the target that is the node itself.
func (n Node) At() Target { return Target{Node: n} }

// check returns the error that the server would give for the name.
func (t *Target) check() unix.Errno {
	if t.Name == "" {
		return 0
	}
	return checkName(t.Name)
}

func checkName(s string) unix.Errno {
	switch {
	case s == "":
		return unix.ENOENT
	case len(s) > maxName:
		return unix.ENAMETOOLONG
	case !validName(s):
		return unix.EINVAL
	}
	return 0
}

func (e *encoder) target(t *Target) {
	e.u64(uint64(t.Node))
	putString(e, t.Name)
}

// Root is what Attach returns.
type Root struct {
	Node     Node
	Attr     Attr // of a directory, or of the file that the tree is
	Watch    WatchID
	ReadOnly bool // changes fail with EROFS
	Shared   bool // others change the tree meanwhile
	Connect  bool // Connect is allowed
}

// Attach returns the root of tree i; ENOENT if there is no such tree.
func (c *Client) Attach(i int) (Root, error) {
	if i < 0 || i >= c.trees {
		return Root{}, unix.ENOENT
	}
	s := c.begin()
	if s == nil {
		return Root{}, unix.EIO
	}
	s.req.u32(uint32(i))
	d, e := c.call(s, opAttach)
	var r Root
	if e == 0 {
		r.Node = Node(d.u64())
		flags := d.u32()
		d.u32()
		r.Watch = d.attr(&r.Attr)
		r.ReadOnly = flags&treeReadOnly != 0
		r.Shared = flags&treeShared != 0
		r.Connect = flags&treeConnect != 0
	}
	return r, c.finish(s, &d, e)
}

// Entry is a file that a walk has come to.
type Entry struct {
	Node  Node // 0 if the file is not a directory and no handle was asked for
	Attr  Attr
	Watch WatchID // of a directory
}

// Stop says why a walk ended.
type Stop uint16

// The reasons why a walk ends. After StopSymlink and StopNotDir the last entry
// is the file that it ended at; a symbolic link ends a walk wherever it stands.
const (
	StopNone    Stop = stopNone    // every name was found
	StopMissing Stop = stopMissing // the name after the last entry does not exist
	StopSymlink Stop = stopSymlink // the last entry is a symbolic link
	StopNotDir  Stop = stopNotDir  // more names follow one that is no directory
	StopError   Stop = stopError   // the name after the last entry gave an error
)

// MaxWalk is how many names one Walk takes.
const MaxWalk = maxWalk

// Walk looks names up one after the other, beginning in dir, without following
// symbolic links, and stores what it finds in out, which must be as long as
// names. It returns how many entries it stored and why it ended; link is the
// target of the symbolic link if it ended at one. The error is that of the name
// after the last entry when stop is StopError, or that of the whole call, when
// n is 0 and stop is StopError too.
//
// Directories come with a node, which the caller releases. Others do if they
// are the last name and handles is set; without, they cost the server no
// descriptor, and can be reached by a Target that names them.
func (c *Client) Walk(dir Node, names []string, handles bool, out []Entry) (n int, stop Stop, link string, err error) {
	if len(names) == 0 || len(names) > maxWalk || len(out) < len(names) {
		return 0, StopError, "", unix.EINVAL
	}
	for _, name := range names {
		if e := checkName(name); e != 0 {
			return 0, StopError, "", e
		}
	}
	s := c.begin()
	if s == nil {
		return 0, StopError, "", unix.EIO
	}
	s.req.u64(uint64(dir))
	var flags uint16
	if handles {
		flags = walkHandles
	}
	s.req.u16(flags)
	s.req.u16(uint16(len(names)))
	for _, name := range names {
		putString(&s.req, name)
	}
	d, e := c.call(s, opWalk)
	if e != 0 {
		return 0, StopError, "", c.finish(s, &d, e)
	}
	stop = Stop(d.u16())
	n = int(d.u16())
	inner := unix.Errno(d.u32())
	if n > len(names) || stop > StopError || (stop == StopError) != (inner != 0) || inner > maxErrno ||
		stop == StopNone && n != len(names) || n == 0 && (stop == StopSymlink || stop == StopNotDir) {
		d.bad = true
	} else {
		for i := range n {
			out[i].Node = Node(d.u64())
			out[i].Watch = d.attr(&out[i].Attr)
		}
		if stop == StopSymlink {
			if p := d.str(maxLink); p != nil {
				link = string(p[:len(p)-1])
			}
		}
	}
	if err := c.finish(s, &d, 0); err != nil {
		return 0, StopError, "", err
	}
	if inner != 0 {
		return n, stop, "", inner
	}
	return n, stop, link, nil
}

// Getattr returns the attributes of a file.
func (c *Client) Getattr(t Target) (a Attr, err error) {
	if e := t.check(); e != 0 {
		return a, e
	}
	s := c.begin()
	if s == nil {
		return a, unix.EIO
	}
	s.req.u16(1)
	s.req.target(&t)
	d, e := c.call(s, opGetattr)
	var inner unix.Errno
	if e == 0 {
		inner = unix.Errno(d.u32())
		d.attr(&a)
	}
	if err := c.finish(s, &d, e); err != nil {
		return a, err
	}
	if inner != 0 {
		return a, inner
	}
	return a, nil
}

// AttrResult is the answer about one target of GetattrBatch.
type AttrResult struct {
	Attr  Attr
	Errno unix.Errno // 0 if Attr holds
}

// MaxGetattr is how many targets one GetattrBatch takes.
const MaxGetattr = maxGetattr

// GetattrBatch asks for the attributes of many files at once and stores them
// in out, which must be as long as targets. The error is that of the whole
// call.
func (c *Client) GetattrBatch(targets []Target, out []AttrResult) error {
	if len(targets) > maxGetattr || len(out) < len(targets) {
		return unix.EINVAL
	}
	for i := range targets {
		if e := targets[i].check(); e != 0 {
			return e
		}
	}
	s := c.begin()
	if s == nil {
		return unix.EIO
	}
	s.req.u16(uint16(len(targets)))
	for i := range targets {
		s.req.target(&targets[i])
	}
	d, e := c.call(s, opGetattr)
	if e == 0 {
		for i := range targets {
			out[i].Errno = unix.Errno(d.u32())
			d.attr(&out[i].Attr)
		}
	}
	return c.finish(s, &d, e)
}

// Dirent is an entry of a directory.
type Dirent struct {
	Name   string
	Ino    uint64 // as the directory has it; a mount point's Attr.Ino differs
	Cookie uint64 // where reading goes on after this entry
	Type   uint8  // unix.DT_REG and so on; DT_UNKNOWN if only Attr can tell
	NoAttr bool   // the attributes could not be read
	Attr   Attr
}

// Readdir appends to out the entries of a directory, with their attributes,
// that follow the one that cookie stands for (0: from the start), as many as
// fit a message of at most max bytes (at least about 4 KiB, at most about 128
// KiB). "." and ".." are left out. next is the cookie to go on with; end says
// that there are no more.
func (c *Client) Readdir(dir Node, cookie uint64, max int, out []Dirent) (ents []Dirent, next uint64, end bool, err error) {
	s := c.begin()
	if s == nil {
		return out, cookie, false, unix.EIO
	}
	s.req.u64(uint64(dir))
	s.req.u64(cookie)
	s.req.u32(uint32(min(uint(max), replyArea)))
	d, e := c.call(s, opReaddir)
	ents, next = out, cookie
	if e == 0 {
		next = d.u64()
		end = d.u32() != 0
		for n := d.u32(); n > 0 && !d.bad; n-- {
			var t Dirent
			t.Ino = d.u64()
			t.Cookie = d.u64()
			t.Type = d.u8()
			t.NoAttr = d.u8() == 0
			d.attr(&t.Attr)
			if p := d.name(); p != nil {
				t.Name = string(p[:len(p)-1])
				ents = append(ents, t)
			}
		}
	}
	if err := c.finish(s, &d, e); err != nil {
		return out, cookie, false, err
	}
	return ents, next, end, nil
}

// Readlink returns the target of a symbolic link.
func (c *Client) Readlink(t Target) (string, error) {
	if e := t.check(); e != 0 {
		return "", e
	}
	s := c.begin()
	if s == nil {
		return "", unix.EIO
	}
	s.req.target(&t)
	d, e := c.call(s, opReadlink)
	var link string
	if e == 0 {
		if p := d.str(maxLink); p != nil {
			link = string(p[:len(p)-1])
		}
	}
	return link, c.finish(s, &d, e)
}

// Statfs holds what statfs(2) says of a file system.
type Statfs struct {
	Type, Bsize            uint64
	Blocks, Bfree, Bavail  uint64
	Files, Ffree           uint64
	Namelen, Frsize, Flags uint64
}

// Statfs returns the state of the file system that a node is on.
func (c *Client) Statfs(n Node) (st Statfs, err error) {
	s := c.begin()
	if s == nil {
		return st, unix.EIO
	}
	s.req.u64(uint64(n))
	d, e := c.call(s, opStatfs)
	if e == 0 {
		for _, p := range [...]*uint64{&st.Type, &st.Bsize, &st.Blocks, &st.Bfree, &st.Bavail,
			&st.Files, &st.Ffree, &st.Namelen, &st.Frsize, &st.Flags} {
			*p = d.u64()
		}
	}
	return st, c.finish(s, &d, e)
}
