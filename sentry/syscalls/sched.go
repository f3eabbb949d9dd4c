package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
)

// sysSchedYield is sched_yield(2).
func sysSchedYield(t *kernel.Task, a kernel.Args) (uint64, error) {
	// The caller has left its processor to come here, and gets back to the end of
	// the host's queue.
	return 0, nil
}

// affinityWords is how many 64-bit words the kernel's CPU mask has.
func affinityWords(t *kernel.Task) int { return (t.Kernel().CPUs() + 63) / 64 }

// sysSchedGetaffinity is sched_getaffinity(2).
func sysSchedGetaffinity(t *kernel.Task, a kernel.Args) (uint64, error) {
	size := a.Uint(1)
	words := affinityWords(t)
	if uint64(size)*8 < uint64(t.Kernel().CPUs()) || size%8 != 0 {
		return 0, unix.EINVAL
	}
	o, err := t.FindTask(a.Int(0))
	if err != nil {
		return 0, err
	}
	b := make([]byte, 8*words)
	if !fillAffinity(b, o.Affinity(), t.Kernel().CPUs()) {
		fillAffinity(b, nil, t.Kernel().CPUs()) // those that were asked for are not there any more
	}
	n := min(len(b), int(size))
	return uint64(n), copyOut(t, a.Ptr(2), b[:n])
}

// fillAffinity sets in b the CPUs of mask, all if it is nil, that are among the first cpus,
// which b has room for. It reports whether there is any.
func fillAffinity(b []byte, mask []uint64, cpus int) (any bool) {
	for i := range min(cpus, 8*len(b)) {
		if mask == nil || i/64 < len(mask) && mask[i/64]>>(i%64)&1 != 0 {
			b[i/8] |= 1 << (i % 8)
			any = true
		}
	}
	return any
}

// sysSchedSetaffinity is sched_setaffinity(2).
func sysSchedSetaffinity(t *kernel.Task, a kernel.Args) (uint64, error) {
	words := affinityWords(t)
	b := make([]byte, 8*words)
	if err := copyIn(t, a.Ptr(2), b[:min(len(b), int(a.Uint(1)))]); err != nil {
		return 0, err
	}
	o, err := t.FindTask(a.Int(0))
	if err != nil {
		return 0, err
	}
	if err := t.MaySchedule(o); err != nil {
		return 0, err
	}
	mask := make([]uint64, words)
	any := false
	for i := range min(t.Kernel().CPUs(), 64*words) {
		if b[i/8]>>(i%8)&1 != 0 {
			mask[i/64] |= 1 << (i % 64)
			any = true
		}
	}
	if !any {
		return 0, unix.EINVAL
	}
	o.SetAffinity(mask)
	return 0, nil
}

const schedResetOnFork = 0x40000000

// priorityRange returns the real-time priorities of a policy. EINVAL.
func priorityRange(policy int32) (lo, hi int32, err error) {
	switch policy {
	case unix.SCHED_FIFO, unix.SCHED_RR:
		return 1, 99, nil
	case unix.SCHED_NORMAL, unix.SCHED_BATCH, unix.SCHED_IDLE, unix.SCHED_DEADLINE:
		return 0, 0, nil
	}
	return 0, 0, unix.EINVAL
}

// sysSchedGetPriorityMax is sched_get_priority_max(2).
func sysSchedGetPriorityMax(t *kernel.Task, a kernel.Args) (uint64, error) {
	_, hi, err := priorityRange(a.Int(0))
	return uint64(hi), err
}

// sysSchedGetPriorityMin is sched_get_priority_min(2).
func sysSchedGetPriorityMin(t *kernel.Task, a kernel.Args) (uint64, error) {
	lo, _, err := priorityRange(a.Int(0))
	return uint64(lo), err
}

