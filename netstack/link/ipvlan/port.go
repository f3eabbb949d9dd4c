package ipvlan

import (
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link/upon"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// A port is the ipvlans upon one interface.
type port struct {
	upon.Port[*Link]
	mode, flags atomic.Uint32
	mtu         atomic.Int32 // of the interface below when Changed was called last
}

// join makes l one of the ipvlans upon the interface below. EBUSY.
func (l *Link) join() error {
	for {
		u, err := l.Origin().Sharer(func() ip.Upper {
			l.port = &port{}
			l.port.mtu.Store(int32(l.Origin().MTU()))
			l.port.Init(l)
			return l.port
		})
		if err != nil {
			return err
		}
		p, ok := u.(*port)
		if !ok {
			return unix.EBUSY
		}
		if l.port == nil {
			if added, _ := p.Add(l, func() bool { return true }); !added {
				continue
			}
			l.port = p
		}
		p.set(l.mode, l.flags)
		return nil
	}
}

// set sets mode and flags. In a new mode, interfaces that are there resolve neighbours or not.
func (p *port) set(mode, flags uint32) {
	p.flags.Store(flags)
	if p.mode.Swap(mode) == mode {
		return
	}
	for _, l := range p.Links() {
		if i := l.Iface(); i.Activated() || l.mode != mode {
			p.resolve(l)
		}
	}
}

// resolve says to the interface of a link whether there are neighbours to be resolved.
func (p *port) resolve(l *Link) {
	i := l.Iface()
	if p.mode.Load() == L3 {
		i.Stack().SetFlags(i, unix.IFF_NOARP, 0)
	} else {
		i.Stack().SetFlags(i, 0, unix.IFF_NOARP)
	}
}

// find is the link whose interface has an address and is up, or nil.
func (p *port) find(a netip.Addr) *Link {
	for _, l := range p.Links() {
		if i := l.Iface(); i.Flags()&unix.IFF_UP != 0 && i.Has(a) {
			return l
		}
	}
	return nil
}

// flood gives clones of b to the links but for from.
func (p *port) flood(b *pkt.Packet, from *Link) {
	for _, l := range p.Links() {
		if l != from && l.Iface().Flags()&unix.IFF_UP != 0 {
			give(b.Clone(), l.Receiver())
		}
	}
}

// Input implements ip.Upper.
func (p *port) Input(below *ip.Interface, b *pkt.Packet) bool {
	h := wire.Ethernet(b.Header())
	switch {
	case b.Tag.VLAN() != 0:
		return false
	case h.Dst().IsMulticast():
		if p.mode.Load() == L2 && h.Src() != below.HWAddr() {
			p.flood(b, nil)
		}
		return false
	case h.Dst() != below.HWAddr():
		return false
	}
	l := p.find(destination(b))
	if l == nil {
		return false
	}
	give(b, l.Receiver())
	return true
}

// Promiscuous implements ip.Upper.
func (*port) Promiscuous() bool { return false }

// Changed implements ip.Upper.
func (p *port) Changed(below *ip.Interface) {
	mtu := below.MTU()
	changed := p.mtu.Swap(int32(mtu)) != int32(mtu)
	for _, l := range p.Links() {
		own := l.Iface()
		if mac := below.HWAddr(); own.HWAddr() != mac {
			own.Stack().SetHWAddr(own, mac) // that of a station
		}
		if changed {
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
