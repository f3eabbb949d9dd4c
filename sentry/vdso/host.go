package vdso

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const clockMonotonic = unix.CLOCK_MONOTONIC

// hostNow reads a clock of the host by a system call.
func hostNow(id int32) (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, err
	}
	return ts.Nano(), nil
}

// hostClocks is the host of Params but in tests.
type hostClocks struct{}

func (hostClocks) now(id int32) (int64, error) { return hostNow(id) }

func (hostClocks) resolution(id int32) (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGetres(id, &ts); err != nil {
		return 0, err
	}
	return ts.Nano(), nil
}

// clockSource is what the host's kernel keeps time with. It does so with the TSC
// only while it finds that all CPUs' counters agree and never stop.
const clockSource = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

func (hostClocks) unusable() string {
	if !invariantCounter() {
		return "the processor's time stamp counter is not invariant"
	}
	b, err := os.ReadFile(clockSource)
	if err != nil {
		return fmt.Sprintf("the host's clock source is not known: %v", err)
	}
	if s := strings.TrimSpace(string(b)); s != "tsc" {
		return fmt.Sprintf("the host's clock source is %s, not tsc", s)
	}
	return ""
}
