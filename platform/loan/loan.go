// Package loan lets a thread of an application read and write without an upcall. Memory
// that the thread shares with the sentry, its desk, has what descriptors are lent: bytes
// that have been received, room for bytes to be sent, and what epoll(7) is to tell of them.
// The platform's code in the application (the stub) answers read(2), write(2), recv(2),
// send(2) and epoll_ctl(2) from there, and the sentry takes account of that later: before it
// does anything else for the thread, and before anybody looks at the lender.
//
// The application can write to a desk at any time. What it says is believed as far as it
// could have read and written so by system calls: never more than was lent.
package loan

import (
	"io"
	"sync"
	"sync/atomic"
)

const (
	// Slots is how many descriptors of a thread are lent something at a time. A
	// descriptor has the slot of its number's remainder.
	Slots = 64
	// Data is up to how many bytes are lent for reading, Room for how many bytes
	// there is room: they are written and not yet accounted for.
	Data = 768
	Room = 768

	// SlotSize is the size of a slot, TableSize of all, Size of a desk's memory: the
	// slots, then the data of each, then the room of each.
	SlotSize  = 64
	TableSize = Slots * SlotSize
	Size      = TableSize + Slots*(Data+Room)
)

// closed is the bit in slot.taken and slot.written that says that the loan is over.
const closed = 1 << 31

// A slot is what the stub sees of a loan. It adds to taken and written what it has read
// and written, unless they have changed or the loan is over.
type slot struct {
	fd      uint32 // and 1; 0 if nothing is lent
	size    uint32 // of the data
	taken   atomic.Uint32
	data    uint32 // offset of the data in the thread's memory
	written atomic.Uint32
	room    uint32
	tray    uint32 // offset of the room

	// An epoll file's interest in the descriptor, see interest.go.
	epoll    uint32 // the epoll file's descriptor and 1; 0 if nothing is lent
	interest atomic.Uint32
	events   [2]uint32 // which of the two: turn
	data64   [2]uint64
}

// A Runner carries on with what a Lender has begun: package platform's.
type Runner interface{ Run() }

// A Lender lends: a file that a task reads and writes. Its methods take its lock, under which it
// uses the Loan.
type Lender interface {
	// LendData lends what can be read now, if it is little.
	LendData(l *Loan)
	// LendRoom lends room for writing, if there is plenty.
	LendRoom(l *Loan)
	// Settle takes account of what has been read and written. wrote says that something
	// was written, for which r is to be run when no lock is held; r may be nil.
	Settle() (r Runner, wrote bool)
	// Recall is Settle, and the loan is over. What it has written needs no Run.
	Recall()
}

// A Loan is what one descriptor is lent. It belongs to its Lender, under its lock, until it is
// recalled.
type Loan struct {
	owner    Lender   // guarded by Desk.mu
	observer Observer // likewise

	slot  *slot
	bytes []byte // for data
	tray  []byte // for what is written
	size  uint32 // as in slot: what has been lent
	seen  uint32 // of taken
	round uint32 // Desk.round, when data was lent
}

// A Desk is a thread's loans. Round, LendData, LendRoom and Pays are called in an upcall of the thread.
type Desk struct {
	on    *atomic.Uint32 // the stub is to look at the slots
	dirty *atomic.Uint64 // slots from which something was read or to which something was written

	mu    sync.Mutex // guards the owners; before theirs
	loans [Slots]Loan
	// over says that nothing is lent, so that the memory may be another thread's: changed with mu
	// held.
	over atomic.Bool

	round uint32
	// Whether lending data pays: how often it was done and how often it was of use.
	lent, used, pause int

	settled atomic.Uint32 // how often something was settled
	watched uint32        // settled, when the watch looked last
	late    bool          // something was dirty then
	banned  atomic.Int64  // until when (the monotonic clock, ns) no room is lent
	ban     int64         // for how long it was
}

// NewDesk returns a desk. mem, of Size bytes, lies at offset off of the thread's memory; on
// and dirty are there too.
func NewDesk(mem []byte, off uint32, on *atomic.Uint32, dirty *atomic.Uint64) *Desk {
	d := &Desk{on: on, dirty: dirty, round: 1}
	for i := range d.loans {
		l := &d.loans[i]
		data, tray := TableSize+i*Data, TableSize+Slots*Data+i*Room
		l.slot = slotAt(mem, i)
		l.bytes, l.tray = mem[data:][:Data], mem[tray:][:Room]
		l.slot.data, l.slot.tray = off+uint32(data), off+uint32(tray)
	}
	return d
}

// Round begins another round of LendData: the thread has had the time to read what was lent in the
// last one.
func (d *Desk) Round() { d.round++ }

// LendData has o lend the thread what can be read by fd. It ends the loan of another that has been in
// its place, but not in the same round.
func (d *Desk) LendData(fd int32, o Lender) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.loans[uint32(fd)%Slots].round == d.round {
		return
	}
	l := d.open(fd, o)
	l.round = d.round
	if l.size > 0 {
		d.lent++
		if l.seen > 0 {
			d.used++
		}
	}
	o.LendData(l)
}

// LendRoom has o lend the thread room to write by fd. It ends the loan of another that has been in its
// place, unless there is data left of that.
func (d *Desk) LendRoom(fd int32, o Lender) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := &d.loans[uint32(fd)%Slots]; l.owner != o && l.slot.taken.Load() < l.size {
		return
	}
	o.LendRoom(d.open(fd, o))
}

