package ip

import (
	"net/netip"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// sendARPRequest asks for the address of target (RFC 826). src is the sender's
// protocol address; if it is invalid, a suitable one is chosen.
func (i *Interface) sendARPRequest(src, target netip.Addr, to wire.MAC) {
	if !src.IsValid() {
		if src = i.stack.conf.Load().source(i, target); !src.IsValid() {
			src = netip.IPv4Unspecified()
		}
	}
	i.sendARP(wire.ARPRequest, src, wire.MAC{}, target, to)
}

func (i *Interface) sendARP(op uint16, src netip.Addr, tmac wire.MAC, target netip.Addr, to wire.MAC) {
	p := pkt.New()
	wire.ARP(p.Append(wire.ARPLen)).Put(op, i.HWAddr(), src, tmac, target)
	p.EtherType = unix.ETH_P_ARP
	i.sendFrame(p, to)
}

// arpInput takes an ARP packet, which starts with its own header.
func (i *Interface) arpInput(p *pkt.Packet) {
	defer p.Free()
	h := wire.ARP(p.Pull(wire.ARPLen))
	if h == nil || !h.Valid() || i.flags.Load()&unix.IFF_NOARP != 0 {
		i.Stats.RxDropped.Add(1)
		return
	}
	sip, tip, smac := h.SenderIP(), h.TargetIP(), h.SenderMAC()
	if sip.IsMulticast() || sip.IsLoopback() || tip.IsMulticast() || tip.IsLoopback() || smac.IsMulticast() {
		return
	}
	s := i.stack
	mine := s.IsLocal(tip)
	switch h.Op() {
	case wire.ARPRequest:
		if mine && !s.IsLocal(sip) {
			if !sip.IsUnspecified() {
				i.learn(sip, smac, true, false, true)
			}
			i.sendARP(wire.ARPReply, tip, smac, sip, smac)
		} else if sip == tip {
			i.learn(sip, smac, false, false, true) // gratuitous
		}
	case wire.ARPReply:
		if !s.IsLocal(sip) && !sip.IsUnspecified() {
			i.learn(sip, smac, false, mine && p.Type == pkt.ToHost, true)
		}
	}
}
