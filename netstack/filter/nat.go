package filter

import (
	"net/netip"

	"casemate/netstack/conntrack"
	"casemate/netstack/ip"
	"golang.org/x/sys/unix"
)

// Replace decides what replaces an end of the packet's connection. It is for chains of NAT.
func (c *Context) Replace(m conntrack.Manip, r *conntrack.Range) Verdict {
	conn := c.Conn()
	if conn == nil {
		return Accept
	}
	if !c.Filter.Conns.Replace(conn, m, r) {
		return Drop
	}
	return Accept
}

// Masquerade replaces the source by an address of the interface that the packet goes out by.
// Ports and flags are r's. A packet without a way there is dropped.
func (c *Context) Masquerade(r conntrack.Range) Verdict {
	if c.Out == nil {
		return Drop
	}
	way, err := c.Filter.Stack.Lookup(netip.Addr{}, c.Packet.Dst, c.Out.Index(), 0)
	src := way.Src
	if way.Type == unix.RTN_LOCAL || err != nil {
		src = c.Packet.Src
	}
	if !src.IsValid() || src.IsUnspecified() {
		return Drop
	}
	r.Flags |= unix.NF_NAT_RANGE_MAP_IPS
	r.MinAddr, r.MaxAddr = src, src
	return c.Replace(conntrack.Source, &r)
}

// Redirect replaces the destination by this host: the first address of the interface that
// the packet came in by, or the loopback address. Ports and flags are r's.
func (c *Context) Redirect(r conntrack.Range) Verdict {
	var to netip.Addr
	if c.Hook == unix.NF_INET_LOCAL_OUT {
		if to = netip.IPv6Loopback(); c.Family == unix.AF_INET {
			to = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
	} else {
		to = firstAddr(c.Filter.Stack, c.In, c.Family)
	}
	if !to.IsValid() {
		return Drop
	}
	r.Flags |= unix.NF_NAT_RANGE_MAP_IPS
	r.MinAddr, r.MaxAddr = to, to
	return c.Replace(conntrack.Destination, &r)
}

// firstAddr is an interface's first address of a family that can be used.
func firstAddr(s *ip.Stack, i *ip.Interface, family uint8) netip.Addr {
	if i == nil {
		return netip.Addr{}
	}
	var found netip.Addr
	for _, a := range s.Addresses(i) {
		addr := a.Prefix.Addr()
		if addr.Is4() != (family == unix.AF_INET) || a.Flags&unix.IFA_F_TENTATIVE != 0 {
			continue
		}
		if !addr.IsLinkLocalUnicast() {
			return addr
		}
		if !found.IsValid() {
			found = addr
		}
	}
	return found
}
