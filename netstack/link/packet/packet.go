// Package packet is a link over a host device by a packet socket (packet(7))
// with virtio-net headers. The host's own stack must have no addresses on the
// device, or it answers as well.
package packet

import (
	"encoding/binary"
	"net"

	"casemate/netstack/link"
	"casemate/netstack/link/virtio"
	"golang.org/x/sys/unix"
)

// bufSize is the socket's receive and send buffer in bytes.
const bufSize = 8 << 20

// Open makes a packet socket that receives all frames of the interface name in
// the caller's network namespace. It needs CAP_NET_RAW. The descriptor can be
// passed to a process that may not open one, for New.
func Open(name string) (int, link.Info, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return -1, link.Info{}, err
	}
	info := link.Info{Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, MTU: i.MTU, GSOMax: 65535, Csum: true, Queues: 1}
	if len(i.HardwareAddr) != len(info.HWAddr) {
		return -1, info, unix.EINVAL
	}
	copy(info.HWAddr[:], i.HardwareAddr)
	// No frame is wanted before the socket is bound: protocol 0.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, info, err
	}
	for _, o := range []struct{ opt, v int }{{unix.PACKET_VNET_HDR, 1}, {unix.PACKET_IGNORE_OUTGOING, 1}} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o.opt, o.v); err != nil {
			unix.Close(fd)
			return -1, info, err
		}
	}
	for _, o := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o, bufSize) != nil {
			// Without CAP_NET_ADMIN the host's limits hold.
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF}[o], bufSize)
		}
	}
	mreq := unix.PacketMreq{Ifindex: int32(i.Index), Type: unix.PACKET_MR_ALLMULTI}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
		unix.Close(fd)
		return -1, info, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: i.Index}); err != nil {
		unix.Close(fd)
		return -1, info, err
	}
	return fd, info, nil
}

// New makes a link of a descriptor from Open, which it owns from now on.
func New(fd int, info link.Info) (*virtio.Link, error) { return virtio.New(fd, info) }

func htons(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
