package tcp

import (
	"time"

	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// States of urgent data.
const (
	urgNone   = iota
	urgNotYet // announced, not arrived
	urgValid  // urgByte holds it
	urgRead
)

// receiver is the receive sequence space and queues.
type receiver struct {
	q      dataQueue // in order, not read
	read   uint32    // sequence number of q's first byte
	irs    uint32
	nxt    uint32
	adv    uint32 // right edge of the window that was last advertised
	wup    uint32 // RCV.NXT when it was
	wscale uint8
	mss    int // estimate of the peer's segment size, for delayed ACKs

	ooo      []oooSegment // sorted, disjoint
	oooCost  int
	oooStamp uint64 // counts changes of ooo
	dsack    wire.SACKBlock
	hasDS    bool

	arrivals []arrival // of what is in q, if time stamps are wanted

	urg     uint8
	urgSeq  uint32 // of the urgent byte
	urgByte byte

	// Delayed ACKs.
	ackDue   bool
	ackNow   bool
	quick    int // ACKs still to be sent at once
	pingpong bool
	ato      time.Duration
	lastData time.Duration
	lastSeg  time.Duration

	// Receive buffer tuning.
	tuneAt     time.Duration
	tuneSeq    uint32
	tuneSpace  int
	rtt        time.Duration
	rttSeq     uint32
	rttAt      time.Duration
	challenged time.Duration
}

// oooSegment is data beyond a gap.
type oooSegment struct {
	seq, end uint32
	q        dataQueue
	fin      bool
	stamp    uint64 // when it last changed; SACK reports the most recent first
}

// block is the SACK block for o; a FIN counts.
func (o *oooSegment) block() wire.SACKBlock {
	b := wire.SACKBlock{Start: o.seq, End: o.end}
	if o.fin {
		b.End++
	}
	return b
}

func (r *receiver) dropOOO() {
	for i := range r.ooo {
		r.ooo[i].q.clear()
	}
	r.ooo, r.oooCost = nil, 0
}

// unread is how many bytes the application has not read.
func (r *receiver) unread() int { return r.q.size }

// availableTo is SIOCINQ: bytes up to the urgent mark.
func (r *receiver) availableTo(e *Endpoint) int {
	n := r.q.size
	if r.urg == urgValid || r.urg == urgNotYet {
		if !e.opts.OOBInline.Load() {
			if d := int(int32(r.urgSeq - r.read)); d >= 0 && d < n {
				n = d
			}
		}
	}
	return n
}

// readable reports whether a read would return data (tcp_stream_is_readable).
func (e *Endpoint) readable() bool {
	r := &e.rcv
	target := max(int(e.opts.RcvLowat.Load()), 1)
	n := r.q.size
	if r.urg == urgValid && !e.opts.OOBInline.Load() && r.urgSeq == r.read {
		target++
	}
	return n >= target || n > 0 && e.space() <= 0
}

// init starts the receive side after the peer's SYN.
func (r *receiver) init(irs uint32) {
	r.irs, r.nxt, r.read, r.wup = irs, irs+1, irs+1, irs+1
	r.adv = r.nxt
	r.quick = 0
	r.mss = defaultMSS
	r.tuneSeq = r.read
	r.urg, r.ackDue, r.pingpong = urgNone, false, false
}

// firstWindow is the window in a SYN, which is never scaled.
func (r *receiver) firstWindow(e *Endpoint) uint32 {
	n := min(e.opts.RcvBuf()/2, 65535)
	if e.windowClamp != 0 {
		n = min(n, e.windowClamp)
	}
	if mss := e.advMSS(); n > mss {
		n -= n % mss
	}
	return uint32(n)
}

// chooseScale is the window scale that lets the largest buffer be advertised.
func (r *receiver) chooseScale(e *Endpoint) uint8 {
	space := max(e.opts.RcvBuf(), e.proto.Params.Rmem.At(2), e.proto.ip.Limits.RmemMax.Get())
	if e.windowClamp != 0 {
		space = min(space, e.windowClamp)
	}
	n := uint8(0)
	for space > 65535 && n < wire.MaxWindowScale {
		space >>= 1
		n++
	}
	return n
}

// space is the free receive space in window bytes.
func (e *Endpoint) space() int { return (e.opts.RcvBuf() - e.rcv.q.cost - e.rcv.oooCost) / 2 }

// selectWindow is the window to be advertised (RFC 9293 section 3.8.6): never
// less than was promised, and with no silly steps.
func (e *Endpoint) selectWindow() uint32 {
	r := &e.rcv
	cur := max(int(int32(r.adv-r.nxt)), 0)
	w := e.freshWindow(cur)
	if w < cur {
		w = cur
		if m := 1<<r.wscale - 1; w&m != 0 {
			w = (w + m) &^ m
		}
	}
	w = min(w, 65535<<r.wscale)
	r.adv = r.nxt + uint32(w)
	return uint32(w)
}

// freshWindow is the window that the buffer allows, given the one in force.
func (e *Endpoint) freshWindow(cur int) int {
	r := &e.rcv
	free, full := e.space(), e.opts.RcvBuf()/2
	if e.windowClamp != 0 {
		full = min(full, e.windowClamp)
		free = min(free, full)
	}
	mss := min(r.mss, full)
	if free < full/2 {
		free &^= 1<<r.wscale - 1
		if free < full/16 || free < mss {
			return 0
		}
	}
	if r.wscale != 0 {
		m := 1<<r.wscale - 1
		return (free + m) &^ m
	}
	w := cur
	if w <= free-mss || w > free {
		w = free / mss * mss
	} else if mss == full && free > w+full/2 {
		w = free
	}
	return w
}

// ackSent notes that an ACK has gone out.
func (e *Endpoint) ackSent() {
	r := &e.rcv
	r.wup = r.nxt
	if r.ackDue || r.ackNow {
		r.ackDue, r.ackNow = false, false
		e.timers.off(timerDelack)
	}
	if r.quick > 0 {
		r.quick--
	}
	r.hasDS = false
}

// putSACK writes a SACK option of what is out of order, the most recent first
// (RFC 2018 section 4), led by a DSACK block (RFC 2883).
func (r *receiver) putSACK(b []byte) int {
	var blocks [4]wire.SACKBlock
	room := min(4, (len(b)-4)/8)
	n := 0
	if r.hasDS {
		blocks[n] = r.dsack
		n++
	}
	below := r.oooStamp + 1
	for n < room {
		// The one that changed last of those not yet taken.
		var next *oooSegment
		for i := range r.ooo {
			if o := &r.ooo[i]; o.stamp < below && (next == nil || o.stamp > next.stamp) {
				next = o
			}
		}
		if next == nil {
			break
		}
		below = next.stamp
		blocks[n] = next.block()
		n++
	}
	if n == 0 {
		return 0
	}
	return wire.PutSACK(b, blocks[:n])
}

// delackExpired adapts after a delayed ACK had to be sent by the timer.
func (r *receiver) delackExpired() {
	if r.pingpong {
		r.pingpong = false
		r.ato = delackMin
	} else {
		r.ato = min(r.ato*2, delackMax)
	}
}

// Bounds of delayed ACKs (TCP_DELACK_MIN, TCP_DELACK_MAX).
const (
	delackMin = 40 * time.Millisecond
	delackMax = 200 * time.Millisecond
)

// maxQuick is how many segments are acknowledged at once before ACKs are delayed.
const maxQuick = 16

// gotData adapts the delayed ACK's timing to the arrival of data.
func (e *Endpoint) gotData(n uint32, now time.Duration) {
	r := &e.rcv
	r.ackDue = true
	if int(n) > r.mss {
		r.mss = min(int(n), max(e.advMSS(), defaultMSS))
	}
	switch gap := now - r.lastData; {
	case r.ato == 0:
		// The first data: the peer starts slow, so it needs every ACK (tcp_incr_quickack).
		r.quick = max(r.quick, min(max(e.recvWindow()/(2*r.mss), 2), maxQuick))
		r.ato = delackMin
	case gap <= delackMin/2:
		r.ato = r.ato/2 + delackMin/2
	case gap < r.ato:
		r.ato = min(r.ato/2+gap, e.rtt.rto)
	case gap > e.rtt.rto:
		r.quick = max(r.quick, 2)
	}
	r.lastData = now
	if e.proto.Params.ModerateRcvbuf.Bool() {
		e.measureRTT(now)
	}
}

// measureRTT estimates the round trip as the time in which a window arrives.
func (e *Endpoint) measureRTT(now time.Duration) {
	r := &e.rcv
	if r.rttAt != 0 {
		if before(r.nxt, r.rttSeq) {
			return
		}
		m := max(now-r.rttAt, time.Microsecond)
		if r.rtt == 0 || m < r.rtt {
			r.rtt = m
		} else {
			r.rtt += (m - r.rtt) / 8
		}
	}
	r.rttSeq, r.rttAt = r.adv, now
}

// ackAtOnce is how many full segments are not acknowledged together with more that may come, even
// if the window does not move: a sender that measures how fast its data arrives (BBR) would take
// the time until the application reads it for the network's.
const ackAtOnce = 32

// ackTogether is how much data of large packets that come together is acknowledged by one ACK, as if
// the device had put them together.
const ackTogether = 256 << 10

// ackCheck sends an ACK for g now or later, as Linux does: at once for every second
// full segment if the window moves, for data out of order and in quick mode.
func (e *Endpoint) ackCheck(g *segment, now time.Duration) {
	r := &e.rcv
	if !r.ackDue && !r.ackNow {
		return
	}
	together := g.p.Followed && g.p.GSOSize != 0 && !r.ackNow && len(r.ooo) == 0 && int(r.nxt-r.wup) < ackTogether
	if !together && (r.ackNow || e.quickACK() || len(r.ooo) > 0 || int(r.nxt-r.wup) > ackAtOnce*r.mss ||
		int(r.nxt-r.wup) > r.mss && (r.q.size < int(e.opts.RcvLowat.Load()) || e.freshWindow(int(r.adv-r.wup)) >= int(r.adv-r.wup))) {
		e.sendACK()
		return
	}
	if !e.timers.on(timerDelack) {
		ato := min(max(r.ato, delackMin), delackMax)
		if e.rtt.srtt != 0 {
			ato = min(ato, max(e.rtt.srtt, delackMin))
		}
		e.timers.set(timerDelack, now+ato)
	}
}

// quickACK reports whether ACKs are not to be delayed.
func (e *Endpoint) quickACK() bool {
	return e.quickAckMode && !e.rcv.pingpong || e.rcv.quick > 0 && !e.rcv.pingpong
}

// afterRead sends a window update when reading has opened the window enough
// (RFC 9293 section 3.8.6.2.2; Linux's tcp_cleanup_rbuf). mu is held.
func (e *Endpoint) afterRead(copied int) {
	r := &e.rcv
	switch e.state {
	case Established, FinWait1, FinWait2:
	case CloseWait:
		return
	default:
		return
	}
	due := false
	if r.ackDue {
		due = int(r.nxt-r.wup) > r.mss || copied > 0 && r.q.size == 0 && !r.pingpong && r.quick > 0
	}
	if !due && copied > 0 && e.shut&shutRecv == 0 {
		cur := int(int32(r.adv - r.nxt))
		full := min(e.opts.RcvBuf()/2, 65535<<r.wscale)
		if 2*cur <= full {
			if n := e.freshWindow(cur); n > 0 && n >= 2*cur {
				due = true
			}
		}
	}
	if due {
		e.sendACK()
	}
}

// tuneRcvBuf grows the receive buffer so that a sender who fills a window per
// round trip is not held up (dynamic right-sizing). mu is held.
func (e *Endpoint) tuneRcvBuf() {
	r := &e.rcv
	now := e.now()
	if r.tuneAt == 0 {
		r.tuneAt = now
	}
	rtt := r.rtt
	if rtt == 0 {
		rtt = e.rtt.srtt
	}
	if rtt == 0 || now-r.tuneAt < rtt {
		return
	}
	copied := int(r.read - r.tuneSeq)
	if copied > r.tuneSpace {
		if e.proto.Params.ModerateRcvbuf.Bool() {
			want := 2*copied + 16*r.mss
			if r.tuneSpace > 0 {
				want += want * (copied - r.tuneSpace) / r.tuneSpace
			}
			want = min(2*want, e.proto.Params.Rmem.At(2))
			if want > e.opts.RcvBuf() && !e.proto.tooMuchMemory() {
				e.opts.TuneRcvBuf(want)
			}
		}
		r.tuneSpace = copied
	}
	r.tuneSeq, r.tuneAt = r.read, now
}

// accept takes the data of a segment that passed the checks (RFC 9293 section
// 3.10.7.4, seventh and eighth step).
func (e *Endpoint) acceptData(g *segment, now time.Duration) {
	r := &e.rcv
	fin := g.flags&wire.FIN != 0
	seq, end := g.seq, g.seq+g.len
	total := end
	if fin {
		total++
	}
	if !after(total, r.nxt) {
		// All of it is old.
		e.dsack(seq, total)
		e.quickMode(2)
		r.ackNow = true
		return
	}
	if !before(seq, r.nxt+uint32(max(e.recvWindow(), 0))) && g.len > 0 {
		e.quickMode(2)
		r.ackNow = true
		if e.recvWindow() == 0 {
			e.proto.ip.Counters.TCP.TCPZeroWindowDrop.Inc()
		}
		return
	}
	if e.tooFull(1) && (seq != r.nxt || r.q.size > 0) {
		if e.collapse(); e.tooFull(2) {
			e.proto.ip.Counters.TCP.TCPRcvQDrop.Inc()
			e.quickMode(2)
			r.ackNow = true
			return
		}
	}
	e.info.dataSegsIn++
	e.ecnInput(g)
	if after(seq, r.nxt) {
		e.outOfOrder(g, seq, end, fin)
		return
	}
	if before(seq, r.nxt) {
		e.dsack(seq, r.nxt)
		g.p.TrimFront(int(r.nxt - seq))
	}
	if after(end, r.adv) && e.recvWindow() >= 0 && after(end, r.nxt+uint32(e.recvWindow())) {
		// Beyond the window: take what fits.
		over := int(end - (r.nxt + uint32(e.recvWindow())))
		if over < int(end-r.nxt) {
			g.p.Truncate(g.p.Len() - over)
			end -= uint32(over)
			fin = false
		}
	}
	n := end - r.nxt
	if n > 0 {
		size := n
		if g.p.GSOSize != 0 {
			size = uint32(g.p.GSOSize)
		}
		e.gotData(size, now)
		was := r.q.cost
		takeFrags(&r.q, g.p)
		e.charge(r.q.cost - was)
		r.nxt = end
		e.info.bytesReceived += uint64(n)
	}
	if fin {
		e.gotFIN()
	}
	if len(r.ooo) > 0 {
		e.drainOOO()
		if len(r.ooo) == 0 {
			r.ackNow = true // the gap is filled
		}
	}
	if n > 0 {
		e.noteArrival()
	}
	if r.q.size > 0 && n > 0 && e.readable() {
		e.pend |= unix.POLLIN | sock.POLLRDNORM
	}
}

// takeFrags moves a packet's data into q; header bytes left in front of the
// Frags are copied.
func takeFrags(q *dataQueue, p *pkt.Packet) {
	if h := p.Header(); len(h) > 0 {
		b := pkt.Alloc(len(h))
		copy(b.Bytes(), h)
		q.add(pkt.Frag{Buf: b, Len: uint32(len(h))})
	}
	for _, f := range p.Frags() {
		q.add(f)
	}
	p.TakeFrags()
}

// recvWindow is what is left of the advertised window.
func (e *Endpoint) recvWindow() int { return int(int32(e.rcv.adv - e.rcv.nxt)) }

// tooFull reports whether the queues hold more than n times the memory of the
// buffer. A window that was promised may need twice as much, since the promise
// was made before it was known how much memory the segments would waste.
func (e *Endpoint) tooFull(times int) bool {
	n := e.rcv.q.cost + e.rcv.oooCost
	return n > times*e.opts.RcvBuf() || n > 65536 && e.proto.tooMuchMemory()
}

// collapse copies the data of queues that waste memory into fewer Bufs.
func (e *Endpoint) collapse() {
	r := &e.rcv
	if r.q.cost > 3*r.q.size+pkt.LargeSize && e.mayCollapse() {
		e.proto.ip.Counters.TCP.TCPRcvCollapsed.Inc()
		e.charge(-r.q.cost)
		r.q.compact()
		e.charge(r.q.cost)
	}
	for i := range r.ooo {
		o := &r.ooo[i]
		if o.q.cost > 3*o.q.size+pkt.SmallSize {
			r.oooCost -= o.q.cost
			e.charge(-o.q.cost)
			o.q.compact()
			r.oooCost += o.q.cost
			e.charge(o.q.cost)
		}
	}
	// Out-of-order data may be dropped though it has been SACKed (RFC 2018 section 8).
	for e.tooFull(2) && len(r.ooo) > 0 {
		o := &r.ooo[len(r.ooo)-1]
		r.oooCost -= o.q.cost
		e.charge(-o.q.cost)
		o.q.clear()
		r.ooo = r.ooo[:len(r.ooo)-1]
	}
}

// mayCollapse reports whether no reader is copying from the queue.
func (e *Endpoint) mayCollapse() bool {
	if e.rmu.TryLock() {
		e.rmu.Unlock()
		return true
	}
	return false
}

// compact copies the queue into as few Bufs as possible.
func (q *dataQueue) compact() {
	var n dataQueue
	var b *pkt.Buf
	var off uint32
	left := q.size
	for i := range q.f.n {
		for src := q.f.at(i).Bytes(); len(src) > 0; {
			if b == nil {
				b, off = pkt.Alloc(left), 0
			}
			c := copy(b.Bytes()[off:], src)
			b.Ref()
			n.add(pkt.Frag{Buf: b, Off: off, Len: uint32(c)})
			off += uint32(c)
			left -= c
			src = src[c:]
			if int(off) == b.Cap() {
				b.Unref()
				b = nil
			}
		}
	}
	if b != nil {
		b.Unref()
	}
	q.clear()
	*q = n
}

func (e *Endpoint) quickMode(n int) {
	e.rcv.quick = max(e.rcv.quick, n)
	e.rcv.pingpong = false
}

// dsack notes a duplicate to be reported (RFC 2883).
func (e *Endpoint) dsack(start, end uint32) {
	if e.sackOK && e.proto.Params.DSACK.Bool() && before(start, end) {
		e.rcv.dsack, e.rcv.hasDS = wire.SACKBlock{Start: start, End: end}, true
		e.proto.ip.Counters.TCP.TCPDSACKOldSent.Inc()
	}
}

// dsackMore is dsack for one more range of a segment that has brought several again.
func (e *Endpoint) dsackMore(start, end uint32) {
	if r := &e.rcv; r.hasDS && !before(end, r.dsack.Start) && !before(r.dsack.End, start) {
		start, end = minSeq(start, r.dsack.Start), maxSeq(end, r.dsack.End)
	} else if r.hasDS {
		return
	}
	e.dsack(start, end)
}

// gotFIN is the arrival of the peer's FIN in order.
func (e *Endpoint) gotFIN() {
	r := &e.rcv
	r.nxt++
	r.ackDue = true
	e.shut |= shutRecv
	e.done = true
	e.pend |= unix.POLLIN | sock.POLLRDNORM | unix.POLLRDHUP
	e.charge(-r.oooCost)
	r.dropOOO()
	switch e.state {
	case Established, SynRecv:
		e.setState(CloseWait)
		r.pingpong = true
	case FinWait1:
		r.ackNow = true
		e.setState(Closing)
		e.pend |= unix.POLLHUP
	case FinWait2:
		e.sendACK()
		e.pend |= unix.POLLHUP
		e.enterTimeWait()
	}
}
