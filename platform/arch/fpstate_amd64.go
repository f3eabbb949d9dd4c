package arch

import (
	"encoding/binary"
	"sync"
)

// Extended-state components, as bits of XCR0 and XSTATE_BV (Intel SDM volume 1,
// 13.1).
const (
	XFeatureFP       = 1 << 0
	XFeatureSSE      = 1 << 1
	XFeatureAVX      = 1 << 2
	XFeaturePKRU     = 1 << 9
	XFeatureTileData = 1 << 18
)

// Offsets in an XSAVE image, standard format.
const (
	xsaveFCW      = 0   // x87 control word
	xsaveMXCSR    = 24  // SSE control and status
	xsaveSW       = 464 // struct _fpx_sw_bytes of a signal frame
	xsaveHeader   = 512 // XSTATE_BV, XCOMP_BV, 48 reserved bytes
	xsaveExtended = 576 // first byte after the header
)

// Linux's values in struct _fpx_sw_bytes (asm/sigcontext.h).
const (
	fpXStateMagic1 = 0x46505853
	fpXStateMagic2 = 0x46505845
)

// FPFrameTrailer is the number of bytes that follow the FPStateSize bytes of
// extended state in a signal frame (FP_XSTATE_MAGIC2).
const FPFrameTrailer = 4

type fpLayout struct {
	features uint64
	size     int
	pkru     int // offset of PKRU, 0 if the processor has none
}

var fpState = sync.OnceValue(func() fpLayout {
	l := fpLayout{features: XCR0() &^ XFeatureTileData, size: xsaveExtended}
	for i := 2; i < 63; i++ {
		if l.features&(1<<i) == 0 {
			continue
		}
		size, offset, _, _ := CPUID(0xd, uint32(i))
		l.size = max(l.size, int(offset+size))
		if 1<<i == XFeaturePKRU {
			l.pkru = int(offset)
		}
	}
	return l
})

// FPStateSize is the size in bytes of a thread's extended state: an XSAVE image
// in standard format of all user components that the host has enabled, but for
// AMX tile data, which Linux gives only to processes that ask for it. It is the
// xstate_size of a signal frame. It does not change while the process lives.
func FPStateSize() int { return fpState().size }

// FPFeatures is the set of components in an image of FPStateSize bytes.
func FPFeatures() uint64 { return fpState().features }

// NewFPState returns the extended state with which execve(2) starts a program.
func NewFPState() []byte {
	p := make([]byte, fpState().size)
	InitFPState(p)
	return p
}

// InitFPState sets p, which has FPStateSize bytes, to the extended state with
// which execve(2) starts a program.
func InitFPState(p []byte) {
	const (
		initFCW   = 0x37f
		initMXCSR = 0x1f80
		initPKRU  = 0x55555554 // Linux denies all keys but key 0
	)
	l := fpState()
	clear(p)
	binary.LittleEndian.PutUint16(p[xsaveFCW:], initFCW)
	binary.LittleEndian.PutUint32(p[xsaveMXCSR:], initMXCSR)
	present := uint64(XFeatureFP | XFeatureSSE)
	if l.pkru != 0 {
		present |= XFeaturePKRU
		binary.LittleEndian.PutUint32(p[l.pkru:], initPKRU)
	}
	binary.LittleEndian.PutUint64(p[xsaveHeader:], present)
	SealFPState(p)
}

// SealFPState writes into the image p, of FPStateSize bytes, what a signal
// frame's image has in the bytes reserved for software (struct _fpx_sw_bytes), so
// that rt_sigreturn(2) restores all components.
func SealFPState(p []byte) {
	l := fpState()
	sw := p[xsaveSW:xsaveHeader]
	clear(sw)
	binary.LittleEndian.PutUint32(sw[0:], fpXStateMagic1)
	binary.LittleEndian.PutUint32(sw[4:], uint32(l.size+FPFrameTrailer))
	binary.LittleEndian.PutUint64(sw[8:], l.features)
	binary.LittleEndian.PutUint32(sw[16:], uint32(l.size))
}

// PutFPFrameTrailer writes the FPFrameTrailer bytes that end the extended state
// of a signal frame.
func PutFPFrameTrailer(p []byte) {
	binary.LittleEndian.PutUint32(p, fpXStateMagic2)
}

// RestoreFPState sets dst, of FPStateSize bytes, to the extended state in a signal
// frame, as rt_sigreturn(2) does. frame is what could be read of FPStateSize bytes
// and the trailer; at least the legacy 512 bytes. A frame that is not marked as
// having more holds these only, and the other components are reset. It returns false
// if the processor would refuse the state: the application gets SIGSEGV.
func RestoreFPState(dst, frame []byte) bool {
	le := binary.LittleEndian
	l := fpState()
	sw := frame[xsaveSW:xsaveHeader]
	size := int(le.Uint32(sw[16:]))
	whole := le.Uint32(sw[0:]) == fpXStateMagic1 && size >= xsaveExtended && size <= l.size && size <= int(le.Uint32(sw[4:])) &&
		len(frame) >= size+FPFrameTrailer && le.Uint32(frame[size:]) == fpXStateMagic2
	InitFPState(dst)
	if !whole {
		copy(dst, frame[:xsaveSW])
		le.PutUint32(dst[xsaveMXCSR:], le.Uint32(frame[xsaveMXCSR:])&mxcsrMask)
		return true
	}
	present := le.Uint64(frame[xsaveHeader:])
	for _, b := range frame[xsaveHeader+8 : xsaveExtended] {
		if b != 0 {
			return false
		}
	}
	if present&^l.features != 0 || le.Uint32(frame[xsaveMXCSR:])&^mxcsrMask != 0 {
		return false
	}
	copy(dst, frame[:size])
	le.PutUint64(dst[xsaveHeader:], present&le.Uint64(sw[8:]))
	SealFPState(dst)
	return true
}

// mxcsrMask are the bits of MXCSR that processors of this architecture have.
const mxcsrMask = 0xffff

// SanitizeFPState makes the image p, of FPStateSize bytes, which came from the
// application (a signal frame), one that XRSTOR accepts without a fault:
// components and MXCSR bits that do not exist are cleared.
func SanitizeFPState(p []byte) {
	mxcsr := binary.LittleEndian.Uint32(p[xsaveMXCSR:])
	binary.LittleEndian.PutUint32(p[xsaveMXCSR:], mxcsr&mxcsrMask)
	present := binary.LittleEndian.Uint64(p[xsaveHeader:])
	binary.LittleEndian.PutUint64(p[xsaveHeader:], present&fpState().features)
	clear(p[xsaveHeader+8 : xsaveExtended])
	SealFPState(p)
}
