package ip

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// A Nexthop is an object to which routes may lead (ip-nexthop(8)): a way, a group of such, or nowhere.
type Nexthop struct {
	ID        uint32
	Family    uint8 // AF_INET, AF_INET6; AF_UNSPEC of a group
	Protocol  uint8 // RTPROT_*: who has added it
	Blackhole bool
	Way       Way      // of one that is neither a blackhole nor a group
	Group     []Member // not empty: it is a group
}

// A Member is a nexthop in a group.
type Member struct {
	ID     uint32
	Weight int
}

// Nexthops are all objects, by their numbers.
func (s *Stack) Nexthops() []Nexthop {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := make([]Nexthop, 0, len(s.mu.nexthops))
	for _, n := range s.mu.nexthops {
		l = append(l, *n)
	}
	slices.SortFunc(l, func(a, b Nexthop) int { return cmp.Compare(a.ID, b.ID) })
	return l
}

// Nexthop is the object with a number; false if there is none.
func (s *Stack) Nexthop(id uint32) (Nexthop, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.nexthop(id); n != nil {
		return *n, true
	}
	return Nexthop{}, false
}

// nexthop is Nexthop; nil if there is none. s.mu is held.
func (s *Stack) nexthop(id uint32) *Nexthop {
	for _, n := range s.mu.nexthops {
		if n.ID == id {
			return n
		}
	}
	return nil
}

// AddNexthop adds an object, with the next number that is free if it has none, or puts it in the place of the one
// with its number, which routes follow at once. EEXIST if there is one that is not to be replaced, and the errors of
// AddRoute about its way.
func (s *Stack) AddNexthop(n Nexthop, replace bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(n.Group) == 0 && !n.Blackhole {
		r := n.route()
		if err := s.conf.Load().checkWay(&r); err != nil {
			return err
		}
		n.Way.Weight = 1
	}
	for n.ID == 0 {
		if s.mu.lastNexthop++; s.nexthop(s.mu.lastNexthop) == nil {
			n.ID = s.mu.lastNexthop
		}
	}
	old := s.nexthop(n.ID)
	if old != nil && !replace {
		return unix.EEXIST
	}
	s.mu.nexthops = slices.Clone(s.mu.nexthops)
	if old != nil {
		s.mu.nexthops[slices.Index(s.mu.nexthops, old)] = &n
	} else {
		s.mu.nexthops = append(s.mu.nexthops, &n)
	}
	s.tell(Event{Nexthop: &n})
	if old != nil {
		s.followNexthops()
		s.rebuild()
	}
	return nil
}

// route is the default route by an object's way.
func (n *Nexthop) route() RouteEntry {
	r := RouteEntry{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST,
		Gateway: n.Way.Gateway, OIF: n.Way.OIF, OnLink: n.Way.OnLink}
	if n.Family == unix.AF_INET6 {
		r.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return r
}

// RemoveNexthop removes an object, also from its groups, those that have no other member, and the routes to what is
// removed. ENOENT.
func (s *Stack) RemoveNexthop(id uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nexthop(id)
	if n == nil {
		return unix.ENOENT
	}
	s.removeNexthop(n, func(n *Nexthop, removed bool) { s.tell(Event{Nexthop: n, Removed: removed}) })
	s.followNexthops()
	s.rebuild()
	return nil
}

// removeNexthop removes an object and says what has become of it and of groups. s.mu is held.
func (s *Stack) removeNexthop(n *Nexthop, say func(n *Nexthop, removed bool)) {
	s.mu.nexthops = slices.DeleteFunc(slices.Clone(s.mu.nexthops), func(o *Nexthop) bool { return o == n })
	say(n, true)
	for _, g := range slices.Backward(slices.Clone(s.mu.nexthops)) {
		left := *g
		left.Group = slices.DeleteFunc(slices.Clone(g.Group), func(m Member) bool { return m.ID == n.ID })
		switch {
		case len(left.Group) == len(g.Group):
		case len(left.Group) == 0:
			s.removeNexthop(g, say)
		default:
			s.mu.nexthops[slices.Index(s.mu.nexthops, g)] = &left
			say(&left, false)
		}
	}
}

// dropNexthops removes the objects that go by an interface, and reports whether there are any; nobody is told: it goes
// without saying. s.mu is held, and rebuild to be called.
func (s *Stack) dropNexthops(i *Interface) (dropped bool) {
	for _, n := range s.mu.nexthops {
		if n.Way.OIF == i.index && s.nexthop(n.ID) == n {
			s.removeNexthop(n, func(*Nexthop, bool) {})
			dropped = true
		}
	}
	if dropped {
		s.followNexthops()
	}
	return dropped
}

// followNexthops has the routes to objects follow their changes. s.mu is held, and rebuild to be called.
func (s *Stack) followNexthops() {
	s.mu.routes = slices.DeleteFunc(slices.Clone(s.mu.routes), func(r RouteEntry) bool { return r.Nexthop != 0 && s.nexthop(r.Nexthop) == nil })
	for k := range s.mu.routes {
		if r := &s.mu.routes[k]; r.Nexthop != 0 {
			s.follow(r)
		}
	}
}

// follow has a route lead where its nexthop does, which is there. s.mu is held.
func (s *Stack) follow(r *RouteEntry) {
	n := s.nexthop(r.Nexthop)
	r.Type, r.Ways, r.Gateway, r.OIF, r.OnLink = unix.RTN_UNICAST, nil, netip.Addr{}, 0, false
	var ways []Way
	for _, m := range n.Group {
		if o := s.nexthop(m.ID); o != nil && !o.Blackhole {
			w := o.Way
			w.Weight = m.Weight
			ways = append(ways, w)
		} else if o != nil {
			n = o // it is the only one
		}
	}
	switch {
	case n.Blackhole:
		r.Type = unix.RTN_BLACKHOLE
		for _, i := range s.mu.ifaces {
			if i.loopback() {
				r.OIF = i.index
			}
		}
	case len(ways) > 1 || len(ways) == 1 && r.Dst.Addr().Is6():
		r.Ways = &ways
	default:
		if len(ways) == 0 {
			ways = []Way{n.Way}
		}
		r.Gateway, r.OIF, r.OnLink = ways[0].Gateway, ways[0].OIF, ways[0].OnLink
	}
}
