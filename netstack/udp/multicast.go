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
}

// maxGroups is the most memberships of one endpoint (igmp_max_memberships).
const maxGroups = 20

// inGroup reports whether the endpoint takes a multicast to a that came in by
// interface in: as a member, or as one of all with IP_MULTICAST_ALL.
func (e *Endpoint) inGroup(k *key, a netip.Addr, in int32) bool {
	member := false
	for _, g := range k.groups {
		if g.addr == a {
			if g.ifindex == in {
				return true
			}
			member = true
		}
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
	e.mu.Lock()
	defer e.mu.Unlock()
	if slices.ContainsFunc(e.groups, func(g group) bool { return g.addr == a && g.ifindex == index }) {
		return unix.EADDRINUSE
	}
	if len(e.groups) >= maxGroups {
		return unix.ENOBUFS
	}
	if err := e.proto.ip.JoinGroup(index, a); err != nil {
		return err
	}
	e.groups = append(slices.Clone(e.groups), group{ifindex: index, addr: a})
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
