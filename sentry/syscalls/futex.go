package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/kernel"
)

// Operations and flags of futex(2).
const (
	futexWait       = 0
	futexWake       = 1
	futexRequeue    = 3
	futexCmpRequeue = 4
	futexWakeOp     = 5
	futexLockPI     = 6
	futexUnlockPI   = 7
	futexTrylockPI  = 8
	futexWaitBitset = 9
	futexWakeBitset = 10
	futexLockPI2    = 13
	futexPrivate    = 128
	futexRealtime   = 256
	futexMatchAny   = 0xffffffff
	futex2U32       = 2
	futex2SizeMask  = 3
	futex2Private   = 128
	futexWaitVMax   = 128
	futexWaitVSize  = 24
	futex2Known     = futex2SizeMask | futex2Private
)

// sysFutex is futex(2).
func sysFutex(t *kernel.Task, a kernel.Args) (uint64, error) {
	addr, op, val := a.Ptr(0), a.Uint(1), a.Uint(2)
	private := op&futexPrivate != 0
	realtime := op&futexRealtime != 0
	cmd := op &^ (futexPrivate | futexRealtime)
	if realtime && cmd != futexWait && cmd != futexWaitBitset && cmd != futexLockPI2 {
		return 0, unix.ENOSYS
	}
	deadline := int64(clock.Never)
	switch cmd {
	case futexWait, futexWaitBitset, futexLockPI, futexLockPI2:
		if p := a.Ptr(3); p != 0 {
			ns, err := getTimespec(t, p)
			if err != nil {
				return 0, err
			}
			switch {
			case cmd == futexWait:
				deadline = clock.After(ns)
			case realtime || cmd == futexLockPI:
				deadline = clock.FromRealtime(ns)
			default:
				deadline = ns
			}
		}
	}
	switch cmd {
	case futexWait, futexWaitBitset:
		bitset := uint32(futexMatchAny)
		if cmd == futexWaitBitset {
			bitset = a.Uint(5)
		}
		err := t.FutexWait(addr, private, val, bitset, deadline)
		if err == kernel.ErrRestartSys && deadline != clock.Never {
			t.SetRestart(&kernel.FutexRestart{Addr: addr, Private: private, Val: val, Bitset: bitset, Deadline: deadline})
			err = kernel.ErrRestartBlock
		}
		return 0, err
	case futexWake:
		n, err := t.FutexWake(addr, private, int32(val), futexMatchAny)
		return uint64(n), err
	case futexWakeBitset:
		n, err := t.FutexWake(addr, private, int32(val), a.Uint(5))
		return uint64(n), err
	case futexRequeue:
		woken, moved, err := t.FutexRequeue(addr, a.Ptr(4), private, private, int32(val), a.Int(3), nil)
		return uint64(woken + moved), err
	case futexCmpRequeue:
		cmp := a.Uint(5)
		woken, moved, err := t.FutexRequeue(addr, a.Ptr(4), private, private, int32(val), a.Int(3), &cmp)
		return uint64(woken + moved), err
	case futexWakeOp:
		n, err := t.FutexWakeOp(addr, a.Ptr(4), private, int32(val), a.Int(3), a.Uint(5))
		return uint64(n), err
	case futexLockPI, futexLockPI2:
		return 0, t.FutexLockPI(addr, private, false, deadline)
	case futexTrylockPI:
		return 0, t.FutexLockPI(addr, private, true, clock.Never)
	case futexUnlockPI:
		return 0, t.FutexUnlockPI(addr, private)
	}
	return 0, unix.ENOSYS
}

// futex2Deadline reads the timeout of the futex2 calls. EINVAL for another clock
// than the two.
func futex2Deadline(t *kernel.Task, addr uint64, clockID int32) (int64, error) {
	if addr == 0 {
		return clock.Never, nil
	}
	if clockID != unix.CLOCK_MONOTONIC && clockID != unix.CLOCK_REALTIME {
		return 0, unix.EINVAL
	}
	ns, err := getTimespec(t, addr)
	if err == nil && clockID == unix.CLOCK_REALTIME {
		ns = clock.FromRealtime(ns)
	}
	return ns, err
}

