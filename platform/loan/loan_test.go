package loan

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// A lender lends one descriptor, as a socket does.
type lender struct {
	data  string // to be lent
	mu    sync.Mutex
	loan  *Loan
	taken int
	out   bytes.Buffer
	ran   atomic.Int32
}

func (o *lender) settle() {
	if o.loan != nil {
		o.taken += o.loan.Taken()
		o.loan.Drain(&o.out)
	}
}

func (o *lender) Settle() (Runner, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.out.Len()
	o.settle()
	return o, o.out.Len() > n
}

func (o *lender) Recall() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.loan != nil {
		o.loan.EndData()
		o.loan.EndRoom()
		o.settle()
		o.loan = nil
	}
}

func (o *lender) Run() { o.ran.Add(1) }

func (o *lender) LendData(l *Loan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.loan, o.taken = l, 0
	l.LendData(copy(l.Buffer(len(o.data)), o.data))
}

func (o *lender) LendRoom(l *Loan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.loan = l
	l.LendRoom()
}

// lend lends data and room.
func (o *lender) lend(d *Desk, fd int32, data string) {
	o.data = data
	d.Round()
	d.LendData(fd, o)
	d.LendRoom(fd, o)
}

// A stub does what the platform's code in the application does.
type stub struct {
	mem   []byte
	dirty *atomic.Uint64
}

func (s *stub) slot(fd int32) *slot { return slotAt(s.mem, int(fd)%Slots) }

func (s *stub) mark(fd int32) { s.dirty.Or(1 << (fd % Slots)) }

func (s *stub) read(fd int32, n int) ([]byte, bool) {
	l := s.slot(fd)
	taken := l.taken.Load()
	if l.fd != uint32(fd)+1 || int32(taken) < 0 || taken >= l.size {
		return nil, false
	}
	n = min(n, int(l.size-taken))
	b := bytes.Clone(s.mem[l.data+taken:][:n])
	if !l.taken.CompareAndSwap(taken, taken+uint32(n)) {
		return nil, false
	}
	s.mark(fd)
	return b, true
}

func (s *stub) write(fd int32, b []byte) bool {
	l := s.slot(fd)
	written := l.written.Load()
	if l.fd != uint32(fd)+1 || int32(written) < 0 || int(l.room-written) < len(b) {
		return false
	}
	copy(s.mem[l.tray+written:], b)
	if !l.written.CompareAndSwap(written, written+uint32(len(b))) {
		return false
	}
	s.mark(fd)
	return true
}

// control is epoll_ctl(2) by descriptor epfd.
func (s *stub) control(epfd, fd int32, op int, events uint32, data uint64) bool {
	const add, del, mod = 1, 2, 3
	l := s.slot(fd)
	v := l.interest.Load()
	if l.fd != uint32(fd)+1 || l.epoll != uint32(epfd)+1 || int32(v) < 0 || (op == add) == (v&interested != 0) {
		return false
	}
	next := ((v+call)&^closed | changed) &^ interested
	if op != del {
		next |= interested
		l.events[turn(next)], l.data64[turn(next)] = events, data
	}
	if !l.interest.CompareAndSwap(v, next) {
		return false
	}
	s.mark(fd)
	return true
}

func newDesk() (*Desk, *stub) {
	s := &stub{mem: make([]byte, Size), dirty: new(atomic.Uint64)}
	return NewDesk(s.mem, 0, new(atomic.Uint32), s.dirty), s
}

func TestReadAndWrite(t *testing.T) {
	d, s := newDesk()
	o := new(lender)
	if _, ok := s.read(5, 1); ok {
		t.Error("read what nobody has lent")
	}
	o.lend(d, 5, "hello, world")
	if b, ok := s.read(5, 5); !ok || string(b) != "hello" {
		t.Errorf("read %q, %v", b, ok)
	}
	if _, ok := s.read(5+Slots, 5); ok {
		t.Error("another descriptor has read")
	}
	if !s.write(5, []byte("abc")) || !s.write(5, []byte("def")) || s.write(5, make([]byte, Room)) {
		t.Error("writing")
	}
	if !d.Dirty() || !d.Settle() || d.Dirty() || o.taken != 5 || o.out.String() != "abcdef" || o.ran.Load() != 1 {
		t.Errorf("settled %d bytes read, %q written, run %d times", o.taken, o.out.String(), o.ran.Load())
	}
	if !s.write(5, make([]byte, Room)) || !d.Settle() || o.out.Len() != 6+Room {
		t.Error("there is no room again")
	}
	if b, ok := s.read(5, 100); !ok || string(b) != ", world" {
		t.Errorf("read %q, %v", b, ok)
	}
	if _, ok := s.read(5, 1); ok {
		t.Error("read more than there was")
	}
	s.write(5, []byte("last"))
	d.End()
	if o.taken != 12 || o.out.Len() != 10+Room || o.loan != nil {
		t.Errorf("in the end %d read, %d written", o.taken, o.out.Len())
	}
	if s.write(5, []byte("x")) {
		t.Error("written after the end")
	}
	s.mark(5) // by whoever has the memory now
	if d.Dirty() || d.Settle() || s.dirty.Load() == 0 {
		t.Error("what is another's was settled")
	}
}

