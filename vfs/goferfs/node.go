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
	stale  atomic.Bool   // written to since blocks was read

	maps vfs.Mappings

	mu     sync.Mutex
	handle gofer.Node // 0: reached by dir and name
	dir    *node      // with a reference; nil for the root
	name   string
	fd     struct{ read, write int } // host descriptors, -1 for none; write can read too if both are equal
	opens  int                       // open files
	link   string                    // target of a symbolic link, "" if not read yet

	// list is a directory's names, guarded by Inode.mu; nil if they are not known.
	list *listing
}

// update takes over attributes that the gofer has told. n is new, or fs.mu is not
// held.
func (n *node) update(a *gofer.Attr) {
	n.SetMode(a.Mode)
	n.SetOwner(uid(a), gid(a))
	n.SetNlink(a.Nlink)
	n.SetSize(int64(a.Size))
	n.SetTimes(nanoseconds(a.Atime), nanoseconds(a.Mtime), nanoseconds(a.Ctime))
	n.blocks.Store(a.Blocks)
	n.stale.Store(false)
}

// target is how the gofer is told of n. n.mu is held.
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

// lockTarget is target without n.mu.
func (n *node) lockTarget() (gofer.Target, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.target()
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
	found, _, _, err := n.fs.client.Walk(h, []string{n.name}, true, out[:])
	if found == 0 {
		if err == nil {
			err = unix.ESTALE
		}
		return 0, err
	}
	if idOf(&out[0].Attr) != n.id {
		if out[0].Node != 0 {
			n.fs.client.Release(out[0].Node)
		}
		return 0, unix.ESTALE
	}
	if out[0].Node == 0 {
		return 0, unix.EIO
	}
	n.handle = out[0].Node
	return n.handle, nil
}

// dirHandle is the handle of a directory.
func (n *node) dirHandle() (gofer.Node, error) { return n.anyHandle() }

// Getattr implements vfs.InodeOps.
func (n *node) Getattr(_ *vfs.Context, mask, _ uint32, st *unix.Statx_t) error {
	if n.fs.shared || n.stale.Load() && mask&unix.STATX_BLOCKS != 0 {
		if err := n.refresh(); err != nil {
			return err
		}
	}
	n.FillStat(st)
	st.Blocks = n.blocks.Load()
	return nil
}

// refresh asks the host for the attributes: by an open descriptor, or the gofer.
func (n *node) refresh() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if fd := max(n.fd.read, n.fd.write); fd >= 0 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if n.fs.shared {
			n.SetMode(st.Mode)
			n.SetOwner(statUID(&st), statGID(&st))
			n.SetNlink(uint32(st.Nlink))
			n.SetSize(st.Size)
			n.SetTimes(st.Atim.Nano(), st.Mtim.Nano(), st.Ctim.Nano())
		}
		n.blocks.Store(uint64(st.Blocks))
		n.stale.Store(false)
		return nil
	}
	t, err := n.target()
	if err != nil {
		return err
	}
	a, err := n.fs.client.Getattr(t)
	if err != nil {
		return err
	}
	n.update(&a)
	return nil
}

// Setattr implements vfs.InodeOps.
func (n *node) Setattr(_ *vfs.Context, a *vfs.SetAttr) error {
	var set gofer.SetAttr
	for _, f := range [...]struct{ core, gofer uint32 }{
		{vfs.AttrMode, gofer.SetMode}, {vfs.AttrUID, gofer.SetUID}, {vfs.AttrGID, gofer.SetGID},
		{vfs.AttrSize, gofer.SetSize}, {vfs.AttrAtime, gofer.SetAtime}, {vfs.AttrMtime, gofer.SetMtime},
	} {
		if a.Mask&f.core != 0 {
			set.Valid |= f.gofer
		}
	}
	if a.Mask&(vfs.AttrUID|vfs.AttrGID) != 0 && a.Mask&vfs.AttrMode == 0 && n.Mode()&(unix.S_ISUID|unix.S_ISGID) != 0 {
		// The host would clear them when the owner changes; the core has decided.
		set.Valid |= gofer.SetMode
		a.Mode = n.Mode()
	}
	set.Mode, set.UID, set.GID = a.Mode&0o7777, uint32(a.UID), uint32(a.GID)
	set.Size = uint64(a.Size)
	set.Atime, set.Mtime = timestamp(a.Atime), timestamp(a.Mtime)
	t, err := n.lockTarget()
	if err != nil {
		return err
	}
	shrunk := a.Mask&vfs.AttrSize != 0 && a.Size < n.Size()
	got, err := n.fs.client.Setattr(t, &set)
	if err != nil {
		return err
	}
	n.update(&got)
	if shrunk {
		n.maps.Invalidate(n, uint64(a.Size+4095)&^4095, 1<<63, true)
	}
	return nil
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

// maxXattr is the largest value or list of names (XATTR_SIZE_MAX).
const maxXattr = 65536

// Getxattr implements vfs.InodeOps.
func (n *node) Getxattr(_ *vfs.Context, name string) ([]byte, error) {
	t, err := n.lockTarget()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 256)
	size, err := n.fs.client.Getxattr(t, name, buf)
	if err == unix.ERANGE {
		buf = make([]byte, maxXattr)
		size, err = n.fs.client.Getxattr(t, name, buf)
	}
	if err != nil {
		return nil, err
	}
	return buf[:size], nil
}

// Listxattr implements vfs.InodeOps.
func (n *node) Listxattr(*vfs.Context) ([]string, error) {
	t, err := n.lockTarget()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, maxXattr)
	size, err := n.fs.client.Listxattr(t, buf)
	if err != nil {
		return nil, err
	}
	var names []string
	for start, i := 0, 0; i < size; i++ {
		if buf[i] == 0 {
			names = append(names, string(buf[start:i]))
			start = i + 1
		}
	}
	return names, nil
}

// Setxattr implements vfs.InodeOps.
func (n *node) Setxattr(_ *vfs.Context, name string, value []byte, flags int) error {
	t, err := n.lockTarget()
	if err != nil {
		return err
	}
	n.TouchC()
	return n.fs.client.Setxattr(t, name, value, uint32(flags))
}

// Removexattr implements vfs.InodeOps.
func (n *node) Removexattr(_ *vfs.Context, name string) error {
	t, err := n.lockTarget()
	if err != nil {
		return err
	}
	n.TouchC()
	return n.fs.client.Removexattr(t, name)
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
