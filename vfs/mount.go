package vfs

import (
	"sync/atomic"

	"casemate/vfs/cred"
	"casemate/vfs/refs"

	"golang.org/x/sys/unix"
)

// MountFlags are the MS_* flags that a mount itself has.
const MountFlags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC |
	unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME | unix.MS_STRICTATIME | unix.MS_NOSYMFOLLOW

// A Mount is a place in a mount tree where a file system, or a part of it, is
// seen.
type Mount struct {
	vfs    *VFS
	id     int    // as in mountinfo
	unique uint64 // as in statx(2), STATX_MNT_ID_UNIQUE
	sb     *Superblock
	root   *Dentry // held
	ns     *MountNamespace

	at    atomic.Pointer[mountAt] // nil when not mounted
	flags atomic.Uint32
	refs  atomic.Int64 // users; the mount tree counts as one
	// writers counts who is writing; a mount that is becoming read-only has
	// writersBarred added.
	writers  atomic.Int64
	expiring atomic.Bool // MNT_EXPIRE was tried, and nobody has used it since

	// options is what mountinfo shows in place of the flags' names, if not "".
	options string

	// The rest is guarded by VFS.mountMu.
	children []*Mount // in the order in which they were mounted
	// peers is the peer group of a shared mount; nil for private ones.
	peers *peerGroup
	// master is the peer group from which a slave receives.
	master     *peerGroup
	unbindable bool
	// locked mounts came from a more privileged namespace: they cannot be
	// unmounted alone.
	locked bool
}

// A peerGroup is the mounts that share events, and those that only receive them.
type peerGroup struct {
	id     int
	peers  []*Mount
	slaves []*Mount
}

// A mountAt is where a mount is mounted: on point, in the mount parent.
type mountAt struct {
	parent *Mount
	point  *Dentry
}

// A MountNamespace is a tree of mounts.
type MountNamespace struct {
	vfs *VFS
	// UserNS is the user namespace that owns it.
	UserNS *cred.UserNamespace
	// Ino is the number by which /proc/PID/ns/mnt shows it. That of a younger namespace is greater.
	Ino  uint64
	refs atomic.Int64

	root  *Mount // guarded by VFS.mountMu for writing
	count int    // guarded by VFS.mountMu
	// event counts changes, for poll(2) of mountinfo.
	event atomic.Uint64
}

// ID is the number of m in mountinfo.
func (m *Mount) ID() int { return m.id }

// UniqueID is a number that no other mount ever has.
func (m *Mount) UniqueID() uint64 { return m.unique }

// Superblock is the file system that is mounted.
func (m *Mount) Superblock() *Superblock { return m.sb }

// Root is the directory (or file) of the file system that is seen at m.
func (m *Mount) Root() *Dentry { return m.root }

// Flags are the MS_* flags of m.
func (m *Mount) Flags() uint32 { return m.flags.Load() }

// NoExec reports whether programs on m cannot be executed.
func (m *Mount) NoExec() bool {
	return m.flags.Load()&unix.MS_NOEXEC != 0 || m.sb.Flags&SBNoExec != 0
}

// NoSuid reports whether set-user-ID bits and file capabilities on m do not count
// for a program that is executed in the user namespace ns.
func (m *Mount) NoSuid(ns *cred.UserNamespace) bool {
	return m.flags.Load()&unix.MS_NOSUID != 0 || !ns.Within(m.sb.UserNS)
}

// IncRef takes a reference; the caller has one, or the mount is in the tree.
func (m *Mount) IncRef() { m.refs.Add(1) }

// DecRef gives a reference back.
func (m *Mount) DecRef() {
	if m.refs.Add(-1) == 0 {
		m.release()
	}
}

// release lets go of an unmounted mount that nobody uses any more.
func (m *Mount) release() {
	m.root.DecRef()
	sb := m.sb
	v := m.vfs
	v.mountMu.Lock()
	v.mountIDs.put(m.id)
	v.mountMu.Unlock()
	if sb.active.Add(-1) == 0 && sb.Flags&SBKernel == 0 {
		sb.deactivate()
		v.freeDev(sb.Dev)
	}
}

const writersBarred = -1 << 40

