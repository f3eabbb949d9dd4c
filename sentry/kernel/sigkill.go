package kernel

import "golang.org/x/sys/unix"

// mayKill reports whether t may send sig to target, kill(2). k.mu is held.
func (t *Task) mayKill(target *ThreadGroup, sig int32) error {
	if t.tg == target {
		return nil
	}
	c, o := t.Credentials(), target.leader.Credentials()
	if c.EUID == o.SUID || c.EUID == o.RUID || c.RUID == o.SUID || c.RUID == o.RUID {
		return nil
	}
	if c.HasCapIn(unix.CAP_KILL, o.UserNS) {
		return nil
	}
	if sig == int32(unix.SIGCONT) && t.tg.pgrp != nil && target.pgrp != nil && t.tg.pgrp.session == target.pgrp.session {
		return nil
	}
	return unix.EPERM
}

// sigInfoFor returns the siginfo of a signal that t sends to target, with the
// sender's ids as the target's namespaces name them.
func (t *Task) sigInfoFor(target *ThreadGroup, sig, code int32) *SigInfo {
	info := &SigInfo{Signo: sig, Code: code}
	ns := target.leader.pid.ns
	info.SetSender(t.tg.leader.pid.In(ns), target.leader.Credentials().UserNS.ShowUID(t.Credentials().RUID))
	return info
}

// sendTo checks permission and sends: info nil stands for what kill(2) sends.
// to is nil for the whole group. k.mu is held.
func (t *Task) sendTo(target *ThreadGroup, to *Task, sig int32, info *SigInfo) error {
	if err := t.mayKill(target, sig); err != nil {
		return err
	}
	if sig == 0 {
		return nil
	}
	if info == nil {
		code := int32(SIUser)
		if to != nil {
			code = SITkill
		}
		info = t.sigInfoFor(target, sig, code)
	}
	// Only who is outside the target's namespace can kill its init.
	force := t.pid.In(target.leader.pid.ns) == 0
	target.sigMu.Lock()
	defer target.sigMu.Unlock()
	return target.sendLocked(info, to, force)
}

// Kill sends sig as kill(2): to process pid, to the caller's process group (0),
// to all processes (-1) or to process group -pid. EINVAL, ESRCH, EPERM.
func (t *Task) Kill(pid, sig int32) error {
	if sig != 0 && !ValidSignal(sig) {
		return unix.EINVAL
	}
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	ns := t.pid.ns
	switch {
	case pid > 0:
		target := ns.taskLocked(pid)
		if target == nil {
			return unix.ESRCH
		}
		return t.sendTo(target.tg, nil, sig, nil)
	case pid == -1:
		sent, denied := false, false
		for _, tg := range ns.threadGroupsLocked() {
			if tg == t.tg || tg == ns.init {
				continue
			}
			switch t.sendTo(tg, nil, sig, nil) {
			case nil:
				sent = true
			case unix.EPERM:
				denied = true
			}
		}
		return manyResult(sent, denied)
	case pid == -1<<31:
		return unix.ESRCH
	}
	pg := t.tg.pgrp
	if pid < 0 {
		p := ns.pids[-pid]
		if p == nil || p.group == nil {
			return unix.ESRCH
		}
		pg = p.group
	}
	return t.killGroupLocked(pg, sig, nil)
}

func (t *Task) killGroupLocked(pg *ProcessGroup, sig int32, info *SigInfo) error {
	sent, denied := false, false
	for _, tg := range pg.members {
		switch t.sendTo(tg, nil, sig, info) {
		case nil:
			sent = true
		case unix.EPERM:
			denied = true
		}
	}
	return manyResult(sent, denied)
}

func manyResult(sent, denied bool) error {
	switch {
	case sent:
		return nil
	case denied:
		return unix.EPERM
	}
	return unix.ESRCH
}

// Tgkill sends sig to one task: tgkill(2), or tkill(2) with tgid -1. info is nil,
// or what rt_tgsigqueueinfo(2) was given. EINVAL, ESRCH, EPERM, EAGAIN.
func (t *Task) Tgkill(tgid, tid, sig int32, info *SigInfo) error {
	if tid <= 0 || tgid <= 0 && tgid != -1 || sig != 0 && !ValidSignal(sig) {
		return unix.EINVAL
	}
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	target := t.pid.ns.taskLocked(tid)
	if target == nil || tgid != -1 && target.tg.leader.pid.In(t.pid.ns) != tgid {
		return unix.ESRCH
	}
	if target.exited {
		if sig == 0 {
			return t.mayKill(target.tg, sig)
		}
		return nil
	}
	return t.sendTo(target.tg, target, sig, info)
}

// SigQueue sends a signal with a siginfo to process pid: rt_sigqueueinfo(2).
// ESRCH, EPERM, EAGAIN, EINVAL.
func (t *Task) SigQueue(pid int32, info *SigInfo) error {
	if info.Signo != 0 && !ValidSignal(info.Signo) {
		return unix.EINVAL
	}
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	target := t.pid.ns.taskLocked(pid)
	if target == nil {
		return unix.ESRCH
	}
	return t.sendTo(target.tg, nil, info.Signo, info)
}

// SignalTo sends sig, with info or as kill(2) would, to target's process, to the thread alone, or
// to the process group that has target's number: pidfd_send_signal(2). ESRCH, EPERM, EINVAL,
// EAGAIN.
func (t *Task) SignalTo(target *Task, thread, group bool, sig int32, info *SigInfo) error {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	to := target.pid.group
	if group && to == nil || !group && target.tg.pgrp == nil {
		return unix.ESRCH
	}
	if sig != 0 && !ValidSignal(sig) {
		return unix.EINVAL
	}
	switch {
	case group:
		return t.killGroupLocked(to, sig, info)
	case thread:
		return t.sendTo(target.tg, target, sig, info)
	}
	return t.sendTo(target.tg, nil, sig, info)
}
