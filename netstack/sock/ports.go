package sock

import (
	"math/rand/v2"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// Binding is a socket's claim on a local port.
type Binding struct {
	Addr      netip.Addr // unmapped; invalid for the wildcard
	Port      uint16
	V6        bool // the wildcard, or address, of an AF_INET6 socket
	V6Only    bool
	Dev       int32
	ReuseAddr bool
	ReusePort bool
	UID       uint32
	// Listening: ReuseAddr does not help against it (TCP).
	Listening bool
	// Auto: the port was chosen by Connect; others may be, too.
	Auto bool

	active bool
	shares int // accepted connections that it stands for
}

// Ports is the table of bound ports of one protocol. Its lock is a leaf.
type Ports struct {
	mu sync.Mutex
	m  map[uint16][]*Binding
}

// overlaps reports whether two bindings of one port have addresses in common.
func (b *Binding) overlaps(c *Binding) bool {
	if b.Dev != 0 && c.Dev != 0 && b.Dev != c.Dev {
		return false
	}
	bw, cw := !b.Addr.IsValid(), !c.Addr.IsValid()
	switch {
	case !bw && !cw:
		return b.Addr == c.Addr
	case bw && cw:
		if b.V6 == c.V6 {
			return true
		}
		return !(b.V6 && b.V6Only) && !(c.V6 && c.V6Only)
	case cw:
		b, c = c, b
		fallthrough
	default:
		// b is a wildcard, c is not.
		if c.Addr.Is4() {
			return !b.V6 || !b.V6Only
		}
		return b.V6
	}
}

// conflicts reports whether c, which is there, keeps b from being bound or listening.
func (b *Binding) conflicts(c *Binding) bool {
	if !b.overlaps(c) {
		return false
	}
	if b.ReuseAddr && c.ReuseAddr && !c.Listening {
		return false
	}
	return !(b.ReusePort && c.ReusePort && b.UID == c.UID)
}

// Bind claims b.Port for b: EADDRINUSE if another binding conflicts.
func (t *Ports) Bind(b *Binding) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bind(b)
}

func (t *Ports) bind(b *Binding) error {
	for _, c := range t.m[b.Port] {
		if c != b && b.conflicts(c) {
			return unix.EADDRINUSE
		}
	}
	t.add(b)
	return nil
}

func (t *Ports) add(b *Binding) {
	if t.m == nil {
		t.m = make(map[uint16][]*Binding)
	}
	t.m[b.Port] = append(t.m[b.Port], b)
	b.active = true
}

// BindAny claims a random port in [lo, hi] that conflicts with no other.
// Reuse of an occupied port is tried only when no port is free.
func (t *Ports) BindAny(b *Binding, lo, hi int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := hi - lo + 1
	off := rand.IntN(n)
	for i := range n {
		b.Port = uint16(lo + (off+i)%n)
		if len(t.m[b.Port]) == 0 {
			t.add(b)
			return nil
		}
	}
	for i := range n {
		b.Port = uint16(lo + (off+i)%n)
		if t.bind(b) == nil {
			return nil
		}
	}
	b.Port = 0
	return unix.EADDRINUSE
}

// BindConnect claims for a connecting socket a port in [lo, hi], starting at
// offset off, that free accepts; free sees ports that are unused or used by
// connecting sockets only. EADDRNOTAVAIL if there is none.
func (t *Ports) BindConnect(b *Binding, lo, hi, off int, free func(port uint16) bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := hi - lo + 1
	b.Auto = true
next:
	for i := range n {
		port := uint16(lo + (off+i)%n)
		for _, c := range t.m[port] {
			if !c.Auto {
				continue next
			}
		}
		if free(port) {
			b.Port = port
			t.add(b)
			return nil
		}
	}
	return unix.EADDRNOTAVAIL
}

// SetListening marks b as listening after checking again that it may: EADDRINUSE.
func (t *Ports) SetListening(b *Binding) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := b.Listening
	b.Listening = true
	for _, c := range t.m[b.Port] {
		if c != b && b.conflicts(c) {
			b.Listening = was
			return unix.EADDRINUSE
		}
	}
	return nil
}

// ClearListening undoes SetListening.
func (t *Ports) ClearListening(b *Binding) {
	t.mu.Lock()
	b.Listening = false
	t.mu.Unlock()
}

// Share adds a claim like c for an accepted connection, which keeps its
// listener's port, without a check. Like claims are counted in one Binding.
func (t *Ports) Share(c Binding) *Binding {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.m[c.Port] {
		if b.shares > 0 && b.Auto == c.Auto && b.Addr == c.Addr && b.V6 == c.V6 && b.Dev == c.Dev &&
			b.ReuseAddr == c.ReuseAddr && b.ReusePort == c.ReusePort && b.UID == c.UID {
			b.shares++
			return b
		}
	}
	c.shares = 1
	c.Listening, c.active = false, false
	b := &c
	t.add(b)
	return b
}

// Update runs f, which changes b, under the table's lock.
func (t *Ports) Update(b *Binding, f func()) {
	t.mu.Lock()
	f()
	t.mu.Unlock()
}

// Release gives the claim up. Releasing twice does nothing.
func (t *Ports) Release(b *Binding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !b.active {
		return
	}
	if b.shares > 1 {
		b.shares--
		return
	}
	b.active, b.shares = false, 0
	l := t.m[b.Port]
	for i, c := range l {
		if c == b {
			l[i] = l[len(l)-1]
			l[len(l)-1] = nil
			l = l[:len(l)-1]
			break
		}
	}
	if len(l) == 0 {
		delete(t.m, b.Port)
	} else {
		t.m[b.Port] = l
	}
}
