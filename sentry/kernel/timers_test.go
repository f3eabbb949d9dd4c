package kernel

import (
	"testing"

	"casemate/sentry/clock"
)

func TestAdvance(t *testing.T) {
	for _, c := range []struct {
		next, interval, now int64
		want, overrun       int64
	}{
		{100, 10, 99, 100, 0},
		{100, 10, 100, 110, 0},
		{100, 10, 109, 110, 0},
		{100, 10, 110, 120, 1},
		{100, 10, 1000, 1010, 90},
		{100, clock.Never, 100, clock.Never, 0},
	} {
		next := c.next
		if got := advance(&next, c.interval, c.now); got != c.overrun || next != c.want {
			t.Errorf("advance(%d, %d) at %d: next %d, overrun %d; want %d, %d", c.next, c.interval, c.now, next, got, c.want, c.overrun)
		}
	}
}
