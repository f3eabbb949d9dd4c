package ip

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"casemate/netstack/pkt"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
)

// Bounds of reassembly, as Linux has them (ipfrag_high_thresh, ipfrag_time,
// ip6frag_time).
const (
	reasmMemory = 4 << 20
	reasmTime4  = 30 // seconds
	reasmTime6  = 60
)

type fragKey struct {
	src, dst netip.Addr
	id       uint32
	proto    uint8
	iface    int32 // of IPv6 link-local packets
}

// fragQueue is the fragments of one packet, in order and without overlap.
type fragQueue struct {
	key    fragKey
	list   *pkt.Packet // data only: header area trimmed; Hash is the offset
	first  []byte      // headers that precede the fragmentable part
	next   uint8       // what follows them
	total  int         // length of the whole; -1 while unknown
	have   int
	cost   int
	tos    uint8
	timer  wheel.Timer
	whole  *pkt.Packet // clone of the first fragment, for time exceeded
	newest *fragQueue  // neighbours in order of age
	oldest *fragQueue
}

// reassembler is the table of incomplete packets. Memory beyond the limit is
// taken from the oldest.
type reassembler struct {
	mu     sync.Mutex
	m      map[fragKey]*fragQueue
	head   *fragQueue // newest
	tail   *fragQueue // oldest
	memory int
	queues atomic.Int32
}

func (t *reassembler) drop(q *fragQueue) {
	delete(t.m, q.key)
	if q.newest != nil {
		q.newest.oldest = q.oldest
	} else {
		t.head = q.oldest
	}
	if q.oldest != nil {
		q.oldest.newest = q.newest
	} else {
		t.tail = q.newest
	}
	t.memory -= q.cost
	for q.list != nil {
		n := q.list.Next
		q.list.Free()
		q.list = n
	}
	if q.whole != nil {
		q.whole.Free()
		q.whole = nil
	}
	q.timer.Stop()
	t.queues.Add(-1)
}

// fragment is what a fragment says of itself.
type fragment struct {
	key   fragKey
	off   int // of its data in the whole
	more  bool
	head  int // bytes of p before the data
	first []byte
	next  uint8
}

// reassemble4 takes a fragment and returns the whole packet if it was the last
// that was missing.
func (s *Stack) reassemble4(i *Interface, p *pkt.Packet) *pkt.Packet {
	h := wire.IPv4(p.Header())
	hl := int(p.NetLen)
	f := fragment{
		key:  fragKey{src: p.Src, dst: p.Dst, id: uint32(h.ID()), proto: p.Proto},
		off:  h.FragOffset(),
		more: h.Frag()&wire.IPv4MF != 0,
		head: hl, first: h[:hl], next: p.Proto,
	}
	q := s.reassemble(i, p, &f, &s.Counters.IP)
	if q != nil {
		v4 := wire.IPv4(q.Header())
		v4.SetTotalLen(q.Len())
		v4.SetFrag(0)
		v4.SetSum()
		q.NetLen = uint16(v4.HeaderLen())
	}
	return q
}

// reassemble6 is reassemble4 for IPv6; p.NetLen tells where the fragment header
// is and where the offset of the Next Header field that named it.
func (s *Stack) reassemble6(i *Interface, p *pkt.Packet, where int) *pkt.Packet {
	at := int(p.NetLen)
	h := p.Pull(at + 8)
	if h == nil {
		s.Counters.IP6.InHdrErrors.Inc()
		p.Free()
		return nil
	}
	o := binary.BigEndian.Uint16(h[at+2:])
	if o&^6 == 0 { // a whole packet with a fragment header (RFC 6946)
		p.Proto = h[at]
		p.NetLen += 8
		return p
	}
	f := fragment{
		key:  fragKey{src: p.Src, dst: p.Dst, id: binary.BigEndian.Uint32(h[at+4:])},
		off:  int(o &^ 7),
		more: o&1 != 0,
		head: at + 8, first: h[:at], next: h[at],
	}
	if p.Dst.IsLinkLocalUnicast() || p.Dst.IsMulticast() {
		f.key.iface = i.index
	}
	if f.more && (p.Len()-f.head)%8 != 0 {
		s.SendError(p, wire.ICMPv6ParamProblem, wire.ICMPv6BadHeader, 4)
		s.Counters.IP6.InHdrErrors.Inc()
		p.Free()
		return nil
	}
	q := s.reassemble(i, p, &f, &s.Counters.IP6)
	if q != nil {
		hq := q.Header()
		hq[where] = f.next
		wire.IPv6(hq).SetPayloadLen(q.Len() - wire.IPv6Len)
		q.NetLen = uint16(len(hq))
	}
	return q
}

