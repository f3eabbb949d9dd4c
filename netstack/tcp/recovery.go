package tcp

import (
	"sort"
	"time"

	"casemate/netstack/wire"
)

// Flags of a sent record.
const (
	sentSacked  = 1 << iota // selectively acknowledged
	sentLost                // thought lost
	sentRetrans             // sent again since it was thought lost
	sentEver                // sent more than once: no RTT sample (Karn)
	sentLimited             // sent when the application had not kept up
)

// sent is a run of sequence numbers in flight, sent at one time.
type sent struct {
	seq, end  uint32
	n         uint32 // segments
	flags     uint8
	fin       bool
	xmit      time.Duration
	delivered uint32 // info.delivered when it was sent
	// rate's values when it was sent
	deliveredAt, firstSent time.Duration
}

// dupThresh is the number of duplicate ACKs that show a loss.
const dupThresh = 3

// Congestion states, as in TCP_INFO (tcpi_ca_state).
const (
	caOpen = iota
	caDisorder
	caCWR
	caRecovery
	caLoss
)

// recovery is loss detection and recovery: RACK-TLP (RFC 8985) over a scoreboard
// of what is in flight, with proportional rate reduction (RFC 9937).
type recovery struct {
	sent       ring[sent]
	packetsOut uint32
	sackedOut  uint32
	lostOut    uint32
	retransOut uint32
	lost       uint32 // segments that have been marked lost, in all
	dups       uint32 // segments that duplicate ACKs, and no other yet, have shown to be delivered

	ca                     uint8
	highSeq                uint32 // SND.NXT when recovery began
	undo                   int    // segments sent again that no DSACK has reported; for undo
	canUndo                bool
	undoCwnd, undoSsthresh int
	retransAt              uint32 // timestamp of the first retransmission (Eifel, RFC 3522)
	frto                   bool   // it is being found out whether a timeout was needless

	// Proportional rate reduction.
	prrDelivered, prrOut, priorCwnd int

	// RACK.
	rackXmit   time.Duration // sent time of the most recently sent segment that was delivered
	rackEnd    uint32
	rackRTT    time.Duration
	reordSeen  bool
	reoSteps   int // multiples of min_rtt/4 in the reordering window
	reoPersist int
	fack       uint32 // highest sequence number SACKed or acknowledged
	dsackRound uint32
	hasDsack   bool

	// TLP.
	tlpEnd     uint32 // SND.NXT when the probe was sent; 0 when none is out
	tlpRetrans bool

	// Timeouts.
	since   time.Duration // when the present series of timeouts began; 0: none
	retries int
	probes  int
}

func (r *recovery) init() { *r = recovery{reoSteps: 1} }

func (r *recovery) push(f *sent) {
	r.sent.push(*f)
	r.packetsOut += f.n
	r.countOut(f.n)
}

// countOut counts n segments that are sent, for the first time or again, for proportional rate
// reduction.
func (r *recovery) countOut(n uint32) {
	if r.ca == caRecovery || r.ca == caCWR {
		r.prrOut += int(n)
	}
}

// inFlight is the estimate of segments in the network (RFC 6675's pipe).
func (r *recovery) inFlight() int {
	return int(r.packetsOut) - int(r.sackedOut) - int(r.lostOut) + int(r.retransOut)
}

// quota is how many segments may be sent now.
func (r *recovery) quota(c *congestion) int { return c.cwnd - r.inFlight() }

// split cuts record i at seq, which lies inside it.
func (r *recovery) split(i int, seq uint32, mss int) {
	f := r.sent.at(i)
	if !after(seq, f.seq) || !before(seq, f.end) {
		return
	}
	g := *f
	g.seq = seq
	f.end, f.fin = seq, false
	total := f.n
	f.n = (f.end - f.seq + uint32(mss) - 1) / uint32(mss)
	if f.n >= total {
		f.n = max(total-1, 1)
	}
	if g.n = total - f.n; g.n == 0 {
		g.n = 1
	}
	if extra := f.n + g.n - total; extra > 0 {
		r.packetsOut += extra
		if f.flags&sentSacked != 0 {
			r.sackedOut += extra
		}
		if f.flags&sentLost != 0 {
			r.lostOut += extra
		}
		if f.flags&sentRetrans != 0 {
			r.retransOut += extra
		}
	}
	r.sent.insert(i+1, g)
}

