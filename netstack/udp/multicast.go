package udp

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// group is a membership of an endpoint.
type group struct {
	ifindex int32
	addr    netip.Addr
	// include: datagrams of the sources alone are received; otherwise of all but them.
	include bool
	sources []netip.Addr
}

// takes reports whether the membership lets datagrams of a source through.
func (g *group) takes(src netip.Addr) bool { return slices.Contains(g.sources, src) == g.include }

// inGroup reports whether the endpoint takes a multicast from src to a that came in by
// interface in: as a member, or as one of all with IP_MULTICAST_ALL.
func (e *Endpoint) inGroup(k *key, src, a netip.Addr, in int32) bool {
	member := false
	for _, g := range k.groups {
		if g.addr == a {
			if g.ifindex == in {
				return g.takes(src)
			}
			member = true
		}
	}
	if a.Is6() {
		return !member && e.opts.MulticastAll6.Load()
	}
	return !member && e.opts.MulticastAll.Load()
}

// JoinGroup is IP_ADD_MEMBERSHIP and IPV6_JOIN_GROUP: interface index, or if
// that is 0 the one that has address local, or else the route's. EINVAL,
// ENODEV, EADDRINUSE if it is a member already, ENOBUFS.
func (e *Endpoint) JoinGroup(a netip.Addr, index int32, local netip.Addr) error {
	index, err := e.groupIface(a, index, local)
	if err != nil {
		return err
	}
	return e.join(group{ifindex: index, addr: a})
}

// join adds a membership.
func (e *Endpoint) join(g group) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.ContainsFunc(e.groups, func(o group) bool { return o.addr == g.addr && o.ifindex == g.ifindex }) {
		return unix.EADDRINUSE
	}
	if len(e.groups) >= e.proto.ip.Params.MaxMemberships.Get() {
		return unix.ENOBUFS
	}
	if err := e.proto.ip.JoinGroup(g.ifindex, g.addr); err != nil {
		return err
	}
	e.groups = append(slices.Clone(e.groups), g)
	e.publish()
	return nil
}

// JoinSource is IP_ADD_SOURCE_MEMBERSHIP and MCAST_JOIN_SOURCE_GROUP: a membership for
// datagrams of src, or one more source of it. EADDRNOTAVAIL if it has the source, EINVAL if
// it is one for all sources, ENOBUFS; and those of JoinGroup.
func (e *Endpoint) JoinSource(a netip.Addr, index int32, local, src netip.Addr) error {
	index, err := e.groupIface(a, index, local)
	if err != nil {
		return err
	}
	err = e.changeSources(a, index, true, func(g *group) error {
		if slices.Contains(g.sources, src) {
			return unix.EADDRNOTAVAIL
		}
		if len(g.sources) >= e.proto.ip.Params.MaxSources.Get() {
			return unix.ENOBUFS
		}
		g.sources = append(slices.Clone(g.sources), src)
		return nil
	})
	if err != errNoMember {
		return err
	}
	return e.join(group{ifindex: index, addr: a, include: true, sources: []netip.Addr{src}})
}

// LeaveSource is IP_DROP_SOURCE_MEMBERSHIP and MCAST_LEAVE_SOURCE_GROUP; the last source
// ends the membership. EADDRNOTAVAIL, EINVAL.
func (e *Endpoint) LeaveSource(a netip.Addr, index int32, local, src netip.Addr) error {
	index, err := e.groupIface(a, index, local)
	if err != nil {
		return err
	}
	last := false
	err = e.changeSources(a, index, true, func(g *group) error {
		k := slices.Index(g.sources, src)
		if k < 0 {
			return unix.EADDRNOTAVAIL
		}
		g.sources = slices.Delete(slices.Clone(g.sources), k, k+1)
		last = len(g.sources) == 0
		return nil
	})
	switch {
	case err == errNoMember:
		return unix.EINVAL
	case err == nil && last:
		return e.LeaveGroup(a, index, local)
	}
	return err
}

// BlockSource is IP_BLOCK_SOURCE and MCAST_BLOCK_SOURCE, or IP_UNBLOCK_SOURCE and
// MCAST_UNBLOCK_SOURCE: whether a membership for all sources leaves one out. EADDRNOTAVAIL,
// EINVAL, ENOBUFS.
func (e *Endpoint) BlockSource(a netip.Addr, index int32, local, src netip.Addr, block bool) error {
	index, err := e.groupIface(a, index, local)
	if err != nil {
		return err
	}
	err = e.changeSources(a, index, false, func(g *group) error {
		k := slices.Index(g.sources, src)
		switch {
		case block == (k >= 0):
			return unix.EADDRNOTAVAIL
		case !block:
			g.sources = slices.Delete(slices.Clone(g.sources), k, k+1)
		case len(g.sources) >= e.proto.ip.Params.MaxSources.Get():
			return unix.ENOBUFS
		default:
			g.sources = append(slices.Clone(g.sources), src)
		}
		return nil
	})
	if err == errNoMember {
		return unix.EINVAL
	}
	return err
}

// errNoMember: there is no membership whose sources could change.
const errNoMember = unix.ENXIO

// changeSources changes the sources of a membership: EINVAL if it is of the other kind.
func (e *Endpoint) changeSources(a netip.Addr, index int32, include bool, change func(*group) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := slices.IndexFunc(e.groups, func(g group) bool { return g.addr == a && g.ifindex == index })
	if k < 0 {
		return errNoMember
	}
	g := e.groups[k]
	if g.include != include {
		return unix.EINVAL
	}
	if err := change(&g); err != nil {
		return err
	}
	e.groups = slices.Clone(e.groups)
	e.groups[k] = g
	e.publish()
	return nil
}

// LeaveGroup is IP_DROP_MEMBERSHIP and IPV6_LEAVE_GROUP: EADDRNOTAVAIL if it is
// no member.
func (e *Endpoint) LeaveGroup(a netip.Addr, index int32, local netip.Addr) error {
	if i, err := e.groupIface(a, index, local); err == nil {
		index = i
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	k := slices.IndexFunc(e.groups, func(g group) bool { return g.addr == a && (index == 0 || g.ifindex == index) })
	if k < 0 {
		return unix.EADDRNOTAVAIL
	}
	index = e.groups[k].ifindex
	e.groups = slices.Delete(slices.Clone(e.groups), k, k+1)
	e.publish()
	e.proto.ip.LeaveGroup(index, a)
	return nil
}

func (e *Endpoint) groupIface(a netip.Addr, index int32, local netip.Addr) (int32, error) {
	if !a.IsMulticast() {
		return 0, unix.EINVAL
	}
	s := e.proto.ip
	if index != 0 {
		if s.Interface(index) == nil {
			return 0, unix.ENODEV
		}
		return index, nil
	}
	if local.IsValid() && !local.IsUnspecified() {
		if i := s.InterfaceByAddr(local); i != nil {
			return i.Index(), nil
		}
		return 0, unix.ENODEV
	}
	r, err := s.Lookup(netip.Addr{}, a, 0, 0)
	if err != nil {
		return 0, unix.ENODEV
	}
	return r.Iface.Index(), nil
}

// SetGRO is UDP_GRO: datagrams that arrived as one are read as one.
func (e *Endpoint) SetGRO(on bool) { e.gro.Store(on) }

// GRO is UDP_GRO.
func (e *Endpoint) GRO() bool { return e.gro.Load() }
