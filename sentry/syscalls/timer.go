package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
)

// itimerKnown reports whether which is an interval timer.
func itimerKnown(which int32) bool { return which >= 0 && which <= 2 }

func putItimerval(t *kernel.Task, addr uint64, value, interval int64) error {
	var b [32]byte
	encodeTimeval(b[0:], interval)
	encodeTimeval(b[16:], value)
	return copyOut(t, addr, b[:])
}

// sysGetitimer is getitimer(2).
func sysGetitimer(t *kernel.Task, a kernel.Args) (uint64, error) {
	if !itimerKnown(a.Int(0)) {
		return 0, unix.EINVAL
	}
	value, interval := t.ThreadGroup().ITimer(int(a.Int(0)))
	return 0, putItimerval(t, a.Ptr(1), value, interval)
}

// sysSetitimer is setitimer(2).
func sysSetitimer(t *kernel.Task, a kernel.Args) (uint64, error) {
	var value, interval int64
	if addr := a.Ptr(1); addr != 0 {
		var err error
		if interval, err = getTimeval(t, addr); err != nil {
			return 0, err
		}
		if value, err = getTimeval(t, addr+16); err != nil {
			return 0, err
		}
	}
	if !itimerKnown(a.Int(0)) {
		return 0, unix.EINVAL
	}
	oldValue, oldInterval := t.ThreadGroup().SetITimer(int(a.Int(0)), value, interval)
	if addr := a.Ptr(2); addr != 0 {
		return 0, putItimerval(t, addr, oldValue, oldInterval)
	}
	return 0, nil
}

// sysAlarm is alarm(2).
func sysAlarm(t *kernel.Task, a kernel.Args) (uint64, error) {
	left, _ := t.ThreadGroup().SetITimer(int(unix.ITIMER_REAL), int64(a.Uint(0))*1e9, 0)
	seconds := (left + 5e8) / 1e9
	if left > 0 {
		seconds = max(seconds, 1)
	}
	return uint64(seconds), nil
}

// sigeventSize is sizeof(struct sigevent).
const sigeventSize = 64

// sysTimerCreate is timer_create(2).
func sysTimerCreate(t *kernel.Task, a kernel.Args) (uint64, error) {
	id := a.Int(0)
	var cpu func() int64
	switch id {
	case unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_BOOTTIME, unix.CLOCK_TAI:
	case unix.CLOCK_REALTIME_ALARM, unix.CLOCK_BOOTTIME_ALARM:
		if !t.HasCap(unix.CAP_WAKE_ALARM) {
			return 0, unix.EPERM
		}
	default:
		// The timers read CPU clocks with the process's signals locked.
		var err error
		if cpu, err = timerCPUClock(t, id); err != nil {
			return 0, err
		}
	}
	notify, signo, tid := int32(kernel.SigevSignal), int32(unix.SIGALRM), int32(0)
	var value *uint64
	if addr := a.Ptr(1); addr != 0 {
		var b [sigeventSize]byte
		if err := copyIn(t, addr, b[:]); err != nil {
			return 0, err
		}
		v := le.Uint64(b[0:])
		value = &v
		signo, notify, tid = int32(le.Uint32(b[8:])), int32(le.Uint32(b[12:])), int32(le.Uint32(b[16:]))
	}
	timer, err := t.CreateTimer(id, cpu, notify, signo, value, tid)
	if err != nil {
		return 0, err
	}
	if err := putUint32(t, a.Ptr(2), uint32(timer)); err != nil {
		t.DeleteTimer(timer)
		return 0, err
	}
	return 0, nil
}

// timerCPUClock returns what reads a CPU clock of the caller's own process. EINVAL.
func timerCPUClock(t *kernel.Task, id int32) (func() int64, error) {
	if _, err := cpuClock(t, id); err != nil {
		return nil, err
	}
	o, thread := t, id == unix.CLOCK_THREAD_CPUTIME_ID
	if id < 0 {
		var err error
		if o, err = t.FindTask(^(id >> 3)); err != nil || o.ThreadGroup() != t.ThreadGroup() {
			return nil, unix.EINVAL
		}
		thread = id&4 != 0
	}
	if thread {
		return func() int64 {
			u, s := o.CPUTime()
			return u + s
		}, nil
	}
	return t.ThreadGroup().CPUTimeLocked, nil
}

// sysTimerSettime is timer_settime(2).
func sysTimerSettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	const timerAbstime = 1
	value, interval, err := getItimerspec(t, a.Ptr(2))
	if err != nil {
		return 0, err
	}
	absolute := a.Int(1)&timerAbstime != 0
	if absolute && value != 0 {
		id, err := t.TimerClock(a.Int(0))
		if err != nil {
			return 0, err
		}
		switch id {
		case unix.CLOCK_REALTIME, unix.CLOCK_BOOTTIME, unix.CLOCK_TAI, unix.CLOCK_REALTIME_ALARM, unix.CLOCK_BOOTTIME_ALARM:
			if value, err = monotonicOf(t, id, value); err != nil {
				return 0, err
			}
		}
	}
	oldValue, oldInterval, err := t.SetTimer(a.Int(0), absolute, value, interval)
	if err != nil {
		return 0, err
	}
	if addr := a.Ptr(3); addr != 0 {
		return 0, putItimerspec(t, addr, oldValue, oldInterval)
	}
	return 0, nil
}

// sysTimerGettime is timer_gettime(2).
func sysTimerGettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	value, interval, err := t.Timer(a.Int(0))
	if err != nil {
		return 0, err
	}
	return 0, putItimerspec(t, a.Ptr(1), value, interval)
}

// sysTimerGetoverrun is timer_getoverrun(2).
func sysTimerGetoverrun(t *kernel.Task, a kernel.Args) (uint64, error) {
	n, err := t.TimerOverrun(a.Int(0))
	return uint64(n), err
}

// sysTimerDelete is timer_delete(2).
func sysTimerDelete(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.DeleteTimer(a.Int(0))
}
