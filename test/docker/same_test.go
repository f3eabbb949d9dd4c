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

// same runs a case with both runtimes. If they differ, runc has another chance, for it may lose a
// race of the case's once in many runs; runsc has none.
func same(t *testing.T, serial int, c sameCase) {
	t.Helper()
	want := script(t, serial, "runc", c.script)
	got := script(t, serial, "runsc", c.script)
	if got == want {
		return
	}
	if again := script(t, serial, "runc", c.script); got != again {
		t.Errorf("runsc:\n%s\nrunc:\n%s\nand again:\n%s", got, want, again)
	}
}
