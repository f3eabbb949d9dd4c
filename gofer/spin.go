package gofer

import (
	"sync/atomic"
	"time"
)

// To wake a sleeper on an idle processor takes tens of microseconds in a
// virtual machine. While requests follow each other closely, polling a word of
// shared memory for a while before going to sleep makes a round trip many
// times shorter. But on a processor that others want too it is the other way
// round: a poller uses up the time for which the scheduler would have let it
// run at once when it is woken. So there are two conditions: a processor must
// be free, which the server finds out for both sides (see idleWatch), and
// polling must have paid lately, which a spinner learns: a find restores its
// full budget, a miss halves it, and once the budget is spent only every
// sixteenth wait polls, to see whether things have changed.
type spinner struct {
	budget atomic.Int64 // nanoseconds
	waits  atomic.Uint32
}

const (
	spinServer  = 50 * time.Microsecond // how long a worker polls for the next request at most
	spinClient  = 30 * time.Microsecond // how long a call polls for its reply at most
	spinProbe   = 16                    // one in this many waits polls without a budget
	spinMinimum = 2 * time.Microsecond  // a budget below this counts as spent
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
	for start := nanotime(); ; {
		for range 8 {
			if found(w.Load()) {
				s.budget.Store(int64(max))
				return true
			}
			pause(1)
		}
		if nanotime()-start > budget {
			break
		}
	}
	s.budget.Store(s.budget.Load() / 2)
	return found(w.Load())
}

func isPosted(pending uint32) bool { return pending != 0 }

func isAnswered(state uint32) bool { return state != statePosted }

var epoch = time.Now()

// nanotime is the monotonic clock.
func nanotime() time.Duration { return time.Since(epoch) }
