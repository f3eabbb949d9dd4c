package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/platform"
)

// Pending work of a task: bits of Task.work. Whoever sets one wakes the task and
// interrupts its context; the task looks at them before it goes back to the
// application.
const (
	workSignal = 1 << iota // an unblocked signal is pending
	workStop               // the task is to take part in a group stop
	workExit               // the task must exit
	workFreeze             // the task's control group is frozen
	workNotify             // tell the parent that the group was continued
	workAny    = workSignal | workStop | workExit | workNotify
)

// setWork sets bits of t.work and makes the task see them.
func (t *Task) setWork(bits uint32) {
	t.work.Or(bits)
	t.waker.wake()
	if t.started.Load() {
		t.ctx.Interrupt()
	}
}

// recalcSignals sets or clears workSignal by what is pending. tg.sigMu is held.
// It does not wake the task.
func (t *Task) recalcSignals() {
	if (t.pending.set|t.tg.pending.set)&^t.sigMask != 0 {
		t.work.Or(workSignal)
	} else {
		t.work.And(^uint32(workSignal))
	}
}

// ignores reports whether sig would be thrown away on arrival. tg.sigMu is held.
func (tg *ThreadGroup) ignores(t *Task, sig int32, force bool) bool {
	if t.sigMask.Has(sig) || t.realMask.Has(sig) {
		return false
	}
	h := tg.handlers.get(sig).Handler
	if tg.unkillable && h == sigDfl && !(force && Unblockable.Has(sig)) {
		return true
	}
	return h == sigIgn || h == sigDfl && ignoreSignals.Has(sig)
}

// sendLocked makes a signal pending for t, or for the whole group if t is nil,
// and chooses who is to take it. force is set when the kernel or an ancestor pid
// namespace sends: only then an init process can be killed. tg.sigMu is held.
// EAGAIN when a queued signal exceeds RLIMIT_SIGPENDING.
func (tg *ThreadGroup) sendLocked(info *SigInfo, t *Task, force bool) error {
	return tg.sendTimerLocked(info, t, force, nil)
}

// sendTimerLocked is sendLocked for the signal of a timer, if timer is not nil.
func (tg *ThreadGroup) sendTimerLocked(info *SigInfo, t *Task, force bool, timer *PosixTimer) error {
	sig := info.Signo
	if tg.groupExit || len(tg.tasks) == 0 {
		return nil
	}
	if stopSignals.Has(sig) {
		tg.flushAll(bit(int32(unix.SIGCONT)))
	} else if sig == int32(unix.SIGCONT) {
		tg.flushAll(stopSignals)
		tg.continueLocked()
	}
	main := t
	if main == nil {
		main = tg.leader
	}
	if tg.ignores(main, sig, force) {
		return nil
	}
	queue := &tg.pending
	if t != nil {
		queue = &t.pending
	}
	if sig < sigRTMin && queue.set.Has(sig) {
		return nil
	}
	q := queuedSignal{info: *info, timer: timer}
	if sig != int32(unix.SIGKILL) {
		q.user = main.userCount()
		override := timer != nil || sig < sigRTMin && info.Code >= 0
		if !q.user.takeSignal(tg.limits.Get(unix.RLIMIT_SIGPENDING).Cur, override) {
			if sig >= sigRTMin && info.Code != SIUser {
				return unix.EAGAIN
			}
			q.user = nil
			queue.mark(sig)
			tg.WakeSignalFDs()
			tg.choose(main, t != nil, sig)
			return nil
		}
	}
	queue.add(q)
	if timer != nil {
		timer.queued = true
	}
	tg.WakeSignalFDs()
	tg.choose(main, t != nil, sig)
	return nil
}

// flushAll removes pending signals of set from the group and all its tasks.
func (tg *ThreadGroup) flushAll(set SignalSet) {
	tg.pending.flush(set)
	for _, t := range tg.tasks {
		t.pending.flush(set)
		t.recalcSignals()
	}
}

