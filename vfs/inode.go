package vfs

import (
	"sync"
	"sync/atomic"

	"casemate/vfs/cred"

	"golang.org/x/sys/unix"
)

// InodeOps is what a file system implements for its objects. Directory methods
// are called with the directory's Inode locked for writing (Lock); the names are
// not empty, not "." or "..", no longer than NAME_MAX, contain no slash, and may be
// kept. The core has checked permissions, existence, and types. All errors are
// unix.Errno.
//
// NotDirectory, FixedDirectory, NotSymlink, NoXattr and Inode itself have methods
// to embed.
type InodeOps interface {
	// Getattr fills st with at least what mask (STATX_*) asks for; ids are
	// kernel ids. sync is AT_STATX_SYNC_TYPE's bits. Inode's own method fills
	// all from Inode.
	Getattr(ctx *Context, mask uint32, sync uint32, st *unix.Statx_t) error
	// Setattr changes attributes. Size changes only on regular files.
	// Inode's own method changes them in Inode, but for the size (EINVAL).
	Setattr(ctx *Context, a *SetAttr) error

	// Lookup returns the object called name, with a reference that the caller
	// takes over (see Inode.IncRef). ENOENT if there is none.
	Lookup(ctx *Context, name string) (*Inode, error)
	// Create makes a regular file, Mkdir a directory, Mknod a FIFO, socket or
	// device (or regular file) by mode's type, Symlink a link to target. mode
	// has umask applied. The owner is ctx's fsuid and fsgid, or the directory's
	// group if it is set-group-ID (InitOwner). They return the object with a
	// reference. Open may follow a Create at once, with permission
	// granted.
	Create(ctx *Context, name string, mode uint32) (*Inode, error)
	Mkdir(ctx *Context, name string, mode uint32) (*Inode, error)
	Mknod(ctx *Context, name string, mode uint32, dev Dev) (*Inode, error)
	Symlink(ctx *Context, name, target string) (*Inode, error)
	// Link makes name another name of target, which is of the same Superblock.
	Link(ctx *Context, name string, target *Inode) error
	// Unlink removes name, which is child, no directory. Rmdir removes name,
	// which is child, a directory: ENOTEMPTY.
	Unlink(ctx *Context, name string, child *Inode) error
	Rmdir(ctx *Context, name string, child *Inode) error
	// Rename moves child from name here to newName in newDir, replacing
	// replaced if that is not nil. flags are RENAME_NOREPLACE (already
	// checked), RENAME_EXCHANGE (replaced goes to name) or RENAME_WHITEOUT.
	// EINVAL for flags that the file system lacks; ENOTEMPTY.
	Rename(ctx *Context, name string, child, newDir *Inode, newName string, replaced *Inode, flags uint32) error
	// Tmpfile makes a regular file without a name, link count 0. EOPNOTSUPP.
	Tmpfile(ctx *Context, mode uint32) (*Inode, error)

	// Readlink returns the target of a symbolic link.
	Readlink(ctx *Context) (string, error)

	// Open returns what f, whose Flags and path are set, does. It is called for
	// regular files, directories and whatever the core does not open itself
	// (FIFOs, devices, sockets). It may call f.SetStream.
	Open(ctx *Context, f *File) (FileOps, error)

	// Getxattr returns a value (ENODATA), Setxattr sets one (flags XATTR_CREATE
	// or XATTR_REPLACE), Removexattr removes one, Listxattr lists all names.
	// Namespaces and permissions have been checked (xattr(7)).
	Getxattr(ctx *Context, name string) ([]byte, error)
	Setxattr(ctx *Context, name string, value []byte, flags int) error
	Listxattr(ctx *Context) ([]string, error)
	Removexattr(ctx *Context, name string) error

	// Evict is called when the last reference has gone. A name may bring the
	// object back: the file system must look at Refs and the link count under
	// its own lock before it lets go of anything. Inode's own method does
	// nothing.
	Evict()
}

// A Permitter is an InodeOps with permission checks of its own, called instead of
// Inode.DefaultPermission.
type Permitter interface {
	// CheckPermission checks access by mask (MayRead...): EACCES.
	CheckPermission(ctx *Context, mask int) error
}

// A Follower is an InodeOps of a magic link (/proc/PID/fd/1), which leads to an
// object without its name.
type Follower interface {
	// FollowLink returns where the link leads, with references.
	FollowLink(ctx *Context) (Path, error)
}

