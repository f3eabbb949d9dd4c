package vfs

import (
	"sync"
	"sync/atomic"

	"casemate/vfs/cred"
	"casemate/vfs/refs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"

	"golang.org/x/sys/unix"
)

// FileOps is what an open file does. Methods may be called at the same time. They
// never wait for another task: EAGAIN instead. All errors are unix.Errno.
// FileDefaults and DirectoryFile have methods to embed.
type FileOps interface {
	// Read moves bytes at off to dst and returns how many; 0 at the end. For a
	// stream off is 0. flags are RWF_* of preadv2(2). The core has
	// checked the access mode. An error is returned only if nothing was moved.
	Read(ctx *Context, f *File, dst *usermem.Seq, off int64, flags uint32) (int, error)
	// Write moves bytes from src to off, or to the end, whatever off is, if
	// flags has RWF_APPEND (the core sets it for O_APPEND). RWF_DSYNC and
	// RWF_SYNC are served by the core, by Fsync. An error is returned only if
	// nothing was moved. A stream that takes fewer bytes than there are would
	// block for the rest.
	Write(ctx *Context, f *File, src *usermem.Seq, off int64, flags uint32) (int, error)
	// ReadDir passes entries from position e.Pos on to e until that says stop.
	// The directory's Inode is locked for reading.
	ReadDir(ctx *Context, f *File, e *DirEmitter) error
	// Seek returns the position that lseek(2) leads to; it is called with f's
	// position locked (f.Pos), not for streams. SeekSized does it for
	// files of a known size.
	Seek(ctx *Context, f *File, off int64, whence int) (int64, error)

	// Readiness returns which of the events in mask hold now; Err and Hup
	// are always included.
	Readiness(mask wait.Events) wait.Events
	// Register makes e be told when events of mask come; Unregister ends it.
	Register(e *wait.Entry, mask wait.Events)
	Unregister(e *wait.Entry)

	// Ioctl serves ioctl(2) (ENOTTY); arg may be an address in ctx.Mem. The core
	// has served what works for any file (FIONBIO, FIOCLEX, ...).
	Ioctl(ctx *Context, f *File, cmd uint32, arg uint64) (uint64, error)
	// Mmap returns what mmap(2) of f with prot and flags maps. The core has
	// checked the access mode. ENODEV.
	Mmap(ctx *Context, f *File, prot, flags int) (Mappable, error)
	// Fsync makes data durable, and the attributes unless dataOnly; EINVAL for
	// what cannot be synchronised.
	Fsync(ctx *Context, f *File, dataOnly bool) error
	// Fallocate serves fallocate(2); mode is FALLOC_FL_*, off and length are not
	// negative and do not overflow.
	Fallocate(ctx *Context, f *File, mode uint32, off, length int64) error
	// Release is called once, when the last reference to f has gone.
	Release(f *File)
}

// A Flusher is a FileOps that is told of every close(2) of a descriptor.
type Flusher interface {
	// Flush returns what close(2) returns.
	Flush(ctx *Context, f *File) error
}

// A Lingerer is a FileOps whose last close(2) may have to wait.
type Lingerer interface {
	// Linger is called after Release, if a descriptor was the last reference. It may block the
	// task of ctx, and gives up if the task has a signal or is about to end.
	Linger(ctx *Context)
}

// An OpenWaiter is a FileOps whose open(2) may have to wait for somebody else
// (FIFOs). The system call layer waits by Register for In and Out until
// OpenDone; if it gives up it drops the File.
type OpenWaiter interface {
	// OpenDone reports whether open(2) can return.
	OpenDone(f *File) bool
}

// A Timeouter is a FileOps whose blocking reads and writes are limited in time
// (SO_RCVTIMEO, SO_SNDTIMEO): they end with EAGAIN.
type Timeouter interface {
	// Timeouts returns the limits in nanoseconds; 0 for none.
	Timeouts() (read, write int64)
}

// A DirEmitter takes the entries of a directory from ReadDir.
type DirEmitter struct {
	// Pos is the position of the next entry: 0 for the first; otherwise one
	// that was passed as next.
	Pos int64
	// Func takes an entry: its name, inode number, type (DT_*), and the
	// position after it. It returns false if it has no room; then the entry does
	// not count.
	Func func(name string, ino uint64, typ uint8, next int64) bool
}

