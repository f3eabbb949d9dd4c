package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
)

// sysAdjtimex is adjtimex(2) and sysClockAdjtime clock_adjtime(2): the host's clocks
// can be read, not set.
func sysAdjtimex(t *kernel.Task, a kernel.Args) (uint64, error) {
	return adjtime(t, unix.CLOCK_REALTIME, a.Ptr(0))
}

func sysClockAdjtime(t *kernel.Task, a kernel.Args) (uint64, error) {
	return adjtime(t, a.Int(0), a.Ptr(1))
}

// timexSize is sizeof(struct timex).
const timexSize = 208

func adjtime(t *kernel.Task, id int32, addr uint64) (uint64, error) {
	const (
		offsetReadonly = 0x2000
		maxFreq        = 32768000
		errUnsync      = 5 // TIME_ERROR
		staUnsync      = 0x40
	)
	var b [timexSize]byte
	if err := copyIn(t, addr, b[:]); err != nil {
		return 0, err
	}
	if id != unix.CLOCK_REALTIME {
		if _, err := readClock(t, id); err != nil {
			return 0, err
		}
		return 0, unix.EOPNOTSUPP
	}
	if modes := le.Uint32(b[0:]); modes != 0 && modes&^0x8000 != offsetReadonly {
		return 0, unix.EPERM
	}
	now, err := readClock(t, id)
	if err != nil {
		return 0, err
	}
	clear(b[4:])
	le.PutUint64(b[24:], 16000000) // maxerror, µs
	le.PutUint64(b[32:], 16000000) // esterror
	le.PutUint32(b[40:], staUnsync)
	le.PutUint64(b[48:], 2) // constant
	le.PutUint64(b[56:], 1) // precision
	le.PutUint64(b[64:], maxFreq)
	encodeTimeval(b[72:], now)
	le.PutUint64(b[88:], 10000) // tick
	return errUnsync, copyOut(t, addr, b[:])
}

// Parts of an ioprio_set(2) value and its first argument.
const (
	ioprioClassShift = 13
	ioprioWhoProcess = 1
	ioprioWhoPgrp    = 2
	ioprioWhoUser    = 3
)

// ioprioTargets returns the tasks that ioprio_get(2) names. EINVAL, ESRCH.
func ioprioTargets(t *kernel.Task, which, who int32) ([]*kernel.Task, error) {
	if which < ioprioWhoProcess || which > ioprioWhoUser {
		return nil, unix.EINVAL
	}
	list, err := prioTargets(t, which-ioprioWhoProcess, who)
	if err == nil && len(list) == 0 {
		err = unix.ESRCH
	}
	return list, err
}

// sysIoprioSet is ioprio_set(2).
func sysIoprioSet(t *kernel.Task, a kernel.Args) (uint64, error) {
	prio := a.Int(2)
	switch class, data := prio>>ioprioClassShift, prio&(1<<ioprioClassShift-1); class {
	case 0:
		if data != 0 {
			return 0, unix.EINVAL
		}
	case 1:
		if !t.HasCap(unix.CAP_SYS_ADMIN) && !t.HasCap(unix.CAP_SYS_NICE) {
			return 0, unix.EPERM
		}
		fallthrough
	case 2:
		if data > 7 {
			return 0, unix.EINVAL
		}
	case 3:
	default:
		return 0, unix.EINVAL
	}
	list, err := ioprioTargets(t, a.Int(0), a.Int(1))
	if err != nil {
		return 0, err
	}
	for _, o := range list {
		if err := t.MaySchedule(o); err != nil {
			return 0, err
		}
		o.SetIOPriority(prio)
	}
	return 0, nil
}

// sysIoprioGet is ioprio_get(2).
func sysIoprioGet(t *kernel.Task, a kernel.Args) (uint64, error) {
	list, err := ioprioTargets(t, a.Int(0), a.Int(1))
	if err != nil {
		return 0, err
	}
	best := list[0].IOPriority()
	for _, o := range list[1:] {
		if p := o.IOPriority(); best == 0 || p != 0 && p < best {
			best = p
		}
	}
	return uint64(best), nil
}

// sysSyslog is syslog(2): the log is empty.
func sysSyslog(t *kernel.Task, a kernel.Args) (uint64, error) {
	const (
		readAll    = 3
		sizeUnread = 9
		sizeBuffer = 10
		logBuffer  = 1 << 18
	)
	action := a.Int(0)
	if action != readAll && action != sizeBuffer && !t.HasCap(unix.CAP_SYSLOG) && !t.HasCap(unix.CAP_SYS_ADMIN) {
		return 0, unix.EPERM
	}
	switch action {
	case 0, 1, 5, 6, 7, sizeUnread:
		return 0, nil
	case readAll, 4:
		if a.Ptr(1) == 0 || a.Int(2) < 0 {
			return 0, unix.EINVAL
		}
		return 0, nil
	case 8:
		if a.Int(2) < 1 || a.Int(2) > 8 {
			return 0, unix.EINVAL
		}
		return 0, nil
	case sizeBuffer:
		return logBuffer, nil
	}
	return 0, unix.EINVAL
}