// A Binder is an InodeOps that cannot be bind mounted everywhere.
type Binder interface {
	// MayBind checks that the object can be mounted in ctx's mount namespace: EINVAL.
	MayBind(ctx *Context) error
}

// Bits of masks of permission checks.
const (
	MayExec  = 1
	MayWrite = 2
	MayRead  = 4
)

// A Dev is a device number as makedev(3) makes it.
type Dev uint64

// MakeDev returns the number of a device.
func MakeDev(major, minor uint32) Dev { return Dev(unix.Mkdev(major, minor)) }

// Major is the major number.
func (d Dev) Major() uint32 { return unix.Major(uint64(d)) }

// Minor is the minor number.
func (d Dev) Minor() uint32 { return unix.Minor(uint64(d)) }

// A SetAttr says which attributes to change.
type SetAttr struct {
	Mask         uint32 // Attr* bits
	Mode         uint32 // permission bits and set-ids, no type
	UID          cred.UID
	GID          cred.GID
	Size         int64
	Atime, Mtime int64 // nanoseconds since the epoch
	// Ctime is the time of the change, always valid.
	Ctime int64
}

// Bits of SetAttr.Mask.
const (
	AttrMode = 1 << iota
	AttrUID
	AttrGID
	AttrSize
	AttrAtime
	AttrMtime
	// AttrAtimeSet and AttrMtimeSet say that the time is not simply now.
	AttrAtimeSet
	AttrMtimeSet
)

// inodeSeq numbers inodes for the locking order.
var inodeSeq atomic.Uint64

// An Inode is the part of a file system's object that the core knows: it is
// embedded in the object's struct and set up by Init. The attributes in it are
// what permission checks and, unless the object has its own Getattr, stat(2) see.
// They are read and written without a lock.
type Inode struct {
	ops   InodeOps
	perm  Permitter
	magic Follower
	sb    *Superblock
	ino   uint64
	seq   uint64
	rdev  Dev

	mode                       atomic.Uint32 // type and permissions, as st_mode
	uid, gid                   atomic.Uint32
	nlink                      atomic.Uint32
	size                       atomic.Int64
	atime, mtime, ctime, btime atomic.Int64
	refs                       atomic.Int64
	dead                       atomic.Bool // a directory that was removed
	linkable                   atomic.Bool // an O_TMPFILE file that may get a name
	// writeCount counts files open for writing; programs being executed count as -1.
	writeCount atomic.Int64

	// mu is Linux's i_rwsem: for directories, the names; for others what the
	// file system wants.
	mu sync.RWMutex

	// extra is what few inodes have: locks, a FIFO, a bound socket, watches.
	extra atomic.Pointer[inodeExtra]
}

// inodeExtra is made on demand.
type inodeExtra struct {
	locks  inodeLocks
	watch  watchList
	mu     sync.Mutex
	fifo   any
	socket any
}

// Init sets up an Inode with one reference. ino is its number, unique in sb;
// mode has the type. Times are now, the link count is 1, or 2 for a directory.
func (in *Inode) Init(sb *Superblock, ops InodeOps, ino uint64, mode uint32, uid cred.UID, gid cred.GID) {
	in.ops = ops
	in.perm, _ = ops.(Permitter)
	in.magic, _ = ops.(Follower)
	in.sb = sb
	in.ino = ino
	in.seq = inodeSeq.Add(1)
	in.mode.Store(mode)
	in.uid.Store(uint32(uid))
	in.gid.Store(uint32(gid))
	in.refs.Store(1)
	now := sb.vfs.Now()
	in.atime.Store(now)
	in.mtime.Store(now)
	in.ctime.Store(now)
	in.btime.Store(now)
	in.nlink.Store(1)
	if mode&unix.S_IFMT == unix.S_IFDIR {
		in.nlink.Store(2)
	}
}

