package inet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The protocol-independent requests for membership (RFC 3678 section 5): struct group_req
// and struct group_source_req.
const (
	sizeStorage        = 128 // struct sockaddr_storage
	sizeGroupReq       = 8 + sizeStorage
	sizeGroupSourceReq = sizeGroupReq + sizeStorage
)

// groupRequest is MCAST_JOIN_GROUP and its like. EINVAL, EADDRNOTAVAIL, EPROTO for a stream.
func (s *Socket) groupRequest(family, name int, p []byte) error {
	plain := name == unix.MCAST_JOIN_GROUP || name == unix.MCAST_LEAVE_GROUP
	if plain && len(p) < sizeGroupReq || !plain && len(p) != sizeGroupSourceReq {
		return unix.EINVAL
	}
	index := int32(binary.NativeEndian.Uint32(p))
	group, ok := storageAddr(family, p[8:])
	if !ok {
		if plain {
			return unix.EINVAL
		}
		return unix.EADDRNOTAVAIL
	}
	if err := s.mayJoin(); err != nil {
		return err
	}
	if plain {
		if name == unix.MCAST_JOIN_GROUP {
			return s.udp.JoinGroup(group, index, netip.Addr{})
		}
		return s.udp.LeaveGroup(group, index, netip.Addr{})
	}
	src, ok := storageAddr(family, p[sizeGroupReq:])
	if !ok {
		return unix.EADDRNOTAVAIL
	}
	return s.source(name, group, index, netip.Addr{}, src)
}

// storageAddr reads the address of a struct sockaddr_storage of a family.
func storageAddr(family int, p []byte) (netip.Addr, bool) {
	if int(binary.NativeEndian.Uint16(p)) != family {
		return netip.Addr{}, false
	}
	if family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(p[4:])), true
	}
	return netip.AddrFrom16([16]byte(p[8:])), true
}

// sourceMembership is IP_ADD_SOURCE_MEMBERSHIP and its like, with a struct ip_mreq_source.
func (s *Socket) sourceMembership(name int, p []byte) error {
	if len(p) != 12 {
		return unix.EINVAL
	}
	if err := s.mayJoin(); err != nil {
		return err
	}
	a := func(off int) netip.Addr { return netip.AddrFrom4([4]byte(p[off:])) }
	same := map[int]int{
		unix.IP_ADD_SOURCE_MEMBERSHIP:  unix.MCAST_JOIN_SOURCE_GROUP,
		unix.IP_DROP_SOURCE_MEMBERSHIP: unix.MCAST_LEAVE_SOURCE_GROUP,
		unix.IP_BLOCK_SOURCE:           unix.MCAST_BLOCK_SOURCE,
		unix.IP_UNBLOCK_SOURCE:         unix.MCAST_UNBLOCK_SOURCE,
	}
	return s.source(same[name], a(0), 0, a(4), a(8))
}

// source changes the sources of a membership.
func (s *Socket) source(name int, group netip.Addr, index int32, local, src netip.Addr) error {
	switch name {
	case unix.MCAST_JOIN_SOURCE_GROUP:
		return s.udp.JoinSource(group, index, local, src)
	case unix.MCAST_LEAVE_SOURCE_GROUP:
		return s.udp.LeaveSource(group, index, local, src)
	}
	return s.udp.BlockSource(group, index, local, src, name == unix.MCAST_BLOCK_SOURCE)
}

// mayJoin is why the socket can have no memberships: EPROTO for a stream, ENOPROTOOPT.
func (s *Socket) mayJoin() error {
	switch {
	case s.udp != nil:
		return nil
	case s.tcp != nil:
		return unix.EPROTO
	}
	return unix.ENOPROTOOPT
}
