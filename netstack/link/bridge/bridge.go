// Package bridge is an Ethernet bridge (ip-link(8), type bridge; IEEE 802.1D without the spanning
// tree): frames that one of its ports receives leave by the port behind which their destination has
// been seen, or by all others. The bridge's own interface is one more participant.
//
// Locks: Bridge.mu, a leaf. Frames are sent and delivered with no lock held.
package bridge

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// defaultAgeing is how long a station is remembered that is not heard of.
const defaultAgeing = 300 * time.Second

// Bridge is the link of a bridge's own interface, and the master of its ports.
type Bridge struct {
	mac   wire.MAC
	fixed bool // mac was asked for: it does not follow the ports'
	own   atomic.Pointer[ip.Interface]
	up    atomic.Bool
	// ageing is defaultAgeing or what SetAgeing says, in ns.
	ageing atomic.Int64

	ports atomic.Pointer[[]*ip.Interface] // in the order in which they came
	// options are those of ports that have some; nil if none has.
	options atomic.Pointer[map[*ip.Interface]PortOptions]

	// Tree are parameters of the spanning tree, which is not run: they are kept.
	Tree Tree

	mu       sync.RWMutex
	stations map[wire.MAC]*station
	closed   bool
}

// Tree are parameters of the spanning tree (IEEE 802.1D); times are in hundredths of a second.
type Tree struct {
	ForwardDelay, HelloTime, MaxAge, Priority atomic.Uint32
}

// New returns a bridge without ports. If fixed, it keeps the address mac; else it takes the lowest
// of its ports', as in Linux.
func New(mac wire.MAC, fixed bool) *Bridge {
	b := &Bridge{mac: mac, fixed: fixed, stations: make(map[wire.MAC]*station)}
	b.ageing.Store(int64(defaultAgeing))
	b.ports.Store(new([]*ip.Interface))
	b.Tree.ForwardDelay.Store(1500)
	b.Tree.HelloTime.Store(200)
	b.Tree.MaxAge.Store(2000)
	b.Tree.Priority.Store(32768)
	return b
}

// Kind is what rtnetlink calls links of this kind.
func (*Bridge) Kind() string { return "bridge" }

// Info implements link.Link. What a port cannot send as it is, is finished for it.
func (b *Bridge) Info() link.Info {
	return link.Info{Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, MTU: 1500, HWAddr: b.mac, GSOMax: 65535, Csum: true, Tags: true, Queues: 1}
}

// Attach implements link.Link: rx is an *ip.Interface.
func (b *Bridge) Attach(rx pkt.Receiver, _ *backlog.Set) error {
	i, ok := rx.(*ip.Interface)
	if !ok {
		return unix.EINVAL
	}
	b.own.Store(i)
	return nil
}

// Close implements link.Link: the ports are nobody's again.
func (b *Bridge) Close() {
	b.up.Store(false)
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	for _, p := range *b.ports.Load() {
		p.SetMaster(nil)
	}
}

// Interface implements ip.Master.
func (b *Bridge) Interface() *ip.Interface { return b.own.Load() }

// SetUp implements link.Carried.
func (b *Bridge) SetUp(up bool) { b.up.Store(up) }

// Carrier implements link.Carried: some port has one.
func (b *Bridge) Carrier() bool {
	return slices.ContainsFunc(*b.ports.Load(), func(p *ip.Interface) bool { return p.Flags()&unix.IFF_RUNNING != 0 })
}

// Join implements ip.Master. ELOOP for a bridge, ENODEV if b has gone.
func (b *Bridge) Join(port *ip.Interface) error {
	if _, ok := port.Link().(*Bridge); ok {
		return unix.ELOOP
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return unix.ENODEV
	}
	b.setPorts(append(slices.Clone(*b.ports.Load()), port))
	b.mu.Unlock()
	b.changed()
	return nil
}

// Leave implements ip.Master.
func (b *Bridge) Leave(port *ip.Interface) {
	b.mu.Lock()
	b.setPorts(slices.DeleteFunc(slices.Clone(*b.ports.Load()), func(p *ip.Interface) bool { return p == port }))
	b.forget(port)
	b.setOptions(port, PortOptions{})
	b.mu.Unlock()
	b.changed()
}

// setPorts replaces the list of ports. b.mu is held.
func (b *Bridge) setPorts(l []*ip.Interface) { b.ports.Store(&l) }

// PortChanged implements ip.Master.
func (b *Bridge) PortChanged(port *ip.Interface) {
	if port.Flags()&unix.IFF_RUNNING == 0 {
		b.mu.Lock()
		b.forget(port)
		b.mu.Unlock()
	}
	b.own.Load().CarrierChanged()
}

// changed gives the bridge what follows from its ports: address and carrier.
func (b *Bridge) changed() {
	own := b.own.Load()
	ports := *b.ports.Load()
	b.mu.Lock()
	follow := !b.fixed && own.HWAddr() == b.mac && len(ports) > 0
	if follow {
		b.mac = ports[0].HWAddr()
		for _, p := range ports {
			if mac := p.HWAddr(); slices.Compare(mac[:], b.mac[:]) < 0 {
				b.mac = mac
			}
		}
	}
	mac := b.mac
	b.mu.Unlock()
	if follow && mac != own.HWAddr() {
		own.Stack().SetHWAddr(own, mac) // a port's address is one of a station
	}
	own.CarrierChanged()
}

// Ports are the bridge's ports, in the order in which they came.
func (b *Bridge) Ports() []*ip.Interface { return *b.ports.Load() }

// Ageing is how long a station is remembered that is not heard of.
func (b *Bridge) Ageing() time.Duration { return time.Duration(b.ageing.Load()) }

// SetAgeing sets Ageing; 0 has nothing remembered.
func (b *Bridge) SetAgeing(d time.Duration) { b.ageing.Store(int64(d)) }
