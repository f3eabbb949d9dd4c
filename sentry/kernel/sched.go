package kernel

import "golang.org/x/sys/unix"

// schedState is what sched(7)'s calls set. All tasks run alike; the values are
// kept and inherited.
type schedState struct {
	policy      int32
	priority    int32
	nice        int32
	resetOnFork bool
	affinity    []uint64 // CPU mask; nil for all. It does not change
}

// fork returns what a child inherits.
func (s schedState) fork() schedState {
	if s.resetOnFork {
		if s.policy == unix.SCHED_FIFO || s.policy == unix.SCHED_RR {
			s.policy, s.priority = unix.SCHED_NORMAL, 0
		}
		s.nice = max(s.nice, 0)
		s.resetOnFork = false
	}
	return s
}

// A SchedPolicy is what sched_setattr(2) sets.
type SchedPolicy struct {
	Policy      int32
	Priority    int32
	Nice        int32
	ResetOnFork bool
}

// SchedPolicy returns the task's scheduling policy.
func (t *Task) SchedPolicy() SchedPolicy {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	s := &t.sched
	return SchedPolicy{s.policy, s.priority, s.nice, s.resetOnFork}
}

// SetSchedPolicy sets the task's scheduling policy.
func (t *Task) SetSchedPolicy(p SchedPolicy) {
	t.k.mu.Lock()
	defer t.k.mu.Unlock()
	s := &t.sched
	s.policy, s.priority, s.nice, s.resetOnFork = p.Policy, p.Priority, p.Nice, p.ResetOnFork
}

// Affinity returns the mask of CPUs on which the task runs; nil for all. It must not
// be changed.
func (t *Task) Affinity() []uint64 {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	return t.sched.affinity
}

// SetAffinity sets the mask, which must not be changed any more.
func (t *Task) SetAffinity(mask []uint64) {
	t.k.mu.Lock()
	t.sched.affinity = mask
	t.k.mu.Unlock()
}

// MaySchedule reports whether t may change target's scheduling: EPERM.
func (t *Task) MaySchedule(target *Task) error {
	c, o := t.Credentials(), target.Credentials()
	if c.EUID == o.RUID || c.EUID == o.EUID || c.HasCapIn(unix.CAP_SYS_NICE, o.UserNS) {
		return nil
	}
	return unix.EPERM
}

// FindTask returns the task that the caller names tid, itself for 0. ESRCH.
func (t *Task) FindTask(tid int32) (*Task, error) {
	if tid == 0 {
		return t, nil
	}
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	o := t.pid.ns.taskLocked(tid)
	if o == nil || o.exited {
		return nil, unix.ESRCH
	}
	return o, nil
}

// FindProcess returns the process of the task that the caller names pid, its own for
// 0. ESRCH.
func (t *Task) FindProcess(pid int32) (*ThreadGroup, error) {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	return t.lookupLocked(pid)
}

// Members returns the processes in the process group that the caller names pgid, its
// own for 0.
func (t *Task) Members(pgid int32) []*ThreadGroup {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	pg := t.tg.pgrp
	if pgid != 0 {
		pg = nil
		if p := t.pid.ns.pids[pgid]; p != nil {
			pg = p.group
		}
	}
	if pg == nil {
		return nil
	}
	return append([]*ThreadGroup(nil), pg.members...)
}

// CPU is the CPU on which the task is said to run: one that its affinity allows. Go
// and the host decide which it really is.
func (t *Task) CPU() int {
	mask, cpus := t.Affinity(), t.k.CPUs()
	n := int(t.TID()) % cpus
	if mask == nil {
		return n
	}
	for i := range cpus {
		cpu := (n + i) % cpus
		if cpu/64 < len(mask) && mask[cpu/64]>>(cpu%64)&1 != 0 {
			return cpu
		}
	}
	return n
}

// IOPriority is what ioprio_set(2) has set: a class and a level; 0 for none. It has
// no effect.
func (t *Task) IOPriority() int32 { return t.ioprio.Load() }

// SetIOPriority sets IOPriority.
func (t *Task) SetIOPriority(v int32) { t.ioprio.Store(v) }
