package ip

import (
	"net/netip"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// sendIP sends a complete IP packet to the neighbour next.
func (i *Interface) sendIP(p *pkt.Packet, next netip.Addr, typ uint8) {
	i.Stats.TxPackets.Add(1)
	i.Stats.TxBytes.Add(uint64(p.Len()))
	p.Type = pkt.Outgoing
	i.tap(p)
	i.link.Send(p)
}

// ndpInput takes a neighbour discovery message.
func (s *Stack) ndpInput(i *Interface, p *pkt.Packet, h wire.ICMP) {}
