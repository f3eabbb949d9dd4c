package clock

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Operations of futex(2) on words of this process.
const (
	futexWakePrivate       = 1 | 128
	futexWaitBitsetPrivate = 9 | 128
	futexBitsetMatchAny    = 0xffffffff
)

func futexWait(w *atomic.Uint32, val uint32, until int64) {
	var ts *unix.Timespec
	if until != Never {
		t := unix.NsecToTimespec(until)
		ts = &t
	}
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), futexWaitBitsetPrivate, uintptr(val),
		uintptr(unsafe.Pointer(ts)), 0, futexBitsetMatchAny)
}

func futexWake(w *atomic.Uint32) {
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), futexWakePrivate, 1, 0, 0, 0)
}
