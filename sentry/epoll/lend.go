package epoll

import (
	"slices"

	"casemate/platform/loan"
	"casemate/vfs"
	"casemate/vfs/wait"
)

// A thread that is the only one to use an epoll file may change its interest in a descriptor
// without an upcall (package loan): many event loops do so once or more for each event. What it
// has asked for is in the Loan until the epoll file's lock is taken for something that depends
// on it. An item that was deleted meanwhile stays, without its events, while it is lent.

// alone is how many times in a row one thread has used an epoll file before it is lent something.
const alone = 16

// Use is called before a thread's system call uses e; d is the thread's desk, or nil. It ends the
// loans of others.
func (e *File) Use(d *loan.Desk) {
	if e.user.Load() == d {
		if n := e.uses.Load(); d != nil && n < alone {
			e.uses.Store(n + 1)
		}
		return
	}
	e.mu.Lock()
	e.recallAll()
	e.uses.Store(0)
	e.user.Store(d)
	e.mu.Unlock()
}

// Lend has e lend d, whose thread has just changed the interest in f by the descriptors epfd and
// fd, the right to do so again.
func (e *File) Lend(d *loan.Desk, epfd, fd int32, f *vfs.File) {
	if e.user.Load() != d || e.uses.Load() < alone {
		return
	}
	e.mu.Lock()
	it := e.items[key{f, fd}]
	e.mu.Unlock()
	if it != nil {
		d.LendInterest(fd, epfd, it)
	}
}

// LendInterest implements loan.Observer.
func (it *item) LendInterest(d *loan.Desk, l *loan.Loan, epfd int32) {
	e := it.epoll
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.user.Load() != d || e.items[it.key] != it || it.lent.Load() != nil ||
		it.events&flagExclusive != 0 || !e.waiters.Empty() || !e.pollers.Empty() {
		return
	}
	it.lent.Store(l)
	e.lent = append(e.lent, it)
	l.LendInterest(epfd, true)
}

// SettleInterest implements loan.Observer.
func (it *item) SettleInterest(l *loan.Loan) {
	e := it.epoll
	e.mu.Lock()
	if it.lent.Load() == l {
		e.settle(it)
	}
	e.mu.Unlock()
}

// RecallInterest implements loan.Observer.
func (it *item) RecallInterest(l *loan.Loan) {
	e := it.epoll
	e.mu.Lock()
	if it.lent.Load() == l {
		e.recall(it)
	}
	e.mu.Unlock()
}

// DescriptorClosed implements vfs.DescriptorWatcher: the number may be another file's from now on.
func (it *item) DescriptorClosed(*vfs.File) {
	if it.lent.Load() == nil {
		return
	}
	e := it.epoll
	e.mu.Lock()
	e.recall(it)
	e.mu.Unlock()
}

// Flush implements vfs.Flusher, likewise for e's descriptor.
func (e *File) Flush(*vfs.Context, *vfs.File) error {
	e.mu.Lock()
	e.recallAll()
	e.mu.Unlock()
	return nil
}

// settle takes account of what it has been changed to by a loan. mu is held.
func (e *File) settle(it *item) {
	in, is := it.lent.Load().Interest()
	if !is {
		return
	}
	const rearming = flagOneShot | flagEdge
	switch events := in.Events | uint32(wait.Err|wait.Hup); {
	case !in.On && !it.deleted:
		e.unwatch(it)
		it.deleted = true
	case in.On && (it.deleted || it.events != events || it.data != in.Data || events&rearming != 0):
		if !it.deleted {
			it.key.file.Ops().Unregister(&it.entry)
		}
		it.deleted, it.events, it.data = false, events, in.Data
		e.watch(it)
	}
}

// settleAll takes account of all that was changed by loans. mu is held.
func (e *File) settleAll() {
	for _, it := range e.lent {
		e.settle(it)
	}
}

// recall ends the loan of it, if it is lent. mu is held.
func (e *File) recall(it *item) {
	l := it.lent.Load()
	if l == nil {
		return
	}
	l.EndInterest()
	e.settle(it)
	it.lent.Store(nil)
	i, last := slices.Index(e.lent, it), len(e.lent)-1
	e.lent[i], e.lent[last] = e.lent[last], nil
	e.lent = e.lent[:last]
	if it.deleted {
		it.deleted = false
		it.key.file.RemoveReleaser(it)
		e.remove(it)
	}
}

// recallAll ends all loans. mu is held.
func (e *File) recallAll() {
	for len(e.lent) > 0 {
		e.recall(e.lent[0])
	}
}
