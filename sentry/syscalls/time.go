package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/kernel"
)

// readClock returns the time of a clock in ns, clock_gettime(2). EINVAL.
func readClock(t *kernel.Task, id int32) (int64, error) {
	switch id {
	case unix.CLOCK_REALTIME_ALARM:
		return t.Kernel().Clock(unix.CLOCK_REALTIME)
	case unix.CLOCK_BOOTTIME_ALARM:
		return t.Kernel().Clock(unix.CLOCK_BOOTTIME)
	case unix.CLOCK_REALTIME, unix.CLOCK_REALTIME_COARSE, unix.CLOCK_MONOTONIC, unix.CLOCK_MONOTONIC_COARSE,
		unix.CLOCK_MONOTONIC_RAW, unix.CLOCK_BOOTTIME, unix.CLOCK_TAI:
		return t.Kernel().Clock(id)
	}
	read, err := cpuClock(t, id)
	if err != nil {
		return 0, err
	}
	return read(), nil
}

// cpuClock returns what reads a CPU clock: the two fixed ones, or one that a
// negative id names (clock_getcpuclockid(3)). EINVAL.
func cpuClock(t *kernel.Task, id int32) (func() int64, error) {
	process := func(tg *kernel.ThreadGroup) func() int64 {
		return func() int64 {
			u, s := tg.CPUTime()
			return u + s
		}
	}
	thread := func(o *kernel.Task) func() int64 {
		return func() int64 {
			u, s := o.CPUTime()
			return u + s
		}
	}
	switch {
	case id == unix.CLOCK_PROCESS_CPUTIME_ID:
		return process(t.ThreadGroup()), nil
	case id == unix.CLOCK_THREAD_CPUTIME_ID:
		return thread(t), nil
	case id >= 0 || id&3 == 3:
		return nil, unix.EINVAL
	}
	// The id is ~pid << 3, with 4 for a thread and which of three clocks.
	perThread, which := id&4 != 0, id&3
	o, err := t.FindTask(^(id >> 3))
	if err != nil {
		return nil, unix.EINVAL
	}
	tg := o.ThreadGroup()
	if perThread && tg != t.ThreadGroup() {
		return nil, unix.EINVAL
	}
	const cpuclockVirt = 1
	if which == cpuclockVirt {
		return func() int64 {
			if perThread {
				u, _ := o.CPUTime()
				return u
			}
			u, _ := tg.CPUTime()
			return u
		}, nil
	}
	if perThread {
		return thread(o), nil
	}
	return process(tg), nil
}

// sysClockGettime is clock_gettime(2).
func sysClockGettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	ns, err := readClock(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	return 0, putTimespec(t, a.Ptr(1), ns)
}

// sysClockGetres is clock_getres(2).
func sysClockGetres(t *kernel.Task, a kernel.Args) (uint64, error) {
	if _, err := readClock(t, a.Int(0)); err != nil {
		return 0, err
	}
	res := int64(1)
	switch a.Int(0) {
	case unix.CLOCK_REALTIME_COARSE, unix.CLOCK_MONOTONIC_COARSE:
		var ts unix.Timespec
		if err := unix.ClockGetres(a.Int(0), &ts); err != nil {
			return 0, err
		}
		res = ts.Nano()
	}
	if a.Ptr(1) == 0 {
		return 0, nil
	}
	return 0, putTimespec(t, a.Ptr(1), res)
}

// sysClockSettime is clock_settime(2): nobody may set the host's clocks.
func sysClockSettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	if id := a.Int(0); id != unix.CLOCK_REALTIME {
		return 0, unix.EINVAL
	}
	if _, err := getTimespec(t, a.Ptr(1)); err != nil {
		return 0, err
	}
	return 0, unix.EPERM
}

// sysGettimeofday is gettimeofday(2).
func sysGettimeofday(t *kernel.Task, a kernel.Args) (uint64, error) {
	if addr := a.Ptr(0); addr != 0 {
		now, err := t.Kernel().Clock(unix.CLOCK_REALTIME)
		if err != nil {
			return 0, err
		}
		var b [16]byte
		encodeTimeval(b[:], now)
		if err := copyOut(t, addr, b[:]); err != nil {
			return 0, err
		}
	}
	if addr := a.Ptr(1); addr != 0 {
		var zone [8]byte
		return 0, copyOut(t, addr, zone[:])
	}
	return 0, nil
}

// sysSettimeofday is settimeofday(2): nobody may set the host's clock.
func sysSettimeofday(t *kernel.Task, a kernel.Args) (uint64, error) {
	if addr := a.Ptr(0); addr != 0 {
		if _, err := getTimeval(t, addr); err != nil {
			return 0, err
		}
	}
	return 0, unix.EPERM
}

