package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/eventfd"
	"casemate/sentry/kernel"
	"casemate/sentry/signalfd"
	"casemate/sentry/timerfd"
)

// eventfd2 is eventfd2(2).
func eventfd2(t *kernel.Task, count, flags uint32) (uint64, error) {
	if flags&^(unix.EFD_CLOEXEC|unix.EFD_NONBLOCK|unix.EFD_SEMAPHORE) != 0 {
		return 0, unix.EINVAL
	}
	return t.AddAnonFile("[eventfd]", unix.O_RDWR|flags&unix.O_NONBLOCK, flags&unix.EFD_CLOEXEC != 0,
		eventfd.New(uint64(count), flags&unix.EFD_SEMAPHORE != 0))
}

// sysEventfd is eventfd(2).
func sysEventfd(t *kernel.Task, a kernel.Args) (uint64, error) { return eventfd2(t, a.Uint(0), 0) }

// sysEventfd2 is eventfd2(2).
func sysEventfd2(t *kernel.Task, a kernel.Args) (uint64, error) {
	return eventfd2(t, a.Uint(0), a.Uint(1))
}

// signalfd4 is signalfd4(2).
func signalfd4(t *kernel.Task, fd int32, addr, size uint64, flags uint32) (uint64, error) {
	if flags&^(unix.SFD_CLOEXEC|unix.SFD_NONBLOCK) != 0 {
		return 0, unix.EINVAL
	}
	set, err := getSigSet(t, addr, size)
	if err != nil {
		return 0, err
	}
	if fd == -1 {
		return t.AddAnonFile("[signalfd]", unix.O_RDWR|flags&unix.O_NONBLOCK, flags&unix.SFD_CLOEXEC != 0,
			signalfd.New(t.ThreadGroup(), set))
	}
	f := t.FDTable().Get(fd)
	if f == nil {
		return 0, unix.EBADF
	}
	defer f.DecRef()
	s, ok := f.Ops().(*signalfd.File)
	if !ok {
		return 0, unix.EINVAL
	}
	s.SetMask(set)
	return uint64(fd), nil
}

// sysSignalfd is signalfd(2).
func sysSignalfd(t *kernel.Task, a kernel.Args) (uint64, error) {
	return signalfd4(t, a.Int(0), a.Ptr(1), a.Size(2), 0)
}

// sysSignalfd4 is signalfd4(2).
func sysSignalfd4(t *kernel.Task, a kernel.Args) (uint64, error) {
	return signalfd4(t, a.Int(0), a.Ptr(1), a.Size(2), a.Uint(3))
}

// sysTimerfdCreate is timerfd_create(2).
func sysTimerfdCreate(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(1)
	if flags&^(unix.TFD_CLOEXEC|unix.TFD_NONBLOCK) != 0 {
		return 0, unix.EINVAL
	}
	switch a.Int(0) {
	case unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_BOOTTIME:
	case unix.CLOCK_REALTIME_ALARM, unix.CLOCK_BOOTTIME_ALARM:
		if !t.HasCap(unix.CAP_WAKE_ALARM) {
			return 0, unix.EPERM
		}
	default:
		return 0, unix.EINVAL
	}
	return t.AddAnonFile("[timerfd]", unix.O_RDWR|flags&unix.O_NONBLOCK, flags&unix.TFD_CLOEXEC != 0,
		timerfd.New(t.Kernel().Timers(), a.Int(0)))
}

// withTimerfd calls f with the timer of a descriptor. EBADF, EINVAL.
func withTimerfd(t *kernel.Task, fd int32, f func(tf *timerfd.File) error) error {
	file := t.FDTable().Get(fd)
	if file == nil {
		return unix.EBADF
	}
	defer file.DecRef()
	tf, ok := file.Ops().(*timerfd.File)
	if !ok {
		return unix.EINVAL
	}
	return f(tf)
}

// getItimerspec reads a struct itimerspec as ns. EFAULT, EINVAL.
func getItimerspec(t *kernel.Task, addr uint64) (value, interval int64, err error) {
	if interval, err = getTimespec(t, addr); err != nil {
		return 0, 0, err
	}
	value, err = getTimespec(t, addr+16)
	return value, interval, err
}

// putItimerspec writes a struct itimerspec.
func putItimerspec(t *kernel.Task, addr uint64, value, interval int64) error {
	var b [32]byte
	encodeTimespec(b[0:], interval)
	encodeTimespec(b[16:], value)
	return copyOut(t, addr, b[:])
}

// monotonicOf translates a time of a clock to CLOCK_MONOTONIC.
func monotonicOf(t *kernel.Task, id int32, ns int64) (int64, error) {
	now, err := readClock(t, id)
	if err != nil {
		return 0, err
	}
	return max(clock.Monotonic()+min(ns-now, clock.Never-clock.Monotonic()), 1), nil
}

// sysTimerfdSettime is timerfd_settime(2).
func sysTimerfdSettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Int(1)
	value, interval, err := getItimerspec(t, a.Ptr(2))
	if err != nil {
		return 0, err
	}
	if flags&^(unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET) != 0 {
		return 0, unix.EINVAL
	}
	return 0, withTimerfd(t, a.Int(0), func(f *timerfd.File) error {
		next := int64(0)
		switch {
		case value == 0:
		case flags&unix.TFD_TIMER_ABSTIME != 0:
			var err error
			if next, err = monotonicOf(t, f.Clock(), value); err != nil {
				return err
			}
		default:
			next = clock.After(value)
		}
		oldValue, oldInterval := f.Set(next, interval)
		if addr := a.Ptr(3); addr != 0 {
			return putItimerspec(t, addr, oldValue, oldInterval)
		}
		return nil
	})
}

// sysTimerfdGettime is timerfd_gettime(2).
func sysTimerfdGettime(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, withTimerfd(t, a.Int(0), func(f *timerfd.File) error {
		value, interval := f.Get()
		return putItimerspec(t, a.Ptr(1), value, interval)
	})
}
