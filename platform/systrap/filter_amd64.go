package systrap

import "golang.org/x/sys/unix"

// Offsets in struct seccomp_data; the words of argument i are at argLow(i) and after it.
const (
	dataNr     = 0
	dataArch   = 4
	dataIPLow  = 8
	dataIPHigh = 12
	dataArgs   = 16
)

func argLow(i int) uint32  { return dataArgs + 8*uint32(i) }
func argHigh(i int) uint32 { return argLow(i) + 4 }

// notified are the application's system calls that become notifications, the rest
// becomes SIGSYS. A notification costs less, but the sentry could answer it with
// SECCOMP_USER_NOTIF_FLAG_CONTINUE, and the host would carry the call out. A sentry
// that has been taken over shall gain nothing by that. So these are calls that do
// nothing in a stub which the sentry's own filter does not allow as well: on the
// descriptors that there are, on the stub's own thread, or by a path, of which there
// is none in the stub's root, an empty tmpfs that is read-only. None makes a
// descriptor: the stubs' RLIMIT_NOFILE is 0.
//
// tgkill is not one because raise(3) wants all registers next, and exit because the
// thread is to make calls then.
var notified = []uint32{
	// Data of open files.
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64,
	unix.SYS_PREADV, unix.SYS_PWRITEV, unix.SYS_LSEEK, unix.SYS_SENDFILE,
	unix.SYS_FSTAT, unix.SYS_FSTATFS, unix.SYS_GETDENTS, unix.SYS_GETDENTS64,
	unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FLOCK,
	// Paths.
	unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_NEWFSTATAT, unix.SYS_STATX, unix.SYS_STATFS,
	unix.SYS_ACCESS, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_READLINK, unix.SYS_READLINKAT,
	unix.SYS_MKDIR, unix.SYS_RMDIR, unix.SYS_UNLINK, unix.SYS_RENAME, unix.SYS_CHMOD,
	unix.SYS_CHDIR, unix.SYS_GETCWD,
	// Descriptors.
	unix.SYS_OPEN, unix.SYS_OPENAT, unix.SYS_CLOSE, unix.SYS_PIPE, unix.SYS_PIPE2,
	unix.SYS_DUP, unix.SYS_DUP2, unix.SYS_DUP3, unix.SYS_ACCEPT, unix.SYS_ACCEPT4,
	unix.SYS_POLL, unix.SYS_PPOLL, unix.SYS_SELECT, unix.SYS_PSELECT6,
	unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_WAIT, unix.SYS_EPOLL_PWAIT,
	// Sockets that are connected, or do without.
	unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDMMSG, unix.SYS_RECVMMSG,
	unix.SYS_SHUTDOWN, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT,
	// Signals and processes; a stub has no children, and knows those of the sandbox.
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGPENDING, unix.SYS_RT_SIGTIMEDWAIT,
	unix.SYS_KILL, unix.SYS_WAIT4, unix.SYS_WAITID,
	unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_GETTID, unix.SYS_GETPGRP, unix.SYS_GETPGID, unix.SYS_SETPGID, unix.SYS_GETSID,
	unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_UMASK,
	unix.SYS_SET_TID_ADDRESS, unix.SYS_SET_ROBUST_LIST, unix.SYS_FUTEX,
	// Time.
	unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY, unix.SYS_TIME, unix.SYS_TIMES,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_ALARM, unix.SYS_GETITIMER, unix.SYS_SETITIMER,
	// The rest.
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETCPU, unix.SYS_GETRLIMIT, unix.SYS_GETRUSAGE,
	unix.SYS_UNAME, unix.SYS_SYSINFO, unix.SYS_GETRANDOM,
}

// Commands of fcntl(2) up to this one, and the others of ioctl(2), are notified too.
const notifiedFcntl = unix.F_SETLKW

var notifiedIoctls = []uint32{unix.TCGETS, unix.TIOCGWINSZ, unix.TIOCINQ, fionbio}

const fionbio = 0x5421 // FIONBIO

// notifiedMax is more than the numbers in notified, a multiple of 32.
const notifiedMax = 512

// processFlags and threadFlags are those of the stub's own clones.
const (
	processFlags = unix.CLONE_PARENT | unix.CLONE_FILES
	threadFlags  = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM
)

