// Package packet is a link over a host device by a packet socket (packet(7))
// with virtio-net headers. The host's own stack must have no addresses on the
// device, or it answers as well.
package packet

import (
	"encoding/binary"
	"net"

	"casemate/netstack/link"
	"golang.org/x/sys/unix"
)

// bufSize is the socket's receive and send buffer in bytes.
const bufSize = 8 << 20

// Open makes channels packet sockets, between which the host divides the flows of the
// interface name in the caller's network namespace: each gets all frames of its flows, but for
// those with tags of VLANs, for which there is one more. It needs CAP_NET_RAW. The descriptors can be
// passed to a process that may not open them, for New.
//
// One more is to send by: Linux wakes who waits for the socket of a packet when that has been
// delivered, and then looks at all who wait to receive.
func Open(name string, channels int) (fds []int, info link.Info, err error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, info, err
	}
	info = link.Info{Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, MTU: i.MTU, GSOMax: 65535, Csum: true, Queues: channels}
	if len(i.HardwareAddr) != len(info.HWAddr) {
		return nil, info, unix.EINVAL
	}
	copy(info.HWAddr[:], i.HardwareAddr)
	defer func() {
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			fds = nil
		}
	}()
	for range channels {
		fd, err := open(i, plain)
		if err != nil {
			return fds, info, err
		}
		fds = append(fds, fd)
		if channels > 1 {
			// The number of the group: the interface's own in this namespace.
			group := i.Index&0xffff | (unix.PACKET_FANOUT_HASH|unix.PACKET_FANOUT_FLAG_DEFRAG)<<16
			if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group); err != nil {
				return fds, info, err
			}
		}
	}
	for _, frames := range []frames{none, tagged} {
		fd, err := open(i, frames)
		if err != nil {
			return fds, info, err
		}
		fds = append(fds, fd)
	}
	return fds, info, nil
}

// frames are those that a socket receives.
type frames int

const (
	none frames = iota
	plain
	tagged
)

// open makes a packet socket of an interface.
func open(i *net.Interface, f frames) (int, error) {
	// No frame is wanted before the socket is bound: protocol 0.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	for _, o := range []struct{ opt, v int }{{unix.PACKET_VNET_HDR, 1}, {unix.PACKET_IGNORE_OUTGOING, 1}} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o.opt, o.v); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	for _, o := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o, bufSize) != nil {
			// Without CAP_NET_ADMIN the host's limits hold.
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF}[o], bufSize)
		}
	}
	to := unix.SockaddrLinklayer{Ifindex: i.Index}
	if f != none {
		to.Protocol = htons(unix.ETH_P_ALL)
		mreq := unix.PacketMreq{Ifindex: int32(i.Index), Type: unix.PACKET_MR_ALLMULTI}
		err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq)
		if err == nil {
			err = onlyTagged(fd, f == tagged)
		}
	}
	if err == nil {
		err = unix.Bind(fd, &to)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func htons(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
