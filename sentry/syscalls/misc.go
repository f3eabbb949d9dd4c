package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/kernel"
	"casemate/vfs/wait"
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

// sysSyslog is syslog(2). There is no console.
func sysSyslog(t *kernel.Task, a kernel.Args) (uint64, error) {
	const (
		read         = 2
		readAll      = 3
		readClear    = 4
		clear        = 5
		consoleLevel = 8
		sizeUnread   = 9
		sizeBuffer   = 10
	)
	action, addr, size := a.Int(0), a.Ptr(1), a.Int(2)
	if action != readAll && action != sizeBuffer && !t.HasCap(unix.CAP_SYSLOG) && !t.HasCap(unix.CAP_SYS_ADMIN) {
		return 0, unix.EPERM
	}
	log := &t.Kernel().Log
	switch action {
	case 0, 1, 6, 7:
		return 0, nil
	case read, readAll, readClear:
		if addr == 0 || size < 0 {
			return 0, unix.EINVAL
		}
		if size == 0 {
			return 0, nil
		}
		var text []byte
		if action == read {
			var err error
			if text, err = readLog(t, log, int(size)); err != nil {
				return 0, err
			}
		} else {
			text = log.All(int(size), action == readClear)
		}
		if err := copyOut(t, addr, text); err != nil {
			return 0, err
		}
		return uint64(len(text)), nil
	case clear:
		log.Clear()
		return 0, nil
	case consoleLevel:
		if size < 1 || size > 8 {
			return 0, unix.EINVAL
		}
		return 0, nil
	case sizeUnread:
		return uint64(log.Unread()), nil
	case sizeBuffer:
		return kernel.LogSize, nil
	}
	return 0, unix.EINVAL
}

// readLog takes up to size bytes from the log and waits for some.
func readLog(t *kernel.Task, log *kernel.Log, size int) ([]byte, error) {
	e := t.WaitEntry()
	log.Queue.Register(e, wait.In)
	defer log.Queue.Unregister(e)
	for {
		if text := log.Read(size); len(text) > 0 {
			return text, nil
		}
		if err := t.Block(clock.Never); err != nil {
			return nil, err
		}
	}
}
