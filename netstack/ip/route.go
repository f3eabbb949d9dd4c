package ip

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

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
	// Nexthop is the number of the object to which the route leads; 0: none. What is given of it above is as the
	// object says.
	Nexthop uint32
	Ways    *[]Way // not nil: several ways, each with a gateway or interface; Gateway and OIF are not set

	paths   *paths        // of Ways, in tables
	whole   *RouteEntry   // of which this is one of the paths
	learned bool          // from a router advertisement
	expires time.Duration // by the wheel's clock; 0: never
}

func (r *RouteEntry) same(o *RouteEntry) bool {
	return r.Dst == o.Dst && r.Metric == o.Metric && r.Table == o.Table && r.TOS == o.TOS &&
		(r.Dst.Addr().Is4() || r.OIF == o.OIF && r.Gateway == o.Gateway)
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
	slices.SortStableFunc(l, ListOrder)
	return l
}

// ListOrder compares routes by the place in which Linux lists them: those of IPv4 by
// address, and of one address the longest prefix first; those of IPv6 by address, but a
// prefix behind what it contains.
func ListOrder(a, b RouteEntry) int {
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
	switch {
	case r.Nexthop != 0:
		if s.nexthop(r.Nexthop) == nil {
			return unix.EINVAL
		}
		s.follow(&r)
	case r.Ways != nil:
		ways := slices.Clone(*r.Ways)
		for k := range ways {
			w, one := &ways[k], r
			one.Gateway, one.OIF, one.OnLink = w.Gateway, w.OIF, w.OnLink
			if err := c.checkWay(&one); err != nil {
				return err
			}
			w.OIF = one.OIF
		}
		r.Ways = &ways
	case r.Type == unix.RTN_UNICAST || r.OIF != 0:
		if err := c.checkWay(&r); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(s.mu.routes, func(o RouteEntry) bool { return o.same(&r) }) {
		return unix.EEXIST
	}
	s.mu.routes = append(slices.Clone(s.mu.routes), r)
	s.rebuild()
	return nil
}

// checkWay says whether a route can lead where it does, and completes it by the interface: the errors of AddRoute.
func (c *config) checkWay(r *RouteEntry) error {
	if r.OIF == 0 {
		if !r.Gateway.IsValid() {
			return unix.ENODEV
		}
		e := c.gateway(r)
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
		if e := c.gateway(r); e == nil && !r.OnLink && !r.Gateway.IsLinkLocalUnicast() {
			return unix.ENETUNREACH
		}
	}
	return nil
}

// RemoveRoute removes the first entry with r's destination and with those of
// r's table, interface, gateway, metric and nexthop that are not zero: ESRCH.
func (s *Stack) RemoveRoute(r RouteEntry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := slices.IndexFunc(s.mu.routes, func(o RouteEntry) bool {
		return o.Dst == r.Dst.Masked() && (r.OIF == 0 || r.OIF == o.OIF) && (r.Table == 0 || r.Table == o.Table) &&
			(!r.Gateway.IsValid() || r.Gateway == o.Gateway) && (r.Metric == 0 || r.Metric == o.Metric) &&
			(r.Nexthop == 0 || r.Nexthop == o.Nexthop)
	})
	if k < 0 {
		return unix.ESRCH
	}
	s.mu.routes = slices.Delete(slices.Clone(s.mu.routes), k, k+1)
	s.rebuild()
	return nil
}

// IsLocal reports whether packets to a are for this host (unicast only).
func (s *Stack) IsLocal(a netip.Addr) bool {
	i, _ := s.conf.Load().localIface(a)
	return i != nil
}

// Bindable reports whether sockets may be bound to a: it is local, or net.ipv4.ip_nonlocal_bind
// allows any, or no interface has ever had an address of IPv4, so that there is no table to tell.
func (s *Stack) Bindable(a netip.Addr) bool {
	return s.IsLocal(a) || s.Params.NonlocalBind.Bool() || a.Is4() && !s.conf.Load().addressed
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
	return s.lookup(src, dst, "lo", oif, mark)
}

// Match is the entry of a routing table that Lookup finds, as it would for a packet that came in by
// the interface of the name iif, "" for one that this host sends; nil if it is none's, as for
// addresses of this host. Errors are Lookup's.
func (s *Stack) Match(src, dst netip.Addr, iif string, oif int32, mark uint32) (Route, *RouteEntry, error) {
	if iif == "" {
		iif = "lo"
	}
	r, err := s.lookup(src, dst, iif, oif, mark)
	if err != nil {
		return r, nil, err
	}
	e, _, _ := s.conf.Load().route(&flow{src: src, dst: r.Dst, iif: iif, oif: oif, mark: mark})
	if e != nil && e.whole != nil {
		e = e.whole
	}
	return r, e, nil
}

// lookup is Lookup for a packet that came in by iif; "lo": that this host sends.
func (s *Stack) lookup(src, dst netip.Addr, iif string, oif int32, mark uint32) (Route, error) {
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
	e, local, err := c.route(&flow{src: src, dst: dst, iif: iif, oif: oif, mark: mark})
	if local {
		r.Type = unix.RTN_LOCAL
		r.Iface = c.loopback()
		if r.Iface == nil || !r.Iface.up() {
			return Route{}, unix.ENETUNREACH
		}
		if _, from := c.localIface(dst); !src.IsValid() {
			if r.Src = from; !from.IsValid() { // a local route to an address that is none of ours
				r.Src = dst
			}
		}
		r.MTU = r.Iface.MTU()
		return r, nil
	}
	switch {
	case err != nil:
		return Route{}, err
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
			if e == nil && dst.Is6() {
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
	case e == nil:
		return Route{}, unix.ENETUNREACH
	default:
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
		} else if r.Src = c.source(r.Iface, towards(&r)); !r.Src.IsValid() {
			if dst.Is4() {
				r.Src = netip.IPv4Unspecified()
			} else {
				return Route{}, unix.EADDRNOTAVAIL
			}
		}
	}
	r.MTU = r.Iface.MTU()
	if m := int(r.Iface.mtu6.Load()); m != 0 && dst.Is6() {
		r.MTU = min(r.MTU, m)
	}
	if e != nil && e.MTU != 0 {
		r.MTU = min(r.MTU, e.MTU)
	}
	if m := s.pmtu.get(dst, s.Wheel.Now()); m != 0 {
		r.MTU = min(r.MTU, m)
	}
	return r, nil
}
