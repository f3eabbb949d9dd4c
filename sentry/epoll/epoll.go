// Package epoll is the files of epoll(7).
//
// # Locks
//
// File.mu guards the set of items and is held while they are asked for their
// events; File.ready.mu guards the list of those that may have some, and is taken by
// notifications. The order is mu, then the lock of a watched file's wait queue, then
// ready.mu, then the lock of the epoll file's own queues. An epoll file that
// watches another comes before it; Add sees to it that there is no circle, and that
// chains are short. A loan.Desk's lock comes before all of them.
package epoll

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/platform/loan"
	"casemate/vfs"
	"casemate/vfs/wait"
)

// Flags of an item beside the events, epoll_ctl(2).
const (
	flagExclusive = 1 << 28
	flagWakeup    = 1 << 29
	flagOneShot   = 1 << 30
	flagEdge      = 1 << 31

	flags = flagExclusive | flagWakeup | flagOneShot | flagEdge
)

// A key names an item: the open file and the descriptor with which it was added.
type key struct {
	file *vfs.File
	fd   int32
}

// An item is a file that is watched.
type item struct {
	epoll  *File
	key    key
	entry  wait.Entry
	events uint32 // events and flags asked for; only flags while disabled
	data   uint64

	// lent is the loan by which events and data are changed, changed with File.mu held; deleted
	// says that the item is there for that alone.
	lent    atomic.Pointer[loan.Loan]
	deleted bool

	// Guarded by ready.mu.
	listed     bool
	next, prev *item
}

// A File is an epoll instance.
type File struct {
	vfs.FileDefaults

	mu    sync.Mutex
	items map[key]*item
	spare *item // one that was removed, for the next: some remove and add all the time
	lent  []*item

	// user is who has used the file last, uses how often since another one did, up to alone;
	// changed by another one with mu held.
	user atomic.Pointer[loan.Desk]
	uses atomic.Int32

	ready struct {
		mu         sync.Mutex
		head, tail *item
		n          int
	}

	waiters wait.Queue // epoll_wait(2): one is woken for each event
	pollers wait.Queue // those that poll the epoll file itself: all are

	watchers watchers
	mark     mark
}

// New returns an instance that watches nothing.
func New() *File { return &File{items: map[key]*item{}} }

// push adds it to the ready list and reports whether it was not on it. ready.mu is
// held.
func (e *File) push(it *item) bool {
	if it.listed {
		return false
	}
	it.listed = true
	it.prev, it.next = e.ready.tail, nil
	if e.ready.tail != nil {
		e.ready.tail.next = it
	} else {
		e.ready.head = it
	}
	e.ready.tail = it
	e.ready.n++
	return true
}

// drop takes it off the ready list. ready.mu is held.
func (e *File) drop(it *item) {
	if !it.listed {
		return
	}
	it.listed = false
	if it.prev != nil {
		it.prev.next = it.next
	} else {
		e.ready.head = it.next
	}
	if it.next != nil {
		it.next.prev = it.prev
	} else {
		e.ready.tail = it.prev
	}
	it.next, it.prev = nil, nil
	e.ready.n--
}

// notify is what a watched file's queue calls.
func (it *item) notify(_ *wait.Entry, _ wait.Events) { it.epoll.makeReady(it) }

// offer is what it calls for an item with EPOLLEXCLUSIVE. The events are taken care of if that
// wakes somebody. It does not if the item was ready before: who waited has been woken by that.
// All must hear of errors and of a peer that has gone.
func (it *item) offer(_ *wait.Entry, events wait.Events) bool {
	idle := !it.epoll.waiters.Empty()
	fresh := it.epoll.makeReady(it)
	if events&(wait.Err|wait.Hup) != 0 {
		return false
	}
	in, out := events&wait.In != 0, events&wait.Out != 0
	return idle && fresh && in != out
}

// makeReady puts it on the ready list, wakes who waits for that, and reports whether it was not
// on the list.
func (e *File) makeReady(it *item) bool {
	e.ready.mu.Lock()
	fresh := e.push(it)
	e.ready.mu.Unlock()
	e.waiters.NotifyOne(wait.In)
	e.pollers.Notify(wait.In | wait.RdNorm)
	return fresh
}

