package tcp

import (
	"encoding/binary"
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

// BBRInfo is the struct tcp_bbr_info of BBR's model (TCP_CC_INFO); nil if another algorithm is in use.
func (e *Endpoint) BBRInfo() []byte {
	e.lock()
	defer e.mu.Unlock()
	b := e.cc.bbr
	if b == nil {
		return nil
	}
	i := b.Info()
	rtt := uint32(i.MinRTT / time.Microsecond)
	if i.MinRTT == 0 {
		rtt = ^uint32(0)
	}
	const one = 1 << 8 // of gains
	p := binary.NativeEndian.AppendUint64(nil, 0)
	bandwidth := uint64(i.Bandwidth * float64(e.snd.mss)) // bytes per second, the low half first
	binary.NativeEndian.PutUint32(p, uint32(bandwidth))
	binary.NativeEndian.PutUint32(p[4:], uint32(bandwidth>>32))
	for _, v := range [...]uint32{rtt, uint32(i.PacingGain*one + 0.5), uint32(i.CwndGain*one + 0.5)} {
		p = binary.NativeEndian.AppendUint32(p, v)
	}
	return p
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
