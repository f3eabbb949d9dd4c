package macvlan

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link/upon"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// A port is the macvlans upon one interface.
type port struct{ upon.Port[*Link] }

// join makes l one of the macvlans upon the interface below. EBUSY, EINVAL.
func (l *Link) join() error {
	for {
		u, err := l.Origin().Sharer(func() ip.Upper {
			l.port = &port{}
			l.port.Init(l)
			return l.port
		})
		if err != nil || l.port != nil {
			return err
		}
		p, ok := u.(*port)
		if !ok {
			return unix.EBUSY
		}
		added, err := p.Add(l, func() bool { return l.Mode() != Passthru && !p.passthru() })
		if err != nil {
			return err
		}
		if added {
			l.port = p
			return nil
		}
	}
}

// passthru reports whether the interface's one macvlan is in mode Passthru.
func (p *port) passthru() bool {
	all := p.Links()
	return len(all) > 0 && all[0].Mode() == Passthru
}

// find is the link that has an address and is up, or nil.
func (p *port) find(mac wire.MAC) *Link {
	for _, l := range p.Links() {
		if i := l.Iface(); i.HWAddr() == mac && i.Flags()&unix.IFF_UP != 0 {
			return l
		}
	}
	return nil
}

// flood gives clones of b to the links in certain modes but for from.
func (p *port) flood(b *pkt.Packet, from *Link, modes func(mode uint32) bool) {
	for _, l := range p.Links() {
		if l != from && modes(l.Mode()) {
			l.give(b.Clone())
		}
	}
}

// Input implements ip.Upper.
func (p *port) Input(_ *ip.Interface, b *pkt.Packet) bool {
	h := wire.Ethernet(b.Header())
	if !h.Dst().IsMulticast() {
		l := p.find(h.Dst())
		if p.passthru() {
			l = p.Links()[0]
		}
		if l == nil {
			return false
		}
		l.give(b)
		return true
	}
	from := p.find(h.Src())
	switch {
	case from == nil:
		p.flood(b, nil, func(uint32) bool { return true })
	case from.Mode() == VEPA:
		p.flood(b, from, func(mode uint32) bool { return mode == VEPA || mode == Bridge })
	case from.Mode() == Bridge:
		// Others in this mode have seen the frame on its way out.
		p.flood(b, from, func(mode uint32) bool { return mode == VEPA })
	default:
		from.give(b)
		return true
	}
	return false
}

// Promiscuous implements ip.Upper.
func (p *port) Promiscuous() bool {
	return p.passthru() && p.Links()[0].Iface().Flags()&unix.IFF_UP != 0
}

// Changed implements ip.Upper.
func (p *port) Changed(below *ip.Interface) {
	for _, l := range p.Links() {
		own := l.Iface()
		if l.Mode() == Passthru && own.HWAddr() != below.HWAddr() {
			own.Stack().SetHWAddr(own, below.HWAddr()) // that of a station
		}
		if mtu := below.MTU(); own.MTU() > mtu {
			own.Stack().SetMTU(own, mtu)
		}
		own.CarrierChanged()
	}
}

// Gone implements ip.Upper.
func (p *port) Gone() {
	for _, l := range p.Links() {
		own := l.Iface()
		own.Stack().RemoveInterface(own.Index()) // somebody else may have done it
	}
}