// InitOwner returns the owner, group and mode that a new object in directory dir
// gets, by inode(7) on the set-group-ID bit of directories.
func InitOwner(ctx *Context, dir *Inode, mode uint32) (cred.UID, cred.GID, uint32) {
	uid, gid := ctx.Cred.FSUID, ctx.Cred.FSGID
	if dir != nil && dir.Mode()&unix.S_ISGID != 0 {
		gid = dir.GID()
		if mode&unix.S_IFMT == unix.S_IFDIR {
			mode |= unix.S_ISGID
		} else if mode&(unix.S_ISGID|unix.S_IXGRP) == unix.S_ISGID|unix.S_IXGRP &&
			!ctx.Cred.InGroup(gid) && !ctx.Cred.HasCapOver(unix.CAP_FSETID, dir.UID(), gid) {
			mode &^= unix.S_ISGID
		}
	}
	return uid, gid, mode
}

// Ops is the file system's side of in.
func (in *Inode) Ops() InodeOps { return in.ops }

// Superblock is the file system that in belongs to.
func (in *Inode) Superblock() *Superblock { return in.sb }

// Ino is the inode number.
func (in *Inode) Ino() uint64 { return in.ino }

// Rdev is the number of the device that a device file stands for.
func (in *Inode) Rdev() Dev { return in.rdev }

// SetRdev sets Rdev. For use before anybody else sees in.
func (in *Inode) SetRdev(d Dev) { in.rdev = d }

// Mode is the type and permissions, as in st_mode.
func (in *Inode) Mode() uint32 { return in.mode.Load() }

// SetMode sets Mode.
func (in *Inode) SetMode(m uint32) { in.mode.Store(m) }

// Type is the S_IFMT part of Mode.
func (in *Inode) Type() uint32 { return in.mode.Load() & unix.S_IFMT }

// IsDir reports whether in is a directory.
func (in *Inode) IsDir() bool { return in.Type() == unix.S_IFDIR }

// IsRegular reports whether in is a regular file.
func (in *Inode) IsRegular() bool { return in.Type() == unix.S_IFREG }

// IsSymlink reports whether in is a symbolic link.
func (in *Inode) IsSymlink() bool { return in.Type() == unix.S_IFLNK }

// UID is the owner.
func (in *Inode) UID() cred.UID { return cred.UID(in.uid.Load()) }

// GID is the group.
func (in *Inode) GID() cred.GID { return cred.GID(in.gid.Load()) }

// SetOwner sets UID and GID.
func (in *Inode) SetOwner(uid cred.UID, gid cred.GID) {
	in.uid.Store(uint32(uid))
	in.gid.Store(uint32(gid))
}

// Nlink is the number of names.
func (in *Inode) Nlink() uint32 { return in.nlink.Load() }

// SetNlink sets Nlink.
func (in *Inode) SetNlink(n uint32) { in.nlink.Store(n) }

// AddNlink adds n, which may be negative, to Nlink, and returns it.
func (in *Inode) AddNlink(n int32) uint32 { return in.nlink.Add(uint32(n)) }

// Size is the length in bytes.
func (in *Inode) Size() int64 { return in.size.Load() }

// SetSize sets Size.
func (in *Inode) SetSize(n int64) { in.size.Store(n) }

// Atime is the time of the last access, in nanoseconds since the epoch as all
// times here.
func (in *Inode) Atime() int64 { return in.atime.Load() }

// Mtime is the time of the last change of the data.
func (in *Inode) Mtime() int64 { return in.mtime.Load() }

// Ctime is the time of the last change of data or attributes.
func (in *Inode) Ctime() int64 { return in.ctime.Load() }

// Btime is the time of creation.
func (in *Inode) Btime() int64 { return in.btime.Load() }

// SetTimes sets the times.
func (in *Inode) SetTimes(atime, mtime, ctime int64) {
	in.atime.Store(atime)
	in.mtime.Store(mtime)
	in.ctime.Store(ctime)
}

// SetBtime sets Btime.
func (in *Inode) SetBtime(t int64) { in.btime.Store(t) }

// TouchC sets the time of the last change of attributes to now.
func (in *Inode) TouchC() { in.ctime.Store(in.sb.vfs.Now()) }

// TouchCM sets the times of the last change of attributes and of data to now.
func (in *Inode) TouchCM() {
	now := in.sb.vfs.Now()
	in.mtime.Store(now)
	in.ctime.Store(now)
}

// Refs is the number of references.
func (in *Inode) Refs() int64 { return in.refs.Load() }

// IncRef takes a reference. The caller has one already, or holds a lock of the
// file system that Evict takes too.
func (in *Inode) IncRef() { in.refs.Add(1) }