func TestSlotsAreTakenOver(t *testing.T) {
	d, s := newDesk()
	a, b := new(lender), new(lender)
	a.lend(d, 3, "aaaa")
	s.write(3, []byte("from a"))
	b.lend(d, 3+Slots, "bbbb")
	if a.loan != nil || a.out.String() != "from a" {
		t.Errorf("a was recalled: %v, with %q", a.loan == nil, a.out.String())
	}
	if _, ok := s.read(3, 1); ok {
		t.Error("the old descriptor still reads")
	}
	if p, ok := s.read(3+Slots, 9); !ok || string(p) != "bbbb" {
		t.Errorf("read %q, %v", p, ok)
	}
}

// Those whose descriptors have one slot do not take from each other what is still to be read.
func TestSlotsAreLeft(t *testing.T) {
	d, s := newDesk()
	a, b := new(lender), &lender{data: "bbbb"}
	a.lend(d, 3, "aaaa")
	d.LendData(3+Slots, b)
	d.LendRoom(3+Slots, b)
	if b.loan != nil || a.loan == nil {
		t.Fatal("taken over in the same round")
	}
	s.read(3, 4)
	if d.LendRoom(3+Slots, b); b.loan == nil || a.loan != nil || a.taken != 4 {
		t.Error("not taken over after all was read")
	}
	d.Round()
	if d.LendData(3, a); a.loan == nil || b.loan != nil {
		t.Error("not taken over in the next round")
	}
}

// Whoever settles while the stub writes gets every byte once, and in order.
func TestDrainWhileWriting(t *testing.T) {
	d, s := newDesk()
	o := new(lender)
	o.lend(d, 1, "")
	var want bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 20000 {
			p := bytes.Repeat([]byte{byte(i)}, 1+i%100)
			for !s.write(1, p) {
				d.Settle()
			}
			want.Write(p)
		}
	}()
	for settling := true; settling; {
		select {
		case <-done:
			settling = false
		default:
			d.Settle()
		}
	}
	d.Settle()
	if !bytes.Equal(o.out.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes came, want %d", o.out.Len(), want.Len())
	}
}

// An application that writes anything into its desk reads and writes no more than it was lent.
func TestHostile(t *testing.T) {
	d, s := newDesk()
	o := new(lender)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		o.lend(d, int32(rng.IntN(3*Slots)), "0123456789")
		for range rng.IntN(40) {
			s.mem[rng.IntN(TableSize)] = byte(rng.Uint32())
		}
		s.dirty.Store(rng.Uint64())
		n := o.out.Len()
		d.Settle()
		if o.taken > 10 || o.out.Len()-n > Room {
			t.Fatalf("%d bytes read, %d written", o.taken, o.out.Len()-n)
		}
		o.Recall()
		o.out.Reset()
	}
	d.End()
}

// What is left undone for long is settled by the watch, and no room is lent for a while.
func TestWatch(t *testing.T) {
	d, s := newDesk()
	o := new(lender)
	o.lend(d, 1, "")
	s.write(1, []byte("x"))
	d.Watch(1e6)
	if o.out.Len() != 0 {
		t.Error("settled at once")
	}
	if d.Watch(2e6); o.out.Len() != 1 || !d.Banned(3e6) || d.Banned(1e9) {
		t.Errorf("%d bytes, banned %v, %v", o.out.Len(), d.Banned(3e6), d.Banned(1e9))
	}
	s.write(1, []byte("y"))
	d.Watch(1e9)
	d.Settle()
	s.write(1, []byte("z"))
	if d.Watch(2e9); o.out.Len() != 2 || d.Banned(2e9) {
		t.Error("one who settles in between is taken for late")
	}
}

func TestPays(t *testing.T) {
	d, s := newDesk()
	o := new(lender)
	lend := func(read bool) (refused int) {
		for range 100 {
			if !d.Pays() {
				refused++
				continue
			}
			o.lend(d, 1, "x")
			if read {
				s.read(1, 1)
				d.Settle()
			}
		}
		return refused
	}
	if n := lend(true); n > 0 {
		t.Errorf("refused %d times to one who reads", n)
	}
	if lend(false); lend(false) == 0 {
		t.Error("lent again and again to one who does not read")
	}
}
