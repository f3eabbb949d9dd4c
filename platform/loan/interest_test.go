package loan

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// An observer is what an epoll file has for a descriptor.
type observer struct {
	mu      sync.Mutex
	loan    *Loan
	in      Interest
	settled int
	torn    int // events and data differed
}

func (o *observer) LendInterest(_ *Desk, l *Loan, epfd int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.loan = l
	l.LendInterest(epfd, o.in.On)
}

func (o *observer) settle() {
	if in, is := o.loan.Interest(); is {
		o.in = in
		o.settled++
		if uint64(in.Events) != in.Data {
			o.torn++
		}
	}
}

func (o *observer) SettleInterest(l *Loan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.loan == l {
		o.settle()
	}
}

func (o *observer) RecallInterest(l *Loan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.loan == l {
		l.EndInterest()
		o.settle()
		o.loan = nil
	}
}

func TestInterest(t *testing.T) {
	const ep, fd = 3, 5
	const add, del, mod = 1, 2, 3
	d, s := newDesk()
	o := &observer{in: Interest{On: true, Events: 1}}
	d.LendInterest(fd, ep, o)
	if o.loan != nil {
		t.Error("lent although the thread does not read or write the descriptor")
	}
	new(lender).lend(d, fd, "")
	d.LendInterest(fd, ep, o)
	if s.control(ep, fd, add, 1, 1) || s.control(ep+1, fd, mod, 1, 1) || s.control(ep, fd+Slots, mod, 1, 1) || d.Dirty() {
		t.Error("answered what it should not have")
	}
	if !s.control(ep, fd, mod, 4, 7) || !d.Dirty() || d.Settle() || o.in != (Interest{true, 4, 7}) {
		t.Errorf("modified: %+v", o.in)
	}
	if !s.control(ep, fd, del, 0, 0) || s.control(ep, fd, mod, 1, 1) || s.control(ep, fd, del, 0, 0) {
		t.Error("deleted")
	}
	if d.Settle(); o.in.On {
		t.Error("not deleted")
	}
	if !s.control(ep, fd, add, 1|exotic, 8) || !s.control(ep, fd, del, 0, 0) || !s.control(ep, fd, add, 2|exotic, 9) {
		t.Error("added")
	}
	if d.Settle(); o.in != (Interest{true, 2, 9}) || o.settled != 3 {
		t.Errorf("added: %+v after %d times", o.in, o.settled)
	}
	s.mark(fd)
	if d.Settle(); o.settled != 3 {
		t.Error("settled what was not done")
	}
	s.control(ep, fd, mod, 5, 5)
	d.End()
	if o.in.Events != 5 || o.loan != nil || s.control(ep, fd, mod, 6, 6) {
		t.Errorf("in the end %+v", o.in)
	}
}

// The events and the data that are settled are of one call, and the last call counts.
func TestInterestWhileSettling(t *testing.T) {
	const ep, fd, mod = 3, 5, 3
	d, s := newDesk()
	o := &observer{in: Interest{On: true}}
	new(lender).lend(d, fd, "")
	d.LendInterest(fd, ep, o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20000 {
			d.Settle()
		}
	}()
	last := uint32(0)
	for settling := true; settling; {
		select {
		case <-done:
			settling = false
		default:
			if s.control(ep, fd, mod, last+1, uint64(last+1)) {
				last++
			}
		}
	}
	d.Settle()
	if o.in.Events != last || o.in.Data != uint64(last) {
		t.Errorf("%d and %d, want %d", o.in.Events, o.in.Data, last)
	}
	if o.torn != 0 {
		t.Errorf("%d times events of one call and data of another", o.torn)
	}
}

// Another observer, and another descriptor, take the slot over.
func TestInterestIsTakenOver(t *testing.T) {
	const ep, fd, mod = 3, 5, 3
	d, s := newDesk()
	a, b := &observer{in: Interest{On: true}}, &observer{in: Interest{On: true}}
	new(lender).lend(d, fd, "")
	d.LendInterest(fd, ep, a)
	s.control(ep, fd, mod, 1, 1)
	d.LendInterest(fd, ep+1, b)
	if a.loan != nil || a.in.Events != 1 || s.control(ep, fd, mod, 2, 2) || !s.control(ep+1, fd, mod, 3, 3) {
		t.Errorf("%+v, %+v", a, b)
	}
	new(lender).lend(d, fd+Slots, "")
	if b.loan != nil || b.in.Events != 3 || s.control(ep+1, fd, mod, 4, 4) {
		t.Errorf("%+v", b)
	}
}

// What a hostile application writes into the slot says nothing of flags that are not for it,
// and ends.
func TestHostileInterest(t *testing.T) {
	d, s := newDesk()
	o := &observer{in: Interest{On: true}}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		fd := int32(rng.IntN(3 * Slots))
		new(lender).lend(d, fd, "")
		d.LendInterest(fd, 3, o)
		for range rng.IntN(40) {
			s.mem[rng.IntN(TableSize)] = byte(rng.Uint32())
		}
		s.dirty.Store(rng.Uint64())
		if d.Settle(); o.in.Events&exotic != 0 {
			t.Fatalf("%+v", o.in)
		}
	}
	d.End()
}
