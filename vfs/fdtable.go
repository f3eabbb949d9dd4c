package vfs

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MaxFDs is the largest number of descriptors that a table can have (fs.nr_open).
const MaxFDs = 1 << 20

// An FDTable is a table of file descriptors. Get takes no lock.
type FDTable struct {
	slots atomic.Pointer[[]atomic.Pointer[File]]

	mu      sync.Mutex
	refs    int
	open    []uint64 // bitmap of descriptors in use or reserved
	cloexec []uint64
	next    int // no free descriptor below
}

// NewFDTable returns an empty table with one reference.
func NewFDTable() *FDTable {
	t := &FDTable{refs: 1}
	t.grow(64)
	return t
}

// Capacity is the number of descriptors for which there is room (FDSize in
// /proc/PID/status).
func (t *FDTable) Capacity() int { return len(*t.slots.Load()) }

// grow makes room for n descriptors at least. t.mu is held, or t is new.
func (t *FDTable) grow(n int) {
	size := 64
	for size < n {
		size *= 2
	}
	slots := make([]atomic.Pointer[File], size)
	if old := t.slots.Load(); old != nil {
		for i := range *old {
			slots[i].Store((*old)[i].Load())
		}
	}
	open, cloexec := make([]uint64, size/64), make([]uint64, size/64)
	copy(open, t.open)
	copy(cloexec, t.cloexec)
	t.open, t.cloexec = open, cloexec
	t.slots.Store(&slots)
}

// IncRef takes a reference, for a task that shares t (CLONE_FILES).
func (t *FDTable) IncRef() {
	t.mu.Lock()
	t.refs++
	t.mu.Unlock()
}

// DecRef gives a reference back; with the last, all descriptors are closed on
// behalf of ctx. owner is whose record locks go (see Close).
func (t *FDTable) DecRef(ctx *Context, owner any) {
	t.mu.Lock()
	t.refs--
	last := t.refs == 0
	t.mu.Unlock()
	if last {
		t.closeIf(ctx, owner, func(*FDTable, int) bool { return true }, 0, MaxFDs)
	}
}

// Shared reports whether there is more than one reference.
func (t *FDTable) Shared() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refs > 1
}

// Get returns the file of a descriptor with a reference; nil (EBADF) if there is
// none, or it was opened with O_PATH.
func (t *FDTable) Get(fd int32) *File {
	f := t.GetPath(fd)
	if f != nil && f.mode&modePath != 0 {
		f.DecRef()
		return nil
	}
	return f
}

// GetPath is Get, but for O_PATH descriptors too.
func (t *FDTable) GetPath(fd int32) *File {
	for {
		slots := *t.slots.Load()
		if uint32(fd) >= uint32(len(slots)) {
			return nil
		}
		f := slots[fd].Load()
		if f == nil {
			return nil
		}
		if f.tryIncRef() {
			return f
		}
		// Its last reference has gone since: the slot has changed.
	}
}

// Reserve takes the lowest free descriptor not below min, for a file that is
// still to be opened; Install or Unreserve must follow. limit is RLIMIT_NOFILE: EMFILE.
func (t *FDTable) Reserve(min int32, limit uint64) (int32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fd := t.findFree(max(int(min), t.next))
	if uint64(fd) >= limit || fd >= MaxFDs {
		return -1, unix.EMFILE
	}
	if int(min) <= t.next {
		t.next = fd + 1
	}
	t.reserve(fd)
	return int32(fd), nil
}

// reserve marks fd used; t.mu is held.
func (t *FDTable) reserve(fd int) {
	if fd >= len(*t.slots.Load()) {
		t.grow(fd + 1)
	}
	t.open[fd/64] |= 1 << (fd % 64)
}

func (t *FDTable) findFree(from int) int {
	for i := from / 64; i < len(t.open); i++ {
		free := ^t.open[i]
		if i == from/64 {
			free &= ^uint64(0) << (from % 64)
		}
		if free != 0 {
			return i*64 + bits.TrailingZeros64(free)
		}
	}
	return max(from, len(t.open)*64)
}

// Install makes a reserved descriptor refer to f; it takes over the reference.
func (t *FDTable) Install(fd int32, f *File, cloexec bool) {
	t.mu.Lock()
	t.setCloexec(int(fd), cloexec)
	(*t.slots.Load())[fd].Store(f)
	t.mu.Unlock()
}

// Unreserve gives a reserved descriptor back.
func (t *FDTable) Unreserve(fd int32) {
	t.mu.Lock()
	t.free(int(fd))
	t.mu.Unlock()
}

func (t *FDTable) free(fd int) {
	t.open[fd/64] &^= 1 << (fd % 64)
	t.cloexec[fd/64] &^= 1 << (fd % 64)
	t.next = min(t.next, fd)
}

func (t *FDTable) setCloexec(fd int, on bool) {
	if on {
		t.cloexec[fd/64] |= 1 << (fd % 64)
	} else {
		t.cloexec[fd/64] &^= 1 << (fd % 64)
	}
}

// Add makes the lowest free descriptor not below min refer to f and returns it. It
// takes over the reference, if it does not fail.
func (t *FDTable) Add(f *File, min int32, cloexec bool, limit uint64) (int32, error) {
	fd, err := t.Reserve(min, limit)
	if err != nil {
		return -1, err
	}
	t.Install(fd, f, cloexec)
	return fd, nil
}

