package overlay

import (
	"sync"
	"sync/atomic"

	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// A node is an object of the union.
type node struct {
	vfs.Inode
	fs *FS

	// upper is the object in the upper layer; once there is one it stays.
	upper atomic.Pointer[vfs.Inode]
	// lower is what is below: for a directory all that are merged, else at most
	// one. It does not change.
	lower []lowerDir

	mu sync.Mutex // serialises copy-up, and guards what follows
	// parent and name say where the node is, for copying up. The parent is held.
	// nil if it has no name any more.
	parent *node
	name   string
	// mapped is the layer's file behind mappings.
	mapped layerMapping

	maps vfs.Mappings
}

// top returns the object that the node shows, and its layer.
func (n *node) top() (*vfs.Inode, int) {
	if u := n.upper.Load(); u != nil {
		return u, 0
	}
	return n.lower[0].inode, n.lower[0].layer
}

// newNode returns the node of the given objects, whose references it takes over.
// There may be one already.
func (fs *FS) newNode(ctx *vfs.Context, parent *node, name string, upper *vfs.Inode, lower []lowerDir) (*node, error) {
	n := &node{fs: fs, lower: lower}
	top := upper
	layer := 0
	if upper == nil {
		top, layer = lower[0].inode, lower[0].layer
	}
	if old := fs.find(top); old != nil {
		drop(upper, lower)
		old.mu.Lock()
		if !old.IsDir() && parent != nil {
			old.place(parent, name)
		}
		old.mu.Unlock()
		return old, nil
	}
	var st unix.Statx_t
	if err := top.Ops().Getattr(ctx, unix.STATX_BASIC_STATS, 0, &st); err != nil {
		drop(upper, lower)
		return nil, err
	}
	n.upper.Store(upper)
	// A merged directory has the number of the lowest layer's, which does not
	// change by copying up.
	if len(lower) > 0 {
		l := lower[len(lower)-1]
		top, layer = l.inode, l.layer
	}
	n.Init(&fs.sb, n, fs.ino(layer, top), uint32(st.Mode), credUID(st.Uid), credGID(st.Gid))
	if dev := vfs.MakeDev(st.Rdev_major, st.Rdev_minor); dev != nestedWhiteout || n.Type() != unix.S_IFCHR {
		n.SetRdev(dev)
	}
	n.SetNlink(st.Nlink)
	n.SetSize(int64(st.Size))
	n.SetTimes(nanoseconds(st.Atime), nanoseconds(st.Mtime), nanoseconds(st.Ctime))
	if parent != nil {
		n.place(parent, name)
	}
	return fs.enter(n), nil
}

// enter makes n findable, unless there is another for the same object by now. It
// returns the one that counts.
func (fs *FS) enter(n *node) *node {
	fs.mu.Lock()
	top, _ := n.top()
	if old := fs.nodes[top]; old != nil {
		old.IncRef()
		fs.mu.Unlock()
		n.DecRef()
		return old
	}
	if u := n.upper.Load(); u != nil {
		fs.nodes[u] = n
	}
	if len(n.lower) > 0 && !n.IsDir() {
		fs.nodes[n.lower[0].inode] = n
	} else if len(n.lower) > 0 && n.upper.Load() == nil {
		fs.nodes[n.lower[0].inode] = n
	}
	fs.mu.Unlock()
	return n
}

// find returns the node that stands for an object of a layer, with a reference.
func (fs *FS) find(in *vfs.Inode) *node {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.nodes[in]
	if n != nil {
		n.IncRef()
	}
	return n
}

func drop(upper *vfs.Inode, lower []lowerDir) {
	if upper != nil {
		upper.DecRef()
	}
	for _, l := range lower {
		l.inode.DecRef()
	}
}

// place notes where n is. n.mu is held, or n is new.
func (n *node) place(parent *node, name string) {
	parent.IncRef()
	old := n.parent
	n.parent, n.name = parent, name
	if old != nil {
		old.DecRef()
	}
}

// setPlace is place with the lock.
func (n *node) setPlace(parent *node, name string) {
	n.mu.Lock()
	n.place(parent, name)
	n.mu.Unlock()
}

// Evict implements vfs.InodeOps.
func (n *node) Evict() {
	fs := n.fs
	fs.mu.Lock()
	if n.Refs() > 0 {
		fs.mu.Unlock()
		return
	}
	u := n.upper.Load()
	if u != nil && fs.nodes[u] == n {
		delete(fs.nodes, u)
	}
	for _, l := range n.lower {
		if fs.nodes[l.inode] == n {
			delete(fs.nodes, l.inode)
		}
	}
	parent := n.parent
	n.parent = nil
	fs.mu.Unlock()
	n.mapped.release(n)
	drop(u, n.lower)
	if parent != nil {
		parent.DecRef()
	}
}

// Getattr implements vfs.InodeOps.
func (n *node) Getattr(ctx *vfs.Context, mask, sync uint32, st *unix.Statx_t) error {
	top, _ := n.top()
	if err := top.Ops().Getattr(ctx, mask, sync, st); err != nil {
		return err
	}
	st.Ino = n.Ino()
	st.Rdev_major, st.Rdev_minor = n.Rdev().Major(), n.Rdev().Minor()
	st.Dev_major, st.Dev_minor = n.fs.sb.Dev.Major(), n.fs.sb.Dev.Minor()
	if !n.IsDir() {
		st.Nlink = n.Nlink()
	}
	return nil
}

// Setattr implements vfs.InodeOps.
func (n *node) Setattr(ctx *vfs.Context, a *vfs.SetAttr) error {
	u, err := n.copyUp(ctx)
	if err != nil {
		return err
	}
	u.Lock()
	err = u.Ops().Setattr(ctx, a)
	u.Unlock()
	if err != nil {
		return err
	}
	n.ApplyAttr(a)
	if a.Mask&vfs.AttrSize != 0 {
		n.SetSize(a.Size)
	}
	return nil
}

// Readlink implements vfs.InodeOps.
func (n *node) Readlink(ctx *vfs.Context) (string, error) {
	top, _ := n.top()
	return top.Ops().Readlink(ctx)
}

// Getxattr implements vfs.InodeOps.
func (n *node) Getxattr(ctx *vfs.Context, name string) ([]byte, error) {
	if private(name) {
		return nil, unix.ENODATA
	}
	top, _ := n.top()
	return top.Ops().Getxattr(ctx, name)
}

// Setxattr implements vfs.InodeOps.
func (n *node) Setxattr(ctx *vfs.Context, name string, value []byte, flags int) error {
	if private(name) {
		return unix.EPERM
	}
	u, err := n.copyUp(ctx)
	if err != nil {
		return err
	}
	u.Lock()
	defer u.Unlock()
	return u.Ops().Setxattr(ctx, name, value, flags)
}

// Listxattr implements vfs.InodeOps.
func (n *node) Listxattr(ctx *vfs.Context) ([]string, error) {
	top, _ := n.top()
	names, err := top.Ops().Listxattr(ctx)
	var seen []string
	for _, s := range names {
		if !private(s) {
			seen = append(seen, s)
		}
	}
	return seen, err
}

// Removexattr implements vfs.InodeOps.
func (n *node) Removexattr(ctx *vfs.Context, name string) error {
	if _, err := n.Getxattr(ctx, name); err != nil {
		return err
	}
	u, err := n.copyUp(ctx)
	if err != nil {
		return err
	}
	u.Lock()
	defer u.Unlock()
	return u.Ops().Removexattr(ctx, name)
}