// trim cuts what lies before seq, which is inside it, off record f, and returns how many
// segments that takes away.
func (r *recovery) trim(f *sent, seq uint32, mss int) uint32 {
	n := (f.end - seq + uint32(mss) - 1) / uint32(mss)
	d := f.n - min(n, f.n)
	g := *f
	g.n = d
	r.forget(&g)
	f.seq, f.n = seq, f.n-d
	return d
}

// forget takes a record's counts out.
func (r *recovery) forget(f *sent) {
	r.packetsOut -= f.n
	if f.flags&sentSacked != 0 {
		r.sackedOut -= f.n
	}
	if f.flags&sentLost != 0 {
		r.lostOut -= f.n
	}
	if f.flags&sentRetrans != 0 {
		r.retransOut -= f.n
	}
}

// markLost marks record f lost.
func (r *recovery) markLost(f *sent) {
	if f.flags&(sentLost|sentRetrans) != sentLost {
		r.lost += f.n
	}
	if f.flags&sentLost == 0 {
		f.flags |= sentLost
		r.lostOut += f.n
	}
	if f.flags&sentRetrans != 0 {
		f.flags &^= sentRetrans
		r.retransOut -= f.n
	}
}

// ackResult is what an acknowledgement has brought.
type ackResult struct {
	acked     uint32 // segments acknowledged cumulatively
	delivered uint32 // segments delivered, SACKed ones included
	bytes     uint32
	rtt       time.Duration // from a segment sent once; 0: none
	dsack     bool
	dsackEnd  uint32 // of the duplicate
	echoed    bool   // the segment has an echo of our timestamps
	echo      uint32
	retrans   bool // a retransmitted segment was acknowledged
	original  bool // one sent once, before recovery began, has been delivered
	rate      rateSample
}

// rackUpdate is RFC 8985 section 6.2 step 2 for a delivered record.
func (e *Endpoint) rackUpdate(f *sent, now time.Duration, a *ackResult) {
	r := &e.rec
	rtt := now - f.xmit
	if f.flags&sentEver != 0 {
		a.retrans = true
		// It may be the original that was delivered.
		if rtt < e.rtt.min && e.rtt.min != 0 || a.echoed && before(a.echo, e.tsAt(f.xmit)) {
			return
		}
	} else {
		a.rtt = rtt
	}
	if f.xmit > r.rackXmit || f.xmit == r.rackXmit && after(f.end, r.rackEnd) {
		r.rackXmit, r.rackEnd, r.rackRTT = f.xmit, f.end, rtt
	}
}

// once reports whether f was sent before recovery began and never again.
func (r *recovery) once(f *sent) bool { return f.flags&sentEver == 0 && !after(f.end, r.highSeq) }

// first is the index of the first record that ends after seq.
func (r *recovery) first(seq uint32) int {
	return sort.Search(r.sent.len(), func(i int) bool { return after(r.sent.at(i).end, seq) })
}

