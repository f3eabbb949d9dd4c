package macvlan

import (
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// A port is the macvlans upon one interface.
type port struct {
	below *ip.Interface
	mu    sync.Mutex              // of changes
	links atomic.Pointer[[]*Link] // in the order in which they came; none: the port is of no use any more
}

// join makes l one of the macvlans upon the interface below. EBUSY, EINVAL.
func (l *Link) join() error {
	for {
		u, err := l.below.Sharer(func() ip.Upper {
			p := &port{below: l.below}
			p.links.Store(&[]*Link{l})
			l.port = p
			return p
		})
		if err != nil || l.port != nil {
			return err
		}
		p, ok := u.(*port)
		if !ok {
			return unix.EBUSY
		}
		p.mu.Lock()
		old := *p.links.Load()
		gone := len(old) == 0
		fits := l.Mode() != Passthru && !p.passthru()
		if !gone && fits {
			all := append(slices.Clone(old), l)
			p.links.Store(&all)
			l.port = p
		}
		p.mu.Unlock()
		if !gone && !fits {
			return unix.EINVAL
		}
		if !gone {
			return nil
		}
	}
}

func (p *port) leave(l *Link) {
	p.mu.Lock()
	all := slices.DeleteFunc(slices.Clone(*p.links.Load()), func(o *Link) bool { return o == l })
	if len(all) == 0 {
		p.below.Unshare(p)
	}
	p.links.Store(&all)
	p.mu.Unlock()
}

// passthru reports whether the interface's one macvlan is in mode Passthru.
func (p *port) passthru() bool {
	all := *p.links.Load()
	return len(all) > 0 && all[0].Mode() == Passthru
}

// find is the link that has an address and is up, or nil.
func (p *port) find(mac wire.MAC) *Link {
	for _, l := range *p.links.Load() {
		if i := l.iface(); i.HWAddr() == mac && i.Flags()&unix.IFF_UP != 0 {
			return l
		}
	}
	return nil
}

// flood gives clones of b to the links in certain modes but for from.
func (p *port) flood(b *pkt.Packet, from *Link, modes func(mode uint32) bool) {
	for _, l := range *p.links.Load() {
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
			l = (*p.links.Load())[0]
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
	return p.passthru() && (*p.links.Load())[0].iface().Flags()&unix.IFF_UP != 0
}

// Changed implements ip.Upper.
func (p *port) Changed(below *ip.Interface) {
	for _, l := range *p.links.Load() {
		own := l.iface()
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
	for _, l := range *p.links.Load() {
		own := l.iface()
		own.Stack().RemoveInterface(own.Index()) // somebody else may have done it
	}
}
