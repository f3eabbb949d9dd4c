package netem

import (
	"sync"
	"testing"
	"time"

	"casemate/netstack/link/lossy"
)

const mbit = 1_000_000 / 8 // bytes per second

// attempts is how often a case is tried: other load of the machine hits one of the two
// more than the other, now and then.
const attempts = 3

// TestThroughput compares what the two stacks send, and receive, over the same path. Each
// runs on a path of its own; netstack has to reach nine tenths of Linux's throughput.
func TestThroughput(t *testing.T) {
	const delay = 25 * time.Millisecond // each way
	for _, c := range []struct {
		name     string
		path     lossy.Config
		flows    int // at once
		towards  bool
		together bool // both are measured at the same time: the machine is fast enough
		start, d time.Duration
	}{
		// Many flows, lest chance decide: the throughput is the mean of what losses leave.
		{"1% loss", lossy.Config{Delay: delay, Loss: 0.01, Rate: 100 * mbit}, 12, false, true, 2 * time.Second, 7 * time.Second},
		{"5% reordering", lossy.Config{Delay: delay, Reorder: 0.05, Rate: 100 * mbit}, 2, false, true, 3 * time.Second, 6 * time.Second},
		{"100 Mbit/s", lossy.Config{Delay: delay / 5, Rate: 100 * mbit, Queue: 200}, 1, false, false, 1 * time.Second, 3 * time.Second},
		{"100 Mbit/s, receiving", lossy.Config{Delay: delay / 5, Rate: 100 * mbit, Queue: 200}, 1, true, false, 1 * time.Second, 3 * time.Second},
		{"1% loss, receiving", lossy.Config{Delay: delay, Loss: 0.01, Rate: 100 * mbit}, 12, true, true, 2 * time.Second, 7 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			for try := range attempts {
				c.path.Seed = uint64(try)
				var rate [2]float64
				var both sync.WaitGroup
				for _, who := range []int{linux, ours} {
					p := newPath(t, c.path)
					flows := make([]*flow, c.flows)
					for k := range flows {
						flows[k] = &flow{who: who, towards: c.towards}
					}
					measure := func() {
						p.run(t, flows, c.start, c.d)
						for _, f := range flows {
							rate[who] += float64(f.total) / c.d.Seconds() / mbit
						}
					}
					if c.together {
						both.Go(measure)
					} else {
						measure()
					}
				}
				both.Wait()
				t.Logf("Linux %.1f Mbit/s, netstack %.1f", rate[linux], rate[ours])
				if rate[ours] >= 0.9*rate[linux] {
					return
				}
			}
			t.Error("netstack is slower")
		})
	}
}

// TestFairness has flows of each stack share a bottleneck: each gets two fifths at least.
func TestFairness(t *testing.T) {
	for _, delay := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			for try := range attempts {
				p := newPath(t, lossy.Config{Delay: delay / 2, Rate: 20 * mbit, Queue: 60, Seed: uint64(try)})
				flows := []*flow{{who: linux}, {who: ours}, {who: linux}, {who: ours}}
				p.run(t, flows, 2*time.Second, 10*time.Second)
				var n [2]float64
				for _, f := range flows {
					n[f.who] += float64(f.total)
				}
				share := n[ours] / (n[linux] + n[ours])
				t.Logf("netstack has %.0f%% of %.1f Mbit/s", 100*share, (n[linux]+n[ours])/10/mbit)
				if share >= 0.4 && share <= 0.6 {
					return
				}
			}
			t.Error("the bottleneck is not shared")
		})
	}
}