// sackInput applies a segment's SACK blocks to the scoreboard.
func (e *Endpoint) sackInput(g *segment, now time.Duration, a *ackResult) {
	r := &e.rec
	s := &e.snd
	for k := range g.opt.NSACK {
		b := g.opt.SACK[k]
		if !before(b.Start, b.End) {
			continue
		}
		if k == 0 && (!after(b.End, g.ack) || g.opt.NSACK > 1 && !before(b.Start, g.opt.SACK[1].Start) && !after(b.End, g.opt.SACK[1].End)) {
			// A duplicate has arrived there (RFC 2883).
			if after(b.End, s.una-s.maxWnd) && !after(b.End, s.nxt) {
				e.dsackInput(b, a)
			}
			if !after(b.End, g.ack) {
				continue
			}
		}
		if before(b.Start, s.una) || after(b.End, s.nxt) || !before(b.Start, s.nxt) {
			continue
		}
		for i := r.first(b.Start); i < r.sent.len(); i++ {
			f := r.sent.at(i)
			if !before(f.seq, b.End) {
				break
			}
			if f.flags&sentSacked != 0 {
				continue
			}
			// Records are cut between segments only: a part of one has not been received.
			mss := uint32(s.mss)
			if before(f.seq, b.Start) {
				if n := (b.Start - f.seq + mss - 1) / mss * mss; n < f.end-f.seq {
					r.split(i, f.seq+n, s.mss)
				}
				continue
			}
			if after(f.end, b.End) {
				n := (b.End - f.seq) / mss * mss
				if n == 0 {
					break
				}
				r.split(i, f.seq+n, s.mss)
				f = r.sent.at(i)
			}
			e.rackUpdate(f, now, a)
			e.rateUpdate(f, a)
			a.original = a.original || r.once(f)
			if before(f.end, r.fack) && f.flags&(sentEver) == 0 {
				r.reordSeen = true
				e.info.reordSeen++
			}
			if after(f.end, r.fack) {
				r.fack = f.end
			}
			if f.flags&sentLost != 0 {
				f.flags &^= sentLost
				r.lostOut -= f.n
			}
			if f.flags&sentRetrans != 0 {
				f.flags &^= sentRetrans
				r.retransOut -= f.n
			}
			f.flags |= sentSacked
			r.sackedOut += f.n
			a.delivered += f.n
		}
	}
}

// dsackInput notes that the peer got the segments of a range twice.
func (e *Endpoint) dsackInput(b wire.SACKBlock, a *ackResult) {
	r := &e.rec
	n := (int(b.End-b.Start) + e.snd.mss - 1) / e.snd.mss
	a.dsack, a.dsackEnd = true, b.End
	e.info.dsackDups += uint32(n)
	e.proto.ip.Counters.TCP.TCPDSACKRecv.Inc()
	r.undo = max(r.undo-n, 0)
	r.reordSeen = true
	if !r.hasDsack || !before(e.snd.una, r.dsackRound) {
		r.hasDsack, r.dsackRound = true, e.snd.nxt
		r.reoSteps = min(r.reoSteps+1, 255)
		r.reoPersist = 16
	}
}

// reoWindow is RACK's reordering window (RFC 8985 section 6.2 step 4).
func (e *Endpoint) reoWindow() time.Duration {
	r := &e.rec
	if !r.reordSeen {
		if r.ca >= caRecovery || r.sackedOut >= dupThresh {
			return 0
		}
	}
	return min(e.rtt.min/4*time.Duration(r.reoSteps), e.rtt.srtt)
}

// detectLoss is RFC 8985 section 6.2 step 5. It reports whether something has
// newly been marked lost.
func (e *Endpoint) detectLoss(now time.Duration) bool {
	r := &e.rec
	if !e.sackOK {
		// Three duplicate ACKs (RFC 5681 section 3.2).
		if f := r.sent.at(0); r.ca < caRecovery && r.sackedOut >= dupThresh && f.flags&sentLost == 0 {
			r.markLost(f)
			return true
		}
		return false
	}
	if r.rackXmit == 0 || r.sackedOut == 0 && r.ca < caRecovery && r.lostOut == 0 {
		return false
	}
	wnd := e.reoWindow()
	var timeout time.Duration
	lost := false
	for i := 0; i < r.sent.len(); i++ {
		f := r.sent.at(i)
		if f.flags&sentSacked != 0 || f.flags&sentLost != 0 && f.flags&sentRetrans == 0 {
			continue
		}
		if !(f.xmit < r.rackXmit || f.xmit == r.rackXmit && before(f.end, r.rackEnd)) {
			if f.flags&sentEver == 0 && f.xmit > r.rackXmit {
				break // so was all that follows
			}
			continue
		}
		if left := f.xmit + r.rackRTT + wnd - now; left <= 0 {
			r.markLost(f)
			lost = true
		} else {
			timeout = max(timeout, left)
		}
	}
	if timeout > 0 {
		e.timers.set(timerReorder, now+timeout)
	} else {
		e.timers.off(timerReorder)
	}
	return lost
}

