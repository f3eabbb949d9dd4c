package vfs

import (
	"sync"
	"sync/atomic"

	"casemate/vfs/cred"

	"golang.org/x/sys/unix"
)

// SuperblockOps is what an instance of a file system does as a whole.
type SuperblockOps interface {
	// Statfs fills st; the core fills in f_flags.
	Statfs(ctx *Context, st *unix.Statfs_t) error
	// Sync writes back everything: sync(2), syncfs(2).
	Sync(ctx *Context) error
	// Remount changes the instance's own options, data as mount(2) has it, and
	// its read-only state, which the core keeps. EINVAL for what it does not know.
	Remount(ctx *Context, flags uint32, data string) error
	// Release is called when the last mount has gone.
	Release()
}

// A Revalidator is a SuperblockOps whose names can change from outside: a cached
// name is shown to it at each use.
type Revalidator interface {
	// Revalidate reports whether name in dir still is child (nil: nothing has
	// that name), and refreshes child's attributes. It may block on a gofer. No
	// lock is held, or dir's for writing.
	Revalidate(ctx *Context, dir *Inode, name string, child *Inode) bool
}

// Flags of a Superblock.
const (
	// SBNoCache drops dentries as soon as nobody uses them (procfs).
	SBNoCache = 1 << iota
	// SBNoDev and SBNoExec: no mount of it allows devices, programs (SB_I_NODEV,
	// SB_I_NOEXEC).
	SBNoDev
	SBNoExec
	// SBKernel: no mount of it can be made by applications (pipefs, sockfs).
	SBKernel
	// SBBindable: files without a name can be bind mounted all the same (nsfs).
	SBBindable
	// SBNoNegative: a name that does not exist is an error for those too who would
	// make it (procfs): ENOENT.
	SBNoNegative
	// SBUserMount: root of a user namespace may mount it (FS_USERNS_MOUNT).
	SBUserMount
	// SBOwnDevices: its devices work even if the user namespace that mounts it is
	// not the initial one (devpts).
	SBOwnDevices
	// SBOwnOpen: its inodes open themselves whatever type they have (files of the
	// host), and O_TRUNC does nothing.
	SBOwnOpen
)

// A Superblock is one instance of a file system. The exported fields are set by
// the file system before anybody else sees it.
type Superblock struct {
	// Type is the name in /proc/filesystems, Magic is statfs(2)'s f_type.
	Type  string
	Magic int64
	// Source is what mountinfo shows as the mount source.
	Source string
	// RootPath is what mountinfo shows as the root's path; "" for "/". A bound part of
	// a file system of the host has the path that it has there.
	RootPath string
	// ShowOptions returns the instance's options as mountinfo ends with, such as
	// "size=64k,mode=755"; nil for none.
	ShowOptions func() string
	Dev         Dev
	BlockSize   uint32
	// MaxSize is the largest size of a file.
	MaxSize int64
	Flags   uint32
	UserNS  *cred.UserNamespace
	// DentryLimit is how many unused dentries are kept.
	DentryLimit int

	vfs      *VFS
	ops      SuperblockOps
	reval    Revalidator
	root     *Dentry
	readOnly atomic.Bool
	active   atomic.Int64 // mounts
	writers  atomic.Int64 // files open for writing

	// renameMu serialises renames between directories.
	renameMu sync.Mutex

	lru dentryLRU
}

// Init sets up sb; ops may also be a Revalidator. A zero Dev is replaced by a
// fresh anonymous one.
func (sb *Superblock) Init(v *VFS, ops SuperblockOps) {
	sb.vfs = v
	sb.ops = ops
	sb.reval, _ = ops.(Revalidator)
	if sb.Dev == 0 {
		sb.Dev = v.anonymousDev()
	}
	if sb.BlockSize == 0 {
		sb.BlockSize = 4096
	}
	if sb.MaxSize == 0 {
		sb.MaxSize = 1<<63 - 1
	}
	if sb.DentryLimit == 0 {
		sb.DentryLimit = 1 << 16
	}
	if sb.UserNS == nil {
		sb.UserNS = v.UserNS
	}
}

// SetRoot makes root the root directory; it takes over the reference.
func (sb *Superblock) SetRoot(root *Inode) {
	d := &Dentry{sb: sb}
	d.at.Store(&dentryAt{name: "/"})
	d.inode.Store(root)
	d.refs.Store(1)
	sb.root = d
}

// VFS is the system that sb belongs to.
func (sb *Superblock) VFS() *VFS { return sb.vfs }

// Ops is the file system's side of sb.
func (sb *Superblock) Ops() SuperblockOps { return sb.ops }

// Root is the root directory.
func (sb *Superblock) Root() *Dentry { return sb.root }

// ReadOnly reports whether the whole instance is read-only.
func (sb *Superblock) ReadOnly() bool { return sb.readOnly.Load() }

// SetReadOnly sets ReadOnly.
func (sb *Superblock) SetReadOnly(ro bool) { sb.readOnly.Store(ro) }

// DropUnused forgets all cached names that nobody uses, for a file system that is
// short of what they hold.
func (sb *Superblock) DropUnused() { sb.lru.shrink(sb, 0) }

// deactivate drops the last mount's hold.
func (sb *Superblock) deactivate() {
	sb.lru.shrink(sb, 0)
	sb.root.DecRef()
	sb.ops.Release()
}
