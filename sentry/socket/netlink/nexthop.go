package netlink

import (
	"slices"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
)

// Layout of nexthop messages (linux/nexthop.h), and numbers that x/sys does not name.
const (
	nhmsgLen     = 8 // sizeof(struct nhmsg)
	groupLen     = 8 // sizeof(struct nexthop_grp)
	groupMpath   = 0 // NEXTHOP_GRP_TYPE_MPATH
	maxWeight    = 1 << 16
	rtaNexthopID = 30 // RTA_NH_ID
	nhaFDB       = 11 // NHA_FDB
	nhaBuckets   = 12 // NHA_RES_GROUP
)

// nhmsg is the struct nhmsg of an object.
func nhmsg(n *ip.Nexthop) []byte {
	scope := uint8(unix.RT_SCOPE_UNIVERSE)
	switch {
	case n.Blackhole || len(n.Group) > 0:
	case n.Way.Gateway.IsValid() || n.Family == unix.AF_INET6:
		scope = unix.RT_SCOPE_LINK
	default:
		scope = unix.RT_SCOPE_HOST
	}
	flags := uint32(0)
	if n.Way.OnLink {
		flags = unix.RTNH_F_ONLINK
	}
	return ne.AppendUint32([]byte{n.Family, scope, n.Protocol, 0}, flags)
}

// putNexthop appends the attributes of an object.
func putNexthop(m *nlmsg.Builder, n *ip.Nexthop) {
	m.Attr32(unix.NHA_ID, n.ID)
	switch {
	case len(n.Group) > 0:
		var group []byte
		for _, g := range n.Group {
			w := uint16(g.Weight - 1)
			group = append(ne.AppendUint32(group, g.ID), uint8(w), uint8(w>>8), 0, 0)
		}
		m.Attr(unix.NHA_GROUP, group)
		m.Attr(unix.NHA_GROUP_TYPE, ne.AppendUint16(nil, groupMpath))
	case n.Blackhole:
		m.Attr(unix.NHA_BLACKHOLE, nil)
	default:
		m.Attr32(unix.NHA_OIF, uint32(n.Way.OIF))
		if n.Way.Gateway.IsValid() {
			m.AttrAddr(unix.NHA_GATEWAY, n.Way.Gateway)
		}
	}
}

// nexthopID reads the number of a request that is about one object. EINVAL.
func nexthopID(attrs map[uint16][]byte) (uint32, error) {
	p, ok := attrs[unix.NHA_ID]
	if !ok {
		return 0, nlmsg.Refuse(unix.EINVAL, nil, "Nexthop id is missing")
	}
	id, err := nlmsg.Uint32(p)
	if err == nil && id == 0 {
		err = nlmsg.Refuse(unix.EINVAL, nil, "Invalid nexthop id")
	}
	return id, err
}

// nexthop serves a request about one object. EINVAL, EEXIST, ENOENT, EOPNOTSUPP for groups with buckets and for
// nexthops of bridges (fdb).
func (s *Socket) nexthop(r *nlmsg.Request) error {
	if len(r.Body) < nhmsgLen {
		return unix.EINVAL
	}
	attrs, err := nlmsg.Attributes(r.Body[nhmsgLen:])
	if err != nil {
		return err
	}
	if r.Type == unix.RTM_NEWNEXTHOP {
		return s.newNexthop(r, attrs)
	}
	id, err := nexthopID(attrs)
	if err != nil {
		return err
	}
	if r.Type == unix.RTM_DELNEXTHOP {
		return s.ports.stack.RemoveNexthop(id)
	}
	n, ok := s.ports.stack.Nexthop(id)
	if !ok {
		return unix.ENOENT
	}
	var m nlmsg.Builder
	m.Begin(unix.RTM_NEWNEXTHOP, 0, r.Seq, s.localPort(), nhmsg(&n)...)
	putNexthop(&m, &n)
	m.End()
	s.deliver(datagram{data: m.B})
	return nil
}

