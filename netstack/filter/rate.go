package filter

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Counter counts packets and their bytes.
type Counter struct {
	Packets, Bytes atomic.Uint64
}

// Count counts the packet.
func (n *Counter) Count(c *Context) {
	n.Packets.Add(1)
	n.Bytes.Add(uint64(c.Packet.Len()))
}

// A Rate lets through so many units in a time, and at first a burst besides.
type Rate struct {
	units, burst uint64
	per          time.Duration

	mu    sync.Mutex
	begun bool
	last  time.Duration
	left  time.Duration // the time that has not been used up
}

// NewRate makes a rate of units in a time.
func NewRate(units uint64, per time.Duration, burst uint64) *Rate {
	return &Rate{units: max(units, 1), burst: burst, per: per}
}

// cost is the time that n units take.
func (r *Rate) cost(n uint64) time.Duration {
	return time.Duration(float64(n) / float64(r.units) * float64(r.per))
}

// Take reports whether n units may pass now, and counts them if so.
func (r *Rate) Take(c *Context, n uint64) bool {
	now := c.Filter.Stack.Wheel.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	full := r.cost(r.burst)
	if !r.begun {
		r.begun, r.left = true, full
	} else {
		r.left = min(full, r.left+now-r.last)
	}
	r.last = now
	cost := r.cost(n)
	if r.left < cost {
		return false
	}
	r.left -= cost
	return true
}
