package virtio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of each packet take microseconds and never wait, so Go's scheduler is not told of them:
// it would now and then give the caller's place to others meanwhile, and the goroutine would go on
// on another thread.

// readv is readv(2) on a descriptor that does not block.
func readv(fd int, iov []unix.Iovec) (int, error) { return vector(unix.SYS_READV, fd, iov) }

// writev is writev(2) on a descriptor that does not block.
func writev(fd int, iov []unix.Iovec) (int, error) { return vector(unix.SYS_WRITEV, fd, iov) }

func vector(nr uintptr, fd int, iov []unix.Iovec) (int, error) {
	n, _, e := unix.RawSyscall(nr, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(iov)))
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// iovec is b as one of the places of readv and writev.
func iovec(b []byte) (v unix.Iovec) {
	v.Base = unsafe.SliceData(b)
	v.SetLen(len(b))
	return v
}
