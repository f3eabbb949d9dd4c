package docker

import (
	"slices"
	"testing"
)

// A sameCase is a script that says the same with runc and with runsc.
type sameCase struct{ name, script string }

// open are the cases that are not the same, and why.
var open = map[string]string{
	"cgroup files": "the sandbox has those of version 2, whatever the host has",
}

// uncertain are the cases in which runc is asked once more, and what it says once in many runs.
var uncertain = map[string]string{
	"ended by a signal": "130 for process 1, which SIGINT is to pass by",
}

func TestSame(t *testing.T) {
	cases := slices.Concat(lifeCases, execCases, filesCases, limitsCases, worldCases, networkCases)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if why := open[c.name]; why != "" {
				t.Skip(why)
			}
			t.Parallel()
			same(t, i, c)
		})
	}
}

// same runs a case with both runtimes.
func same(t *testing.T, serial int, c sameCase) {
	t.Helper()
	want := script(t, serial, "runc", c.script)
	got := script(t, serial, "runsc", c.script)
	if got != want && uncertain[c.name] != "" {
		want = script(t, serial, "runc", c.script)
	}
	if got != want {
		t.Errorf("runsc:\n%s\nrunc:\n%s", got, want)
	}
}
