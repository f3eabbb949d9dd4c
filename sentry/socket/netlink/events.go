package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
)

// Watching implements ip.Watcher.
func (p *Ports) Watching() bool { return p.members.Load() > 0 }

// Changed implements ip.Watcher: it tells the members of the groups of NETLINK_ROUTE.
func (p *Ports) Changed(e *ip.Event) {
	var m nlmsg.Builder
	kind := uint16(kindNew)
	if e.Removed {
		kind = kindDelete
	}
	begin := func(typ uint16, header []byte) { m.Begin(typ+kind, 0, 0, 0, header...) }
	group := uint32(unix.RTNLGRP_LINK)
	switch {
	case e.Address != nil:
		group = ofFamily(e.Address.Prefix.Addr().Is6(), unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
		begin(unix.RTM_NEWADDR, ifaddr(e.Interface, e.Address))
		putAddress(&m, e.Address)
	case e.Route != nil:
		group = ofFamily(e.Route.Dst.Addr().Is6(), unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
		begin(unix.RTM_NEWROUTE, p.rtmsg(e.Route))
		p.putRoute(&m, e.Route)
	case e.Neighbour != nil:
		group = unix.RTNLGRP_NEIGH
		begin(unix.RTM_NEWNEIGH, ndmsg(e.Neighbour))
		putNeighbour(&m, e.Neighbour)
	case e.Rule != nil:
		group = ofFamily(e.Rule.V6, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
		begin(unix.RTM_NEWRULE, ruleHeader(e.Rule))
		putRule(&m, e.Rule)
	case e.Nexthop != nil:
		group = unix.RTNLGRP_NEXTHOP
		begin(unix.RTM_NEWNEXTHOP, nhmsg(e.Nexthop))
		putNexthop(&m, e.Nexthop)
	default:
		begin(unix.RTM_NEWLINK, ifinfo(unix.AF_UNSPEC, e.Interface))
		p.putLink(&m, e.Interface)
	}
	m.End()
	p.publish(group, m.B)
	if a := e.Address; a != nil && a.Flags&unix.IFA_F_TENTATIVE == 0 && (e.Was == nil || e.Was.Flags&unix.IFA_F_TENTATIVE != 0) {
		p.localChanged(e)
	}
}

// localChanged tells of the entries of the local table that come or go with an address. Those for
// broadcasts are there only while the interface is up.
func (p *Ports) localChanged(e *ip.Event) {
	for _, r := range localRoutes(e.Interface, e.Address) {
		if r.Type == unix.RTN_LOCAL || e.Interface.Flags()&unix.IFF_UP != 0 {
			p.Changed(&ip.Event{Route: &r, Removed: e.Removed})
		}
	}
}

// ofFamily is the group of a family.
func ofFamily(v6 bool, four, six uint32) uint32 {
	if v6 {
		return six
	}
	return four
}