// sysTime is time(2).
func sysTime(t *kernel.Task, a kernel.Args) (uint64, error) {
	now, err := t.Kernel().Clock(unix.CLOCK_REALTIME)
	if err != nil {
		return 0, err
	}
	s := uint64(now / 1e9)
	if addr := a.Ptr(0); addr != 0 {
		if err := putUint64(t, addr, s); err != nil {
			return 0, err
		}
	}
	return s, nil
}

// sysNanosleep is nanosleep(2).
func sysNanosleep(t *kernel.Task, a kernel.Args) (uint64, error) {
	ns, err := getTimespec(t, a.Ptr(0))
	if err != nil {
		return 0, err
	}
	s := sleepRestart{Deadline: clock.After(ns), Remain: a.Ptr(1)}
	return s.Restart(t)
}

// A sleepRestart is a relative sleep until a monotonic deadline.
type sleepRestart struct {
	Deadline int64
	Remain   uint64 // address for the time left, or 0
}

// Restart implements kernel.RestartBlock.
func (s *sleepRestart) Restart(t *kernel.Task) (uint64, error) {
	for {
		switch t.Block(s.Deadline) {
		case nil:
			continue
		case unix.ETIMEDOUT:
			return 0, nil
		}
		left := s.Deadline - clock.Monotonic()
		if left <= 0 {
			return 0, nil
		}
		if s.Remain != 0 {
			if err := putTimespec(t, s.Remain, left); err != nil {
				return 0, err
			}
		}
		r := *s
		t.SetRestart(&r)
		return 0, kernel.ErrRestartBlock
	}
}

// sysClockNanosleep is clock_nanosleep(2).
func sysClockNanosleep(t *kernel.Task, a kernel.Args) (uint64, error) {
	const timerAbstime = 1
	id, flags := a.Int(0), a.Int(1)
	ns, err := getTimespec(t, a.Ptr(2))
	if err != nil {
		return 0, err
	}
	var deadline int64
	absolute := flags&timerAbstime != 0
	switch id {
	case unix.CLOCK_REALTIME, unix.CLOCK_TAI, unix.CLOCK_BOOTTIME, unix.CLOCK_MONOTONIC:
		if !absolute {
			deadline = clock.After(ns)
			break
		}
		now, err := readClock(t, id)
		if err != nil {
			return 0, err
		}
		deadline = clock.After(ns - now)
	case unix.CLOCK_PROCESS_CPUTIME_ID:
		return 0, sleepCPU(t, id, ns, absolute, a.Ptr(3))
	default:
		if _, err := cpuClock(t, id); err == nil && id != unix.CLOCK_THREAD_CPUTIME_ID {
			return 0, sleepCPU(t, id, ns, absolute, a.Ptr(3))
		}
		return 0, unix.EINVAL
	}
	if !absolute {
		s := sleepRestart{Deadline: deadline, Remain: a.Ptr(3)}
		return s.Restart(t)
	}
	for {
		switch err := t.Block(deadline); err {
		case nil:
		case unix.ETIMEDOUT:
			return 0, nil
		default:
			return 0, kernel.ErrRestartNoHand
		}
	}
}

// sleepCPU sleeps until a CPU clock shows ns, or has advanced by ns. EINTR.
func sleepCPU(t *kernel.Task, id int32, ns int64, absolute bool, remain uint64) error {
	read, err := cpuClock(t, id)
	if err != nil {
		return err
	}
	until := ns
	if !absolute {
		until += read()
	}
	const atLeast = 1e6
	for {
		left := until - read()
		if left <= 0 {
			return nil
		}
		n := int64(max(t.ThreadGroup().NumTasks(), 1))
		err := t.Block(clock.After(max(left/n, atLeast)))
		if err != nil && err != unix.ETIMEDOUT {
			if !absolute && remain != 0 {
				if err := putTimespec(t, remain, left); err != nil {
					return err
				}
			}
			return unix.EINTR
		}
	}
}

// sysTimes is times(2).
func sysTimes(t *kernel.Task, a kernel.Args) (uint64, error) {
	const tick = 1e9 / 100
	if addr := a.Ptr(0); addr != 0 {
		tg := t.ThreadGroup()
		u, s := tg.CPUTime()
		cu, cs := tg.ChildCPUTime()
		var b [32]byte
		for i, v := range [...]int64{u, s, cu, cs} {
			le.PutUint64(b[8*i:], uint64(v/tick))
		}
		if err := copyOut(t, addr, b[:]); err != nil {
			return 0, err
		}
	}
	return uint64(clock.Monotonic() / tick), nil
}
