package kernel

import (
	"golang.org/x/sys/unix"
)

// A Session is a set of process groups that share a controlling terminal,
// credentials(7). Its fields are guarded by Kernel.mu.
type Session struct {
	pid    *PID
	leader *ThreadGroup // nil once the leader has exited
	groups []*ProcessGroup
	tty    TTY // nil without a controlling terminal
}

// A TTY is a controlling terminal as sessions see it; the pseudo-terminal driver
// implements it. Its methods are called with Kernel.mu held.
type TTY interface {
	// Disassociated tells the terminal that the session's leader has exited or
	// given it up.
	Disassociated(s *Session)
}

// A ProcessGroup is a job, credentials(7). Its fields are guarded by Kernel.mu.
type ProcessGroup struct {
	pid     *PID
	session *Session
	members []*ThreadGroup
	// Foreground of the session's terminal.
	foreground bool
}

// ID returns the session's number in ns, 0 if it is not visible there.
func (s *Session) ID(ns *PIDNamespace) int32 { return s.pid.In(ns) }

// ID returns the group's number in ns, 0 if it is not visible there.
func (pg *ProcessGroup) ID(ns *PIDNamespace) int32 { return pg.pid.In(ns) }

// Session returns the session of the group; it never changes.
func (pg *ProcessGroup) Session() *Session { return pg.session }

// ProcessGroup returns tg's process group; nil once tg has been reaped.
func (tg *ThreadGroup) ProcessGroup() *ProcessGroup {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return tg.pgrp
}

// Session returns tg's session; nil once tg has been reaped.
func (tg *ThreadGroup) Session() *Session {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	if tg.pgrp == nil {
		return nil
	}
	return tg.pgrp.session
}

// newSession makes a session and a process group of tg's pid, which tg joins.
// k.mu is held.
func (tg *ThreadGroup) newSession() {
	p := tg.leader.pid
	s := &Session{pid: p, leader: tg}
	p.session = s
	tg.joinGroup(newGroup(p, s))
}

func newGroup(p *PID, s *Session) *ProcessGroup {
	pg := &ProcessGroup{pid: p, session: s}
	p.group = pg
	s.groups = append(s.groups, pg)
	return pg
}

// joinGroup moves tg to pg, or out of all groups if pg is nil. k.mu is held.
func (tg *ThreadGroup) joinGroup(pg *ProcessGroup) {
	old := tg.pgrp
	if old == pg {
		return
	}
	tg.pgrp = pg
	if pg != nil {
		pg.members = append(pg.members, tg)
	}
	if old == nil {
		return
	}
	old.members = remove(old.members, tg)
	if len(old.members) > 0 {
		return
	}
	s := old.session
	old.pid.group = nil
	old.pid.release()
	s.groups = remove(s.groups, old)
	if len(s.groups) == 0 {
		s.pid.session = nil
		s.pid.release()
	}
}

// remove takes v out of list, keeping the order.
func remove[T comparable](list []T, v T) []T {
	for i := range list {
		if list[i] == v {
			var zero T
			copy(list[i:], list[i+1:])
			list[len(list)-1] = zero
			return list[:len(list)-1]
		}
	}
	return list
}

// Setsid makes a new session of which the caller is the leader, setsid(2), and
// returns its number. EPERM.
func (t *Task) Setsid() (int32, error) {
	tg := t.tg
	t.k.mu.Lock()
	defer t.k.mu.Unlock()
	p := tg.leader.pid
	if p.group != nil || p.session != nil {
		return 0, unix.EPERM
	}
	tg.newSession()
	return p.In(t.PIDNamespace()), nil
}

// Setpgid moves a process to a process group, setpgid(2). ESRCH, EPERM, EACCES,
// EINVAL.
func (t *Task) Setpgid(pid, pgid int32) error {
	if pgid < 0 {
		return unix.EINVAL
	}
	t.k.mu.Lock()
	defer t.k.mu.Unlock()
	ns := t.PIDNamespace()
	tg := t.tg
	if pid != 0 {
		target := ns.taskLocked(pid)
		if target == nil {
			return unix.ESRCH
		}
		if target != target.tg.leader {
			return unix.EINVAL
		}
		tg = target.tg
	}
	if tg != t.tg {
		if tg.parent != t.tg || tg.pgrp == nil {
			return unix.ESRCH
		}
		if tg.pgrp.session != t.tg.pgrp.session {
			return unix.EPERM
		}
		if tg.execed {
			return unix.EACCES
		}
	}
	if tg.pgrp.session.leader == tg {
		return unix.EPERM
	}
	p := tg.leader.pid
	if pgid != 0 && pgid != p.In(ns) {
		other := ns.pids[pgid]
		if other == nil || other.group == nil || other.group.session != t.tg.pgrp.session {
			return unix.EPERM
		}
		p = other
	}
	pg := p.group
	if pg == nil {
		pg = newGroup(p, tg.pgrp.session)
	}
	old := tg.pgrp
	tg.joinGroup(pg)
	if old != pg {
		t.k.checkOrphaned(old, tg)
	}
	return nil
}

// Getpgid returns the process group of process pid (0: the caller), getpgid(2).
// ESRCH.
func (t *Task) Getpgid(pid int32) (int32, error) {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	tg, err := t.lookupLocked(pid)
	if err != nil {
		return 0, err
	}
	return tg.pgrp.pid.In(t.PIDNamespace()), nil
}

// Getsid returns the session of process pid (0: the caller), getsid(2). ESRCH.
func (t *Task) Getsid(pid int32) (int32, error) {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	tg, err := t.lookupLocked(pid)
	if err != nil {
		return 0, err
	}
	return tg.pgrp.session.pid.In(t.PIDNamespace()), nil
}

// lookupLocked returns the process of the task pid, 0 for the caller's. k.mu is
// held.
func (t *Task) lookupLocked(pid int32) (*ThreadGroup, error) {
	if pid == 0 {
		return t.tg, nil
	}
	target := t.PIDNamespace().taskLocked(pid)
	if target == nil || target.tg.pgrp == nil {
		return nil, unix.ESRCH
	}
	return target.tg, nil
}

// orphaned reports whether pg is an orphaned process group: no member but ignored
// has a parent in another group of the same session. k.mu is held.
func (pg *ProcessGroup) orphaned(ignored *ThreadGroup) bool {
	for _, tg := range pg.members {
		if tg == ignored || tg.zombie && len(tg.tasks) == 0 || tg.parent == nil {
			continue
		}
		pp := tg.parent.pgrp
		if pp != nil && pp != pg && pp.session == pg.session {
			return false
		}
	}
	return true
}

// stopped reports whether a member of pg is stopped. k.mu is held.
func (pg *ProcessGroup) stopped() bool {
	for _, tg := range pg.members {
		tg.sigMu.Lock()
		stopped := tg.stopState == stopDone
		tg.sigMu.Unlock()
		if stopped {
			return true
		}
	}
	return false
}

// checkOrphaned sends SIGHUP and SIGCONT to pg if it has just become orphaned by
// tg's exit or move, and has stopped members. k.mu is held.
func (k *Kernel) checkOrphaned(pg *ProcessGroup, tg *ThreadGroup) {
	if pg == nil || len(pg.members) == 0 || !pg.orphaned(nil) || !pg.stopped() {
		return
	}
	pg.signalLocked(kernelSigInfo(int32(unix.SIGHUP)))
	pg.signalLocked(kernelSigInfo(int32(unix.SIGCONT)))
}
