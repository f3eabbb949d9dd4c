package ip

import (
	"net/netip"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// A Hook is a packet filter: it sees each packet, whole and starting with its network
// header, at the places NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_FORWARD,
// NF_INET_LOCAL_OUT and NF_INET_POST_ROUTING of its way, with the interfaces that are known
// there. It may change headers, together with p's fields of the same meaning, and p.Mark. An
// error says that it has freed p; the sender of a packet of this host is told.
type Hook func(at int, p *pkt.Packet, in, out *Interface) error

// SetHook sets the packet filter; with nil, packets pass without a look at them.
func (s *Stack) SetHook(h Hook) {
	if h == nil {
		s.hook.Store(nil)
		return
	}
	s.hook.Store(&h)
}

// Filtered reports whether there is a packet filter.
func (s *Stack) Filtered() bool { return s.hook.Load() != nil }

// filter shows p to the packet filter, if there is one.
func (s *Stack) filter(at int, p *pkt.Packet, in, out *Interface) error {
	h := s.hook.Load()
	if h == nil {
		return nil
	}
	return (*h)(at, p, in, out)
}

// preRouting shows the filter a packet that has come in by i, fragments put together. It
// returns nil if the packet goes no further.
func (s *Stack) preRouting(i *Interface, p *pkt.Packet) *pkt.Packet {
	if p.Dst.Is4() {
		if wire.IPv4(p.Header()).Frag()&^wire.IPv4DF != 0 {
			p = s.reassemble4(i, p)
		}
	} else {
		p = s.defragment6(i, p)
	}
	if p == nil || s.filter(unix.NF_INET_PRE_ROUTING, p, i, nil) != nil {
		return nil
	}
	return p
}

// defragment6 puts an IPv6 packet together if it is a fragment. Extension headers are
// processed later.
func (s *Stack) defragment6(i *Interface, p *pkt.Packet) *pkt.Packet {
	next, at, where := p.Proto, wire.IPv6Len, 6
	for next == wire.ExtHopByHop || next == wire.ExtDestination || next == wire.ExtRouting {
		h := p.Pull(at + 8)
		if h == nil {
			return p
		}
		next, where = h[at], at
		at += 8 + int(h[at+1])*8
	}
	if h := p.Pull(at + 8); next != wire.ExtFragment || h == nil || (uint16(h[at+2])<<8|uint16(h[at+3]))&^6 == 0 {
		return p
	}
	p.NetLen = uint16(at)
	if p = s.reassemble6(i, p, where); p != nil {
		p.NetLen, p.Proto = wire.IPv6Len, wire.IPv6(p.Header()).NextHeader()
	}
	return p
}

// leave shows the filter a packet of this host that goes by r, and returns the route that it
// takes: another one if the filter has changed where it goes. An error says that p is gone.
func (s *Stack) leave(p *pkt.Packet, r *Route) (*Route, error) {
	if s.hook.Load() == nil {
		return r, nil
	}
	dst, mark, tos := p.Dst, p.Mark, p.TOS
	if err := s.filter(unix.NF_INET_LOCAL_OUT, p, nil, r.Iface); err != nil {
		return nil, err
	}
	if p.Dst != dst || p.Mark != mark || p.TOS != tos {
		src := p.Src
		if !s.IsLocal(src) {
			src = netip.Addr{}
		}
		other, err := s.Lookup(src, p.Dst, 0, p.Mark)
		if err != nil {
			p.Free()
			return nil, err
		}
		r = &other
		p.OutIf = r.Iface.index
	}
	if err := s.filter(unix.NF_INET_POST_ROUTING, p, nil, r.Iface); err != nil {
		return nil, err
	}
	return r, nil
}

// AddrType is what an address is to this host, as inet_dev_addr_type has it: RTN_LOCAL,
// RTN_BROADCAST, RTN_MULTICAST, or RTN_UNICAST for all others. With an interface, only its
// own addresses are local.
func (s *Stack) AddrType(a netip.Addr, i *Interface) uint8 {
	c := s.conf.Load()
	local, _ := c.localIface(a)
	switch {
	case local != nil && (i == nil || local == i):
		return unix.RTN_LOCAL
	case a == limitedBroadcast || c.bcast[a] != nil && (i == nil || c.bcast[a] == i):
		return unix.RTN_BROADCAST
	case a.IsMulticast():
		return unix.RTN_MULTICAST
	}
	return unix.RTN_UNICAST
}
