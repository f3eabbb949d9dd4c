package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
)

// A WaitStatus is how a process ended or what it does, as wait4(2) reports it.
type WaitStatus uint32

// WaitExited is the status of a process that called exit(code).
func WaitExited(code int32) WaitStatus { return WaitStatus(code&0xff) << 8 }

// WaitSignaled is the status of a process that sig killed.
func WaitSignaled(sig int32) WaitStatus { return WaitStatus(sig) }

func waitStopped(sig int32) WaitStatus { return WaitStatus(sig)<<8 | 0x7f }

const waitContinued WaitStatus = 0xffff

// Exited reports whether the process ended by exit(2).
func (s WaitStatus) Exited() bool { return s&0x7f == 0 }

// ExitCode is the argument of exit(2).
func (s WaitStatus) ExitCode() int32 { return int32(s >> 8 & 0xff) }

// Signal is the signal that killed the process.
func (s WaitStatus) Signal() int32 { return int32(s & 0x7f) }

// code returns si_code and si_status for the status of a process that has ended.
func (s WaitStatus) code() (code, status int32) {
	if s.Exited() {
		return CLDExited, s.ExitCode()
	}
	return CLDKilled, s.Signal()
}

// Exit makes the calling task exit when the current call returns: exit(2).
func (t *Task) Exit(code int32) {
	t.exitStatus = WaitExited(code)
	t.work.Or(workExit)
}

// ExitGroup makes all tasks of the process exit: exit_group(2).
func (t *Task) ExitGroup(status WaitStatus) {
	t.tg.sigMu.Lock()
	t.tg.beginExitLocked(status)
	t.tg.sigMu.Unlock()
	t.work.Or(workExit)
}

// exit ends the task. It runs on the task's own goroutine; the context never runs
// again.
func (t *Task) exit() {
	t.endLoans()
	tg := t.tg
	tg.sigMu.Lock()
	t.exiting = true
	if tg.groupExit {
		t.exitStatus = tg.exitStatus
	} else if tg.execTask != nil && tg.execTask != t {
		t.exitStatus = WaitSignaled(int32(unix.SIGKILL))
	}
	stopped := false
	if t.stopPending {
		t.stopPending = false
		stopped = tg.stoppedOne()
	}
	if tg.pending.set != 0 {
		tg.retarget(t)
	}
	lastTask := true
	for _, o := range tg.tasks {
		if !o.exiting {
			lastTask = false
		}
	}
	tg.sigMu.Unlock()
	if stopped {
		tg.notifyParentStop(CLDStopped)
	}
	if lastTask {
		tg.timers.stop()
	}
	for _, f := range t.onExit {
		f()
	}
	t.onExit = nil
	t.releaseMemory() // with a goroutine that listens: it takes calls of the stub
	t.ctx.Blocking()
	if fds := t.fds.Swap(nil); fds != nil {
		fds.DecRef(t.fs, tg)
	}
	t.fs.FS.DecRef()
	t.fs.MountNS.DecRef()
	t.setNamespaces(nil)

	if lastTask {
		t.killNamespace()
	}
	t.exitNotify()
}

// Exiting reports whether the task, which calls it, has begun to exit.
func (t *Task) Exiting() bool { return t.exiting }

// leaveMemory does what must be done in the task's memory before it leaves it, at
// exit or execve(2): robust futexes and the word of set_tid_address(2).
func (t *Task) leaveMemory() {
	t.exitRobustList()
	if t.clearTID != 0 {
		if t.mm.Load().Users() > 1 {
			var zero [4]byte
			if _, err := t.fs.Mem.CopyOut(t.clearTID, zero[:]); err == nil {
				t.FutexWake(t.clearTID, false, 1, futexMatchAny)
				t.FutexWake(t.clearTID, true, 1, futexMatchAny)
			}
		}
		t.clearTID = 0
	}
}

