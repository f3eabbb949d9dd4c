package gofer

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A spinner decides how long a side polls a word of shared memory before it
// sleeps. To wake a sleeper on an idle processor takes tens of microseconds in
// a virtual machine, so while requests follow each other closely, and a
// processor is free, polling makes a round trip many times shorter. A spinner
// learns whether it does: a find restores its full budget, a miss halves it,
// and once the budget is spent only every sixteenth wait polls, to see whether
// things have changed.
//
// While it polls it yields the processor now and then. If the yield takes long,
// something else wanted the processor, and that is a miss at once.
type spinner struct {
	budget atomic.Int64 // nanoseconds
	waits  atomic.Uint32
}

const (
	spinProbe   = 16                   // one in this many waits polls without a budget
	spinYield   = 4 * time.Microsecond // between two yields
	spinTaken   = 3 * time.Microsecond // a yield as long as this let another task run
	spinMinimum = 2 * time.Microsecond // a budget below this counts as spent
)

// poll polls until found returns true, for at most max, and reports whether it
// did.
func (s *spinner) poll(w *atomic.Uint32, max time.Duration, found func(uint32) bool) bool {
	budget := time.Duration(s.budget.Load())
	if budget < spinMinimum {
		if s.waits.Add(1)%spinProbe != 0 {
			return found(w.Load())
		}
		budget = max
	}
	start := nanotime()
	yielded := start
	for {
		for range 8 {
			if found(w.Load()) {
				s.budget.Store(int64(max))
				return true
			}
			pause(1)
		}
		now := nanotime()
		if now-start > budget {
			break
		}
		if now-yielded > spinYield {
			unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
			yielded = nanotime()
			if yielded-now > spinTaken {
				break
			}
		}
	}
	s.budget.Store(s.budget.Load() / 2)
	return found(w.Load())
}

var epoch = time.Now()

// nanotime is the monotonic clock.
func nanotime() time.Duration { return time.Since(epoch) }
