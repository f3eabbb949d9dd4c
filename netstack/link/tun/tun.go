// Package tun is a link over a TUN device of the host: IP packets, with
// virtio-net headers, to and from the host's stack.
package tun

import (
	"casemate/netstack/link"
	"casemate/netstack/link/virtio"
	"golang.org/x/sys/unix"
)

// Offloads of TUNSETOFFLOAD (linux/if_tun.h).
const (
	tunFCsum = 0x01
	tunFTSO4 = 0x02
	tunFTSO6 = 0x04
	tunFUSO4 = 0x20
	tunFUSO6 = 0x40
)

// Open makes, or attaches to, the TUN device name in the caller's network
// namespace. It needs CAP_NET_ADMIN unless the device belongs to the user.
func Open(name string, mtu int) (*virtio.Link, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	r, err := unix.NewIfreq(name)
	if err == nil {
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, virtio.HeaderLen)
	}
	info := link.Info{Type: unix.ARPHRD_NONE, Flags: unix.IFF_POINTOPOINT | unix.IFF_NOARP | unix.IFF_MULTICAST, MTU: mtu, GSOMax: 65535, Csum: true, Queues: 1}
	if err == nil {
		// Kernels before 6.2 know no UDP segmentation.
		if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tunFCsum|tunFTSO4|tunFTSO6|tunFUSO4|tunFUSO6) != nil {
			err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tunFCsum|tunFTSO4|tunFTSO6)
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return virtio.New(info, fd)
}
