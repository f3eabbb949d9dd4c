package netlink

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
)

// prefMedium is the preference of routes that no router has given another one (ICMPV6_ROUTER_PREF_MEDIUM).
const prefMedium = 0

// rtmsg is the struct rtmsg of a route.
func (p *Ports) rtmsg(e *ip.RouteEntry) []byte {
	table := uint8(unix.RT_TABLE_COMPAT)
	if e.Table < 256 {
		table = uint8(e.Table)
	}
	m := []byte{nlmsg.Family(e.Dst.Addr()), uint8(e.Dst.Bits()), 0, e.TOS, table, e.Protocol, e.Scope, e.Type, 0, 0, 0, 0}
	flags := uint32(0)
	if e.OnLink {
		flags |= unix.RTNH_F_ONLINK
	}
	if i := p.stack.Interface(e.OIF); i != nil && i.Flags()&(unix.IFF_UP|unix.IFF_RUNNING) == unix.IFF_UP {
		flags |= unix.RTNH_F_LINKDOWN
	}
	ne.PutUint32(m[8:], flags)
	return m
}

// putRoute appends the attributes of a route.
func (p *Ports) putRoute(m *nlmsg.Builder, e *ip.RouteEntry) {
	m.Attr32(unix.RTA_TABLE, e.Table)
	if e.Dst.Bits() > 0 {
		m.AttrAddr(unix.RTA_DST, e.Dst.Addr())
	}
	if six := e.Dst.Addr().Is6(); six || e.Metric != 0 {
		m.Attr32(unix.RTA_PRIORITY, e.Metric)
		if six {
			m.Attr8(unix.RTA_PREF, prefMedium)
		}
	}
	if e.MTU != 0 {
		var inner nlmsg.Builder
		inner.Attr32(unix.RTAX_MTU, uint32(e.MTU))
		m.Attr(unix.RTA_METRICS, inner.B)
	}
	if e.PrefSrc.IsValid() {
		m.AttrAddr(unix.RTA_PREFSRC, e.PrefSrc)
	}
	if e.Nexthop != 0 {
		m.Attr32(rtaNexthopID, e.Nexthop)
	}
	putGateway(m, e, e.Gateway)
	if e.OIF != 0 {
		m.Attr32(unix.RTA_OIF, uint32(e.OIF))
	}
	p.putWays(m, e)
}

// putGateway appends the gateway of a route, if there is one. One of another family has its family with it.
func putGateway(m *nlmsg.Builder, e *ip.RouteEntry, gateway netip.Addr) {
	switch {
	case !gateway.IsValid():
	case gateway.Is4() == e.Dst.Addr().Is4():
		m.AttrAddr(unix.RTA_GATEWAY, gateway)
	default:
		m.Attr(unix.RTA_VIA, append(ne.AppendUint16(nil, uint16(nlmsg.Family(gateway))), gateway.AsSlice()...))
	}
}

// putWays appends the ways of a route that has several (struct rtnexthop).
func (p *Ports) putWays(m *nlmsg.Builder, e *ip.RouteEntry) {
	if e.Ways == nil {
		return
	}
	var l []byte
	for _, w := range *e.Ways {
		flags := uint8(0)
		if w.OnLink {
			flags |= unix.RTNH_F_ONLINK
		}
		i := p.stack.Interface(w.OIF)
		if i == nil || i.Flags()&unix.IFF_UP == 0 {
			flags |= unix.RTNH_F_DEAD
		}
		if i == nil || i.Flags()&unix.IFF_RUNNING == 0 {
			flags |= unix.RTNH_F_LINKDOWN
		}
		var gateway nlmsg.Builder
		putGateway(&gateway, e, w.Gateway)
		l = ne.AppendUint16(l, uint16(unix.SizeofRtNexthop+len(gateway.B)))
		l = append(l, flags, uint8(w.Weight-1))
		l = ne.AppendUint32(l, uint32(w.OIF))
		l = append(l, gateway.B...)
	}
	m.Attr(unix.RTA_MULTIPATH, l)
}

// parseGateway reads the gateway of a route of a family, if there is one. EINVAL.
func parseGateway(family uint8, attrs map[uint16][]byte) (a netip.Addr, err error) {
	if p, ok := attrs[unix.RTA_GATEWAY]; ok {
		return nlmsg.Addr(family, p)
	}
	if p, ok := attrs[unix.RTA_VIA]; ok {
		if len(p) < 2 || family != unix.AF_INET {
			return a, nlmsg.At(unix.EINVAL, p)
		}
		return nlmsg.Addr(uint8(ne.Uint16(p)), p[2:])
	}
	return a, nil
}

