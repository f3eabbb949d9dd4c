// Package xdp is a link over a host device by AF_XDP sockets: a program of XDP, at the device's
// driver, redirects all frames to them before the host's stack sees any, and they cross in rings
// of memory that the kernel shares (the kernel's documentation, "AF_XDP"). Each queue of the
// device has a socket.
//
// Frames are no larger than the device's MTU and have complete checksums, so over a veth, whose
// other side is on the same host, packet sockets (package packet) carry more.
package xdp

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"casemate/netstack/link"
)

// Numbers of frames, powers of two.
const (
	rxFrames = 2048
	txFrames = 1024
)

// maxQueues bounds how many queues of a device are used.
const maxQueues = 64

// Layout is what New has to know of the descriptors that Open returns.
type Layout struct {
	// FrameSize is how many bytes of memory a frame has.
	FrameSize int
	// Offsets are where a socket's rings have what.
	Offsets unix.XDPMmapOffsets
}

// memory is how many bytes the frames of a queue take.
func (y *Layout) memory() int { return (rxFrames + txFrames) * y.FrameSize }

// frameSize is the memory for a frame of a device with that MTU: the kernel wants powers of two
// from 2048 bytes to a page, and keeps room in front.
func frameSize(mtu int) (int, error) {
	const vlan = 4
	for n := 2048; n <= 4096; n *= 2 {
		if mtu+14+vlan <= n-unix.XDP_PACKET_HEADROOM {
			return n, nil
		}
	}
	return 0, fmt.Errorf("frames of the MTU %d are too large", mtu)
}

// Open takes the frames of the interface name in the caller's network namespace. It needs
// CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and, as long as memory that may be locked is limited,
// CAP_IPC_LOCK. The descriptors can be passed to a process that has none of these, for New: a
// socket and its memory for each queue, and at last what holds the program at the device,
// which the kernel removes when the descriptor is closed.
func Open(name string) (fds []int, y Layout, info link.Info, err error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, y, info, err
	}
	info = link.Info{Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, MTU: i.MTU}
	if len(i.HardwareAddr) != len(info.HWAddr) {
		return nil, y, info, unix.EINVAL
	}
	copy(info.HWAddr[:], i.HardwareAddr)
	if y.FrameSize, err = frameSize(i.MTU); err != nil {
		return nil, y, info, err
	}
	defer func() {
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			fds = nil
		}
	}()
	for info.Queues < maxQueues {
		socket, memory, err := openQueue(i.Index, info.Queues, &y)
		if err == unix.EINVAL && info.Queues > 0 {
			break // the device has no more
		}
		if err != nil {
			return fds, y, info, fmt.Errorf("a socket for queue %d: %w", info.Queues, err)
		}
		fds = append(fds, socket, memory)
		info.Queues++
	}
	program, err := load(i.Index, fds)
	if err != nil {
		return fds, y, info, fmt.Errorf("the program: %w", err)
	}
	return append(fds, program), y, info, nil
}

// openQueue makes a socket bound to a queue, and its memory.
func openQueue(index, queue int, y *Layout) (socket, memory int, err error) {
	socket, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err
	}
	memory, err = unix.MemfdCreate("xdp", unix.MFD_CLOEXEC)
	if err != nil {
		unix.Close(socket)
		return -1, -1, err
	}
	err = unix.Ftruncate(memory, int64(y.memory()))
	if err == nil {
		err = register(socket, memory, y)
	}
	for _, ring := range []struct{ option, size int }{
		{unix.XDP_UMEM_FILL_RING, rxFrames}, {unix.XDP_UMEM_COMPLETION_RING, txFrames}, {unix.XDP_RX_RING, rxFrames}, {unix.XDP_TX_RING, txFrames},
	} {
		if err == nil {
			err = unix.SetsockoptInt(socket, unix.SOL_XDP, ring.option, ring.size)
		}
	}
	if err == nil {
		y.Offsets, err = offsets(socket)
	}
	if err == nil {
		err = unix.Bind(socket, &unix.SockaddrXDP{Flags: unix.XDP_USE_NEED_WAKEUP, Ifindex: uint32(index), QueueID: uint32(queue)})
	}
	if err != nil {
		unix.Close(socket)
		unix.Close(memory)
		return -1, -1, err
	}
	return socket, memory, nil
}

// register has the kernel use memory for the frames of a socket (XDP_UMEM_REG).
func register(socket, memory int, y *Layout) error {
	b, err := unix.Mmap(memory, 0, y.memory(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return errors.Join(setMemory(socket, b, y.FrameSize), unix.Munmap(b))
}
