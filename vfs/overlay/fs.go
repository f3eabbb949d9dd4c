// Package overlay is the union file system: what is written goes to an upper
// layer, over lower layers that stay as they are (Linux's
// filesystems/overlayfs).
//
// A node stands for a file or directory of the union. It has the object of the
// upper layer once there is one, and what is below. An object of a lower layer is
// copied up before it is changed for the first time. What is removed from a lower
// layer is covered by a whiteout, a character device 0:0 in the upper layer.
// Unlike Linux's, the upper layer belongs to the mount alone, so that hard links
// stay together, renamed directories keep what is below them, and files and
// mappings that were open before a copy-up go on with the copy.
//
// Layers are used by their InodeOps, with their inodes' locks, and without
// permission checks: the union's own have been made.
//
// Locking order: Inode.mu of nodes as in package vfs; node.mu of a child before
// that of its parent; then the layers' Inode.mu, then FS.mu.
package overlay

import (
	"sync"

	"casemate/vfs"
	"casemate/vfs/cred"

	"golang.org/x/sys/unix"
)

const (
	superMagic = 0x794c7630 // OVERLAYFS_SUPER_MAGIC
	opaque     = "trusted.overlay.opaque"
	// layerShift is where an inode number says from which layer it is.
	layerShift = 48
)

// A Layer is a directory that becomes a layer.
type Layer struct {
	// Superblock is its file system, Root the directory, whose reference the
	// overlay takes over.
	Superblock *vfs.Superblock
	Root       *vfs.Inode
}

// Whole returns the layer of a whole file system.
func Whole(sb *vfs.Superblock) Layer {
	root := sb.Root().Inode()
	root.IncRef()
	return Layer{sb, root}
}

// Options say what is mounted.
type Options struct {
	// Upper is where changes go; without one the union is read-only.
	Upper *Layer
	// Lower has the layers below, the topmost first.
	Lower []Layer
	// Source is for mountinfo, and Show what it shows as options.
	Source, Show string
}

// An FS is one instance.
type FS struct {
	sb     vfs.Superblock
	layers []layer // the upper one first, if there is one
	upper  bool
	show   string

	mu sync.Mutex
	// nodes finds the node that stands for an object of a layer.
	nodes map[*vfs.Inode]*node
	// below has, for directories of the upper layer that the union has made,
	// what is below them.
	below map[*vfs.Inode][]lowerDir
	// kept are nodes that stay because a lower object of several names was copied
	// up.
	kept []*node
}

// A layer is a layer in use.
type layer struct {
	Layer
	mount *vfs.Mount
}

// A lowerDir is a directory of a lower layer.
type lowerDir struct {
	layer int
	inode *vfs.Inode
}

// New returns an instance. EINVAL if there is nothing to unite.
func New(v *vfs.VFS, o Options) (*FS, error) {
	if len(o.Lower) == 0 {
		return nil, unix.EINVAL
	}
	fs := &FS{show: o.Show, nodes: make(map[*vfs.Inode]*node), below: make(map[*vfs.Inode][]lowerDir)}
	fs.sb.Type, fs.sb.Source, fs.sb.Magic = "overlay", o.Source, superMagic
	if o.Source == "" {
		fs.sb.Source = "overlay"
	}
	fs.sb.MaxSize = 1<<63 - 1
	fs.sb.ShowOptions = fs.showOptions
	fs.sb.Init(v, fs)
	if o.Upper != nil {
		fs.upper = true
		fs.layers = append(fs.layers, layer{*o.Upper, v.NewKernelMount(o.Upper.Superblock)})
	} else {
		fs.sb.SetReadOnly(true)
	}
	for _, l := range o.Lower {
		fs.layers = append(fs.layers, layer{l, v.NewKernelMount(l.Superblock)})
	}
	root, err := fs.newRoot(&vfs.Context{Cred: cred.NewRoot(v.UserNS), FileSizeLimit: unix.RLIM_INFINITY})
	if err != nil {
		return nil, err
	}
	fs.sb.SetRoot(&root.Inode)
	return fs, nil
}

func (fs *FS) newRoot(ctx *vfs.Context) (*node, error) {
	var upper *vfs.Inode
	lowers := fs.layers
	first := 0
	if fs.upper {
		upper = fs.layers[0].Root
		lowers = lowers[1:]
		first = 1
	}
	var below []lowerDir
	for i, l := range lowers {
		below = append(below, lowerDir{first + i, l.Root})
	}
	return fs.newNode(ctx, nil, "", upper, below)
}

// Superblock is the instance as the core sees it.
func (fs *FS) Superblock() *vfs.Superblock { return &fs.sb }

func (fs *FS) showOptions() string {
	s := "rw"
	if fs.sb.ReadOnly() {
		s = "ro"
	}
	if fs.show != "" {
		s += "," + fs.show
	}
	return s
}

// Statfs implements vfs.SuperblockOps: the upper layer's, or the topmost one's.
func (fs *FS) Statfs(ctx *vfs.Context, st *unix.Statfs_t) error {
	err := fs.layers[0].Superblock.Ops().Statfs(ctx, st)
	st.Type = superMagic
	return err
}

// Sync implements vfs.SuperblockOps.
func (fs *FS) Sync(ctx *vfs.Context) error {
	if !fs.upper {
		return nil
	}
	return fs.layers[0].Superblock.Ops().Sync(ctx)
}

// Remount implements vfs.SuperblockOps.
func (fs *FS) Remount(_ *vfs.Context, flags uint32, _ string) error {
	if !fs.upper && flags&unix.MS_RDONLY == 0 {
		return unix.EROFS
	}
	return nil
}

// Release implements vfs.SuperblockOps.
func (fs *FS) Release() {
	for _, n := range fs.kept {
		n.DecRef()
	}
	fs.kept = nil
	for _, list := range fs.below {
		for _, l := range list {
			l.inode.DecRef()
		}
	}
	fs.below = nil
	for _, l := range fs.layers {
		l.mount.DecRef()
	}
}

// ino is the inode number of an object of a layer in the union.
func (fs *FS) ino(layer int, in *vfs.Inode) uint64 { return fs.inoOf(layer, in.Ino()) }

func (fs *FS) inoOf(layer int, ino uint64) uint64 {
	if fs.upper && layer == 0 {
		layer = len(fs.layers)
	} else if fs.upper {
		layer--
	}
	return ino ^ uint64(layer)<<layerShift
}

// nestedWhiteout stands in the upper layer for a device 0:0 of the union.
var nestedWhiteout = vfs.MakeDev(0, 1)

// isWhiteout reports whether an object of a layer says that there is none.
func isWhiteout(in *vfs.Inode) bool { return in.Type() == unix.S_IFCHR && in.Rdev() == 0 }

// lookup looks name up in a directory of a layer. nil without an error says that there is
// nothing. The object has a reference.
func lookup(ctx *vfs.Context, dir *vfs.Inode, name string) (*vfs.Inode, error) {
	dir.Lock()
	defer dir.Unlock()
	in, err := dir.Ops().Lookup(ctx, name)
	if err == unix.ENOENT {
		return nil, nil
	}
	return in, err
}

// isOpaque reports whether a directory of a layer hides what is below it.
func isOpaque(ctx *vfs.Context, dir *vfs.Inode) bool {
	v, err := dir.Ops().Getxattr(ctx, opaque)
	return err == nil && string(v) == "y"
}
