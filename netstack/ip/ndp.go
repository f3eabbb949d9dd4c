package ip

import (
	"net/netip"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Flags of a neighbour advertisement (RFC 4861 section 4.4).
const (
	naRouter    = 0x80
	naSolicited = 0x40
	naOverride  = 0x20
)

// Options of neighbour discovery (RFC 4861 section 4.6).
const (
	ndpSourceLink = 1
	ndpTargetLink = 2
)

// ndpMinLen is the length of a solicitation or advertisement without options.
const ndpMinLen = wire.ICMPLen + 16

// ndpInput takes a neighbour discovery message (RFC 4861).
func (s *Stack) ndpInput(i *Interface, p *pkt.Packet, h wire.ICMP) {
	typ, rest := h.Type(), h.Rest()
	switch {
	case mldMessage(typ):
		i.mldInput(p, h)
		return
	case typ != wire.ICMPv6NeighborSolicit && typ != wire.ICMPv6NeighborAdvert && typ != wire.ICMPv6RouterAdvert:
		return
	}
	nl := int(p.NetLen)
	n := p.Len() - nl
	b := p.Pull(p.Len())
	if i.info.Type != unix.ARPHRD_ETHER || p.TTL != 255 || h.Code() != 0 || b == nil {
		return
	}
	b = b[nl:]
	if typ == wire.ICMPv6RouterAdvert {
		i.routerAdvertised(p.Src, b)
		return
	}
	if n < ndpMinLen {
		return
	}
	target := netip.AddrFrom16([16]byte(b[8:24]))
	if target.IsMulticast() || target.IsUnspecified() || target.Is4In6() {
		return
	}
	var mac wire.MAC
	hasMAC := false
	for o := b[ndpMinLen:]; len(o) >= 8; {
		l := int(o[1]) * 8
		if l == 0 || l > len(o) {
			return
		}
		if (o[0] == ndpSourceLink && typ == wire.ICMPv6NeighborSolicit || o[0] == ndpTargetLink && typ == wire.ICMPv6NeighborAdvert) && l == 8 {
			mac, hasMAC = wire.MAC(o[2:8]), true
		}
		o = o[l:]
	}
	if hasMAC && mac.IsMulticast() {
		return
	}
	if typ == wire.ICMPv6NeighborAdvert {
		flags := uint8(rest >> 24)
		if i.duplicate(target) {
			return
		}
		if p.Dst.IsMulticast() && flags&naSolicited != 0 || s.IsLocal(target) || !hasMAC {
			return
		}
		i.learn(target, mac, false, flags&naSolicited != 0, flags&naOverride != 0)
		i.neigh.setRouter(target, flags&naRouter != 0)
		return
	}
	if p.Src.IsUnspecified() && i.duplicate(target) {
		return // somebody wants it as well
	}
	if !s.IsLocal(target) {
		return
	}
	if p.Src.IsUnspecified() {
		// Someone checks whether the address is free: it is not.
		if SolicitedNode(target) == p.Dst {
			i.sendAdvertisement(target, netip.IPv6LinkLocalAllNodes(), naOverride)
		}
		return
	}
	if hasMAC {
		i.learn(p.Src, mac, true, false, true)
	}
	i.sendAdvertisement(target, p.Src, naSolicited|naOverride)
}

// sendSolicitation asks for the address of target (RFC 4861 section 7.2.2).
func (i *Interface) sendSolicitation(src, target netip.Addr, to wire.MAC, unicast bool) {
	if !src.IsValid() {
		if src = i.stack.conf.Load().source(i, target); !src.IsValid() {
			return
		}
	}
	dst := SolicitedNode(target)
	if unicast {
		dst = target
	} else {
		to = wire.MulticastMAC(dst)
	}
	i.sendNDP(wire.ICMPv6NeighborSolicit, 0, target, ndpSourceLink, src, dst, to)
}

// sendAdvertisement answers a solicitation (RFC 4861 section 7.2.4).
func (i *Interface) sendAdvertisement(target, dst netip.Addr, flags uint8) {
	if i.conf6.Forwarding.Bool() {
		flags |= naRouter
	}
	if dst.IsMulticast() {
		i.sendNDP(wire.ICMPv6NeighborAdvert, uint32(flags)<<24, target, ndpTargetLink, target, dst, wire.MulticastMAC(dst))
		return
	}
	p := i.ndpMessage(wire.ICMPv6NeighborAdvert, uint32(flags)<<24, target, ndpTargetLink, target, dst)
	i.sendIP(p, dst, unix.RTN_UNICAST)
}

func (i *Interface) sendNDP(typ uint8, rest uint32, target netip.Addr, opt uint8, src, dst netip.Addr, to wire.MAC) {
	i.sendFrame(i.ndpMessage(typ, rest, target, opt, src, dst), to)
}

// ndpMessage makes a message with the interface's address as its option; 0: without.
func (i *Interface) ndpMessage(typ uint8, rest uint32, target netip.Addr, opt uint8, src, dst netip.Addr) *pkt.Packet {
	p := pkt.New()
	n := ndpMinLen
	if opt != 0 {
		n += 8
	}
	h := wire.ICMP(p.Append(n))
	h.Put(typ, 0, rest)
	t := target.As16()
	copy(h[8:], t[:])
	if opt != 0 {
		h[24], h[25] = opt, 1
		mac := i.HWAddr()
		copy(h[26:], mac[:])
	}
	i.finishNDP(p, src, dst)
	return p
}

// finishNDP completes a message: its checksum and its IPv6 header.
func (i *Interface) finishNDP(p *pkt.Packet, src, dst netip.Addr) {
	h := wire.ICMP(p.Header())
	p.Src, p.Dst, p.Proto, p.TTL = src, dst, unix.IPPROTO_ICMPV6, 255
	h.SetChecksum(^wire.Sum(h, wire.PseudoSum(src, dst, unix.IPPROTO_ICMPV6, len(h))))
	f := wire.IPv6Fields{Src: src, Dst: dst, PayloadLen: len(h), NextHeader: unix.IPPROTO_ICMPV6, HopLimit: 255}
	wire.IPv6(p.Prepend(wire.IPv6Len)).Put(&f)
	p.EtherType, p.NetLen = unix.ETH_P_IPV6, wire.IPv6Len
	p.Hash = wire.FlowHash(src, dst, 0, 0)
	c := &i.stack.Counters.ICMP6
	c.OutMsgs.Inc()
	c.OutType[h.Type()].Inc()
}
