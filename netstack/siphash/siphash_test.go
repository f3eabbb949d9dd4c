package siphash

import "testing"

// TestVector is the example of the paper's appendix A.
func TestVector(t *testing.T) {
	var b []byte
	for i := range 15 {
		b = append(b, byte(i))
	}
	k := Key{K0: 0x0706050403020100, K1: 0x0f0e0d0c0b0a0908}
	if got := k.Sum(b); got != 0xa129ca6149be45e5 {
		t.Errorf("%#x", got)
	}
}
