package ip

import (
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// forward routes a packet that came in by i and is for another host (RFC 1812
// section 5, RFC 8200 section 3), if forwarding is on.
func (s *Stack) forward(i *Interface, p *pkt.Packet) {
	is4 := p.Dst.Is4()
	c, on := &s.Counters.IP, i.conf4.Forwarding.Bool()
	if !is4 {
		c, on = &s.Counters.IP6, i.conf6.Forwarding.Bool()
	}
	if !on || p.Type != pkt.ToHost || p.Src.IsUnspecified() ||
		p.Dst.IsLinkLocalUnicast() || p.Src.IsMulticast() || is4 && !i.mayCome(p.Src, p.Dst) || !is4 && (p.Src.IsLoopback() || p.Dst.IsLoopback()) {
		c.InAddrErrors.Inc()
		p.Free()
		return
	}
	if p.TTL <= 1 {
		c.InHdrErrors.Inc()
		if is4 {
			s.SendError(p, wire.ICMPTimeExceeded, wire.ICMPTTLExceeded, 0)
		} else {
			s.SendError(p, wire.ICMPv6TimeExceeded, wire.ICMPv6HopLimitExceeded, 0)
		}
		p.Free()
		return
	}
	r, err := s.lookup(p.Src, p.Dst, i.Name(), 0, p.Mark)
	if err != nil || r.Type != unix.RTN_UNICAST {
		c.InNoRoutes.Inc()
		if is4 {
			s.SendError(p, wire.ICMPUnreachable, wire.ICMPHostUnreachable, 0)
		} else {
			s.SendError(p, wire.ICMPv6Unreachable, wire.ICMPv6NoRoute, 0)
		}
		p.Free()
		return
	}
	h := p.Header()
	p.TTL--
	p.OutIf = r.Iface.index
	c.ForwDatagrams.Inc()
	if p.Hash == 0 {
		p.Hash = wire.FlowHash(p.Src, p.Dst, 0, 0)
	}
	if is4 {
		wire.IPv4(h).SetTTL(p.TTL)
		wire.IPv4(h).SetSum()
	} else {
		wire.IPv6(h).SetHopLimit(p.TTL)
	}
	if s.filter(unix.NF_INET_FORWARD, p, i, r.Iface) != nil || s.filter(unix.NF_INET_POST_ROUTING, p, nil, r.Iface) != nil {
		return
	}
	tooBig := p.Len() > r.MTU && p.GSOSize == 0 || p.GSOSize != 0 && int(p.GSOSize)+int(p.NetLen)+wire.TCPMinLen > r.MTU
	if is4 {
		if tooBig {
			if wire.IPv4(h).Frag()&wire.IPv4DF != 0 {
				c.FragFails.Inc()
				s.SendError(p, wire.ICMPUnreachable, wire.ICMPFragNeeded, uint32(r.MTU))
				p.Free()
				return
			}
			s.fragment4(p, &r)
			return
		}
	} else if tooBig {
		c.FragFails.Inc()
		s.SendError(p, wire.ICMPv6PacketTooBig, 0, uint32(r.MTU))
		p.Free()
		return
	}
	s.transmit(p, &r)
}