// releaseMemory lets go of the address space at exit.
func (t *Task) releaseMemory() {
	if t.mm.Load() == nil {
		return
	}
	t.leaveMemory()
	t.mm.Swap(nil).DecUsers()
	t.vforkDone()
	t.k.mu.Lock()
	exe := t.exe
	t.exe = nil
	t.k.mu.Unlock()
	exe.DecRef()
}

// vforkDone wakes the parent that waits in vfork(2).
func (t *Task) vforkDone() {
	t.k.mu.Lock()
	by := t.vforkBy
	t.vforkBy = nil
	t.k.mu.Unlock()
	if by != nil {
		by.Wake()
	}
}

// killNamespace ends all other processes of the pid namespace whose process 1 is
// exiting with its last task, and waits until they are gone.
func (t *Task) killNamespace() {
	k, tg := t.k, t.tg
	k.mu.Lock()
	ns := t.pid.ns
	if ns.init != tg {
		k.mu.Unlock()
		return
	}
	ns.dead = true
	tg.autoReap = true
	tg.exitWaiter = t
	for _, o := range ns.threadGroupsLocked() {
		if o != tg {
			o.SignalGroup(kernelSigInfo(int32(unix.SIGKILL)))
		}
	}
	for _, c := range append([]*ThreadGroup(nil), tg.childList...) {
		if c.zombie {
			c.reap()
		}
	}
	k.mu.Unlock()
	t.cpu.leaveSystem(clock.Monotonic())
	for {
		k.mu.RLock()
		left := 0
		for _, p := range ns.pids {
			if p.task != nil && p.task.tg != tg {
				left++
			}
		}
		k.mu.RUnlock()
		if left == 0 {
			break
		}
		t.waker.park()
	}
	t.cpu.enterSystem(clock.Monotonic())
}

// exitNotify takes the task out of its group and, if it was the last, tells the
// parent.
func (t *Task) exitNotify() {
	tg, k := t.tg, t.k
	k.mu.Lock()
	defer k.mu.Unlock()
	user, system := t.cpu.read()
	tg.sigMu.Lock()
	t.cpu.mark.Store(0)
	tg.tasks = remove(tg.tasks, t)
	tg.deadUser += user
	tg.deadSystem += system
	tg.deadVol += t.voluntarySwitches.Load()
	tg.deadMinor += t.minorFaults.Load()
	t.pending.flush(^SignalSet(0))
	left := len(tg.tasks)
	groupExit, status := tg.groupExit, tg.exitStatus
	tg.sigMu.Unlock()
	t.exited = true

	for _, c := range tg.childList {
		if c.parentTask == t {
			t.orphanTask(c)
		}
	}
	if t != tg.leader {
		t.pid.task = nil
		t.pid.release()
		t.uncount()
	}
	if w := tg.exitWaiter; w != nil {
		w.Wake()
	}
	if left > 0 {
		return
	}

	if !groupExit {
		status = t.exitStatus // the last task's, since Linux 5.18
	}
	tg.wstatus = status
	tg.orphanChildren()
	tg.leaveSession()
	tg.zombie = true
	tg.cgroup.leave(tg)
	tg.pidWatch.Notify(waitChild)
	close(tg.exitedCh)
	if tg.notifyParentExit() {
		tg.reap()
	}
}

// orphanTask moves the child c of the exiting t to another thread of the process,
// if one is left. k.mu is held.
func (t *Task) orphanTask(c *ThreadGroup) {
	if len(t.tg.tasks) > 0 {
		c.parentTask = t.tg.tasks[0]
		c.parentDied()
	}
}

// parentDied sends PR_SET_PDEATHSIG's signals to tg. k.mu is held.
func (tg *ThreadGroup) parentDied() {
	for _, t := range tg.Tasks() {
		if sig := t.deathSignal.Load(); sig != 0 {
			tg.SignalGroup(&SigInfo{Signo: sig, Code: SIUser})
		}
	}
}

