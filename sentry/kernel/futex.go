package kernel

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/mm"
)

// Bits of a robust or priority-inheritance futex word, futex(2).
const (
	futexWaiters   = 0x80000000
	futexOwnerDied = 0x40000000
	futexTIDMask   = 0x3fffffff
	futexMatchAny  = 0xffffffff
)

// A futexKey says which word a futex is, wherever it is mapped.
type futexKey struct {
	mm     *mm.MemoryManager // of a private futex
	shared any               // what a shared futex lies in: a memory file or host file
	off    uint64            // address, or offset in what is shared
}

// futexBuckets is the number of buckets of waiters.
const futexBuckets = 1024

// A futexTable holds all waiters of the sandbox by the hash of their key.
type futexTable struct {
	buckets [futexBuckets]futexBucket
}

// A futexBucket is a list of waiters. Words are compared with its lock held, so a
// memory manager's lock comes after it.
type futexBucket struct {
	mu         sync.Mutex
	index      int
	head, tail *futexWaiter
}

// A futexWaiter is one wait for one word.
type futexWaiter struct {
	task       *Task
	key        futexKey
	bitset     uint32
	pi         bool
	bucket     atomic.Pointer[futexBucket] // where it is queued; nil once woken. Changes with the bucket's lock held
	next, prev *futexWaiter
}

func (f *futexTable) init() {
	for i := range f.buckets {
		f.buckets[i].index = i
	}
}

func (f *futexTable) bucket(key *futexKey) *futexBucket {
	h := key.off >> 2 * 0x9e3779b97f4a7c15
	return &f.buckets[h>>54%futexBuckets]
}

func (b *futexBucket) add(w *futexWaiter) {
	w.bucket.Store(b)
	w.prev, w.next = b.tail, nil
	if b.tail != nil {
		b.tail.next = w
	} else {
		b.head = w
	}
	b.tail = w
}

func (b *futexBucket) remove(w *futexWaiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		b.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		b.tail = w.prev
	}
	w.next, w.prev = nil, nil
	w.bucket.Store(nil)
}

// dequeue takes w off its queue and reports whether it was on one.
func (w *futexWaiter) dequeue() bool {
	for {
		b := w.bucket.Load()
		if b == nil {
			return false
		}
		b.mu.Lock()
		if w.bucket.Load() == b {
			b.remove(w)
			b.mu.Unlock()
			return true
		}
		b.mu.Unlock()
	}
}

// wake wakes up to n waiters for key whose bitset meets mask. b.mu is held.
func (b *futexBucket) wake(key *futexKey, n int32, mask uint32) int32 {
	woken := int32(0)
	for w := b.head; w != nil && woken < n; {
		next := w.next
		if w.key == *key && w.bitset&mask != 0 && !w.pi {
			b.remove(w)
			w.task.waker.wake()
			woken++
		}
		w = next
	}
	return woken
}

// futexKey returns the key of the word at addr. EINVAL if it is not aligned,
// EFAULT.
func (t *Task) futexKey(addr uint64, private bool) (futexKey, error) {
	if addr&3 != 0 {
		return futexKey{}, unix.EINVAL
	}
	m := t.MM()
	if m == nil {
		return futexKey{}, unix.EFAULT
	}
	if private {
		if _, hi := t.k.platform.UserRange(); addr >= hi {
			return futexKey{}, unix.EFAULT
		}
		return futexKey{mm: m, off: addr}, nil
	}
	obj, off, err := m.FutexKey(addr)
	if err != nil {
		return futexKey{}, err
	}
	if obj == nil {
		return futexKey{mm: m, off: addr}, nil
	}
	return futexKey{shared: obj, off: off}, nil
}