// pollable reports whether f can be watched.
func pollable(f *vfs.File) bool { return !f.Inode().IsRegular() && !f.Inode().IsDir() }

// Add watches f, which has descriptor fd: EPOLL_CTL_ADD. The caller has a reference
// to f; none is kept. EEXIST, EPERM, EINVAL, ELOOP.
func (e *File) Add(f *vfs.File, fd int32, events uint32, data uint64) error {
	if !pollable(f) {
		return unix.EPERM
	}
	inner, isEpoll := f.Ops().(*File)
	if inner == e {
		return unix.EINVAL
	}
	if events&flagExclusive != 0 {
		const allowed = uint32(wait.In|wait.Out|wait.Err|wait.Hup) | flagExclusive | flagWakeup | flagEdge
		if isEpoll || events&^allowed != 0 {
			return unix.EINVAL
		}
	}
	if isEpoll {
		nesting.Lock()
		defer nesting.Unlock()
		if err := e.checkDepth(inner); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	it := e.item()
	it.key, it.events, it.data = key{f, fd}, events|uint32(wait.Err|wait.Hup), data
	if !isEpoll && e.watchers.any() {
		// Who comes to watch e after this will see the item; who does already has
		// to be counted.
		e.mu.Unlock()
		nesting.Lock()
		defer nesting.Unlock()
		e.mu.Lock()
		return e.add(it, inner, true)
	}
	return e.add(it, inner, isEpoll)
}

// item returns an item that is not used. mu is held.
func (e *File) item() (it *item) {
	if it, e.spare = e.spare, nil; it == nil {
		it = &item{epoll: e}
		it.entry.Notify = it.notify
	}
	return it
}

// lookup returns the item of k, if there is one, and ends its loan. mu is held.
func (e *File) lookup(k key) *item {
	it := e.items[k]
	if it == nil || it.lent.Load() == nil {
		return it
	}
	e.recall(it)
	return e.items[k]
}

// add takes up it, which watches the epoll file inner or, if that is nil, a file of
// another kind; check says that its paths count. e.mu is held, and nesting if check.
func (e *File) add(it *item, inner *File, check bool) error {
	if e.lookup(it.key) != nil {
		return unix.EEXIST
	}
	e.items[it.key] = it
	it.key.file.AddReleaser(it)
	if inner != nil {
		inner.watchers.add(it)
	}
	if check {
		if err := checkPaths(it.key.file); err != nil {
			it.key.file.RemoveReleaser(it)
			e.remove(it)
			return err
		}
	}
	e.watch(it)
	return nil
}

// watch registers it for its events, and lists it if it has some now. e.mu is held.
func (e *File) watch(it *item) {
	mask := wait.Events(it.events &^ flags)
	f := it.key.file
	it.entry.Offer = nil
	if it.events&flagExclusive != 0 {
		it.entry.Offer = it.offer
	}
	f.Ops().Register(&it.entry, mask)
	if f.Readiness(mask)&mask != 0 {
		e.makeReady(it)
	}
}

// Modify changes what is asked of an item: EPOLL_CTL_MOD. ENOENT, EINVAL.
func (e *File) Modify(f *vfs.File, fd int32, events uint32, data uint64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	it := e.lookup(key{f, fd})
	if it == nil {
		return unix.ENOENT
	}
	if (it.events|events)&flagExclusive != 0 {
		return unix.EINVAL
	}
	f.Ops().Unregister(&it.entry)
	it.events, it.data = events|uint32(wait.Err|wait.Hup), data
	e.watch(it)
	return nil
}

// Delete ends the watch: EPOLL_CTL_DEL. ENOENT.
func (e *File) Delete(f *vfs.File, fd int32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	it := e.lookup(key{f, fd})
	if it == nil {
		return unix.ENOENT
	}
	f.RemoveReleaser(it)
	e.remove(it)
	e.spare = it
	return nil
}

// remove takes it out. e.mu is held.
func (e *File) remove(it *item) {
	delete(e.items, it.key)
	e.unwatch(it)
	if inner, is := it.key.file.Ops().(*File); is {
		inner.watchers.remove(it)
	}
}

// unwatch undoes watch. e.mu is held.
func (e *File) unwatch(it *item) {
	it.key.file.Ops().Unregister(&it.entry)
	e.ready.mu.Lock()
	e.drop(it)
	e.ready.mu.Unlock()
}

// FileReleased implements vfs.Releaser: the watched file is closed.
func (it *item) FileReleased(f *vfs.File) {
	e := it.epoll
	e.mu.Lock()
	e.recall(it)
	if e.items[it.key] == it {
		e.remove(it)
	}
	e.mu.Unlock()
}

// Collect passes up to n items that have events to f, and returns how many; fd is the descriptor
// as which the item's file was added. f is called with e's locks held.
func (e *File) Collect(n int, f func(events uint32, data uint64, fd int32, file *vfs.File)) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	count := 0
	e.ready.mu.Lock()
	// Items that stay ready go to the end of the list: look at each once.
	for left := e.ready.n; left > 0 && count < n && e.ready.head != nil; left-- {
		it := e.ready.head
		e.drop(it)
		e.ready.mu.Unlock()
		mask := wait.Events(it.events &^ flags)
		var got wait.Events
		if mask != 0 {
			got = it.key.file.Readiness(mask) & mask
		}
		if got != 0 {
			f(uint32(got), it.data, it.key.fd, it.key.file)
			count++
		}
		e.ready.mu.Lock()
		if got == 0 {
			continue
		}
		switch {
		case it.events&flagOneShot != 0:
			it.events &= flags
			e.drop(it)
		case it.events&flagEdge == 0:
			e.push(it)
		}
	}
	more := e.ready.n > 0
	e.ready.mu.Unlock()
	if more && count > 0 {
		e.waiters.NotifyOne(wait.In)
	}
	return count
}

