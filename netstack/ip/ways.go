package ip

import (
	"net/netip"
	"slices"

	"casemate/netstack/wire"
)

// A Way is one of those by which a route leads to its destination: a neighbour, or the link itself.
type Way struct {
	Gateway netip.Addr // invalid: on link; of IPv6 for a route of IPv4 too
	OIF     int32
	OnLink  bool // RTNH_F_ONLINK
	Weight  int  // how much of the traffic goes by it, compared with others; at least 1
}

// paths are the ways of a route that can be gone by, as entries of their own.
type paths struct {
	entries []RouteEntry
	weights []int
	addrs   map[int32][]Address
}

// paths are those of r by interfaces that are up; nil if there are none. rebuild calls it.
func (c *config) paths(r *RouteEntry) *paths {
	p := &paths{addrs: c.addrs}
	for _, w := range *r.Ways {
		if i := c.byIndex[w.OIF]; i == nil || !i.up() {
			continue
		}
		e := *r
		e.Ways, e.whole = nil, r
		e.Gateway, e.OIF, e.OnLink = w.Gateway, w.OIF, w.OnLink
		p.entries, p.weights = append(p.entries, e), append(p.weights, max(w.Weight, 1))
	}
	if p.entries == nil {
		return nil
	}
	return p
}

// choose is the way of a flow: by its interface, if that is given, or else by one that has its source, if there is
// one; of several one by chance, but the same for all of the flow. nil if none is by the interface.
func (p *paths) choose(f *flow) *RouteEntry {
	total, all := 0, 0
	for k := range p.entries {
		all += p.weights[k]
		if p.suits(k, f) {
			total += p.weights[k]
		}
	}
	any := total == 0
	switch {
	case any && f.oif != 0:
		return nil
	case any:
		total = all
	}
	src := f.src
	if src.Is4() != f.dst.Is4() { // there is none
		src = netip.IPv6Unspecified()
		if f.dst.Is4() {
			src = netip.IPv4Unspecified()
		}
	}
	// Addresses of one network differ in their last bits, which a product spreads.
	n := int(uint64(wire.FlowHash(src, f.dst, 0, 0)*0x9E3779B1) * uint64(total) >> 32)
	for k := range p.entries {
		if any || p.suits(k, f) {
			if n -= p.weights[k]; n < 0 {
				return &p.entries[k]
			}
		}
	}
	return nil
}

// suits reports whether a way is by the interface of a flow, or by one that has its source.
func (p *paths) suits(k int, f *flow) bool {
	oif := p.entries[k].OIF
	if f.oif != 0 {
		return oif == f.oif
	}
	return f.src.IsValid() && slices.ContainsFunc(p.addrs[oif], func(a Address) bool { return a.Prefix.Addr() == f.src })
}

// leads reports whether a route goes by the interface with an index, and by no other one that is up. s.mu is held.
func (s *Stack) leads(r *RouteEntry, index int32) bool {
	if r.Ways == nil {
		return r.OIF == index
	}
	found := false
	for _, w := range *r.Ways {
		if w.OIF == index {
			found = true
		} else if k := slices.IndexFunc(s.mu.ifaces, func(i *Interface) bool { return i.index == w.OIF }); k >= 0 && s.mu.ifaces[k].up() {
			return false
		}
	}
	return found
}

// dropRoutes removes the routes that go by an interface alone, and nexthops. s.mu is held.
func (s *Stack) dropRoutes(i *Interface) {
	s.dropNexthops(i)
	s.mu.routes = slices.DeleteFunc(slices.Clone(s.mu.routes), func(r RouteEntry) bool { return s.leads(&r, i.index) })
}