// newNexthop adds an object, or puts it in the place of another one.
func (s *Socket) newNexthop(r *nlmsg.Request, attrs map[uint16][]byte) error {
	n, err := s.parseNexthop(r, attrs)
	if err != nil {
		return err
	}
	replace := r.Flags&unix.NLM_F_REPLACE != 0
	old, exists := s.ports.stack.Nexthop(n.ID)
	switch {
	case !replace && r.Flags&unix.NLM_F_CREATE == 0:
		return nlmsg.Refuse(unix.EINVAL, nil, "Replace and create flags can not both be off")
	case !exists && r.Flags&unix.NLM_F_CREATE == 0:
		return unix.ENOENT
	case exists && replace && len(old.Group) == 0 && len(n.Group) > 0:
		return nlmsg.Refuse(unix.EINVAL, nil, "Can not replace a nexthop with a nexthop group.")
	case exists && replace && len(old.Group) > 0 && len(n.Group) == 0:
		return nlmsg.Refuse(unix.EINVAL, nil, "Can not replace a nexthop group with a nexthop.")
	}
	if err = s.ports.stack.AddNexthop(n, replace); err == unix.ENETUNREACH {
		err = nlmsg.Refuse(err.(unix.Errno), nil, "Nexthop has invalid gateway")
	}
	return err
}

// parseNexthop reads what a request says of a new object.
func (s *Socket) parseNexthop(r *nlmsg.Request, attrs map[uint16][]byte) (n ip.Nexthop, err error) {
	flags := ne.Uint32(r.Body[4:])
	n.Family, n.Protocol = r.Body[0], r.Body[2]
	if r.Body[1] != 0 || r.Body[3] != 0 {
		return n, nlmsg.Refuse(unix.EINVAL, nil, "Invalid values in ancillary header")
	}
	if flags&^unix.RTNH_F_ONLINK != 0 {
		return n, nlmsg.Refuse(unix.EINVAL, nil, "Invalid nexthop flags in ancillary header")
	}
	if p, ok := attrs[unix.NHA_ID]; ok {
		if n.ID, err = nlmsg.Uint32(p); err != nil {
			return n, err
		}
	}
	for _, attr := range [...]uint16{nhaFDB, unix.NHA_ENCAP, unix.NHA_ENCAP_TYPE, nhaBuckets} {
		if p, ok := attrs[attr]; ok {
			return n, nlmsg.At(unix.EOPNOTSUPP, p)
		}
	}
	if p, ok := attrs[unix.NHA_GROUP]; ok {
		if n.Family != unix.AF_UNSPEC {
			return n, nlmsg.Refuse(unix.EINVAL, nil, "Invalid family for group")
		}
		if typ := attrs[unix.NHA_GROUP_TYPE]; len(typ) >= 2 && ne.Uint16(typ) != groupMpath {
			return n, nlmsg.At(unix.EOPNOTSUPP, typ)
		}
		n.Group, err = s.parseGroup(p)
		return n, err
	}
	if n.Family != unix.AF_INET && n.Family != unix.AF_INET6 {
		return n, nlmsg.Refuse(unix.EINVAL, nil, "Invalid address family")
	}
	_, n.Blackhole = attrs[unix.NHA_BLACKHOLE]
	gateway, oif := attrs[unix.NHA_GATEWAY], attrs[unix.NHA_OIF]
	switch {
	case n.Blackhole && (gateway != nil || oif != nil):
		return n, nlmsg.Refuse(unix.EINVAL, nil, "Blackhole attribute can not be used with gateway, oif, encap or fdb")
	case n.Blackhole:
		if lo := s.ports.stack.InterfaceByName("lo"); lo == nil || lo.Flags()&unix.IFF_UP == 0 {
			return n, nlmsg.Refuse(unix.ENETDOWN, nil, "Device for nexthop is not up")
		}
		return n, nil
	case oif == nil:
		return n, nlmsg.Refuse(unix.EINVAL, nil, "Device attribute required for non-blackhole and non-fdb nexthops")
	}
	index, err := nlmsg.Uint32(oif)
	if err != nil {
		return n, err
	}
	i := s.ports.stack.Interface(int32(index))
	switch {
	case i == nil:
		return n, nlmsg.Refuse(unix.EINVAL, nil, "Invalid device index")
	case i.Flags()&unix.IFF_UP == 0:
		return n, nlmsg.Refuse(unix.ENETDOWN, nil, "Nexthop device is not up")
	case i.Flags()&unix.IFF_RUNNING == 0:
		return n, nlmsg.Refuse(unix.ENETDOWN, nil, "Carrier for nexthop device is down")
	}
	n.Way.OIF, n.Way.OnLink = int32(index), flags&unix.RTNH_F_ONLINK != 0
	if gateway != nil {
		n.Way.Gateway, err = nlmsg.Addr(n.Family, gateway)
	} else if n.Way.OnLink {
		err = nlmsg.Refuse(unix.EINVAL, nil, "ONLINK flag can not be set for nexthop without a gateway")
	}
	return n, err
}

