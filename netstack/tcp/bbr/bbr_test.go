package bbr

import (
	"testing"
	"time"
)

const mss = 1000 // bytes

// path plays a connection that always has data to send over a path: every round trip the path
// delivers what the rate and the window let it carry.
type path struct {
	b         *State
	now       time.Duration
	rtt       time.Duration
	bottle    float64 // segments per second
	cwnd      int
	delivered uint32
	lost      int // in the next round
}

func newPath(rtt time.Duration, bottle float64) *path {
	p := &path{b: New(10, time.Hour), now: time.Hour, rtt: rtt, bottle: bottle, cwnd: 10}
	p.b.Start(rtt, mss)
	return p
}

// round is the acknowledgement of a round trip.
func (p *path) round() {
	rate := min(p.b.PacingRate()/mss, float64(p.cwnd)/p.rtt.Seconds(), p.bottle)
	n := max(int(rate*p.rtt.Seconds()), 1)
	prior := p.delivered
	p.delivered += uint32(n)
	p.now += p.rtt
	a := Ack{Now: p.now, Newly: n, Lost: p.lost, PriorInFlight: p.cwnd, InFlight: max(min(p.cwnd, n)-n/2, 0), Delivered: p.delivered, RTT: p.rtt, SRTT: p.rtt,
		MSS: mss, Sampled: true, Rate: rate, Prior: prior}
	p.lost = 0
	p.cwnd = p.b.Ack(&a, p.cwnd)
}

func (p *path) rounds(n int) {
	for range n {
		p.round()
	}
}

// TestStartup finds the bottleneck's rate in a number of rounds that grows with its logarithm.
func TestStartup(t *testing.T) {
	const bottle, rtt = 10000, 50 * time.Millisecond
	p := newPath(rtt, bottle)
	n := 0
	for ; p.b.mode != probeBW; n++ {
		if n > 20 {
			t.Fatalf("still in mode %d after %d rounds, rate %.0f", p.b.mode, n, p.b.bw.max)
		}
		p.round()
	}
	if p.b.bw.max != bottle {
		t.Errorf("estimates %.0f segments per second, not %d", p.b.bw.max, bottle)
	}
	p.rounds(20)
	bdp := int(bottle * rtt.Seconds())
	if p.cwnd < 2*bdp || p.cwnd > 2*bdp+3*p.b.Quantum()+bdp {
		t.Errorf("the window is %d, the path holds %d", p.cwnd, bdp)
	}
}

// TestCycle goes through the phases of ProbeBW: of eight round trips one is faster, one slower.
func TestCycle(t *testing.T) {
	p := newPath(50*time.Millisecond, 10000)
	p.rounds(30)
	gains := map[float64]int{}
	for range 8 * 10 {
		p.now += time.Microsecond // a phase lasts longer than a round trip
		p.round()
		gains[p.b.pacingGain]++
	}
	if gains[1.25] != 10 || gains[1] != 60 || gains[0.75] != 10 {
		t.Error("rounds by gain:", gains)
	}
}

// TestSlower follows a bottleneck that becomes slower when the last fast round is ten rounds old.
func TestSlower(t *testing.T) {
	p := newPath(50*time.Millisecond, 10000)
	p.rounds(30)
	for p.b.pacingGain <= 1 {
		p.round()
	}
	p.round()
	p.bottle = 1000
	p.rounds(filterRounds - 1)
	if p.b.bw.max != 10000 {
		t.Errorf("forgot the rate after %d rounds: %.0f", filterRounds-1, p.b.bw.max)
	}
	p.rounds(1)
	if p.b.bw.max != 1000 {
		t.Errorf("still estimates %.0f", p.b.bw.max)
	}
}

// TestLimited does not believe slow samples of an application that sends little.
func TestLimited(t *testing.T) {
	p := newPath(50*time.Millisecond, 10000)
	p.rounds(30)
	for range 50 {
		prior := p.delivered
		p.delivered++
		p.now += p.rtt
		p.cwnd = p.b.Ack(&Ack{Now: p.now, Newly: 1, PriorInFlight: 1, Delivered: p.delivered, RTT: p.rtt, SRTT: p.rtt, MSS: mss, Sampled: true, Rate: 20, Prior: prior,
			Limited: true}, p.cwnd)
	}
	if p.b.bw.max < 9000 {
		t.Errorf("estimates %.0f", p.b.bw.max)
	}
}

