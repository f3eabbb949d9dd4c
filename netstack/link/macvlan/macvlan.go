// Package macvlan is an Ethernet link with an address of its own upon an interface (ip-link(8), type
// macvlan): what comes there for the address is its own, and what it sends goes by that interface,
// or at once to another such link upon it.
//
// Locks: port.mu, a leaf. Frames are sent and delivered, and interfaces changed, with no lock held.
package macvlan

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/upon"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// Modes (MACVLAN_MODE_*), which say with which others upon the same interface a link has to do.
const (
	Private  = 1 // with none
	VEPA     = 2 // with those that a switch outside sends its frames back to
	Bridge   = 4 // with others in this mode, directly
	Passthru = 8 // there are no others: all that the interface receives is the link's
)

// Link is the link of a macvlan's interface.
type Link struct {
	upon.Base
	mode atomic.Uint32
	port *port
}

// New makes a link upon an interface, or, if that is a macvlan itself, upon what that is upon. In mode Passthru
// it has the address of the interface instead of mac. EINVAL for a mode that there is not or that the
// others there do not allow, or if the interface is none of Ethernet; EBUSY if it is somebody else's.
func New(below *ip.Interface, mode uint32, mac wire.MAC) (*Link, error) {
	if l, ok := below.Link().(*Link); ok {
		below = l.Below()
	}
	info := below.Info()
	if info.Type != unix.ARPHRD_ETHER || !valid(mode) {
		return nil, unix.EINVAL
	}
	if mode == Passthru {
		mac = info.HWAddr
	}
	l := &Link{}
	l.Init(below, link.Info{Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, MTU: below.MTU(),
		HWAddr: mac, GSOMax: 65535, Csum: true, Tags: true, Queues: 1})
	l.mode.Store(mode)
	return l, nil
}

func valid(mode uint32) bool {
	return mode == Private || mode == VEPA || mode == Bridge || mode == Passthru
}

// Kind is what rtnetlink calls links of this kind.
func (*Link) Kind() string { return "macvlan" }

// Mode is the link's mode.
func (l *Link) Mode() uint32 { return l.mode.Load() }

// SetMode sets the mode. EINVAL for one that there is not, and from and to Passthru.
func (l *Link) SetMode(mode uint32) error {
	if old := l.Mode(); !valid(mode) || (mode == Passthru) != (old == Passthru) {
		return unix.EINVAL
	}
	l.mode.Store(mode)
	return nil
}

// Attach implements link.Link: rx is an *ip.Interface. EBUSY, EINVAL as New.
func (l *Link) Attach(rx pkt.Receiver, _ *backlog.Set) error {
	if err := l.Attached(rx); err != nil {
		return err
	}
	return l.join()
}

// Close implements link.Link.
func (l *Link) Close() {
	if l.port != nil {
		l.port.Leave(l, func() { l.Origin().Unshare(l.port) })
	}
}

// Send implements link.Link.
func (l *Link) Send(p *pkt.Packet) {
	if h := wire.Ethernet(p.Pull(wire.EthernetLen)); h != nil && l.Mode() == Bridge {
		if dst := h.Dst(); dst.IsMulticast() {
			l.port.flood(p, l, func(mode uint32) bool { return mode == Bridge })
		} else if o := l.port.find(dst); o != nil && o.Mode() == Bridge {
			o.give(p)
			return
		}
	}
	l.Below().Transmit(p)
}

// give has the link's interface receive p; the caller runs the backlog.
func (l *Link) give(p *pkt.Packet) {
	i := l.Receiver()
	if l.Iface().Flags()&unix.IFF_UP == 0 {
		p.Free()
		return
	}
	p.Cross(i)
	i.Stack().Backlog.Put(p)
}

// MayRise implements link.Checked: EADDRINUSE if another one that is up, or the interface below, has the address.
func (l *Link) MayRise() error { return l.MayBe(l.Iface().HWAddr(), true) }

// MayBe returns why the link cannot have an address while it is up: EADDRINUSE, or nil.
func (l *Link) MayBe(mac wire.MAC, up bool) error {
	if !up || l.Mode() == Passthru {
		return nil
	}
	if o := l.port.find(mac); mac == l.Below().HWAddr() || o != nil && o != l {
		return unix.EADDRINUSE
	}
	return nil
}

// MayHave implements link.Checked: EINVAL beyond the MTU below.
func (l *Link) MayHave(mtu int) error {
	if mtu > l.Below().MTU() {
		return unix.EINVAL
	}
	return nil
}
