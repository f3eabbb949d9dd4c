//go:build amd64

package vdso

import (
	"bytes"
	"unsafe"
)

// addresses stores the addresses of the image's functions.
//
//go:noescape
func addresses(out *[5]uintptr)

// rdtsc reads the time stamp counter, after all earlier instructions.
func rdtsc() uint64

// endMark is what ends each function in the assembly.
var endMark = []byte{0x0f, 0x0b, 0x0f, 0x0b, 0x01, 'E', 'N', 'D', 0x0f, 0x0b, 0x0f, 0x0b}

// functions returns the code of the image's functions, in the order of addresses.
func functions() (code [5][]byte) {
	const longest = 1 << 12
	var at [5]uintptr
	addresses(&at)
	for i, a := range at {
		// The text segment: it neither moves nor goes. Everything behind the
		// function's start is searched, byte by byte, for the mark, which is
		// always there.
		n := 0
		for n < longest && !bytes.Equal(unsafe.Slice((*byte)(textPointer(a+uintptr(n))), len(endMark)), endMark) {
			n++
		}
		code[i] = bytes.Clone(unsafe.Slice((*byte)(textPointer(a)), n))
	}
	return code
}

// textPointer turns an address in the text segment into a pointer.
func textPointer(a uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&a)) }
