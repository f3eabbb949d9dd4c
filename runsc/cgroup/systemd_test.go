package cgroup

import (
	"math"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestParseUnit(t *testing.T) {
	for _, c := range []struct {
		name        string
		ordinary    bool
		slice, unit string
	}{
		{"", false, "system.slice", "runsc-id.scope"},
		{"", true, "user.slice", "runsc-id.scope"},
		{"a-b.slice:docker:x", false, "a-b.slice", "docker-x.scope"},
		{":docker:x", false, "system.slice", "docker-x.scope"},
		{"a.slice:p:pod.slice", false, "a.slice", "pod.slice"},
	} {
		if slice, unit, err := parseUnit(c.name, "id", c.ordinary); err != nil || slice != c.slice || unit != c.unit {
			t.Errorf("%q: %q, %q, %v, want %q, %q", c.name, slice, unit, err, c.slice, c.unit)
		}
	}
	for _, name := range []string{"/a/b", "a:b", "a:b:c:d", "a.slice:../b:c"} {
		if slice, unit, err := parseUnit(name, "id", false); err == nil {
			t.Errorf("%q: no error but %q, %q", name, slice, unit)
		}
	}
}

func TestSliceDirs(t *testing.T) {
	for slice, want := range map[string]string{
		"system.slice": "system.slice", "-.slice": "", "a-b-c.slice": "a.slice/a-b.slice/a-b-c.slice",
		"a": "!", ".slice": "!", "a--b.slice": "!", "-a.slice": "!", "a-.slice": "!", "a/b.slice": "!",
	} {
		got, err := sliceDirs(slice)
		if (err != nil) != (want == "!") || err == nil && got != want {
			t.Errorf("%q: %q, %v, want %q", slice, got, err, want)
		}
	}
}

func TestProperties(t *testing.T) {
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Reservation: ptr(int64(-1))},
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(33333)), Period: ptr(uint64(100000)), Shares: ptr(uint64(1024))},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(-1))},
	}
	for _, c := range []struct {
		paths Paths
		want  map[string]uint64
	}{
		{Paths{"": "/x"}, map[string]uint64{"MemoryMax": 100, "MemoryLow": math.MaxUint64, "CPUWeight": 39, "CPUQuotaPeriodUSec": 100000, "CPUQuotaPerSecUSec": 340000, "TasksMax": math.MaxUint64}},
		{Paths{"memory": "/x"}, map[string]uint64{"MemoryLimit": 100, "CPUShares": 1024, "CPUQuotaPeriodUSec": 100000, "CPUQuotaPerSecUSec": 340000, "TasksMax": math.MaxUint64}},
	} {
		got := map[string]uint64{}
		for _, p := range (&Place{Paths: c.paths}).properties(r) {
			got[p.Name] = p.Value.Value().(uint64)
		}
		for name, want := range c.want {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%v: %s is %d, %v, want %d", c.paths, name, v, ok, want)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%v: %v, want %v", c.paths, got, c.want)
		}
	}
}
