package netem

import (
	"fmt"
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
		name      string
		algorithm string
		path      lossy.Config
		flows     int // at once
		towards   bool
		together  bool // both are measured at the same time: the machine is fast enough
		start, d  time.Duration
	}{
		// Many flows, lest chance decide: the throughput is the mean of what losses leave.
		{"1% loss", "cubic", lossy.Config{Delay: delay, Loss: 0.01, Rate: 100 * mbit}, 12, false, true, 2 * time.Second, 7 * time.Second},
		{"5% reordering", "cubic", lossy.Config{Delay: delay, Reorder: 0.05, Rate: 100 * mbit}, 2, false, true, 3 * time.Second, 6 * time.Second},
		{"100 Mbit/s", "cubic", lossy.Config{Delay: delay / 5, Rate: 100 * mbit, Queue: 200}, 1, false, false, 1 * time.Second, 3 * time.Second},
		{"100 Mbit/s, receiving", "cubic", lossy.Config{Delay: delay / 5, Rate: 100 * mbit, Queue: 200}, 1, true, false, 1 * time.Second, 3 * time.Second},
		{"1% loss, receiving", "cubic", lossy.Config{Delay: delay, Loss: 0.01, Rate: 100 * mbit}, 12, true, true, 2 * time.Second, 7 * time.Second},
		// BBR does not take losses for congestion: one flow or two fill the path at once.
		{"1% loss, BBR", "bbr", lossy.Config{Delay: delay, Loss: 0.01, Rate: 100 * mbit}, 2, false, true, 2 * time.Second, 3 * time.Second},
		{"5% reordering, BBR", "bbr", lossy.Config{Delay: delay, Reorder: 0.05, Rate: 100 * mbit}, 2, false, true, 2 * time.Second, 3 * time.Second},
		{"100 Mbit/s, BBR", "bbr", lossy.Config{Delay: delay / 5, Rate: 100 * mbit, Queue: 200}, 1, false, false, 1 * time.Second, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			needs(t, c.algorithm)
			for try := range attempts {
				c.path.Seed = uint64(try)
				var rate [2]float64
				var both sync.WaitGroup
				for _, who := range []int{linux, ours} {
					p := newPath(t, c.path)
					flows := make([]*flow, c.flows)
					for k := range flows {
						flows[k] = &flow{who: who, algorithm: c.algorithm, towards: c.towards}
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

// TestFairness has flows of each stack share a bottleneck: each stack gets two fifths at least.
func TestFairness(t *testing.T) {
	for _, c := range []struct {
		algorithm string
		delay     time.Duration // of a round trip
		flows     int           // of each stack
	}{
		{"cubic", 10 * time.Millisecond, 2},
		{"cubic", 50 * time.Millisecond, 2},
		// With more flows of BBR it takes longer than the test until the later have their share.
		{"bbr", 10 * time.Millisecond, 1},
		{"bbr", 50 * time.Millisecond, 1},
	} {
		t.Run(fmt.Sprint(c.algorithm, ", ", c.delay), func(t *testing.T) {
			t.Parallel()
			needs(t, c.algorithm)
			for try := range attempts {
				var flows []*flow
				for range c.flows {
					flows = append(flows, &flow{who: linux, algorithm: c.algorithm}, &flow{who: ours, algorithm: c.algorithm})
				}
				bottleneck(t, c.delay, try).run(t, flows, fairStart, fairTime)
				var n [2]float64
				for _, f := range flows {
					n[f.who] += float64(f.total)
				}
				share := n[ours] / (n[linux] + n[ours])
				t.Logf("netstack has %.0f%%", 100*share)
				if share >= 0.4 && share <= 0.6 {
					return
				}
			}
			t.Error("the bottleneck is not shared")
		})
	}
}

// TestBesideCubic has BBR share a bottleneck with Linux's CUBIC, to which it leaves little, and more or
// less by chance. In all, what netstack's leaves must not be less than half of what Linux's own does.
func TestBesideCubic(t *testing.T) {
	t.Parallel()
	needs(t, "bbr")
	needs(t, "cubic")
	const paths = 3 // of each stack at a time
	var left [2]float64
	for try := range attempts {
		var mu sync.Mutex
		var all sync.WaitGroup
		for k := range 2 * paths {
			p, who := bottleneck(t, 10*time.Millisecond, try*paths+k/2), k%2
			all.Go(func() {
				cubic := []*flow{{who: linux, algorithm: "cubic"}, {who: linux, algorithm: "cubic"}}
				p.run(t, append(cubic, &flow{who: who, algorithm: "bbr"}, &flow{who: who, algorithm: "bbr"}), fairStart, fairTime)
				mu.Lock()
				left[who] += float64(cubic[0].total+cubic[1].total) / fairTime.Seconds() / mbit / paths
				mu.Unlock()
			})
		}
		all.Wait()
		t.Logf("Linux leaves %.1f Mbit/s, netstack %.1f", left[linux]/float64(try+1), left[ours]/float64(try+1))
		if left[ours] >= left[linux]/2 {
			return
		}
	}
	t.Error("netstack leaves less")
}

// How long flows that share a bottleneck run before they are measured, and how long they are.
const (
	fairStart = 2 * time.Second
	fairTime  = 10 * time.Second
)

// bottleneck is a path for flows to share, with a round trip of delay.
func bottleneck(t *testing.T, delay time.Duration, try int) *path {
	return newPath(t, lossy.Config{Delay: delay / 2, Rate: 20 * mbit, Queue: 60, Seed: uint64(try)})
}