// What BPF is made of.
const (
	bpfLoad  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	bpfConst = unix.BPF_LD | unix.BPF_IMM
	bpfTAX   = unix.BPF_MISC | unix.BPF_TAX
	bpfAnd   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	bpfRsh   = unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K
	bpfRshX  = unix.BPF_ALU | unix.BPF_RSH | unix.BPF_X
	bpfJEQ   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	bpfJGE   = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	bpfJGT   = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	bpfJSet  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	bpfJump  = unix.BPF_JMP | unix.BPF_JA
	bpfRet   = unix.BPF_RET | unix.BPF_K
)

// A rule is a piece of a filter that returns, or falls through at its end.
type rule []unix.SockFilter

func ret(action uint32) rule { return rule{{Code: bpfRet, K: action}} }

// when runs body if the word at offset off equals one of values.
func when(off uint32, values []uint32, body rule) rule {
	r := rule{{Code: bpfLoad, K: off}}
	for i, v := range values {
		jf := uint8(0)
		if i == len(values)-1 {
			jf = uint8(len(body))
		}
		r = append(r, unix.SockFilter{Code: bpfJEQ, K: v, Jt: uint8(len(values) - 1 - i), Jf: jf})
	}
	return append(r, body...)
}

func is(off, value uint32, body rule) rule { return when(off, []uint32{value}, body) }

// arg runs body if argument i equals one of values.
func arg(i int, values []uint32, body rule) rule {
	return is(argHigh(i), 0, when(argLow(i), values, body))
}

// mask runs body if the word at offset off has no other bits than those of bits.
func mask(off, bits uint32, body rule) rule {
	return append(rule{{Code: bpfLoad, K: off}, {Code: bpfJSet, K: ^bits, Jt: uint8(len(body))}}, body...)
}

func join(rules ...rule) (all rule) {
	for _, r := range rules {
		all = append(all, r...)
	}
	return all
}

// protection runs body if argument 2 is a protection of memory.
func protection(body rule) rule {
	return is(argHigh(2), 0, mask(argLow(2), unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, body))
}

// title runs body if argument 1 is the address of the stub's title.
func title(body rule) rule {
	return is(argHigh(1), stubTitle>>32, is(argLow(1), stubTitle&0xffffffff, body))
}

// ownCalls decides about the system calls of the stub's code. From each of its
// instructions just what it is for is possible, with arguments as the sentry orders
// them; anything else ends the process.
func ownCalls(orphans bool) (all rule) {
	notify, allow := ret(unix.SECCOMP_RET_USER_NOTIF), ret(unix.SECCOMP_RET_ALLOW)
	const fixed = unix.MAP_SHARED | unix.MAP_FIXED
	from := func(ip uint32, rules ...rule) {
		all = append(all, is(dataIPLow, ip, join(append(rules, ret(unix.SECCOMP_RET_KILL_PROCESS))...))...)
	}
	from(ipHandoff&0xffffffff, is(dataNr, nrHandoff, notify))
	from(ipSigreturn&0xffffffff, is(dataNr, unix.SYS_RT_SIGRETURN, allow))
	from(ipCall&0xffffffff,
		is(dataNr, unix.SYS_MMAP, protection(arg(3,
			[]uint32{fixed, fixed | unix.MAP_POPULATE, unix.MAP_PRIVATE | unix.MAP_FIXED, unix.MAP_PRIVATE | unix.MAP_FIXED | unix.MAP_POPULATE}, notify))),
		is(dataNr, unix.SYS_MPROTECT, protection(notify)),
		is(dataNr, unix.SYS_SIGALTSTACK, arg(1, []uint32{0}, notify)),
		is(dataNr, unix.SYS_PREAD64, title(arg(2, []uint32{titleSize}, notify))),
		is(dataNr, unix.SYS_PRCTL, arg(0, []uint32{unix.PR_SET_NAME}, title(notify))),
		when(dataNr, []uint32{unix.SYS_MUNMAP, unix.SYS_GETPID}, notify))
	from(ipFastSleep&0xffffffff, is(dataNr, unix.SYS_FUTEX, is(argHigh(0), stubAreas>>32, arg(1, []uint32{futexWait}, arg(3, []uint32{0}, allow)))))
	from(ipClone&0xffffffff, is(dataNr, unix.SYS_CLONE, arg(0, []uint32{processFlags, threadFlags}, notify)))
	from(ipNewProcess&0xffffffff, is(dataNr, unix.SYS_MMAP,
		arg(2, []uint32{unix.PROT_READ | unix.PROT_WRITE}, arg(3, []uint32{fixed}, notify))))
	from(ipNewThread&0xffffffff, is(dataNr, unix.SYS_SIGALTSTACK, arg(1, []uint32{0}, notify)))
	if orphans {
		from(ipDeathSig&0xffffffff, is(dataNr, unix.SYS_PRCTL,
			arg(0, []uint32{unix.PR_SET_PDEATHSIG}, arg(1, []uint32{uint32(unix.SIGKILL)}, allow))))
		from(ipParent&0xffffffff, is(dataNr, unix.SYS_GETPPID, allow))
	}
	return append(all, ret(unix.SECCOMP_RET_KILL_PROCESS)...)
}