// open returns the Loan of fd, which is owner's from now on. mu is held.
func (d *Desk) open(fd int32, owner Lender) *Loan {
	l := &d.loans[uint32(fd)%Slots]
	d.over.Store(false)
	d.on.Store(1)
	if l.owner == owner && l.slot.fd == uint32(fd)+1 {
		return l
	}
	l.recall()
	l.owner = owner
	l.clear(fd)
	return l
}

// recall takes back all that l is. Desk.mu is held.
func (l *Loan) recall() {
	if l.owner != nil {
		l.owner.Recall()
		l.owner = nil
	}
	if l.observer != nil {
		l.observer.RecallInterest(l)
		l.observer = nil
	}
}

// clear makes the slot that of fd, with nothing lent.
func (l *Loan) clear(fd int32) {
	s := l.slot
	s.fd, s.size, s.room, s.epoll = uint32(fd)+1, 0, 0, 0
	s.taken.Store(closed)
	s.written.Store(closed)
	s.interest.Store(closed)
	l.size, l.seen = 0, 0
}

// Dirty reports whether there is something to settle.
func (d *Desk) Dirty() bool { return !d.over.Load() && d.dirty.Load() != 0 }

// Settle has the lenders take account of what has been read and written, and carries on with
// that. It reports whether something was written. No lock that a Lender takes is held.
func (d *Desk) Settle() (wrote bool) {
	d.settled.Add(1)
	var buf [4]Runner
	runs := buf[:0]
	d.mu.Lock()
	dirty := uint64(0)
	if !d.over.Load() {
		dirty = d.dirty.Swap(0)
	}
	for i := 0; dirty != 0; i, dirty = i+1, dirty>>1 {
		l := &d.loans[i]
		if dirty&1 == 0 {
			continue
		}
		if l.observer != nil {
			l.observer.SettleInterest(l)
		}
		if l.owner != nil {
			r, w := l.owner.Settle()
			wrote = wrote || w
			if r != nil && (len(runs) == 0 || runs[len(runs)-1] != r) {
				runs = append(runs, r)
			}
		}
	}
	d.mu.Unlock()
	for _, r := range runs {
		r.Run()
	}
	return wrote
}

// End ends all loans, until the thread borrows again.
func (d *Desk) End() {
	d.Settle()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over.Swap(true) {
		return
	}
	d.on.Store(0)
	for i := range d.loans {
		if l := &d.loans[i]; l.owner != nil {
			l.recall()
			l.clear(-1)
		}
	}
}

// Pays reports whether lending data is worth the while: it is copied in vain if the thread
// does not read it. The thread's own.
func (d *Desk) Pays() bool {
	const few, many, rest = 16, 256, 1024
	switch {
	case d.pause > 0:
		d.pause--
		return false
	case d.lent < few || 2*d.used >= d.lent:
		if d.lent > many {
			d.lent, d.used = d.lent/2, d.used/2
		}
		return true
	}
	d.lent, d.used, d.pause = 0, 0, rest
	return false
}

// Watch is called every now and then, by one goroutine at a time. It settles what the thread
// has left undone for long, and if that is something written it lends no room for a while,
// twice as long each time in a row, in ns as now is. It reports whether there was anything to
// settle since the last call.
func (d *Desk) Watch(now int64) (active bool) {
	const first, last = 10e6, 2e9
	n, dirty := d.settled.Load(), d.Dirty()
	active = dirty || n != d.watched
	if !d.late || !dirty || n != d.watched {
		d.late, d.watched = dirty, n
		return active
	}
	d.late = false
	if d.Settle() {
		if now-d.banned.Load() > 4*d.ban {
			d.ban = first
		} else {
			d.ban = min(2*d.ban, last)
		}
		d.banned.Store(now + d.ban)
	}
	return true
}

// Banned reports whether no room is lent at the time now, see Watch.
func (d *Desk) Banned(now int64) bool { return now < d.banned.Load() }

// Buffer is where n bytes go that are to be lent: nil if that is too much.
func (l *Loan) Buffer(n int) []byte {
	if n > len(l.bytes) {
		return nil
	}
	return l.bytes[:n]
}

// LendData lends n bytes in Buffer. Nothing else is lent for reading.
func (l *Loan) LendData(n int) {
	l.size, l.seen = uint32(n), 0
	l.slot.size = l.size
	l.slot.taken.Store(0)
}

// Taken returns how many bytes have been read since the last call.
func (l *Loan) Taken() int {
	n := min(l.slot.taken.Load()&^closed, l.size)
	if n <= l.seen {
		return 0
	}
	taken := n - l.seen
	l.seen = n
	return int(taken)
}

// EndData ends reading. Taken is to be asked once more.
func (l *Loan) EndData() { l.slot.taken.Or(closed) }

// LendRoom lends room for writing, unless that is lent already.
func (l *Loan) LendRoom() {
	if l.slot.written.Load()&closed != 0 {
		l.slot.room = Room
		l.slot.written.Store(0)
	}
}

// Drain writes to w what has been written, and there is room again. w takes all and does not fail.
func (l *Loan) Drain(w io.Writer) {
	const tries = 16 // an honest thread has not written so often meanwhile
	done := 0
	for range tries {
		v := l.slot.written.Load()
		n := int(v &^ closed)
		if n > Room {
			break
		}
		if n > done {
			w.Write(l.tray[done:n])
			done = n
		}
		if n == 0 || l.slot.written.CompareAndSwap(v, v&closed) {
			return
		}
	}
	l.slot.written.Store(closed)
}

// EndRoom ends writing. Drain is to be called once more.
func (l *Loan) EndRoom() { l.slot.written.Or(closed) }
