// Package dummy is an Ethernet link that goes nowhere (ip-link(8), type dummy): what is sent
// is dropped, nothing arrives.
package dummy

import (
	"casemate/netstack/backlog"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Link is such a link.
type Link struct{ mac wire.MAC }

// New makes a link.
func New(mac wire.MAC) *Link { return &Link{mac} }

// Kind is what rtnetlink calls links of this kind.
func (*Link) Kind() string { return "dummy" }

// Info implements link.Link.
func (l *Link) Info() link.Info {
	return link.Info{Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_NOARP, MTU: 1500, HWAddr: l.mac, GSOMax: 65535, Csum: true, Tags: true, Queues: 1}
}

// Attach implements link.Link.
func (*Link) Attach(pkt.Receiver, *backlog.Set) error { return nil }

// Send implements link.Link.
func (*Link) Send(p *pkt.Packet) { p.Free() }

// Close implements link.Link.
func (*Link) Close() {}
