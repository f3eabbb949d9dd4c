package tcp

import (
	"time"

	"casemate/netstack/wheel"
	"golang.org/x/sys/unix"
)

// The deadlines of an endpoint. They share one timer of the wheel.
const (
	timerProbe      = iota // tail loss probe (RFC 8985 section 7); at the time of a retransmission it takes its place
	timerRetransmit        // retransmission and zero-window probes
	timerReorder           // RACK's reordering window
	timerDelack
	timerKeepalive
	timerFinWait2
	timerPace // pacing
	timerCount
)

// timers are an endpoint's deadlines. The wheel's timer is armed for a time not
// after the first of them; moving a deadline later, or clearing it, does not
// touch the wheel.
type timers struct {
	t     wheel.Timer
	at    [timerCount]time.Duration // 0: off
	armed time.Duration             // 0: not
}

func (t *timers) set(which int, at time.Duration) {
	t.at[which] = at
	if t.armed == 0 || at < t.armed {
		t.armed = at
		t.t.Reset(at)
	}
}

func (t *timers) off(which int) { t.at[which] = 0 }

func (t *timers) on(which int) bool { return t.at[which] != 0 }

func (t *timers) clear() { t.at = [timerCount]time.Duration{} }

func (t *timers) stop() {
	t.clear()
	t.armed = 0
	t.t.Stop()
}

