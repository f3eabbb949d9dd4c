package vlan

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
)

// A group is the VLANs upon one interface. It stays there when the last is gone.
type group struct {
	up    atomic.Bool // the interface was up when Changed was called last
	mu    sync.Mutex  // of changes
	links atomic.Pointer[map[pkt.Tag]*Link]
}

func newGroup(below *ip.Interface) func() ip.VLANs {
	return func() ip.VLANs {
		g := &group{}
		g.up.Store(below.Flags()&unix.IFF_UP != 0)
		g.links.Store(&map[pkt.Tag]*Link{})
		return g
	}
}

// find is the link of a VLAN, or nil. Priorities are nothing to it.
func (g *group) find(tag pkt.Tag) *Link {
	return (*g.links.Load())[pkt.Tag{Type: tag.Type, TCI: tag.VLAN()}]
}

// join makes l one of the VLANs upon the interface below. EEXIST.
func (l *Link) join() error {
	g := l.Origin().VLANs(newGroup(l.Origin())).(*group)
	g.mu.Lock()
	defer g.mu.Unlock()
	m := maps.Clone(*g.links.Load())
	if m[l.tag] != nil {
		return unix.EEXIST
	}
	m[l.tag] = l
	l.group = g
	g.links.Store(&m)
	return nil
}

func (g *group) leave(l *Link) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := maps.Clone(*g.links.Load())
	delete(m, l.tag)
	g.links.Store(&m)
}

// all are the links by number.
func (g *group) all() []*Link {
	return slices.SortedFunc(maps.Values(*g.links.Load()), func(a, b *Link) int { return int(a.tag.TCI) - int(b.tag.TCI) })
}

// Input implements ip.Upper.
func (g *group) Input(_ *ip.Interface, p *pkt.Packet) bool {
	l := g.find(p.Tag)
	if l == nil {
		return false
	}
	p.Tag = pkt.Tag{}
	l.Receiver().Receive(p)
	return true
}

// Has implements ip.VLANs.
func (g *group) Has(tag pkt.Tag) bool { return g.find(tag) != nil }

// Promiscuous implements ip.Upper.
func (*group) Promiscuous() bool { return false }

// Changed implements ip.Upper.
func (g *group) Changed(below *ip.Interface) {
	up := below.Flags()&unix.IFF_UP != 0
	switched := g.up.Swap(up) != up
	for _, l := range g.all() {
		l.follow(below, switched)
	}
}

// Gone implements ip.Upper.
func (g *group) Gone() {
	for _, l := range g.all() {
		own := l.Iface()
		own.Stack().RemoveInterface(own.Index()) // somebody else may have done it
	}
}
