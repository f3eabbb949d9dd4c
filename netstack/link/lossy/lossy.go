// Package lossy is a pair of links that carry IP packets badly: with delay,
// loss, reordering, duplication and a bottleneck, as netem(8) does. It is for
// tests and for demonstrations.
package lossy

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"casemate/netstack/backlog"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Config says how badly. Fractions are of 1.
type Config struct {
	MTU       int           // bytes
	Delay     time.Duration // one way
	Loss      float64
	Reorder   float64 // of packets that take half the delay again
	Duplicate float64
	Corrupt   float64 // of packets of which one bit is turned
	Rate      int     // bytes per second; 0: no limit
	Queue     int     // packets of MTU bytes that may wait for a bottleneck of Rate; 0: 1000
	Seed      uint64
	// Drop, if not nil, decides about each packet, which starts with its IP header.
	Drop func(p *pkt.Packet) bool
}

// Link is one end of a pair.
type Link struct {
	c    Config
	w    *wheel.Wheel
	peer *Link

	mu    sync.Mutex
	rng   *rand.Rand
	free  time.Duration // when the bottleneck is free
	way   []underway    // by time of arrival
	timer wheel.Timer
	rx    pkt.Receiver
	b     *backlog.Set
}

// underway is a packet that has not arrived.
type underway struct {
	at time.Duration
	p  *pkt.Packet
}

// New returns the two ends of a pair.
func New(w *wheel.Wheel, c Config) (*Link, *Link) {
	if c.MTU == 0 {
		c.MTU = 1500
	}
	if c.Queue == 0 {
		c.Queue = 1000
	}
	a := &Link{c: c, w: w, rng: rand.New(rand.NewPCG(c.Seed, 1))}
	b := &Link{c: c, w: w, rng: rand.New(rand.NewPCG(c.Seed, 2)), peer: a}
	a.peer = b
	a.timer.Init(w, a.arrive)
	b.timer.Init(w, b.arrive)
	return a, b
}

// Info implements link.Link.
func (l *Link) Info() link.Info {
	return link.Info{Type: unix.ARPHRD_NONE, Flags: unix.IFF_POINTOPOINT | unix.IFF_NOARP | unix.IFF_MULTICAST, MTU: l.c.MTU, Queues: 1}
}

// Attach implements link.Link.
func (l *Link) Attach(rx pkt.Receiver, b *backlog.Set) error {
	l.mu.Lock()
	l.rx, l.b = rx, b
	l.mu.Unlock()
	return nil
}

// Send implements link.Link.
func (l *Link) Send(p *pkt.Packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.c.Drop != nil && l.c.Drop(p) || l.rng.Float64() < l.c.Loss {
		p.Free()
		return
	}
	if l.rng.Float64() < l.c.Duplicate {
		l.pass(p.Clone())
	}
	if l.rng.Float64() < l.c.Corrupt {
		h := p.Header()
		h[l.rng.IntN(len(h))] ^= 1 << l.rng.IntN(8)
	}
	l.pass(p)
}

// pass sends p on its way. l.mu is held.
func (l *Link) pass(p *pkt.Packet) {
	now := l.w.Now()
	at := now + l.c.Delay
	if l.rng.Float64() < l.c.Reorder {
		at += l.c.Delay/2 + time.Millisecond
	}
	if l.c.Rate > 0 {
		if l.free-now > l.transmission(l.c.Queue*l.c.MTU) {
			p.Free()
			return
		}
		l.free = max(now, l.free) + l.transmission(p.Len())
		at += l.free - now
	}
	if at == now {
		l.peer.deliver(p)
		return
	}
	k := len(l.way)
	for k > 0 && l.way[k-1].at > at {
		k--
	}
	l.way = slices.Insert(l.way, k, underway{at, p})
	if k == 0 {
		l.timer.Reset(at)
	}
}

// transmission is how long the bottleneck takes for n bytes.
func (l *Link) transmission(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(l.c.Rate)
}

// arrive delivers what is due.
func (l *Link) arrive() {
	l.mu.Lock()
	now := l.w.Now()
	for len(l.way) > 0 && l.way[0].at <= now {
		l.peer.deliver(l.way[0].p)
		l.way = slices.Delete(l.way, 0, 1)
	}
	if len(l.way) > 0 {
		l.timer.Reset(l.way[0].at)
	}
	l.mu.Unlock()
	l.peer.run()
}

func (l *Link) deliver(p *pkt.Packet) {
	if l.rx == nil {
		p.Free()
		return
	}
	p.Cross(l.rx)
	p.Hash = wire.PacketHash(p.Header())
	l.b.Put(p)
}

func (l *Link) run() {
	if l.b != nil {
		l.b.Run()
	}
}

// Close implements link.Link.
func (l *Link) Close() {
	l.timer.Stop()
	l.mu.Lock()
	for _, u := range l.way {
		u.p.Free()
	}
	l.way = nil
	l.mu.Unlock()
}
