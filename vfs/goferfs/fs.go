// Package goferfs is the file system of a tree that a gofer serves. Names and
// attributes are asked of the gofer and cached; data goes straight between the
// application's memory and descriptors of host files, which the gofer donates.
//
// A tree that nobody else changes (the root file system) is asked for each thing
// once: the first name that is looked up in a directory brings all of it. A tree that
// the host may change too is asked again at each use of a name.
//
// Locks: Inode.mu (the core's), then node.mu, then FS.mu. The gofer is called with the
// first of them held only, but for node.open, which holds node.mu as well.
package goferfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// Options say how a tree is used.
type Options struct {
	// Type and Source are what mountinfo shows.
	Type, Source string
	// ReadOnly makes all changes fail.
	ReadOnly bool
	// Shared says that the host changes the tree too.
	Shared bool
	// MaxOpen is how many host files are kept open that nobody uses.
	MaxOpen int64
}

// An FS is a mounted tree.
type FS struct {
	vfs.Superblock
	client *gofer.Client
	shared bool
	open   atomic.Int64 // host descriptors of nodes
	max    int64

	mu    sync.Mutex
	nodes map[fileID]*node
}

// A fileID says which file of the host a node is.
type fileID struct {
	major, minor uint32
	ino          uint64
}

func idOf(a *gofer.Attr) fileID { return fileID{a.DevMajor, a.DevMinor, a.Ino} }

// New mounts tree number tree of the gofer.
func New(v *vfs.VFS, client *gofer.Client, tree int, o Options) (*FS, error) {
	root, err := client.Attach(tree)
	if err != nil {
		return nil, err
	}
	fs := &FS{client: client, shared: o.Shared, max: o.MaxOpen, nodes: map[fileID]*node{}}
	st, err := client.Statfs(root.Node)
	if err != nil {
		return nil, err
	}
	fs.Type, fs.Source, fs.Magic = o.Type, o.Source, int64(st.Type)
	fs.Superblock.Init(v, fs.ops())
	fs.SetReadOnly(o.ReadOnly || root.ReadOnly)
	n := fs.node(&root.Attr, nil, "")
	n.handle = root.Node
	fs.SetRoot(&n.Inode)
	return fs, nil
}

// revalidated is an FS whose names the core asks about at each use.
type revalidated struct{ *FS }

func (fs *FS) ops() vfs.SuperblockOps {
	if fs.shared {
		return revalidated{fs}
	}
	return fs
}

// Revalidate implements vfs.Revalidator.
func (fs revalidated) Revalidate(_ *vfs.Context, dir *vfs.Inode, name string, child *vfs.Inode) bool {
	d := dir.Ops().(*node)
	h, err := d.dirHandle()
	if err != nil {
		return false
	}
	var out [1]gofer.Entry
	found, stop, _, _ := fs.client.Walk(h, []string{name}, false, out[:])
	if found == 0 {
		return child == nil && stop != gofer.StopError
	}
	e := &out[0]
	same := false
	if child != nil {
		n := child.Ops().(*node)
		if same = n.id == idOf(&e.Attr) && child.Type() == e.Attr.Mode&unix.S_IFMT; same {
			n.update(&e.Attr)
		}
	}
	if e.Node != 0 {
		fs.client.Release(e.Node)
	}
	return same
}

// node returns the node of a file with a reference: the one there is, or a new one,
// which is reached by name in dir until it has a handle.
func (fs *FS) node(a *gofer.Attr, dir *node, name string) *node {
	id := idOf(a)
	fs.mu.Lock()
	if n := fs.nodes[id]; n != nil && n.Type() == a.Mode&unix.S_IFMT {
		n.IncRef()
		fs.mu.Unlock()
		n.update(a)
		return n
	}
	n := &node{fs: fs, id: id, dir: dir, name: name}
	n.fd.read, n.fd.write = -1, -1
	if dir != nil {
		dir.IncRef()
	}
	n.Inode.Init(&fs.Superblock, n, a.Ino, a.Mode, cred.UID(a.UID), cred.GID(a.GID))
	n.SetRdev(vfs.MakeDev(a.RdevMajor, a.RdevMinor))
	n.SetBtime(nanoseconds(a.Btime))
	n.update(a)
	fs.nodes[id] = n
	fs.mu.Unlock()
	return n
}

// Statfs implements vfs.SuperblockOps.
func (fs *FS) Statfs(_ *vfs.Context, st *unix.Statfs_t) error {
	h, err := fs.Root().Inode().Ops().(*node).anyHandle()
	if err != nil {
		return err
	}
	s, err := fs.client.Statfs(h)
	if err != nil {
		return err
	}
	*st = unix.Statfs_t{
		Type: int64(s.Type), Bsize: int64(s.Bsize), Frsize: int64(s.Frsize), Namelen: int64(s.Namelen),
		Blocks: s.Blocks, Bfree: s.Bfree, Bavail: s.Bavail, Files: s.Files, Ffree: s.Ffree,
	}
	return nil
}

// Sync implements vfs.SuperblockOps.
func (fs *FS) Sync(*vfs.Context) error {
	n := fs.Root().Inode().Ops().(*node)
	if !n.IsDir() && !n.IsRegular() {
		return nil
	}
	h, err := n.anyHandle()
	if err != nil {
		return err
	}
	return fs.client.Syncfs(h)
}

// Remount implements vfs.SuperblockOps.
func (fs *FS) Remount(_ *vfs.Context, _ uint32, data string) error {
	if data != "" {
		return unix.EINVAL
	}
	return nil
}

// Release implements vfs.SuperblockOps. The connection may serve other trees.
func (fs *FS) Release() {}

func nanoseconds(t gofer.Timestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }

func timestamp(ns int64) gofer.Timestamp {
	sec, rem := ns/1e9, ns%1e9
	if rem < 0 {
		sec, rem = sec-1, rem+1e9
	}
	return gofer.Timestamp{Sec: sec, Nsec: uint32(rem)}
}
