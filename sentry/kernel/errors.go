package kernel

import "golang.org/x/sys/unix"

// Restart codes: what a handler returns when a signal has cut its call short.
// The application never sees them. When a signal handler runs, it sees EINTR, or
// the call is made again after the handler; when none runs, the call is made
// again (signal(7), "Interruption of system calls and library functions by
// signal handlers"). The values are Linux's.
const (
	// ErrRestartSys: again without a handler, and with one if SA_RESTART.
	ErrRestartSys = unix.Errno(512) // ERESTARTSYS
	// ErrRestartNoIntr: always again.
	ErrRestartNoIntr = unix.Errno(513) // ERESTARTNOINTR
	// ErrRestartNoHand: again without a handler, EINTR with any.
	ErrRestartNoHand = unix.Errno(514) // ERESTARTNOHAND
	// ErrRestartBlock: without a handler restart_syscall(2) is made, which calls
	// what SetRestart was given; EINTR with any.
	ErrRestartBlock = unix.Errno(516) // ERESTART_RESTARTBLOCK
)

// ToErrno returns the errno in err, which a handler returned; EIO if it is of
// another type.
func ToErrno(err error) unix.Errno {
	if e, ok := err.(unix.Errno); ok {
		return e
	}
	return unix.EIO
}
