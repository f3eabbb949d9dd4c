// Package tap is a link whose other side is a program: what the stack sends waits for the
// program to take it, and what the program gives arrives (the kernel's documentation, "Universal
// TUN/TAP device driver").
package tap

import (
	"sync"
	"sync/atomic"

	"casemate/netstack/backlog"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// limit is how many packets wait for the program (tun's txqueuelen).
const limit = 500

// Link is such a link.
type Link struct {
	info   link.Info
	rx     atomic.Pointer[receiver]
	notify atomic.Pointer[func()]

	mu    sync.Mutex
	queue []*pkt.Packet
}

type receiver struct {
	rx pkt.Receiver
	b  *backlog.Set
}

// New makes a link: of IP packets, or of Ethernet frames.
func New(ethernet bool, mac wire.MAC) *Link {
	l := &Link{info: link.Info{Type: unix.ARPHRD_NONE, Flags: unix.IFF_POINTOPOINT | unix.IFF_NOARP | unix.IFF_MULTICAST, MTU: 1500, Queues: 1}}
	if ethernet {
		l.info.Type, l.info.Flags, l.info.HWAddr = unix.ARPHRD_ETHER, unix.IFF_BROADCAST|unix.IFF_MULTICAST, mac
	}
	return l
}

// Kind is what rtnetlink calls links of this kind.
func (*Link) Kind() string { return "tun" }

// Ethernet reports whether the link has Ethernet frames.
func (l *Link) Ethernet() bool { return l.info.Type == unix.ARPHRD_ETHER }

// Hold takes the program's side of the link: false if another one has it. notify is called
// when a packet can be taken; it must not block. The caller of Hold and Release holds no lock of the
// stack.
func (l *Link) Hold(notify func()) bool {
	if !l.notify.CompareAndSwap(nil, &notify) {
		return false
	}
	l.carrierChanged()
	return true
}

// Release gives the program's side up. What waits is dropped.
func (l *Link) Release() {
	l.notify.Store(nil)
	l.drop()
	l.carrierChanged()
}

// SetUp implements link.Carried.
func (l *Link) SetUp(bool) {}

// Carrier implements link.Carried: a program has the other side.
func (l *Link) Carrier() bool { return l.notify.Load() != nil }

func (l *Link) carrierChanged() {
	if r := l.rx.Load(); r != nil {
		if i, ok := r.rx.(link.Listener); ok {
			i.CarrierChanged()
		}
	}
}

func (l *Link) drop() {
	l.mu.Lock()
	old := l.queue
	l.queue = nil
	l.mu.Unlock()
	for _, p := range old {
		p.Free()
	}
}

// Info implements link.Link.
func (l *Link) Info() link.Info { return l.info }

// Attach implements link.Link.
func (l *Link) Attach(rx pkt.Receiver, b *backlog.Set) error {
	l.rx.Store(&receiver{rx, b})
	return nil
}

// Send implements link.Link. A packet that nobody is there to take, or for which there is no
// room, is dropped.
func (l *Link) Send(p *pkt.Packet) {
	notify := l.notify.Load()
	l.mu.Lock()
	full := notify == nil || len(l.queue) >= limit
	if !full {
		l.queue = append(l.queue, p)
	}
	l.mu.Unlock()
	if full {
		p.Free()
		return
	}
	(*notify)()
}

// Next takes a packet that the stack has sent; nil if there is none.
func (l *Link) Next() *pkt.Packet {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil
	}
	p := l.queue[0]
	l.queue[0] = nil
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return p
}

// Waiting reports whether there is a packet to take.
func (l *Link) Waiting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) > 0
}

// Inject has a packet of the program's arrive; it becomes the link's. The caller holds no
// lock.
func (l *Link) Inject(p *pkt.Packet) {
	r := l.rx.Load()
	if r == nil {
		p.Free()
		return
	}
	var start [wire.EthernetLen + wire.IPv4MaxLen + 8]byte
	b := start[:p.CopyOut(0, start[:])]
	if l.Ethernet() {
		b = b[min(len(b), wire.EthernetLen):]
	} else if p.EtherType == 0 && len(b) > 0 {
		switch b[0] >> 4 {
		case 4:
			p.EtherType = unix.ETH_P_IP
		case 6:
			p.EtherType = unix.ETH_P_IPV6
		}
	}
	p.Hash, p.Rx = wire.PacketHash(b), r.rx
	r.b.Put(p)
	r.b.Run()
}

// Close implements link.Link.
func (l *Link) Close() {
	l.rx.Store(nil)
	l.drop()
}
