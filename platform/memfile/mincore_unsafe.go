package memfile

import (
	"unsafe"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// mincore calls mincore(2) on b.
func mincore(b, vec []byte) error {
	if len(b) == 0 {
		return nil
	}
	if len(vec) < (len(b)+arch.PageSize-1)/arch.PageSize {
		return unix.EINVAL
	}
	_, _, e := unix.RawSyscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(unsafe.Pointer(unsafe.SliceData(vec))))
	if e != 0 {
		return e
	}
	return nil
}
