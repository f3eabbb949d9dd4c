package ip

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// RouteEntry is a line of a routing table (rtnetlink(7), ip-route(8)).
type RouteEntry struct {
	Dst      netip.Prefix
	Gateway  netip.Addr // invalid: on link
	PrefSrc  netip.Addr // invalid: chosen
	OIF      int32
	Metric   uint32
	MTU      int // bytes; 0: the interface's
	Table    uint32
	Type     uint8 // RTN_*
	Protocol uint8 // RTPROT_*
	Scope    uint8 // RT_SCOPE_*
	TOS      uint8
	OnLink   bool // RTNH_F_ONLINK: the gateway is on the link even if no route says so
}

func (r *RouteEntry) same(o *RouteEntry) bool {
	return r.Dst == o.Dst && r.Metric == o.Metric && r.Table == o.Table && r.TOS == o.TOS &&
		(r.Dst.Addr().Is4() || r.OIF == o.OIF && r.Gateway == o.Gateway)
}

// config is what input and output look up: an immutable snapshot.
type config struct {
	ifaces    []*Interface
	byIndex   map[int32]*Interface
	local     map[netip.Addr]localAddr
	localNets []localNet // of loopback interfaces: all of 127.0.0.0/8 is local
	bcast     map[netip.Addr]*Interface
	addrs     map[int32][]Address
	v4, v6    []RouteEntry // longest prefix first, then least metric; of interfaces that are up
}

type localAddr struct {
	iface *Interface
	addr  Address
}

type localNet struct {
	net   netip.Prefix
	src   netip.Addr
	iface *Interface
}

// rebuild publishes a new snapshot. s.mu is held.
func (s *Stack) rebuild() {
	c := &config{ifaces: s.mu.ifaces, byIndex: map[int32]*Interface{}, local: map[netip.Addr]localAddr{},
		bcast: map[netip.Addr]*Interface{}, addrs: map[int32][]Address{}}
	for _, i := range s.mu.ifaces {
		c.byIndex[i.index] = i
		c.addrs[i.index] = i.addrs
		for _, a := range i.addrs {
			ad := a.Prefix.Addr()
			if !i.up() && (ad.Is6() || i.loopback()) {
				continue // IPv4 addresses stay local while their interface is down
			}
			if _, ok := c.local[ad]; !ok {
				c.local[ad] = localAddr{i, a}
			}
			if ad.Is6() || !i.up() {
				continue
			}
			if i.loopback() {
				c.localNets = append(c.localNets, localNet{a.Prefix.Masked(), ad, i})
			}
			if a.Prefix.Bits() < 31 && i.flags.Load()&unix.IFF_BROADCAST != 0 {
				c.bcast[lastAddr(a.Prefix)] = i
				c.bcast[a.Prefix.Masked().Addr()] = i
			}
			if a.Broadcast.IsValid() {
				c.bcast[a.Broadcast] = i
			}
		}
	}
	for _, r := range s.mu.routes {
		if i := c.byIndex[r.OIF]; r.OIF != 0 && (i == nil || !i.up()) {
			continue
		}
		if r.Dst.Addr().Is4() {
			c.v4 = append(c.v4, r)
		} else {
			c.v6 = append(c.v6, r)
		}
	}
	for _, l := range [][]RouteEntry{c.v4, c.v6} {
		slices.SortStableFunc(l, func(a, b RouteEntry) int {
			return cmp.Or(cmp.Compare(b.Dst.Bits(), a.Dst.Bits()), cmp.Compare(a.Metric, b.Metric))
		})
	}
	s.conf.Store(c)
	s.gen.Add(1)
}

// lastAddr is the broadcast address of an IPv4 network.
func lastAddr(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for b := p.Bits(); b < 32; b++ {
		a[b/8] |= 0x80 >> (b % 8)
	}
	return netip.AddrFrom4(a)
}

// Routes are the tables' entries that were added or follow from addresses, in the order
// in which Linux lists them; the local table is derived and not among them.
func (s *Stack) Routes() []RouteEntry {
	s.mu.Lock()
	l := slices.Clone(s.mu.routes)
	s.mu.Unlock()
	slices.SortStableFunc(l, listOrder)
	return l
}

// listOrder compares routes by the place in which Linux lists them: those of IPv4 by
// address, and of one address the longest prefix first; those of IPv6 by address, but a
// prefix behind what it contains.
func listOrder(a, b RouteEntry) int {
	x, y := a.Dst, b.Dst
	six := func(p netip.Prefix) int { return p.Addr().BitLen() }
	if c := cmp.Compare(six(x), six(y)); c != 0 {
		return c
	}
	if x.Addr().Is6() && x.Bits() != y.Bits() && x.Overlaps(y) {
		return cmp.Compare(y.Bits(), x.Bits())
	}
	return cmp.Or(x.Addr().Compare(y.Addr()), cmp.Compare(y.Bits(), x.Bits()), cmp.Compare(a.Metric, b.Metric))
}

