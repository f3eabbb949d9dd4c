//go:build amd64

package systrap

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A notification is struct seccomp_notif (seccomp_unotify(2)).
type notification struct {
	id    uint64
	tid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// A response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// receive waits for a notification. EINTR and ENOENT (the caller died meanwhile)
// are for the caller to try again.
func receive(listener int, n *notification) unix.Errno {
	*n = notification{}
	_, _, e := syscall.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(n)))
	return e
}

// pollListener waits until there is a notification, at most ms milliseconds.
func pollListener(listener, ms int) bool {
	fds := unix.PollFd{Fd: int32(listener), Events: unix.POLLIN}
	syscall.Syscall(unix.SYS_POLL, uintptr(unsafe.Pointer(&fds)), 1, uintptr(ms))
	return fds.Revents&unix.POLLIN != 0
}

// listenerOver says whether nobody is left who could notify.
func listenerOver(listener int) bool {
	fds := unix.PollFd{Fd: int32(listener), Events: unix.POLLIN}
	syscall.RawSyscall(unix.SYS_POLL, uintptr(unsafe.Pointer(&fds)), 1, 0)
	return fds.Revents&unix.POLLHUP != 0
}

// respond lets the caller of notification id go on. It fails with ENOENT when
// the caller has died.
func respond(listener int, r *response) unix.Errno {
	_, _, e := syscall.RawSyscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(r)))
	return e
}

// wakeSync asks the kernel to wake the listener on the caller's CPU and the other
// way round (Linux 6.6). It is only a matter of speed.
func wakeSync(listener int) unix.Errno {
	_, _, e := syscall.RawSyscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	return e
}
