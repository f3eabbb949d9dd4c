// Package upon is what links have in common that are upon another interface: VLANs, macvlans, ipvlans.
package upon

import (
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
)

// Base is a link upon an interface, without what its kind does with frames.
type Base struct {
	below *ip.Interface
	info  link.Info
	own   atomic.Pointer[ip.Interface]
}

// Init makes b a link upon an interface. It is called first.
func (b *Base) Init(below *ip.Interface, info link.Info) { b.below, b.info = below, info }

// Attached takes the receiver that link.Link's Attach gives: EINVAL if it is not an *ip.Interface.
func (b *Base) Attached(rx pkt.Receiver) error {
	i, ok := rx.(*ip.Interface)
	if !ok {
		return unix.EINVAL
	}
	b.own.Store(i)
	return nil
}

// Origin is the interface that the link is upon as it was made, whatever has become of it.
func (b *Base) Origin() *ip.Interface { return b.below }

// Below is the interface that the link is upon.
func (b *Base) Below() *ip.Interface { return b.below.Current() }

// Receiver is the interface that gets the link's frames.
func (b *Base) Receiver() *ip.Interface { return b.own.Load() }

// Iface is the interface that has the link.
func (b *Base) Iface() *ip.Interface { return b.own.Load().Current() }

// Info implements link.Link.
func (b *Base) Info() link.Info { return b.info }

// SetUp implements link.Carried.
func (*Base) SetUp(bool) {}

// Carrier implements link.Carried.
func (b *Base) Carrier() bool { return b.Below().Flags()&unix.IFF_RUNNING != 0 }

// A Port is the links of a kind that share one interface. The first makes it, and with the last it is of no use any
// more.
type Port[L comparable] struct {
	mu    sync.Mutex          // of changes
	links atomic.Pointer[[]L] // in the order in which they came
}

// Init gives the port its first link.
func (p *Port[L]) Init(first L) { p.links.Store(&[]L{first}) }

// Links are the links. It takes no lock.
func (p *Port[L]) Links() []L { return *p.links.Load() }

// Add adds a link unless the port is of no use any more, or, with EINVAL, fits reports that it does not go with the
// others.
func (p *Port[L]) Add(l L, fits func() bool) (added bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.Links()
	switch {
	case len(old) == 0:
		return false, nil
	case !fits():
		return false, unix.EINVAL
	}
	all := append(slices.Clone(old), l)
	p.links.Store(&all)
	return true, nil
}

// Leave removes a link. last is called if there is none left.
func (p *Port[L]) Leave(l L, last func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(p.Links()), func(o L) bool { return o == l })
	if len(all) == 0 {
		last()
	}
	p.links.Store(&all)
}
