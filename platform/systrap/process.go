//go:build amd64

package systrap

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A process is a stub process: the host's side of an address space.
type process struct {
	p    *Platform
	pid  int
	dead atomic.Bool
	gone chan struct{} // closed when it is dead and nothing of it is left

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
	// phaseUpgrade: it is on its way from phasePlain to phaseStub.
	phaseUpgrade
)

// A thread is a thread of a stub process.
type thread struct {
	proc *process
	tid  int
	slot int
	base uint64 // address of its area in its process
	area area   // the same as the sentry sees it

	// phase changes to phasePlain and phaseStub by the listener, and from there
	// by who holds mu.
	phase atomic.Uint32
	// mu is held to answer the thread's notification.
	mu sync.Mutex
	// notif is the notification that the thread waits for, in phasePlain and
	// phaseStub.
	notif uint64
	// frame is the offset in the area of the frame to resume with, in
	// phaseStub; 0 if there is none.
	frame uint64
	// upgraded says that the frame is that of a system call which is being
	// served: its result is to be put there.
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
}

type result struct {
	val   uint64
	errno unix.Errno
}

func newThread(proc *process, tid, slot int) *thread {
	return &thread{
		proc:    proc,
		tid:     tid,
		slot:    slot,
		base:    areaAddr(slot),
		area:    proc.p.areas.at(proc.chunks[slot/chunkSlots], slot),
		done:    make(chan result, 1),
		granted: make(chan struct{}, 1),
	}
}

// respond answers the thread's notification. If the thread has died the reaper
// sees to the rest.
func (t *thread) respond(val int64, errno int32) {
	r := response{id: t.notif, val: val, errno: errno}
	respond(t.proc.p.listener, &r)
}

// command lets a thread in phaseStub carry out cmd.
func (t *thread) command(cmd uint64) { t.respond(int64(cmd), 0) }

// run has a thread in phaseStub make calls, at most maxCalls, and waits until it
// has. It returns the result of the last. t.mu is held.
func (t *thread) run(kind uint64, calls []call) (uint64, unix.Errno) {
	if t.proc.dead.Load() {
		return 0, unix.ESRCH
	}
	t.calls, t.next, t.ride = calls, 0, false
	t.area.putCalls(calls)
	t.phase.Store(phaseCalls)
	t.command(kind | uint64(len(calls))<<cmdCountShift)
	r := t.await(t.done)
	return r.val, r.errno
}

// await waits for a value from c, one of t's channels.
func (t *thread) await(c chan result) result {
	t.proc.p.waitBegin()
	defer t.proc.p.waitEnd()
	select {
	case r := <-c:
		return r
	case <-t.proc.gone:
		return result{errno: unix.ESRCH}
	}
}

// upgrade brings a thread from phasePlain to phaseStub: its system call is made
// to start again, but a signal is there first. t.mu is held.
//
// If the application has blocked the signal by a forged frame, the call starts
// again, which the listener takes as a breach.
func (t *thread) upgrade() unix.Errno {
	t.phase.Store(phaseUpgrade)
	t.kick()
	t.respond(0, -errRestartNoIntr)
	if r := t.await(t.done); r.errno != 0 {
		return r.errno
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
	}
}

// ready brings a thread in phasePlain or phaseStub to phaseStub. t.mu is held.
func (t *thread) ready() unix.Errno {
	if t.phase.Load() == phasePlain {
		return t.upgrade()
	}
	return 0
}

// kill ends the process. It does not wait for that.
func (proc *process) kill() {
	if !proc.dead.Load() {
		unix.Kill(proc.pid, unix.SIGKILL)
	}
}

// breach ends a process whose threads do what the stub's code does not do.
func (proc *process) breach(what string, n *notification) {
	proc.p.logf("systrap: process %d: %s: call %d at %#x; killed", proc.pid, what, n.nr, n.ip)
	proc.kill()
}