// Emit passes an entry on and reports whether there may be more. It sets Pos to
// next if the entry was taken.
func (e *DirEmitter) Emit(name string, ino uint64, typ uint8, next int64) bool {
	if !e.Func(name, ino, typ, next) {
		return false
	}
	e.Pos = next
	return true
}

// Dots passes on "." and "..", at positions 0 and 1, and reports whether there may be more.
func (e *DirEmitter) Dots(f *File) bool {
	if e.Pos == 0 && !e.Emit(".", f.inode.ino, unix.DT_DIR, 1) {
		return false
	}
	if e.Pos == 1 {
		up := f.inode
		if p := f.path.Dentry.Parent(); p != nil {
			if in := p.Inode(); in != nil {
				up = in
			}
		}
		return e.Emit("..", up.ino, unix.DT_DIR, 2)
	}
	return true
}

// DirentType is the DT_* value for a mode.
func DirentType(mode uint32) uint8 { return uint8(mode & unix.S_IFMT >> 12) }

// Bits of a File's mode.
const (
	modeRead = 1 << iota
	modeWrite
	modePath    // O_PATH
	modeStream  // no position
	modeNoPread // neither pread(2) nor pwrite(2), but lseek(2)
	modeWriter  // holds write access of the mount
)

// A File is an open file description (open(2)).
type File struct {
	refs  atomic.Int64
	flags atomic.Uint32
	mode  uint32
	path  Path
	inode *Inode
	ops   FileOps
	cred  *cred.Credentials
	owner atomic.Pointer[Owner]

	releaseMu sync.Mutex
	releasers []Releaser // guarded by releaseMu

	posMu sync.Mutex
	pos   int64
}

// A Releaser is told when a File that it watches is released (epoll(7)).
type Releaser interface {
	// FileReleased is called once, before FileOps.Release, without a lock held.
	FileReleased(f *File)
}

// A DescriptorWatcher is a Releaser that is told of every close(2) of a descriptor as well.
type DescriptorWatcher interface {
	// DescriptorClosed is called after a descriptor of f has been removed, and before its number
	// is free and its reference gone, without a lock held.
	DescriptorClosed(f *File)
}

// AddReleaser has r told of f's release. The caller has a reference.
func (f *File) AddReleaser(r Releaser) {
	f.releaseMu.Lock()
	f.releasers = append(f.releasers, r)
	f.releaseMu.Unlock()
}

// RemoveReleaser undoes AddReleaser, as far as f is not being released.
func (f *File) RemoveReleaser(r Releaser) {
	f.releaseMu.Lock()
	defer f.releaseMu.Unlock()
	for i := range f.releasers {
		if f.releasers[i] == r {
			last := len(f.releasers) - 1
			f.releasers[i] = f.releasers[last]
			f.releasers[last] = nil
			f.releasers = f.releasers[:last]
			return
		}
	}
}

// EachReleaser calls visit for each that AddReleaser has added. visit must not use f.
func (f *File) EachReleaser(visit func(Releaser)) {
	f.releaseMu.Lock()
	defer f.releaseMu.Unlock()
	for _, r := range f.releasers {
		visit(r)
	}
}

// flush tells f and its DescriptorWatchers that a descriptor of f is closed.
func (f *File) flush(ctx *Context) error {
	var buf [4]Releaser
	f.releaseMu.Lock()
	list := append(buf[:0], f.releasers...)
	f.releaseMu.Unlock()
	for _, r := range list {
		if w, ok := r.(DescriptorWatcher); ok {
			w.DescriptorClosed(f)
		}
	}
	if fl, ok := f.ops.(Flusher); ok {
		return fl.Flush(ctx, f)
	}
	return nil
}

// leave gives back the reference of a descriptor that is closed, and owner's record locks.
func (f *File) leave(ctx *Context, owner any) {
	if f.mode&modePath == 0 && f.inode.locked() {
		f.inode.releaseLocks(owner, nil)
	}
	if f.drop() {
		if l, ok := f.ops.(Lingerer); ok {
			l.Linger(ctx)
		}
	}
}

func (f *File) tellReleasers() {
	f.releaseMu.Lock()
	list := f.releasers
	f.releasers = nil
	f.releaseMu.Unlock()
	for _, r := range list {
		r.FileReleased(f)
	}
}