// FutexWait waits for a wake-up of the word at addr as long as it holds val, until
// the deadline: FUTEX_WAIT, FUTEX_WAIT_BITSET. EAGAIN if the value is another,
// ETIMEDOUT, ErrRestartSys, EFAULT, EINVAL.
func (t *Task) FutexWait(addr uint64, private bool, val, bitset uint32, deadline int64) error {
	if bitset == 0 {
		return unix.EINVAL
	}
	key, err := t.futexKey(addr, private)
	if err != nil {
		return err
	}
	w := &t.futex
	w.key, w.bitset, w.pi = key, bitset, false
	b := t.k.futexes.bucket(&key)
	b.mu.Lock()
	v, err := t.fs.Mem.LoadUint32(addr)
	if err != nil || v != val {
		b.mu.Unlock()
		if err == nil {
			err = unix.EAGAIN
		}
		return err
	}
	b.add(w)
	b.mu.Unlock()
	for {
		err := t.Block(deadline)
		if w.bucket.Load() == nil {
			return nil
		}
		if err != nil {
			if !w.dequeue() {
				return nil
			}
			return err
		}
	}
}

// FutexWake wakes up to n tasks that wait for the word at addr with a bitset that
// meets mask: FUTEX_WAKE, FUTEX_WAKE_BITSET. It returns how many.
func (t *Task) FutexWake(addr uint64, private bool, n int32, mask uint32) (int32, error) {
	if mask == 0 {
		return 0, unix.EINVAL
	}
	key, err := t.futexKey(addr, private)
	if err != nil {
		return 0, err
	}
	b := t.k.futexes.bucket(&key)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wake(&key, max(n, 1), mask), nil
}

