package inet

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/sock"
	"casemate/sentry/socket"
	"casemate/vfs"
)

// ipFlag is the field of a boolean option of IPPROTO_IP, or nil.
func (s *Socket) ipFlag(name int) *atomic.Bool {
	o := s.ep.Options()
	switch name {
	case unix.IP_RECVTTL:
		return &o.RecvTTL
	case unix.IP_RECVTOS:
		return &o.RecvTOS
	case unix.IP_PKTINFO:
		return &o.PktInfo
	case unix.IP_RECVERR:
		return &o.RecvErr
	case unix.IP_FREEBIND:
		return &o.FreeBind
	case unix.IP_TRANSPARENT:
		return &o.Transparent
	case unix.IP_BIND_ADDRESS_NO_PORT:
		return &o.BindNoPort
	case unix.IP_MULTICAST_LOOP:
		return &o.MulticastLoop
	case unix.IP_MULTICAST_ALL:
		return &o.MulticastAll
	case unix.IP_RECVORIGDSTADDR:
		return &o.RecvOrigDst
	}
	return nil
}

func (s *Socket) getIP(name, length int) ([]byte, error) {
	o := s.ep.Options()
	if f := s.ipFlag(name); f != nil {
		return socket.Bool(f.Load()), nil
	}
	switch name {
	case unix.IP_OPTIONS, unix.IP_RETOPTS:
		return []byte{}, nil
	case unix.IP_TOS:
		return socket.Int32(int(o.TOS.Load())), nil
	case unix.IP_TTL:
		return defaultInt(o.TTL.Load(), s.stack.Params.DefaultTTL.Get()), nil
	case unix.IP_MTU_DISCOVER:
		return socket.Int32(int(o.MTUDiscover.Load())), nil
	case unix.IP_MTU:
		return s.pathMTU()
	case unix.IP_MINTTL:
		return socket.Int32(int(o.MinTTL.Load())), nil
	case unix.IP_MULTICAST_TTL:
		return socket.Int32(int(o.MulticastTTL.Load())), nil
	case unix.IP_MULTICAST_IF:
		m := o.MulticastIf()
		var b [4]byte
		if m.Addr.Is4() {
			b = m.Addr.As4()
		}
		return b[:], nil
	case unix.IP_HDRINCL:
		if s.raw == nil || s.common.Type != unix.SOCK_RAW {
			return nil, unix.ENOPROTOOPT
		}
		return socket.Bool(s.raw.HeaderIncluded()), nil
	}
	return nil, unix.ENOPROTOOPT
}

// byteOrInt reads an option that may be an int or a byte.
func byteOrInt(p []byte) int {
	if len(p) >= 4 {
		return int(int32(binary.NativeEndian.Uint32(p)))
	}
	if len(p) >= 1 {
		return int(p[0])
	}
	return 0
}

