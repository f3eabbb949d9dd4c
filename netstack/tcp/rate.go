package tcp

import "time"

// rate estimates how fast the path delivers data (draft-ietf-ccwg-bbr section 4.1, formerly
// draft-cheng-iccrg-delivery-rate-estimation).
type rate struct {
	deliveredAt time.Duration // when something was last delivered (C.delivered_time)
	firstSent   time.Duration // when what was delivered then had been sent (C.first_send_time)
	// appLimited is the count of delivered segments at which what was sent while the application
	// had no more data has been delivered; 0: the application keeps up.
	appLimited uint32

	// The last sample that is worth to be told, for TCP_INFO.
	delivered uint32
	interval  time.Duration
	limited   bool
}

// rateSample is what one acknowledgement says of the delivery rate, by the segment that was sent
// last of those that it delivers.
type rateSample struct {
	sampled     bool
	end         uint32        // of the segment
	prior       uint32        // segments delivered when it was sent
	priorAt     time.Duration // and when the last of them were
	sendElapsed time.Duration
	limited     bool
	delivered   uint32 // segments between
	interval    time.Duration
	reliable    bool
}

// push takes a record of what is sent now into the scoreboard.
func (e *Endpoint) push(f *sent, now time.Duration) {
	e.stamp(f, now)
	e.rec.push(f)
}

// stamp notes in a record that is sent now what a sample of the rate needs.
func (e *Endpoint) stamp(f *sent, now time.Duration) {
	r := &e.rate
	if e.rec.inFlight() <= 0 {
		r.firstSent, r.deliveredAt = now, now
	}
	f.xmit, f.delivered, f.deliveredAt, f.firstSent = now, e.info.delivered, r.deliveredAt, r.firstSent
	f.flags &^= sentLimited
	if r.appLimited != 0 {
		f.flags |= sentLimited
	}
}

// rateUpdate takes a record that, or part of which, has just been delivered.
func (e *Endpoint) rateUpdate(f *sent, a *ackResult) {
	r, s := &e.rate, &a.rate
	if s.sampled && (f.xmit < r.firstSent || f.xmit == r.firstSent && !after(f.end, s.end)) {
		return
	}
	s.sampled, s.end, s.prior, s.priorAt = true, f.end, f.delivered, f.deliveredAt
	s.sendElapsed, s.limited = f.xmit-f.firstSent, f.flags&sentLimited != 0
	r.firstSent = f.xmit
}

// rateSample completes the sample when all that has been delivered is counted.
func (e *Endpoint) rateSample(now time.Duration, a *ackResult) {
	r, s := &e.rate, &a.rate
	if r.appLimited != 0 && after(e.info.delivered, r.appLimited) {
		r.appLimited = 0
	}
	if a.delivered > 0 {
		r.deliveredAt = now
	}
	if !s.sampled {
		return
	}
	s.delivered = e.info.delivered - s.prior
	s.interval = max(s.sendElapsed, now-s.priorAt)
	// Shorter than a round trip it can be for a segment that was needlessly sent again.
	s.reliable = s.interval > 0 && s.interval >= e.rtt.min
	if s.reliable && (!s.limited || float64(s.delivered)*float64(r.interval) >= float64(r.delivered)*float64(s.interval)) {
		r.delivered, r.interval, r.limited = s.delivered, s.interval, s.limited
	}
}

// checkLimited is called before the application's data, an acknowledgement or a timer make
// something to be sent: if all had been sent and more would have been allowed, the application
// limits the rate until the gap has left the path.
func (e *Endpoint) checkLimited() {
	s, r := &e.snd, &e.rec
	if s.nxt == s.end && r.lostOut <= r.retransOut && r.inFlight() < e.cc.cwnd {
		e.markLimited()
	}
}

func (e *Endpoint) markLimited() {
	e.rate.appLimited = max(e.info.delivered+uint32(max(e.rec.inFlight(), 0)), 1)
}
