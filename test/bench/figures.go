package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// figures are what several runs under one runtime have given, by name.
type figures struct {
	names  []string // as they came first
	unit   map[string]string
	values map[string][]float64
}

func (f *figures) add(name string, value float64, unit string) {
	if f.values == nil {
		f.unit, f.values = map[string]string{}, map[string][]float64{}
	}
	if _, ok := f.values[name]; !ok {
		f.names = append(f.names, name)
	}
	f.unit[name] = unit
	f.values[name] = append(f.values[name], value)
}

// parse adds what a program has printed: one number, of nanoseconds per operation, or
// lines of a name, a number and a unit (ns or /s).
func (f *figures) parse(program, out string) error {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) == 1 && len(lines) == 1 {
			fields = []string{program, fields[0], "ns"}
		}
		if len(fields) != 3 || fields[2] != "ns" && fields[2] != "/s" {
			return fmt.Errorf("not a figure: %q", line)
		}
		value, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return fmt.Errorf("not a figure: %q", line)
		}
		f.add(fields[0], value, fields[2])
	}
	return nil
}

// median returns the median of values, of which there is at least one.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

var heading = fmt.Sprintf("%-22s %12s %12s   %s", "", "runc", "runsc", "times the cost")

// table returns a line for each figure: both medians, and how many times the first
// runtime's cost the second has.
func table(first, second *figures) (lines []string) {
	for _, name := range first.names {
		a := median(first.values[name])
		if second.values[name] == nil {
			lines = append(lines, fmt.Sprintf("%-22s %12s %12s", name, show(a, first.unit[name]), "none"))
			continue
		}
		b := median(second.values[name])
		ratio := b / a
		if first.unit[name] == "/s" {
			ratio = a / b
		}
		lines = append(lines, fmt.Sprintf("%-22s %12s %12s   %.2f", name, show(a, first.unit[name]), show(b, first.unit[name]), ratio))
	}
	return lines
}

// show writes a figure with a unit that fits its size.
func show(v float64, unit string) string {
	switch {
	case unit == "/s":
		return fmt.Sprintf("%.0f/s", v)
	case v < 1e4:
		return fmt.Sprintf("%.0f ns", v)
	case v < 1e7:
		return fmt.Sprintf("%.1f us", v/1e3)
	}
	return fmt.Sprintf("%.1f ms", v/1e6)
}