// setPolicy sets the scheduling of task tid as sched_setscheduler(2) does.
func setPolicy(t *kernel.Task, tid int32, set func(p *kernel.SchedPolicy)) error {
	if tid < 0 {
		return unix.EINVAL
	}
	o, err := t.FindTask(tid)
	if err != nil {
		return err
	}
	old := o.SchedPolicy()
	p := old
	set(&p)
	lo, hi, err := priorityRange(p.Policy)
	if err != nil || p.Policy == unix.SCHED_DEADLINE || p.Priority < lo || p.Priority > hi {
		return unix.EINVAL
	}
	if !t.HasCap(unix.CAP_SYS_NICE) {
		limits := o.ThreadGroup().Limits()
		if p.Priority > 0 && (p.Policy != old.Policy || p.Priority > old.Priority) &&
			uint64(p.Priority) > limits.Get(unix.RLIMIT_RTPRIO).Cur {
			return unix.EPERM
		}
		if old.ResetOnFork && !p.ResetOnFork {
			return unix.EPERM
		}
		if p.Nice < old.Nice && uint64(20-p.Nice) > limits.Get(unix.RLIMIT_NICE).Cur {
			return unix.EPERM
		}
		if err := t.MaySchedule(o); err != nil {
			return err
		}
	}
	o.SetSchedPolicy(p)
	return nil
}

// sysSchedSetscheduler is sched_setscheduler(2).
func sysSchedSetscheduler(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(1) < 0 || a.Ptr(2) == 0 {
		return 0, unix.EINVAL
	}
	prio, err := getUint32(t, a.Ptr(2))
	if err != nil {
		return 0, err
	}
	return 0, setPolicy(t, a.Int(0), func(p *kernel.SchedPolicy) {
		p.Policy, p.Priority = a.Int(1)&^schedResetOnFork, int32(prio)
		p.ResetOnFork = a.Int(1)&schedResetOnFork != 0
	})
}

// sysSchedGetscheduler is sched_getscheduler(2).
func sysSchedGetscheduler(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) < 0 {
		return 0, unix.EINVAL
	}
	o, err := t.FindTask(a.Int(0))
	if err != nil {
		return 0, err
	}
	p := o.SchedPolicy()
	if p.ResetOnFork {
		return uint64(p.Policy) | schedResetOnFork, nil
	}
	return uint64(p.Policy), nil
}

// sysSchedSetparam is sched_setparam(2).
func sysSchedSetparam(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Ptr(1) == 0 {
		return 0, unix.EINVAL
	}
	prio, err := getUint32(t, a.Ptr(1))
	if err != nil {
		return 0, err
	}
	return 0, setPolicy(t, a.Int(0), func(p *kernel.SchedPolicy) { p.Priority = int32(prio) })
}

// sysSchedGetparam is sched_getparam(2).
func sysSchedGetparam(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) < 0 || a.Ptr(1) == 0 {
		return 0, unix.EINVAL
	}
	o, err := t.FindTask(a.Int(0))
	if err != nil {
		return 0, err
	}
	return 0, putUint32(t, a.Ptr(1), uint32(o.SchedPolicy().Priority))
}

// schedAttrSize is the size of struct sched_attr's first version.
const schedAttrSize = 48

// sysSchedSetattr is sched_setattr(2).
func sysSchedSetattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Ptr(1) == 0 || a.Uint(2) != 0 {
		return 0, unix.EINVAL
	}
	var b [schedAttrSize]byte
	if err := copyIn(t, a.Ptr(1), b[:]); err != nil {
		return 0, err
	}
	const known = 1 // SCHED_FLAG_RESET_ON_FORK
	if size := le.Uint32(b[0:]); size != 0 && size < schedAttrSize || le.Uint64(b[8:])&^known != 0 {
		return 0, unix.EINVAL
	}
	return 0, setPolicy(t, a.Int(0), func(p *kernel.SchedPolicy) {
		p.Policy = int32(le.Uint32(b[4:]))
		p.ResetOnFork = le.Uint64(b[8:])&known != 0
		p.Nice = min(max(int32(le.Uint32(b[16:])), -20), 19)
		p.Priority = int32(le.Uint32(b[20:]))
	})
}

