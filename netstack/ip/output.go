package ip

import (
	"net/netip"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// MaxIPv4 is the longest IPv4 packet and the longest IPv6 payload in bytes.
const MaxIPv4 = 65535

// Output sends p, whose owner it becomes, along r. p starts with the transport
// header; Src, Dst, Proto, TTL, TOS, and for IPv4 ID and DF are set. EMSGSIZE if
// the packet may not be fragmented, ENETDOWN if the interface is down, EPERM if the
// packet filter drops it.
//
// The caller may hold its endpoint's lock; it calls Run when it no longer does.
func (s *Stack) Output(p *pkt.Packet, r *Route) error {
	i := r.Iface
	if !i.up() {
		p.Free()
		return unix.ENETDOWN
	}
	p.OutIf = i.index
	if p.Hash == 0 {
		p.Hash = wire.FlowHash(p.Src, p.Dst, 0, 0)
	}
	if p.Dst.Is4() {
		return s.output4(p, r)
	}
	return s.output6(p, r)
}

// OutputMulticast is Output for a packet that may be a multicast or broadcast:
// if this host is to get it as well, a copy comes in by the same interface.
func (s *Stack) OutputMulticast(p *pkt.Packet, r *Route, loop bool) error {
	i := r.Iface
	if r.Type == unix.RTN_BROADCAST || r.Type == unix.RTN_MULTICAST && loop && s.member(i, p.Dst) {
		if !i.loopback() && i.up() {
			q := p.Clone()
			q.Type = pkt.ToHost
			q.Hash = p.Hash
			if q.Csum == pkt.CsumPartial {
				q.Csum = pkt.CsumValid
			}
			q.Rx = (*returning)(i)
			if s.header(q) == nil {
				s.Backlog.Put(q)
			}
		}
	}
	return s.Output(p, r)
}

// A returning Interface gets what this host has sent by it to a group that it is in itself: that
// has no link header, and no packet socket sees it.
type returning Interface

// Receive implements pkt.Receiver.
func (r *returning) Receive(p *pkt.Packet) {
	i := (*Interface)(r)
	p.InIf = i.index
	switch {
	case !i.up():
		p.Free()
	case p.EtherType == unix.ETH_P_IP:
		i.input4(p)
	default:
		i.input6(p)
	}
}

// header puts the network header in front of p. EMSGSIZE, with p freed, if the
// packet is too long.
func (s *Stack) header(p *pkt.Packet) error {
	if p.Dst.Is4() {
		n := p.Len() + wire.IPv4MinLen
		if n > MaxIPv4 {
			p.Free()
			return unix.EMSGSIZE
		}
		put4(p.Prepend(wire.IPv4MinLen), p, n)
		p.EtherType, p.NetLen = unix.ETH_P_IP, wire.IPv4MinLen
		return nil
	}
	n := p.Len()
	if n > MaxIPv4 {
		p.Free()
		return unix.EMSGSIZE
	}
	put6(p.Prepend(wire.IPv6Len), p, n)
	p.EtherType, p.NetLen = unix.ETH_P_IPV6, wire.IPv6Len
	return nil
}

// put4 writes the header of p, which is n bytes long with it.
func put4(b []byte, p *pkt.Packet, n int) {
	f := wire.IPv4Fields{Src: p.Src, Dst: p.Dst, TotalLen: n, ID: p.ID, TOS: p.TOS, TTL: p.TTL, Proto: p.Proto}
	if p.DF {
		f.Frag = wire.IPv4DF
	}
	wire.IPv4(b).Put(&f)
}

// put6 writes the header of p, which is n bytes long without it.
func put6(b []byte, p *pkt.Packet, n int) {
	wire.IPv6(b).Put(&wire.IPv6Fields{Src: p.Src, Dst: p.Dst, PayloadLen: n, TrafficClass: p.TOS, HopLimit: p.TTL, NextHeader: p.Proto})
}

// Frame is what Output makes of p, in a frame from nobody to nobody, as its sender is shown it.
func (s *Stack) Frame(p *pkt.Packet) []byte {
	length, typ := wire.IPv6Len, uint16(unix.ETH_P_IPV6)
	if p.Dst.Is4() {
		length, typ = wire.IPv4MinLen, unix.ETH_P_IP
	}
	b := make([]byte, wire.EthernetLen+length+p.Len())
	wire.Ethernet(b).Put(wire.MAC{}, wire.MAC{}, typ)
	if header := b[wire.EthernetLen:]; p.Dst.Is4() {
		put4(header, p, len(header))
	} else {
		put6(header, p, p.Len())
	}
	p.CopyOut(0, b[wire.EthernetLen+length:])
	return b
}

// OutputHeader is Output for a packet that starts with a header of the caller's
// (IP_HDRINCL, IPV6_HDRINCL): of IPv4 length, checksum and, where they are zero, source
// and identification are filled in; of IPv6 nothing. EINVAL for a header that is no header,
// EMSGSIZE if the packet exceeds the MTU.
func (s *Stack) OutputHeader(p *pkt.Packet, r *Route) error {
	if r.Dst.Is6() {
		return s.outputHeader6(p, r)
	}
	h := wire.IPv4(p.Pull(wire.IPv4MinLen))
	if h != nil && h.HeaderLen() >= wire.IPv4MinLen {
		h = p.Pull(h.HeaderLen())
	}
	switch {
	case h == nil || h.HeaderLen() < wire.IPv4MinLen:
		p.Free()
		return unix.EINVAL
	case p.Len() > r.MTU || p.Len() > MaxIPv4:
		p.Free()
		return unix.EMSGSIZE
	case !r.Iface.up():
		p.Free()
		return unix.ENETDOWN
	}
	f := wire.IPv4Fields{Src: h.Src(), Dst: h.Dst(), TotalLen: p.Len(), ID: h.ID(), Frag: h.Frag(), TOS: h.TOS(), TTL: h.TTL(),
		Proto: h.Proto(), OptionsLen: h.HeaderLen() - wire.IPv4MinLen}
	if f.Src.IsUnspecified() {
		f.Src = r.Src
	}
	if f.ID == 0 {
		f.ID = s.NextID()
	}
	h.Put(&f)
	p.Src, p.Dst, p.Proto, p.TTL, p.TOS = f.Src, f.Dst, f.Proto, f.TTL, f.TOS
	p.EtherType, p.NetLen = unix.ETH_P_IP, uint16(h.HeaderLen())
	p.Hash, p.OutIf = wire.PacketHash(h), r.Iface.index
	s.Counters.IP.OutRequests.Inc()
	return s.depart(p, r)
}

// outputHeader6 is OutputHeader for IPv6.
func (s *Stack) outputHeader6(p *pkt.Packet, r *Route) error {
	h := wire.IPv6(p.Pull(wire.IPv6Len))
	switch {
	case p.Len() > r.MTU:
		p.Free()
		return unix.EMSGSIZE
	case h == nil:
		p.Free()
		return unix.EINVAL
	case !r.Iface.up():
		p.Free()
		return unix.ENETDOWN
	}
	p.Src, p.Dst, p.Proto, p.TTL, p.TOS = h.Src(), h.Dst(), h.NextHeader(), h.HopLimit(), h.TrafficClass()
	p.EtherType, p.NetLen = unix.ETH_P_IPV6, wire.IPv6Len
	p.Hash, p.OutIf = wire.PacketHash(h), r.Iface.index
	s.Counters.IP6.OutRequests.Inc()
	return s.depart(p, r)
}

// depart transmits p, which is complete, if the packet filter lets it.
func (s *Stack) depart(p *pkt.Packet, r *Route) error {
	r, err := s.leave(p, r)
	if err != nil {
		return err
	}
	s.transmit(p, r)
	return nil
}

func (s *Stack) output4(p *pkt.Packet, r *Route) error {
	s.Counters.IP.OutRequests.Inc()
	err := s.header(p)
	if err == nil {
		r, err = s.leave(p, r)
	}
	if err != nil {
		return err
	}
	if p.Len() > r.MTU && p.GSOSize == 0 {
		if p.DF {
			s.Counters.IP.FragFails.Inc()
			p.Free()
			return unix.EMSGSIZE
		}
		return s.fragment4(p, r)
	}
	s.transmit(p, r)
	return nil
}

func (s *Stack) output6(p *pkt.Packet, r *Route) error {
	s.Counters.IP6.OutRequests.Inc()
	err := s.header(p)
	if err == nil {
		r, err = s.leave(p, r)
	}
	if err != nil {
		return err
	}
	if p.Len() > r.MTU && p.GSOSize == 0 {
		if p.DF {
			s.Counters.IP6.FragFails.Inc()
			p.Free()
			return unix.EMSGSIZE
		}
		return s.fragment6(p, r)
	}
	s.transmit(p, r)
	return nil
}

// transmit sends a complete IP packet by r's interface. Segmentation and
// checksums that the link cannot do are done here.
func (s *Stack) transmit(p *pkt.Packet, r *Route) {
	i := r.Iface
	if p.GSOSize != 0 && p.Len() > i.info.GSOMax {
		s.Segment(p, func(q *pkt.Packet) { s.transmitOne(q, r) })
		return
	}
	s.transmitOne(p, r)
}

func (s *Stack) transmitOne(p *pkt.Packet, r *Route) {
	i := r.Iface
	if p.Csum == pkt.CsumPartial && !i.info.Csum {
		p.CompleteSum()
	}
	if i.loopback() {
		if r := s.redirect.Load(); r != nil {
			r.apply(p)
		}
		i.send(p)
		return
	}
	i.sendIP(p, r.Next, r.Type)
}

// SelectTTL is the TTL or hop limit for a packet to dst when the socket's own
// setting is ttl (-1: default).
func (s *Stack) SelectTTL(dst netip.Addr, ttl int32) uint8 {
	switch {
	case ttl >= 0:
		return uint8(ttl)
	case dst.Is4():
		return uint8(s.Params.DefaultTTL.Get())
	default:
		return uint8(s.Params.HopLimit.Get())
	}
}

// NextID is an identification for an IPv4 packet that may be fragmented.
func (s *Stack) NextID() uint16 { return uint16(s.ipid.Add(1)) }
