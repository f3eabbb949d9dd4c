package vdso

import "math"

// A sample is the time of a clock at a value of the counter.
type sample struct {
	tsc uint64
	ns  int64
}

// host is the machine's counter and clocks.
type host interface {
	// counter reads the time stamp counter.
	counter() uint64
	// now reads a clock by a system call.
	now(id int32) (int64, error)
	// resolution is clock_getres(2).
	resolution(id int32) (int64, error)
	// unusable says why the counter cannot be used; "" if it can.
	unusable() string
}

// sampleClock reads clock id between two readings of the counter. Of several
// attempts the one counts that took least time.
func sampleClock(h host, id int32) (best sample, ok bool) {
	const attempts = 5
	width := uint64(math.MaxUint64)
	for range attempts {
		before := h.counter()
		ns, err := h.now(id)
		after := h.counter()
		if err != nil {
			return sample{}, false
		}
		if after-before < width {
			width = after - before
			best = sample{tsc: before + width/2, ns: ns}
		}
	}
	return best, true
}

// A track measures the rate of a clock, from one sample, the anchor, to the last
// one: the longer that is, the more exact.
type track struct {
	anchor, last sample
	rate         rate // 0: not known yet
}

const (
	// tolerance is how far, in nanoseconds, a sample may be from where the rate
	// says before the rate is measured anew: the host's clock has been slewed.
	// Reading is not exact, so a part of the time passed (driftShift) is added.
	tolerance  = 300
	driftShift = 21
	// grossShift is for what no slewing explains: nothing measured before counts.
	grossShift = 8
	// maxBaseline is the longest time over which a rate is measured.
	maxBaseline = 64e9
)

// baseline is the time over which the rate was measured, in nanoseconds.
func (t *track) baseline() int64 { return t.last.ns - t.anchor.ns }

// add takes a sample.
func (t *track) add(s sample) {
	if s.tsc <= t.last.tsc || s.ns < t.last.ns || t.last.tsc == 0 {
		// The first one; or the counter was reset.
		*t = track{anchor: s, last: s}
		return
	}
	if t.rate == 0 {
		if s.ns-t.anchor.ns >= minBaseline {
			t.rate = rateOf(t.anchor, s)
			t.last = s
		}
		return
	}
	passed := s.ns - t.last.ns
	off := s.ns - t.last.ns - t.rate.between(t.last.tsc, s.tsc)
	if grossError := passed>>grossShift + 100*tolerance; max(off, -off) > grossError {
		*t = track{anchor: s, last: s} // the counter was set, or goes at another rate
		return
	}
	if passed >= minBaseline {
		if max(off, -off) > tolerance+passed>>driftShift {
			t.anchor = t.last
		} else if s.ns-t.anchor.ns > maxBaseline {
			// Nearer by half, so that the rate follows the host's.
			t.anchor = sample{
				tsc: t.anchor.tsc + (t.last.tsc-t.anchor.tsc)/2,
				ns:  t.anchor.ns + t.rate.between(t.anchor.tsc, t.anchor.tsc+(t.last.tsc-t.anchor.tsc)/2),
			}
		}
		t.rate = rateOf(t.anchor, s)
		t.last = s
	}
}

// rateOf returns the rate between two samples.
func rateOf(a, b sample) rate {
	return rate(float64(b.ns-a.ns) / float64(b.tsc-a.tsc) * (1 << rateShift))
}

// between returns the nanoseconds between two values of the counter, below zero
// if the second one is less.
func (r rate) between(from, to uint64) int64 {
	if to < from {
		return -r.after(from - to)
	}
	return r.after(to - from)
}

// An offset is the difference between a clock and CLOCK_MONOTONIC. It is constant
// until somebody sets the clock. Each reading gives bounds.
type offset struct {
	low, high int64
	value     int64
}

// reset forgets all bounds.
func (o *offset) reset() { o.low, o.high = math.MinInt64, math.MaxInt64 }

// measure reads the clock some times and returns the offset. It is the same as
// before if that is possible.
func (o *offset) measure(h host, id int32) (int64, bool) {
	const (
		first  = 16
		little = 3
	)
	n := little
	if o.low == math.MinInt64 {
		n = first
	}
	for range n {
		before, err1 := h.now(clockMonotonic)
		ns, err2 := h.now(id)
		after, err3 := h.now(clockMonotonic)
		if err1 != nil || err2 != nil || err3 != nil {
			return 0, false
		}
		low, high := ns-after, ns-before
		if low > o.high || high < o.low {
			o.reset() // the clock was set
		}
		o.low, o.high = max(o.low, low), min(o.high, high)
	}
	if o.value < o.low || o.value > o.high {
		o.value = o.low + (o.high-o.low)/2
	}
	return o.value, true
}
