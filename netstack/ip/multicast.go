package ip

import (
	"maps"
	"net/netip"

	"golang.org/x/sys/unix"
)

// groupKey is a membership: a multicast group on an interface.
type groupKey struct {
	iface int32
	addr  netip.Addr
}

// JoinGroup makes interface index a member of a multicast group; joins are
// counted. ENODEV if there is no such interface, EINVAL if a is no multicast
// address.
func (s *Stack) JoinGroup(index int32, a netip.Addr) error {
	if !a.IsMulticast() {
		return unix.EINVAL
	}
	if s.Interface(index) == nil {
		return ifaceError
	}
	s.changeGroup(groupKey{index, a}, 1)
	return nil
}

// LeaveGroup undoes one JoinGroup.
func (s *Stack) LeaveGroup(index int32, a netip.Addr) { s.changeGroup(groupKey{index, a}, -1) }

func (s *Stack) changeGroup(k groupKey, d int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m map[groupKey]int
	if o := s.groups.Load(); o != nil {
		m = maps.Clone(*o)
	} else {
		m = make(map[groupKey]int)
	}
	if m[k] += d; m[k] <= 0 {
		delete(m, k)
	}
	s.groups.Store(&m)
}

// member reports whether interface i is a member of group a: by a socket's wish
// or, for the all-hosts groups, always.
func (s *Stack) member(i *Interface, a netip.Addr) bool {
	if a == netip.IPv6LinkLocalAllNodes() || a == allHosts4 || a == interfaceLocalAllNodes {
		return true
	}
	m := s.groups.Load()
	return m != nil && (*m)[groupKey{i.index, a}] > 0
}

var (
	allHosts4              = netip.AddrFrom4([4]byte{224, 0, 0, 1})
	interfaceLocalAllNodes = netip.AddrFrom16([16]byte{0xff, 0x01, 15: 1})
)

// inGroup6 reports whether i takes packets to an IPv6 multicast group: a group
// that it has joined, or the solicited-node group of one of its addresses.
func (s *Stack) inGroup6(i *Interface, a netip.Addr) bool {
	if s.member(i, a) {
		return true
	}
	for _, x := range s.conf.Load().addrs[i.index] {
		if x.Prefix.Addr().Is6() && SolicitedNode(x.Prefix.Addr()) == a {
			return true
		}
	}
	return false
}

// SolicitedNode is the multicast group of an IPv6 address (RFC 4291 section 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	v := a.As16()
	return netip.AddrFrom16([16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: v[13], 14: v[14], 15: v[15]})
}
