package kernel

import (
	"golang.org/x/sys/unix"
)

// setMask changes the task's own signal mask.
func (t *Task) setMask(mask SignalSet) {
	tg := t.tg
	tg.sigMu.Lock()
	t.setMaskLocked(mask)
	tg.sigMu.Unlock()
}

func (t *Task) setMaskLocked(mask SignalSet) {
	newly := mask &^ t.sigMask
	t.sigMask = mask &^ Unblockable
	if newly&t.tg.pending.set != 0 {
		// This task may have been chosen to take one of them: another must.
		t.tg.retarget(t)
	}
	t.recalcSignals()
}

// retarget has other tasks look at the group's pending signals because t no
// longer takes them. tg.sigMu is held.
func (tg *ThreadGroup) retarget(t *Task) {
	for _, o := range tg.tasks {
		if o != t && !o.exiting && tg.pending.set&^o.sigMask != 0 && o.work.Load()&workSignal == 0 {
			o.setWork(workSignal)
		}
	}
}

// SignalMask returns the mask of the calling task.
func (t *Task) SignalMask() SignalSet { return t.sigMask }

// SetSignalMask replaces the mask of the calling task, rt_sigprocmask(2).
func (t *Task) SetSignalMask(mask SignalSet) { t.setMask(mask) }

// SetTempMask replaces the mask until the current call has returned and the
// signals that it lets through have been delivered: sigsuspend(2), ppoll(2).
func (t *Task) SetTempMask(mask SignalSet) {
	if !t.hasSaved {
		t.savedMask, t.hasSaved = t.sigMask, true
	}
	t.setMask(mask)
}

// PendingSignals is what sigpending(2) returns.
func (t *Task) PendingSignals() SignalSet {
	t.tg.sigMu.Lock()
	defer t.tg.sigMu.Unlock()
	return (t.pending.set | t.tg.pending.set) & t.sigMask
}

// dequeue takes the next pending signal that is not in mask. tg.sigMu is held.
func (t *Task) dequeue(mask SignalSet) (queuedSignal, bool) {
	q := &t.pending
	sig := (q.set &^ mask).next()
	if sig == 0 {
		q = &t.tg.pending
		sig = (q.set &^ mask).next()
	}
	if sig == 0 {
		return queuedSignal{}, false
	}
	s := q.take(sig)
	if s.timer != nil {
		s.timer.delivered(&s.info)
	}
	t.recalcSignals()
	return s, true
}

// Dequeue takes a pending signal of set for sigtimedwait(2) and signalfd(2);
// false if there is none.
func (t *Task) Dequeue(set SignalSet) (SigInfo, bool) {
	t.tg.sigMu.Lock()
	defer t.tg.sigMu.Unlock()
	q, ok := t.dequeue(^set)
	return q.info, ok
}

// PendingIn reports whether a signal of set is pending for the task.
func (t *Task) PendingIn(set SignalSet) bool {
	t.tg.sigMu.Lock()
	defer t.tg.sigMu.Unlock()
	return (t.pending.set|t.tg.pending.set)&set != 0
}

// SigTimedWait waits for a signal of set until the deadline and takes it:
// rt_sigtimedwait(2). EAGAIN at the deadline, EINTR when another signal comes.
func (t *Task) SigTimedWait(set SignalSet, deadline int64) (SigInfo, error) {
	set &^= Unblockable
	tg := t.tg
	for {
		tg.sigMu.Lock()
		if q, ok := t.dequeue(^set); ok {
			tg.sigMu.Unlock()
			return q.info, nil
		}
		t.realMask = t.sigMask
		t.sigMask &^= set
		t.recalcSignals()
		tg.sigMu.Unlock()

		err := t.Block(deadline)

		tg.sigMu.Lock()
		t.sigMask, t.realMask = t.realMask, 0
		t.recalcSignals()
		q, ok := t.dequeue(^set)
		tg.sigMu.Unlock()
		switch {
		case ok:
			return q.info, nil
		case err == unix.ETIMEDOUT:
			return SigInfo{}, unix.EAGAIN
		case err != nil:
			return SigInfo{}, unix.EINTR
		}
	}
}

// deliverOne deals with one pending signal and reports whether it found one.
// State.Full holds.
func (t *Task) deliverOne() bool {
	tg := t.tg
	tg.sigMu.Lock()
	if tg.groupExit {
		tg.sigMu.Unlock()
		t.work.Or(workExit)
		return true
	}
	q, ok := t.dequeue(t.sigMask)
	if !ok {
		t.recalcSignals()
		tg.sigMu.Unlock()
		return false
	}
	info := &q.info
	sig := info.Signo
	h := tg.handlers
	h.mu.Lock()
	act := h.actions[sig-1]
	if act.Handler != sigDfl && act.Handler != sigIgn && act.Flags&saResetHand != 0 {
		h.actions[sig-1].Handler = sigDfl
	}
	h.mu.Unlock()
	switch {
	case act.Handler == sigIgn:
		tg.sigMu.Unlock()
	case act.Handler != sigDfl:
		tg.sigMu.Unlock()
		t.runHandler(info, &act)
	case ignoreSignals.Has(sig) || tg.unkillable && !Unblockable.Has(sig):
		tg.sigMu.Unlock()
	case stopSignals.Has(sig):
		tg.sigMu.Unlock()
		t.stopBy(sig)
	default:
		t.k.logFatal(t, info)
		tg.beginExitLocked(WaitSignaled(sig))
		tg.sigMu.Unlock()
	}
	return true
}

// runHandler sets the task up to run a signal handler.
func (t *Task) runHandler(info *SigInfo, act *SigAction) {
	switch t.restart {
	case 0:
	case ErrRestartSys:
		if act.Flags&saRestart != 0 {
			restartSyscall(t.state, t.sysNr)
		}
	case ErrRestartNoIntr:
		restartSyscall(t.state, t.sysNr)
	}
	t.restart = 0
	t.restartBlock = nil
	mask := t.sigMask
	if t.hasSaved {
		mask, t.hasSaved = t.savedMask, false
	}
	if err := t.pushSignalFrame(info, act, mask); err != nil {
		// The frame does not fit: SIGSEGV, which kills if it is that very
		// handler that cannot be run.
		if info.Signo == int32(unix.SIGSEGV) {
			h := t.tg.handlers
			h.mu.Lock()
			h.actions[info.Signo-1].Handler = sigDfl
			h.mu.Unlock()
		}
		t.setMask(mask)
		t.ForceSegv()
		return
	}
	blocked := t.sigMask | act.Mask
	if act.Flags&saNoDefer == 0 {
		blocked |= bit(info.Signo)
	}
	t.setMask(blocked)
}

// SigReturn takes the task back to where the signal handler interrupted it:
// rt_sigreturn(2). State.Full holds.
func (t *Task) SigReturn() (uint64, error) {
	mask, err := t.popSignalFrame()
	if err != nil {
		t.ForceSegv()
		return t.state.Return(), nil
	}
	t.setMask(mask)
	return t.state.Return(), nil
}

// RestoreMask undoes SetTempMask at once: for a call that was not interrupted.
func (t *Task) RestoreMask() {
	if t.hasSaved {
		t.hasSaved = false
		t.setMask(t.savedMask)
	}
}
