package vfs

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"casemate/vfs/wait"

	"golang.org/x/sys/unix"
)

// A Lock is a record lock: fcntl(2), "Advisory record locking".
type Lock struct {
	// Type is F_RDLCK, F_WRLCK or F_UNLCK.
	Type int16
	// Start and End are the first and the last byte; End is MaxLockEnd if the
	// lock reaches to the end of the file, wherever that is.
	Start, End int64
	// Owner is whose lock it is: a process, or for locks of an open file
	// description the File.
	Owner any
	// PID is what F_GETLK shows, OFDPID for locks of an open file description.
	PID int32
}

// OFDPID is the PID of a Lock of an open file description.
const OFDPID = -1

// MaxLockEnd is the End of a lock without one.
const MaxLockEnd = math.MaxInt64

// inodeLocks has the locks on a file.
type inodeLocks struct {
	count atomic.Int32 // of records and whole-file locks
	queue wait.Queue   // notified when a lock goes

	mu      sync.Mutex
	records []Lock // by Start for each Owner
	flocks  []flock
}

// A flock is a lock of flock(2).
type flock struct {
	file      *File
	exclusive bool
}

// conflict returns a lock that keeps l from being had.
func (s *inodeLocks) conflict(l *Lock) *Lock {
	for i := range s.records {
		o := &s.records[i]
		if o.Owner != l.Owner && o.Start <= l.End && l.Start <= o.End && (o.Type == unix.F_WRLCK || l.Type == unix.F_WRLCK) {
			return o
		}
	}
	return nil
}

