package boot

import (
	"golang.org/x/sys/unix"

	"casemate/runsc/seccomp"
)

// rules are the system calls that the sentry makes once it runs: nothing that opens a
// path, makes a process, or, unless sockets are the host's, reaches the network.
func (s *sandbox) rules() []seccomp.Rule {
	rules := seccomp.GoRuntime()
	// The memory file and files that the gofer has donated, the container's standard
	// descriptors, the control socket.
	rules = append(rules, seccomp.Allow(
		unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV, unix.SYS_PWRITEV, unix.SYS_PWRITEV2, unix.SYS_READV, unix.SYS_WRITEV,
		unix.SYS_LSEEK, unix.SYS_FSTAT, unix.SYS_FALLOCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC,
		unix.SYS_RECVMSG, unix.SYS_RECVFROM, unix.SYS_SHUTDOWN, unix.SYS_PPOLL, unix.SYS_CLOCK_GETRES, unix.SYS_SYSINFO,
		// Control connections; the gofers and file stores of further containers; hooks.
		unix.SYS_ACCEPT4, unix.SYS_FSTATFS, unix.SYS_PIPE2,
	)...)
	for _, cmd := range []uint64{unix.F_GET_SEALS, unix.F_DUPFD_CLOEXEC} {
		rules = append(rules, seccomp.Rule{Nr: unix.SYS_FCNTL, Args: []seccomp.Arg{{Index: 1, Value: cmd}}})
	}
	// The size of a terminal.
	rules = append(rules, seccomp.Rule{Nr: unix.SYS_IOCTL, Args: []seccomp.Arg{{Index: 1, Value: unix.TIOCGWINSZ, Mask: 0xffffffff}}})
	// runtime/pprof looks for /proc/self/maps, and does without.
	rules = append(rules, seccomp.Rule{Nr: unix.SYS_OPENAT, Refuse: unix.ENOENT})
	if s.hostNet != nil {
		rules = append(rules, hostNetworkRules()...)
	}
	for _, call := range s.platform.HostSyscalls() {
		rule := seccomp.Rule{Nr: call.Nr}
		for _, a := range call.Args {
			rule.Args = append(rule.Args, seccomp.Arg{Index: a.Index, Value: a.Value, Mask: a.Mask})
		}
		rules = append(rules, rule)
	}
	return rules
}