// reaper returns who adopts the children of the dying tg. k.mu is held.
func (tg *ThreadGroup) reaper() *ThreadGroup {
	ns := tg.leader.pid.ns
	for p := tg.parent; p != nil && p.leader.pid.ns == ns; p = p.parent {
		if p.subreaper && !p.zombie && len(p.tasks) > 0 {
			return p
		}
	}
	init := ns.init
	if init == tg {
		if ns.parent != nil {
			return ns.parent.init
		}
		return nil
	}
	return init
}

// orphanChildren gives tg's children to another parent. k.mu is held.
func (tg *ThreadGroup) orphanChildren() {
	if len(tg.childList) == 0 {
		return
	}
	to := tg.reaper()
	list := tg.childList
	tg.childList = nil
	for _, c := range list {
		old := c.pgrp
		c.parent, c.parentTask = to, nil
		if to != nil {
			to.childList = append(to.childList, c)
			if len(to.tasks) > 0 {
				c.parentTask = to.tasks[0]
			}
			if c.exitSignal != 0 {
				c.exitSignal = int32(unix.SIGCHLD)
			}
		}
		if c.zombie {
			if c.notifyParentExit() {
				c.reap()
			}
			continue
		}
		c.parentDied()
		if old != nil && tg.pgrp != nil && old != tg.pgrp && old.session == tg.pgrp.session {
			tg.k.checkOrphaned(old, tg)
		}
	}
}

// leaveSession does what the death of tg means for its session and process group.
// k.mu is held.
func (tg *ThreadGroup) leaveSession() {
	pg := tg.pgrp
	if pg == nil {
		return
	}
	s := pg.session
	if s.leader == tg {
		tg.k.disassociate(s)
		s.leader = nil
	}
	if p := tg.parent; p != nil && p.pgrp != nil && p.pgrp != pg && p.pgrp.session == s {
		tg.zombie = true
		tg.k.checkOrphaned(pg, tg)
	}
}

// disassociate takes the controlling terminal from s, whose leader is going: the
// foreground group gets SIGHUP and SIGCONT. k.mu is held.
func (k *Kernel) disassociate(s *Session) {
	if s.tty == nil {
		return
	}
	for _, g := range s.groups {
		if g.foreground {
			g.foreground = false
			g.signalLocked(kernelSigInfo(int32(unix.SIGHUP)))
			g.signalLocked(kernelSigInfo(int32(unix.SIGCONT)))
		}
	}
	tty := s.tty
	s.tty = nil
	tty.Disassociated(s)
}

// notifyParentExit tells the parent of tg's end and reports whether nobody is
// going to wait for it. k.mu is held.
func (tg *ThreadGroup) notifyParentExit() (reap bool) {
	p := tg.parent
	if p == nil || p.autoReap {
		return true
	}
	sig := tg.exitSignal
	if sig == int32(unix.SIGCHLD) {
		a := p.signalHandlers().get(sig)
		if a.Handler == sigIgn {
			reap, sig = true, 0
		} else if a.Flags&saNoCldWait != 0 {
			reap = true
		}
	}
	if sig != 0 {
		code, status := tg.wstatus.code()
		info := tg.childInfo(p, code, status)
		info.Signo = sig
		p.SignalGroup(info)
	}
	p.children.Notify(waitChild)
	return reap
}

// reap removes the zombie tg. k.mu is held.
func (tg *ThreadGroup) reap() {
	if tg.reaped {
		return
	}
	tg.reaped = true
	if p := tg.parent; p != nil {
		p.childList = remove(p.childList, tg)
		p.children.Notify(waitChild)
	}
	pid := tg.leader.pid
	tg.joinGroup(nil)
	pid.task = nil
	pid.release()
	tg.leader.uncount()
	for ns := pid.ns; ns != nil; ns = ns.parent {
		if ns.dead && ns.init != nil && ns.init.exitWaiter != nil {
			ns.init.exitWaiter.Wake()
		}
	}
}
