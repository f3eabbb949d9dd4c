package gofer

import "testing"

func BenchmarkGetattr(b *testing.B) {
	c, _, root := dirPair(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Getattr(root.At()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWalkMissing(b *testing.B) {
	c, _, root := dirPair(b)
	names := []string{"missing"}
	out := make([]Entry, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, stop, _, err := c.Walk(root, names, false, out); err != nil || stop != StopMissing {
			b.Fatal(stop, err)
		}
	}
}
