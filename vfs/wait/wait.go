// Package wait is the wait queue: whoever waits for a file, a pipe, a socket or a
// child to become ready registers an Entry, and whoever makes it ready notifies
// the Queue.
package wait

import (
	"sync"
	"sync/atomic"
)

// Events is a set of poll(2) events.
type Events uint32

// The events, with poll(2)'s values.
const (
	In     Events = 0x001  // POLLIN
	Pri    Events = 0x002  // POLLPRI
	Out    Events = 0x004  // POLLOUT
	Err    Events = 0x008  // POLLERR
	Hup    Events = 0x010  // POLLHUP
	Nval   Events = 0x020  // POLLNVAL
	RdNorm Events = 0x040  // POLLRDNORM
	RdBand Events = 0x080  // POLLRDBAND
	WrNorm Events = 0x100  // POLLWRNORM
	WrBand Events = 0x200  // POLLWRBAND
	RdHup  Events = 0x2000 // POLLRDHUP

	// Readable and Writable are what a blocking read and write wait for.
	Readable = In | RdNorm | Err | Hup | RdHup
	Writable = Out | WrNorm | Err | Hup
)

// An Entry is one waiter's registration. It may be on one Queue at a time.
type Entry struct {
	// Notify is called, with the queue's lock held and possibly from any
	// goroutine, when events of the mask have occurred: it must not block, nor
	// call the queue.
	Notify func(e *Entry, events Events)

	// Offer, unless nil, is called in place of Notify for entries of which one is enough
	// (EPOLLEXCLUSIVE), and reports whether the events are taken care of by that: if so the other
	// ones with an Offer do not hear of them.
	Offer func(e *Entry, events Events) bool

	mask       Events
	next, prev *Entry
	queue      *Queue
}

// A Queue is a list of waiters. The zero Queue is ready for use.
type Queue struct {
	waiters    atomic.Int32 // how many are registered, so that an empty queue costs nothing
	mu         sync.Mutex
	head, tail *Entry
}

// Register adds e, to be told of events in mask. Err and Hup are always
// included.
func (q *Queue) Register(e *Entry, mask Events) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.mask = mask | Err | Hup
	e.queue = q
	e.prev, e.next = q.tail, nil
	if q.tail != nil {
		q.tail.next = e
	} else {
		q.head = e
	}
	q.tail = e
	q.waiters.Add(1)
}

// Unregister removes e; it does nothing if e is not registered. After its return
// e.Notify is not called any more.
func (q *Queue) Unregister(e *Entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.queue != q {
		return
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		q.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		q.tail = e.prev
	}
	e.next, e.prev, e.queue = nil, nil, nil
	q.waiters.Add(-1)
}

// Notify tells all waiters that wait for any of events, but of those with an Offer only the
// first ones, up to one that takes it.
func (q *Queue) Notify(events Events) {
	if q.waiters.Load() == 0 {
		return // who registers from now on looks for himself
	}
	q.mu.Lock()
	taken := false
	for e := q.head; e != nil; e = e.next {
		switch {
		case e.mask&events == 0:
		case e.Offer == nil:
			e.Notify(e, events)
		case !taken:
			taken = e.Offer(e, events)
		}
	}
	q.mu.Unlock()
}

// NotifyOne tells the first waiter that waits for any of events, and moves it to
// the end of the list.
func (q *Queue) NotifyOne(events Events) {
	if q.waiters.Load() == 0 {
		return
	}
	q.mu.Lock()
	for e := q.head; e != nil; e = e.next {
		if e.mask&events == 0 {
			continue
		}
		if e != q.tail {
			if e.prev != nil {
				e.prev.next = e.next
			} else {
				q.head = e.next
			}
			e.next.prev = e.prev
			e.prev, e.next = q.tail, nil
			q.tail.next = e
			q.tail = e
		}
		e.Notify(e, events)
		break
	}
	q.mu.Unlock()
}

// Empty reports whether nobody waits.
func (q *Queue) Empty() bool { return q.waiters.Load() == 0 }
