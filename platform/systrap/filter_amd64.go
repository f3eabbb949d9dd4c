package systrap

import "golang.org/x/sys/unix"

// Offsets in struct seccomp_data.
const (
	dataNr     = 0
	dataArch   = 4
	dataIPLow  = 8
	dataIPHigh = 12
)

// filter returns the program that decides about every system call of a stub.
// Nothing is executed that the sentry has not seen, but for rt_sigreturn from the
// stub's one instruction for it, which only sets the registers, the signal mask
// and the alternate stack of the thread itself.
func filter(full []uintptr) []unix.SockFilter {
	const (
		load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		jge  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		ret  = unix.BPF_RET | unix.BPF_K
	)
	prog := []unix.SockFilter{
		// Another architecture's call (int 0x80): as a signal.
		{Code: load, K: dataArch},
		{Code: jeq, K: unix.AUDIT_ARCH_X86_64, Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_TRAP},
		// The stub's own.
		{Code: load, K: dataIPHigh},
		{Code: jeq, K: stubText >> 32, Jf: 7},
		{Code: load, K: dataIPLow},
		{Code: jge, K: stubText & 0xffffffff, Jf: 5},
		{Code: jge, K: (stubText & 0xffffffff) + stubSize, Jt: 4},
		{Code: jeq, K: ipSigreturn & 0xffffffff, Jf: 2},
		{Code: load, K: dataNr},
		{Code: jeq, K: unix.SYS_RT_SIGRETURN, Jt: 2},
		{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: jeq, K: 0, Jt: 1, Jf: 1}, // not the stub's: go on
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	prog = append(prog, unix.SockFilter{Code: load, K: dataNr})
	for _, nr := range full {
		prog = append(prog,
			unix.SockFilter{Code: jeq, K: uint32(nr), Jf: 1},
			unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_TRAP})
	}
	return append(prog, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF})
}