// reorderTimeout is the end of the reordering window (RFC 8985 section 6.3).
func (e *Endpoint) reorderTimeout(now time.Duration) {
	if e.detectLoss(now) {
		e.enterRecovery()
		e.retransmit(now)
		e.output(false)
		if !e.timers.on(timerRetransmit) {
			e.rearm(now)
		}
	}
}

// enterRecovery begins fast recovery.
func (e *Endpoint) enterRecovery() {
	r := &e.rec
	if r.ca >= caRecovery {
		return
	}
	c := &e.proto.ip.Counters.TCP
	c.TCPSackRecovery.Inc()
	e.beginReduction()
	r.ca = caRecovery
	e.conserve()
}

// conserve has BBR send no more than arrives.
func (e *Endpoint) conserve() {
	if b := e.cc.bbr; b != nil {
		e.cc.cwnd = b.EnterRecovery(e.cc.cwnd, e.rec.inFlight(), e.info.delivered)
	}
}

// beginReduction notes what is needed to reduce cwnd and to undo that.
func (e *Endpoint) beginReduction() {
	r := &e.rec
	if r.ca < caCWR {
		r.undoCwnd, r.undoSsthresh = e.cc.cwnd, e.cc.ssthresh
		e.cc.ssthresh = e.cc.algo.ssthresh(&e.cc, e.now())
	}
	r.canUndo, r.undo = true, 0
	e.ecn.queueCWR = e.ecn.ok
	r.highSeq = e.snd.nxt
	r.tlpEnd = 0
	r.priorCwnd, r.prrDelivered, r.prrOut = e.cc.cwnd, 0, 0
}

// timeoutLoss marks everything lost after a retransmission timeout (RFC 9293
// section 3.8.1, RFC 5681 section 3.1) and sends the first segment again.
func (e *Endpoint) timeoutLoss(now time.Duration) {
	r := &e.rec
	if r.sent.len() == 0 {
		return
	}
	if r.ca < caLoss || !before(r.highSeq, e.snd.una) {
		if r.ca < caRecovery {
			e.beginReduction()
		}
	}
	if b := e.cc.bbr; b != nil {
		b.Timeout(e.cc.cwnd)
	}
	// SACK reneging: the head is SACKed but not acknowledged.
	if r.sent.at(0).flags&sentSacked != 0 {
		e.proto.ip.Counters.TCP.TCPSACKReneging.Inc()
		for i := range r.sent.len() {
			if f := r.sent.at(i); f.flags&sentSacked != 0 {
				f.flags &^= sentSacked
				r.sackedOut -= f.n
			}
		}
	}
	for i := range r.sent.len() {
		if f := r.sent.at(i); f.flags&sentSacked == 0 {
			r.markLost(f)
		}
	}
	r.frto = e.proto.Params.FRTO.Bool() && e.synchronized() && (r.ca < caRecovery || r.retries > 1)
	r.ca = caLoss
	e.ecn.queueCWR = e.ecn.ok
	r.highSeq = e.snd.nxt
	r.tlpEnd = 0
	e.cc.cwnd = 1
	e.cc.cwndCnt = 0
	e.cc.cubic, e.cc.hystart = cubic{}, hystart{} // RFC 9438 section 4.8
	e.timers.off(timerProbe)
	e.timers.off(timerReorder)
	// Whatever the windows say, one segment goes.
	for i := range r.sent.len() {
		if f := r.sent.at(i); f.flags&sentLost != 0 {
			if f.n > 1 {
				r.split(i, f.seq+uint32(e.snd.mss), e.snd.mss)
			}
			e.resend(i, now)
			break
		}
	}
}

