package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// rusageSize is sizeof(struct rusage).
const rusageSize = 144

// putRusage writes a struct rusage.
func putRusage(t *kernel.Task, addr uint64, r *unix.Rusage) error {
	var b [rusageSize]byte
	for i, v := range [...]int64{r.Utime.Sec, r.Utime.Usec, r.Stime.Sec, r.Stime.Usec, r.Maxrss, r.Ixrss, r.Idrss, r.Isrss,
		r.Minflt, r.Majflt, r.Nswap, r.Inblock, r.Oublock, r.Msgsnd, r.Msgrcv, r.Nsignals, r.Nvcsw, r.Nivcsw} {
		le.PutUint64(b[8*i:], uint64(v))
	}
	return copyOut(t, addr, b[:])
}

// sysGetrusage is getrusage(2).
func sysGetrusage(t *kernel.Task, a kernel.Args) (uint64, error) {
	r, err := t.Usage(a.Int(0))
	if err != nil {
		return 0, err
	}
	return 0, putRusage(t, a.Ptr(1), &r)
}

// changeLimit sets a resource limit of tg and has those know that keep a copy.
func changeLimit(t *kernel.Task, tg *kernel.ThreadGroup, resource uint32, l unix.Rlimit) (unix.Rlimit, error) {
	if resource == unix.RLIMIT_NOFILE && l.Max > vfs.MaxFDs {
		return unix.Rlimit{}, unix.EPERM
	}
	if resource == unix.RLIMIT_CPU && l.Cur == 0 {
		// Linux does not stop a process at once but after its first second.
		l.Cur = 1
	}
	old, err := tg.Limits().Change(int(resource), l, t.HasCap(unix.CAP_SYS_RESOURCE))
	if err != nil {
		return old, err
	}
	switch resource {
	case unix.RLIMIT_CPU:
		tg.CPULimitChanged()
	case unix.RLIMIT_FSIZE:
		if tg == t.ThreadGroup() {
			t.FSContext().FileSizeLimit = l.Cur
		}
	case unix.RLIMIT_STACK, unix.RLIMIT_AS:
		if o := tg.Leader(); o.MM() != nil {
			limits := tg.Limits()
			o.MM().SetGrowthLimits(limits.Get(unix.RLIMIT_STACK).Cur, limits.Get(unix.RLIMIT_AS).Cur)
		}
	}
	return old, nil
}

func getRlimit(t *kernel.Task, addr uint64) (l unix.Rlimit, err error) {
	var b [16]byte
	if err := copyIn(t, addr, b[:]); err != nil {
		return l, err
	}
	return unix.Rlimit{Cur: le.Uint64(b[0:]), Max: le.Uint64(b[8:])}, nil
}

func putRlimit(t *kernel.Task, addr uint64, l unix.Rlimit) error {
	var b [16]byte
	le.PutUint64(b[0:], l.Cur)
	le.PutUint64(b[8:], l.Max)
	return copyOut(t, addr, b[:])
}

// sysGetrlimit is getrlimit(2).
func sysGetrlimit(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(0) >= kernel.NumLimits {
		return 0, unix.EINVAL
	}
	return 0, putRlimit(t, a.Ptr(1), t.ThreadGroup().Limits().Get(int(a.Uint(0))))
}

// sysSetrlimit is setrlimit(2).
func sysSetrlimit(t *kernel.Task, a kernel.Args) (uint64, error) {
	l, err := getRlimit(t, a.Ptr(1))
	if err != nil {
		return 0, err
	}
	if a.Uint(0) >= kernel.NumLimits {
		return 0, unix.EINVAL
	}
	_, err = changeLimit(t, t.ThreadGroup(), a.Uint(0), l)
	return 0, err
}

// sysPrlimit64 is prlimit(2).
func sysPrlimit64(t *kernel.Task, a kernel.Args) (uint64, error) {
	resource := a.Uint(1)
	if resource >= kernel.NumLimits {
		return 0, unix.EINVAL
	}
	var set unix.Rlimit
	var err error
	if addr := a.Ptr(2); addr != 0 {
		if set, err = getRlimit(t, addr); err != nil {
			return 0, err
		}
	}
	o, err := t.FindTask(a.Int(0))
	if err != nil {
		return 0, err
	}
	if o.ThreadGroup() != t.ThreadGroup() {
		c, oc := t.Credentials(), o.Credentials()
		same := c.RUID == oc.EUID && c.RUID == oc.SUID && c.RUID == oc.RUID &&
			c.RGID == oc.EGID && c.RGID == oc.SGID && c.RGID == oc.RGID
		if !same && !c.HasCapIn(unix.CAP_SYS_RESOURCE, oc.UserNS) {
			return 0, unix.EPERM
		}
	}
	old := o.ThreadGroup().Limits().Get(int(resource))
	if a.Ptr(2) != 0 {
		if old, err = changeLimit(t, o.ThreadGroup(), resource, set); err != nil {
			return 0, err
		}
	}
	if addr := a.Ptr(3); addr != 0 {
		return 0, putRlimit(t, addr, old)
	}
	return 0, nil
}
