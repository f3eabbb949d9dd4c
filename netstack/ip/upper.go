package ip

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/pkt"
)

// An Upper is what lies upon an interface and has a share of what that receives, for interfaces of its
// own: the VLANs of an interface together, or its macvlans. It stays upon the interface when that
// moves to another stack.
type Upper interface {
	// Input takes a frame that the interface below has received, with its Ethernet header, or lets it
	// pass: it reports whether it has become the frame's owner. The backlog is running.
	Input(below *Interface, p *pkt.Packet) bool
	// Changed tells that the interface below has come up or gone down, or that its carrier, MTU or
	// hardware address has changed. No lock is held.
	Changed(below *Interface)
	// Promiscuous reports whether frames for other stations are wanted.
	Promiscuous() bool
	// Gone tells that the interface below goes: those upon it go with it. No lock is held.
	Gone()
}

// VLANs is an Upper that has the VLANs of an interface.
type VLANs interface {
	Upper
	// Has reports whether there is an interface for a VLAN.
	Has(tag pkt.Tag) bool
}

// upper are those who lie upon an interface.
type upper struct {
	mu sync.Mutex // of changes, also of Interface.master
	// vlans is who gets tagged frames first.
	vlans atomic.Pointer[VLANs]
	// sharer gets what the VLANs let pass. An interface that has one is no master's port.
	sharer atomic.Pointer[Upper]
}

// take offers a frame to those upon i, and reports whether one has taken it.
func (u *upper) take(i *Interface, p *pkt.Packet) bool {
	if v := u.vlans.Load(); v != nil && p.Tag.Type != 0 && (*v).Input(i, p) {
		return true
	}
	s := u.sharer.Load()
	return s != nil && (*s).Input(i, p)
}

// tellUpper calls Changed of those upon the interface.
func (i *Interface) tellUpper() {
	for _, x := range i.uppers() {
		x.Changed(i)
	}
}

// endUpper calls Gone of those upon the interface.
func (i *Interface) endUpper() {
	for _, x := range i.uppers() {
		x.Gone()
	}
}

// Promiscuity is how many there are who want frames for other stations (IFLA_PROMISCUITY).
func (i *Interface) Promiscuity() (n uint32) {
	if i.flags.Load()&unix.IFF_PROMISC != 0 {
		n++
	}
	if i.Master() != nil {
		n++
	}
	for _, x := range i.uppers() {
		if x.Promiscuous() {
			n++
		}
	}
	return n
}

// uppers are those upon the interface.
func (i *Interface) uppers() (l []Upper) {
	u := &i.origin.upper
	if v := u.vlans.Load(); v != nil {
		l = append(l, *v)
	}
	if s := u.sharer.Load(); s != nil {
		l = append(l, *s)
	}
	return l
}

// VLANs is who gets the interface's tagged frames. If that is nobody, made makes it.
func (i *Interface) VLANs(made func() VLANs) VLANs {
	u := &i.origin.upper
	u.mu.Lock()
	defer u.mu.Unlock()
	return get(&u.vlans, made)
}

// HasVLAN reports whether an interface upon this one has the frames with a tag.
func (i *Interface) HasVLAN(tag pkt.Tag) bool {
	v := i.origin.upper.vlans.Load()
	return v != nil && (*v).Has(tag)
}

// Sharer is who gets the interface's frames before its stack does. If that is nobody, made makes it.
// EBUSY if the interface is somebody's port.
func (i *Interface) Sharer(made func() Upper) (Upper, error) {
	u := &i.origin.upper
	u.mu.Lock()
	defer u.mu.Unlock()
	if i.Current().master.Load() != nil {
		return nil, unix.EBUSY
	}
	return get(&u.sharer, made), nil
}

func get[T any](of *atomic.Pointer[T], made func() T) T {
	if x := of.Load(); x != nil {
		return *x
	}
	x := made()
	of.Store(&x)
	return x
}

// Unshare ends that the interface has a Sharer, which is x.
func (i *Interface) Unshare(x Upper) {
	u := &i.origin.upper
	u.mu.Lock()
	defer u.mu.Unlock()
	if o := u.sharer.Load(); o != nil && *o == x {
		u.sharer.Store(nil)
	}
}