// AddRoute adds an entry: EEXIST, ENODEV for an unknown interface, ENETDOWN for
// one that is down, ENETUNREACH for a gateway that is on no link.
func (s *Stack) AddRoute(r RouteEntry) error {
	if !r.Dst.IsValid() || r.Dst.Addr().Is4In6() {
		return unix.EINVAL
	}
	r.Dst = r.Dst.Masked()
	if r.Table == 0 {
		r.Table = unix.RT_TABLE_MAIN
	}
	if r.Type == 0 {
		r.Type = unix.RTN_UNICAST
	}
	if r.Dst.Addr().Is6() && r.Metric == 0 {
		r.Metric = 1024
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conf.Load()
	if r.Type == unix.RTN_UNICAST || r.OIF != 0 {
		if r.OIF == 0 {
			if !r.Gateway.IsValid() {
				return unix.ENODEV
			}
			e := c.find(r.Gateway, 0)
			if e == nil || e.Type != unix.RTN_UNICAST {
				return unix.ENETUNREACH
			}
			r.OIF = e.OIF
		}
		i := c.byIndex[r.OIF]
		if i == nil {
			return ifaceError
		}
		if !i.up() {
			return unix.ENETDOWN
		}
		if r.Gateway.IsValid() {
			if _, ok := c.local[r.Gateway]; ok {
				return unix.EINVAL
			}
			if e := c.find(r.Gateway, r.OIF); e == nil && !r.OnLink && !r.Gateway.IsLinkLocalUnicast() {
				return unix.ENETUNREACH
			}
		}
	}
	if slices.ContainsFunc(s.mu.routes, func(o RouteEntry) bool { return o.same(&r) }) {
		return unix.EEXIST
	}
	s.mu.routes = append(slices.Clone(s.mu.routes), r)
	s.rebuild()
	return nil
}

// RemoveRoute removes the first entry with r's destination and with those of
// r's table, interface, gateway and metric that are not zero: ESRCH.
func (s *Stack) RemoveRoute(r RouteEntry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := slices.IndexFunc(s.mu.routes, func(o RouteEntry) bool {
		return o.Dst == r.Dst.Masked() && (r.OIF == 0 || r.OIF == o.OIF) && (r.Table == 0 || r.Table == o.Table) &&
			(!r.Gateway.IsValid() || r.Gateway == o.Gateway) && (r.Metric == 0 || r.Metric == o.Metric)
	})
	if k < 0 {
		return unix.ESRCH
	}
	s.mu.routes = slices.Delete(slices.Clone(s.mu.routes), k, k+1)
	s.rebuild()
	return nil
}

// find is the main table's entry for dst, by oif if that is not 0, or nil.
func (c *config) find(dst netip.Addr, oif int32) *RouteEntry {
	l := c.v6
	if dst.Is4() {
		l = c.v4
	}
	for k := range l {
		if r := &l[k]; r.Dst.Contains(dst) && (oif == 0 || r.OIF == oif) {
			return r
		}
	}
	return nil
}

// localIface finds the interface that has the address, and the source to use
// towards it; nil if it is not local.
func (c *config) localIface(a netip.Addr) (*Interface, netip.Addr) {
	if l, ok := c.local[a]; ok {
		return l.iface, a
	}
	if a.Is4() {
		for _, n := range c.localNets {
			if n.net.Contains(a) {
				return n.iface, n.src
			}
		}
	}
	return nil, netip.Addr{}
}

// IsLocal reports whether packets to a are for this host (unicast only).
func (s *Stack) IsLocal(a netip.Addr) bool {
	i, _ := s.conf.Load().localIface(a)
	return i != nil
}

// IsBroadcast reports whether a is a broadcast address of this host's networks.
func (s *Stack) IsBroadcast(a netip.Addr) bool {
	return a == limitedBroadcast || s.conf.Load().bcast[a] != nil
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Route is the way to a destination, to be kept by whoever sends there often.
type Route struct {
	Iface    *Interface
	Src, Dst netip.Addr
	Next     netip.Addr // the neighbour: a gateway, or Dst
	MTU      int        // of the path, bytes of an IP packet
	Type     uint8      // RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST
	gen      uint32
}

// Fresh reports whether the route still holds.
func (r *Route) Fresh() bool { return r.Iface != nil && r.gen == r.Iface.stack.gen.Load() }

// Lookup finds the way to dst: by interface oif if that is not 0, with source
// src if that is valid. Src of the result is a suitable local address.
// ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL as Linux's routing gives them. The
// unspecified destination means this host.
func (s *Stack) Lookup(src, dst netip.Addr, oif int32, mark uint32) (Route, error) {
	gen := s.gen.Load()
	c := s.conf.Load()
	if dst.IsUnspecified() {
		switch {
		case src.IsValid():
			dst = src
		case dst.Is4():
			dst = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		default:
			dst = netip.IPv6Loopback()
		}
	}
	r := Route{Src: src, Dst: dst, Next: dst, gen: gen}
	if i, from := c.localIface(dst); i != nil {
		r.Type = unix.RTN_LOCAL
		r.Iface = c.loopback()
		if r.Iface == nil || !r.Iface.up() {
			return Route{}, unix.ENETUNREACH
		}
		if !src.IsValid() {
			r.Src = from
		}
		r.MTU = r.Iface.MTU()
		return r, nil
	}
	var e *RouteEntry
	switch {
	case dst.IsMulticast() || dst == limitedBroadcast || dst.IsLinkLocalUnicast() && dst.Is6():
		if r.Type = unix.RTN_UNICAST; dst.IsMulticast() {
			r.Type = unix.RTN_MULTICAST
		} else if dst.Is4() {
			r.Type = unix.RTN_BROADCAST
		}
		if oif == 0 && src.IsValid() {
			if l, ok := c.local[src]; ok {
				oif = l.iface.index
			}
		}
		if r.Iface = c.byIndex[oif]; oif == 0 {
			if e = c.find(dst, 0); e == nil && dst.Is6() {
				e = &RouteEntry{}
				for _, i := range c.ifaces {
					if i.up() && !i.loopback() && len(c.addrs[i.index]) > 0 {
						e.OIF = i.index
						break
					}
				}
			}
			if e == nil {
				return Route{}, unix.ENETUNREACH
			}
			r.Iface = c.byIndex[e.OIF]
		}
	default:
		if e = c.find(dst, oif); e == nil {
			return Route{}, unix.ENETUNREACH
		}
		switch e.Type {
		case unix.RTN_UNREACHABLE:
			return Route{}, unix.EHOSTUNREACH
		case unix.RTN_BLACKHOLE:
			return Route{}, unix.EINVAL
		case unix.RTN_PROHIBIT:
			return Route{}, unix.EACCES
		}
		r.Type = unix.RTN_UNICAST
		r.Iface = c.byIndex[e.OIF]
		if e.Gateway.IsValid() {
			r.Next = e.Gateway
		}
		if c.bcast[dst] != nil {
			r.Type = unix.RTN_BROADCAST
		}
	}
	if r.Iface == nil || !r.Iface.up() {
		return Route{}, unix.ENETUNREACH
	}
	if !src.IsValid() {
		if e != nil && e.PrefSrc.IsValid() {
			r.Src = e.PrefSrc
		} else if r.Src = c.source(r.Iface, r.Next); !r.Src.IsValid() {
			if dst.Is4() {
				r.Src = netip.IPv4Unspecified()
			} else {
				return Route{}, unix.EADDRNOTAVAIL
			}
		}
	}
	r.MTU = r.Iface.MTU()
	if e != nil && e.MTU != 0 {
		r.MTU = min(r.MTU, e.MTU)
	}
	if m := s.pmtu.get(dst, s.Wheel.Now()); m != 0 {
		r.MTU = min(r.MTU, m)
	}
	return r, nil
}

// loopback is the stack's lo.
func (c *config) loopback() *Interface {
	for _, i := range c.ifaces {
		if i.loopback() {
			return i
		}
	}
	return nil
}

// source chooses an address of i for packets to next: for IPv4 the first on
// next's network, or the first in general; for IPv6 by RFC 6724's rules of scope
// and longest match. Other interfaces' global addresses serve if i has none.
func (c *config) source(i *Interface, next netip.Addr) netip.Addr {
	var best netip.Addr
	score := -1
	consider := func(addrs []Address, penalty int) {
		for _, a := range addrs {
			ad := a.Prefix.Addr()
			if ad.Is4() != next.Is4() || a.Flags&unix.IFA_F_TENTATIVE != 0 {
				continue
			}
			n := 1000 - penalty
			if ad.IsLinkLocalUnicast() == next.IsLinkLocalUnicast() {
				n += 500
			} else if penalty > 0 {
				continue
			}
			if a.Flags&unix.IFA_F_DEPRECATED == 0 {
				n += 250
			}
			if next.Is4() {
				if a.Prefix.Contains(next) {
					n += 100
				}
				if a.Flags&unix.IFA_F_SECONDARY == 0 {
					n++
				}
			} else {
				n += commonBits(ad, next)
			}
			if n > score {
				best, score = ad, n
			}
		}
	}
	consider(c.addrs[i.index], 0)
	if !best.IsValid() {
		for _, o := range c.ifaces {
			if !o.loopback() && o.up() {
				consider(c.addrs[o.index], 900)
			}
		}
	}
	return best
}

func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			n := i * 8
			for d&0x80 == 0 {
				d <<= 1
				n++
			}
			return n
		}
	}
	return 128
}
