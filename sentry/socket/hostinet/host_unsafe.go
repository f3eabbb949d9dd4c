package hostinet

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"casemate/sentry/socket"
)

// The calls of this file take addresses and options as the bytes that the application
// gave or gets: the host checks them.

func result(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

func hostBind(fd int, addr []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(addr))), uintptr(len(addr)))
	return result(errno)
}

func hostConnect(fd int, addr []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(addr))), uintptr(len(addr)))
	return result(errno)
}

// hostName is getsockname(2) or getpeername(2).
func hostName(call uintptr, fd int) ([]byte, error) {
	buf := make([]byte, socket.MaxAddr)
	length := uint32(len(buf))
	_, _, errno := unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(unsafe.Pointer(&length)))
	return buf[:min(int(length), len(buf))], result(errno)
}

// hostAccept is accept4(2) of a non-blocking socket.
func hostAccept(fd int) (int, []byte, error) {
	buf := make([]byte, socket.MaxAddr)
	length := uint32(len(buf))
	n, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(unsafe.Pointer(&length)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, nil, errno
	}
	return int(n), buf[:min(int(length), len(buf))], nil
}

// hostGetOption returns at most length bytes of an option.
func hostGetOption(fd, level, name, length int) ([]byte, error) {
	buf := make([]byte, max(length, 1))
	size := uint32(length)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(unsafe.Pointer(&size)), 0)
	return buf[:min(int(size), length)], result(errno)
}

func hostSetOption(fd, level, name int, value []byte) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(unsafe.SliceData(value))), uintptr(len(value)), 0)
	return result(errno)
}

// A hostMessage is what hostSend and hostReceive move.
type hostMessage struct {
	addr, control []byte // in: to be sent, or room; out: what has come
	flags         int    // out
	iov           [16]unix.Iovec
	hdr           unix.Msghdr
}

// prepare fills m.hdr. Of blocks it takes as many as there is room for.
func (m *hostMessage) prepare(blocks [][]byte) {
	m.hdr = unix.Msghdr{Iov: &m.iov[0]}
	n := 0
	for _, b := range blocks {
		if len(b) == 0 {
			continue
		}
		if n == len(m.iov) {
			break
		}
		m.iov[n].Base = unsafe.SliceData(b)
		m.iov[n].SetLen(len(b))
		n++
	}
	m.hdr.SetIovlen(n)
	if len(m.addr) > 0 {
		m.hdr.Name, m.hdr.Namelen = unsafe.SliceData(m.addr), uint32(len(m.addr))
	}
	if len(m.control) > 0 {
		m.hdr.Control = unsafe.SliceData(m.control)
		m.hdr.SetControllen(len(m.control))
	}
}

func hostSend(fd int, blocks [][]byte, m *hostMessage, flags int) (int, error) {
	m.prepare(blocks)
	n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.hdr)), uintptr(flags))
	clear(m.iov[:])
	return int(n), result(errno)
}

func hostReceive(fd int, blocks [][]byte, m *hostMessage, flags int) (int, error) {
	m.prepare(blocks)
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.hdr)), uintptr(flags))
	clear(m.iov[:])
	if errno != 0 {
		return 0, errno
	}
	m.addr = m.addr[:min(int(m.hdr.Namelen), len(m.addr))]
	m.control = m.control[:min(int(m.hdr.Controllen), len(m.control))]
	m.flags = int(m.hdr.Flags)
	return int(n), nil
}

// hostIoctl is ioctl(2) with an argument of p's bytes.
func hostIoctl(fd int, cmd uint32, p []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(cmd), uintptr(unsafe.Pointer(unsafe.SliceData(p))))
	return result(errno)
}

// hostInterfaces is SIOCGIFCONF: up to len(p) bytes of struct ifreq, or with an empty p the
// room that all take.
func hostInterfaces(fd int, p []byte) (int, error) {
	conf := struct {
		length int32
		_      int32
		buf    *byte
	}{length: int32(len(p)), buf: unsafe.SliceData(p)}
	if len(p) == 0 {
		conf.buf = nil
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFCONF, uintptr(unsafe.Pointer(&conf)))
	return int(conf.length), result(errno)
}
