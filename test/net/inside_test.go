package net

import (
	"os"
	"testing"
)

// TestInside compares what programs do with network namespaces and devices of their own.
func TestInside(t *testing.T) {
	for name, command := range map[string]string{
		"namespaces": "sh testdata/namespaces.sh",
		"bridge":     "sh testdata/bridge.sh",
		"routes":     "sh testdata/routes.sh",
		"tools":      "sh testdata/tools.sh",
		"tun":        "python3 -u testdata/tun.py",
	} {
		t.Run(name, func(t *testing.T) { sameAsLinux(t, command) })
	}
}

// TestKinds compares what programs do with devices of kinds that the host's kernel may not have: what Linux says
// of them has been recorded, by linux.sh; of the end of sockets (destroy), nexthops and ethtool by Linux 6.18.
func TestKinds(t *testing.T) {
	for _, name := range []string{"vlan", "macvlan", "ipvlan", "absent", "destroy", "nexthop", "ethtool"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile("testdata/" + name + ".txt")
			must(t, err)
			sameInside(t, string(want), "sh testdata/"+name+".sh")
		})
	}
}
