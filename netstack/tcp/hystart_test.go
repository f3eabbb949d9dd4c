package tcp

import (
	"testing"
	"time"
)

func TestHystart(t *testing.T) {
	const shortest = 40 * time.Millisecond
	for _, c := range []struct {
		name string
		rtts []time.Duration // of one round, in ms
		over bool
	}{
		{"no queue", []time.Duration{40, 41, 42, 43, 44, 44, 44, 44, 44}, false},
		{"a queue", []time.Duration{45, 46, 47, 48, 49, 50, 51, 52}, true},
		{"too few", []time.Duration{45, 46, 47, 48, 49, 50, 51}, false},
		{"a queue for a while", []time.Duration{44, 50, 50, 50, 50, 50, 50, 50, 50}, false},
		{"no samples", []time.Duration{0, 0, 0, 0, 0, 0, 0, 0, 0}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h hystart
			over := false
			for k, r := range c.rtts {
				over = h.over(uint32(k), 100, r*time.Millisecond, shortest)
			}
			if over != c.over {
				t.Errorf("slow start is over: %v", over)
			}
		})
	}
	// What one round has seen does not count in the next.
	var h hystart
	for una := range uint32(7) {
		h.over(una, 10, 50*time.Millisecond, shortest)
	}
	if h.over(10, 20, 50*time.Millisecond, shortest) {
		t.Error("samples of two rounds are taken together")
	}
}