// parseGroup reads the members of a group, which are to be there.
func (s *Socket) parseGroup(p []byte) (l []ip.Member, err error) {
	if len(p) == 0 || len(p)%groupLen != 0 {
		return nil, nlmsg.Refuse(unix.EINVAL, p, "Invalid length for nexthop group")
	}
	for g := range slices.Chunk(p, groupLen) {
		m := ip.Member{ID: ne.Uint32(g), Weight: int(g[4]) | int(g[5])<<8 + 1}
		n, ok := s.ports.stack.Nexthop(m.ID)
		switch {
		case m.Weight >= maxWeight:
			return nil, nlmsg.Refuse(unix.EINVAL, p, "Invalid value for weight")
		case slices.ContainsFunc(l, func(o ip.Member) bool { return o.ID == m.ID }):
			return nil, nlmsg.Refuse(unix.EINVAL, p, "Nexthop id can not be used twice in a group")
		case !ok:
			return nil, nlmsg.Refuse(unix.EINVAL, p, "Invalid nexthop id")
		case len(n.Group) > 0:
			return nil, nlmsg.Refuse(unix.EINVAL, nil, "Hash-threshold group can not be a nexthop within a group")
		case n.Blackhole && len(p) > groupLen:
			return nil, nlmsg.Refuse(unix.EINVAL, nil, "Blackhole nexthop can not be used in a group with more than 1 path")
		}
		l = append(l, m)
	}
	return l, nil
}

// dumpNexthops answers with the objects: all, or those of a family, by an interface, or the groups.
func (s *Socket) dumpNexthops(d *dumper) error {
	if len(d.r.Body) < nhmsgLen {
		return unix.EINVAL
	}
	family := d.r.Body[0]
	attrs, err := nlmsg.Attributes(d.r.Body[nhmsgLen:])
	if err != nil {
		return err
	}
	oif := uint32(0)
	if p, ok := attrs[unix.NHA_OIF]; ok {
		if oif, err = nlmsg.Uint32(p); err != nil {
			return err
		}
	}
	_, groups := attrs[unix.NHA_GROUPS]
	_, ported := attrs[unix.NHA_MASTER]
	for _, n := range s.ports.stack.Nexthops() {
		if family != unix.AF_UNSPEC && family != n.Family || oif != 0 && oif != uint32(n.Way.OIF) || groups && len(n.Group) == 0 ||
			ported && !s.hasMaster(&n, attrs[unix.NHA_MASTER]) {
			continue
		}
		d.next(unix.RTM_NEWNEXTHOP, nhmsg(&n)...)
		putNexthop(&d.Builder, &n)
		d.End()
	}
	return nil
}

// hasMaster reports whether the interface of an object is a port of the one of which p is the index.
func (s *Socket) hasMaster(n *ip.Nexthop, p []byte) bool {
	index, err := nlmsg.Uint32(p)
	i := s.ports.stack.Interface(n.Way.OIF)
	if err != nil || i == nil {
		return false
	}
	m := i.Master()
	return m != nil && m.Interface().Index() == int32(index)
}