func (s *Stack) reassemble(i *Interface, p *pkt.Packet, f *fragment, c *IPCounters) *pkt.Packet {
	c.ReasmReqds.Inc()
	t := &s.reasm
	n := p.Len() - f.head
	if f.more && n%8 != 0 { // of IPv4: what is too much is cut off, as in Linux
		n &^= 7
		p.Truncate(f.head + n)
	}
	end := f.off + n
	if n <= 0 || end > MaxIPv4-wire.IPv4MinLen {
		c.ReasmFails.Inc()
		p.Free()
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.m[f.key]
	if q == nil {
		q = &fragQueue{key: f.key, total: -1, oldest: t.head}
		if t.m == nil {
			t.m = make(map[fragKey]*fragQueue)
		}
		t.m[f.key] = q
		if t.head != nil {
			t.head.newest = q
		} else {
			t.tail = q
		}
		t.head = q
		t.queues.Add(1)
		q.timer.Init(s.Wheel, func() { s.reasmExpired(i, q, c) })
		d := s.Params.FragTime
		if f.key.src.Is6() {
			d = s.Params.FragTime6
		}
		q.timer.Reset(s.Wheel.Now() + time.Duration(d.Get())*time.Second)
	}
	// Where it goes. Overlap discards the whole packet (RFC 5722), what is there already is
	// ignored; both for IPv4 as well, as in Linux.
	at := &q.list
	covered := 0 // end of what is there without a gap up to *at
	for *at != nil && int((*at).Hash) <= f.off {
		if int((*at).Hash) > covered {
			covered = int((*at).Hash)
		}
		covered += (*at).Len()
		at = &(*at).Next
	}
	before := covered
	for o := *at; o != nil && int(o.Hash) == covered; o = o.Next {
		covered += o.Len()
	}
	if end <= covered {
		p.Free()
		return nil
	}
	if o := *at; before > f.off || o != nil && int(o.Hash) < end {
		c.ReasmFails.Inc()
		t.drop(q)
		p.Free()
		return nil
	}
	bad := q.total >= 0 && (end > q.total || !f.more && end != q.total)
	if !f.more && q.total < 0 {
		for o := q.list; o != nil; o = o.Next {
			bad = bad || int(o.Hash)+o.Len() > end
		}
		q.total = end
	}
	if bad {
		c.ReasmFails.Inc()
		t.drop(q)
		p.Free()
		return nil
	}
	if f.off == 0 {
		q.first, q.next = append([]byte(nil), f.first...), f.next
		q.whole = p.Clone()
	}
	q.tos |= p.TOS & 3
	cost := p.Cost() * 2
	q.cost += cost
	t.memory += cost
	p.TrimFront(f.head)
	p.Hash = uint32(f.off)
	p.Next = *at
	*at = p
	q.have += n
	if q.have == q.total && q.first != nil {
		w := q.assemble()
		t.drop(q)
		if w == nil {
			c.ReasmFails.Inc()
			return nil
		}
		f.next = w.Proto
		c.ReasmOKs.Inc()
		return w
	}
	limit := s.Params.FragMemory
	if f.key.src.Is6() {
		limit = s.Params.FragMemory6
	}
	for t.memory > limit.Get() && t.tail != nil {
		c.ReasmFails.Inc()
		t.drop(t.tail)
	}
	return nil
}

// assemble makes the whole packet; its header area has q.first.
func (q *fragQueue) assemble() *pkt.Packet {
	w := pkt.New()
	h := w.Append(len(q.first))
	if h == nil {
		w.Free()
		return nil
	}
	copy(h, q.first)
	o := q.whole
	w.Src, w.Dst, w.TTL, w.TOS, w.Proto = o.Src, o.Dst, o.TTL, o.TOS, q.next
	w.Conn, w.ConnInfo = o.Conn, o.ConnInfo
	w.Time, w.Mark, w.InIf, w.EtherType, w.Type = o.Time, o.Mark, o.InIf, o.EtherType, o.Type
	if q.tos == 3 {
		w.TOS |= 3 // congestion experienced by any fragment (RFC 3168 section 5.3)
	}
	buf := pkt.Alloc(q.total)
	for p := q.list; p != nil; p = p.Next {
		p.CopyOut(0, buf.Bytes()[p.Hash:])
	}
	w.AddFrag(pkt.Frag{Buf: buf, Len: uint32(q.total)})
	return w
}

// reasmExpired gives up an incomplete packet and tells its sender if the first
// fragment was there.
func (s *Stack) reasmExpired(i *Interface, q *fragQueue, c *IPCounters) {
	t := &s.reasm
	t.mu.Lock()
	if t.m[q.key] != q {
		t.mu.Unlock()
		return
	}
	whole := q.whole
	q.whole = nil
	t.drop(q)
	t.mu.Unlock()
	c.ReasmTimeout.Inc()
	c.ReasmFails.Inc()
	if whole != nil {
		if whole.Src.Is4() {
			s.SendError(whole, wire.ICMPTimeExceeded, wire.ICMPReassemblyExceeded, 0)
		} else {
			s.SendError(whole, wire.ICMPv6TimeExceeded, wire.ICMPv6ReassemblyExceeded, 0)
		}
		whole.Free()
		s.Run()
	}
}
