// Package loopback is the link that gives back what it is given (lo). Packets
// up to 64 KiB go as they are, with checksums never computed.
package loopback

import (
	"casemate/netstack/backlog"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"golang.org/x/sys/unix"
)

// MTU is lo's MTU in bytes, as Linux has it.
const MTU = 65536

// Loopback is a loopback link.
type Loopback struct {
	rx pkt.Receiver
	b  *backlog.Set
}

// New returns a loopback link.
func New() *Loopback { return new(Loopback) }

// Info implements link.Link.
func (l *Loopback) Info() link.Info {
	return link.Info{Type: unix.ARPHRD_LOOPBACK, Flags: unix.IFF_LOOPBACK, MTU: MTU, GSOMax: 65535, Csum: true, Queues: 1}
}

// Attach implements link.Link.
func (l *Loopback) Attach(rx pkt.Receiver, b *backlog.Set) error {
	l.rx, l.b = rx, b
	return nil
}

// Send implements link.Link.
func (l *Loopback) Send(p *pkt.Packet) {
	p.Rx = l.rx
	if p.Csum == pkt.CsumPartial {
		p.Csum = pkt.CsumValid
	}
	p.Type = pkt.ToHost
	l.b.Put(p)
}

// Close implements link.Link.
func (l *Loopback) Close() {}
