package tcp

import (
	"math"
	"time"
)

// pacing spreads what is sent over time, with BBR or SO_MAX_PACING_RATE.
type pacing struct {
	next    time.Duration // when more may be sent
	waiting bool          // something has been held back until then
	push    bool          // and is not to be held back for other reasons
}

// paceLate is how late the timer may be: what could have been sent in this time follows at once.
const paceLate = 4 * time.Millisecond

// pacingRate is in bytes per second; 0 if nothing is paced.
func (e *Endpoint) pacingRate() float64 {
	most := e.opts.MaxPacingRate.Load()
	if b := e.cc.bbr; b != nil {
		return min(b.PacingRate(), float64(most))
	}
	if most == math.MaxUint64 {
		return 0
	}
	return float64(most)
}

// paceQuantum is how many bytes go at once at a pacing rate: those of a millisecond.
func (e *Endpoint) paceQuantum(rate float64) int {
	if b := e.cc.bbr; b != nil {
		return b.Quantum() * e.snd.mss
	}
	mss := e.snd.mss
	return max(int(min(rate/1000, float64(e.maxBurst()))), 2*mss) / mss * mss
}

// hold reports whether what is to be sent has to wait for its time. The timer is set then.
func (e *Endpoint) hold(now time.Duration, push bool) bool {
	p := &e.pacing
	if p.next > now {
		p.waiting, p.push = true, p.push || push
		e.timers.set(timerPace, p.next)
		return true
	}
	if p.waiting {
		p.next = max(p.next, now-paceLate)
	} else {
		p.next = now
	}
	return false
}

// paced accounts for n bytes sent now.
func (e *Endpoint) paced(n int, rate float64, now time.Duration) {
	p := &e.pacing
	p.next = max(p.next, now-paceLate) + time.Duration(float64(n)/rate*float64(time.Second))
}

// released notes that nothing waits for its time.
func (p *pacing) released() { p.waiting, p.push = false, false }

// paceTimeout sends what has been held back.
func (e *Endpoint) paceTimeout(now time.Duration) {
	e.retransmit(now)
	e.output(e.pacing.push)
}

// The pacing rate that is told of a connection that is not paced, in terms of a window in a round
// trip: in slow start, and later (net.ipv4.tcp_pacing_ss_ratio and tcp_pacing_ca_ratio).
const (
	paceSlowStart = 2
	paceAvoidance = 1.2
)

// toldPacingRate is tcpi_pacing_rate.
func (e *Endpoint) toldPacingRate() uint64 {
	most := e.opts.MaxPacingRate.Load()
	rate := 0.0
	switch b := e.cc.bbr; {
	case b != nil:
		rate = b.PacingRate()
	case e.rtt.srtt > 0:
		rate = paceAvoidance
		if e.cc.cwnd < e.cc.ssthresh/2 {
			rate = paceSlowStart
		}
		rate *= float64(max(e.cc.cwnd, int(e.rec.packetsOut))*e.snd.mss) / e.rtt.srtt.Seconds()
	}
	if rate == 0 || rate >= float64(most) {
		return most
	}
	return uint64(rate)
}
