// Package goferfs is the file system of a tree that a gofer serves. Names and
// attributes are asked of the gofer and cached; data goes straight between the
// application's memory and descriptors of host files, which the gofer donates.
//
// A tree that is the sandbox's own (the root file system) is asked for each thing
// once: when some names of a directory have been looked up, all are fetched. Of what is
// cached, the sentry's word counts, but for the times of files that were written to, for
// which the host is asked at the next stat. If others make, remove or rename files there,
// the gofer's watch of the directory tells, and those names are asked again. A tree that the host may change too is asked
// again at each use of a name.
//
// A node has a handle of its own, which keeps its file whatever happens to its names; or
// it is reached by a name in its directory, while node.mu keeps it from being renamed
// and removed.
//
// Locks: Inode.mu (the core's), then node.mu, an entry's before its directory's, then
// FS.mu, then the keeper's. The gofer is called with the first two held.
package goferfs

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// Options say how a tree is used.
type Options struct {
	// Type, Source, Root and Super (its options, "" for those of the tree) are what
	// mountinfo shows.
	Type, Source, Root, Super string
	// ReadOnly makes all changes fail.
	ReadOnly bool
	// Shared says that the host changes the tree too.
	Shared bool
	// IDs has for the owners of the host's files those that they have in this tree, as for an
	// idmapped mount (mount_setattr(2)); nil: the same.
	IDs *cred.UserNamespace
	// MaxOpen is how many host files are kept open that nobody uses.
	MaxOpen int64
}

// An FS is a mounted tree.
type FS struct {
	vfs.Superblock
	client *gofer.Client
	shared bool
	ids    *cred.UserNamespace // Options.IDs
	open   atomic.Int64        // host descriptors of nodes
	max    int64
	keeper keeper

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
	fs := &FS{client: client, shared: o.Shared, ids: o.IDs, max: o.MaxOpen, nodes: map[fileID]*node{}}
	fs.keeper.now = time.Now
	st, err := client.Statfs(root.Node)
	if err != nil {
		return nil, err
	}
	fs.Type, fs.Source, fs.RootPath, fs.Magic = o.Type, o.Source, o.Root, int64(st.Type)
	if o.Super != "" {
		fs.ShowOptions = func() string { return o.Super }
	}
	fs.Superblock.Init(v, fs)
	fs.SetReadOnly(o.ReadOnly || root.ReadOnly)
	n := fs.node(&root.Attr, nil, "")
	n.takeHandle(root.Node, root.Watch)
	fs.SetRoot(&n.Inode)
	return fs, nil
}

// Revalidate implements vfs.Revalidator.
func (fs *FS) Revalidate(_ *vfs.Context, dir *vfs.Inode, name string, child *vfs.Inode) bool {
	d := dir.Ops().(*node)
	if !fs.shared {
		return !d.suspect(name) || d.still(name, child)
	}
	h, err := d.anyHandle()
	if err != nil {
		return false
	}
	a, err := fs.client.Getattr(gofer.Target{Node: h, Name: name})
	if err != nil {
		return child == nil && err == unix.ENOENT
	}
	if child == nil {
		return false
	}
	n := child.Ops().(*node)
	if !n.is(&a) {
		return false
	}
	n.update(&a)
	return true
}

// node returns the node of a file with a reference: the one there is, or a new one,
// which is reached by name in dir until it has a handle.
func (fs *FS) node(a *gofer.Attr, dir *node, name string) *node {
	id := idOf(a)
	fs.mu.Lock()
	if n := fs.nodes[id]; n != nil && n.is(a) {
		n.IncRef()
		fs.mu.Unlock()
		if fs.shared {
			n.update(a)
		}
		return n
	}
	n := &node{fs: fs, id: id, dir: dir, name: name}
	n.fd.read, n.fd.write = -1, -1
	if dir != nil {
		dir.IncRef()
	}
	uid, gid := fs.owner(a.UID, a.GID)
	n.Inode.Init(&fs.Superblock, n, a.Ino, a.Mode, uid, gid)
	n.SetRdev(vfs.MakeDev(a.RdevMajor, a.RdevMinor))
	n.SetBtime(nanoseconds(a.Btime))
	n.update(a)
	fs.nodes[id] = n
	fs.mu.Unlock()
	return n
}

// forget makes sure that n, whose last name has gone, is not taken for a new file that
// gets its number.
func (fs *FS) forget(n *node) {
	fs.mu.Lock()
	if fs.nodes[n.id] == n {
		delete(fs.nodes, n.id)
	}
	fs.mu.Unlock()
}

// again reports whether a call that gave err is worth another try, now that what is
// cached and not in use has been given back: the gofer, or the sentry, is at its limit
// of descriptors.
func (fs *FS) again(err error, tried *bool) bool {
	if *tried || err != unix.EMFILE && err != unix.ENFILE {
		return false
	}
	*tried = true
	fs.DropUnused()
	fs.closeIdle()
	fs.client.Flush()
	return true
}

// closeIdle closes the host's descriptors that no open file needs. The caller may hold
// locks of nodes, so those that are locked are passed over.
func (fs *FS) closeIdle() {
	var all []*node
	fs.mu.Lock()
	for _, n := range fs.nodes {
		n.IncRef()
		all = append(all, n)
	}
	fs.mu.Unlock()
	for _, n := range all {
		if n.mu.TryLock() {
			if n.opens == 0 && !n.maps.Mapped() {
				n.closeFiles()
			}
			n.mu.Unlock()
		}
		n.DecRef()
	}
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
