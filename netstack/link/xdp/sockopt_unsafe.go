package xdp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// setMemory is XDP_UMEM_REG: the kernel pins the pages of b, and keeps them when b is unmapped.
func setMemory(socket int, b []byte, frameSize int) error {
	r := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&b[0]))), Len: uint64(len(b)), Size: uint32(frameSize)}
	_, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(socket), unix.SOL_XDP, unix.XDP_UMEM_REG, uintptr(unsafe.Pointer(&r)), unsafe.Sizeof(r), 0)
	if e != 0 {
		return e
	}
	return nil
}

// offsets is XDP_MMAP_OFFSETS.
func offsets(socket int) (o unix.XDPMmapOffsets, err error) {
	size := uint32(unsafe.Sizeof(o))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(socket), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS, uintptr(unsafe.Pointer(&o)), uintptr(unsafe.Pointer(&size)), 0)
	switch {
	case e != 0:
		return o, e
	case uintptr(size) != unsafe.Sizeof(o):
		return o, unix.ENOPROTOOPT // before Linux 5.4 the rings have no flags
	}
	return o, nil
}
