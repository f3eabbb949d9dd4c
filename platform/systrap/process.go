//go:build amd64

package systrap

import (
	"sync"
	"sync/atomic"
	"time"

	"casemate/platform/loan"

	"golang.org/x/sys/unix"
)

// A process is a stub process: the host's side of an address space.
type process struct {
	p    *Platform
	pid  int // set by reaper.add
	dead atomic.Bool
	gone chan struct{} // closed when it is dead and nothing of it is left

	// space is whose process it is: nil for a spare, and when it is released.
	space    atomic.Pointer[space]
	released atomic.Bool // it is killed because it is not needed any more

	mu      sync.Mutex
	threads []*thread // by slot; nil where the slot is free
	chunks  []uint64  // offsets in the area file, by chunk; 0 where there is none
}

// The phases of a thread.
const (
	// phaseApp: it runs application code, or is about to.
	phaseApp = iota
	// phasePlain: it waits for the result of a system call of the application.
	phasePlain
	// phaseStub: it waits in the stub for a command.
	phaseStub
	// phaseCalls: it makes the calls that it was told to make.
	phaseCalls
	// phaseUpgrade: it is on its way from phasePlain or phaseFast to phaseStub.
	phaseUpgrade
	// phaseFast: it looks for the answer to its request in its area, or sleeps
	// until it comes.
	phaseFast
	// phaseFastStub: a signal has brought it from phaseFast into the stub's
	// handler.
	phaseFastStub
)

// The phases change as follows. L is the listener, S the spinner, and all other
// changes are made by who holds the thread's mu.
//
//	App ----L---> Plain ----------> App             a system call and its result
//	App ----L---> Stub -----------> App             a signal, and back by a frame
//	              Stub -> Calls -L-> Stub or App    commanded calls
//	              Plain -> Upgrade -L-> Stub
//	App ----S---> Fast -----------> App             a patched site's system call
//	              Fast -L-> FastStub ----> Stub
//	              Fast -> Upgrade -L-> Stub

// A thread is a thread of a stub process.
type thread struct {
	proc *process
	tid  int
	slot int
	base uint64 // address of its area in its process
	area area   // the same as the sentry sees it

	phase atomic.Uint32
	// mu is held to answer the thread's notification.
	mu sync.Mutex
	// notif is the notification that the thread waits for, in phasePlain,
	// phaseStub and phaseFastStub.
	notif uint64
	// frame is the offset in the area of the frame to resume with, in
	// phaseStub and phaseFastStub.
	frame uint64
	// upgraded says that the frame is that of a system call which is being
	// served, and is about to be made again: finishCall puts the result there.
	upgraded bool

	// The calls that the thread is to make, of which next have been made. ride
	// means that it resumes after the last. Written by who holds mu in
	// phaseStub, then owned by the listener.
	calls []call
	next  int
	ride  bool
	// done receives one value when run's calls have been made or one has failed,
	// and when an upgrade is through.
	done chan result

	// want says that a goroutine that holds mu waits for the thread to come up
	// (borrow); granted receives one value then.
	want    atomic.Bool
	granted chan struct{}

	// rode says that the thread has resumed with calls, and has not come up since.
	rode atomic.Bool

	ctx atomic.Pointer[context]
	// desk is the loans' part of the area, for the context's upcalls; nil until it is used.
	desk *loan.Desk

	// kicked says that the interrupt signal has been sent, and the thread has not
	// come up by it since; heard counts how often it has.
	kicked atomic.Bool
	heard  atomic.Uint32

	// signal is what brought the thread into phaseStub, 0 in phasePlain. It is
	// the listener's.
	signal int

	// Since when it is due, and how much processor time the process had used
	// then: for the watch.
	dueSince time.Time
	dueUsed  time.Duration

	// heat is how many calls of patched sites came in a row, the last at lastCall
	// (the time-stamp counter).
	heat     int
	lastCall uint64
	hot      atomic.Bool // it is one of spinner.hot
	asked    bool        // it has made a request of late: the spinner's
	// apart is the processor that the thread is kept away from, if not negative.
	// It is changed with affinity held.
	apart    atomic.Int32
	affinity sync.Mutex
}

type result struct {
	val   uint64
	errno unix.Errno
}

func newThread(proc *process, tid, slot int) *thread {
	t := &thread{
		proc:    proc,
		tid:     tid,
		slot:    slot,
		base:    areaAddr(slot),
		area:    proc.p.areas.at(proc.chunks[slot/chunkSlots], slot),
		done:    make(chan result, 1),
		granted: make(chan struct{}, 1),
	}
	t.apart.Store(-1)
	return t
}

