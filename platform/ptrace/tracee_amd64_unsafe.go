//go:build amd64

package ptrace

import (
	"unsafe"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// cloneTemplate clones the sentry with flags. The child maps the page of the
// descriptor fd at page and jumps to entry. It returns the child's pid, or a
// negated errno.
//
//go:noescape
func cloneTemplate(flags, page, fd, entry uintptr) (pid uintptr)

// request makes a ptrace(2) request.
func request(req, tid int, addr, data uintptr) error {
	_, _, e := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(req), uintptr(tid), addr, data, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// seize attaches to tid without stopping it.
func seize(tid int, options uintptr) error {
	return request(unix.PTRACE_SEIZE, tid, 0, options)
}

// resume continues a stopped tracee, without a signal, by PTRACE_CONT or
// PTRACE_SYSEMU.
func resume(req, tid int) error { return request(req, tid, 0, 0) }

// getRegs reads the general registers.
func getRegs(tid int, r *arch.Registers) error {
	return request(unix.PTRACE_GETREGS, tid, 0, uintptr(unsafe.Pointer(r)))
}

// setRegs writes the general registers. EIO if a value is not one that user code
// can have.
func setRegs(tid int, r *arch.Registers) error {
	return request(unix.PTRACE_SETREGS, tid, 0, uintptr(unsafe.Pointer(r)))
}

// getXState reads the extended state into p and returns its size.
func getXState(tid int, p []byte) (int, error) {
	v := unix.Iovec{Base: &p[0], Len: uint64(len(p))}
	err := request(unix.PTRACE_GETREGSET, tid, unix.NT_X86_XSTATE, uintptr(unsafe.Pointer(&v)))
	return int(v.Len), err
}

// setXState writes the extended state. EINVAL if it is not valid.
func setXState(tid int, p []byte) error {
	v := unix.Iovec{Base: &p[0], Len: uint64(len(p))}
	return request(unix.PTRACE_SETREGSET, tid, unix.NT_X86_XSTATE, uintptr(unsafe.Pointer(&v)))
}

// syscallArch returns the AUDIT_ARCH value of the system call in which tid has
// stopped.
func syscallArch(tid int) (uint32, error) {
	// The head of struct ptrace_syscall_info.
	var info struct {
		op   uint8
		_    [3]uint8
		arch uint32
	}
	err := request(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)))
	return info.arch, err
}

// A sigInfo is siginfo_t with the fields of a fault, or those of SIGSYS.
type sigInfo struct {
	signo, errno, code int32
	_                  int32
	addr               uint64 // si_addr, si_call_addr
	syscall            int32  // SIGSYS: si_syscall
	arch               uint32 // SIGSYS: si_arch
	_                  [96]byte
}

// getSigInfo reads what is known of the signal that has stopped tid.
func getSigInfo(tid int) (info sigInfo, err error) {
	err = request(unix.PTRACE_GETSIGINFO, tid, 0, uintptr(unsafe.Pointer(&info)))
	return info, err
}

// An rseqConfiguration is struct ptrace_rseq_configuration.
type rseqConfiguration struct {
	pointer   uint64
	size      uint32
	signature uint32
	flags     uint32
	_         uint32
}

// getRseq returns the restartable sequences area that tid has registered.
func getRseq(tid int) (rc rseqConfiguration, err error) {
	err = request(unix.PTRACE_GET_RSEQ_CONFIGURATION, tid, unsafe.Sizeof(rc), uintptr(unsafe.Pointer(&rc)))
	return rc, err
}

// clearSigMask makes tid block no signal.
func clearSigMask(tid int) error {
	var mask uint64
	return request(unix.PTRACE_SETSIGMASK, tid, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
}