func (s *Socket) setIP(ctx *vfs.Context, name int, value []byte) error {
	o := s.ep.Options()
	v := byteOrInt(value)
	if f := s.ipFlag(name); f != nil {
		if len(value) < 1 {
			return unix.EINVAL
		}
		if name == unix.IP_TRANSPARENT && v != 0 && !s.common.HasCap(ctx, unix.CAP_NET_ADMIN) && !s.common.HasCap(ctx, unix.CAP_NET_RAW) {
			return unix.EPERM
		}
		if name == unix.IP_MULTICAST_ALL && v != 0 && v != 1 {
			return unix.EINVAL
		}
		f.Store(v != 0)
		return nil
	}
	switch name {
	case unix.IP_OPTIONS:
		if len(value) != 0 {
			return unix.ENOPROTOOPT // source routing and the like are not sent
		}
	case unix.IP_TOS:
		v &= 0xff
		if s.tcp != nil {
			v = v&^3 | int(o.TOS.Load())&3 // the congestion bits are TCP's
		}
		o.TOS.Store(uint32(v))
	case unix.IP_TTL:
		if len(value) < 1 || v != -1 && (v < 1 || v > 255) {
			return unix.EINVAL
		}
		o.TTL.Store(int32(v))
	case unix.IP_MTU_DISCOVER:
		if v < unix.IP_PMTUDISC_DONT || v > unix.IP_PMTUDISC_OMIT {
			return unix.EINVAL
		}
		o.MTUDiscover.Store(int32(v))
	case unix.IP_MULTICAST_TTL:
		if s.tcp != nil || len(value) < 1 {
			return unix.EINVAL
		}
		if v == -1 {
			v = 1
		}
		if v < 0 || v > 255 {
			return unix.EINVAL
		}
		o.MulticastTTL.Store(int32(v))
	case unix.IP_MULTICAST_IF:
		return s.setMulticastIf(value)
	case unix.IP_ADD_MEMBERSHIP, unix.IP_DROP_MEMBERSHIP:
		return s.membership(name == unix.IP_ADD_MEMBERSHIP, value)
	case unix.IP_ADD_SOURCE_MEMBERSHIP, unix.IP_DROP_SOURCE_MEMBERSHIP, unix.IP_BLOCK_SOURCE, unix.IP_UNBLOCK_SOURCE:
		return s.sourceMembership(name, value)
	case unix.MCAST_JOIN_GROUP, unix.MCAST_LEAVE_GROUP, unix.MCAST_JOIN_SOURCE_GROUP, unix.MCAST_LEAVE_SOURCE_GROUP,
		unix.MCAST_BLOCK_SOURCE, unix.MCAST_UNBLOCK_SOURCE:
		return s.groupRequest(unix.AF_INET, name, value)
	case unix.IP_MINTTL:
		if len(value) < 1 || v < 0 || v > 255 {
			return unix.EINVAL
		}
		o.MinTTL.Store(int32(v))
	case unix.IP_HDRINCL:
		if s.raw == nil || s.common.Type != unix.SOCK_RAW {
			return unix.ENOPROTOOPT
		}
		s.raw.SetHeaderIncluded(v != 0)
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

// mreqn reads a struct ip_mreqn, or the struct ip_mreq that is its beginning. EINVAL.
func mreqn(p []byte) (group, local netip.Addr, index int32, err error) {
	if len(p) < 8 {
		return group, local, 0, unix.EINVAL
	}
	group, local = netip.AddrFrom4([4]byte(p)), netip.AddrFrom4([4]byte(p[4:]))
	if len(p) >= 12 {
		index = int32(binary.NativeEndian.Uint32(p[8:]))
	}
	return group, local, index, nil
}

// membership is IP_ADD_MEMBERSHIP and IP_DROP_MEMBERSHIP.
func (s *Socket) membership(join bool, p []byte) error {
	if err := s.mayJoin(); err != nil {
		return err
	}
	group, local, index, err := mreqn(p)
	if err != nil {
		return err
	}
	if join {
		return s.udp.JoinGroup(group, index, local)
	}
	return s.udp.LeaveGroup(group, index, local)
}

// setMulticastIf is IP_MULTICAST_IF: a struct in_addr, ip_mreq or ip_mreqn.
func (s *Socket) setMulticastIf(p []byte) error {
	if s.tcp != nil {
		return unix.EINVAL
	}
	m := sock.MulticastIf{}
	switch {
	case len(p) >= 8:
		_, local, index, err := mreqn(p)
		if err != nil {
			return err
		}
		m.Addr, m.Index = local, index
	case len(p) >= 4:
		m.Addr = netip.AddrFrom4([4]byte(p))
	default:
		return unix.EINVAL
	}
	switch {
	case m.Index != 0:
		if s.stack.Interface(m.Index) == nil {
			return unix.EADDRNOTAVAIL
		}
	case !m.Addr.IsUnspecified():
		i := s.stack.InterfaceByAddr(m.Addr)
		if i == nil {
			return unix.EADDRNOTAVAIL
		}
		m.Index = i.Index()
	}
	s.ep.Options().SetMulticastIf(m)
	return nil
}
