// Package bbr is BBR congestion control in the version that Linux calls "bbr": version 1, of
// draft-cardwell-iccrg-bbr-congestion-control-00, with what draft-ietf-ccwg-bbr adds to it
// without a change of the algorithm, namely the estimate of aggregated acknowledgements and the
// margin of the pacing rate. Names are the drafts'.
//
// The package knows nothing of packets: the connection tells a State what each acknowledgement
// has brought, and is told a window, a pacing rate and a send quantum. Volumes are in segments.
package bbr

import (
	"math"
	"math/rand/v2"
	"time"
)

// Constants of the drafts.
const (
	highGain         = 2 / math.Ln2 // doubles the rate each round
	cwndGain         = 2
	pacingMargin     = 0.99
	filterRounds     = 10 // BtlBwFilterLen, ExtraAckedFilterLen
	rtPropFilter     = 10 * time.Second
	probeRTTDuration = 200 * time.Millisecond
	minPipeCwnd      = 4
	maxQuantum       = 64 << 10 // bytes
)

// cycle are the pacing gains of ProbeBW (section 4.3.4.1).
var cycle = [8]float64{1.25, 0.75, 1, 1, 1, 1, 1, 1}

// mode is the state of the state machine (section 4.3).
type mode uint8

const (
	startup mode = iota
	drain
	probeBW
	probeRTT
)

// State is BBR's model of a connection's path, and what it makes of it. Create it with New.
type State struct {
	mode                 mode
	pacingGain, cwndGain float64
	initial              int     // the initial window
	rate                 float64 // bytes per second; 0: not known yet
	ratedByRTT           bool    // rate comes from a measured round trip
	quantum              int     // segments

	// Rounds (section 4.1.1.3).
	round      uint32
	roundEnd   uint32 // the connection's count of delivered segments when the round began
	roundStart bool   // the present acknowledgement begins a round

	// The model (section 4.1).
	bw         maxFilter     // BtlBw, segments per second
	rtProp     time.Duration // 0: none yet
	rtPropAt   time.Duration // when it was measured
	filledPipe bool
	fullBW     float64
	fullCount  int

	// Aggregation of acknowledgements (BBR.extra_acked).
	extra      maxFilter // segments
	extraSince time.Duration
	extraAcked int // since then

	cycleIndex int
	cycleAt    time.Duration

	probeRTTDone  time.Duration // when ProbeRTT may end; 0: the pipe has not been drained yet
	probeRTTRound bool          // a round has passed since it was drained
	idleRestart   bool

	priorCwnd    int // before recovery or ProbeRTT
	recovering   bool
	conservation bool // the first round of recovery
}

// New returns the state of a new connection with an initial window, at a time of the
// connection's clock.
func New(initialCwnd int, now time.Duration) *State {
	b := &State{initial: initialCwnd, quantum: 2, rtPropAt: now, extraSince: now}
	b.enterStartup()
	return b
}

// Start sets the first pacing rate by the round trip that the handshake has measured, 0 if none,
// and the segment size in bytes.
func (b *State) Start(srtt time.Duration, mss int) {
	b.ratedByRTT = srtt > 0
	if !b.ratedByRTT {
		srtt = time.Millisecond
	}
	b.rate = highGain * float64(b.initial*mss) / srtt.Seconds()
}

// PacingRate is in bytes per second; 0 before Start.
func (b *State) PacingRate() float64 { return b.rate }

// Quantum is how many segments are sent as a unit (BBR.send_quantum).
func (b *State) Quantum() int { return b.quantum }

// Info is what others may know of the model.
type Info struct {
	Bandwidth            float64       // segments per second; 0: not known yet
	MinRTT               time.Duration // 0: not known yet
	PacingGain, CwndGain float64
}

// Info is the model at present.
func (b *State) Info() Info {
	return Info{Bandwidth: b.bw.max, MinRTT: b.rtProp, PacingGain: b.pacingGain, CwndGain: b.cwndGain}
}

// ProbingRTT reports whether little is sent so as to see the path's round trip: samples of the
// rate say nothing then.
func (b *State) ProbingRTT() bool { return b.mode == probeRTT }

