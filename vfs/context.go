package vfs

import (
	"sync"

	"casemate/vfs/cred"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// A Context says on whose behalf the file system is used. A task has one, and
// uses it for one call at a time; it also has the room that a call needs, so that
// calls do not allocate. Its fields are changed only by the task itself, between
// calls.
type Context struct {
	Cred *cred.Credentials
	FS   *FSState
	// Mem is the task's memory.
	Mem usermem.Memory
	// MountNS is the mount namespace in which names are looked up.
	MountNS *MountNamespace
	// Task is the sentry's task, for file systems that know tasks; nil when
	// there is none.
	Task any
	// FileSizeLimit is RLIMIT_FSIZE's soft limit: writes to regular files end
	// there. See EFSIZE.
	FileSizeLimit uint64

	// Seq, Attr, Buf and Ranges are for the system call layer, for the buffers
	// and the attributes of the call.
	Seq    usermem.Seq
	Attr   unix.Statx_t
	Buf    [256]byte
	Ranges []usermem.Range

	walk walker
	attr SetAttr
}

// EFSIZE is returned by writes that begin at or after FileSizeLimit. The system
// call layer sends SIGXFSZ and returns EFBIG in its place.
const EFSIZE = unix.Errno(600)

// NewContext returns a Context with root and working directory at the root of
// ns, umask 022 and no memory.
func NewContext(c *cred.Credentials, ns *MountNamespace) *Context {
	root := ns.Root()
	fs := NewFSState(root, root, 0o022)
	root.DecRef()
	return &Context{Cred: c, FS: fs, MountNS: ns, FileSizeLimit: unix.RLIM_INFINITY}
}

// An FSState is what CLONE_FS shares: root directory, working directory, umask.
type FSState struct {
	mu    sync.RWMutex
	root  Path
	cwd   Path
	umask uint32
	refs  int
}

// NewFSState returns a state with one reference; it takes its own references to
// root and cwd.
func NewFSState(root, cwd Path, umask uint32) *FSState {
	root.IncRef()
	cwd.IncRef()
	fs := &FSState{root: root, cwd: cwd, umask: umask, refs: 1}
	root.Mount.vfs.states.add(fs)
	return fs
}

// Fork returns a copy with one reference.
func (fs *FSState) Fork() *FSState {
	fs.mu.RLock()
	root, cwd, umask := fs.root, fs.cwd, fs.umask
	root.IncRef()
	cwd.IncRef()
	fs.mu.RUnlock()
	n := NewFSState(root, cwd, umask)
	root.DecRef()
	cwd.DecRef()
	return n
}

// IncRef takes a reference, for a task that shares fs.
func (fs *FSState) IncRef() {
	fs.mu.Lock()
	fs.refs++
	fs.mu.Unlock()
}

// DecRef gives a reference back; with the last the directories are let go.
func (fs *FSState) DecRef() {
	fs.mu.Lock()
	fs.refs--
	last := fs.refs == 0
	root, cwd := fs.root, fs.cwd
	if last {
		fs.root, fs.cwd = Path{}, Path{}
	}
	fs.mu.Unlock()
	if last {
		root.Mount.vfs.states.remove(fs)
		root.DecRef()
		cwd.DecRef()
	}
}

// Shared reports whether there is more than one reference.
func (fs *FSState) Shared() bool {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	return fs.refs > 1
}

// Root returns the root directory with a reference.
func (fs *FSState) Root() Path {
	fs.mu.RLock()
	p := fs.root
	p.IncRef()
	fs.mu.RUnlock()
	return p
}

// Cwd returns the working directory with a reference.
func (fs *FSState) Cwd() Path {
	fs.mu.RLock()
	p := fs.cwd
	p.IncRef()
	fs.mu.RUnlock()
	return p
}

// peek returns both directories without references: a walk notices if what it
// begins at goes away.
func (fs *FSState) peek() (root, cwd Path) {
	fs.mu.RLock()
	root, cwd = fs.root, fs.cwd
	fs.mu.RUnlock()
	return root, cwd
}

// SetRoot changes the root directory; it takes its own reference to p.
func (fs *FSState) SetRoot(p Path) {
	p.IncRef()
	fs.mu.Lock()
	old := fs.root
	fs.root = p
	fs.mu.Unlock()
	old.DecRef()
}

// SetCwd changes the working directory; it takes its own reference to p.
func (fs *FSState) SetCwd(p Path) {
	p.IncRef()
	fs.mu.Lock()
	old := fs.cwd
	fs.cwd = p
	fs.mu.Unlock()
	old.DecRef()
}

// Umask returns the file mode creation mask.
func (fs *FSState) Umask() uint32 {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	return fs.umask
}

// SetUmask sets the mask and returns the old one.
func (fs *FSState) SetUmask(m uint32) uint32 {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	old := fs.umask
	fs.umask = m & 0o777
	return old
}

// A Path is a place in a mount: what a name leads to. The zero Path is nothing.
type Path struct {
	Mount  *Mount
	Dentry *Dentry
}

// IsZero reports whether p is nothing.
func (p Path) IsZero() bool { return p.Dentry == nil }

// Inode is the object at p; nil if there is none of that name.
func (p Path) Inode() *Inode { return p.Dentry.Inode() }

// IncRef takes a reference; the caller has one.
func (p Path) IncRef() {
	p.Mount.IncRef()
	p.Dentry.IncRef()
}

// DecRef gives a reference back. It does nothing for the zero Path.
func (p Path) DecRef() {
	if p.Dentry == nil {
		return
	}
	p.Dentry.DecRef()
	p.Mount.DecRef()
}

// tryIncRef takes a reference, or reports false because p is gone.
func (p Path) tryIncRef() bool {
	if !p.Dentry.tryIncRef() {
		return false
	}
	p.Mount.IncRef()
	return true
}
