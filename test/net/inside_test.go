package net

import "testing"

// TestInside compares what programs do with network namespaces and devices of their own.
func TestInside(t *testing.T) {
	for name, command := range map[string]string{
		"namespaces": "sh testdata/namespaces.sh",
		"bridge":     "sh testdata/bridge.sh",
		"routes":     "sh testdata/routes.sh",
		"tun":        "python3 -u testdata/tun.py",
	} {
		t.Run(name, func(t *testing.T) { sameAsLinux(t, command) })
	}
}
