package kernel

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"casemate/platform/loan"
	"casemate/sentry/clock"
	"casemate/sentry/epoll"
	"casemate/vfs"
)

const (
	// afterTransfers is how many transfers a task has made before it borrows.
	afterTransfers = 64
	// maxDesks is how many tasks borrow at a time: all desks are looked at before a task
	// waits.
	maxDesks = 32
	// watchPeriod is how often the desks are looked at for what was written and left:
	// twice that is how late it goes out at worst.
	watchPeriod = time.Millisecond
	// watchIdle is after how many periods in which nobody did anything by a loan all are ended,
	// and nobody watches.
	watchIdle = 100
)

// desks are those of all tasks that borrow.
type desks struct {
	list    atomic.Pointer[[]*loan.Desk]
	watched atomic.Bool // a goroutine is in watch, or about to be

	mu sync.Mutex // held to change list
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
// without system calls. It ends, and the loans with it, when nothing is done by them.
func (ds *desks) watch() {
	for idle := 0; idle < watchIdle; idle++ {
		time.Sleep(watchPeriod)
		now := clock.Monotonic()
		for _, d := range *ds.list.Load() {
			if d.Watch(now) {
				idle = 0
			}
		}
	}
	ds.watched.Store(false) // who lends from now on starts another one
	ds.end()
}

// beWatched starts watch, before something is lent.
func (ds *desks) beWatched() {
	if !ds.watched.Load() && ds.watched.CompareAndSwap(false, true) {
		go ds.watch()
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
var loanCalls = [...]uint64{unix.SYS_READ, unix.SYS_WRITE, unix.SYS_RECVFROM, unix.SYS_SENDTO, unix.SYS_EPOLL_CTL}

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
	if !t.unwatched() {
		return false
	}
	if t.desk == nil {
		if t.transfers++; t.transfers < afterTransfers {
			return false
		}
		t.transfers = 0
		d := t.ctx.Desk()
		if d == nil || !t.k.desks.add(d) {
			return false
		}
		t.desk = d
	}
	t.k.desks.beWatched()
	return true
}

// lent is called when something was lent: if the task has come to be watched meanwhile, that ends.
func (t *Task) lent() {
	if !t.unwatched() {
		t.desk.End()
	}
}

// LendData has f lend the task what can be read from it, if it is a loan.Lender: descriptor fd, with
// which f was added to an epoll file, and which may be another file's by now.
func (t *Task) LendData(fd int32, f *vfs.File) {
	o, ok := f.Ops().(loan.Lender)
	if !ok || !t.borrows() || !t.desk.Pays() {
		return
	}
	now := t.FDTable().Get(fd)
	if now == nil {
		return
	}
	defer now.DecRef()
	if now == f {
		t.desk.LendData(fd, o)
		t.lent()
	}
}

// LendRoom has f, descriptor fd, lend the task room if it is a loan.Lender: when it has just
// written n bytes.
func (t *Task) LendRoom(fd int32, f *vfs.File, n int) {
	if o, ok := f.Ops().(loan.Lender); ok && n <= loan.Room && t.borrows() && !t.desk.Banned(clock.Monotonic()) {
		t.desk.LendRoom(fd, o)
		t.lent()
	}
}

// Desk returns the desk of the task's loans, nil if it has none.
func (t *Task) Desk() *loan.Desk { return t.desk }

// LendInterest has e lend the task its interest in f, when that has just changed it by
// epoll_ctl(2) with the descriptors epfd and fd.
func (t *Task) LendInterest(e *epoll.File, epfd, fd int32, f *vfs.File) {
	if t.desk != nil && t.borrows() {
		e.Lend(t.desk, epfd, fd, f)
		t.lent()
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