// timer runs what has become due. It is called by the wheel.
func (e *Endpoint) timer() {
	e.lock()
	now := e.now()
	e.timers.armed = 0
	e.checkLimited()
	for which := range timerCount {
		if at := e.timers.at[which]; at == 0 || at > now {
			continue
		}
		e.timers.at[which] = 0
		switch which {
		case timerRetransmit:
			e.retransmitTimeout(now)
		case timerProbe:
			e.tailLossProbe(now)
		case timerReorder:
			e.reorderTimeout(now)
		case timerDelack:
			if e.rcv.ackDue {
				e.proto.ip.Counters.TCP.DelayedACKs.Inc()
				e.rcv.delackExpired()
				e.sendACK()
			}
		case timerKeepalive:
			e.keepaliveTimeout(now)
		case timerFinWait2:
			if e.state == FinWait2 {
				e.terminate()
			}
		case timerPace:
			e.paceTimeout(now)
		}
	}
	var first time.Duration
	for _, at := range e.timers.at {
		if at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	if first != 0 && (e.timers.armed == 0 || first < e.timers.armed) {
		e.timers.armed = first
		e.timers.t.Reset(first)
	}
	e.unlock()
	e.proto.ip.Run()
}

// rearm starts the retransmission timer for what is in flight, or stops it.
func (e *Endpoint) rearm(now time.Duration) {
	if e.rec.sent.len() == 0 {
		e.timers.off(timerRetransmit)
		return
	}
	e.timers.set(timerRetransmit, now+e.rtt.timeout())
}

// retransmitTimeout is the expiry of RTO or of a zero-window probe.
func (e *Endpoint) retransmitTimeout(now time.Duration) {
	p := &e.proto.Params
	s := &e.snd
	switch e.state {
	case SynSent:
		limit := p.SynRetries.Get()
		if e.synCnt != 0 {
			limit = e.synCnt
		}
		if e.expired(now, limit, initialRTO) {
			return
		}
	case SynRecv:
		if e.expired(now, p.SynackRetries.Get(), initialRTO) {
			return
		}
	case Close, Listen:
		return
	default:
		limit := p.Retries2.Get()
		if e.dead {
			if limit = p.OrphanRetries.Get(); limit == 0 {
				limit = 8
			}
			if e.proto.tooMuchMemory() {
				limit = 0
			}
		}
		if e.rec.sent.len() == 0 {
			e.zeroWindowProbe(now, limit)
			return
		}
		if s.wnd == 0 && e.rec.since != 0 && now-e.rec.since > 0 && now-s.lastAck < maxRTO && e.rcv.lastSeg+maxRTO > now {
			// The peer shrank its window but answers: keep on probing.
			e.rec.retries = 0
		}
		if e.expired(now, limit, minRTO) {
			return
		}
	}
	if e.rec.since == 0 {
		e.rec.since = now
	}
	e.rec.retries++
	if e.state != SynSent || e.rec.retries > p.SynLinear.Get() {
		e.rtt.backoff++
	}
	e.proto.ip.Counters.TCP.TCPTimeouts.Inc()
	e.timeoutLoss(now)
	e.timers.set(timerRetransmit, now+e.rtt.timeout())
}

// expired gives the connection up after limit retransmissions, or when
// TCP_USER_TIMEOUT has passed, and reports whether it did.
func (e *Endpoint) expired(now time.Duration, limit int, base time.Duration) bool {
	over := false
	if e.userTimeout != 0 {
		over = e.rec.since != 0 && now-e.rec.since+e.rtt.timeout()/2 >= e.userTimeout
	} else if e.state == SynSent || e.state == SynRecv {
		over = e.rec.retries >= limit
	} else if e.rec.since != 0 {
		// Linux turns the number of retries into time: base doubled each time up to maxRTO.
		var total time.Duration
		for i := range limit + 1 {
			total += min(base<<min(i, 20), maxRTO)
		}
		over = now-e.rec.since >= total
	} else if limit == 0 {
		over = true
	}
	if !over {
		return false
	}
	e.proto.ip.Counters.TCP.TCPAbortOnTimeout.Inc()
	err := e.soft
	if err == 0 {
		err = unix.ETIMEDOUT
	}
	e.fail(err)
	return true
}

// zeroWindowProbe sends a probe of a closed window (RFC 9293 section 3.8.6.1).
func (e *Endpoint) zeroWindowProbe(now time.Duration, limit int) {
	s := &e.snd
	if s.unsent() == 0 && !(s.fin && s.nxt == s.end) {
		return
	}
	if e.rec.probes > 0 && (e.rec.probes > limit || e.userTimeout != 0 && now-e.rec.since > e.userTimeout) &&
		(e.dead || now-e.rcv.lastSeg > maxRTO || e.userTimeout != 0) {
		e.proto.ip.Counters.TCP.TCPAbortOnTimeout.Inc()
		e.fail(unix.ETIMEDOUT)
		return
	}
	if e.rec.since == 0 {
		e.rec.since = now
	}
	if int32(s.una+s.wnd-s.nxt) > 0 {
		e.wakeup(now)
	} else {
		// An old byte makes the peer answer with its window.
		e.sendProbe()
	}
	if e.rec.sent.len() == 0 {
		e.rec.probes++
		e.rtt.backoff = min(e.rtt.backoff+1, 15)
		e.timers.set(timerRetransmit, now+e.rtt.timeout())
	}
}

// keepaliveTimeout is TCP keep-alive (RFC 9293 section 3.8.4, tcp(7)).
func (e *Endpoint) keepaliveTimeout(now time.Duration) {
	if !e.keepAlive {
		return
	}
	switch e.state {
	case SynSent, Close, Listen:
		return
	}
	idle, intvl, cnt := e.keepalive()
	if e.rec.sent.len() > 0 || e.snd.unsent() > 0 {
		e.timers.set(timerKeepalive, now+idle)
		return
	}
	quiet := now - max(e.rcv.lastSeg, e.snd.lastAck)
	if quiet < idle {
		e.timers.set(timerKeepalive, now+idle-quiet)
		return
	}
	if e.userTimeout != 0 && quiet >= e.userTimeout && e.rec.probes > 0 || e.userTimeout == 0 && e.rec.probes >= cnt {
		e.sendRST()
		e.proto.ip.Counters.TCP.TCPAbortOnTimeout.Inc()
		e.fail(unix.ETIMEDOUT)
		return
	}
	e.rec.probes++
	e.proto.ip.Counters.TCP.TCPKeepAlive.Inc()
	e.sendProbe()
	e.timers.set(timerKeepalive, now+intvl)
}

// keepalive is the idle time, the interval and the number of probes in force.
func (e *Endpoint) keepalive() (idle, intvl time.Duration, cnt int) {
	p := &e.proto.Params
	idle, intvl, cnt = e.keepIdle, e.keepIntvl, e.keepCnt
	if idle == 0 {
		idle = time.Duration(p.KeepaliveTime.Get()) * time.Second
	}
	if intvl == 0 {
		intvl = time.Duration(p.KeepaliveIntvl.Get()) * time.Second
	}
	if cnt == 0 {
		cnt = p.KeepaliveProbes.Get()
	}
	return
}
