package goferfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/vfs"
)

// A node is a file, directory or whatever else of the tree.
type node struct {
	vfs.Inode
	fs     *FS
	id     fileID
	blocks atomic.Uint64 // of 512 bytes
	stale  atomic.Bool   // the host knows the times and blocks better

	maps   vfs.Mappings
	mapped atomic.Uint64 // how often it has been mapped writable
	kept   *kept         // guarded by FS.keeper

	mu     sync.Mutex
	handle gofer.Node // 0: reached by dir and name
	dir    *node      // with a reference; nil for the root and what has been removed
	name   string
	fd     struct{ read, write int } // host descriptors, -1 for none; write can read too if both are equal
	opens  int                       // open files
	link   string                    // target of a symbolic link, "" if not read yet

	// list has a directory's names; it is guarded by Inode.mu, held for writing or
	// together with listMu.
	list   listing
	listMu sync.Mutex

	watch atomic.Pointer[dirWatch] // nil: a directory that is not watched, or none
}

// target is how the gofer is told of n. n.mu is held, until the gofer has answered.
func (n *node) target() (gofer.Target, error) {
	if n.handle != 0 {
		return n.handle.At(), nil
	}
	if n.dir == nil {
		return gofer.Target{}, unix.ESTALE
	}
	h, err := n.dir.anyHandle()
	return gofer.Target{Node: h, Name: n.name}, err
}

// anyHandle returns n's own handle, which it gets if it has none yet.
func (n *node) anyHandle() (gofer.Node, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ownHandle()
}

// ownHandle is anyHandle with n.mu held. A directory's mu is taken after its
// entries'.
func (n *node) ownHandle() (gofer.Node, error) {
	if n.handle != 0 {
		return n.handle, nil
	}
	if n.dir == nil {
		return 0, unix.ESTALE
	}
	h, err := n.dir.anyHandle()
	if err != nil {
		return 0, err
	}
	var out [1]gofer.Entry
	var found int
	for tried := false; ; {
		found, _, _, err = n.fs.client.Walk(h, []string{n.name}, true, out[:])
		if !n.fs.again(err, &tried) {
			break
		}
	}
	if found == 0 {
		if err == nil {
			err = unix.ESTALE
		}
		return 0, err
	}
	if !n.is(&out[0].Attr) {
		if out[0].Node != 0 {
			n.fs.client.Release(out[0].Node)
		}
		return 0, unix.ESTALE
	}
	if out[0].Node == 0 {
		return 0, unix.EIO
	}
	n.handle = out[0].Node
	n.observe(out[0].Watch)
	return n.handle, nil
}

// is reports whether a is of the file that n is. Where the host removes files too, a
// number alone does not say that.
func (n *node) is(a *gofer.Attr) bool {
	return n.id == idOf(a) && n.Type() == a.Mode&unix.S_IFMT && (!n.fs.shared || n.Btime() == nanoseconds(a.Btime))
}

// detach makes n, whose name in dir has been removed, not be looked for there. It returns
// what the caller gives back when n.mu, which is held, is not any more.
func (n *node) detach(dir *node, name string) *node {
	if n.dir != dir || n.name != name {
		return nil // it has this other name
	}
	n.dir, n.name = nil, ""
	return dir
}

// Readlink implements vfs.InodeOps.
func (n *node) Readlink(*vfs.Context) (string, error) {
	if !n.IsSymlink() {
		return "", unix.EINVAL
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.link != "" && !n.fs.shared {
		return n.link, nil
	}
	t, err := n.target()
	if err != nil {
		return "", err
	}
	n.link, err = n.fs.client.Readlink(t)
	return n.link, err
}

// Evict implements vfs.InodeOps.
func (n *node) Evict() {
	n.fs.mu.Lock()
	if n.Refs() != 0 {
		n.fs.mu.Unlock()
		return
	}
	if n.fs.nodes[n.id] == n {
		delete(n.fs.nodes, n.id)
	}
	n.fs.mu.Unlock()
	n.unobserve()
	n.fs.keeper.drop(n)
	n.mu.Lock()
	n.closeFiles()
	handle, dir := n.handle, n.dir
	n.handle, n.dir = 0, nil
	n.mu.Unlock()
	if handle != 0 {
		n.fs.client.Release(handle)
	}
	if dir != nil {
		dir.DecRef()
	}
}
