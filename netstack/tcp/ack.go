package tcp

import (
	"time"

	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// ackInput processes SEG.ACK, SACK blocks and window of an acceptable segment
// (RFC 9293 section 3.10.7.4, fifth step). It reports false if the segment has
// to be dropped.
func (e *Endpoint) ackInput(g *segment, now time.Duration) bool {
	s, r := &e.snd, &e.rec
	ack := g.ack
	if before(ack, s.una) {
		if before(ack, s.una-max(uint32(min(uint64(s.maxWnd), e.info.bytesAcked)), 1)) { // RFC 5961 section 5.2
			e.challengeACK()
			return false
		}
		if g.opt.NSACK > 0 && r.sent.len() > 0 {
			var a ackResult
			e.echo(g, &a)
			inFlight := r.inFlight()
			e.checkLimited()
			e.sackInput(g, now, &a)
			e.info.delivered += a.delivered
			e.rateSample(now, &a)
			e.recover(g, now, &a, inFlight)
		}
		return true
	}
	if after(ack, s.nxt) {
		e.challengeACK()
		return false
	}
	wasProbed := r.probes
	r.probes, r.retries = 0, 0

	// The send window (SND.WL1, SND.WL2).
	wndChanged := false
	if wnd := g.wnd << s.wscale; after(ack, s.una) || after(g.seq, s.wl1) || g.seq == s.wl1 && (wnd > s.wnd || wnd == 0) {
		s.wl1, s.wl2 = g.seq, ack
		wndChanged = wnd != s.wnd
		s.wnd = wnd
		s.maxWnd = max(s.maxWnd, wnd)
	}
	if r.sent.len() == 0 && ack == s.una {
		if wasProbed > 0 || e.timers.on(timerRetransmit) {
			// An answer to a zero-window probe.
			if int32(s.una+s.wnd-s.nxt) > 0 {
				e.timers.off(timerRetransmit)
				e.rtt.backoff = 0
				r.since = 0
			} else if s.unsent() == 0 {
				e.timers.off(timerRetransmit)
			}
		}
		if r.tlpEnd != 0 || g.opt.NSACK > 0 {
			var a ackResult
			e.echo(g, &a)
			if g.opt.NSACK > 0 && e.sackOK {
				e.sackInput(g, now, &a)
			}
			e.tlpInput(g, &a)
			if r.canUndo && e.spurious(&a) {
				e.undoReduction()
			}
		}
		return true
	}

	var a ackResult
	e.echo(g, &a)
	priorInFlight := r.inFlight()
	e.checkLimited()
	if g.opt.NSACK > 0 && e.sackOK {
		e.sackInput(g, now, &a)
	}
	if after(ack, s.una) {
		e.cumulativeACK(ack, now, &a)
	} else if g.len == 0 && !wndChanged && g.flags&(wire.SYN|wire.FIN) == 0 && !e.sackOK {
		// A duplicate ACK without SACK: something has been delivered (RFC 6675 does not apply).
		e.dupACK(&a)
	}
	rtt := a.rtt
	if rtt == 0 && a.acked > 0 && a.retrans {
		rtt = e.echoRTT(&a)
	}
	if rtt > 0 {
		e.rtt.sample(rtt, now)
	}
	e.info.delivered += a.delivered
	e.rateSample(now, &a)
	e.tlpInput(g, &a)
	e.recover(g, now, &a, priorInFlight)
	if a.acked > 0 {
		r.since = 0 // the backoff ends with a measurement (Karn's algorithm)
		s.lastAck = now
		e.rearm(now)
		e.freed()
	}
	if e.state == Established || e.state == CloseWait {
		e.armProbe(now)
	}
	return true
}

// echo takes the echo of our timestamps from an acknowledgement.
func (e *Endpoint) echo(g *segment, a *ackResult) {
	a.echoed, a.echo = e.tsOK && g.opt.HasTS && g.opt.TSEcr != 0, g.opt.TSEcr
}

// echoRTT is the round trip that the echo of a timestamp shows (RFC 7323 section 4); 0: none.
func (e *Endpoint) echoRTT(a *ackResult) time.Duration {
	if !a.echoed {
		return 0
	}
	return sinceStamp(a.echo, e.tsAt(e.now()))
}

// sinceStamp is the time between two timestamps, one of their units at least; 0 if then follows now.
func sinceStamp(then, now uint32) time.Duration {
	d := int32(now - then)
	if d < 0 {
		return 0
	}
	return time.Duration(max(d, 1)) * time.Millisecond
}

// tsAt is our timestamp at a time.
func (e *Endpoint) tsAt(t time.Duration) uint32 { return uint32(t/time.Millisecond) + e.tsOff }

// cumulativeACK removes what ack covers from the scoreboard and the queue.
func (e *Endpoint) cumulativeACK(ack uint32, now time.Duration, a *ackResult) {
	s, r := &e.snd, &e.rec
	rtt, again := a.rtt, false
	for r.sent.len() > 0 {
		f := r.sent.at(0)
		if !before(f.seq, ack) {
			break
		}
		if after(f.end, ack) {
			// Only whole segments count: an ACK of every byte must not open the window.
			n := r.trim(f, ack, s.mss)
			a.acked += n
			if f.flags&sentSacked == 0 || !e.sackOK {
				a.delivered += n
				e.rateUpdate(f, a)
				a.original = a.original || r.once(f)
			}
			break
		}
		if f.flags&sentSacked == 0 {
			e.rackUpdate(f, now, a)
			a.original = a.original || r.once(f)
			if f.flags&sentEver == 0 && before(f.end, r.fack) {
				r.reordSeen = true
			}
		}
		if f.flags&sentSacked == 0 || !e.sackOK {
			e.rateUpdate(f, a)
			a.delivered += f.n
		}
		again = again || f.flags&sentEver != 0
		a.acked += f.n
		r.forget(f)
		r.sent.pop()
	}
	if r.dups > 0 && a.delivered > 0 {
		// Duplicates have told of some of it already.
		n := min(r.dups, a.delivered)
		if r.ca >= caLoss {
			n = min(n, a.delivered-1) // each ACK lets slow start go on
		}
		r.dups -= n
		a.delivered -= n
	}
	if again {
		// What follows a repaired gap has waited for the repair (Karn's rule).
		a.rtt = rtt
	}
	if after(ack, r.fack) {
		r.fack = ack
	}
	n := ack - s.una
	if s.una == s.iss {
		n-- // the SYN
	}
	if ack == s.end+1 {
		n-- // the FIN
	}
	if before(s.una, s.up) && !before(ack, s.up) {
		s.urgent = false
	}
	s.una = ack
	if before(s.wl2, ack) {
		s.wl2 = ack
	}
	if n > 0 {
		was := s.q.cost
		s.q.drop(int(n))
		e.charge(s.q.cost - was)
		s.base += n
		e.info.bytesAcked += uint64(n)
	}
	a.bytes = n
}

// dupACK takes a duplicate ACK from a peer that does not do SACK: some segment
// has been delivered, so the next one in the scoreboard that is not yet marked
// so is (RFC 6582; after a timeout duplicates tell only of what has been sent since).
func (e *Endpoint) dupACK(a *ackResult) {
	r := &e.rec
	if r.ca >= caLoss && !after(e.snd.nxt, r.highSeq) {
		return
	}
	for i := 0; i < r.sent.len(); i++ {
		f := r.sent.at(i)
		if i == 0 {
			if f.n > 1 {
				r.split(0, f.seq+uint32(e.snd.mss), e.snd.mss)
			}
			continue
		}
		if f.flags&(sentSacked|sentLost) == 0 {
			if f.n > 1 {
				r.split(i, f.seq+uint32(e.snd.mss), e.snd.mss)
				f = r.sent.at(i)
			}
			f.flags |= sentSacked
			r.sackedOut += f.n
			a.delivered += f.n
			r.dups += f.n
			return
		}
	}
}

// recover runs the congestion state machine after an acknowledgement and sends
// what it allows.
func (e *Endpoint) recover(g *segment, now time.Duration, a *ackResult, priorInFlight int) {
	s, r := &e.snd, &e.rec
	lost := r.lost
	if !e.sackOK && a.acked > 0 {
		// Without SACK the marks of duplicates end with the gap that they told of.
		for i := range r.sent.len() {
			if f := r.sent.at(i); f.flags&sentSacked != 0 {
				f.flags &^= sentSacked
				r.sackedOut -= f.n
			}
		}
		if r.ca == caRecovery && before(s.una, r.highSeq) && r.sent.len() > 0 {
			r.markLost(r.sent.at(0)) // a partial acknowledgement (RFC 6582)
		}
	}
	fresh, wasLost := false, int(r.lostOut)
	switch {
	case r.canUndo && e.spurious(a):
		e.undoReduction()
	case r.ca >= caCWR && !before(s.una, r.highSeq) && after(s.una, s.iss+1):
		if b := e.cc.bbr; b != nil {
			e.cc.cwnd = b.ExitRecovery(e.cc.cwnd)
		} else if r.ca == caRecovery || r.ca == caCWR {
			e.cc.cwnd = max(min(e.cc.cwnd, e.cc.ssthresh), 2)
		}
		recovered := r.ca >= caRecovery
		r.ca = caOpen
		if recovered && r.reoPersist > 0 {
			if r.reoPersist--; r.reoPersist == 0 {
				r.reoSteps = 1
			}
		}
	case r.ca == caLoss && r.frto:
		fresh = e.frtoInput(a)
	}
	priorInFlight += wasLost - int(r.lostOut) // what turns out not to be lost was in flight
	if r.sent.len() > 0 && e.detectLoss(now) {
		e.enterRecovery()
	} else if g.flags&(wire.ECE|wire.SYN) == wire.ECE && e.ecn.ok {
		e.enterCWR()
	} else if r.ca == caOpen && r.sackedOut > 0 {
		r.ca = caDisorder
	} else if r.ca == caDisorder && r.sackedOut == 0 {
		r.ca = caOpen
	}
	switch b := e.cc.bbr; {
	case b != nil:
		e.bbrInput(b, now, a, priorInFlight, r.lost-lost)
	case r.ca == caRecovery || r.ca == caCWR:
		e.proportional(int(a.delivered), a.acked > 0 && r.lost == lost)
	default:
		// Only a window that was used up grows (RFC 9293 section 3.8.2, RFC 7661).
		if a.acked > 0 && (priorInFlight >= e.cc.cwnd || e.cc.cwnd < e.cc.ssthresh && 2*priorInFlight >= e.cc.cwnd) {
			e.endSlowStart(a.rtt)
			e.cc.grow(int(a.delivered), now, e.rtt.srtt)
		}
	}
	if r.lostOut > 0 && !fresh {
		e.retransmit(now)
	}
}

// frtoInput is F-RTO (RFC 5682): after a timeout, new data is sent rather than what may not have been
// lost at all. It reports whether to do so now.
func (e *Endpoint) frtoInput(a *ackResult) bool {
	s, r := &e.snd, &e.rec
	switch {
	case a.original:
		e.undoReduction() // what has not been sent again arrives: the timeout was needless
	case after(s.nxt, r.highSeq):
		r.frto = a.acked > 0 // a duplicate ACK: something has been lost
	case a.acked > 0:
		r.frto = s.unsent() > 0 && int32(s.una+s.wnd-s.nxt) > 0
		return r.frto
	}
	return false
}

// proportional is proportional rate reduction (RFC 9937 section 6). safe is its SafeACK.
func (e *Endpoint) proportional(delivered int, safe bool) {
	r := &e.rec
	r.prrDelivered += delivered
	if delivered == 0 && r.prrOut > 0 {
		return
	}
	inFlight := r.inFlight()
	var n int
	if inFlight > e.cc.ssthresh {
		n = (r.prrDelivered*e.cc.ssthresh+max(r.priorCwnd, 1)-1)/max(r.priorCwnd, 1) - r.prrOut
	} else {
		n = max(r.prrDelivered-r.prrOut, delivered)
		if safe {
			n++
		}
		n = min(e.cc.ssthresh-inFlight, n)
	}
	if r.prrOut == 0 {
		n = max(n, 1) // the first retransmission goes at once
	}
	e.cc.cwnd = inFlight + max(n, 0)
}

// spurious reports whether the recovery in progress was needless: the peer's
// echo is older than our first retransmission (RFC 3522), or DSACK has reported
// every one (RFC 3708).
func (e *Endpoint) spurious(a *ackResult) bool {
	r := &e.rec
	if r.ca >= caRecovery && a.echoed && a.acked > 0 && r.undo > 0 && r.retransAt != 0 && before(a.echo, r.retransAt) {
		return true
	}
	return a.dsack && r.undo == 0
}

// undoReduction takes a needless reduction back.
func (e *Endpoint) undoReduction() {
	r := &e.rec
	if r.ca == caLoss {
		e.proto.ip.Counters.TCP.TCPSpuriousRTOs.Inc()
	}
	if b := e.cc.bbr; b != nil {
		e.cc.cwnd = b.ExitRecovery(e.cc.cwnd)
	}
	e.cc.cwnd = max(e.cc.cwnd, r.undoCwnd)
	e.cc.ssthresh = max(e.cc.ssthresh, r.undoSsthresh)
	r.canUndo, r.frto = false, false
	r.ca = caOpen
	for i := range r.sent.len() {
		if f := r.sent.at(i); f.flags&sentLost != 0 {
			f.flags &^= sentLost
			r.lostOut -= f.n
		}
	}
}

// freed announces room in the send buffer to those who wait for it.
func (e *Endpoint) freed() {
	e.tuneSndBuf()
	if e.noSpace && e.writable() {
		e.noSpace = false
		e.pend |= unix.POLLOUT | sock.POLLWRNORM
	}
}

// tuneSndBuf lets the send buffer grow with the congestion window, as Linux
// does: room for two windows.
func (e *Endpoint) tuneSndBuf() {
	n := min(2*max(e.cc.cwnd, initialWindow)*(e.snd.mss+perSegment), e.proto.Params.Wmem.At(2))
	if n > e.opts.SndBuf() {
		e.opts.TuneSndBuf(n)
	}
}

// perSegment is the memory that a segment takes beside its data, as counted for
// the send buffer.
const perSegment = 1024

// writable is Linux's sk_stream_is_writable: a third of the buffer is free, and
// TCP_NOTSENT_LOWAT is not exceeded.
func (e *Endpoint) writable() bool {
	q := e.snd.q.cost
	if e.opts.SndBuf()-q < q/2 || e.opts.SndBuf() <= q {
		return false
	}
	low := e.notsentLowat
	if low < 0 {
		low = e.proto.Params.NotsentLowat.Get()
	}
	return low == 0 || e.snd.unsent() < low
}
