package bundle

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestVersions(t *testing.T) {
	for version, good := range map[string]bool{
		"1.0.0": true, "1.0.2-dev": true, "1.0.0-rc5": true, "1.1.0+build.5": true, "1.3.0": true, "1.4.0": true, "1.0": true,
		"": false, "1": false, "v1.0.0": false, "0.9.0": false, "2.0.0": false, "10.0.0": false, "1.0.0.0": false, "01.0.0": false, "1.0.0 ": false, "1.0.0\n": false,
	} {
		if err := checkVersion(version); (err == nil) != good {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestIgnore(t *testing.T) {
	spec := &specs.Spec{
		Process: &specs.Process{
			ApparmorProfile: "a", SelinuxLabel: "b",
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_X", "CAP_KILL"}, Ambient: []string{"CAP_X"}, Effective: []string{"CAP_CHOWN"}},
		},
		Mounts: []specs.Mount{{Destination: "a/../b"}, {Destination: "/c"}},
		Linux:  &specs.Linux{MountLabel: "c", IntelRdt: &specs.LinuxIntelRdt{}},
	}
	if w := Ignore(spec); len(w) != 6 {
		t.Errorf("warnings: %q", w)
	}
	c := spec.Process.Capabilities
	if !slices.Equal(c.Bounding, []string{"CAP_KILL"}) || len(c.Ambient) != 0 || !slices.Equal(c.Effective, []string{"CAP_CHOWN"}) {
		t.Errorf("capabilities: %+v", c)
	}
	if spec.Mounts[0].Destination != "/b" || spec.Mounts[1].Destination != "/c" {
		t.Errorf("mounts: %+v", spec.Mounts)
	}
	if w := Ignore(spec); len(w) != 0 {
		t.Errorf("again: %q", w)
	}
	if w := Ignore(&specs.Spec{Process: &specs.Process{}}); len(w) != 0 {
		t.Errorf("an empty one: %q", w)
	}
}
