package ip

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/link"
)

// setLinkUp tells the link that its interface has come up or gone down. No lock is held.
func (i *Interface) setLinkUp(up bool) {
	if c, ok := i.link.(link.Carried); ok {
		c.SetUp(up)
	}
}

// running is IFF_RUNNING for an interface that is up and whose link has a carrier.
func (i *Interface) running() uint32 {
	if c, ok := i.link.(link.Carried); ok && !c.Carrier() {
		return 0
	}
	return unix.IFF_RUNNING
}

// CarrierChanged implements link.Listener.
func (i *Interface) CarrierChanged() {
	i = i.current()
	s := i.stack
	s.mu.Lock()
	old := i.flags.Load()
	if old&unix.IFF_UP != 0 {
		i.flags.And(^uint32(unix.IFF_RUNNING))
		i.flags.Or(i.running())
	}
	changed := i.flags.Load() != old
	if changed {
		s.tell(Event{Interface: i})
		if i.flags.Load()&unix.IFF_RUNNING == 0 && s.dropNexthops(i) {
			s.rebuild()
		}
	}
	s.mu.Unlock()
	if changed {
		i.portChanged()
		i.autoconfigure()
	}
}

// portChanged tells those to whom the interface belongs, or who lie upon it, that it has come up, gone
// down, or got or lost its carrier. No lock is held.
func (i *Interface) portChanged() {
	i.tellUpper()
	if m := i.Master(); m != nil {
		m.PortChanged(i)
	}
}

// LinkGone implements link.Listener: the interface goes with its link.
func (i *Interface) LinkGone() {
	i = i.current()
	i.stack.RemoveInterface(i.index) // somebody else may have done it
}