// Ack is what an acknowledgement has brought.
type Ack struct {
	Now           time.Duration
	Newly         int // segments delivered by it
	Lost          int // segments that it has shown to be lost
	PriorInFlight int // segments in flight before it
	InFlight      int // and after
	Delivered     uint32
	RTT, SRTT     time.Duration // RTT 0: not measured
	MSS           int           // bytes

	// The sample of the delivery rate, of the segment that was sent last of those delivered.
	Sampled bool
	Rate    float64 // segments per second; 0: not reliable
	Prior   uint32  // Delivered when it was sent
	Limited bool    // by the application
}

// Ack takes an acknowledgement and returns the window that follows on cwnd.
func (b *State) Ack(a *Ack, cwnd int) int {
	b.updateRound(a)
	b.updateBW(a)
	b.updateExtra(a, cwnd)
	b.checkCyclePhase(a)
	b.checkFullPipe(a)
	b.checkDrain(a)
	cwnd = b.updateRTT(a, cwnd)
	if !b.ratedByRTT && a.SRTT > 0 {
		b.Start(a.SRTT, a.MSS)
	}
	b.setRate(b.pacingGain, a.MSS)
	b.setQuantum(a.MSS)
	return b.setCwnd(a, cwnd)
}

// EnterRecovery begins fast recovery, or the answer to an ECN echo, with a window of cwnd, and
// returns the new one: in the first round what arrives is what is sent (section 4.2.3.4).
func (b *State) EnterRecovery(cwnd, inFlight int, delivered uint32) int {
	b.saveCwnd(cwnd)
	b.recovering, b.conservation = true, true
	b.roundEnd = delivered
	return inFlight + 1
}

// Timeout notes a retransmission timeout.
func (b *State) Timeout(cwnd int) {
	b.saveCwnd(cwnd)
	b.recovering, b.conservation = true, false
}

// ExitRecovery ends recovery and returns the window, which is that before it again.
func (b *State) ExitRecovery(cwnd int) int {
	b.recovering, b.conservation = false, false
	return max(cwnd, b.priorCwnd)
}

// Restart is called before something is sent while nothing is in flight because the application
// had nothing to send (section 4.3.4.4). It returns the window.
func (b *State) Restart(now time.Duration, mss, cwnd int) int {
	b.idleRestart = true
	b.extraSince, b.extraAcked = now, 0
	switch b.mode {
	case probeBW:
		b.setRate(1, mss)
	case probeRTT:
		return b.checkProbeRTTDone(now, cwnd)
	}
	return cwnd
}

func (b *State) saveCwnd(cwnd int) {
	if b.recovering || b.mode == probeRTT {
		cwnd = max(b.priorCwnd, cwnd)
	}
	b.priorCwnd = cwnd
}

// inflight is the volume that fills the path gain times (BBRInflight).
func (b *State) inflight(gain float64) int {
	if b.rtProp == 0 {
		return b.initial
	}
	return int(math.Ceil(gain*b.bw.max*b.rtProp.Seconds())) + 3*b.quantum
}

func (b *State) setRate(gain float64, mss int) {
	rate := gain * b.bw.max * pacingMargin * float64(mss)
	if b.filledPipe || rate > b.rate {
		b.rate = rate
	}
}

// setQuantum is section 4.2.2.
func (b *State) setQuantum(mss int) {
	switch mbit := b.rate * 8 / 1e6; {
	case mbit < 1.2:
		b.quantum = 1
	case mbit < 24:
		b.quantum = 2
	default:
		b.quantum = max(min(int(b.rate/1000), maxQuantum)/max(mss, 1), 1)
	}
}

// setCwnd is section 4.2.3.6, after BBRModulateCwndForRecovery.
func (b *State) setCwnd(a *Ack, cwnd int) int {
	target := b.inflight(b.cwndGain) + int(b.extra.max)
	if b.recovering && a.Lost > 0 {
		cwnd = max(cwnd-a.Lost, 1)
	}
	switch {
	case b.conservation:
		cwnd = max(cwnd, a.InFlight+a.Newly)
	case b.filledPipe:
		cwnd = max(min(cwnd+a.Newly, target), minPipeCwnd)
	case cwnd < target || a.Delivered < uint32(b.initial):
		cwnd = max(cwnd+a.Newly, minPipeCwnd)
	}
	if b.mode == probeRTT {
		cwnd = min(cwnd, minPipeCwnd)
	}
	return cwnd
}

