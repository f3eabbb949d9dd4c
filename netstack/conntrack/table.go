package conntrack

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"casemate/netstack/pkt"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// shards is how many locks the table has.
const shards = 64

// sweep is how often connections that have timed out are looked for. Packets do not find
// them before that either.
const sweep = 10 * time.Second

// A Table has the connections of a network namespace.
type Table struct {
	Params Params

	wheel  *wheel.Wheel
	seed   maphash.Seed
	count  atomic.Int32
	lastID atomic.Uint32
	timer  wheel.Timer
	shard  [shards]shard
}

type shard struct {
	mu sync.Mutex
	m  map[Tuple]direction
}

// A direction is what a tuple names.
type direction struct {
	c     *Conn
	reply bool
}

// NewTable makes an empty table. Nothing runs while it is empty.
func NewTable(w *wheel.Wheel, p Params) *Table {
	t := &Table{Params: p, wheel: w, seed: maphash.MakeSeed()}
	t.timer.Init(w, t.expire)
	return t
}

func (t *Table) slot(k *Tuple) int { return int(maphash.Comparable(t.seed, *k) % shards) }

// Len is the number of connections.
func (t *Table) Len() int { return int(t.count.Load()) }

// find finds what a tuple names, if that has not timed out.
func (t *Table) find(k *Tuple) (d direction, ok bool) {
	s := &t.shard[t.slot(k)]
	s.mu.Lock()
	d, ok = s.m[*k]
	s.mu.Unlock()
	if ok && (d.c.status.Load()&Dying != 0 || d.c.expires.Load() < int64(t.wheel.Now())) {
		return direction{}, false
	}
	return d, ok
}

// Find finds the connection that a tuple is a direction of, or nil.
func (t *Table) Find(k Tuple) *Conn {
	d, _ := t.find(&k)
	return d.c
}

// used reports whether packets with that tuple belong to a connection already.
func (t *Table) used(k *Tuple) bool {
	_, ok := t.find(k)
	return ok
}

// Track finds or makes the connection of a packet that starts with its network header, and
// notes it in p.Conn and p.ConnInfo. at is the offset of the transport header, proto its
// protocol. A packet that has been here before (on lo) keeps what it has.
func (t *Table) Track(p *pkt.Packet, at int, proto uint8) {
	if p.Answers {
		p.Answers = false
		if Info(p.ConnInfo).Reply() {
			p.ConnInfo = uint8(Related)
		} else {
			p.ConnInfo = uint8(RelatedReply)
		}
	}
	if p.ConnInfo != uint8(None) {
		return
	}
	k := Tuple{Src: p.Src, Dst: p.Dst, Proto: proto}
	var flags uint8
	switch {
	case proto == unix.IPPROTO_TCP:
		h := wire.TCP(p.Pull(at + wire.TCPMinLen))
		if h == nil || !tcpFlagsOK(h[at:].Flags()) {
			return
		}
		flags = h[at:].Flags()
		k.transport(h[at:])
	case hasPorts(proto) || k.isICMP():
		h := p.Pull(at + 8)
		if h == nil {
			return
		}
		k.transport(h[at:])
		if k.isICMP() && t.trackICMP(p, at, &k) {
			return
		}
	}
	d, ok := t.find(&k)
	if ok && proto == unix.IPPROTO_TCP && flags&(wire.SYN|wire.ACK|wire.RST) == wire.SYN && !d.reply && d.c.over() {
		t.remove(d.c) // the ports are used again
		ok = false
	}
	if !ok {
		t.begin(p, &k, flags)
		return
	}
	info := New
	switch {
	case d.reply:
		info = EstablishedReply
	case d.c.status.Load()&SeenReply != 0:
		info = Established
	}
	if d.c.packet(t, info, flags) {
		p.Conn, p.ConnInfo = d.c, uint8(info)
	}
}

// over reports whether a TCP connection has ended.
func (c *Conn) over() bool {
	s := c.TCP()
	return s == TCPTimeWait || s == TCPClose
}

// begin makes a connection of its first packet.
func (t *Table) begin(p *pkt.Packet, k *Tuple, flags uint8) {
	if k.isICMP() && !isICMPQuery(k.Proto, uint8(k.DPort>>8)) {
		return
	}
	c := &Conn{Orig: *k, Reply: k.Reverse(), ID: t.lastID.Add(1), since: t.wheel.Now()}
	if c.packet(t, New, flags) {
		p.Conn, p.ConnInfo = c, uint8(New)
	}
}

// trackICMP takes ICMP messages that are not part of a connection of their own: errors,
// which belong to that of the packet they quote, and neighbour discovery, which is not
// tracked. It reports whether p is one.
func (t *Table) trackICMP(p *pkt.Packet, at int, k *Tuple) bool {
	typ := uint8(k.DPort >> 8)
	if k.Proto == unix.IPPROTO_ICMPV6 {
		switch {
		case typ >= wire.ICMPv6MLDQuery && typ <= wire.ICMPv6Redirect || typ == wire.ICMPv6MLDv2Report:
			p.ConnInfo = uint8(Untracked)
			return true
		case typ >= 128:
			return false
		}
	} else {
		switch typ {
		case wire.ICMPUnreachable, wire.ICMPSourceQuench, wire.ICMPTimeExceeded, wire.ICMPParamProblem, wire.ICMPRedirect:
		default:
			return false
		}
	}
	in, _, ok := quoted(p, at+wire.ICMPLen)
	if !ok {
		return true
	}
	rev := in.Reverse()
	if d, ok := t.find(&rev); ok {
		p.Conn, p.ConnInfo = d.c, uint8(Related)
		if d.reply {
			p.ConnInfo = uint8(RelatedReply)
		}
	}
	return true
}

