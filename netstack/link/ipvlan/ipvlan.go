// Package ipvlan is a link that shares the hardware address of the interface that it is upon (ip-link(8), type
// ipvlan): what comes there for an IP address of the link's interface is its own.
//
// Locks: port.mu, a leaf. Frames are sent and delivered, and interfaces changed, with no lock held.
package ipvlan

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/upon"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// Modes (IPVLAN_MODE_*) of all links upon an interface.
const (
	L2 = 0 // what a link sends are frames, which go by the interface below
	L3 = 1 // they are packets, which the stack below routes
)

// Flags of all links upon an interface (IPVLAN_F_*).
const (
	Private = 1 // they do not reach each other
	VEPA    = 2 // they reach each other by a switch outside alone
)

// Link is the link of an ipvlan's interface.
type Link struct {
	upon.Base
	port *port
	// what the port gets with the link
	mode, flags uint32
}

// New makes a link upon an interface, or, if that is an ipvlan itself, upon what that is upon. Mode and flags are
// from then on those of the others there, too. EINVAL if the interface is none of Ethernet, or there is no such
// mode or flag.
func New(below *ip.Interface, mode, flags uint32) (*Link, error) {
	if l, ok := below.Link().(*Link); ok {
		below = l.Below()
	}
	info := below.Info()
	if info.Type != unix.ARPHRD_ETHER || !valid(mode, flags) {
		return nil, unix.EINVAL
	}
	l := &Link{mode: mode, flags: flags}
	l.Init(below, link.Info{Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, MTU: below.MTU(), HWAddr: info.HWAddr,
		GSOMax: 65535, Csum: true, Queues: 1})
	return l, nil
}

func valid(mode, flags uint32) bool { return mode <= L3 && flags < Private|VEPA }

// Kind is what rtnetlink calls links of this kind.
func (*Link) Kind() string { return "ipvlan" }

// Mode is the mode of all links upon the interface.
func (l *Link) Mode() uint32 { return l.port.mode.Load() }

// Flags are the flags of all links upon the interface.
func (l *Link) Flags() uint32 { return l.port.flags.Load() }

// Set sets mode and flags. EINVAL.
func (l *Link) Set(mode, flags uint32) error {
	if !valid(mode, flags) {
		return unix.EINVAL
	}
	l.port.set(mode, flags)
	return nil
}

// Attach implements link.Link: rx is an *ip.Interface. EBUSY if the one below is somebody else's.
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
	h := wire.Ethernet(p.Pull(wire.EthernetLen))
	if h == nil {
		p.Free()
		return
	}
	flags := l.Flags()
	dst := h.Dst()
	if l.Mode() == L3 {
		if dst.IsMulticast() {
			p.Free()
			return
		}
		if o := l.port.find(destination(p)); flags&VEPA == 0 && o != nil {
			l.pass(p, o.Receiver())
			return
		}
		p.Rx = (*relay)(l)
		l.Iface().Stack().Backlog.Put(p)
		return
	}
	switch {
	case dst.IsMulticast():
		l.port.flood(p, l)
	case dst == h.Src() && flags&VEPA == 0:
		if o := l.port.find(destination(p)); o != nil {
			l.pass(p, o.Receiver())
		} else {
			give(p, l.Origin()) // it is for the interface below
		}
		return
	}
	l.Below().Transmit(p)
}

// pass gives p to the interface of another link, unless they are private.
func (l *Link) pass(p *pkt.Packet, to *ip.Interface) {
	if l.Flags()&Private != 0 {
		p.Free()
		return
	}
	give(p, to)
}

// give has an interface receive p; the caller runs the backlog.
func give(p *pkt.Packet, to *ip.Interface) {
	p.Cross(to)
	to.Stack().Backlog.Put(p)
}

// relay is the link as who has the stack below send packets.
type relay Link

// Receive implements pkt.Receiver.
func (r *relay) Receive(p *pkt.Packet) { (*Link)(r).Below().Stack().Relay(p) }

// destination is the IP address that a frame is for; for ARP, that it is about.
func destination(p *pkt.Packet) netip.Addr {
	var b [wire.EthernetLen + wire.IPv6Len]byte
	n := p.CopyOut(0, b[:])
	if n < wire.EthernetLen {
		return netip.Addr{}
	}
	data := b[wire.EthernetLen:n]
	switch t := wire.Ethernet(b[:]).Type(); {
	case t == unix.ETH_P_IP && len(data) >= wire.IPv4MinLen:
		return wire.IPv4(data).Dst()
	case t == unix.ETH_P_IPV6 && len(data) >= wire.IPv6Len:
		return wire.IPv6(data).Dst()
	case t == unix.ETH_P_ARP && len(data) >= wire.ARPLen:
		return wire.ARP(data).TargetIP()
	}
	return netip.Addr{}
}

// SetUp implements link.Carried.
func (l *Link) SetUp(up bool) {
	if up {
		l.port.resolve(l)
	}
}

// Taken reports whether the interface of another link upon the same one has an address.
func (l *Link) Taken(a netip.Addr) bool {
	for _, o := range l.port.Links() {
		if o != l && o.Iface().Has(a) {
			return true
		}
	}
	return false
}
