package ip

import "sync/atomic"

// Notes are what users say of an interface that is nothing to the stack. They move with it.
type Notes struct {
	Alias    atomic.Pointer[string] // IFLA_IFALIAS; nil if there is none
	Group    atomic.Uint32          // IFLA_GROUP
	QueueLen atomic.Pointer[uint32] // IFLA_TXQLEN, in packets; nil if nobody has set it
}

// Notes are what users have said of the interface.
func (i *Interface) Notes() *Notes { return &i.origin.notes }

// Note has f change the notes, and tells of that. No lock is held.
func (i *Interface) Note(f func(n *Notes)) {
	f(i.Notes())
	i.changed()
}

// MakesLinkLocal reports whether Autoconfigure gives the interface a link-local address, which it does
// unless SetMakesLinkLocal has said otherwise (IFLA_INET6_ADDR_GEN_MODE).
func (i *Interface) MakesLinkLocal() bool { return !i.origin.noLinkLocal.Load() }

// SetMakesLinkLocal sets MakesLinkLocal.
func (i *Interface) SetMakesLinkLocal(on bool) { i.origin.noLinkLocal.Store(!on) }
