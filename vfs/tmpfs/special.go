package tmpfs

import "casemate/vfs"

// A symlink is a symbolic link.
type symlink struct {
	node
	vfs.NotDirectory
	vfs.NoOpen
	target string
}

// Readlink implements vfs.InodeOps.
func (s *symlink) Readlink(*vfs.Context) (string, error) { return s.target, nil }

// Evict implements vfs.InodeOps.
func (s *symlink) Evict() { s.fs.evicted(&s.node) }

// A special is a FIFO, socket or device.
type special struct {
	node
	vfs.NotDirectory
	vfs.NotSymlink
	vfs.NoOpen
}

// Evict implements vfs.InodeOps.
func (s *special) Evict() { s.fs.evicted(&s.node) }

// evicted accounts for an object that has no name and no user any more.
func (fs *FS) evicted(n *node) {
	if n.Nlink() == 0 {
		fs.inodes.Add(^uint64(0))
	}
}
