package gofer

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A memory is the mapping that both sides of a connection share. The words in
// it are only ever accessed atomically; the rest is plain bytes that the other
// side may change at any time.
type memory struct {
	b []byte
}

// mapMemory maps the connection's memory from the descriptor fd.
func mapMemory(fd int) (memory, error) {
	b, err := unix.Mmap(fd, 0, memSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return memory{b}, err
}

func (m memory) unmap() { unix.Munmap(m.b) }

// word returns the word at a byte offset of the control page.
func (m memory) word(off int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&m.b[off&^3 : off+4][0]))
}

func (m memory) pending() *atomic.Uint32 { return m.word(offPending) }
func (m memory) polling() *atomic.Uint32 { return m.word(offPolling) }

// state returns the state word of a slot.
func (m memory) state(slot int) *atomic.Uint32 {
	return m.word(offState + slot*stateStride)
}

// request returns the request area of a slot.
func (m memory) request(slot int) []byte {
	off := headerArea + slot*(reqArea+replyArea)
	return m.b[off : off+reqArea : off+reqArea]
}

// reply returns the reply area of a slot.
func (m memory) reply(slot int) []byte {
	off := headerArea + slot*(reqArea+replyArea) + reqArea
	return m.b[off : off+replyArea : off+replyArea]
}

// The operations of futex(2), not private because the words are shared between
// processes.
const (
	futexWaitBitset = 9
	futexWakeBitset = 10

	anySleeper = ^uint32(0)
)

// futexWait sleeps until the word is woken for one of the bits, if it holds
// val. It may return early.
func futexWait(w *atomic.Uint32, val, bits uint32) {
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), futexWaitBitset, uintptr(val), 0, 0, uintptr(bits))
}

// futexWake wakes up to n sleepers that have one of the bits, and returns how
// many. It does not block, so it keeps the P.
func futexWake(w *atomic.Uint32, n int, bits uint32) int {
	woken, _, e := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), futexWakeBitset, uintptr(n), 0, 0, uintptr(bits))
	if e != 0 {
		return 0
	}
	return int(woken)
}

// wakeWorker wakes one of the server's workers that sleep on the pending word.
func wakeWorker(pending *atomic.Uint32) {
	if futexWake(pending, 1, firstWorker) == 0 {
		futexWake(pending, 1, otherWorker)
	}
}

// sendFD sends one descriptor over a slot's socket, without blocking.
func sendFD(sock int, fd int) unix.Errno {
	var payload byte
	iov := unix.Iovec{Base: &payload}
	iov.SetLen(1)
	var ctl fdMessage
	ctl.hdr.Level = unix.SOL_SOCKET
	ctl.hdr.Type = unix.SCM_RIGHTS
	ctl.hdr.SetLen(unix.CmsgLen(4))
	ctl.fd = int32(fd)
	msg := unix.Msghdr{Iov: &iov, Control: (*byte)(unsafe.Pointer(&ctl))}
	msg.SetIovlen(1)
	msg.SetControllen(unix.CmsgSpace(4))
	for {
		_, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(sock), uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if e != unix.EINTR {
			return e
		}
	}
}

// recvFD takes one descriptor off a slot's socket, without blocking.
func recvFD(sock int) (int, unix.Errno) {
	var payload byte
	iov := unix.Iovec{Base: &payload}
	iov.SetLen(1)
	var ctl fdMessage
	msg := unix.Msghdr{Iov: &iov, Control: (*byte)(unsafe.Pointer(&ctl))}
	msg.SetIovlen(1)
	msg.SetControllen(unix.CmsgSpace(4))
	for {
		_, _, e := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(sock), uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return -1, e
		}
		if int(msg.Controllen) < unix.CmsgLen(4) || ctl.hdr.Level != unix.SOL_SOCKET ||
			ctl.hdr.Type != unix.SCM_RIGHTS || uint64(ctl.hdr.Len) != uint64(unix.CmsgLen(4)) {
			return -1, unix.EPROTO
		}
		return int(ctl.fd), 0
	}
}

// An fdMessage is a control message with one descriptor (cmsg(3)): on 64-bit
// machines the data follows the header at once, and the message is padded to
// eight bytes.
type fdMessage struct {
	hdr unix.Cmsghdr
	fd  int32
	_   int32
}