// Replace makes newfd refer to f, closing what was there: dup2(2), dup3(2). It
// takes over the reference, if it does not fail: EBADF for a newfd beyond limit,
// EBUSY if newfd is reserved by an open(2) that is under way.
func (t *FDTable) Replace(ctx *Context, owner any, newfd int32, f *File, cloexec bool, limit uint64) error {
	if newfd < 0 || uint64(newfd) >= limit || newfd >= MaxFDs {
		return unix.EBADF
	}
	fd := int(newfd)
	t.mu.Lock()
	used := fd < len(*t.slots.Load()) && t.open[fd/64]>>(fd%64)&1 != 0
	var old *File
	if used {
		if old = (*t.slots.Load())[fd].Load(); old == nil {
			t.mu.Unlock()
			return unix.EBUSY
		}
	}
	t.reserve(fd)
	t.setCloexec(fd, cloexec)
	(*t.slots.Load())[fd].Store(f)
	t.mu.Unlock()
	if old != nil {
		old.flush(ctx)
		old.leave(ctx, owner)
	}
	return nil
}

// Close closes a descriptor: EBADF, or what the file's Flush says. owner is the
// process whose record locks on the file go (see Lock).
func (t *FDTable) Close(ctx *Context, owner any, fd int32) error {
	t.mu.Lock()
	var f *File
	if slots := *t.slots.Load(); uint(fd) < uint(len(slots)) {
		f = slots[fd].Swap(nil)
	}
	t.mu.Unlock()
	if f == nil {
		return unix.EBADF
	}
	return t.closeTaken(ctx, owner, fd, f)
}

// closeTaken closes a descriptor whose slot has been emptied of f. The number is free only when who
// watches the descriptor or its file has been told.
func (t *FDTable) closeTaken(ctx *Context, owner any, fd int32, f *File) error {
	err := f.flush(ctx)
	t.Unreserve(fd)
	f.leave(ctx, owner)
	return err
}

// CloseRange closes the descriptors first to last: close_range(2).
func (t *FDTable) CloseRange(ctx *Context, owner any, first, last uint32) {
	t.closeIf(ctx, owner, func(*FDTable, int) bool { return true }, int(first), int(last))
}

// CloexecRange sets close-on-exec for the descriptors first to last.
func (t *FDTable) CloexecRange(first, last uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for fd := int(first); fd <= int(last) && fd/64 < len(t.open); fd++ {
		if t.open[fd/64]>>(fd%64)&1 != 0 {
			t.setCloexec(fd, true)
		}
	}
}

// CloseOnExec closes the descriptors that have close-on-exec: execve(2).
func (t *FDTable) CloseOnExec(ctx *Context, owner any) {
	t.closeIf(ctx, owner, func(t *FDTable, fd int) bool { return t.cloexec[fd/64]>>(fd%64)&1 != 0 }, 0, MaxFDs)
}

// closeIf closes the descriptors from first to last for which cond, which is
// called with the lock held, is true.
func (t *FDTable) closeIf(ctx *Context, owner any, cond func(*FDTable, int) bool, first, last int) {
	for fd := first; fd <= last; fd++ {
		t.mu.Lock()
		slots := *t.slots.Load()
		var f *File
		for ; fd <= last && fd < len(slots); fd++ {
			if t.open[fd/64] == 0 {
				fd |= 63
				continue
			}
			if slots[fd].Load() != nil && cond(t, fd) {
				f = slots[fd].Swap(nil)
				break
			}
		}
		t.mu.Unlock()
		if f == nil {
			return
		}
		t.closeTaken(ctx, owner, int32(fd), f)
	}
}

// Cloexec reports whether a descriptor has close-on-exec; ok is false if it does
// not exist.
func (t *FDTable) Cloexec(fd int32) (on, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slots := *t.slots.Load()
	if uint32(fd) >= uint32(len(slots)) || slots[fd].Load() == nil {
		return false, false
	}
	return t.cloexec[fd/64]>>(fd%64)&1 != 0, true
}

// SetCloexec sets or clears close-on-exec: EBADF.
func (t *FDTable) SetCloexec(fd int32, on bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	slots := *t.slots.Load()
	if uint32(fd) >= uint32(len(slots)) || slots[fd].Load() == nil {
		return unix.EBADF
	}
	t.setCloexec(int(fd), on)
	return nil
}

// Fork returns a copy with one reference, of the descriptors below limit
// (fork(2): MaxFDs; close_range(2) with CLOSE_RANGE_UNSHARE may want fewer).
func (t *FDTable) Fork(limit uint32) *FDTable {
	t.mu.Lock()
	defer t.mu.Unlock()
	slots := *t.slots.Load()
	top := min(len(slots), int(limit))
	for top > 0 && slots[top-1].Load() == nil {
		top--
	}
	n := &FDTable{refs: 1}
	n.grow(top)
	to := *n.slots.Load()
	for fd := range top {
		if f := slots[fd].Load(); f != nil {
			f.IncRef()
			to[fd].Store(f)
			n.open[fd/64] |= 1 << (fd % 64)
			if t.cloexec[fd/64]>>(fd%64)&1 != 0 {
				n.cloexec[fd/64] |= 1 << (fd % 64)
			}
		}
	}
	return n
}

// Each calls f for every descriptor in order, with a reference that is good
// during the call (/proc/PID/fd). No lock is held.
func (t *FDTable) Each(f func(fd int32, file *File) bool) {
	for fd := int32(0); int(fd) < len(*t.slots.Load()); fd++ {
		file := t.GetPath(fd)
		if file == nil {
			continue
		}
		more := f(fd, file)
		file.DecRef()
		if !more {
			return
		}
	}
}