// answer answers the thread's notification, and so lets it go on, in phase. If
// the thread has died the reaper sees to the rest.
func (t *thread) answer(phase uint32, val int64, errno int32) {
	r := response{id: t.notif, val: val, errno: errno}
	t.phase.Store(phase)
	respond(t.proc.p.listener, &r)
}

// goOn is answer for good: it releases t.mu, before the thread goes on, since the
// kernel may well run the thread at once on this very processor.
func (t *thread) goOn(phase uint32, val int64) {
	r := response{id: t.notif, val: val}
	t.phase.Store(phase)
	t.mu.Unlock()
	respond(t.proc.p.listener, &r)
}

// run has a thread in phaseStub make calls, at most maxCalls, and waits until it
// has. It returns the result of the last. t.mu is held.
func (t *thread) run(kind uint64, calls []call) (uint64, unix.Errno) {
	if t.proc.dead.Load() {
		return 0, unix.ESRCH
	}
	t.calls, t.next, t.ride = calls, 0, false
	t.area.putCalls(calls)
	t.answer(phaseCalls, int64(kind|uint64(len(calls))<<cmdCountShift), 0)
	r := t.await(t.done)
	return r.val, r.errno
}

// await waits for a value from c, one of t's channels.
func (t *thread) await(c chan result) (r result) {
	got := false
	take := func() bool {
		select {
		case r = <-c:
			got = true
		default:
		}
		return got || t.stuck()
	}
	t.proc.p.waitFor(take, func() {
		select {
		case r = <-c:
			got = true
		case <-t.proc.gone:
		}
	})
	if !got {
		r.errno = unix.ESRCH
	}
	return r
}

// stuck says whether the process is gone, so that nothing is to be waited for.
func (t *thread) stuck() bool {
	select {
	case <-t.proc.gone:
		return true
	default:
		return false
	}
}

// inSentry says whether the thread waits for the sentry in an upcall, or without a
// context. If mu is held it stays so.
func (t *thread) inSentry() bool {
	switch t.phase.Load() {
	case phasePlain, phaseStub, phaseFast, phaseFastStub:
		return true
	}
	return false
}

// ready brings a thread that is in the sentry to phaseStub. t.mu is held.
func (t *thread) ready() unix.Errno {
	for {
		switch t.phase.Load() {
		case phaseStub:
			return 0
		case phasePlain:
			// The call is made to start again, but a signal is there first. If
			// the application has blocked the signal by a forged frame, the call
			// does start again, which the listener takes as a breach.
			t.kick()
			t.answer(phaseUpgrade, 0, -errRestartNoIntr)
			return t.upgrade(false)
		case phaseFast:
			if t.phase.CompareAndSwap(phaseFast, phaseUpgrade) {
				t.kick()
				return t.upgrade(true)
			}
		case phaseFastStub:
			t.area.leaveFast(t.frame, true)
			t.upgraded = true
			t.phase.Store(phaseStub)
			return 0
		default:
			if t.stuck() {
				return unix.ESRCH
			}
			panic("systrap: the thread is not in the sentry")
		}
	}
}

// upgrade waits until the listener has seen the thread go from phaseUpgrade to
// phaseStub.
func (t *thread) upgrade(fast bool) unix.Errno {
	t.proc.p.watch.expect()
	if r := t.await(t.done); r.errno != 0 {
		return r.errno
	}
	if fast {
		t.area.leaveFast(t.frame, true)
	}
	t.upgraded = true
	return 0
}

// errRestartNoIntr is ERESTARTNOINTR of the kernel: the system call returns to
// its instruction when a signal is handled.
const errRestartNoIntr = 513

// kick makes the thread enter the stub's signal handler.
func (t *thread) kick() {
	if !t.proc.dead.Load() {
		unix.RawSyscall(unix.SYS_TGKILL, uintptr(t.proc.pid), uintptr(t.tid), interruptSignal)
		if !t.kicked.Load() {
			t.kicked.Store(true)
			t.proc.p.deaf.watch(t)
		}
	}
}

// kill ends the process. It does not wait for that.
func (proc *process) kill() {
	if proc.pid != 0 && !proc.dead.Load() {
		unix.Kill(proc.pid, unix.SIGKILL)
	}
}

// breach ends a process whose threads do what the stub's code does not do.
func (proc *process) breach(what string, n *notification) {
	proc.p.logf("systrap: process %d: %s: call %d at %#x; killed", proc.pid, what, n.nr, n.ip)
	proc.kill()
}
