package ip

import (
	"net/netip"
	"sync"
	"time"

	"casemate/netstack/pkt"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Times and counts of neighbour discovery (RFC 4861 section 10), which Linux
// uses for ARP as well.
const (
	neighRetrans   = time.Second
	neighReachable = 30 * time.Second
	neighDelay     = 5 * time.Second
	neighProbes    = 3
	neighQueue     = 101  // packets that wait for an address (unres_qlen)
	neighMax       = 1024 // entries per interface (gc_thresh3)
)

// neighbour is an entry of an interface's neighbour table.
type neighbour struct {
	iface  *Interface
	addr   netip.Addr
	state  uint16 // NUD_*
	mac    wire.MAC
	router bool
	probes int
	at     time.Duration // last confirmed
	used   time.Duration
	head   *pkt.Packet // waiting
	tail   *pkt.Packet
	queued int
	timer  wheel.Timer
}

// neighTable is an interface's neighbours.
type neighTable struct {
	mu sync.Mutex
	m  map[netip.Addr]*neighbour
}

// Neighbour is a line of a neighbour table (ip-neighbour(8)).
type Neighbour struct {
	Index  int32
	Addr   netip.Addr
	MAC    [6]byte
	State  uint16 // NUD_*
	Router bool
}

// Usable reports whether the neighbour's address is known.
func (n *Neighbour) Usable() bool { return n.State&nudValid != 0 }

// valid are the states in which the address can be used.
const nudValid = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY

// sendIP sends a complete IP packet to the neighbour next.
func (i *Interface) sendIP(p *pkt.Packet, next netip.Addr, typ uint8) {
	if i.info.Type != unix.ARPHRD_ETHER {
		i.send(p)
		return
	}
	switch typ {
	case unix.RTN_MULTICAST:
		i.sendFrame(p, wire.MulticastMAC(p.Dst))
		return
	case unix.RTN_BROADCAST:
		i.sendFrame(p, wire.BroadcastMAC)
		return
	}
	t := &i.neigh
	t.mu.Lock()
	n := t.m[next]
	if n == nil && i.flags.Load()&unix.IFF_NOARP != 0 {
		t.mu.Unlock()
		i.sendFrame(p, i.HWAddr())
		return
	}
	if n == nil {
		n = i.newNeighbour(next)
	}
	now := i.stack.Wheel.Now()
	n.used = now
	if n.state&nudValid != 0 {
		if n.state == unix.NUD_STALE {
			n.state = unix.NUD_DELAY
			n.timer.Reset(now + neighDelay)
		}
		mac := n.mac
		t.mu.Unlock()
		i.sendFrame(p, mac)
		return
	}
	p.Next = nil
	if n.queued >= neighQueue {
		old := n.head
		n.head = old.Next
		n.queued--
		old.Free()
		i.Stats.TxDropped.Add(1)
	}
	if n.head == nil {
		n.head = p
	} else {
		n.tail.Next = p
	}
	n.tail = p
	n.queued++
	if n.state != unix.NUD_INCOMPLETE {
		n.state, n.probes = unix.NUD_INCOMPLETE, 0
		n.solicit(now)
	}
	t.mu.Unlock()
}

// newNeighbour adds an entry. The table's lock is held.
func (i *Interface) newNeighbour(a netip.Addr) *neighbour {
	t := &i.neigh
	if t.m == nil {
		t.m = make(map[netip.Addr]*neighbour)
	}
	if len(t.m) >= neighMax {
		// The one that has not been used for longest goes.
		var old *neighbour
		for _, n := range t.m {
			if n.state != unix.NUD_PERMANENT && (old == nil || n.used < old.used) {
				old = n
			}
		}
		if old != nil {
			old.drop()
			delete(t.m, old.addr)
		}
	}
	n := &neighbour{iface: i, addr: a}
	n.timer.Init(i.stack.Wheel, n.expired)
	t.m[a] = n
	return n
}

// drop forgets waiting packets and stops the timer. The table's lock is held.
func (n *neighbour) drop() {
	n.timer.Stop()
	for n.head != nil {
		p := n.head
		n.head = p.Next
		p.Free()
	}
	n.tail, n.queued = nil, 0
}

// solicit sends a solicitation and arms the timer. The table's lock is held.
func (n *neighbour) solicit(now time.Duration) {
	n.probes++
	n.timer.Reset(now + neighRetrans)
	var src netip.Addr
	if n.head != nil && n.head.Src.Is4() == n.addr.Is4() && n.iface.stack.IsLocal(n.head.Src) {
		src = n.head.Src
	}
	to := wire.BroadcastMAC
	if n.state == unix.NUD_PROBE {
		to = n.mac
	}
	if n.addr.Is4() {
		n.iface.sendARPRequest(src, n.addr, to)
	} else {
		n.iface.sendSolicitation(src, n.addr, to, n.state == unix.NUD_PROBE)
	}
}

// expired is the timer of an entry's state.
func (n *neighbour) expired() {
	i := n.iface
	t := &i.neigh
	now := i.stack.Wheel.Now()
	var failed *pkt.Packet
	t.mu.Lock()
	if t.m[n.addr] != n {
		t.mu.Unlock()
		return
	}
	switch n.state {
	case unix.NUD_REACHABLE:
		if now-n.at >= neighReachable {
			n.state = unix.NUD_STALE
			n.tell(false)
		} else {
			n.timer.Reset(n.at + neighReachable)
		}
	case unix.NUD_DELAY:
		n.state, n.probes = unix.NUD_PROBE, 0
		n.tell(false)
		n.solicit(now)
	case unix.NUD_INCOMPLETE, unix.NUD_PROBE:
		if n.probes < neighProbes {
			n.solicit(now)
			break
		}
		n.state = unix.NUD_FAILED
		n.tell(false)
		failed, n.head, n.tail, n.queued = n.head, nil, nil, 0
	}
	t.mu.Unlock()
	for failed != nil {
		p := failed
		failed = p.Next
		p.Next = nil
		i.unreachable(p)
	}
	i.stack.Run()
}

// unreachable tells who sent p that its neighbour does not answer.
func (i *Interface) unreachable(p *pkt.Packet) {
	s := i.stack
	i.Stats.TxErrors.Add(1)
	p.Type = pkt.ToHost
	if s.IsLocal(p.Src) {
		if b := p.Pull(int(p.NetLen) + 8); b != nil {
			e := Error{Errno: unix.EHOSTUNREACH, Type: wire.ICMPUnreachable, Code: wire.ICMPHostUnreachable,
				Src: p.Src, Dst: p.Dst, Proto: p.Proto, Header: quoted(p, int(p.NetLen)), Offender: p.Src, InIf: i.index}
			if p.Src.Is6() {
				e.Type, e.Code = wire.ICMPv6Unreachable, wire.ICMPv6AddrUnreachable
			}
			s.errorInput(&e)
		}
	} else if p.Src.Is4() {
		s.SendError(p, wire.ICMPUnreachable, wire.ICMPHostUnreachable, 0)
	} else {
		s.SendError(p, wire.ICMPv6Unreachable, wire.ICMPv6AddrUnreachable, 0)
	}
	p.Free()
}

// learn notes a neighbour's address. create says whether an entry may be made,
// solicited whether it answers a solicitation, override whether a differing
// address may replace the known one (RFC 4861 section 7.2.5).
func (i *Interface) learn(a netip.Addr, mac wire.MAC, create, solicited, override bool) {
	t := &i.neigh
	now := i.stack.Wheel.Now()
	t.mu.Lock()
	n := t.m[a]
	if n == nil {
		if !create {
			t.mu.Unlock()
			return
		}
		n = i.newNeighbour(a)
		n.used = now
	}
	if n.state == unix.NUD_PERMANENT || n.state == unix.NUD_NOARP {
		t.mu.Unlock()
		return
	}
	known := n.state&nudValid != 0
	if known && n.mac != mac && !override {
		if n.state == unix.NUD_REACHABLE {
			n.state = unix.NUD_STALE
			n.tell(false)
		}
		t.mu.Unlock()
		return
	}
	changed := !known || n.mac != mac
	old := n.state
	n.mac = mac
	switch {
	case solicited:
		n.state, n.at = unix.NUD_REACHABLE, now
		n.timer.Reset(now + neighReachable)
	case changed:
		n.state = unix.NUD_STALE
		n.timer.Stop()
	}
	if changed || n.state != old {
		n.tell(false)
	}
	list := n.takeWaiting()
	t.mu.Unlock()
	i.sendWaiting(list, mac)
}

// sendFrame puts an Ethernet header in front of p and sends it.
func (i *Interface) sendFrame(p *pkt.Packet, to wire.MAC) {
	wire.Ethernet(p.Prepend(wire.EthernetLen)).Put(to, i.HWAddr(), p.EtherType)
	i.send(p)
}

// send gives a complete frame to the link.
func (i *Interface) send(p *pkt.Packet) {
	i.Stats.TxPackets.Add(1)
	i.Stats.TxBytes.Add(uint64(p.Len()))
	p.Type = pkt.Outgoing
	i.tap(p)
	if p.Tag.Type != 0 && !i.info.Tags {
		PushTag(p)
	}
	i.link.Send(p)
}

// Neighbours are the entries of all interfaces.
func (s *Stack) Neighbours() []Neighbour {
	var l []Neighbour
	for _, i := range s.Interfaces() {
		i.neigh.mu.Lock()
		for _, n := range i.neigh.m {
			l = append(l, n.line())
		}
		i.neigh.mu.Unlock()
	}
	return l
}

// SetNeighbour adds or replaces an entry: NUD_PERMANENT, NUD_NOARP, NUD_STALE or
// NUD_REACHABLE. ENODEV for an unknown interface, EINVAL for another state.
func (s *Stack) SetNeighbour(x Neighbour) error {
	i := s.Interface(x.Index)
	if i == nil {
		return ifaceError
	}
	switch x.State {
	case unix.NUD_PERMANENT, unix.NUD_NOARP, unix.NUD_STALE, unix.NUD_REACHABLE:
	default:
		return unix.EINVAL
	}
	now := s.Wheel.Now()
	i.neigh.mu.Lock()
	n := i.neigh.m[x.Addr]
	if n == nil {
		n = i.newNeighbour(x.Addr)
		n.used = now
	}
	n.state, n.mac, n.at = x.State, x.MAC, now
	if n.timer.Stop(); x.State == unix.NUD_REACHABLE {
		n.timer.Reset(now + neighReachable)
	}
	n.tell(false)
	list := n.takeWaiting()
	i.neigh.mu.Unlock()
	i.sendWaiting(list, x.MAC)
	s.Run()
	return nil
}

// takeWaiting takes the packets that wait for the neighbour's address. The table's lock is held.
func (n *neighbour) takeWaiting() *pkt.Packet {
	list := n.head
	n.head, n.tail, n.queued = nil, nil, 0
	return list
}

// sendWaiting sends packets that have waited for a neighbour's address.
func (i *Interface) sendWaiting(list *pkt.Packet, mac wire.MAC) {
	for list != nil {
		p := list
		list = p.Next
		p.Next = nil
		i.sendFrame(p, mac)
	}
}

// RemoveNeighbour removes an entry: ENOENT, ENODEV.
func (s *Stack) RemoveNeighbour(index int32, a netip.Addr) error {
	i := s.Interface(index)
	if i == nil {
		return ifaceError
	}
	i.neigh.mu.Lock()
	defer i.neigh.mu.Unlock()
	n := i.neigh.m[a]
	if n == nil {
		return unix.ENOENT
	}
	n.state = unix.NUD_FAILED
	n.tell(false)
	n.drop()
	n.tell(true)
	delete(i.neigh.m, a)
	return nil
}

// line is the entry as others see it. The table's lock is held.
func (n *neighbour) line() Neighbour {
	return Neighbour{n.iface.index, n.addr, n.mac, n.state, n.router}
}

// tell tells of a change of the entry, or of its end. The table's lock is held.
func (n *neighbour) tell(removed bool) {
	if s := n.iface.stack; s.watched() {
		l := n.line()
		s.tell(Event{Removed: removed, Interface: n.iface, Neighbour: &l})
	}
}

// setRouter notes whether a neighbour is a router.
func (t *neighTable) setRouter(a netip.Addr, router bool) {
	t.mu.Lock()
	if n := t.m[a]; n != nil {
		n.router = router
	}
	t.mu.Unlock()
}

// flush removes all entries, when the interface goes down.
func (t *neighTable) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for a, n := range t.m {
		n.drop()
		n.tell(true)
		delete(t.m, a)
	}
}