// parseWays reads the ways of a route. EINVAL.
func parseWays(family uint8, p []byte) (*[]ip.Way, error) {
	var l []ip.Way
	for len(p) > 0 {
		if len(p) < unix.SizeofRtNexthop {
			return nil, unix.EINVAL
		}
		n := int(ne.Uint16(p))
		if n < unix.SizeofRtNexthop || n > len(p) {
			return nil, unix.EINVAL
		}
		attrs, err := nlmsg.Attributes(p[unix.SizeofRtNexthop:n])
		if err != nil {
			return nil, err
		}
		w := ip.Way{OIF: int32(ne.Uint32(p[4:])), OnLink: p[2]&unix.RTNH_F_ONLINK != 0, Weight: int(p[3]) + 1}
		if w.Gateway, err = parseGateway(family, attrs); err != nil {
			return nil, err
		}
		l = append(l, w)
		p = p[min((n+3)&^3, len(p)):]
	}
	if len(l) == 0 {
		return nil, unix.EINVAL
	}
	return &l, nil
}

// localRoutes are the entries of the local table that follow from an address of an interface that
// is up.
func localRoutes(i *ip.Interface, a *ip.Address) (l []ip.RouteEntry) {
	addr := a.Prefix.Addr()
	e := ip.RouteEntry{Dst: netip.PrefixFrom(addr, addr.BitLen()), OIF: i.Index(), Table: unix.RT_TABLE_LOCAL,
		Type: unix.RTN_LOCAL, Protocol: unix.RTPROT_KERNEL, Scope: unix.RT_SCOPE_HOST}
	if addr.Is6() {
		e.Scope = unix.RT_SCOPE_UNIVERSE
		return []ip.RouteEntry{e}
	}
	e.PrefSrc = addr
	if i.IsLoopback() && a.Prefix.Bits() < 32 {
		net := e
		net.Dst = a.Prefix.Masked()
		l = append(l, net)
	}
	l = append(l, e)
	if a.Prefix.Bits() < 31 {
		e.Dst, e.Type, e.Scope = netip.PrefixFrom(lastAddr(a.Prefix), 32), unix.RTN_BROADCAST, unix.RT_SCOPE_LINK
		l = append(l, e)
	}
	return l
}

// multicast6 are the multicast addresses of IPv6, to which each interface that speaks it has a route.
var multicast6 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xff}), 8)

const multicastMetric = 256

// allLocalRoutes are the entries of the local table.
func (s *Socket) allLocalRoutes() (l []ip.RouteEntry) {
	for _, i := range s.ports.stack.Interfaces() {
		if i.Flags()&unix.IFF_UP == 0 {
			continue
		}
		six := false
		for _, a := range s.ports.stack.Addresses(i) {
			six = six || a.Prefix.Addr().Is6()
			if a.Flags&unix.IFA_F_TENTATIVE == 0 {
				l = append(l, localRoutes(i, &a)...)
			}
		}
		if six && !i.IsLoopback() {
			l = append(l, ip.RouteEntry{Dst: multicast6, OIF: i.Index(), Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_MULTICAST,
				Protocol: unix.RTPROT_KERNEL, Metric: multicastMetric})
		}
	}
	slices.SortStableFunc(l, ip.ListOrder)
	return l
}

// lastAddr is the broadcast address of an IPv4 network.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

func (s *Socket) dumpRoutes(d *dumper) error {
	family, table := d.r.Body[0], uint32(0)
	if len(d.r.Body) >= unix.SizeofRtMsg && s.option(unix.NETLINK_GET_STRICT_CHK) {
		table = uint32(d.r.Body[4])
		attrs, err := nlmsg.Attributes(d.r.Body[unix.SizeofRtMsg:])
		if err != nil {
			return err
		}
		if p, ok := attrs[unix.RTA_TABLE]; ok {
			if table, err = nlmsg.Uint32(p); err != nil {
				return err
			}
		}
	}
	for _, e := range append(s.allLocalRoutes(), s.ports.stack.Routes()...) {
		if family != unix.AF_UNSPEC && family != nlmsg.Family(e.Dst.Addr()) || table != 0 && table != e.Table {
			continue
		}
		d.next(unix.RTM_NEWROUTE, s.ports.rtmsg(&e)...)
		s.ports.putRoute(&d.Builder, &e)
		d.End()
	}
	return nil
}