// armProbe schedules a tail loss probe (RFC 8985 section 7.2).
func (e *Endpoint) armProbe(now time.Duration) {
	r := &e.rec
	if e.proto.Params.EarlyRetrans.Get() < 3 || r.ca != caOpen || r.sackedOut != 0 || !e.sackOK || r.sent.len() == 0 || e.rtt.srtt == 0 || r.tlpEnd != 0 || e.state == SynSent || e.state == SynRecv {
		e.timers.off(timerProbe)
		return
	}
	pto := 2*e.rtt.srtt + 2*time.Millisecond
	if r.packetsOut == 1 {
		pto = 2*e.rtt.srtt + minRTO
	}
	if rto := e.timers.at[timerRetransmit]; rto != 0 {
		pto = min(pto, rto-now)
	}
	e.timers.set(timerProbe, now+pto)
}

// tailLossProbe sends new data, or the last segment again (RFC 8985 section 7.3).
func (e *Endpoint) tailLossProbe(now time.Duration) {
	r := &e.rec
	s := &e.snd
	if r.sent.len() == 0 || r.tlpEnd != 0 || r.ca >= caCWR {
		return
	}
	c := &e.proto.ip.Counters.TCP
	r.tlpRetrans = false
	if avail := s.unsent(); avail > 0 && int32(s.una+s.wnd-s.nxt) > 0 {
		n := min(avail, s.mss, int(s.una+s.wnd-s.nxt))
		seq := s.nxt
		got := e.build(now, seq, n, wire.ACK, nil)
		s.nxt += uint32(got)
		e.push(&sent{seq: seq, end: s.nxt, n: 1}, now)
	} else {
		i := r.sent.len() - 1
		f := r.sent.at(i)
		if f.flags&sentRetrans != 0 {
			return
		}
		if f.n > 1 {
			tail := f.end - f.seq // of the last segment
			if f.fin {
				tail--
			}
			if tail %= uint32(s.mss); tail == 0 {
				tail = uint32(s.mss)
			}
			if f.fin {
				tail++
			}
			r.split(i, f.end-tail, s.mss)
			i = r.sent.len() - 1
		}
		e.resend(i, now)
		if f = r.sent.at(i); f.flags&sentLost == 0 && f.flags&sentRetrans != 0 {
			// A probe is not a repair: it does not count as retransmitted in flight.
			f.flags &^= sentRetrans
			r.retransOut -= f.n
		}
		r.tlpRetrans = true
	}
	r.tlpEnd = s.nxt
	c.TCPLossProbes.Inc()
	e.rearm(now)
}

// tlpInput is RFC 8985 section 7.4: an acknowledgement while a probe is out.
func (e *Endpoint) tlpInput(g *segment, a *ackResult) {
	r := &e.rec
	if r.tlpEnd == 0 || before(g.ack, r.tlpEnd) {
		return
	}
	switch {
	case !r.tlpRetrans, a.dsack && a.dsackEnd == r.tlpEnd:
		r.tlpEnd = 0
	case after(g.ack, r.tlpEnd):
		// Only one copy has been acknowledged: the probe has repaired a loss that nothing else has
		// shown.
		r.tlpEnd = 0
		e.proto.ip.Counters.TCP.TCPLossProbeRecovery.Inc()
		if r.ca < caCWR && e.cc.bbr == nil {
			e.beginReduction()
			r.canUndo = false
			e.cc.cwnd = min(e.cc.cwnd, e.cc.ssthresh)
		}
	case a.acked == 0 && a.delivered == 0 && g.len == 0:
		r.tlpEnd = 0 // the other copy
	}
}
