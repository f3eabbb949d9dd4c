package inet

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/sentry/socket"
	"casemate/vfs"
)

// ipv6Flag is the field of a boolean option of IPPROTO_IPV6, or nil.
func (s *Socket) ipv6Flag(name int) *atomic.Bool {
	o := s.ep.Options()
	switch name {
	case unix.IPV6_RECVPKTINFO:
		return &o.RecvPktInfo6
	case unix.IPV6_RECVHOPLIMIT:
		return &o.RecvHopLimit
	case unix.IPV6_RECVTCLASS:
		return &o.RecvTClass
	case unix.IPV6_RECVERR:
		return &o.RecvErr6
	case unix.IPV6_DONTFRAG:
		return &o.DontFrag6
	case unix.IPV6_MULTICAST_ALL:
		return &o.MulticastAll6
	case unix.IPV6_MULTICAST_LOOP:
		return &o.MulticastLoop6
	case unix.IPV6_RECVORIGDSTADDR:
		return &o.RecvOrigDst
	case unix.IPV6_FREEBIND:
		return &o.FreeBind
	case unix.IPV6_TRANSPARENT:
		return &o.Transparent
	}
	return nil
}

func (s *Socket) getIPv6(name, length int) ([]byte, error) {
	o := s.ep.Options()
	if f := s.ipv6Flag(name); f != nil {
		return socket.Bool(f.Load()), nil
	}
	switch name {
	case unix.IPV6_V6ONLY:
		return socket.Bool(o.V6Only.Load()), nil
	case unix.IPV6_TCLASS:
		return socket.Int32(int(o.TClass.Load())), nil
	case unix.IPV6_UNICAST_HOPS:
		return defaultInt(o.HopLimit.Load(), s.stack.Params.HopLimit.Get()), nil
	case unix.IPV6_MULTICAST_HOPS:
		return defaultInt(o.MulticastHops.Load(), 1), nil
	case unix.IPV6_MULTICAST_IF:
		return socket.Int32(int(o.MulticastIf6.Load())), nil
	case unix.IPV6_MTU_DISCOVER:
		return socket.Int32(int(o.MTUDiscover6.Load())), nil
	case unix.IPV6_MTU:
		return s.pathMTU()
	case unix.IPV6_HDRINCL:
		if s.raw == nil || s.common.Type != unix.SOCK_RAW {
			return nil, unix.ENOPROTOOPT
		}
		return socket.Bool(s.raw.HeaderIncluded()), nil
	case unix.IPV6_MINHOPCOUNT:
		return socket.Int32(int(o.MinHopCount.Load())), nil
	}
	return nil, unix.ENOPROTOOPT
}

func (s *Socket) setIPv6(ctx *vfs.Context, name int, value []byte) error {
	o := s.ep.Options()
	switch name {
	case unix.IPV6_JOIN_GROUP, unix.IPV6_LEAVE_GROUP:
		return s.membership6(name == unix.IPV6_JOIN_GROUP, value)
	case unix.MCAST_JOIN_GROUP, unix.MCAST_LEAVE_GROUP, unix.MCAST_JOIN_SOURCE_GROUP, unix.MCAST_LEAVE_SOURCE_GROUP,
		unix.MCAST_BLOCK_SOURCE, unix.MCAST_UNBLOCK_SOURCE:
		return s.groupRequest(unix.AF_INET6, name, value)
	case unix.IPV6_ADDRFORM:
		return unix.ENOPROTOOPT
	case unix.IPV6_PKTINFO:
		if len(value) < unix.SizeofInet6Pktinfo {
			return unix.EINVAL
		}
		index := int32(binary.NativeEndian.Uint32(value[16:])) // the address before it has no effect
		if dev := o.BoundDev.Load(); dev != 0 && dev != index {
			return unix.EINVAL
		}
		o.PktInfoDev6.Store(index)
		return nil
	}
	v, err := socket.ToInt(value)
	if err != nil {
		return err
	}
	if f := s.ipv6Flag(name); f != nil {
		if name == unix.IPV6_TRANSPARENT && v != 0 && !s.common.HasCap(ctx, unix.CAP_NET_ADMIN) && !s.common.HasCap(ctx, unix.CAP_NET_RAW) {
			return unix.EPERM
		}
		if (name == unix.IPV6_MULTICAST_LOOP || name == unix.IPV6_MULTICAST_ALL) && v != 0 && v != 1 {
			return unix.EINVAL
		}
		f.Store(v != 0)
		return nil
	}
	switch name {
	case unix.IPV6_V6ONLY:
		if s.ep.LocalAddr().Port != 0 {
			return unix.EINVAL
		}
		o.V6Only.Store(v != 0)
	case unix.IPV6_TCLASS:
		if v < -1 || v > 255 {
			return unix.EINVAL
		}
		o.TClass.Store(uint32(max(v, 0)))
	case unix.IPV6_UNICAST_HOPS:
		if v < -1 || v > 255 {
			return unix.EINVAL
		}
		o.HopLimit.Store(int32(v))
	case unix.IPV6_MULTICAST_HOPS:
		if s.tcp != nil {
			return unix.ENOPROTOOPT
		}
		if v < -1 || v > 255 {
			return unix.EINVAL
		}
		o.MulticastHops.Store(int32(v))
	case unix.IPV6_MULTICAST_IF:
		if s.tcp != nil {
			return unix.ENOPROTOOPT
		}
		if v != 0 && s.stack.Interface(int32(v)) == nil {
			return unix.ENODEV
		}
		o.MulticastIf6.Store(int32(v))
	case unix.IPV6_MTU_DISCOVER:
		if v < unix.IPV6_PMTUDISC_DONT || v > unix.IPV6_PMTUDISC_OMIT {
			return unix.EINVAL
		}
		o.MTUDiscover6.Store(int32(v))
	case unix.IPV6_MINHOPCOUNT:
		if v < 0 || v > 255 {
			return unix.EINVAL
		}
		o.MinHopCount.Store(int32(v))
	case unix.IPV6_CHECKSUM:
		if s.raw == nil {
			return unix.ENOPROTOOPT
		}
		return s.raw.SetChecksum(v)
	case unix.IPV6_HDRINCL:
		if s.raw == nil || s.common.Type != unix.SOCK_RAW {
			return unix.ENOPROTOOPT
		}
		s.raw.SetHeaderIncluded(v != 0)
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

// membership6 is IPV6_JOIN_GROUP and IPV6_LEAVE_GROUP.
func (s *Socket) membership6(join bool, p []byte) error {
	if len(p) < unix.SizeofIPv6Mreq {
		return unix.EINVAL
	}
	if err := s.mayJoin(); err != nil {
		return err
	}
	group, index := netip.AddrFrom16([16]byte(p)), int32(binary.NativeEndian.Uint32(p[16:]))
	if join {
		return s.udp.JoinGroup(group, index, netip.Addr{})
	}
	return s.udp.LeaveGroup(group, index, netip.Addr{})
}