// parseRoute reads a struct rtmsg with its attributes. EINVAL, EAFNOSUPPORT.
func parseRoute(r *nlmsg.Request) (e ip.RouteEntry, src netip.Addr, err error) {
	if len(r.Body) < unix.SizeofRtMsg {
		return e, src, unix.EINVAL
	}
	family, bits := r.Body[0], int(r.Body[1])
	e = ip.RouteEntry{TOS: r.Body[3], Table: uint32(r.Body[4]), Protocol: r.Body[5], Scope: r.Body[6], Type: r.Body[7],
		OnLink: ne.Uint32(r.Body[8:])&unix.RTNH_F_ONLINK != 0}
	var dst netip.Addr
	switch family {
	case unix.AF_INET:
		dst = netip.IPv4Unspecified()
	case unix.AF_INET6:
		dst = netip.IPv6Unspecified()
	default:
		return e, src, unix.EAFNOSUPPORT
	}
	attrs, err := nlmsg.Attributes(r.Body[unix.SizeofRtMsg:])
	if err != nil {
		return e, src, err
	}
	for typ, to := range map[uint16]*netip.Addr{unix.RTA_DST: &dst, unix.RTA_PREFSRC: &e.PrefSrc, unix.RTA_SRC: &src} {
		if p, ok := attrs[typ]; ok {
			if *to, err = nlmsg.Addr(family, p); err != nil {
				return e, src, err
			}
		}
	}
	if bits > dst.BitLen() {
		return e, src, unix.EINVAL
	}
	e.Dst = netip.PrefixFrom(dst, bits)
	var oif uint32
	for typ, to := range map[uint16]*uint32{unix.RTA_OIF: &oif, unix.RTA_PRIORITY: &e.Metric, unix.RTA_TABLE: &e.Table, rtaNexthopID: &e.Nexthop} {
		if p, ok := attrs[typ]; ok {
			if *to, err = nlmsg.Uint32(p); err != nil {
				return e, src, err
			}
		}
	}
	e.OIF = int32(oif)
	if e.Gateway, err = parseGateway(family, attrs); err != nil {
		return e, src, err
	}
	if p, ok := attrs[unix.RTA_MULTIPATH]; ok && len(p) > 0 {
		if e.Ways, err = parseWays(family, p); err != nil {
			return e, src, nlmsg.At(err, p)
		}
	}
	if e.Nexthop != 0 && (e.Ways != nil || e.Gateway.IsValid() || oif != 0) {
		return e, src, nlmsg.Refuse(unix.EINVAL, nil, "Nexthop specification and nexthop id are mutually exclusive")
	}
	if p, ok := attrs[unix.RTA_METRICS]; ok {
		metrics, err := nlmsg.Attributes(p)
		if err != nil {
			return e, src, err
		}
		if p, ok := metrics[unix.RTAX_MTU]; ok {
			mtu, err := nlmsg.Uint32(p)
			if err != nil {
				return e, src, err
			}
			e.MTU = int(mtu)
		}
	}
	return e, src, nil
}

// mayLead refuses a route to an object that is not there or that speaks another protocol. EINVAL.
func (p *Ports) mayLead(e *ip.RouteEntry) error {
	n, ok := p.stack.Nexthop(e.Nexthop)
	if !ok {
		return nlmsg.Refuse(unix.EINVAL, nil, "Nexthop id does not exist")
	}
	four := n.Family == unix.AF_INET
	for _, m := range n.Group {
		o, _ := p.stack.Nexthop(m.ID)
		four = four || o.Family == unix.AF_INET
	}
	if e.Dst.Addr().Is6() && four {
		return nlmsg.Refuse(unix.EINVAL, nil, "IPv6 routes can not use an IPv4 nexthop")
	}
	return nil
}

// changeRoute adds or removes a route.
func (s *Socket) changeRoute(r *nlmsg.Request) error {
	e, _, err := parseRoute(r)
	if err != nil {
		return err
	}
	stack := s.ports.stack
	if e.Table == unix.RT_TABLE_UNSPEC {
		e.Table = unix.RT_TABLE_MAIN
	}
	if r.Type == unix.RTM_DELROUTE {
		err = stack.RemoveRoute(e)
	} else {
		if e.Type == unix.RTN_LOCAL || e.Type == unix.RTN_BROADCAST || e.Type == unix.RTN_MULTICAST {
			return unix.EOPNOTSUPP
		}
		if e.Nexthop != 0 {
			if err := s.ports.mayLead(&e); err != nil {
				return err
			}
		}
		if r.Flags&unix.NLM_F_REPLACE != 0 {
			old := e
			old.Gateway, old.OIF, old.Nexthop = netip.Addr{}, 0, 0
			if err := stack.RemoveRoute(old); err != nil && r.Flags&unix.NLM_F_CREATE == 0 {
				return unix.ENOENT
			}
		} else if r.Flags&unix.NLM_F_CREATE == 0 {
			return unix.ENOENT
		}
		if err = stack.AddRoute(e); err == unix.ENETUNREACH && e.Dst.Addr().Is4() {
			err = nlmsg.Refuse(unix.ENETUNREACH, nil, "Nexthop has invalid gateway")
		}
	}
	return err
}
