package net

import "testing"

// TestInside compares what programs do with network namespaces and devices of their own.
func TestInside(t *testing.T) {
	for _, name := range []string{"namespaces", "bridge"} {
		t.Run(name, func(t *testing.T) { sameAsLinux(t, "sh testdata/"+name+".sh") })
	}
}