// TestProbeRTT drains the path when the shortest round trip has not been seen for ten seconds,
// and no longer than it has to.
func TestProbeRTT(t *testing.T) {
	p := newPath(50*time.Millisecond, 10000)
	p.rounds(30)
	was := p.cwnd
	p.rtt = 60 * time.Millisecond // a queue that stays
	began := p.now
	for !p.b.ProbingRTT() {
		if p.now-began > rtPropFilter+time.Second {
			t.Fatal("does not probe")
		}
		p.round()
	}
	if d := p.now - began; d < rtPropFilter-time.Second {
		t.Error("probes after", d)
	}
	if p.cwnd != minPipeCwnd {
		t.Errorf("the window is %d meanwhile", p.cwnd)
	}
	p.rtt = 40 * time.Millisecond
	began = p.now
	for p.b.ProbingRTT() {
		if p.now-began > time.Second {
			t.Fatal("does not end")
		}
		p.round()
	}
	if d := p.now - began; d < probeRTTDuration {
		t.Error("ends after", d)
	}
	if p.b.rtProp != 40*time.Millisecond {
		t.Error("has seen a round trip of", p.b.rtProp)
	}
	if p.cwnd < was/2 {
		t.Errorf("the window is %d, was %d", p.cwnd, was)
	}
}

// TestRecovery conserves packets for a round, and has the window back at the end.
func TestRecovery(t *testing.T) {
	p := newPath(50*time.Millisecond, 10000)
	p.rounds(30)
	was := p.cwnd
	p.cwnd = p.b.EnterRecovery(p.cwnd, 100, p.delivered)
	if p.cwnd != 101 {
		t.Errorf("recovery begins with a window of %d", p.cwnd)
	}
	// An acknowledgement of something sent before: no more is sent than has arrived.
	p.delivered += 5
	p.cwnd = p.b.Ack(&Ack{Now: p.now, Newly: 5, Lost: 3, PriorInFlight: 100, InFlight: 95, Delivered: p.delivered, SRTT: p.rtt, MSS: mss, Sampled: true, Rate: 10000,
		Prior: p.delivered - 100}, p.cwnd)
	if p.cwnd != 100 {
		t.Errorf("the window is %d in the first round", p.cwnd)
	}
	p.round()
	if p.b.conservation {
		t.Error("conserves after a round")
	}
	if p.cwnd = p.b.ExitRecovery(p.cwnd); p.cwnd < was {
		t.Errorf("the window is %d after recovery, was %d", p.cwnd, was)
	}
}

// TestRestart paces at the path's rate after an idle time, and does not probe for its round trip.
func TestRestart(t *testing.T) {
	p := newPath(50*time.Millisecond, 10000)
	p.rounds(30)
	was := p.cwnd
	p.now += 20 * time.Second
	p.cwnd = p.b.Restart(p.now, mss, p.cwnd)
	if want := p.b.bw.max * mss * pacingMargin; p.b.PacingRate() != want {
		t.Errorf("paces at %.0f, not %.0f", p.b.PacingRate(), want)
	}
	p.round()
	if p.b.ProbingRTT() || p.cwnd < was*9/10 {
		t.Errorf("the window is %d, was %d", p.cwnd, was)
	}
}

// TestFirstRate paces the first window over a round trip, if there is a measurement of one.
func TestFirstRate(t *testing.T) {
	b := New(10, 0)
	b.Start(0, mss)
	if want := highGain * 10 * mss * 1000; int(b.PacingRate()) != int(want) {
		t.Errorf("%.0f without a round trip", b.PacingRate())
	}
	b.Ack(&Ack{Now: 1, Newly: 1, Delivered: 1, RTT: 100 * time.Millisecond, SRTT: 100 * time.Millisecond, MSS: mss}, 10)
	if want := highGain * 10 * mss * 10; int(b.PacingRate()) != int(want) {
		t.Errorf("%.0f with one", b.PacingRate())
	}
}

func TestMaxFilter(t *testing.T) {
	var f maxFilter
	for _, c := range []struct {
		round uint32
		v     float64
		max   float64
	}{{0, 5, 5}, {0, 3, 5}, {1, 4, 5}, {9, 1, 5}, {10, 1, 4}, {11, 2, 2}, {30, 1, 1}, {31, 7, 7}, {41, 1, 1}} {
		if f.update(c.round, c.v); f.max != c.max {
			t.Errorf("round %d: %g, not %g", c.round, f.max, c.max)
		}
	}
}