// set makes l the owner's lock on its range, whatever that was; l conflicts with
// nobody.
func (s *inodeLocks) set(l *Lock) {
	var out []Lock
	n := *l
	for _, o := range s.records {
		if o.Owner != l.Owner || o.End < l.Start && (o.Type != l.Type || o.End+1 < l.Start) ||
			o.Start > l.End && (o.Type != l.Type || o.Start-1 > l.End) {
			out = append(out, o)
			continue
		}
		if o.Type == l.Type {
			// They become one.
			n.Start, n.End = min(n.Start, o.Start), max(n.End, o.End)
			continue
		}
		if o.Start < l.Start {
			left := o
			left.End = l.Start - 1
			out = append(out, left)
		}
		if o.End > l.End {
			right := o
			right.Start = l.End + 1
			out = append(out, right)
		}
	}
	if l.Type != unix.F_UNLCK {
		out = append(out, n)
	}
	slices.SortStableFunc(out, func(a, b Lock) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	s.records = out
	s.count.Store(int32(len(s.records) + len(s.flocks)))
}

// SetLock takes, changes or gives up a record lock on f: F_SETLK. EAGAIN if
// somebody else's is in the way; waiting says that the caller is going to wait
// for LockQueue and try again (EDEADLK), or CancelLock.
func (f *File) SetLock(l *Lock, waiting bool) error {
	switch l.Type {
	case unix.F_RDLCK:
		if !f.Readable() {
			return unix.EBADF
		}
	case unix.F_WRLCK:
		if !f.Writable() {
			return unix.EBADF
		}
	}
	v := f.inode.sb.vfs
	s := &f.inode.more().locks
	s.mu.Lock()
	if l.Type != unix.F_UNLCK {
		if o := s.conflict(l); o != nil {
			owner, open := o.Owner, l.PID == OFDPID || o.PID == OFDPID
			s.mu.Unlock()
			switch {
			case !waiting:
			case open:
				// Whether an open file description waits for ever cannot be known: others may share it.
				v.lockWaits.remove(l.Owner)
			case !v.lockWaits.add(l.Owner, owner):
				return unix.EDEADLK
			}
			return unix.EAGAIN
		}
	}
	s.set(l)
	s.mu.Unlock()
	v.lockWaits.remove(l.Owner)
	s.queue.Notify(wait.In)
	return nil
}

// CancelLock says that owner does not wait for a lock any more.
func (f *File) CancelLock(owner any) { f.inode.sb.vfs.lockWaits.remove(owner) }

// GetLock returns a lock that keeps l from being had: F_GETLK. ok is false if
// there is none.
func (f *File) GetLock(l *Lock) (o Lock, ok bool) {
	s := &f.inode.more().locks
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conflict(l); c != nil {
		return *c, true
	}
	return Lock{}, false
}

// LockQueue is notified (In) when a lock on f's file goes.
func (f *File) LockQueue() *wait.Queue { return &f.inode.more().locks.queue }

// Flock takes or gives up a lock of flock(2) on f: typ is LOCK_SH, LOCK_EX or
// LOCK_UN. EAGAIN if somebody else's is in the way: see LockQueue.
func (f *File) Flock(typ int) error {
	s := &f.inode.more().locks
	s.mu.Lock()
	mine := -1
	for i := range s.flocks {
		if s.flocks[i].file == f {
			mine = i
		}
	}
	exclusive := typ == unix.LOCK_EX
	if mine >= 0 {
		if typ != unix.LOCK_UN && s.flocks[mine].exclusive == exclusive {
			s.mu.Unlock()
			return nil
		}
		// A change gives the old lock up first, as Linux does.
		s.flocks = slices.Delete(s.flocks, mine, mine+1)
	}
	err := error(nil)
	if typ != unix.LOCK_UN {
		for i := range s.flocks {
			if exclusive || s.flocks[i].exclusive {
				err = unix.EAGAIN
			}
		}
		if err == nil {
			s.flocks = append(s.flocks, flock{f, exclusive})
		}
	}
	s.count.Store(int32(len(s.records) + len(s.flocks)))
	s.mu.Unlock()
	if mine >= 0 {
		s.queue.Notify(wait.In)
	}
	return err
}

// locked reports whether there are locks on in.
func (in *Inode) locked() bool {
	x := in.extra.Load()
	return x != nil && x.locks.count.Load() > 0
}

// releaseLocks gives up all record locks of owner, and the whole-file lock of f.
func (in *Inode) releaseLocks(owner any, f *File) {
	s := &in.more().locks
	s.mu.Lock()
	before := len(s.records) + len(s.flocks)
	s.records = slices.DeleteFunc(s.records, func(l Lock) bool { return l.Owner == owner })
	if f != nil {
		s.flocks = slices.DeleteFunc(s.flocks, func(l flock) bool { return l.file == f })
	}
	after := len(s.records) + len(s.flocks)
	s.count.Store(int32(after))
	s.mu.Unlock()
	if after != before {
		s.queue.Notify(wait.In)
	}
}

// Locks calls f for every lock on in, for /proc/locks; flock says that it is one
// of flock(2).
func (in *Inode) Locks(f func(l Lock, flock bool)) {
	x := in.extra.Load()
	if x == nil {
		return
	}
	x.locks.mu.Lock()
	defer x.locks.mu.Unlock()
	for _, l := range x.locks.records {
		f(l, false)
	}
	for _, l := range x.locks.flocks {
		typ := int16(unix.F_RDLCK)
		if l.exclusive {
			typ = unix.F_WRLCK
		}
		f(Lock{Type: typ, End: MaxLockEnd, Owner: l.file}, true)
	}
}

// lockWaits knows which owner waits for which other's record lock, to find
// deadlocks.
type lockWaits struct {
	mu sync.Mutex
	on map[any]any
}

// add notes that a waits for b, or reports false because b waits for a.
func (w *lockWaits) add(a, b any) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for o, ok := b, true; ok; o, ok = w.on[o] {
		if o == a {
			return false
		}
	}
	if w.on == nil {
		w.on = make(map[any]any)
	}
	w.on[a] = b
	return true
}

func (w *lockWaits) remove(a any) {
	w.mu.Lock()
	delete(w.on, a)
	w.mu.Unlock()
}
