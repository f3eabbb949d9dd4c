package seccomp

import (
	"os"

	"golang.org/x/sys/unix"
)

// threadFlags are the flags with which the Go runtime starts a thread. A clone
// without CLONE_THREAD, a process, is not allowed.
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD

// GoRuntime returns rules for the calls that the Go runtime makes on its own, and
// for those on descriptors that any program makes.
func GoRuntime() []Rule {
	rules := Allow(
		unix.SYS_FUTEX, unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE,
		unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_CREATE1, unix.SYS_EVENTFD2,
		unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP,
		unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MINCORE,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
		unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
		unix.SYS_RESTART_SYSCALL, unix.SYS_GETRANDOM, unix.SYS_SCHED_GETAFFINITY,
		unix.SYS_SETITIMER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE,
		unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_PREAD64,
	)
	// No memory becomes code.
	for _, nr := range []uintptr{unix.SYS_MMAP, unix.SYS_MPROTECT} {
		rules = append(rules, Rule{Nr: nr, Args: []Arg{{Index: 2, Value: 0, Mask: unix.PROT_EXEC}}})
	}
	// Threads are preempted by a signal.
	rules = append(rules, Rule{Nr: unix.SYS_TGKILL, Args: []Arg{{Index: 0, Value: uint64(os.Getpid())}}})
	rules = append(rules, Rule{Nr: unix.SYS_CLONE, Args: []Arg{{Index: 0, Value: threadFlags, Mask: ^uint64(unix.CLONE_SETTLS)}}})
	for _, option := range []uint64{unix.PR_SET_VMA, unix.PR_SET_TIMERSLACK} {
		rules = append(rules, Rule{Nr: unix.SYS_PRCTL, Args: []Arg{{Index: 0, Value: option}}})
	}
	for _, cmd := range []uint64{unix.F_GETFL, unix.F_GETFD} {
		rules = append(rules, Rule{Nr: unix.SYS_FCNTL, Args: []Arg{{Index: 1, Value: cmd}}})
	}
	return rules
}
