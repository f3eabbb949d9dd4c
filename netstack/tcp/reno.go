package tcp

import "time"

// renoAlgo is NewReno (RFC 5681, RFC 6582).
type renoAlgo struct{}

func (renoAlgo) name() string { return "reno" }

func (renoAlgo) ssthresh(c *congestion, _ time.Duration) int { return max(c.cwnd/2, 2) }

func (renoAlgo) avoid(c *congestion, acked int, _, _ time.Duration) {
	c.additive(max(c.cwnd, 1), acked)
}