// lockBuckets locks two buckets, which may be one.
func lockBuckets(a, b *futexBucket) {
	if a == b {
		a.mu.Lock()
		return
	}
	if a.index > b.index {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
}

func unlockBuckets(a, b *futexBucket) {
	a.mu.Unlock()
	if a != b {
		b.mu.Unlock()
	}
}

// FutexRequeue wakes up to wake waiters for addr and moves up to move of the others
// to addr2: FUTEX_REQUEUE, and FUTEX_CMP_REQUEUE if the word must hold *cmp
// (EAGAIN). It returns how many were woken and moved.
func (t *Task) FutexRequeue(addr, addr2 uint64, private, private2 bool, wake, move int32, cmp *uint32) (woken, moved int32, err error) {
	if wake < 0 || move < 0 {
		return 0, 0, unix.EINVAL
	}
	key, err := t.futexKey(addr, private)
	if err != nil {
		return 0, 0, err
	}
	key2, err := t.futexKey(addr2, private2)
	if err != nil {
		return 0, 0, err
	}
	b, b2 := t.k.futexes.bucket(&key), t.k.futexes.bucket(&key2)
	lockBuckets(b, b2)
	defer unlockBuckets(b, b2)
	if cmp != nil {
		v, err := t.fs.Mem.LoadUint32(addr)
		if err != nil {
			return 0, 0, err
		}
		if v != *cmp {
			return 0, 0, unix.EAGAIN
		}
	}
	woken = b.wake(&key, wake, futexMatchAny)
	if key == key2 {
		return woken, 0, nil
	}
	for w := b.head; w != nil && moved < move; {
		next := w.next
		if w.key == key && !w.pi {
			b.remove(w)
			w.key = key2
			b2.add(w)
			moved++
		}
		w = next
	}
	return woken, moved, nil
}

// FutexWakeOp changes the word at addr2 by op, wakes up to n waiters for addr and,
// if the old value compares, up to n2 for addr2: FUTEX_WAKE_OP.
func (t *Task) FutexWakeOp(addr, addr2 uint64, private bool, n, n2 int32, op uint32) (int32, error) {
	key, err := t.futexKey(addr, private)
	if err != nil {
		return 0, err
	}
	key2, err := t.futexKey(addr2, private)
	if err != nil {
		return 0, err
	}
	b, b2 := t.k.futexes.bucket(&key), t.k.futexes.bucket(&key2)
	lockBuckets(b, b2)
	defer unlockBuckets(b, b2)
	old, err := t.futexAtomic(addr2, op)
	if err != nil {
		return 0, err
	}
	ok, err := futexCompare(old, op)
	if err != nil {
		return 0, err
	}
	woken := b.wake(&key, max(n, 1), futexMatchAny)
	if ok {
		woken += b2.wake(&key2, max(n2, 1), futexMatchAny)
	}
	return woken, nil
}

// futexAtomic carries out the operation of FUTEX_WAKE_OP and returns the old value.
func (t *Task) futexAtomic(addr uint64, op uint32) (uint32, error) {
	arg := uint32(int32(op<<8) >> 20)
	if op>>28&8 != 0 { // FUTEX_OP_ARG_SHIFT
		arg = 1 << (arg & 31)
	}
	old, err := t.fs.Mem.LoadUint32(addr)
	for err == nil {
		var v uint32
		switch op >> 28 & 7 {
		case 0:
			v = arg
		case 1:
			v = old + arg
		case 2:
			v = old | arg
		case 3:
			v = old &^ arg
		case 4:
			v = old ^ arg
		default:
			return 0, unix.ENOSYS
		}
		var prev uint32
		prev, err = t.fs.Mem.CompareAndSwapUint32(addr, old, v)
		if err == nil && prev == old {
			return old, nil
		}
		old = prev
	}
	return 0, err
}

// futexCompare is the comparison of FUTEX_WAKE_OP.
func futexCompare(old, op uint32) (bool, error) {
	v, arg := int32(old), int32(op<<20)>>20
	switch op >> 24 & 15 {
	case 0:
		return v == arg, nil
	case 1:
		return v != arg, nil
	case 2:
		return v < arg, nil
	case 3:
		return v <= arg, nil
	case 4:
		return v > arg, nil
	case 5:
		return v >= arg, nil
	}
	return false, unix.ENOSYS
}

// A FutexWaitV is one word of futex_waitv(2).
type FutexWaitV struct {
	Addr    uint64
	Val     uint32
	Private bool
}

// FutexWaitV waits for a wake-up of any of the words, as long as all hold their
// values, and returns the index of the one woken: futex_waitv(2). Errors as
// FutexWait.
func (t *Task) FutexWaitV(list []FutexWaitV, deadline int64) (int, error) {
	ws := make([]futexWaiter, len(list))
	drop := func(n int) (woken int) {
		woken = -1
		for i := range ws[:n] {
			if !ws[i].dequeue() {
				woken = i
			}
		}
		return woken
	}
	for i := range list {
		w := &ws[i]
		key, err := t.futexKey(list[i].Addr, list[i].Private)
		if err == nil {
			w.task, w.key, w.bitset = t, key, futexMatchAny
			b := t.k.futexes.bucket(&key)
			b.mu.Lock()
			var v uint32
			if v, err = t.fs.Mem.LoadUint32(list[i].Addr); err == nil && v != list[i].Val {
				err = unix.EAGAIN
			}
			if err == nil {
				b.add(w)
			}
			b.mu.Unlock()
		}
		if err != nil {
			if n := drop(i); n >= 0 {
				return n, nil
			}
			return 0, err
		}
	}
	for {
		err := t.Block(deadline)
		for i := range ws {
			if ws[i].bucket.Load() == nil {
				drop(len(ws))
				return i, nil
			}
		}
		if err != nil {
			if n := drop(len(ws)); n >= 0 {
				return n, nil
			}
			return 0, err
		}
	}
}

// FutexRestart continues a FutexWait that a signal has interrupted, for
// restart_syscall(2).
type FutexRestart struct {
	Addr        uint64
	Private     bool
	Val, Bitset uint32
	Deadline    int64
}

// Restart implements RestartBlock.
func (r *FutexRestart) Restart(t *Task) (uint64, error) {
	err := t.FutexWait(r.Addr, r.Private, r.Val, r.Bitset, r.Deadline)
	if err == ErrRestartSys && r.Deadline != clock.Never {
		t.SetRestart(r)
		err = ErrRestartBlock
	}
	return 0, err
}