// quoted reads the tuple of the packet that an ICMP error quotes from off on, and the offset
// of its transport header.
func quoted(p *pkt.Packet, off int) (k Tuple, at int, ok bool) {
	if p.Src.Is4() {
		h := p.Pull(off + wire.IPv4MinLen)
		if h == nil {
			return k, 0, false
		}
		in := wire.IPv4(h[off:])
		if in[0]>>4 != 4 || in.HeaderLen() < wire.IPv4MinLen || in.FragOffset() != 0 {
			return k, 0, false
		}
		k, at = Tuple{Src: in.Src(), Dst: in.Dst(), Proto: in.Proto()}, off+in.HeaderLen()
	} else {
		h := p.Pull(off + wire.IPv6Len)
		if h == nil || h[off]>>4 != 6 {
			return k, 0, false
		}
		in := wire.IPv6(h[off:])
		k, at = Tuple{Src: in.Src(), Dst: in.Dst(), Proto: in.NextHeader()}, off+wire.IPv6Len
	}
	h := p.Pull(at + 8)
	if h == nil {
		return k, 0, false
	}
	return k, at, k.transport(h[at:])
}

// Confirm makes the connection of a packet that has got through known. False: another one
// has its tuples, or there is no room; the packet is to be dropped.
func (t *Table) Confirm(p *pkt.Packet) bool {
	c, ok := p.Conn.(*Conn)
	if !ok || c.status.Load()&Confirmed != 0 {
		return true
	}
	limit := int32(t.Params.max.Get())
	if limit > 0 && t.count.Load() >= limit && !t.evict(t.slot(&c.Orig)) {
		return false
	}
	i, j := t.slot(&c.Orig), t.slot(&c.Reply)
	first, second := &t.shard[min(i, j)], &t.shard[max(i, j)]
	first.mu.Lock()
	defer first.mu.Unlock()
	if i != j {
		second.mu.Lock()
		defer second.mu.Unlock()
	}
	now := int64(t.wheel.Now())
	for _, k := range [...]*Tuple{&c.Orig, &c.Reply} {
		if d, there := t.shard[t.slot(k)].m[*k]; there && d.c.expires.Load() >= now && d.c.status.Load()&Dying == 0 {
			if d.c.Orig == c.Orig && d.c.Reply == c.Reply {
				p.Conn = d.c // two first packets at the same time
				return true
			}
			return false
		}
	}
	t.put(i, &c.Orig, direction{c, false})
	t.put(j, &c.Reply, direction{c, true})
	c.status.Or(Confirmed)
	if t.count.Add(1) == 1 {
		t.timer.Reset(t.wheel.Now() + sweep)
	}
	return true
}

// put enters a tuple. The shard is locked.
func (t *Table) put(i int, k *Tuple, d direction) {
	s := &t.shard[i]
	if s.m == nil {
		s.m = map[Tuple]direction{}
	}
	if old, there := s.m[*k]; there && old.c != d.c {
		t.forget(old.c) // it has timed out
	}
	s.m[*k] = d
}

// forget counts a connection out, once. Its tuples are the caller's to remove; those that
// stay are found to be dying and removed by the sweep.
func (t *Table) forget(c *Conn) {
	if c.status.Or(Dying)&Dying == 0 {
		t.count.Add(-1)
	}
}

// remove removes a connection.
func (t *Table) remove(c *Conn) {
	t.forget(c)
	for _, k := range [...]*Tuple{&c.Orig, &c.Reply} {
		s := &t.shard[t.slot(k)]
		s.mu.Lock()
		if d, ok := s.m[*k]; ok && d.c == c {
			delete(s.m, *k)
		}
		s.mu.Unlock()
	}
}

// evict removes a connection of which nobody has seen that it is established, from shard i
// or those behind it.
func (t *Table) evict(i int) bool {
	for n := range 8 {
		s := &t.shard[(i+n)%shards]
		var victim *Conn
		s.mu.Lock()
		for _, d := range s.m {
			if d.c.status.Load()&Assured == 0 {
				victim = d.c
				break
			}
		}
		s.mu.Unlock()
		if victim != nil {
			t.remove(victim)
			return true
		}
	}
	return false
}

// expire is the timer: it removes what has timed out.
func (t *Table) expire() {
	now := int64(t.wheel.Now())
	for i := range t.shard {
		s := &t.shard[i]
		s.mu.Lock()
		for k, d := range s.m {
			if d.c.status.Load()&Dying != 0 || d.c.expires.Load() < now {
				delete(s.m, k)
				t.forget(d.c)
			}
		}
		s.mu.Unlock()
	}
	if t.count.Load() > 0 {
		t.timer.Reset(t.wheel.Now() + sweep)
	}
}

// All are the connections, in no order.
func (t *Table) All() []*Conn {
	var l []*Conn
	now := int64(t.wheel.Now())
	for i := range t.shard {
		s := &t.shard[i]
		s.mu.Lock()
		for _, d := range s.m {
			if !d.reply && d.c.status.Load()&Dying == 0 && d.c.expires.Load() >= now {
				l = append(l, d.c)
			}
		}
		s.mu.Unlock()
	}
	return l
}

// Remove removes the connections that match.
func (t *Table) Remove(match func(*Conn) bool) {
	for _, c := range t.All() {
		if match(c) {
			t.remove(c)
		}
	}
}

// Remaining is how long a connection is still remembered without a packet.
func (t *Table) Remaining(c *Conn) time.Duration {
	return max(0, time.Duration(c.expires.Load())-t.wheel.Now())
}

// Close ends the table's timer.
func (t *Table) Close() { t.timer.Stop() }
