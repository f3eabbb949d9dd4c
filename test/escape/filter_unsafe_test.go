package escape

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// seccompFilter returns the instructions of filter number i of a stopped tracee:
// PTRACE_SECCOMP_GET_FILTER of ptrace(2).
func seccompFilter(pid int, i uintptr) ([]byte, error) {
	n, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), i, 0, 0, 0)
	if e != 0 {
		return nil, e
	}
	if n == 0 {
		return nil, unix.EINVAL
	}
	code := make([]byte, 8*n)
	_, _, e = unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), i, uintptr(unsafe.Pointer(&code[0])), 0, 0)
	if e != 0 {
		return nil, e
	}
	return code, nil
}
