package bridge

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// Input implements ip.Master: it forwards a frame that a port has received. The backlog is running.
func (b *Bridge) Input(port *ip.Interface, p *pkt.Packet) {
	h := wire.Ethernet(p.Header())
	src, dst := h.Src(), h.Dst()
	if !b.up.Load() || src.IsMulticast() || src == (wire.MAC{}) || linkLocal(dst) {
		p.Free()
		return
	}
	b.learn(src, port)
	switch {
	case dst.IsMulticast():
		b.flood(p.Clone(), port)
		b.deliver(p)
	case dst == b.own.Load().HWAddr():
		b.deliver(p)
	default:
		b.forward(p, dst, port)
	}
}

// linkLocal reports whether a destination is one of those that no bridge forwards (IEEE 802.1D,
// table 7-10). That of the spanning tree is not among them, as there is none.
func linkLocal(dst wire.MAC) bool {
	return [5]byte(dst[:5]) == [5]byte{0x01, 0x80, 0xc2, 0, 0} && dst[5] > 0 && dst[5] < 16
}

// Send implements link.Link: the bridge's own interface sends.
func (b *Bridge) Send(p *pkt.Packet) {
	h := wire.Ethernet(p.Pull(wire.EthernetLen))
	if h == nil || !b.up.Load() {
		p.Free()
		return
	}
	if dst := h.Dst(); dst.IsMulticast() {
		b.flood(p, nil)
	} else {
		b.forward(p, dst, nil)
	}
}

// deliver gives p to the bridge's own interface.
func (b *Bridge) deliver(p *pkt.Packet) { b.own.Load().Receive(p) }

// forward sends p, which came in by from, to a station.
func (b *Bridge) forward(p *pkt.Packet, dst wire.MAC, from *ip.Interface) {
	switch port := b.find(dst); {
	case port == nil:
		b.flood(p, from)
	case b.passes(from, port):
		send(p, port)
	default:
		p.Free()
	}
}

// flood sends p, which came in by from, by all ports where it may go.
func (b *Bridge) flood(p *pkt.Packet, from *ip.Interface) {
	var last *ip.Interface
	for _, port := range *b.ports.Load() {
		if !b.passes(from, port) || port.Flags()&unix.IFF_RUNNING == 0 {
			continue
		}
		if last != nil {
			send(p.Clone(), last)
		}
		last = port
	}
	if last == nil {
		p.Free()
		return
	}
	send(p, last)
}

// send sends p by a port, unless it is longer than that takes.
func send(p *pkt.Packet, port *ip.Interface) {
	const vlanTag = 4
	if p.GSOSize == 0 && p.Len() > port.MTU()+wire.EthernetLen+vlanTag {
		port.Stats.TxDropped.Add(1)
		p.Free()
		return
	}
	port.Transmit(p)
}
