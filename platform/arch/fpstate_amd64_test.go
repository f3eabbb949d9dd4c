package arch

import (
	"encoding/binary"
	"testing"
)

func TestFPStateSize(t *testing.T) {
	if XCR0() == XFeatureFP|XFeatureSSE {
		t.Skip("no XSAVE")
	}
	// CPUID 0xD.0 EBX is the size of an XSAVE image of what XCR0 enables.
	_, size, _, _ := CPUID(0xd, 0)
	if XCR0()&XFeatureTileData == 0 && FPStateSize() != int(size) {
		t.Errorf("FPStateSize() = %d, processor says %d", FPStateSize(), size)
	}
	if FPStateSize() > int(size) {
		t.Errorf("FPStateSize() = %d is more than XSAVE's %d", FPStateSize(), size)
	}
}

func TestSanitizeFPState(t *testing.T) {
	p := make([]byte, FPStateSize())
	for i := range p {
		p[i] = 0xff
	}
	SanitizeFPState(p)
	if m := binary.LittleEndian.Uint32(p[24:]); m != 0xffff {
		t.Errorf("MXCSR = %#x", m)
	}
	if bv := binary.LittleEndian.Uint64(p[512:]); bv != FPFeatures() {
		t.Errorf("XSTATE_BV = %#x", bv)
	}
	for i, b := range p[520:576] {
		if b != 0 {
			t.Fatalf("header byte %d = %#x", i+8, b)
		}
	}
	if n := binary.LittleEndian.Uint32(p[464+16:]); int(n) != FPStateSize() {
		t.Errorf("xstate_size = %d", n)
	}
}