// Interests is how many descriptors are watched.
func (e *File) Interests() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.items)
}

// AddWaiter has w woken when there may be something to collect: one of all waiters
// each time.
func (e *File) AddWaiter(w *wait.Entry) { e.waiters.Register(w, wait.In) }

// RemoveWaiter ends it. If there is something left to collect another waiter is
// woken, as w's wake-up may have been meant for it.
func (e *File) RemoveWaiter(w *wait.Entry) {
	e.waiters.Unregister(w)
	e.ready.mu.Lock()
	left := e.ready.n > 0
	e.ready.mu.Unlock()
	if left {
		e.waiters.NotifyOne(wait.In)
	}
}

// Readiness implements vfs.FileOps: readable when there is something to collect.
func (e *File) Readiness(mask wait.Events) wait.Events {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settleAll()
	e.ready.mu.Lock()
	defer e.ready.mu.Unlock()
	for left := e.ready.n; left > 0 && e.ready.head != nil; left-- {
		it := e.ready.head
		want := wait.Events(it.events &^ flags)
		e.drop(it)
		e.ready.mu.Unlock()
		ready := want != 0 && it.key.file.Readiness(want)&want != 0
		e.ready.mu.Lock()
		if ready {
			e.push(it)
			return mask & (wait.In | wait.RdNorm)
		}
	}
	return 0
}

// Register implements vfs.FileOps.
func (e *File) Register(w *wait.Entry, mask wait.Events) {
	e.pollers.Register(w, mask) // nothing is lent from now on
	e.mu.Lock()
	e.recallAll()
	e.mu.Unlock()
}

// Unregister implements vfs.FileOps.
func (e *File) Unregister(w *wait.Entry) { e.pollers.Unregister(w) }

// Release implements vfs.FileOps.
func (e *File) Release(*vfs.File) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.recallAll()
	for _, it := range e.items {
		it.key.file.RemoveReleaser(it)
		e.remove(it)
	}
}

// FDInfo is what /proc/PID/fdinfo adds for the file.
func (e *File) FDInfo() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settleAll()
	var b strings.Builder
	for k, it := range e.items {
		if it.deleted {
			continue
		}
		fmt.Fprintf(&b, "tfd: %8d events: %8x data: %16x  pos:%d ino:%x sdev:%x\n", k.fd, it.events, it.data,
			0, k.file.Inode().Ino(), k.file.Inode().Superblock().Dev)
	}
	return b.String()
}
