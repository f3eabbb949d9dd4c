package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
)

// A WaitFor says for which children wait4(2) and waitid(2) wait, and how.
type WaitFor struct {
	PID     int32        // the process of that number, if not 0
	PGID    int32        // the members of that process group, if not 0
	Group   *ThreadGroup // that process (P_PIDFD), if not nil
	Options int          // WNOHANG, WEXITED, WSTOPPED, WCONTINUED, WNOWAIT, __WCLONE, __WALL, __WNOTHREAD
}

// A WaitResult is what has become of a child.
type WaitResult struct {
	PID    int32 // 0 if WNOHANG and nothing has happened
	UID    uint32
	Status WaitStatus // as wait4(2) has it
	Code   int32      // si_code
	Value  int32      // si_status
	Usage  unix.Rusage
}

// WaitChild waits for a child to change state. ECHILD if there is none to wait
// for, ErrRestartSys.
func (t *Task) WaitChild(w WaitFor) (WaitResult, error) {
	tg := t.tg
	e := t.WaitEntry()
	registered := false
	defer func() {
		if registered {
			tg.children.Unregister(e)
		}
	}()
	for {
		r, found, err := t.findChild(&w)
		if found || err != nil || w.Options&unix.WNOHANG != 0 {
			return r, err
		}
		if !registered {
			tg.children.Register(e, waitChild)
			registered = true
			continue
		}
		if err := t.Block(clock.Never); err != nil {
			if r, found, none := t.findChild(&w); found || none != nil {
				return r, none
			}
			return r, err
		}
	}
}

// findChild looks for a child in the state that w wants.
func (t *Task) findChild(w *WaitFor) (r WaitResult, found bool, err error) {
	k, ns := t.k, t.pid.ns
	k.mu.Lock()
	defer k.mu.Unlock()
	eligible := false
	for _, c := range t.tg.childList {
		if !t.waitsFor(w, c, ns) {
			continue
		}
		eligible = true
		if c.zombie {
			if w.Options&unix.WEXITED == 0 {
				continue
			}
			r = c.result(t, ns, c.wstatus)
			r.Code, r.Value = c.wstatus.code()
			r.Usage = c.usage(true)
			if w.Options&unix.WNOWAIT == 0 {
				t.tg.adoptTimes(c)
				c.reap()
			}
			return r, true, nil
		}
		if r, ok := c.stopResult(t, w, ns); ok {
			return r, true, nil
		}
	}
	if !eligible {
		return r, false, unix.ECHILD
	}
	return r, false, nil
}

// waitsFor reports whether w concerns the child c. k.mu is held.
func (t *Task) waitsFor(w *WaitFor, c *ThreadGroup, ns *PIDNamespace) bool {
	if w.Options&unix.WNOTHREAD != 0 && c.parentTask != t {
		return false
	}
	if w.Options&unix.WALL == 0 && (c.exitSignal != int32(unix.SIGCHLD)) != (w.Options&unix.WCLONE != 0) {
		return false
	}
	switch {
	case w.Group != nil:
		return c == w.Group
	case w.PID != 0:
		return c.leader.pid.In(ns) == w.PID
	case w.PGID != 0:
		return c.pgrp != nil && c.pgrp.pid.In(ns) == w.PGID
	}
	return true
}

func (tg *ThreadGroup) result(t *Task, ns *PIDNamespace, status WaitStatus) WaitResult {
	return WaitResult{
		PID:    tg.leader.pid.In(ns),
		UID:    t.Credentials().UserNS.ShowUID(tg.leader.Credentials().RUID),
		Status: status,
	}
}

// stopResult reports that tg has stopped or was continued, if w wants to know.
// k.mu is held.
func (tg *ThreadGroup) stopResult(t *Task, w *WaitFor, ns *PIDNamespace) (WaitResult, bool) {
	tg.sigMu.Lock()
	event, sig := 0, tg.stopSignal
	var r WaitResult
	switch {
	case w.Options&unix.WSTOPPED != 0 && tg.events&eventStopped != 0:
		event = eventStopped
		r = tg.result(t, ns, waitStopped(sig))
		r.Code, r.Value = CLDStopped, sig
	case w.Options&unix.WCONTINUED != 0 && tg.events&eventContinued != 0:
		event = eventContinued
		r = tg.result(t, ns, waitContinued)
		r.Code, r.Value = CLDContinued, int32(unix.SIGCONT)
	}
	if w.Options&unix.WNOWAIT == 0 {
		tg.events &^= event
	}
	tg.sigMu.Unlock()
	if event == 0 {
		return r, false
	}
	r.Usage = tg.usage(true)
	return r, true
}

// adoptTimes adds the resources of the child c, which is being reaped, to those
// of tg's children. k.mu is held.
func (tg *ThreadGroup) adoptTimes(c *ThreadGroup) {
	u, s := c.CPUTime()
	tg.childUser += u + c.childUser
	tg.childSystem += s + c.childSystem
	tg.childMaxRSS = max(tg.childMaxRSS, c.childMaxRSS, c.maxRSS)
	tg.childMinor += c.deadMinor + c.childMinor
}

// usage returns the resources that tg has used, and with children those of its
// children too. k.mu is held.
func (tg *ThreadGroup) usage(children bool) unix.Rusage {
	tg.sigMu.Lock()
	u, s := tg.cpuTimeLocked()
	minor, vol := tg.deadMinor, tg.deadVol
	for _, t := range tg.tasks {
		minor += t.minorFaults.Load()
		vol += t.voluntarySwitches.Load()
	}
	tg.sigMu.Unlock()
	rss := tg.maxRSS
	if children {
		u, s = u+tg.childUser, s+tg.childSystem
		minor += tg.childMinor
		rss = max(rss, tg.childMaxRSS)
	}
	return makeUsage(u, s, minor, vol, rss)
}

func makeUsage(user, system, minor, vol int64, rss uint64) unix.Rusage {
	return unix.Rusage{
		Utime:  unix.NsecToTimeval(user),
		Stime:  unix.NsecToTimeval(system),
		Maxrss: int64(rss / 1024),
		Minflt: minor,
		Nvcsw:  vol,
	}
}

// Usage is getrusage(2): who is RUSAGE_SELF, RUSAGE_CHILDREN or RUSAGE_THREAD.
// EINVAL.
func (t *Task) Usage(who int32) (unix.Rusage, error) {
	tg := t.tg
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	switch who {
	case unix.RUSAGE_SELF:
		return tg.usage(false), nil
	case unix.RUSAGE_CHILDREN:
		return makeUsage(tg.childUser, tg.childSystem, tg.childMinor, 0, tg.childMaxRSS), nil
	case unix.RUSAGE_THREAD:
		u, s := t.CPUTime()
		return makeUsage(u, s, t.minorFaults.Load(), t.voluntarySwitches.Load(), tg.maxRSS), nil
	}
	return unix.Rusage{}, unix.EINVAL
}