func (b *State) enterStartup() {
	b.mode, b.pacingGain, b.cwndGain = startup, highGain, highGain
}

// checkFullPipe is section 4.3.2.2: three rounds without much growth.
func (b *State) checkFullPipe(a *Ack) {
	if b.filledPipe || !b.roundStart || a.Limited {
		return
	}
	if b.bw.max >= b.fullBW*1.25 {
		b.fullBW, b.fullCount = b.bw.max, 0
		return
	}
	b.fullCount++
	b.filledPipe = b.fullCount >= 3
}

// checkDrain is section 4.3.3.
func (b *State) checkDrain(a *Ack) {
	if b.mode == startup && b.filledPipe {
		b.mode, b.pacingGain, b.cwndGain = drain, 1/highGain, highGain
	}
	if b.mode == drain && a.InFlight <= b.inflight(1) {
		b.enterProbeBW(a.Now)
	}
}

// enterProbeBW begins the cycle of gains at any phase but that which drains.
func (b *State) enterProbeBW(now time.Duration) {
	b.mode, b.cwndGain = probeBW, cwndGain
	b.cycleIndex = len(cycle) - 1 - rand.IntN(len(cycle)-1)
	b.advanceCycle(now)
}

func (b *State) advanceCycle(now time.Duration) {
	b.cycleAt = now
	b.cycleIndex = (b.cycleIndex + 1) % len(cycle)
	b.pacingGain = cycle[b.cycleIndex]
}

// checkCyclePhase is section 4.3.4.3.
func (b *State) checkCyclePhase(a *Ack) {
	if b.mode != probeBW {
		return
	}
	over := a.Now-b.cycleAt > b.rtProp
	switch {
	case b.pacingGain > 1:
		over = over && (a.Lost > 0 || a.PriorInFlight >= b.inflight(b.pacingGain))
	case b.pacingGain < 1:
		over = over || a.PriorInFlight <= b.inflight(1)
	}
	if over {
		b.advanceCycle(a.Now)
	}
}

// updateRTT is sections 4.1.2.3 and 4.3.5: it keeps RTprop, and probes for it when it is old.
func (b *State) updateRTT(a *Ack, cwnd int) int {
	expired := b.rtProp != 0 && a.Now > b.rtPropAt+rtPropFilter
	if a.RTT > 0 && (b.rtProp == 0 || a.RTT <= b.rtProp || expired) {
		b.rtProp, b.rtPropAt = a.RTT, a.Now
	}
	if b.mode != probeRTT && expired && !b.idleRestart {
		b.saveCwnd(cwnd)
		b.mode, b.pacingGain, b.cwndGain = probeRTT, 1, 1
		b.probeRTTDone = 0
	}
	if b.mode == probeRTT {
		switch {
		case b.probeRTTDone == 0 && a.InFlight <= minPipeCwnd:
			b.probeRTTDone, b.probeRTTRound = a.Now+probeRTTDuration, false
			b.roundEnd = a.Delivered
		case b.probeRTTDone != 0:
			b.probeRTTRound = b.probeRTTRound || b.roundStart
			if b.probeRTTRound {
				cwnd = b.checkProbeRTTDone(a.Now, cwnd)
			}
		}
	}
	if a.Newly > 0 {
		b.idleRestart = false
	}
	return cwnd
}

// checkProbeRTTDone leaves ProbeRTT when its time is over.
func (b *State) checkProbeRTTDone(now time.Duration, cwnd int) int {
	if b.probeRTTDone == 0 || now <= b.probeRTTDone {
		return cwnd
	}
	b.rtPropAt = now
	if b.filledPipe {
		b.enterProbeBW(now)
	} else {
		b.enterStartup()
	}
	return max(cwnd, b.priorCwnd)
}
