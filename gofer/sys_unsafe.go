package gofer

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the server, on names that are bytes with a NUL at the
// end, so that a name is passed on from the request without being copied.
// Those that are restarted by hand on EINTR are the ones that every lookup
// makes: a signal of the Go runtime may interrupt them on a FUSE file system.

// emptyName is the name of a descriptor's own file with AT_EMPTY_PATH.
var emptyName = []byte{0}

func ptr(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func openat(dir int, name []byte, flags int, mode uint32) (int, unix.Errno) {
	for {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(flags|unix.O_CLOEXEC), uintptr(mode), 0, 0)
		if e != unix.EINTR {
			if e != 0 {
				return -1, e
			}
			return int(fd), 0
		}
	}
}

func statx(dir int, name []byte, flags int, st *unix.Statx_t) unix.Errno {
	for {
		_, _, e := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(flags|unix.AT_NO_AUTOMOUNT), unix.STATX_BASIC_STATS|unix.STATX_BTIME, uintptr(unsafe.Pointer(st)), 0)
		if e != unix.EINTR {
			return e
		}
	}
}

func closeFD(fd int) { unix.Syscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func getdents(fd int, buf []byte) (int, unix.Errno) {
	n, _, e := unix.Syscall(unix.SYS_GETDENTS64, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	return int(n), e
}

func pread(fd int, buf []byte, off uint64) (int, unix.Errno) {
	n, _, e := unix.Syscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), uintptr(off), 0, 0)
	return int(n), e
}

func lseek(fd int, off uint64) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_LSEEK, uintptr(fd), uintptr(off), unix.SEEK_SET)
	return e
}

func readlinkat(dir int, name []byte, buf []byte) (int, unix.Errno) {
	n, _, e := unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	return int(n), e
}

func mkdirat(dir int, name []byte, mode uint32) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_MKDIRAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(mode))
	return e
}

func mknodat(dir int, name []byte, mode uint32, dev uint64) unix.Errno {
	_, _, e := unix.Syscall6(unix.SYS_MKNODAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(mode), uintptr(dev), 0, 0)
	return e
}

func symlinkat(target []byte, dir int, name []byte) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_SYMLINKAT, uintptr(unsafe.Pointer(&target[0])), uintptr(dir), uintptr(unsafe.Pointer(&name[0])))
	return e
}

func linkat(oldDir int, oldName []byte, newDir int, newName []byte, flags int) unix.Errno {
	_, _, e := unix.Syscall6(unix.SYS_LINKAT, uintptr(oldDir), uintptr(unsafe.Pointer(&oldName[0])), uintptr(newDir), uintptr(unsafe.Pointer(&newName[0])), uintptr(flags), 0)
	return e
}

func unlinkat(dir int, name []byte, flags int) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_UNLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(flags))
	return e
}

func renameat2(oldDir int, oldName []byte, newDir int, newName []byte, flags uint32) unix.Errno {
	_, _, e := unix.Syscall6(unix.SYS_RENAMEAT2, uintptr(oldDir), uintptr(unsafe.Pointer(&oldName[0])), uintptr(newDir), uintptr(unsafe.Pointer(&newName[0])), uintptr(flags), 0)
	return e
}

func fchownat(dir int, name []byte, uid, gid uint32, flags int) unix.Errno {
	_, _, e := unix.Syscall6(unix.SYS_FCHOWNAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(uid), uintptr(gid), uintptr(flags), 0)
	return e
}

// fchmodat follows symbolic links, as the system call of that name does.
func fchmodat(dir int, name []byte, mode uint32) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_FCHMODAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(mode))
	return e
}

func utimensat(dir int, name []byte, ts *[2]unix.Timespec, flags int) unix.Errno {
	_, _, e := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(ts)), uintptr(flags), 0, 0)
	return e
}

func inotifyAddWatch(fd int, name []byte, mask uint32) (WatchID, unix.Errno) {
	id, _, e := unix.Syscall(unix.SYS_INOTIFY_ADD_WATCH, uintptr(fd), uintptr(unsafe.Pointer(&name[0])), uintptr(mask))
	return WatchID(id), e
}

func inotifyRmWatch(fd int, id WatchID) {
	unix.Syscall(unix.SYS_INOTIFY_RM_WATCH, uintptr(fd), uintptr(id), 0)
}

func truncate(name []byte, size uint64) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_TRUNCATE, uintptr(unsafe.Pointer(&name[0])), uintptr(size), 0)
	return e
}

func fallocate(fd int, mode uint32, off, size uint64) unix.Errno {
	_, _, e := unix.Syscall6(unix.SYS_FALLOCATE, uintptr(fd), uintptr(mode), uintptr(off), uintptr(size), 0, 0)
	return e
}

func getxattr(path, name, buf []byte) (int, unix.Errno) {
	n, _, e := unix.Syscall6(unix.SYS_GETXATTR, uintptr(unsafe.Pointer(&path[0])), uintptr(unsafe.Pointer(&name[0])), ptr(buf), uintptr(len(buf)), 0, 0)
	return int(n), e
}

func setxattr(path, name, value []byte, flags uint32) unix.Errno {
	_, _, e := unix.Syscall6(unix.SYS_SETXATTR, uintptr(unsafe.Pointer(&path[0])), uintptr(unsafe.Pointer(&name[0])), ptr(value), uintptr(len(value)), uintptr(flags), 0)
	return e
}

func listxattr(path, buf []byte) (int, unix.Errno) {
	n, _, e := unix.Syscall(unix.SYS_LISTXATTR, uintptr(unsafe.Pointer(&path[0])), ptr(buf), uintptr(len(buf)))
	return int(n), e
}

func removexattr(path, name []byte) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_REMOVEXATTR, uintptr(unsafe.Pointer(&path[0])), uintptr(unsafe.Pointer(&name[0])), 0)
	return e
}

func fstatfs(fd int, st *unix.Statfs_t) unix.Errno {
	_, _, e := unix.Syscall(unix.SYS_FSTATFS, uintptr(fd), uintptr(unsafe.Pointer(st)), 0)
	return e
}

func fcntlDup(fd int) (int, unix.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if e != 0 {
		return -1, e
	}
	return int(n), 0
}

// connectUnix connects a socket to a path that is short enough for a
// sockaddr_un (unix(7)).
func connectUnix(sock int, path []byte) unix.Errno {
	var sa unix.RawSockaddrUnix
	sa.Family = unix.AF_UNIX
	n := 0
	for ; n < len(path)-1 && n < len(sa.Path)-1; n++ {
		sa.Path[n] = int8(path[n])
	}
	_, _, e := unix.Syscall(unix.SYS_CONNECT, uintptr(sock), uintptr(unsafe.Pointer(&sa)), unsafe.Offsetof(sa.Path)+uintptr(n)+1)
	return e
}
