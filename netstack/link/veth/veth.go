// Package veth is a pair of Ethernet links inside the process (veth(4)): what
// one sends the other receives. The two may belong to different stacks, which
// then share a backlog.
package veth

import (
	"sync/atomic"

	"casemate/netstack/backlog"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Link is one end of a pair.
type Link struct {
	mac  wire.MAC
	mtu  int
	peer *Link
	on   atomic.Pointer[receiver]
	up   atomic.Bool // SetUp
}

type receiver struct {
	rx pkt.Receiver
	b  *backlog.Set
}

// New returns the two ends of a pair with the MTU in bytes.
func New(a, b wire.MAC, mtu int) (*Link, *Link) {
	x, y := &Link{mac: a, mtu: mtu}, &Link{mac: b, mtu: mtu}
	x.peer, y.peer = y, x
	return x, y
}

// Peer is the other end.
func (l *Link) Peer() *Link { return l.peer }

// Kind is what rtnetlink calls links of this kind.
func (*Link) Kind() string { return "veth" }

// Info implements link.Link. Packets up to 64 KiB that are to be segmented cross
// as they are, with their checksum not computed.
func (l *Link) Info() link.Info {
	return link.Info{Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, MTU: l.mtu, HWAddr: l.mac, GSOMax: 65535, Csum: true, Tags: true, Queues: 1}
}

// Attach implements link.Link.
func (l *Link) Attach(rx pkt.Receiver, b *backlog.Set) error {
	l.on.Store(&receiver{rx, b})
	return nil
}

// Send implements link.Link.
func (l *Link) Send(p *pkt.Packet) {
	r := l.peer.on.Load()
	if r == nil {
		p.Free()
		return
	}
	p.Cross(r.rx)
	if p.Hash == 0 {
		p.Hash = wire.PacketHash(p.Header()[wire.EthernetLen:])
	}
	r.b.Put(p)
}

// Receiver is who gets what the peer sends: nil before Attach and after Close.
func (l *Link) Receiver() pkt.Receiver {
	if r := l.on.Load(); r != nil {
		return r.rx
	}
	return nil
}

// SetUp implements link.Carried: either end tells both.
func (l *Link) SetUp(up bool) {
	if l.up.Swap(up) == up {
		return
	}
	for _, end := range [...]*Link{l, l.peer} {
		if r, ok := end.Receiver().(link.Listener); ok {
			r.CarrierChanged()
		}
	}
}

// Carrier implements link.Carried: both ends are up.
func (l *Link) Carrier() bool { return l.up.Load() && l.peer.up.Load() }

// Close implements link.Link. A pair goes as a whole: the peer's interface is told.
func (l *Link) Close() {
	if l.on.Swap(nil) == nil {
		return
	}
	if r, ok := l.peer.Receiver().(link.Listener); ok {
		r.LinkGone()
	}
}