// wants reports whether t is fit to take sig now.
func (t *Task) wants(sig int32) bool {
	if t.sigMask.Has(sig) || t.exiting {
		return false
	}
	if sig == int32(unix.SIGKILL) {
		return true
	}
	return !t.stopped
}

// choose wakes the task that is to take the pending signal sig, or kills the group
// when the signal does that. tg.sigMu is held.
func (tg *ThreadGroup) choose(main *Task, only bool, sig int32) {
	var to *Task
	switch {
	case main.wants(sig):
		to = main
	case only:
		return
	default:
		for _, t := range tg.tasks {
			if t.wants(sig) {
				to = t
				if t.work.Load()&workSignal == 0 {
					break
				}
			}
		}
	}
	if to == nil {
		return
	}
	fatal := tg.handlers.get(sig).Handler == sigDfl && !ignoreSignals.Has(sig) && !stopSignals.Has(sig)
	if fatal && (sig == int32(unix.SIGKILL) || !tg.unkillable && !coreSignals.Has(sig) && !to.realMask.Has(sig)) {
		tg.beginExitLocked(WaitSignaled(sig))
		return
	}
	to.setWork(workSignal)
}

// beginExitLocked makes all tasks of the group exit; the wait status of the group
// is status. tg.sigMu is held.
func (tg *ThreadGroup) beginExitLocked(status WaitStatus) {
	if tg.groupExit {
		return
	}
	tg.groupExit = true
	tg.exitStatus = status
	tg.stopState, tg.stopCount = stopNone, 0
	for _, t := range tg.tasks {
		t.stopPending, t.stopped = false, false
		t.setWork(workExit)
	}
}

// SignalGroup sends a signal to the process on behalf of the kernel or of the
// outside of the sandbox, which nothing forbids. It may be called by any
// goroutine.
func (tg *ThreadGroup) SignalGroup(info *SigInfo) error {
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	return tg.sendLocked(info, nil, true)
}

// signalLocked sends info to all members of pg. k.mu is held.
func (pg *ProcessGroup) signalLocked(info *SigInfo) {
	for _, tg := range pg.members {
		tg.SignalGroup(info)
	}
}

// Signal sends a signal of the kernel to all members of pg (from a terminal).
func (pg *ProcessGroup) Signal(info *SigInfo) {
	k := pg.pid.ns.k
	k.mu.RLock()
	defer k.mu.RUnlock()
	pg.signalLocked(info)
}

// SignalSelf sends a signal of the kernel to the calling task (SIGPIPE, SIGXFSZ).
func (t *Task) SignalSelf(sig unix.Signal) {
	info := SigInfo{Signo: int32(sig), Code: SIUser}
	info.SetSender(t.tg.leader.pid.own(), t.Credentials().UserNS.ShowUID(t.Credentials().RUID))
	t.tg.sigMu.Lock()
	t.tg.sendLocked(&info, t, false)
	t.tg.sigMu.Unlock()
}

// forceSignal delivers a synchronous signal, which cannot be ignored or blocked:
// then it kills.
func (t *Task) forceSignal(info *SigInfo) {
	tg := t.tg
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	sig := info.Signo
	h := tg.handlers
	h.mu.Lock()
	blocked := t.sigMask.Has(sig)
	if blocked || h.actions[sig-1].Handler == sigIgn {
		h.actions[sig-1] = SigAction{}
		t.sigMask &^= bit(sig)
		t.recalcSignals()
	}
	if h.actions[sig-1].Handler == sigDfl {
		tg.unkillable = false
	}
	h.mu.Unlock()
	tg.sendLocked(info, t, true)
}

// ForceSegv makes the task receive SIGSEGV as if the kernel could not go on with
// it: when a signal frame cannot be written, say.
func (t *Task) ForceSegv() { t.forceSignal(kernelSigInfo(int32(unix.SIGSEGV))) }

// faultInfo is the siginfo of a processor exception with the given signal and
// code.
func faultInfo(sig, code int, f *platform.Fault) *SigInfo {
	info := &SigInfo{Signo: int32(sig), Code: int32(code)}
	info.setAddr(f.Addr)
	return info
}
