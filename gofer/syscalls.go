package gofer

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Syscall is a system call that a server makes once it has been made.
type Syscall struct {
	// Nr is its number, unix.SYS_OPENAT and so on.
	Nr uintptr
	// Args are the conditions on its arguments that all hold. A number that
	// is listed several times is allowed if the conditions of one entry hold.
	Args []ArgRule
}

// ArgRule is a condition on an argument of a system call: its lower 32 bits
// and Mask are Value.
type ArgRule struct {
	Arg         int // 0 to 5
	Mask, Value uint32
}

// SyscallsNeeded returns the system calls that Serve makes for these trees, not
// counting those that the Go runtime makes for itself: a filter of these (and
// those) does not get in the way of a server.
func SyscallsNeeded(trees []Tree) []Syscall {
	const all = ^uint32(0)
	const atFDCWD = 1<<32 + unix.AT_FDCWD
	calls := []Syscall{
		// Names are opened without following links, and then only to stand
		// for the file, or to make it.
		{unix.SYS_OPENAT, []ArgRule{{2, unix.O_PATH | unix.O_NOFOLLOW, unix.O_PATH | unix.O_NOFOLLOW}}},
		{unix.SYS_OPENAT, []ArgRule{{2, unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW, unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW}}},
		// ".", to read it or to write it back.
		{unix.SYS_OPENAT, []ArgRule{{2, unix.O_DIRECTORY | unix.O_ACCMODE | unix.O_CREAT, unix.O_DIRECTORY}}},
		// A descriptor's number in /proc/self/fd, the working directory.
		{unix.SYS_OPENAT, []ArgRule{{0, all, atFDCWD}, {2, unix.O_CREAT, 0}}},

		{unix.SYS_FCNTL, []ArgRule{{1, all, unix.F_DUPFD_CLOEXEC}}},
		{unix.SYS_UNSHARE, []ArgRule{{0, all, unix.CLONE_FS}}},
		{unix.SYS_UMASK, []ArgRule{{0, all, 0}}},
		{unix.SYS_FUTEX, []ArgRule{{1, all, futexWaitBitset}}},
		{unix.SYS_FUTEX, []ArgRule{{1, all, futexWakeBitset}}},
	}
	for _, nr := range []uintptr{
		unix.SYS_CLOSE, unix.SYS_FCHDIR, unix.SYS_MUNMAP, unix.SYS_RECVFROM, unix.SYS_SENDMSG, unix.SYS_PREAD64,
		unix.SYS_STATX, unix.SYS_GETDENTS64, unix.SYS_LSEEK, unix.SYS_READLINKAT, unix.SYS_FSTATFS,
		unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_SYMLINKAT, unix.SYS_LINKAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT2,
		unix.SYS_FCHOWNAT, unix.SYS_FCHMODAT, unix.SYS_UTIMENSAT, unix.SYS_TRUNCATE, unix.SYS_FALLOCATE,
		unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNCFS,
		unix.SYS_GETXATTR, unix.SYS_SETXATTR, unix.SYS_LISTXATTR, unix.SYS_REMOVEXATTR,
	} {
		calls = append(calls, Syscall{Nr: nr})
	}
	if slices.ContainsFunc(trees, func(t Tree) bool { return !t.Shared }) {
		calls = append(calls, Syscall{Nr: unix.SYS_INOTIFY_ADD_WATCH}, Syscall{Nr: unix.SYS_INOTIFY_RM_WATCH})
	}
	if slices.ContainsFunc(trees, func(t Tree) bool { return t.Connect }) {
		calls = append(calls,
			Syscall{unix.SYS_SOCKET, []ArgRule{{0, all, unix.AF_UNIX}}},
			Syscall{Nr: unix.SYS_CONNECT})
	}
	return calls
}