// futex2Flags checks the flags of a futex2 call. EINVAL.
func futex2Flags(flags uint64) (private bool, err error) {
	if flags&^futex2Known != 0 || flags&futex2SizeMask != futex2U32 {
		return false, unix.EINVAL
	}
	return flags&futex2Private != 0, nil
}

// sysFutexWaitv is futex_waitv(2).
func sysFutexWaitv(t *kernel.Task, a kernel.Args) (uint64, error) {
	n := a.Uint(1)
	if n == 0 || n > futexWaitVMax || a.Uint(2) != 0 {
		return 0, unix.EINVAL
	}
	deadline, err := futex2Deadline(t, a.Ptr(3), a.Int(4))
	if err != nil {
		return 0, err
	}
	b := make([]byte, n*futexWaitVSize)
	if err := copyIn(t, a.Ptr(0), b); err != nil {
		return 0, err
	}
	list := make([]kernel.FutexWaitV, n)
	for i := range list {
		p := b[i*futexWaitVSize:]
		val, flags := le.Uint64(p), le.Uint32(p[16:])
		if le.Uint32(p[20:]) != 0 || val>>32 != 0 {
			return 0, unix.EINVAL
		}
		private, err := futex2Flags(uint64(flags))
		if err != nil {
			return 0, err
		}
		list[i] = kernel.FutexWaitV{Addr: le.Uint64(p[8:]), Val: uint32(val), Private: private}
	}
	i, err := t.FutexWaitV(list, deadline)
	return uint64(i), err
}

// sysFutex2Wait is futex_wait(2).
func sysFutex2Wait(t *kernel.Task, a kernel.Args) (uint64, error) {
	private, err := futex2Flags(a.Size(3))
	if err != nil || a[1]>>32 != 0 || a[2]>>32 != 0 {
		return 0, unix.EINVAL
	}
	deadline, err := futex2Deadline(t, a.Ptr(4), a.Int(5))
	if err != nil {
		return 0, err
	}
	return 0, t.FutexWait(a.Ptr(0), private, a.Uint(1), a.Uint(2), deadline)
}

// sysFutex2Wake is futex_wake(2).
func sysFutex2Wake(t *kernel.Task, a kernel.Args) (uint64, error) {
	private, err := futex2Flags(a.Size(3))
	if err != nil || a[1]>>32 != 0 {
		return 0, unix.EINVAL
	}
	if a.Int(2) == 0 {
		return 0, nil
	}
	n, err := t.FutexWake(a.Ptr(0), private, a.Int(2), a.Uint(1))
	return uint64(n), err
}

// sysFutex2Requeue is futex_requeue(2).
func sysFutex2Requeue(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(1) != 0 {
		return 0, unix.EINVAL
	}
	var b [2 * futexWaitVSize]byte
	if err := copyIn(t, a.Ptr(0), b[:]); err != nil {
		return 0, err
	}
	p, err := futex2Flags(uint64(le.Uint32(b[16:])))
	p2, err2 := futex2Flags(uint64(le.Uint32(b[futexWaitVSize+16:])))
	if err != nil || err2 != nil {
		return 0, unix.EINVAL
	}
	cmp := uint32(le.Uint64(b[0:]))
	woken, moved, err := t.FutexRequeue(le.Uint64(b[8:]), le.Uint64(b[futexWaitVSize+8:]), p, p2, a.Int(2), a.Int(3), &cmp)
	return uint64(woken + moved), err
}

// robustListHeadSize is sizeof(struct robust_list_head).
const robustListHeadSize = 24

// sysSetRobustList is set_robust_list(2).
func sysSetRobustList(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Size(1) != robustListHeadSize {
		return 0, unix.EINVAL
	}
	t.SetRobustList(a.Ptr(0))
	return 0, nil
}

// sysGetRobustList is get_robust_list(2).
func sysGetRobustList(t *kernel.Task, a kernel.Args) (uint64, error) {
	o, err := t.FindTask(a.Int(0))
	if err != nil {
		return 0, err
	}
	if err := t.MayPtrace(o); err != nil {
		return 0, err
	}
	if err := putUint64(t, a.Ptr(2), robustListHeadSize); err != nil {
		return 0, err
	}
	return 0, putUint64(t, a.Ptr(1), o.RobustList())
}
