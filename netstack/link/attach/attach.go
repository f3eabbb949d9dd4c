// Package attach puts eBPF programs at network devices of the caller's network namespace, each for as
// long as a descriptor is open. It needs CAP_BPF and CAP_NET_ADMIN.
package attach

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// XDP has the program decide what becomes of what the device with that index receives, before the
// host's stack sees any of it. EBUSY if there is another one.
func XDP(index int, p *ebpf.Program) (fd int, err error) {
	return held(link.AttachXDP(link.XDPOptions{Program: p, Interface: index}))
}

// Ingress has the program decide what becomes of what the device with that index receives, after
// packet sockets have got it. It needs Linux 6.6.
func Ingress(index int, p *ebpf.Program) (fd int, err error) {
	return held(link.AttachTCX(link.TCXOptions{Program: p, Interface: index, Attach: ebpf.AttachTCXIngress}))
}

// held is the descriptor that holds a program where it is.
func held(l link.Link, err error) (int, error) {
	if err != nil {
		return -1, err
	}
	defer l.Close()
	d, ok := l.(interface{ FD() int })
	if !ok {
		return -1, unix.EOPNOTSUPP
	}
	return unix.FcntlInt(uintptr(d.FD()), unix.F_DUPFD_CLOEXEC, 0)
}
