//go:build amd64

package systrap

import (
	"bytes"
	"testing"
)

// What one process has left in its areas the next one does not find.
func TestAreasAreClean(t *testing.T) {
	a, err := newAreas()
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	zero := make([]byte, chunkSize)
	for _, dirty := range [][]int{
		{}, {0}, {areaSize - 1}, {chunkSize - 1}, {0, chunkSize / 2, chunkSize - 1},
		{0, 0x1000, 0x2000, 0x3000, 0x5000, 0x8000, 0xa000, 0xb000, 0xd000, 0xf000, 0x11000, 0x20000, 0x30000, 0x40000, 0x50000, 0x60000, 0x70000, 0x80000},
	} {
		off, e := a.allocate()
		next, e2 := a.allocate()
		if e != 0 || e2 != 0 {
			t.Fatal(e, e2)
		}
		for _, d := range dirty {
			a.mem[off+uint64(d)] = 0xff
		}
		a.mem[next] = 0xee // another's
		a.release(off)
		again, e := a.allocate()
		if e != 0 || again != off {
			t.Fatalf("chunk %#x after %#x: %v", again, off, e)
		}
		if !bytes.Equal(a.mem[off:off+chunkSize], zero) {
			t.Errorf("dirty at %#x: the chunk is not clean", dirty)
		}
		if a.mem[next] != 0xee {
			t.Errorf("dirty at %#x: the next chunk is not as it was", dirty)
		}
		a.release(off)
		a.release(next)
	}
}