// GetWrite checks that m and its file system can be written to and keeps it
// so until PutWrite: EROFS.
func (m *Mount) GetWrite() error {
	if m.writers.Add(1) <= 0 || m.flags.Load()&unix.MS_RDONLY != 0 || m.sb.readOnly.Load() {
		m.writers.Add(-1)
		return unix.EROFS
	}
	return nil
}

// PutWrite is GetWrite's end.
func (m *Mount) PutWrite() { m.writers.Add(-1) }

// putWrite is PutWrite for files.
func (m *Mount) putWrite() {
	m.sb.writers.Add(-1)
	m.writers.Add(-1)
}

// touchAtime sets the access time of in as m's flags want it.
func (m *Mount) touchAtime(in *Inode) {
	flags := m.flags.Load()
	if flags&(unix.MS_NOATIME|unix.MS_RDONLY) != 0 || in.sb.readOnly.Load() {
		return
	}
	if flags&unix.MS_NODIRATIME != 0 && in.IsDir() {
		return
	}
	now := in.sb.vfs.Now()
	atime := in.atime.Load()
	if flags&unix.MS_STRICTATIME == 0 && atime > in.mtime.Load() && atime > in.ctime.Load() && now-atime < 24*3600*1e9 {
		return
	}
	in.atime.Store(now)
}

// mountOn returns what is mounted at p; nil if nothing.
func (v *VFS) mountOn(p Path) *Mount {
	return (*v.mounts.Load())[mountAt{p.Mount, p.Dentry}]
}

// followMounts goes from a mount point to what is mounted there.
func followMounts(p *Path) {
	for p.Dentry.mounted.Load() > 0 {
		m := p.Mount.vfs.mountOn(*p)
		if m == nil {
			return
		}
		p.Mount, p.Dentry = m, m.root
	}
}

// newMount returns a mount of root, not in any tree, with one reference.
func (v *VFS) newMount(sb *Superblock, root *Dentry, flags uint32) *Mount {
	m := &Mount{vfs: v, sb: sb, root: root, unique: v.uniqueID.Add(1) + 1<<32}
	m.id = v.mountIDs.get()
	m.flags.Store(flags & MountFlags)
	m.refs.Store(1)
	root.IncRef()
	sb.active.Add(1)
	return m
}

// NewNamespace returns a mount namespace with sb mounted at its root, with one
// reference.
func (v *VFS) NewNamespace(ns *cred.UserNamespace, sb *Superblock, flags uint32) *MountNamespace {
	v.mountMu.Lock()
	defer v.mountMu.Unlock()
	n := &MountNamespace{vfs: v, UserNS: ns, Ino: cred.NextNamespaceID(), count: 1}
	n.refs.Store(1)
	m := v.newMount(sb, sb.root, flags)
	m.ns = n
	n.root = m
	return n
}

// NewKernelMount returns a mount of sb that is in no namespace, for files without
// a name (pipes, sockets, memfds).
func (v *VFS) NewKernelMount(sb *Superblock) *Mount {
	v.mountMu.Lock()
	defer v.mountMu.Unlock()
	return v.newMount(sb, sb.root, 0)
}

// VFS is the system that n belongs to.
func (n *MountNamespace) VFS() *VFS { return n.vfs }

// IncRef takes a reference; the caller has one.
func (n *MountNamespace) IncRef() { n.refs.Add(1) }

// TryIncRef takes a reference, or reports that the namespace is gone.
func (n *MountNamespace) TryIncRef() bool { return refs.TryInc(&n.refs) }

// Root returns the root directory with a reference: what is mounted topmost
// there.
func (n *MountNamespace) Root() Path {
	n.vfs.mountMu.Lock()
	defer n.vfs.mountMu.Unlock()
	p := Path{n.root, n.root.root}
	followMounts(&p)
	p.IncRef()
	return p
}

// AnonymousPath returns a path to in, whose reference it takes over, that no walk
// finds: for files without a name. It has references. mount is of in's file
// system (NewKernelMount); name is how /proc/PID/fd shows the file.
func AnonymousPath(mount *Mount, name string, in *Inode) Path {
	d := &Dentry{sb: in.sb}
	d.at.Store(&dentryAt{name: name})
	d.inode.Store(in)
	d.refs.Store(1)
	d.unhashed.Store(in.sb.Flags&SBBindable == 0)
	mount.IncRef()
	return Path{mount, d}
}
