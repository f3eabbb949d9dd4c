package bridge

import (
	"maps"

	"casemate/netstack/ip"
)

// PortOptions are what can be set of a port.
type PortOptions struct {
	Hairpin  bool // frames go back by the port that they came in by
	Isolated bool // no frames go from one isolated port to another
}

// PortOptions are those of a port.
func (b *Bridge) PortOptions(port *ip.Interface) (o PortOptions) {
	if m := b.options.Load(); m != nil {
		o = (*m)[port]
	}
	return o
}

// SetPortOptions sets those of a port, for as long as it is one.
func (b *Bridge) SetPortOptions(port *ip.Interface, o PortOptions) {
	b.mu.Lock()
	b.setOptions(port, o)
	b.mu.Unlock()
}

// setOptions is SetPortOptions. b.mu is held.
func (b *Bridge) setOptions(port *ip.Interface, o PortOptions) {
	m := map[*ip.Interface]PortOptions{}
	if old := b.options.Load(); old != nil {
		m = maps.Clone(*old)
	}
	if m[port] = o; o == (PortOptions{}) {
		delete(m, port)
	}
	b.options.Store(&m)
	if len(m) == 0 {
		b.options.Store(nil)
	}
}

// passes reports whether frames that came in by from, nil for those of the bridge's own interface, go out by to.
func (b *Bridge) passes(from, to *ip.Interface) bool {
	m := b.options.Load()
	switch {
	case m == nil:
		return from != to
	case from == to:
		return (*m)[from].Hairpin
	}
	return !((*m)[from].Isolated && (*m)[to].Isolated)
}
