package kernel

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"casemate/platform/loan"
	"casemate/sentry/clock"
	"casemate/vfs"
)

// A Lender is a file from which a task can read, and to which it can write, without a
// system call that the sentry sees (package loan). Its methods are called in an upcall of
// the task, which the Loan is for.
type Lender interface {
	loan.Lender
	// LendData lends what can be read now, if it is little.
	LendData(l *loan.Loan)
	// LendRoom lends room for writing, if there is plenty.
	LendRoom(l *loan.Loan)
}

const (
	// afterTransfers is how many transfers a task has made before it borrows.
	afterTransfers = 64
	// maxDesks is how many tasks borrow at a time: all desks are looked at before a task
	// waits.
	maxDesks = 32
	// watchPeriod is how often the desks are looked at for what was written and left:
	// twice that is how late it goes out at worst.
	watchPeriod = time.Millisecond
)

// desks are those of all tasks that borrow.
type desks struct {
	list atomic.Pointer[[]*loan.Desk]

	mu      sync.Mutex // held to change list
	watched bool       // a goroutine is in watch
}

// add takes up d unless there are too many.
func (ds *desks) add(d *loan.Desk) bool {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	var list []*loan.Desk
	if p := ds.list.Load(); p != nil {
		list = *p
	}
	if len(list) >= maxDesks {
		return false
	}
	list = append(slices.Clone(list), d)
	ds.list.Store(&list)
	if !ds.watched {
		ds.watched = true
		go ds.watch()
	}
	return true
}

// remove forgets d.
func (ds *desks) remove(d *loan.Desk) {
	ds.mu.Lock()
	list := slices.DeleteFunc(slices.Clone(*ds.list.Load()), func(o *loan.Desk) bool { return o == d })
	ds.list.Store(&list)
	ds.mu.Unlock()
}

// settle settles what is dirty, and reports whether anything was.
func (ds *desks) settle() (some bool) {
	if p := ds.list.Load(); p != nil {
		for _, d := range *p {
			if d.Dirty() {
				d.Settle()
				some = true
			}
		}
	}
	return some
}

// end ends all loans.
func (ds *desks) end() {
	if p := ds.list.Load(); p != nil {
		for _, d := range *p {
			d.End()
		}
	}
}

// watch sees to it that what was written goes out soon even if its writer goes on
// without system calls. It ends when there is no desk.
func (ds *desks) watch() {
	for {
		time.Sleep(watchPeriod)
		list := *ds.list.Load()
		now := clock.Monotonic()
		for _, d := range list {
			d.Watch(now)
		}
		if len(list) == 0 {
			ds.mu.Lock()
			if len(*ds.list.Load()) == 0 {
				ds.watched = false
				ds.mu.Unlock()
				return
			}
			ds.mu.Unlock()
		}
	}
}

// settle takes account of what the task has done by its loans: in every upcall first.
func (t *Task) settle() {
	if t.desk != nil && t.desk.Dirty() {
		t.desk.Settle()
	}
}

// SettleLoans takes account of what all tasks have done by their loans, and reports whether
// that was anything: a task that finds nothing to read calls it and looks again.
func (t *Task) SettleLoans() bool { return t.k.desks.settle() }

// loanCalls are the calls that are made by loans.
var loanCalls = [...]uint64{unix.SYS_READ, unix.SYS_WRITE, unix.SYS_RECVFROM, unix.SYS_SENDTO}

// unwatched reports whether nobody is to see such calls of the task, or may refuse them.
func (t *Task) unwatched() bool {
	if t.k.strace.Load() {
		return false
	}
	if s := t.seccomp.Load(); s != nil {
		for _, nr := range loanCalls {
			if !s.always.has(nr) {
				return false
			}
		}
	}
	return true
}

// borrows reports whether the task is to be lent something.
func (t *Task) borrows() bool {
	if t.desk != nil {
		return t.unwatched()
	}
	if t.transfers++; t.transfers < afterTransfers || !t.unwatched() {
		return false
	}
	t.transfers = 0
	if d := t.ctx.Desk(); d != nil && t.k.desks.add(d) {
		t.desk = d
		return true
	}
	return false
}

// LendData has f lend the task what can be read from it, if it is a Lender: descriptor fd, with
// which f was added to an epoll file, and which may be another file's by now.
func (t *Task) LendData(fd int32, f *vfs.File) {
	if o, ok := f.Ops().(Lender); ok && t.borrows() && t.desk.Pays() && t.FDTable().Is(fd, f) {
		o.LendData(t.desk.Lend(fd, o))
	}
}

// LendRoom has f, descriptor fd, lend the task room if it is a Lender: when it has just
// written n bytes.
func (t *Task) LendRoom(fd int32, f *vfs.File, n int) {
	if o, ok := f.Ops().(Lender); ok && n <= loan.Room && t.borrows() && !t.desk.Banned(clock.Monotonic()) {
		o.LendRoom(t.desk.Lend(fd, o))
	}
}

// endLoans ends the task's loans.
func (t *Task) endLoans() {
	if d := t.desk; d != nil {
		t.desk = nil
		t.k.desks.remove(d)
		d.End()
	}
}
