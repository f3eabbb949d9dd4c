package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
)

// States of a group stop.
const (
	stopNone    = iota
	stopPending // some tasks have yet to stop
	stopDone    // all have, and the parent has been told
)

// What the parent is to be told, and waitid(2) finds: bits of ThreadGroup.events.
const (
	eventStopped   = 1 << iota // the group has stopped and nobody has waited for it
	eventContinued             // the group was continued and nobody has waited for it
)

// stopBy begins a stop of the whole group by the default action of sig.
func (t *Task) stopBy(sig int32) {
	tg := t.tg
	if sig != int32(unix.SIGSTOP) {
		t.k.mu.RLock()
		orphaned := tg.pgrp == nil || tg.pgrp.orphaned(nil)
		t.k.mu.RUnlock()
		if orphaned {
			return
		}
	}
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	if tg.groupExit || tg.stopState != stopNone {
		return
	}
	tg.stopState, tg.stopSignal = stopPending, sig
	for _, o := range tg.tasks {
		if o.exiting {
			continue
		}
		o.stopPending = true
		tg.stopCount++
		o.setWork(workStop)
	}
}

// stop takes part in the group's stop until that ends.
func (t *Task) stop() {
	tg := t.tg
	tg.sigMu.Lock()
	t.work.And(^uint32(workStop))
	if !t.stopPending {
		tg.sigMu.Unlock()
		return
	}
	t.stopPending, t.stopped = false, true
	last := tg.stoppedOne()
	tg.sigMu.Unlock()
	if last {
		tg.notifyParentStop(CLDStopped)
	}
	t.ctx.Blocking()
	t.cpu.leaveSystem(clock.Monotonic())
	for {
		tg.sigMu.Lock()
		stopped := t.stopped
		tg.sigMu.Unlock()
		if !stopped || t.work.Load()&workExit != 0 {
			break
		}
		t.waker.park()
	}
	t.cpu.enterSystem(clock.Monotonic())
}

// stoppedOne counts one task that has stopped, or will not because it exits, and
// reports whether it was the last. tg.sigMu is held.
func (tg *ThreadGroup) stoppedOne() bool {
	tg.stopCount--
	if tg.stopCount > 0 || tg.stopState != stopPending {
		return false
	}
	tg.stopState = stopDone
	tg.events = tg.events&^eventContinued | eventStopped
	return true
}

// continueLocked ends a stop, because of SIGCONT. tg.sigMu is held.
func (tg *ThreadGroup) continueLocked() {
	if tg.stopState == stopNone {
		return
	}
	tg.events &^= eventStopped
	if tg.stopState == stopDone {
		tg.events |= eventContinued
		tg.notifyCode = CLDContinued
	} else {
		tg.notifyCode = CLDStopped
	}
	tg.stopState, tg.stopCount = stopNone, 0
	told := false
	for _, t := range tg.tasks {
		t.stopPending, t.stopped = false, false
		t.work.And(^uint32(workStop))
		if !told && !t.exiting {
			told = true
			t.setWork(workNotify)
		} else {
			t.waker.wake()
		}
	}
}

// notifyContinued tells the parent that the group has been continued.
func (t *Task) notifyContinued() {
	tg := t.tg
	t.work.And(^uint32(workNotify))
	tg.sigMu.Lock()
	code := tg.notifyCode
	tg.notifyCode = 0
	tg.sigMu.Unlock()
	if code != 0 {
		tg.notifyParentStop(code)
	}
}

// notifyParentStop tells the parent by SIGCHLD, and those that wait, that the
// group has stopped or was continued.
func (tg *ThreadGroup) notifyParentStop(code int32) {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	p := tg.parent
	if p == nil {
		return
	}
	tg.sigMu.Lock()
	status := tg.stopSignal
	tg.sigMu.Unlock()
	if code == CLDContinued {
		status = int32(unix.SIGCONT)
	}
	a := p.signalHandlers().get(int32(unix.SIGCHLD))
	if a.Handler != sigIgn && a.Flags&saNoCldStop == 0 {
		p.SignalGroup(tg.childInfo(p, code, status))
	}
	p.children.Notify(waitChild)
}

// childInfo is the siginfo of a SIGCHLD about tg for p. k.mu is held.
func (tg *ThreadGroup) childInfo(p *ThreadGroup, code, status int32) *SigInfo {
	info := &SigInfo{Signo: int32(unix.SIGCHLD), Code: code}
	pc := p.leader.Credentials()
	info.SetSender(tg.leader.pid.In(p.leader.pid.ns), pc.UserNS.ShowUID(tg.leader.Credentials().RUID))
	u, s := tg.CPUTime()
	info.setChild(status, u/nsPerTick, s/nsPerTick)
	return info
}

// nsPerTick is the length of a clock tick (USER_HZ).
const nsPerTick = 1e9 / 100
