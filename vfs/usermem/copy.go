package usermem

import (
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// Copy copies as copy does, but survives a page fault: memory behind which a host
// file has shrunk. It then returns EFAULT and the number of bytes that were
// certainly copied, which may be too low. It is for such memory only, as it is
// dearer than copy.
func Copy(dst, src []byte) (n int, err error) {
	err = Guard(func() { n = copy(dst, src) })
	return n, err
}

// Guard calls f, which touches memory that may be gone, and returns EFAULT if it
// was.
func Guard(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if _, fault := r.(interface{ Addr() uintptr }); !fault {
			panic(r)
		}
		err = unix.EFAULT
	}()
	f()
	return nil
}
