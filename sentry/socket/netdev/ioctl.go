// Package netdev is the part of a network namespace that is not of one protocol
// family: the ioctls on interfaces that any socket takes (netdevice(7)), and the files
// of /proc/net.
package netdev

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/link/tap"
	"casemate/sentry/kernel"
	"casemate/vfs"
)

// Requests that x/sys does not name.
const (
	SIOCATMARK    = 0x8905
	siocGSKNS     = 0x894c
	ifreqSize     = 40
	ifreqNameSize = unix.IFNAMSIZ
	settableFlags = unix.IFF_NOTRAILERS | unix.IFF_DEBUG | unix.IFF_NOARP | unix.IFF_PROMISC | unix.IFF_ALLMULTI | unix.IFF_MULTICAST
)

// Ioctl serves the requests on interfaces of a socket of a family and a namespace, whose stack is s.
// ENOTTY for others.
func Ioctl(ctx *vfs.Context, ns *kernel.NetNamespace, s *netstack.Stack, family int, cmd uint32, arg uint64) (uint64, error) {
	switch cmd {
	case unix.SIOCGIFADDR, unix.SIOCGIFDSTADDR, unix.SIOCGIFBRDADDR, unix.SIOCGIFNETMASK, unix.SIOCSIFADDR, unix.SIOCSIFNETMASK, unix.SIOCGIFPFLAGS:
		if family != unix.AF_INET && family != unix.AF_PACKET {
			return 0, unix.ENOTTY
		}
	}
	switch cmd {
	case unix.SIOCGIFCONF:
		return 0, ifconf(ctx, s, arg)
	case unix.SIOCGIFNAME, unix.SIOCGIFFLAGS, unix.SIOCGIFADDR, unix.SIOCGIFDSTADDR, unix.SIOCGIFBRDADDR, unix.SIOCGIFNETMASK,
		unix.SIOCGIFMETRIC, unix.SIOCGIFMTU, unix.SIOCGIFHWADDR, unix.SIOCGIFINDEX, unix.SIOCGIFMAP, unix.SIOCGIFTXQLEN:
		return 0, getInterface(ctx, s, cmd, arg)
	case unix.SIOCSIFFLAGS, unix.SIOCSIFADDR, unix.SIOCSIFNETMASK, unix.SIOCSIFMTU:
		return 0, setInterface(ctx, ns, s, cmd, arg)
	case unix.SIOCETHTOOL:
		return 0, ethtool(ctx, ns, s, arg)
	case unix.SIOCGMIIPHY, unix.SIOCGMIIREG, unix.SIOCGHWTSTAMP, unix.SIOCBONDINFOQUERY:
		// What devices of other kinds tell.
		if _, _, err := request(ctx, s, arg); err != nil {
			return 0, err
		}
		return 0, unix.EOPNOTSUPP
	case unix.SIOCGIFSLAVE, unix.SIOCGIFPFLAGS:
		return 0, unix.EINVAL
	case unix.SIOCSIFNAME:
		return 0, rename(ctx, ns, s, arg)
	case siocGSKNS:
		return openNamespace(ctx, ns)
	}
	return 0, unix.ENOTTY
}

// openNamespace is SIOCGSKNS: a descriptor of the socket's network namespace. EPERM without
// CAP_NET_ADMIN, EMFILE.
func openNamespace(ctx *vfs.Context, ns *kernel.NetNamespace) (uint64, error) {
	t, _ := ctx.Task.(*kernel.Task)
	if t == nil || !ns.HasCap(ctx.Cred, unix.CAP_NET_ADMIN) {
		return 0, unix.EPERM
	}
	ns.IncRef()
	return t.OpenNamespace(ns)
}

// address4 is the first IPv4 address of an interface.
func address4(s *netstack.Stack, i *ip.Interface) (ip.Address, bool) {
	for _, a := range s.Addresses(i) {
		if a.Prefix.Addr().Is4() {
			return a, true
		}
	}
	return ip.Address{}, false
}

// putSockaddr writes a as a struct sockaddr_in to p.
func putSockaddr(p []byte, a netip.Addr) {
	clear(p[:16])
	binary.NativeEndian.PutUint16(p, unix.AF_INET)
	if a.Is4() {
		b := a.As4()
		copy(p[4:], b[:])
	}
}

