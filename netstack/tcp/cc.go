package tcp

import (
	"math"
	"time"

	"casemate/netstack/tcp/bbr"
)

// initialWindow is the first congestion window in segments (RFC 6928).
const initialWindow = 10

// congestion is a connection's congestion control. Windows are in segments.
type congestion struct {
	cwnd, ssthresh, cwndCnt int
	algo                    algorithm
	cubic                   cubic
	hystart                 hystart
	bbr                     *bbr.State // nil with other algorithms
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
func Algorithms() []string { return []string{"reno", "bbr", "cubic"} }

// newCC makes the state for an algorithm at a time; its algo is nil if it is unknown.
func newCC(name string, now time.Duration) congestion {
	c := congestion{cwnd: initialWindow, ssthresh: math.MaxInt32}
	switch name {
	case "cubic":
		c.algo = cubicAlgo{}
	case "reno":
		c.algo = renoAlgo{}
	case "bbr":
		c.algo, c.bbr = bbrAlgo{}, bbr.New(initialWindow, now)
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
