// Package vlan is a VLAN upon an Ethernet interface (ip-link(8), type vlan; IEEE 802.1Q): what it sends
// goes by that interface with its tag, and what comes there with the tag is its own.
//
// Locks: group.mu, a leaf. Frames are sent and delivered, and interfaces changed, with no lock held.
package vlan

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

// MaxID is the largest number of a VLAN.
const MaxID = 4094

// Link is the link of a VLAN's interface.
type Link struct {
	upon.Base
	tag   pkt.Tag // without a priority
	group *group
	// inherited is the hardware address that the interface has from the one below; nil if it has its own.
	inherited atomic.Pointer[wire.MAC]
	// Loose says that the interface does not come up and go down with the one below.
	Loose atomic.Bool
}

// New makes a link for the VLAN upon an interface that the tag names, with a hardware address, or, if that is
// zero, with that of the interface. EOPNOTSUPP if it has no frames that could have tags, EEXIST if there
// is such a link.
func New(below *ip.Interface, tag pkt.Tag, mac wire.MAC) (*Link, error) {
	info := below.Info()
	if info.Type != unix.ARPHRD_ETHER {
		return nil, unix.EOPNOTSUPP
	}
	if g, ok := below.VLANs(newGroup(below)).(*group); ok && g.find(tag) != nil {
		return nil, unix.EEXIST
	}
	l := &Link{tag: tag}
	own := link.Info{Type: unix.ARPHRD_ETHER, Flags: below.Flags() & (unix.IFF_BROADCAST | unix.IFF_MULTICAST | unix.IFF_NOARP),
		MTU: below.MTU(), HWAddr: mac, GSOMax: 65535, Csum: true, Tags: true, Queues: 1}
	if _, nested := below.Link().(*Link); nested {
		// Who finishes packets looks behind one tag.
		own.GSOMax, own.Csum = 0, false
	}
	if mac == (wire.MAC{}) {
		mac = info.HWAddr
		own.HWAddr = mac
		l.inherited.Store(&mac)
	}
	l.Init(below, own)
	return l, nil
}

// Kind is what rtnetlink calls links of this kind.
func (*Link) Kind() string { return "vlan" }

// Tag names the VLAN.
func (l *Link) Tag() pkt.Tag { return l.tag }

// Attach implements link.Link: rx is an *ip.Interface. EEXIST.
func (l *Link) Attach(rx pkt.Receiver, _ *backlog.Set) error {
	if err := l.Attached(rx); err != nil {
		return err
	}
	return l.join()
}

// Send implements link.Link.
func (l *Link) Send(p *pkt.Packet) {
	ip.PushTag(p)
	p.Tag = l.tag
	l.Below().Transmit(p)
}

// Close implements link.Link.
func (l *Link) Close() {
	if l.group != nil {
		l.group.leave(l)
	}
}

// MayRise implements link.Checked: ENETDOWN while the interface below is down.
func (l *Link) MayRise() error {
	if l.Below().Flags()&unix.IFF_UP == 0 && !l.Loose.Load() {
		return unix.ENETDOWN
	}
	return nil
}

// MayHave implements link.Checked: ERANGE beyond the MTU below.
func (l *Link) MayHave(mtu int) error {
	if mtu > l.Below().MTU() {
		return unix.ERANGE
	}
	return nil
}

// follow does what follows for the VLAN's interface from a change below; switched says that this has come up
// or gone down.
func (l *Link) follow(below *ip.Interface, switched bool) {
	own := l.Iface()
	s := own.Stack()
	if old, mac := l.inherited.Load(), below.HWAddr(); old != nil && own.HWAddr() == *old && *old != mac {
		l.inherited.Store(&mac)
		s.SetHWAddr(own, mac) // that of a station
	}
	if mtu := below.MTU(); own.MTU() > mtu {
		s.SetMTU(own, mtu)
	}
	if switched && !l.Loose.Load() {
		s.SetUp(own, below.Flags()&unix.IFF_UP != 0)
	}
	own.CarrierChanged()
}