// mask is the netmask of a prefix.
func mask(p netip.Prefix) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(^uint64(0)<<(32-p.Bits())))
	return netip.AddrFrom4(b)
}

// ifconf is SIOCGIFCONF: a struct ifreq for each interface with an IPv4 address.
func ifconf(ctx *vfs.Context, s *netstack.Stack, arg uint64) error {
	var c [16]byte
	if _, err := ctx.Mem.CopyIn(c[:], arg); err != nil {
		return err
	}
	room, buf := int32(binary.NativeEndian.Uint32(c[:])), binary.NativeEndian.Uint64(c[8:])
	var out []byte
	for _, i := range s.Interfaces() {
		for _, a := range s.Addresses(i) {
			if !a.Prefix.Addr().Is4() {
				continue
			}
			var r [ifreqSize]byte
			copy(r[:ifreqNameSize-1], i.Name())
			putSockaddr(r[ifreqNameSize:], a.Prefix.Addr())
			out = append(out, r[:]...)
		}
	}
	if buf != 0 {
		if room < 0 {
			return unix.EINVAL
		}
		out = out[:min(len(out), int(room)/ifreqSize*ifreqSize)]
		if _, err := ctx.Mem.CopyOut(buf, out); err != nil {
			return err
		}
	}
	binary.NativeEndian.PutUint32(c[:], uint32(len(out)))
	_, err := ctx.Mem.CopyOut(arg, c[:4])
	return err
}

// request reads a struct ifreq and finds the interface that it names. ENODEV.
func request(ctx *vfs.Context, s *netstack.Stack, arg uint64) (r [ifreqSize]byte, i *ip.Interface, err error) {
	if _, err := ctx.Mem.CopyIn(r[:], arg); err != nil {
		return r, nil, err
	}
	name, _, _ := bytes.Cut(r[:ifreqNameSize-1], []byte{0})
	name, _, _ = bytes.Cut(name, []byte{':'}) // an alias
	if i = s.InterfaceByName(string(name)); i == nil {
		return r, nil, unix.ENODEV
	}
	return r, i, nil
}

// getInterface serves the requests that read. ENODEV, EADDRNOTAVAIL.
func getInterface(ctx *vfs.Context, s *netstack.Stack, cmd uint32, arg uint64) error {
	if cmd == unix.SIOCGIFNAME {
		return interfaceName(ctx, s, arg)
	}
	r, i, err := request(ctx, s, arg)
	if err != nil {
		return err
	}
	v := r[ifreqNameSize:]
	switch cmd {
	case unix.SIOCGIFFLAGS:
		binary.NativeEndian.PutUint16(v, uint16(i.Flags()))
	case unix.SIOCGIFMETRIC:
		binary.NativeEndian.PutUint32(v, 0)
	case unix.SIOCGIFMTU:
		binary.NativeEndian.PutUint32(v, uint32(i.MTU()))
	case unix.SIOCGIFINDEX:
		binary.NativeEndian.PutUint32(v, uint32(i.Index()))
	case unix.SIOCGIFTXQLEN:
		binary.NativeEndian.PutUint32(v, TxQueueLen(i))
	case unix.SIOCGIFMAP:
		clear(v)
	case unix.SIOCGIFHWADDR:
		clear(v[:16])
		info := i.Info()
		binary.NativeEndian.PutUint16(v, info.Type)
		copy(v[2:], info.HWAddr[:])
	default:
		a, ok := address4(s, i)
		if !ok {
			return unix.EADDRNOTAVAIL
		}
		addr := a.Prefix.Addr()
		switch cmd {
		case unix.SIOCGIFNETMASK:
			addr = mask(a.Prefix)
		case unix.SIOCGIFBRDADDR:
			if addr = a.Broadcast; !addr.IsValid() {
				addr = netip.IPv4Unspecified()
			}
		case unix.SIOCGIFDSTADDR:
			if a.Peer.IsValid() {
				addr = a.Peer
			}
		}
		putSockaddr(v, addr)
	}
	_, err = ctx.Mem.CopyOut(arg, r[:])
	return err
}

// TxQueueLen is the length of an interface's send queue, in packets: what a user has set, or shorter for a TUN
// device.
func TxQueueLen(i *ip.Interface) uint32 {
	if n := i.Notes().QueueLen.Load(); n != nil {
		return *n
	}
	if l, ok := i.Link().(*tap.Link); ok && !l.Ethernet() {
		return 500
	}
	return 1000
}

