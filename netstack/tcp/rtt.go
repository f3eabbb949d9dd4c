package tcp

import "time"

// Bounds of the retransmission timeout, as Linux has them (RFC 6298 asks for 1 s).
const (
	minRTO     = 200 * time.Millisecond // tcp_rto_min_us
	maxRTO     = 120 * time.Second      // tcp_rto_max_ms
	initialRTO = time.Second
	// of a connection whose handshake has not measured a round trip (RFC 6298 section 5.7)
	fallbackRTO = 3 * time.Second
)

// rttState estimates the round-trip time (RFC 6298 section 2).
type rttState struct {
	srtt, rttvar time.Duration // srtt 0: no sample yet
	min          time.Duration // smallest of the last minRTTWindow
	minAt        time.Duration
	rto          time.Duration // without backoff
	backoff      uint8         // how often the timeout has been doubled
	least, most  time.Duration // bounds of the timeout
}

const minRTTWindow = 300 * time.Second

func (r *rttState) init(p *Params) {
	*r = rttState{rto: initialRTO, least: time.Duration(p.RTOMin.Get()) * time.Microsecond, most: time.Duration(p.RTOMax.Get()) * time.Millisecond}
}

// sample takes a measurement.
func (r *rttState) sample(m, now time.Duration) {
	m = max(m, time.Microsecond)
	if r.srtt == 0 {
		r.srtt, r.rttvar = m, m/2
	} else {
		d := r.srtt - m
		if d < 0 {
			d = -d
		}
		r.rttvar += (d - r.rttvar) / 4
		r.srtt += (m - r.srtt) / 8
	}
	if r.min == 0 || m <= r.min || now-r.minAt > minRTTWindow {
		r.min, r.minAt = m, now
	}
	r.rto = min(r.srtt+max(4*r.rttvar, r.least), r.most)
	r.backoff = 0
}

// timeout is the retransmission timeout with backoff.
func (r *rttState) timeout() time.Duration {
	if r.backoff > 10 {
		return r.most
	}
	return min(r.rto<<r.backoff, r.most)
}
