// Package clock reads the clocks that applications see and runs the sandbox's
// timers.
//
// The clocks are the host's: CLOCK_MONOTONIC in the sandbox has the host's value,
// as it has in a container without a time namespace. Times are in nanoseconds.
// Reading Monotonic and Realtime costs a vDSO call and no system call.
package clock

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Never is the deadline that does not come.
const Never int64 = math.MaxInt64

// start relates Go's monotonic clock, which counts from an unknown origin, to the
// host's CLOCK_MONOTONIC.
var start = func() (s struct {
	at   time.Time
	mono int64
}) {
	var ts unix.Timespec
	s.at = time.Now()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err == nil {
		s.mono = ts.Nano()
	}
	return s
}()

// Monotonic is CLOCK_MONOTONIC.
func Monotonic() int64 { return start.mono + int64(time.Since(start.at)) }

// Realtime is CLOCK_REALTIME.
func Realtime() int64 { return time.Now().UnixNano() }

// Host reads the clock id of the host by a system call: for the clocks that have
// no faster way (CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_MONOTONIC_RAW).
func Host(id int32) (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, err
	}
	return ts.Nano(), nil
}

// After returns the monotonic deadline ns from now; ns below zero counts as zero.
// What lies too far ahead is Never.
func After(ns int64) int64 {
	now := Monotonic()
	if ns <= 0 {
		return now
	}
	if ns > Never-now {
		return Never
	}
	return now + ns
}

// FromRealtime returns the monotonic deadline at which CLOCK_REALTIME will show
// ns if nobody sets it.
func FromRealtime(ns int64) int64 { return After(ns - Realtime()) }
