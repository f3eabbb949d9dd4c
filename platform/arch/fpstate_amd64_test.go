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

func TestRestoreFPState(t *testing.T) {
	frame := func() []byte {
		p := append(NewFPState(), make([]byte, FPFrameTrailer)...)
		for i := 160; i < 416; i++ {
			p[i] = 0x5a // XMM registers
		}
		PutFPFrameTrailer(p[FPStateSize():])
		return p
	}
	dst := make([]byte, FPStateSize())
	for _, c := range []struct {
		name   string
		change func(p []byte) []byte
		ok     bool
		bv     uint64 // XSTATE_BV but for PKRU
	}{
		{"as it was written", func(p []byte) []byte { p[512] |= 4; return p }, true, 7 & FPFeatures()},
		{"no magic", func(p []byte) []byte { p[464] = 0; p[512] |= 4; return p }, true, 3},
		{"no trailer", func(p []byte) []byte { p[512] |= 4; return p[:FPStateSize()] }, true, 3},
		{"legacy part only", func(p []byte) []byte { return p[:512] }, true, 3},
		{"wrong size", func(p []byte) []byte { p[464+16+2] = 0xff; p[512] |= 4; return p }, true, 3},
		{"component that does not exist", func(p []byte) []byte { p[519] = 0x40; return p }, false, 0},
		{"compacted", func(p []byte) []byte { p[527] = 0x80; return p }, false, 0},
		{"reserved bits of MXCSR", func(p []byte) []byte { p[26] = 1; return p }, false, 0},
		{"reserved bits of MXCSR, no magic", func(p []byte) []byte { p[464], p[26] = 0, 1; return p }, true, 3},
	} {
		ok := RestoreFPState(dst, c.change(frame()))
		if ok != c.ok {
			t.Errorf("%s: %v", c.name, ok)
			continue
		}
		if !ok {
			continue
		}
		if bv := binary.LittleEndian.Uint64(dst[512:]) &^ XFeaturePKRU; bv != c.bv {
			t.Errorf("%s: XSTATE_BV = %#x, want %#x", c.name, bv, c.bv)
		}
		if dst[160] != 0x5a || binary.LittleEndian.Uint32(dst[24:]) != 0x1f80 {
			t.Errorf("%s: the legacy state is lost", c.name)
		}
	}
}
