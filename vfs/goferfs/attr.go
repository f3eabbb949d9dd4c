package goferfs

import (
	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/vfs"
)

// update takes over attributes that the gofer has told: of a new node, of a directory
// that is locked for writing, or in a tree that the host changes too.
func (n *node) update(a *gofer.Attr) {
	n.SetMode(a.Mode)
	n.SetOwner(n.fs.owner(a.UID, a.GID))
	n.SetNlink(a.Nlink)
	n.SetSize(int64(a.Size))
	n.SetTimes(nanoseconds(a.Atime), nanoseconds(a.Mtime), nanoseconds(a.Ctime))
	n.blocks.Store(a.Blocks)
}

// Getattr implements vfs.InodeOps.
func (n *node) Getattr(_ *vfs.Context, mask, _ uint32, st *unix.Statx_t) error {
	const fromHost = unix.STATX_BLOCKS | unix.STATX_MTIME | unix.STATX_CTIME
	if n.fs.shared || mask&fromHost != 0 && (n.stale.Load() || n.IsRegular() && n.maps.Writable()) {
		if err := n.refresh(); err != nil {
			return err
		}
	}
	n.FillStat(st)
	st.Blocks = n.blocks.Load()
	return nil
}

// refresh asks the host for the attributes that it knows better: by an open descriptor,
// or the gofer.
func (n *node) refresh() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	// What is written from now on makes it stale again.
	n.stale.Store(false)
	if fd := max(n.fd.read, n.fd.write); fd >= 0 {
		if n.fd.write >= 0 {
			fd = n.fd.write
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if n.fs.shared {
			n.SetMode(st.Mode)
			n.SetOwner(n.fs.owner(st.Uid, st.Gid))
			n.SetNlink(uint32(st.Nlink))
			n.SetSize(st.Size)
			n.SetTimes(st.Atim.Nano(), st.Mtim.Nano(), st.Ctim.Nano())
		} else {
			n.SetTimes(max(st.Atim.Nano(), n.Atime()), st.Mtim.Nano(), st.Ctim.Nano())
		}
		n.blocks.Store(uint64(st.Blocks))
		return nil
	}
	t, err := n.target()
	var a gofer.Attr
	if err == nil {
		a, err = n.fs.client.Getattr(t)
	}
	switch {
	case err == unix.ESTALE && !n.fs.shared:
		return nil // it has no name any more, and what is cached is all there is
	case err != nil:
		return err
	case n.fs.shared:
		n.update(&a)
	default:
		n.SetTimes(max(nanoseconds(a.Atime), n.Atime()), nanoseconds(a.Mtime), nanoseconds(a.Ctime))
		n.blocks.Store(a.Blocks)
		if n.IsDir() {
			n.SetNlink(a.Nlink)
		}
	}
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
	mode := a.Mode
	if a.Mask&(vfs.AttrUID|vfs.AttrGID) != 0 && a.Mask&vfs.AttrMode == 0 && n.Mode()&(unix.S_ISUID|unix.S_ISGID) != 0 {
		// The host would clear them when the owner changes; the core has decided.
		set.Valid |= gofer.SetMode
		mode = n.Mode()
	}
	set.Mode = mode & 0o7777
	// What is not to be changed has to have a place on the host too.
	uid, gid := n.UID(), n.GID()
	if a.Mask&vfs.AttrUID != 0 {
		uid = a.UID
	}
	if a.Mask&vfs.AttrGID != 0 {
		gid = a.GID
	}
	var err error
	if set.UID, set.GID, err = n.fs.hostOwner(uid, gid); err != nil {
		return err
	}
	set.Size = uint64(a.Size)
	set.Atime, set.Mtime = timestamp(a.Atime), timestamp(a.Mtime)
	shrunk := a.Mask&vfs.AttrSize != 0 && a.Size < n.Size()
	got, err := n.set(&set)
	if err != nil {
		return err
	}
	if n.fs.shared {
		n.update(&got)
	} else {
		// The size is the sentry's: a write may be going on that the gofer has not seen.
		n.SetMode(got.Mode)
		n.SetOwner(n.fs.owner(got.UID, got.GID))
		n.SetTimes(nanoseconds(got.Atime), nanoseconds(got.Mtime), nanoseconds(got.Ctime))
		n.blocks.Store(got.Blocks)
		if a.Mask&vfs.AttrSize != 0 {
			n.SetSize(a.Size)
		}
	}
	if shrunk {
		n.maps.Invalidate(n, uint64(a.Size+4095)&^4095, 1<<63, true)
	}
	return nil
}

// set has the gofer change attributes.
func (n *node) set(a *gofer.SetAttr) (gofer.Attr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t, err := n.target()
	if err != nil {
		return gofer.Attr{}, err
	}
	return n.fs.client.Setattr(t, a)
}
