package kernel

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/platform"
	"casemate/sentry/clock"
	"casemate/vfs/wait"
)

// States of a waker.
const (
	wakerIdle     = iota
	wakerWoken    // a wake-up that nobody has waited for yet
	wakerParked   // its context is parked
	wakerSleeping // its thread sleeps on the host's futex state
)

// A waker lets one goroutine sleep until others wake it. A wake-up is remembered
// until the next sleep.
type waker struct {
	state atomic.Uint32
	ctx   platform.Context
}

func (w *waker) wake() {
	switch w.state.Swap(wakerWoken) {
	case wakerParked:
		w.ctx.Unpark()
	case wakerSleeping:
		clock.FutexWake(&w.state)
	}
}

// park sleeps until wake.
func (w *waker) park() {
	if w.state.CompareAndSwap(wakerIdle, wakerParked) {
		w.ctx.Park()
	}
	w.state.Store(wakerIdle)
}

// sleep sleeps until wake or the deadline, at the cost of an OS thread but with
// no other goroutine in between.
func (w *waker) sleep(deadline int64) {
	if w.state.CompareAndSwap(wakerIdle, wakerSleeping) {
		for w.state.Load() == wakerSleeping && clock.Monotonic() < deadline {
			clock.FutexWait(&w.state, wakerSleeping, deadline)
		}
	}
	w.state.Store(wakerIdle)
}

// shortSleep is up to how far ahead (ns) a deadline is waited for on the task's
// own OS thread. Beyond it, saving the thread is worth the hop from the timer
// queue's goroutine.
const shortSleep = 2e6

// Wake makes the task's current Block return, or its next one if it is not
// blocked. It may be called by any goroutine, under any lock.
func (t *Task) Wake() { t.waker.wake() }

// WaitEntry returns the task's own wait queue entry, whose notification wakes the
// task. It is free for use by any handler that waits for one queue; it must be
// off that queue when the handler returns.
func (t *Task) WaitEntry() *wait.Entry { return &t.entry }

// NewWaitEntry returns another entry that wakes the task, for handlers that wait
// for several queues.
func (t *Task) NewWaitEntry() wait.Entry { return wait.Entry{Notify: t.entry.Notify} }

// Block parks the calling task until Wake, a signal, or the monotonic deadline
// (clock.Never: none). It returns nil after a wake-up and sometimes for no
// reason, ETIMEDOUT when the deadline has passed, and ErrRestartSys when the task
// has a signal to deal with or must exit: the handler then undoes what it has
// begun and returns that error or the restart code of its call. No locks may be
// held.
func (t *Task) Block(deadline int64) error { return t.block(deadline, workAny) }

// BlockKillable is Block for the waits that only a fatal signal ends: it returns
// EINTR then, which nobody will see.
func (t *Task) BlockKillable(deadline int64) error {
	if err := t.block(deadline, workExit); err != nil {
		if err == unix.ETIMEDOUT {
			return err
		}
		return unix.EINTR
	}
	return nil
}

func (t *Task) block(deadline int64, interrupts uint32) error {
	if t.work.Load()&interrupts != 0 {
		return ErrRestartSys
	}
	now := clock.Monotonic()
	if t.waker.state.CompareAndSwap(wakerWoken, wakerIdle) {
		return nil
	}
	if now >= deadline {
		return unix.ETIMEDOUT
	}
	t.k.desks.settle()
	if t.k.BeforeBlock != nil {
		t.k.BeforeBlock()
	}
	if t.waker.state.CompareAndSwap(wakerWoken, wakerIdle) {
		return nil // what it waits for has come
	}
	t.cpu.leaveSystem(now)
	t.voluntarySwitches.Add(1)
	t.blocked.Store(true)
	switch {
	case deadline == clock.Never:
		t.waker.park()
	case deadline-now <= shortSleep:
		t.ctx.Blocking()
		t.waker.sleep(deadline)
	default:
		t.k.timers.Set(&t.timer, deadline)
		t.waker.park()
		t.k.timers.Cancel(&t.timer)
	}
	t.blocked.Store(false)
	now = clock.Monotonic()
	t.cpu.enterSystem(now)
	if t.work.Load()&interrupts != 0 {
		return ErrRestartSys
	}
	if now >= deadline {
		return unix.ETIMEDOUT
	}
	return nil
}

// Interrupted reports whether a signal or an exit waits for the task, so that a
// long operation should come to its end.
func (t *Task) Interrupted() bool { return t.work.Load()&workAny != 0 }
