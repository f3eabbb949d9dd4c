package ip

import (
	"maps"
	"net/netip"
	"slices"

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
	if s.changeGroup(groupKey{index, a}, 1) == 1 {
		s.toldGroup(index, a, (*reporter).join)
	}
	return nil
}

// LeaveGroup undoes one JoinGroup.
func (s *Stack) LeaveGroup(index int32, a netip.Addr) {
	if s.changeGroup(groupKey{index, a}, -1) == 0 {
		s.toldGroup(index, a, (*reporter).leave)
	}
}

// A Membership is a multicast group that an interface belongs to.
type Membership struct {
	Group netip.Addr
	Users int // how often it has been joined
}

// Memberships are the groups of an interface, those of all hosts among them, by address.
func (s *Stack) Memberships(i *Interface) (l []Membership) {
	if i.flags.Load()&unix.IFF_UP != 0 {
		l = append(l, Membership{allHosts4, 1})
		if !i.noIP6.Load() {
			l = append(l, Membership{netip.IPv6LinkLocalAllNodes(), 1}, Membership{interfaceLocalAllNodes, 1})
		}
	}
	if m := s.groups.Load(); m != nil {
		for k, n := range *m {
			if k.iface == i.index {
				l = append(l, Membership{k.addr, n})
			}
		}
	}
	slices.SortFunc(l, func(a, b Membership) int { return a.Group.Compare(b.Group) })
	return l
}

// toldGroup tells the routers of a group that was joined or left.
func (s *Stack) toldGroup(index int32, a netip.Addr, tell func(*reporter, netip.Addr)) {
	if i := s.Interface(index); i != nil {
		tell(i.reporter(a), a)
		s.Run()
	}
}

// changeGroup adds d to the joins of a group and returns how many there are.
func (s *Stack) changeGroup(k groupKey, d int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m map[groupKey]int
	if o := s.groups.Load(); o != nil {
		m = maps.Clone(*o)
	} else {
		m = make(map[groupKey]int)
	}
	n := m[k] + d
	if m[k] = n; n <= 0 {
		delete(m, k)
	}
	s.groups.Store(&m)
	return n
}

// syncSolicited joins the solicited-node groups of an interface's addresses, and leaves
// those of addresses that are gone. No lock is held.
func (s *Stack) syncSolicited(i *Interface) {
	want := make(map[netip.Addr]bool)
	s.mu.Lock()
	for _, a := range i.addrs {
		if ad := a.Prefix.Addr(); ad.Is6() && !i.loopback() {
			want[SolicitedNode(ad)] = true
		}
	}
	had := i.solicited
	i.solicited = want
	s.mu.Unlock()
	for g := range want {
		if !had[g] {
			s.JoinGroup(i.index, g)
		}
	}
	for g := range had {
		if !want[g] {
			s.LeaveGroup(i.index, g)
		}
	}
}

// member reports whether interface i is a member of group a: by a socket's wish,
// for an address of its own or, for the all-hosts groups, always.
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

// SolicitedNode is the multicast group of an IPv6 address (RFC 4291 section 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	v := a.As16()
	return netip.AddrFrom16([16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: v[13], 14: v[14], 15: v[15]})
}
