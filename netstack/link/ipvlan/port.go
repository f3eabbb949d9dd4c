package ipvlan

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// A port is the ipvlans upon one interface.
type port struct {
	below       *ip.Interface
	mode, flags atomic.Uint32
	mtu         atomic.Int32            // of the interface below when Changed was called last
	mu          sync.Mutex              // of changes
	links       atomic.Pointer[[]*Link] // in the order in which they came; none: the port is of no use any more
}

// join makes l one of the ipvlans upon the interface below. EBUSY.
func (l *Link) join() error {
	for {
		u, err := l.below.Sharer(func() ip.Upper {
			p := &port{below: l.below}
			p.mtu.Store(int32(l.below.MTU()))
			p.links.Store(&[]*Link{l})
			l.port = p
			return p
		})
		if err != nil {
			return err
		}
		p, ok := u.(*port)
		if !ok {
			return unix.EBUSY
		}
		if l.port != p && !p.add(l) {
			continue
		}
		p.set(l.mode, l.flags)
		return nil
	}
}

// add adds a link. It reports false if the port is of no use any more.
func (p *port) add(l *Link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := *p.links.Load()
	if len(old) == 0 {
		return false
	}
	all := append(slices.Clone(old), l)
	p.links.Store(&all)
	l.port = p
	return true
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

// set sets mode and flags. In a new mode, interfaces that are there resolve neighbours or not.
func (p *port) set(mode, flags uint32) {
	p.flags.Store(flags)
	if p.mode.Swap(mode) == mode {
		return
	}
	for _, l := range *p.links.Load() {
		if i := l.iface(); i.Activated() || l.mode != mode {
			p.resolve(l)
		}
	}
}

// resolve says to the interface of a link whether there are neighbours to be resolved.
func (p *port) resolve(l *Link) {
	i := l.iface()
	if p.mode.Load() == L3 {
		i.Stack().SetFlags(i, unix.IFF_NOARP, 0)
	} else {
		i.Stack().SetFlags(i, 0, unix.IFF_NOARP)
	}
}

// find is the link whose interface has an address and is up, or nil.
func (p *port) find(a netip.Addr) *Link {
	for _, l := range *p.links.Load() {
		if i := l.iface(); i.Flags()&unix.IFF_UP != 0 && i.Has(a) {
			return l
		}
	}
	return nil
}

// flood gives clones of b to the links but for from.
func (p *port) flood(b *pkt.Packet, from *Link) {
	for _, l := range *p.links.Load() {
		if l != from && l.iface().Flags()&unix.IFF_UP != 0 {
			give(b.Clone(), l.own.Load())
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
	give(b, l.own.Load())
	return true
}

// Promiscuous implements ip.Upper.
func (*port) Promiscuous() bool { return false }

// Changed implements ip.Upper.
func (p *port) Changed(below *ip.Interface) {
	mtu := below.MTU()
	changed := p.mtu.Swap(int32(mtu)) != int32(mtu)
	for _, l := range *p.links.Load() {
		own := l.iface()
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
	for _, l := range *p.links.Load() {
		own := l.iface()
		own.Stack().RemoveInterface(own.Index()) // somebody else may have done it
	}
}
