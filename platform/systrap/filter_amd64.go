package systrap

import "golang.org/x/sys/unix"

// Offsets in struct seccomp_data.
const (
	dataNr     = 0
	dataArch   = 4
	dataIPLow  = 8
	dataIPHigh = 12
	dataArg0   = 16
	dataArg1   = 24
)

// filter returns the program that decides about every system call of a stub.
// Nothing is executed that the sentry has not seen, but for rt_sigreturn from the
// stub's one instruction for it, which only sets the registers, the signal mask
// and the alternate stack of the thread itself, and, if orphans is set, the two
// calls by which a stub ends with the sentry.
func filter(full []uintptr, orphans bool) []unix.SockFilter {
	const (
		load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		jge  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		ja   = unix.BPF_JMP | unix.BPF_JA
		ret  = unix.BPF_RET | unix.BPF_K
	)
	// The stub's own calls: allowed from ip are those whose words at the offsets
	// have the values.
	type word struct{ offset, value uint32 }
	var own []unix.SockFilter
	allow := func(ip uint32, words ...word) {
		own = append(own, unix.SockFilter{Code: jeq, K: ip, Jf: uint8(2*len(words) + 2)})
		for i, w := range words {
			own = append(own, unix.SockFilter{Code: load, K: w.offset},
				unix.SockFilter{Code: jeq, K: w.value, Jf: uint8(2*(len(words)-i-1) + 1)})
		}
		own = append(own, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW},
			unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	allow(ipSigreturn&0xffffffff, word{dataNr, unix.SYS_RT_SIGRETURN})
	if orphans {
		allow(ipDeathSig&0xffffffff, word{dataNr, unix.SYS_PRCTL},
			word{dataArg0, unix.PR_SET_PDEATHSIG}, word{dataArg0 + 4, 0},
			word{dataArg1, uint32(unix.SIGKILL)}, word{dataArg1 + 4, 0})
		allow(ipParent&0xffffffff, word{dataNr, unix.SYS_GETPPID})
	}
	own = append(own, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF})

	prog := []unix.SockFilter{
		// Another architecture's call (int 0x80): as a signal.
		{Code: load, K: dataArch},
		{Code: jeq, K: unix.AUDIT_ARCH_X86_64, Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_TRAP},
		// Is it the stub's?
		{Code: load, K: dataIPHigh},
		{Code: jeq, K: stubText >> 32, Jf: 3},
		{Code: load, K: dataIPLow},
		{Code: jge, K: stubText & 0xffffffff, Jf: 1},
		{Code: jge, K: (stubText & 0xffffffff) + stubSize, Jf: 1},
		{Code: ja, K: uint32(len(own))},
	}
	prog = append(prog, own...)
	prog = append(prog, unix.SockFilter{Code: load, K: dataNr})
	for _, nr := range full {
		prog = append(prog,
			unix.SockFilter{Code: jeq, K: uint32(nr), Jf: 1},
			unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_TRAP})
	}
	return append(prog, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF})
}
