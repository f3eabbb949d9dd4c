package ip

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// Relay sends a complete IP packet that comes with an Ethernet header, as if a program of the stack had made it:
// by the stack's routes and filters. It is called with no lock held; the caller runs the backlog.
func (s *Stack) Relay(p *pkt.Packet) {
	h := p.Pull(wire.EthernetLen)
	if h == nil {
		p.Free()
		return
	}
	p.EtherType = wire.Ethernet(h).Type()
	p.TrimFront(wire.EthernetLen)
	if segmented := dissect(p); p.NetLen == 0 || p.GSOSize != 0 && !segmented {
		p.Free()
		return
	}
	r, err := s.Lookup(p.Src, p.Dst, 0, p.Mark)
	if err != nil || r.Type != unix.RTN_UNICAST && r.Type != unix.RTN_LOCAL || !r.Iface.up() {
		p.Free()
		return
	}
	p.OutIf = r.Iface.index
	to, err := s.leave(p, &r)
	switch {
	case err != nil:
	case p.Len() <= to.MTU || p.GSOSize != 0:
		s.transmit(p, to)
	case p.Dst.Is4() && wire.IPv4(p.Header()).Frag()&wire.IPv4DF == 0:
		s.fragment4(p, to)
	default:
		p.Free()
	}
}
