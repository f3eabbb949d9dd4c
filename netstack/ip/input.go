package ip

import (
	"net/netip"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Receive takes a packet that the interface's link has received. It implements
// pkt.Receiver and is called by the backlog.
func (i *Interface) Receive(p *pkt.Packet) {
	if !i.up() {
		if h := i.heir.Load(); h != nil {
			h.Receive(p)
			return
		}
		i.Stats.RxDropped.Add(1)
		p.Free()
		return
	}
	i.Stats.RxPackets.Add(1)
	i.Stats.RxBytes.Add(uint64(p.Len()))
	p.InIf = i.index
	if i.info.Type == unix.ARPHRD_ETHER {
		h := wire.Ethernet(p.Pull(wire.EthernetLen))
		if h == nil {
			i.Stats.RxErrors.Add(1)
			p.Free()
			return
		}
		if p.EtherType = h.Type(); wire.IsTag(p.EtherType) && p.Tag.Type == 0 && !pullTag(p) {
			i.Stats.RxErrors.Add(1)
			p.Free()
			return
		}
		h = wire.Ethernet(p.Header())
		switch dst := h.Dst(); {
		case dst == i.HWAddr():
			p.Type = pkt.ToHost
		case dst == wire.BroadcastMAC:
			p.Type = pkt.Broadcast
		case dst.IsMulticast():
			p.Type = pkt.Multicast
			i.Stats.Multicast.Add(1)
		default:
			p.Type = pkt.OtherHost
		}
		i.tap(p)
		if i.origin.upper.take(i, p) {
			return
		}
		if m := i.master.Load(); m != nil {
			m.master.Input(i, p)
			return
		}
		if p.Type == pkt.OtherHost || p.Tag.VLAN() != 0 {
			p.Free()
			return
		}
		p.Tag = pkt.Tag{}
		p.TrimFront(wire.EthernetLen)
	} else {
		i.tap(p)
	}
	switch p.EtherType {
	case unix.ETH_P_ARP:
		i.arpInput(p)
	case unix.ETH_P_IP:
		i.input4(p)
	case unix.ETH_P_IPV6:
		i.input6(p)
	default:
		i.Stats.RxDropped.Add(1)
		p.Free()
	}
}

// input4 takes an IPv4 packet (RFC 1122 section 3.2.1).
func (i *Interface) input4(p *pkt.Packet) {
	s := i.stack
	c := &s.Counters.IP
	c.InReceives.Inc()
	h := wire.IPv4(p.Pull(wire.IPv4MinLen))
	if h == nil || h[0]>>4 != 4 || h.HeaderLen() < wire.IPv4MinLen {
		c.InHdrErrors.Inc()
		p.Free()
		return
	}
	hl := h.HeaderLen()
	if h = p.Pull(hl); h == nil {
		c.InHdrErrors.Inc()
		p.Free()
		return
	}
	total := h.TotalLen()
	switch {
	case total < hl:
		c.InHdrErrors.Inc()
		p.Free()
		return
	case total > p.Len():
		c.InTruncatedPkts.Inc()
		p.Free()
		return
	case !h.SumOK():
		c.InCsumErrors.Inc()
		p.Free()
		return
	}
	p.Truncate(total)
	p.NetLen = uint16(hl)
	p.Src, p.Dst = h.Src(), h.Dst()
	p.TTL, p.TOS, p.Proto = h.TTL(), h.TOS(), h.Proto()
	if s.hook.Load() != nil {
		if p = s.preRouting(i, p); p == nil {
			return
		}
		h = wire.IPv4(p.Header())
	}

	conf := s.conf.Load()
	local, _ := conf.localIface(p.Dst)
	switch {
	case local != nil:
		if p.Type != pkt.ToHost { // RFC 1122 section 3.3.6
			c.InDiscards.Inc()
			p.Free()
			return
		}
		if !i.mayCome(p.Src, p.Dst) {
			c.InAddrErrors.Inc() // a martian
			p.Free()
			return
		}
		i.cameBy(local, p)
	case p.Dst == limitedBroadcast || conf.bcast[p.Dst] != nil:
		p.Type = pkt.Broadcast
		c.InBcastPkts.Inc()
	case p.Dst.IsMulticast():
		p.Type = pkt.Multicast
		c.InMcastPkts.Inc()
		if !s.member(i, p.Dst) {
			c.InDiscards.Inc()
			p.Free()
			return
		}
	default:
		s.forward(i, p)
		return
	}
	if p.Src.IsMulticast() || p.Src == limitedBroadcast {
		c.InAddrErrors.Inc()
		p.Free()
		return
	}
	if h.Frag()&^(wire.IPv4DF) != 0 {
		if p = s.reassemble4(i, p); p == nil {
			return
		}
	}
	if s.filter(unix.NF_INET_LOCAL_IN, p, i, nil) != nil {
		return
	}
	c.InDelivers.Inc()
	s.deliver(i, p)
}

// cameBy notes that to sockets a packet which this host has sent to itself comes by the interface
// that has its destination, not by loopback.
func (i *Interface) cameBy(owner *Interface, p *pkt.Packet) {
	if i.loopback() {
		p.InIf = owner.index
	}
}

// mayCome reports whether an IPv4 packet from src to dst, a unicast, may come in by i: the
// parameters route_localnet, accept_local and rp_filter decide (ip-sysctl).
func (i *Interface) mayCome(src, dst netip.Addr) bool {
	if i.loopback() {
		return true
	}
	s := i.stack
	if (src.IsLoopback() || dst.IsLoopback()) && !i.conf4.RouteLocalnet.Bool() && !s.all4.RouteLocalnet.Bool() {
		return false
	}
	if s.IsLocal(src) {
		return i.conf4.AcceptLocal.Bool() || s.all4.AcceptLocal.Bool()
	}
	mode := max(i.conf4.RPFilter.Get(), s.all4.RPFilter.Get())
	if mode == 0 {
		return true
	}
	r, err := s.lookup(dst, src, "lo", 0, 0)
	return err == nil && r.Type == unix.RTN_UNICAST && (mode == 2 || r.Iface == i)
}

// deliver hands a packet for this host to its transport protocol.
func (s *Stack) deliver(i *Interface, p *pkt.Packet) {
	raw := s.rawInput(p)
	switch {
	case p.Proto == unix.IPPROTO_ICMP && p.Src.Is4():
		s.icmpInput(i, p)
	case p.Proto == unix.IPPROTO_IGMP && p.Src.Is4():
		i.igmpInput(p)
	case p.Proto == unix.IPPROTO_ICMPV6 && p.Src.Is6():
		s.icmp6Input(i, p)
	case s.proto[p.Proto] != nil:
		s.proto[p.Proto].Input(p)
	default:
		if !raw {
			if p.Src.Is4() {
				s.Counters.IP.InUnknownProtos.Inc()
				s.SendError(p, wire.ICMPUnreachable, wire.ICMPProtoUnreachable, 0)
			} else {
				s.Counters.IP6.InUnknownProtos.Inc()
				s.SendError(p, wire.ICMPv6ParamProblem, wire.ICMPv6UnknownNextHeader, 6)
			}
		}
		p.Free()
	}
}

// input6 takes an IPv6 packet (RFC 8200).
func (i *Interface) input6(p *pkt.Packet) {
	s := i.stack
	c := &s.Counters.IP6
	c.InReceives.Inc()
	if i.noIP6.Load() {
		c.InDiscards.Inc()
		p.Free()
		return
	}
	h := wire.IPv6(p.Pull(wire.IPv6Len))
	if h == nil || h[0]>>4 != 6 {
		c.InHdrErrors.Inc()
		p.Free()
		return
	}
	if n := wire.IPv6Len + h.PayloadLen(); n > p.Len() {
		c.InTruncatedPkts.Inc()
		p.Free()
		return
	} else if h.PayloadLen() != 0 || p.GSOSize == 0 {
		p.Truncate(n)
	}
	p.NetLen = wire.IPv6Len
	p.Src, p.Dst = h.Src(), h.Dst()
	p.TTL, p.TOS, p.Proto = h.HopLimit(), h.TrafficClass(), h.NextHeader()
	if p.Src.IsMulticast() || p.Dst.IsUnspecified() || p.Src.Is4In6() || p.Dst.Is4In6() {
		c.InAddrErrors.Inc()
		p.Free()
		return
	}
	if s.hook.Load() != nil {
		if p = s.preRouting(i, p); p == nil {
			return
		}
	}
	local, _ := s.conf.Load().localIface(p.Dst)
	switch {
	case local != nil:
		if !i.loopback() && (p.Dst.IsLoopback() || p.Src.IsLoopback()) {
			c.InAddrErrors.Inc()
			p.Free()
			return
		}
		i.cameBy(local, p)
	case p.Dst.IsMulticast():
		p.Type = pkt.Multicast
		c.InMcastPkts.Inc()
		if !s.member(i, p.Dst) {
			c.InDiscards.Inc()
			p.Free()
			return
		}
	default:
		s.forward(i, p)
		return
	}
	if p = s.extensions(i, p); p == nil || s.filter(unix.NF_INET_LOCAL_IN, p, i, nil) != nil {
		return
	}
	c.InDelivers.Inc()
	s.deliver(i, p)
}

// extensions processes extension headers (RFC 8200 section 4) until a transport
// header comes; p.NetLen and p.Proto then tell where and which. It returns nil
// when p has been consumed.
func (s *Stack) extensions(i *Interface, p *pkt.Packet) *pkt.Packet {
	c := &s.Counters.IP6
	where := 6 // offset of the Next Header field that named p.Proto
	for first := true; ; first = false {
		at := int(p.NetLen)
		switch p.Proto {
		case wire.ExtHopByHop, wire.ExtDestination, wire.ExtRouting:
			h := p.Pull(at + 8)
			if h != nil {
				h = p.Pull(at + 8 + int(h[at+1])*8)
			}
			if h == nil {
				c.InHdrErrors.Inc()
				p.Free()
				return nil
			}
			ext := h[at:]
			switch {
			case p.Proto == wire.ExtHopByHop && !first:
				s.SendError(p, wire.ICMPv6ParamProblem, wire.ICMPv6UnknownNextHeader, uint32(where))
				p.Free()
				return nil
			case p.Proto == wire.ExtRouting:
				if ext[3] != 0 { // segments left: no type is supported (RFC 5095)
					s.SendError(p, wire.ICMPv6ParamProblem, wire.ICMPv6BadHeader, uint32(at+2))
					c.InHdrErrors.Inc()
					p.Free()
					return nil
				}
			default:
				if !s.options6(p, ext, at) {
					c.InHdrErrors.Inc()
					p.Free()
					return nil
				}
			}
			p.Proto, where = ext[0], at
			p.NetLen += uint16(len(ext))
		case wire.ExtFragment:
			if p = s.reassemble6(i, p, where); p == nil {
				return nil
			}
			where = 6
			if p.Proto == wire.ExtFragment {
				return p // a fragment header inside a whole packet: unknown to deliver
			}
		case wire.ExtNone:
			p.Free()
			return nil
		default:
			return p
		}
	}
}

// options6 checks the options of a hop-by-hop or destination header (RFC 8200
// section 4.2) and reports whether the packet may go on.
func (s *Stack) options6(p *pkt.Packet, ext []byte, at int) bool {
	for n := 2; n < len(ext); {
		if ext[n] == 0 { // Pad1
			n++
			continue
		}
		if n+2 > len(ext) || n+2+int(ext[n+1]) > len(ext) {
			return false
		}
		switch t := ext[n]; t {
		case 1, 5: // PadN, router alert
		default:
			if t>>6 == 0 {
				break
			}
			if t>>6 == 2 || t>>6 == 3 && p.Type != pkt.Multicast {
				s.SendError(p, wire.ICMPv6ParamProblem, wire.ICMPv6UnknownOption, uint32(at+n))
			}
			return false
		}
		n += 2 + int(ext[n+1])
	}
	return true
}
