package ip

import (
	"encoding/binary"
	"net/netip"
	"time"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

var (
	allRouters4  = netip.AddrFrom4([4]byte{224, 0, 0, 2})
	igmpRouters4 = netip.AddrFrom4([4]byte{224, 0, 0, 22})
)

// igmpInput takes an IGMP message (RFC 3376 section 6, RFC 2236 section 3).
func (i *Interface) igmpInput(p *pkt.Packet) {
	defer p.Free()
	nl := int(p.NetLen)
	b := p.Pull(nl + wire.IGMPLen)
	if b == nil || p.Csum == pkt.CsumNone && p.SumFrom(nl, 0) != 0xffff || i.loopback() {
		return
	}
	h := wire.IGMP(b[nl:])
	group := h.Group()
	switch h.Type() {
	case wire.IGMPQuery:
		if !group.IsUnspecified() && !group.IsMulticast() {
			return
		}
		const tenth = time.Second / 10
		switch {
		case p.Len()-nl >= wire.IGMPv3QueryLen:
			i.igmp.query(3, group, time.Duration(wire.FloatCode(h.MaxResp()))*tenth)
		case h.MaxResp() == 0:
			i.igmp.query(1, netip.IPv4Unspecified(), 100*tenth)
		default:
			i.igmp.query(2, group, time.Duration(h.MaxResp())*tenth)
		}
	case wire.IGMPv1Report, wire.IGMPv2Report:
		if p.Type != pkt.ToHost {
			i.igmp.heard(group)
		}
	}
}

// sendIGMP sends a message of version 1 or 2.
func (i *Interface) sendIGMP(typ uint8, group, dst netip.Addr) {
	p := pkt.New()
	wire.IGMP(p.Append(wire.IGMPLen)).Put(typ, group)
	i.sendGroup4(p, dst)
}

// sendIGMPv3 sends a report of version 3.
func (i *Interface) sendIGMPv3(records []wire.GroupRecord) {
	p := pkt.New()
	b := p.Append(8 + len(records)*wire.RecordLen(igmpRouters4))
	clear(b[:8])
	b[0] = wire.IGMPv3Report
	wire.PutRecords(b, records)
	binary.BigEndian.PutUint16(b[2:], ^wire.Sum(b, 0))
	i.sendGroup4(p, igmpRouters4)
}

// sendGroup4 sends an IGMP message with the router alert option (RFC 2113).
func (i *Interface) sendGroup4(p *pkt.Packet, dst netip.Addr) {
	s := i.stack
	src := s.conf.Load().source(i, dst)
	if !src.IsValid() {
		src = netip.IPv4Unspecified()
	}
	const options = 4
	f := wire.IPv4Fields{Src: src, Dst: dst, TotalLen: wire.IPv4MinLen + options + p.Len(), ID: s.NextID(), Frag: wire.IPv4DF,
		TOS: 0xc0, TTL: 1, Proto: unix.IPPROTO_IGMP, OptionsLen: options}
	h := wire.IPv4(p.Prepend(wire.IPv4MinLen + options))
	copy(h[wire.IPv4MinLen:], []byte{0x94, options, 0, 0})
	h.Put(&f)
	p.Src, p.Dst, p.Proto, p.TTL, p.TOS = src, dst, f.Proto, f.TTL, f.TOS
	p.EtherType, p.NetLen, p.OutIf = unix.ETH_P_IP, wire.IPv4MinLen+options, i.index
	p.Hash = wire.FlowHash(src, dst, 0, 0)
	s.Counters.IP.OutRequests.Inc()
	i.sendIP(p, dst, unix.RTN_MULTICAST)
}
