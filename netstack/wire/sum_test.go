package wire

import (
	"math/rand/v2"
	"testing"
)

func slow(b []byte, init uint16) uint16 {
	s := uint32(init)
	for i := 0; i < len(b); i += 2 {
		v := uint32(b[i]) << 8
		if i+1 < len(b) {
			v |= uint32(b[i+1])
		}
		s += v
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
func TestSum(t *testing.T) {
	for range 100000 {
		b := make([]byte, rand.IntN(80))
		for i := range b {
			b[i] = byte(rand.Uint32())
			if rand.IntN(3) == 0 {
				b[i] = 0xff
			}
		}
		init := uint16(rand.Uint32())
		if g, w := Sum(b, init), slow(b, init); g != w && !(g == 0 && w == 0xffff) && !(w == 0 && g == 0xffff) {
			t.Fatalf("%x %x: %x, want %x", init, b, g, w)
		}
	}
}