// DecRef gives a reference back.
func (in *Inode) DecRef() {
	if n := in.refs.Add(-1); n == 0 {
		in.ops.Evict()
	} else if n < 0 {
		panic("vfs: inode reference dropped twice")
	}
}

// Lock locks in for writing: for a directory, its names.
func (in *Inode) Lock() { in.mu.Lock() }

// Unlock is Lock's end.
func (in *Inode) Unlock() { in.mu.Unlock() }

// RLock locks in for reading.
func (in *Inode) RLock() { in.mu.RLock() }

// RUnlock is RLock's end.
func (in *Inode) RUnlock() { in.mu.RUnlock() }

// Dead reports whether in is a directory that was removed. The caller holds its
// lock.
func (in *Inode) Dead() bool { return in.dead.Load() }

// Evict implements InodeOps.
func (in *Inode) Evict() {}

// Getattr implements InodeOps: everything is taken from in. Blocks is Size in
// units of 512 bytes, rounded up to whole pages.
func (in *Inode) Getattr(ctx *Context, mask uint32, sync uint32, st *unix.Statx_t) error {
	in.FillStat(st)
	return nil
}

// FillStat fills st from the attributes in in.
func (in *Inode) FillStat(st *unix.Statx_t) {
	size := in.size.Load()
	*st = unix.Statx_t{
		Mask:    unix.STATX_BASIC_STATS | unix.STATX_BTIME,
		Blksize: in.sb.BlockSize,
		Nlink:   in.nlink.Load(),
		Uid:     in.uid.Load(),
		Gid:     in.gid.Load(),
		Mode:    uint16(in.mode.Load()),
		Ino:     in.ino,
		Size:    uint64(size),
		Blocks:  uint64(size+4095) / 4096 * 8,
		Atime:   statxTime(in.atime.Load()),
		Mtime:   statxTime(in.mtime.Load()),
		Ctime:   statxTime(in.ctime.Load()),
		Btime:   statxTime(in.btime.Load()),
	}
	st.Rdev_major, st.Rdev_minor = in.rdev.Major(), in.rdev.Minor()
	st.Dev_major, st.Dev_minor = in.sb.Dev.Major(), in.sb.Dev.Minor()
}

func statxTime(ns int64) unix.StatxTimestamp {
	sec := ns / 1e9
	rem := ns % 1e9
	if rem < 0 {
		sec, rem = sec-1, rem+1e9
	}
	return unix.StatxTimestamp{Sec: sec, Nsec: uint32(rem)}
}

// Setattr implements InodeOps: the attributes in in are changed; EINVAL for the
// size.
func (in *Inode) Setattr(ctx *Context, a *SetAttr) error {
	if a.Mask&AttrSize != 0 {
		return unix.EINVAL
	}
	in.ApplyAttr(a)
	return nil
}

// ApplyAttr changes the attributes in in, but for the size.
func (in *Inode) ApplyAttr(a *SetAttr) {
	if a.Mask&AttrUID != 0 {
		in.uid.Store(uint32(a.UID))
	}
	if a.Mask&AttrGID != 0 {
		in.gid.Store(uint32(a.GID))
	}
	if a.Mask&AttrMode != 0 {
		in.mode.Store(in.Type() | a.Mode&^unix.S_IFMT)
	}
	if a.Mask&AttrAtime != 0 {
		in.atime.Store(a.Atime)
	}
	if a.Mask&AttrMtime != 0 {
		in.mtime.Store(a.Mtime)
	}
	in.ctime.Store(a.Ctime)
}

// more returns the part of in that is made on demand.
func (in *Inode) more() *inodeExtra {
	if x := in.extra.Load(); x != nil {
		return x
	}
	x := &inodeExtra{}
	if in.extra.CompareAndSwap(nil, x) {
		return x
	}
	return in.extra.Load()
}

// FIFO returns the pipe of a FIFO, which create makes when there is none yet.
func (in *Inode) FIFO(create func() any) any {
	x := in.more()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.fifo == nil {
		x.fifo = create()
	}
	return x.fifo
}

// Socket returns what BindSocket has left; nil if nothing.
func (in *Inode) Socket() any {
	x := in.extra.Load()
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.socket
}

// BindSocket attaches the socket that is bound to in, whatever that is to the
// sentry; nil detaches it.
func (in *Inode) BindSocket(s any) {
	x := in.more()
	x.mu.Lock()
	x.socket = s
	x.mu.Unlock()
}