// An Owner is who gets SIGIO for a File (fcntl(2), F_SETOWN_EX).
type Owner struct {
	Type   int32 // F_OWNER_TID, F_OWNER_PID or F_OWNER_PGRP
	ID     int32 // as the caller wrote it; 0 for nobody
	Signal int32 // F_SETSIG; 0 for SIGIO
	// Namespace is the kernel's pid namespace in which ID is a number.
	Namespace any
	Cred      *cred.Credentials
}

// NewFile returns a File with one reference for something that was not opened by
// name (pipe, socket, eventfd). It takes over the reference to path. flags are
// O_* flags with the access mode.
func NewFile(c *cred.Credentials, path Path, flags uint32, ops FileOps) *File {
	f := &File{path: path, inode: path.Inode(), ops: ops, cred: c}
	f.init(flags)
	return f
}

func (f *File) init(flags uint32) {
	f.refs.Store(1)
	f.flags.Store(flags)
	if flags&unix.O_PATH != 0 {
		f.mode |= modePath
		return
	}
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		f.mode |= modeRead
	case unix.O_WRONLY:
		f.mode |= modeWrite
	case unix.O_RDWR:
		f.mode |= modeRead | modeWrite
	}
}

// IncRef takes a reference; the caller has one.
func (f *File) IncRef() { f.refs.Add(1) }

// Refs is how many references there are at this moment.
func (f *File) Refs() int64 { return f.refs.Load() }

// tryIncRef takes a reference unless the last has gone.
func (f *File) tryIncRef() bool { return refs.TryInc(&f.refs) }

// DecRef gives a reference back; with the last f is released.
func (f *File) DecRef() { f.drop() }

// drop is DecRef, and reports whether it was the last.
func (f *File) drop() (last bool) {
	n := f.refs.Add(-1)
	if n > 0 {
		return false
	}
	if n < 0 {
		panic("vfs: file reference dropped twice")
	}
	f.release()
	return true
}

func (f *File) release() {
	f.tellReleasers()
	if f.mode&modePath == 0 {
		if f.inode.locked() {
			f.inode.releaseLocks(f, f)
		}
		if f.mode&modeWrite != 0 {
			f.notify(unix.IN_CLOSE_WRITE)
		} else {
			f.notify(unix.IN_CLOSE_NOWRITE)
		}
		f.ops.Release(f)
		if f.mode&modeWriter != 0 {
			f.inode.putWriter()
			f.path.Mount.putWrite()
		}
	}
	f.path.DecRef()
}

// Inode is the object that f is.
func (f *File) Inode() *Inode { return f.inode }

// Path is where f was opened, without a reference of its own.
func (f *File) Path() Path { return f.path }

// Ops is what f does.
func (f *File) Ops() FileOps { return f.ops }

// Cred are the credentials of who opened f.
func (f *File) Cred() *cred.Credentials { return f.cred }

// Flags are the O_* flags: access mode and status flags.
func (f *File) Flags() uint32 { return f.flags.Load() }

// SettableFlags are the status flags that fcntl(2) F_SETFL can change.
const SettableFlags = unix.O_APPEND | unix.O_ASYNC | unix.O_DIRECT | unix.O_NOATIME | unix.O_NONBLOCK

// SetFlags replaces the flags in mask.
func (f *File) SetFlags(flags, mask uint32) {
	for {
		old := f.flags.Load()
		if f.flags.CompareAndSwap(old, old&^mask|flags&mask) {
			return
		}
	}
}

// Nonblocking reports whether O_NONBLOCK is set.
func (f *File) Nonblocking() bool { return f.flags.Load()&unix.O_NONBLOCK != 0 }

// Readable reports whether f is open for reading.
func (f *File) Readable() bool { return f.mode&modeRead != 0 }

// Writable reports whether f is open for writing.
func (f *File) Writable() bool { return f.mode&modeWrite != 0 }

// IsPath reports whether f was opened with O_PATH.
func (f *File) IsPath() bool { return f.mode&modePath != 0 }

// SetStream says that f has no position: lseek(2), pread(2) and pwrite(2) give
// ESPIPE. For use in Open, or before anybody else sees f.
func (f *File) SetStream() { f.mode |= modeStream }

// Stream reports whether f has no position.
func (f *File) Stream() bool { return f.mode&modeStream != 0 }

// Owner is who gets SIGIO; nil for nobody.
func (f *File) Owner() *Owner { return f.owner.Load() }

// SetOwner sets who gets SIGIO.
func (f *File) SetOwner(o *Owner) { f.owner.Store(o) }

// Pos is the position; the caller is in a method of FileOps that has it locked, or
// takes what it gets.
func (f *File) Pos() int64 { return f.pos }

