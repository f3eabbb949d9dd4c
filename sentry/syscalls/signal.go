package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/kernel"
)

// sigSetSize is sizeof(sigset_t) in the kernel.
const sigSetSize = 8

// getSigSet reads a signal set whose size the caller has given. EINVAL, EFAULT.
func getSigSet(t *kernel.Task, addr, size uint64) (kernel.SignalSet, error) {
	if size != sigSetSize {
		return 0, unix.EINVAL
	}
	v, err := getUint64(t, addr)
	return kernel.SignalSet(v), err
}

// getSigInfo reads a siginfo_t.
func getSigInfo(t *kernel.Task, addr uint64) (*kernel.SigInfo, error) {
	var b [kernel.SigInfoSize]byte
	if err := copyIn(t, addr, b[:]); err != nil {
		return nil, err
	}
	info := new(kernel.SigInfo)
	info.Decode(b[:])
	return info, nil
}

// sysRtSigaction is rt_sigaction(2).
func sysRtSigaction(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Size(3) != sigSetSize {
		return 0, unix.EINVAL
	}
	var b [kernel.SigActionSize]byte
	var set *kernel.SigAction
	if addr := a.Ptr(1); addr != 0 {
		if err := copyIn(t, addr, b[:]); err != nil {
			return 0, err
		}
		set = new(kernel.SigAction)
		set.Decode(b[:])
	}
	old, err := t.SigAction(a.Int(0), set)
	if err != nil {
		return 0, err
	}
	if addr := a.Ptr(2); addr != 0 {
		old.Encode(b[:])
		return 0, copyOut(t, addr, b[:])
	}
	return 0, nil
}

// sysRtSigprocmask is rt_sigprocmask(2).
func sysRtSigprocmask(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Size(3) != sigSetSize {
		return 0, unix.EINVAL
	}
	old := t.SignalMask()
	if addr := a.Ptr(1); addr != 0 {
		set, err := getSigSet(t, addr, sigSetSize)
		if err != nil {
			return 0, err
		}
		mask := old
		switch a.Int(0) {
		case unix.SIG_BLOCK:
			mask |= set
		case unix.SIG_UNBLOCK:
			mask &^= set
		case unix.SIG_SETMASK:
			mask = set
		default:
			return 0, unix.EINVAL
		}
		if mask != old {
			t.SetSignalMask(mask)
		}
	}
	if addr := a.Ptr(2); addr != 0 {
		return 0, putUint64(t, addr, uint64(old))
	}
	return 0, nil
}

// sysRtSigreturn is rt_sigreturn(2).
func sysRtSigreturn(t *kernel.Task, a kernel.Args) (uint64, error) { return t.SigReturn() }

// sysRtSigpending is rt_sigpending(2).
func sysRtSigpending(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Size(1) > sigSetSize {
		return 0, unix.EINVAL
	}
	var b [8]byte
	le.PutUint64(b[:], uint64(t.PendingSignals()))
	return 0, copyOut(t, a.Ptr(0), b[:a.Size(1)])
}

// sysRtSigtimedwait is rt_sigtimedwait(2).
func sysRtSigtimedwait(t *kernel.Task, a kernel.Args) (uint64, error) {
	set, err := getSigSet(t, a.Ptr(0), a.Size(3))
	if err != nil {
		return 0, err
	}
	deadline := int64(clock.Never)
	if addr := a.Ptr(2); addr != 0 {
		ns, err := getTimespec(t, addr)
		if err != nil {
			return 0, err
		}
		deadline = clock.After(ns)
	}
	info, err := t.SigTimedWait(set, deadline)
	if err != nil {
		return 0, err
	}
	if addr := a.Ptr(1); addr != 0 {
		var b [kernel.SigInfoSize]byte
		info.Encode(b[:])
		if err := copyOut(t, addr, b[:]); err != nil {
			return 0, err
		}
	}
	return uint64(info.Signo), nil
}

// sysRtSigsuspend is rt_sigsuspend(2).
func sysRtSigsuspend(t *kernel.Task, a kernel.Args) (uint64, error) {
	set, err := getSigSet(t, a.Ptr(0), a.Size(1))
	if err != nil {
		return 0, err
	}
	t.SetTempMask(set)
	return pause(t)
}

// sysPause is pause(2).
func sysPause(t *kernel.Task, a kernel.Args) (uint64, error) { return pause(t) }

func pause(t *kernel.Task) (uint64, error) {
	for {
		if err := t.Block(clock.Never); err != nil {
			return 0, kernel.ErrRestartNoHand
		}
	}
}

// queuedInfo reads the siginfo of rt_sigqueueinfo(2) and rt_tgsigqueueinfo(2), which
// only the process itself may be told that the kernel sent it. EPERM.
func queuedInfo(t *kernel.Task, addr uint64, sig int32, self bool) (*kernel.SigInfo, error) {
	info, err := getSigInfo(t, addr)
	if err != nil {
		return nil, err
	}
	info.Signo = sig
	if (info.Code >= 0 || info.Code == kernel.SITkill) && !self {
		return nil, unix.EPERM
	}
	return info, nil
}

// sysRtSigqueueinfo is rt_sigqueueinfo(2).
func sysRtSigqueueinfo(t *kernel.Task, a kernel.Args) (uint64, error) {
	info, err := queuedInfo(t, a.Ptr(2), a.Int(1), a.Int(0) == t.TID())
	if err != nil {
		return 0, err
	}
	return 0, t.SigQueue(a.Int(0), info)
}

// sysRtTgsigqueueinfo is rt_tgsigqueueinfo(2).
func sysRtTgsigqueueinfo(t *kernel.Task, a kernel.Args) (uint64, error) {
	info, err := queuedInfo(t, a.Ptr(3), a.Int(2), a.Int(1) == t.TID())
	if err != nil {
		return 0, err
	}
	if a.Int(0) <= 0 {
		return 0, unix.EINVAL
	}
	return 0, t.Tgkill(a.Int(0), a.Int(1), a.Int(2), info)
}

// sysSigaltstack is sigaltstack(2).
func sysSigaltstack(t *kernel.Task, a kernel.Args) (uint64, error) {
	var b [kernel.SignalStackSize]byte
	var set *kernel.SignalStack
	if addr := a.Ptr(0); addr != 0 {
		if err := copyIn(t, addr, b[:]); err != nil {
			return 0, err
		}
		set = new(kernel.SignalStack)
		set.Decode(b[:])
	}
	old, err := t.SignalStack(set)
	if err != nil {
		return 0, err
	}
	if addr := a.Ptr(1); addr != 0 {
		old.Encode(b[:])
		return 0, copyOut(t, addr, b[:])
	}
	return 0, nil
}

// sysKill is kill(2).
func sysKill(t *kernel.Task, a kernel.Args) (uint64, error) { return 0, t.Kill(a.Int(0), a.Int(1)) }

// sysTkill is tkill(2).
func sysTkill(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.Tgkill(-1, a.Int(0), a.Int(1), nil)
}

// sysTgkill is tgkill(2).
func sysTgkill(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) <= 0 {
		return 0, unix.EINVAL
	}
	return 0, t.Tgkill(a.Int(0), a.Int(1), a.Int(2), nil)
}

// sysRestartSyscall is restart_syscall(2).
func sysRestartSyscall(t *kernel.Task, a kernel.Args) (uint64, error) { return t.Restart() }
