package tcp

import (
	"math"
	"time"
)

// initialWindow is the first congestion window in segments (RFC 6928).
const initialWindow = 10

// congestion is a connection's congestion control. Windows are in segments.
type congestion struct {
	cwnd, ssthresh, cwndCnt int
	algo                    algorithm
	cubic                   cubic
	hystart                 hystart
}

// algorithm is a congestion control algorithm.
type algorithm interface {
	name() string
	// ssthresh is the threshold after a loss.
	ssthresh(c *congestion, now time.Duration) int
	// avoid grows the window by acked segments in congestion avoidance.
	avoid(c *congestion, acked int, now, rtt time.Duration)
}

// Algorithms are the names of the algorithms (tcp_available_congestion_control).
func Algorithms() []string { return []string{"cubic", "reno"} }

// newCC makes the state for an algorithm; its algo is nil if it is unknown.
func newCC(name string) congestion {
	c := congestion{cwnd: initialWindow, ssthresh: math.MaxInt32}
	switch name {
	case "cubic":
		c.algo = cubicAlgo{}
	case "reno":
		c.algo = renoAlgo{}
	}
	return c
}

// slowStart grows the window by acked segments up to ssthresh and returns what
// is left of them (RFC 5681 section 3.1).
func (c *congestion) slowStart(acked int) int {
	n := min(c.cwnd+acked, c.ssthresh)
	left := acked - (n - c.cwnd)
	c.cwnd = n
	return left
}

// additive grows the window by one segment for each w acknowledged.
func (c *congestion) additive(w, acked int) {
	c.cwndCnt += acked
	if c.cwndCnt >= w {
		d := c.cwndCnt / w
		c.cwndCnt -= d * w
		c.cwnd += d
	}
}

// grow is called for acknowledged segments while the window limits sending.
func (c *congestion) grow(acked int, now, rtt time.Duration) {
	if c.cwnd < c.ssthresh {
		if acked = c.slowStart(acked); acked == 0 {
			return
		}
	}
	c.algo.avoid(c, acked, now, rtt)
}

// renoAlgo is NewReno (RFC 5681, RFC 6582).
type renoAlgo struct{}

func (renoAlgo) name() string { return "reno" }

func (renoAlgo) ssthresh(c *congestion, _ time.Duration) int { return max(c.cwnd/2, 2) }

func (renoAlgo) avoid(c *congestion, acked int, _, _ time.Duration) {
	c.additive(max(c.cwnd, 1), acked)
}

// cubic is CUBIC's state (RFC 9438).
type cubic struct {
	wMax   float64 // segments
	k      float64 // seconds
	origin float64
	epoch  time.Duration // 0: none
	wEst   float64
}

// Constants of RFC 9438 section 4.6.
const (
	cubicC    = 0.4
	cubicBeta = 0.7
)

type cubicAlgo struct{}

func (cubicAlgo) name() string { return "cubic" }

func (cubicAlgo) ssthresh(c *congestion, _ time.Duration) int {
	q := &c.cubic
	q.epoch = 0
	w := float64(c.cwnd)
	if w < q.wMax { // fast convergence (section 4.7)
		q.wMax = w * (1 + cubicBeta) / 2
	} else {
		q.wMax = w
	}
	return max(int(w*cubicBeta), 2)
}

func (cubicAlgo) avoid(c *congestion, acked int, now, rtt time.Duration) {
	q := &c.cubic
	w := float64(c.cwnd)
	if q.epoch == 0 {
		q.epoch = now
		q.wEst = w
		if w < q.wMax {
			q.k = math.Cbrt((q.wMax - w) / cubicC)
			q.origin = q.wMax
		} else {
			q.k, q.origin = 0, w
		}
	}
	t := (now - q.epoch + rtt).Seconds()
	d := t - q.k
	target := q.origin + cubicC*d*d*d
	target = min(max(target, w), 1.5*w)
	// The Reno-friendly region (section 4.3). Like Linux we do not grow faster beyond the
	// window before the loss: beside a flow of Linux's that would not be fair.
	const alpha = 3 * (1 - cubicBeta) / (1 + cubicBeta)
	q.wEst += alpha * float64(acked) / w
	target = max(target, q.wEst)
	n := 100 * c.cwnd
	if target > w {
		n = max(int(w/(target-w)), 2)
	}
	c.additive(n, acked)
}