// interfaceName is SIOCGIFNAME: the name of an index. ENODEV.
func interfaceName(ctx *vfs.Context, s *netstack.Stack, arg uint64) error {
	var r [ifreqSize]byte
	if _, err := ctx.Mem.CopyIn(r[:], arg); err != nil {
		return err
	}
	i := s.Interface(int32(binary.NativeEndian.Uint32(r[ifreqNameSize:])))
	if i == nil {
		return unix.ENODEV
	}
	clear(r[:ifreqNameSize])
	copy(r[:ifreqNameSize-1], i.Name())
	_, err := ctx.Mem.CopyOut(arg, r[:])
	return err
}

// setInterface serves the requests that change an interface. EPERM without
// CAP_NET_ADMIN.
func setInterface(ctx *vfs.Context, ns *kernel.NetNamespace, s *netstack.Stack, cmd uint32, arg uint64) error {
	if !ns.HasCap(ctx.Cred, unix.CAP_NET_ADMIN) {
		return unix.EPERM
	}
	r, i, err := request(ctx, s, arg)
	if err != nil {
		return err
	}
	v := r[ifreqNameSize:]
	switch cmd {
	case unix.SIOCSIFFLAGS:
		flags := uint32(binary.NativeEndian.Uint16(v))
		s.SetFlags(i, flags&settableFlags, ^flags&settableFlags)
		return s.SetUp(i, flags&unix.IFF_UP != 0)
	case unix.SIOCSIFMTU:
		return s.SetMTU(i, int(int32(binary.NativeEndian.Uint32(v))))
	}
	if binary.NativeEndian.Uint16(v) != unix.AF_INET {
		return unix.EINVAL
	}
	addr := netip.AddrFrom4([4]byte(v[4:8]))
	old, had := address4(s, i)
	if cmd == unix.SIOCSIFADDR {
		if had {
			s.RemoveAddress(i, old.Prefix)
		}
		if addr.IsUnspecified() {
			return nil
		}
		return s.AddAddress(i, NewAddress(i, netip.PrefixFrom(addr, classBits(addr))))
	}
	if !had {
		return unix.EADDRNOTAVAIL
	}
	bits, ok := maskBits(addr)
	if !ok {
		return unix.EINVAL
	}
	if bits == old.Prefix.Bits() {
		return nil
	}
	s.RemoveAddress(i, old.Prefix)
	return s.AddAddress(i, NewAddress(i, netip.PrefixFrom(old.Prefix.Addr(), bits)))
}

// NewAddress is an IPv4 address as it is added without further attributes.
func NewAddress(i *ip.Interface, p netip.Prefix) ip.Address {
	a := ip.Address{Prefix: p, Label: i.Name(), Scope: unix.RT_SCOPE_UNIVERSE}
	if p.Addr().IsLoopback() {
		a.Scope = unix.RT_SCOPE_HOST
	} else if i.Flags()&unix.IFF_BROADCAST != 0 && p.Bits() < 31 {
		b := p.Addr().As4()
		m := mask(p).As4()
		for k := range b {
			b[k] |= ^m[k]
		}
		a.Broadcast = netip.AddrFrom4(b)
	}
	return a
}

// classBits is the prefix length of an address's class.
func classBits(a netip.Addr) int {
	switch b := a.As4()[0]; {
	case b < 128:
		return 8
	case b < 192:
		return 16
	}
	return 24
}

// maskBits is the length of a netmask; false if it has holes.
func maskBits(a netip.Addr) (int, bool) {
	b := a.As4()
	m := binary.BigEndian.Uint32(b[:])
	n := 0
	for m&(1<<31) != 0 {
		m <<= 1
		n++
	}
	return n, m == 0
}

// rename is SIOCSIFNAME. EPERM without CAP_NET_ADMIN.
func rename(ctx *vfs.Context, ns *kernel.NetNamespace, s *netstack.Stack, arg uint64) error {
	if !ns.HasCap(ctx.Cred, unix.CAP_NET_ADMIN) {
		return unix.EPERM
	}
	r, i, err := request(ctx, s, arg)
	if err != nil {
		return err
	}
	name, _, _ := bytes.Cut(r[ifreqNameSize:ifreqNameSize+unix.IFNAMSIZ-1], []byte{0})
	return s.Rename(i, string(name))
}