// Read reads at the position and advances it.
func (f *File) Read(ctx *Context, dst *usermem.Seq, flags uint32) (int, error) {
	if f.mode&(modeRead|modePath) != modeRead {
		return 0, unix.EBADF
	}
	var n int
	var err error
	if f.mode&modeStream != 0 {
		n, err = f.ops.Read(ctx, f, dst, 0, flags)
	} else {
		f.posMu.Lock()
		n, err = f.ops.Read(ctx, f, dst, f.pos, flags)
		f.pos += int64(n)
		f.posMu.Unlock()
	}
	if n > 0 {
		f.notify(unix.IN_ACCESS)
	}
	return n, err
}

// Pread reads at off. ESPIPE for streams, EINVAL for a negative off.
func (f *File) Pread(ctx *Context, dst *usermem.Seq, off int64, flags uint32) (int, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	if f.mode&modePath != 0 {
		return 0, unix.EBADF
	}
	if f.mode&(modeStream|modeNoPread) != 0 {
		return 0, unix.ESPIPE
	}
	if f.mode&modeRead == 0 {
		return 0, unix.EBADF
	}
	n, err := f.ops.Read(ctx, f, dst, off, flags)
	if n > 0 {
		f.notify(unix.IN_ACCESS)
	}
	return n, err
}

// Write writes at the position, or at the end (O_APPEND), and advances it.
func (f *File) Write(ctx *Context, src *usermem.Seq, flags uint32) (int, error) {
	if f.mode&(modeWrite|modePath) != modeWrite {
		return 0, unix.EBADF
	}
	if f.mode&modeStream != 0 {
		n, err := f.ops.Write(ctx, f, src, 0, flags)
		if n > 0 {
			f.notify(unix.IN_MODIFY)
		}
		return n, err
	}
	f.posMu.Lock()
	defer f.posMu.Unlock()
	n, app, err := f.write(ctx, src, f.pos, flags)
	if app {
		if n > 0 {
			f.pos = f.inode.Size()
		}
	} else {
		f.pos += int64(n)
	}
	return n, err
}

// Pwrite writes at off, or at the end (O_APPEND). ESPIPE for streams, EINVAL for a
// negative off.
func (f *File) Pwrite(ctx *Context, src *usermem.Seq, off int64, flags uint32) (int, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	if f.mode&modePath != 0 {
		return 0, unix.EBADF
	}
	if f.mode&(modeStream|modeNoPread) != 0 {
		return 0, unix.ESPIPE
	}
	if f.mode&modeWrite == 0 {
		return 0, unix.EBADF
	}
	n, _, err := f.write(ctx, src, off, flags)
	return n, err
}

// write writes to a file with positions; app says that it was at the end.
func (f *File) write(ctx *Context, src *usermem.Seq, off int64, flags uint32) (n int, app bool, err error) {
	status := f.flags.Load()
	if status&unix.O_APPEND != 0 && flags&rwfNoappend == 0 {
		flags |= unix.RWF_APPEND
	}
	app = flags&unix.RWF_APPEND != 0
	if f.inode.IsRegular() {
		if app {
			off = f.inode.Size()
		}
		if src.Len() > 0 && ctx.FileSizeLimit != unix.RLIM_INFINITY {
			if uint64(off) >= ctx.FileSizeLimit {
				return 0, app, EFSIZE
			}
			src.Truncate(ctx.FileSizeLimit - uint64(off))
		}
		if f.inode.Mode()&(unix.S_ISUID|unix.S_ISGID) != 0 {
			f.inode.killSetID(ctx)
		}
	}
	n, err = f.ops.Write(ctx, f, src, off, flags)
	if n > 0 {
		f.notify(unix.IN_MODIFY)
	}
	if n > 0 && (status&unix.O_DSYNC != 0 || flags&(unix.RWF_SYNC|unix.RWF_DSYNC) != 0) {
		if e := f.ops.Fsync(ctx, f, status&unix.O_SYNC != unix.O_SYNC && flags&unix.RWF_SYNC == 0); e != nil && e != unix.EINVAL {
			return 0, app, e
		}
	}
	return n, app, err
}

// rwfNoappend is RWF_NOAPPEND of pwritev2(2).
const rwfNoappend = 0x20

