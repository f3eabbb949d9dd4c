package kernel

import "golang.org/x/sys/unix"

// FutexLockPI takes the priority-inheritance lock at addr, waiting until the
// deadline, or not at all if try: FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI. Priorities are
// not inherited: all tasks have the same. EDEADLK, EAGAIN, ESRCH, ETIMEDOUT,
// ErrRestartNoIntr.
func (t *Task) FutexLockPI(addr uint64, private, try bool, deadline int64) error {
	key, err := t.futexKey(addr, private)
	if err != nil {
		return err
	}
	tid := uint32(t.TID())
	b := t.k.futexes.bucket(&key)
	w := &t.futex
	b.mu.Lock()
	v, err := t.fs.Mem.LoadUint32(addr)
	for {
		if err != nil {
			b.mu.Unlock()
			return err
		}
		var next uint32
		owner := v & futexTIDMask
		switch {
		case owner == tid:
			b.mu.Unlock()
			return unix.EDEADLK
		case owner == 0:
			next = tid | v&futexOwnerDied
			if b.hasPI(&key) {
				next |= futexWaiters
			}
		case try:
			b.mu.Unlock()
			return unix.EAGAIN
		default:
			next = v | futexWaiters
		}
		var prev uint32
		prev, err = t.fs.Mem.CompareAndSwapUint32(addr, v, next)
		if err != nil || prev != v {
			v = prev
			continue
		}
		if owner == 0 {
			b.mu.Unlock()
			return nil
		}
		break
	}
	w.key, w.bitset, w.pi = key, futexMatchAny, true
	b.add(w)
	b.mu.Unlock()
	if t.pid.ns.Task(int32(v&futexTIDMask)) == nil && w.dequeue() {
		return unix.ESRCH
	}
	for {
		err := t.Block(deadline)
		if w.bucket.Load() == nil {
			return nil
		}
		if err != nil {
			if !w.dequeue() {
				return nil
			}
			if err == ErrRestartSys {
				err = ErrRestartNoIntr
			}
			return err
		}
	}
}

// hasPI reports whether somebody waits for the lock. b.mu is held.
func (b *futexBucket) hasPI(key *futexKey) bool {
	for w := b.head; w != nil; w = w.next {
		if w.pi && w.key == *key {
			return true
		}
	}
	return false
}

// FutexUnlockPI gives the lock at addr to the first that waits, or frees it:
// FUTEX_UNLOCK_PI. EPERM if the caller does not hold it.
func (t *Task) FutexUnlockPI(addr uint64, private bool) error {
	key, err := t.futexKey(addr, private)
	if err != nil {
		return err
	}
	b := t.k.futexes.bucket(&key)
	b.mu.Lock()
	defer b.mu.Unlock()
	v, err := t.fs.Mem.LoadUint32(addr)
	if err != nil {
		return err
	}
	if v&futexTIDMask != uint32(t.TID()) {
		return unix.EPERM
	}
	return t.handOver(b, &key, addr, v, 0)
}

// handOver gives the PI lock that holds v to its first waiter, or sets it to free.
// b.mu is held.
func (t *Task) handOver(b *futexBucket, key *futexKey, addr uint64, v, free uint32) error {
	for {
		var first *futexWaiter
		next := free
		for w := b.head; w != nil; w = w.next {
			if !w.pi || w.key != *key {
				continue
			}
			if first == nil {
				first = w
				next = uint32(w.task.pid.own()) | free&futexOwnerDied
			} else {
				next |= futexWaiters
				break
			}
		}
		prev, err := t.fs.Mem.CompareAndSwapUint32(addr, v, next)
		if err != nil {
			return err
		}
		if prev == v {
			if first != nil {
				b.remove(first)
				first.task.waker.wake()
			}
			return nil
		}
		v = prev
	}
}

// robustListLimit is how many entries of a robust list are looked at.
const robustListLimit = 2048

// SetRobustList sets the head of the task's robust list, set_robust_list(2).
func (t *Task) SetRobustList(head uint64) { t.robustList = head }

// RobustList is the head of the task's robust list.
func (t *Task) RobustList() uint64 { return t.robustList }

// exitRobustList marks the robust futexes that the task holds as left by a dead
// owner, and wakes one waiter of each.
func (t *Task) exitRobustList() {
	head := t.robustList
	t.robustList = 0
	if head == 0 {
		return
	}
	var b [24]byte
	if _, err := t.fs.Mem.CopyIn(b[:], head); err != nil {
		return
	}
	word := func(i int) uint64 { return leUint64(b[8*i:]) }
	entry, offset, pendingEntry := word(0), word(1), word(2)
	for i := 0; entry&^1 != head && i < robustListLimit; i++ {
		var next [8]byte
		_, err := t.fs.Mem.CopyIn(next[:], entry&^1)
		if entry&^1 != pendingEntry&^1 {
			if t.ownerDied(entry&^1+offset, entry&1 != 0, false) != nil {
				return
			}
		}
		if err != nil {
			return
		}
		entry = leUint64(next[:])
	}
	if pendingEntry != 0 {
		t.ownerDied(pendingEntry&^1+offset, pendingEntry&1 != 0, true)
	}
}

// ownerDied deals with one robust futex.
func (t *Task) ownerDied(addr uint64, pi, pending bool) error {
	if addr&3 != 0 {
		return unix.EINVAL
	}
	v, err := t.fs.Mem.LoadUint32(addr)
	if err != nil {
		return err
	}
	if pending && !pi && v == 0 {
		t.FutexWake(addr, false, 1, futexMatchAny)
		return nil
	}
	for v&futexTIDMask == uint32(t.pid.own()) {
		if pi {
			key, err := t.futexKey(addr, false)
			if err != nil {
				return err
			}
			b := t.k.futexes.bucket(&key)
			b.mu.Lock()
			err = t.handOver(b, &key, addr, v, futexOwnerDied)
			b.mu.Unlock()
			return err
		}
		prev, err := t.fs.Mem.CompareAndSwapUint32(addr, v, v&futexWaiters|futexOwnerDied)
		if err != nil {
			return err
		}
		if prev == v {
			if v&futexWaiters != 0 {
				t.FutexWake(addr, false, 1, futexMatchAny)
				t.FutexWake(addr, true, 1, futexMatchAny)
			}
			return nil
		}
		v = prev
	}
	return nil
}
