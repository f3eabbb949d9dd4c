package epoll

import (
	"encoding/binary"
	"sync/atomic"
	"testing"

	"casemate/platform/loan"
	"casemate/vfs"
	"casemate/vfs/wait"
)

// reads is a loan.Lender that lends nothing.
type reads struct{}

func (reads) LendData(*loan.Loan)         {}
func (reads) LendRoom(*loan.Loan)         {}
func (reads) Settle() (loan.Runner, bool) { return nil, false }
func (reads) Recall()                     {}

// A borrower does what the platform's code in the application does.
type borrower struct {
	t     *testing.T
	mem   []byte
	dirty atomic.Uint64
	*loan.Desk
}

func newBorrower(t *testing.T) *borrower {
	b := &borrower{t: t, mem: make([]byte, loan.Size)}
	b.Desk = loan.NewDesk(b.mem, 0, new(atomic.Uint32), &b.dirty)
	return b
}

// The offsets of a slot's words, which the stub knows as well.
const (
	slotInterest = 32
	slotEvents   = 36 // two of them
	slotData     = 48 // likewise
)

// change changes the interest in fd if it is lent, and reports that.
func (b *borrower) change(fd int32, on bool, events uint32, data uint64) bool {
	le := binary.LittleEndian
	s := b.mem[int(fd)*loan.SlotSize:]
	v := le.Uint32(s[slotInterest:])
	if int32(v) < 0 {
		return false
	}
	v = v&^1 | 2
	if on {
		v |= 1
	}
	v += 4
	turn := v / 4 % 2
	le.PutUint32(s[slotInterest:], v)
	le.PutUint32(s[slotEvents+4*turn:], events)
	le.PutUint64(s[slotData+8*turn:], data)
	b.dirty.Or(1 << fd)
	return true
}

// borrow has e, which watches f as fd, lend its interest.
func (b *borrower) borrow(e *File, fd int32, f *vfs.File) {
	b.t.Helper()
	b.LendData(fd, reads{})
	for range alone + 1 {
		e.Use(b.Desk)
	}
	e.Lend(b.Desk, 9, fd, f)
}

// newWatch makes a borrower, and an epoll file that watches a file, which is ready, as descriptor 5.
func newWatch(t *testing.T) (*borrower, *File, *vfs.File) {
	e, f := New(), newBench(t).event(1)
	if err := e.Add(f, 5, uint32(wait.In), 1); err != nil {
		t.Fatal(err)
	}
	return newBorrower(t), e, f
}

func TestLend(t *testing.T) {
	s, e, f := newWatch(t)
	defer f.DecRef()
	e.Use(s.Desk)
	s.LendData(5, reads{})
	e.Lend(s.Desk, 9, 5, f)
	if s.change(5, false, 0, 0) {
		t.Fatal("lent to one who has used it once")
	}
	s.borrow(e, 5, f)
	if !s.change(5, true, uint32(wait.In), 2) {
		t.Fatal("not lent")
	}
	s.Settle()
	if got := collect(e, 9); len(got) != 1 || got[0] != 2 {
		t.Errorf("modified: %v", got)
	}
	s.change(5, false, 0, 0)
	s.Settle()
	if got := collect(e, 9); len(got) != 0 || e.FDInfo() != "" {
		t.Errorf("deleted: %v, %q", got, e.FDInfo())
	}
	s.change(5, true, uint32(wait.In), 3)
	s.Settle()
	if got := collect(e, 9); len(got) != 1 || got[0] != 3 {
		t.Errorf("added: %v", got)
	}
}

// Whatever else is done with the epoll file counts with what was changed, and ends the loan.
func TestRecall(t *testing.T) {
	for name, what := range map[string]func(e *File, f *vfs.File){
		"another thread": func(e *File, f *vfs.File) { e.Use(nil) },
		"poll": func(e *File, f *vfs.File) {
			e.Register(&wait.Entry{Notify: func(*wait.Entry, wait.Events) {}}, wait.In)
		},
		"close":       func(e *File, f *vfs.File) { e.Flush(nil, nil) },
		"close of it": func(e *File, f *vfs.File) { e.items[key{f, 5}].DescriptorClosed(f) },
		"a call": func(e *File, f *vfs.File) {
			if err := e.Modify(f, 5, uint32(wait.Out), 7); err == nil {
				t.Error("changed what was deleted")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, e, f := newWatch(t)
			defer f.DecRef()
			s.borrow(e, 5, f)
			if !s.change(5, false, 0, 0) {
				t.Fatal("not lent")
			}
			what(e, f)
			if len(e.items) != 0 || len(e.lent) != 0 || s.change(5, true, 1, 1) {
				t.Errorf("%d items, %d lent", len(e.items), len(e.lent))
			}
			s.Settle()
			if err := e.Add(f, 5, uint32(wait.In), 4); err != nil {
				t.Error(err)
			}
			if got := collect(e, 9); len(got) != 1 || got[0] != 4 {
				t.Errorf("added: %v", got)
			}
		})
	}
}

// A file that is released takes its item along, also one that was deleted by a loan.
func TestReleasedWhileLent(t *testing.T) {
	for _, on := range []bool{true, false} {
		s, e, f := newWatch(t)
		s.borrow(e, 5, f)
		s.change(5, on, uint32(wait.In), 1)
		f.DecRef()
		s.Settle()
		if len(e.items) != 0 || len(e.lent) != 0 || s.change(5, true, 1, 1) {
			t.Errorf("%d items, %d lent", len(e.items), len(e.lent))
		}
	}
}

// Nothing is lent while somebody waits, or for a file that is watched exclusively.
func TestNotLent(t *testing.T) {
	for name, prepare := range map[string]func(e *File, f *vfs.File) error{
		"waiter": func(e *File, f *vfs.File) error {
			e.AddWaiter(&wait.Entry{Notify: func(*wait.Entry, wait.Events) {}})
			return e.Add(f, 5, uint32(wait.In), 1)
		},
		"poller": func(e *File, f *vfs.File) error {
			e.Register(&wait.Entry{Notify: func(*wait.Entry, wait.Events) {}}, wait.In)
			return e.Add(f, 5, uint32(wait.In), 1)
		},
		"exclusive": func(e *File, f *vfs.File) error { return e.Add(f, 5, uint32(wait.In)|flagExclusive, 1) },
	} {
		b := newBench(t)
		s := newBorrower(t)
		e := New()
		f := b.event(1)
		if err := prepare(e, f); err != nil {
			t.Fatal(err)
		}
		s.borrow(e, 5, f)
		if s.change(5, false, 0, 0) {
			t.Errorf("%s: lent", name)
		}
		f.DecRef()
	}
}
