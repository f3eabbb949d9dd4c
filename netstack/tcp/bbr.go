package tcp

import (
	"time"

	"casemate/netstack/tcp/bbr"
)

// bbrAlgo is BBR. It sets window and pacing rate itself at each acknowledgement, so nothing is left
// for the hooks of algorithms that react to losses.
type bbrAlgo struct{}

func (bbrAlgo) name() string { return "bbr" }

func (bbrAlgo) ssthresh(c *congestion, _ time.Duration) int { return c.ssthresh }

func (bbrAlgo) avoid(*congestion, int, time.Duration, time.Duration) {}

// startBBR tells BBR, if it is the algorithm, of a connection that has been established.
func (e *Endpoint) startBBR() {
	if b := e.cc.bbr; b != nil {
		b.Start(e.rtt.srtt, e.snd.mss)
	}
}

// bbrInput has BBR take an acknowledgement, which has shown lost segments to be lost.
func (e *Endpoint) bbrInput(b *bbr.State, now time.Duration, a *ackResult, priorInFlight int, lost uint32) {
	k := bbr.Ack{Now: now, Newly: int(a.delivered), Lost: int(lost), PriorInFlight: priorInFlight, InFlight: e.rec.inFlight(), Delivered: e.info.delivered,
		RTT: a.rtt, SRTT: e.rtt.srtt, MSS: e.snd.mss, Sampled: a.rate.sampled, Prior: a.rate.prior, Limited: a.rate.limited}
	if a.rate.reliable {
		k.Rate = float64(a.rate.delivered) / a.rate.interval.Seconds()
	}
	e.cc.cwnd = b.Ack(&k, e.cc.cwnd)
	if b.ProbingRTT() {
		e.markLimited()
	}
}
