package tcp

import (
	"math"
	"time"
)

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
