package ip

import (
	"net/netip"
	"time"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// mldRouters is the group of all routers that speak MLDv2.
var mldRouters = netip.AddrFrom16([16]byte{0xff, 0x02, 15: 0x16})

// Lengths of MLD messages in bytes (RFC 2710 section 3, RFC 3810 section 5.1).
const (
	mldLen        = wire.ICMPLen + 16
	mldv2QueryLen = mldLen + 4
)

// mldInput takes a message of multicast listener discovery.
func (i *Interface) mldInput(p *pkt.Packet, h wire.ICMP) {
	nl := int(p.NetLen)
	n := p.Len() - nl
	b := p.Pull(nl + mldLen)
	if b == nil || p.TTL != 1 || !p.Src.IsLinkLocalUnicast() || i.loopback() {
		return
	}
	group := netip.AddrFrom16([16]byte(b[nl+wire.ICMPLen:]))
	switch h.Type() {
	case wire.ICMPv6MLDQuery:
		if !group.IsUnspecified() && !group.IsMulticast() {
			return
		}
		code := uint16(h.Rest() >> 16)
		switch {
		case n == mldLen:
			i.mld.query(1, group, time.Duration(code)*time.Millisecond)
		case n >= mldv2QueryLen:
			i.mld.query(2, group, time.Duration(wire.FloatCode16(code))*time.Millisecond)
		}
	case wire.ICMPv6MLDReport:
		i.mld.heard(group)
	}
}

// sendMLDv1 sends a report or done message of version 1.
func (i *Interface) sendMLDv1(typ uint8, group, dst netip.Addr) {
	p := pkt.New()
	h := wire.ICMP(p.Append(mldLen))
	h.Put(typ, 0, 0)
	copy(h[wire.ICMPLen:], group.AsSlice())
	i.sendGroup6(p, dst)
}

// sendMLDv2 sends a report of version 2.
func (i *Interface) sendMLDv2(records []wire.GroupRecord) {
	p := pkt.New()
	h := wire.ICMP(p.Append(8 + len(records)*wire.RecordLen(mldRouters)))
	h.Put(wire.ICMPv6MLDv2Report, 0, 0)
	wire.PutRecords(h, records)
	i.sendGroup6(p, mldRouters)
}

// sendGroup6 sends an MLD message with the router alert option (RFC 2711), from the
// interface's link-local address or, until it has one, from none (RFC 3590).
func (i *Interface) sendGroup6(p *pkt.Packet, dst netip.Addr) {
	s := i.stack
	src := i.linkLocal()
	h := wire.ICMP(p.Header())
	h.SetChecksum(^wire.Sum(h, wire.PseudoSum(src, dst, unix.IPPROTO_ICMPV6, len(h))))
	copy(p.Prepend(8), []byte{unix.IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0})
	f := wire.IPv6Fields{Src: src, Dst: dst, PayloadLen: p.Len(), NextHeader: wire.ExtHopByHop, HopLimit: 1}
	wire.IPv6(p.Prepend(wire.IPv6Len)).Put(&f)
	p.Src, p.Dst, p.Proto, p.TTL = src, dst, unix.IPPROTO_ICMPV6, 1
	p.EtherType, p.NetLen, p.OutIf = unix.ETH_P_IPV6, wire.IPv6Len, i.index
	p.Hash = wire.FlowHash(src, dst, 0, 0)
	c := &s.Counters.ICMP6
	c.OutMsgs.Inc()
	c.OutType[h.Type()].Inc()
	i.sendIP(p, dst, unix.RTN_MULTICAST)
}

// linkLocal is the interface's link-local address, or :: if it has none that is known to
// be free.
func (i *Interface) linkLocal() netip.Addr {
	for _, a := range i.stack.conf.Load().addrs[i.index] {
		if ad := a.Prefix.Addr(); ad.Is6() && ad.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			return ad
		}
	}
	return netip.IPv6Unspecified()
}

// mldMessage reports whether an ICMPv6 type is MLD's.
func mldMessage(typ uint8) bool {
	return typ == wire.ICMPv6MLDQuery || typ == wire.ICMPv6MLDReport || typ == wire.ICMPv6MLDDone || typ == wire.ICMPv6MLDv2Report
}