// applicationCalls decides about the application's system calls; those in full want
// all registers.
func applicationCalls(full []uintptr) rule {
	var bits [notifiedMax / 32]uint32
	for _, nr := range notified {
		bits[nr/32] |= 1 << (nr % 32)
	}
	for _, nr := range full {
		if nr < notifiedMax {
			bits[nr/32] &^= 1 << (nr % 32)
		}
	}
	// X = nr % 32, A = nr / 32; then A = the word of bits.
	r := rule{{Code: bpfLoad, K: dataNr}, {Code: bpfAnd, K: 31}, {Code: bpfTAX}, {Code: bpfLoad, K: dataNr}, {Code: bpfRsh, K: 5}}
	words := 0
	for _, w := range bits {
		if w != 0 {
			words++
		}
	}
	for i, w := range bits {
		if w != 0 {
			words--
			r = append(r, unix.SockFilter{Code: bpfJEQ, K: uint32(i), Jf: 2},
				unix.SockFilter{Code: bpfConst, K: w}, unix.SockFilter{Code: bpfJump, K: uint32(3*words) + 1})
		}
	}
	notify := ret(unix.SECCOMP_RET_USER_NOTIF)
	r = append(r, unix.SockFilter{Code: bpfJump, K: 3},
		unix.SockFilter{Code: bpfRshX}, unix.SockFilter{Code: bpfJSet, K: 1, Jf: 1})
	r = append(r, notify...)
	return join(r,
		is(dataNr, unix.SYS_FCNTL, rule{{Code: bpfLoad, K: argLow(1)}, {Code: bpfJGT, K: notifiedFcntl, Jt: 1}, notify[0]}),
		is(dataNr, unix.SYS_IOCTL, when(argLow(1), notifiedIoctls, notify)),
		ret(unix.SECCOMP_RET_TRAP))
}

// filter returns the program that decides about every system call of a stub. Nothing
// is executed that the sentry has not seen, but for rt_sigreturn from the stub's one
// instruction for it, which only sets the registers, the signal mask and the alternate
// stack of the thread itself, for FUTEX_WAIT on what the platform has mapped, by which
// the thread sleeps until a signal comes at most, and, if orphans is set, the two calls by
// which a stub ends with the sentry. And nothing is executed but what applicationCalls and ownCalls
// put before the sentry, whatever it answers.
func filter(full []uintptr, orphans bool) []unix.SockFilter {
	own := ownCalls(orphans)
	return join(rule{
		// Another architecture's call (int 0x80): as a signal.
		{Code: bpfLoad, K: dataArch},
		{Code: bpfJEQ, K: unix.AUDIT_ARCH_X86_64, Jt: 1},
		{Code: bpfRet, K: unix.SECCOMP_RET_TRAP},
		// Is it the stub's?
		{Code: bpfLoad, K: dataIPHigh},
		{Code: bpfJEQ, K: stubText >> 32, Jf: 4},
		{Code: bpfLoad, K: dataIPLow},
		{Code: bpfJGE, K: stubText & 0xffffffff, Jf: 2},
		{Code: bpfJGE, K: (stubText & 0xffffffff) + stubSize, Jt: 1},
		{Code: bpfJump, K: 1},
		{Code: bpfJump, K: uint32(len(own))},
	}, own, applicationCalls(full))
}