// Seek changes the position: lseek(2).
func (f *File) Seek(ctx *Context, off int64, whence int) (int64, error) {
	if f.mode&modePath != 0 {
		return 0, unix.EBADF
	}
	if f.mode&modeStream != 0 {
		return 0, unix.ESPIPE
	}
	f.posMu.Lock()
	defer f.posMu.Unlock()
	n, err := f.ops.Seek(ctx, f, off, whence)
	if err == nil {
		f.pos = n
	}
	return n, err
}

// SeekSized works out lseek(2) for a file of the given size without holes; for
// use in FileOps.Seek.
func SeekSized(f *File, off int64, whence int, size int64) (int64, error) {
	switch whence {
	case unix.SEEK_SET:
	case unix.SEEK_CUR:
		off += f.pos // past the largest offset it gets negative
	case unix.SEEK_END:
		off += size
	case unix.SEEK_DATA:
		if off < 0 || off >= size {
			return 0, unix.ENXIO
		}
		return off, nil
	case unix.SEEK_HOLE:
		if off < 0 || off >= size {
			return 0, unix.ENXIO
		}
		return size, nil
	default:
		return 0, unix.EINVAL
	}
	if off < 0 {
		return 0, unix.EINVAL
	}
	return off, nil
}

// ReadDir passes entries from the position on to e.Func and advances the
// position. ENOTDIR if f is no directory, ENOENT if it was removed.
func (f *File) ReadDir(ctx *Context, e *DirEmitter) error {
	if f.mode&(modeRead|modePath) != modeRead {
		return unix.EBADF
	}
	if !f.inode.IsDir() {
		return unix.ENOTDIR
	}
	f.posMu.Lock()
	defer f.posMu.Unlock()
	f.inode.mu.RLock()
	defer f.inode.mu.RUnlock()
	if f.inode.dead.Load() {
		return unix.ENOENT
	}
	e.Pos = f.pos
	err := f.ops.ReadDir(ctx, f, e)
	f.pos = e.Pos
	f.Accessed()
	f.notify(unix.IN_ACCESS)
	return err
}

// Accessed sets the time of the last access as the mount and O_NOATIME want it;
// reads call it. It changes only the Inode's attribute.
func (f *File) Accessed() {
	if f.flags.Load()&unix.O_NOATIME == 0 && f.path.Mount != nil {
		f.path.Mount.touchAtime(f.inode)
	}
}

// Readiness returns which of the events in mask hold.
func (f *File) Readiness(mask wait.Events) wait.Events {
	return f.ops.Readiness(mask | wait.Err | wait.Hup)
}

// Fsync makes f durable: fsync(2), fdatasync(2).
func (f *File) Fsync(ctx *Context, dataOnly bool) error {
	if f.mode&modePath != 0 {
		return unix.EBADF
	}
	return f.ops.Fsync(ctx, f, dataOnly)
}

// Fallocate serves fallocate(2).
func (f *File) Fallocate(ctx *Context, mode uint32, off, length int64) error {
	const known = unix.FALLOC_FL_KEEP_SIZE | unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_COLLAPSE_RANGE |
		unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_INSERT_RANGE | unix.FALLOC_FL_UNSHARE_RANGE
	if off < 0 || length <= 0 {
		return unix.EINVAL
	}
	if mode&^known != 0 {
		return unix.EOPNOTSUPP
	}
	if mode&unix.FALLOC_FL_PUNCH_HOLE != 0 && mode&unix.FALLOC_FL_KEEP_SIZE == 0 {
		return unix.EOPNOTSUPP
	}
	if mode&(unix.FALLOC_FL_COLLAPSE_RANGE|unix.FALLOC_FL_INSERT_RANGE) != 0 && mode&(mode-1) != 0 {
		return unix.EINVAL
	}
	if f.mode&modeWrite == 0 {
		return unix.EBADF
	}
	switch f.inode.Type() {
	case unix.S_IFREG, unix.S_IFBLK:
	case unix.S_IFDIR:
		return unix.EISDIR
	case unix.S_IFIFO:
		return unix.ESPIPE
	default:
		return unix.ENODEV
	}
	if off+length < 0 || off+length > f.inode.sb.MaxSize {
		return unix.EFBIG
	}
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 && uint64(off+length) > ctx.FileSizeLimit && off+length > f.inode.Size() {
		return EFSIZE
	}
	err := f.ops.Fallocate(ctx, f, mode, off, length)
	if err == nil {
		f.notify(unix.IN_MODIFY)
	}
	return err
}
