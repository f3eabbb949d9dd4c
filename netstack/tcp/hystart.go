package tcp

import "time"

// hystart finds the end of slow start by delay, before the path's queue is full and a part of
// the window is lost: HyStart (RFC 9438 section 4.10, RFC 9406), without the latter's
// conservative slow start, whose rounds still triple the window.
type hystart struct {
	begun   bool
	end     uint32        // the round lasts until this is acknowledged
	least   time.Duration // the round's smallest round trip
	samples int           // of round trips in this round
}

// Bounds of RFC 9406 section 4.3, and the smallest window that counts, in segments.
const (
	hystartSamples = 8
	hystartLeast   = 4 * time.Millisecond
	hystartMost    = 16 * time.Millisecond
	hystartWindow  = 16
)

// over takes an acknowledgement up to una, with the round trip that it has measured or 0, and
// reports whether this round's are longer than shortest, the connection's, by so much that
// packets wait all the time.
func (h *hystart) over(una, nxt uint32, rtt, shortest time.Duration) bool {
	if !h.begun || !before(una, h.end) {
		*h = hystart{begun: true, end: nxt}
	}
	if rtt == 0 {
		return false
	}
	if h.samples == 0 || rtt < h.least {
		h.least = rtt
	}
	h.samples++
	return h.samples >= hystartSamples && h.least >= shortest+min(max(shortest/8, hystartLeast), hystartMost)
}

// endSlowStart ends slow start if the round trips say so.
func (e *Endpoint) endSlowStart(rtt time.Duration) {
	c := &e.cc
	if c.cwnd < c.ssthresh && c.cwnd >= hystartWindow && c.hystart.over(e.snd.una, e.snd.nxt, rtt, e.rtt.min) {
		c.ssthresh = c.cwnd
	}
}