// sysSchedGetattr is sched_getattr(2).
func sysSchedGetattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) < 0 || a.Ptr(1) == 0 || a.Uint(2) < schedAttrSize || a.Uint(2) > 4096 || a.Uint(3) != 0 {
		return 0, unix.EINVAL
	}
	o, err := t.FindTask(a.Int(0))
	if err != nil {
		return 0, err
	}
	p := o.SchedPolicy()
	var b [schedAttrSize]byte
	le.PutUint32(b[0:], schedAttrSize)
	le.PutUint32(b[4:], uint32(p.Policy))
	if p.ResetOnFork {
		le.PutUint64(b[8:], 1)
	}
	le.PutUint32(b[16:], uint32(p.Nice))
	le.PutUint32(b[20:], uint32(p.Priority))
	return 0, copyOut(t, a.Ptr(1), b[:])
}

// sysSchedRRGetInterval is sched_rr_get_interval(2): Linux's default time slice for
// SCHED_RR, and none for the others.
func sysSchedRRGetInterval(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) < 0 {
		return 0, unix.EINVAL
	}
	o, err := t.FindTask(a.Int(0))
	if err != nil {
		return 0, err
	}
	ns := int64(0)
	if o.SchedPolicy().Policy == unix.SCHED_RR {
		ns = 100e6
	}
	return 0, putTimespec(t, a.Ptr(1), ns)
}

// prioTargets returns the tasks that getpriority(2) and setpriority(2) name. EINVAL.
func prioTargets(t *kernel.Task, which, who int32) ([]*kernel.Task, error) {
	switch which {
	case unix.PRIO_PROCESS:
		o, err := t.FindTask(who)
		if err != nil {
			return nil, nil
		}
		return []*kernel.Task{o}, nil
	case unix.PRIO_PGRP:
		var list []*kernel.Task
		for _, tg := range t.Members(who) {
			list = append(list, tg.Tasks()...)
		}
		return list, nil
	case unix.PRIO_USER:
		c := t.Credentials()
		uid := c.RUID
		if who != 0 {
			id, ok := c.UserNS.ToUID(uint32(who))
			if !ok {
				return nil, nil
			}
			uid = id
		}
		var list []*kernel.Task
		for _, tg := range t.PIDNamespace().ThreadGroups() {
			for _, o := range tg.Tasks() {
				if o.Credentials().RUID == uid {
					list = append(list, o)
				}
			}
		}
		return list, nil
	}
	return nil, unix.EINVAL
}

// sysGetpriority is getpriority(2); the result is 20 less the nice value.
func sysGetpriority(t *kernel.Task, a kernel.Args) (uint64, error) {
	list, err := prioTargets(t, a.Int(0), a.Int(1))
	if err != nil {
		return 0, err
	}
	best := int32(-1)
	for _, o := range list {
		best = max(best, 20-o.SchedPolicy().Nice)
	}
	if best < 0 {
		return 0, unix.ESRCH
	}
	return uint64(best), nil
}

// sysSetpriority is setpriority(2).
func sysSetpriority(t *kernel.Task, a kernel.Args) (uint64, error) {
	list, err := prioTargets(t, a.Int(0), a.Int(1))
	if err != nil {
		return 0, err
	}
	nice := min(max(a.Int(2), -20), 19)
	result := error(unix.ESRCH)
	for _, o := range list {
		c, oc := t.Credentials(), o.Credentials()
		if c.RUID != oc.EUID && c.EUID != oc.EUID && !c.HasCapIn(unix.CAP_SYS_NICE, oc.UserNS) {
			result = unix.EPERM
			continue
		}
		p := o.SchedPolicy()
		if nice < p.Nice && !t.HasCap(unix.CAP_SYS_NICE) && uint64(20-nice) > o.ThreadGroup().Limits().Get(unix.RLIMIT_NICE).Cur {
			result = unix.EACCES
			continue
		}
		p.Nice = nice
		o.SetSchedPolicy(p)
		if result == unix.ESRCH {
			result = nil
		}
	}
	return 0, result
}
