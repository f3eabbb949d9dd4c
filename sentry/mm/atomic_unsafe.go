package mm

import (
	"sync/atomic"
	"unsafe"

	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// word calls f with the aligned word at addr.
func (v *View) word(addr uint64, a access, f func(p *uint32)) error {
	if addr%4 != 0 {
		return unix.EINVAL
	}
	m := v.mm
	m.mu.RLock()
	defer m.mu.RUnlock()
	if mem := v.cached(addr, 4, a == accessWrite); mem != nil {
		f((*uint32)(unsafe.Pointer(unsafe.SliceData(mem))))
		return nil
	}
	p, err := v.resolve(addr, 4, a, false)
	if err != nil {
		return err
	}
	word := (*uint32)(unsafe.Pointer(unsafe.SliceData(p.mem)))
	if p.risky {
		return usermem.Guard(func() { f(word) })
	}
	f(word)
	return nil
}

// SwapUint32 implements usermem.Memory.
func (v *View) SwapUint32(addr uint64, x uint32) (old uint32, err error) {
	err = v.word(addr, accessWrite, func(p *uint32) { old = atomic.SwapUint32(p, x) })
	return old, err
}

// CompareAndSwapUint32 implements usermem.Memory.
func (v *View) CompareAndSwapUint32(addr uint64, old, new uint32) (prev uint32, err error) {
	err = v.word(addr, accessWrite, func(p *uint32) {
		for {
			if prev = atomic.LoadUint32(p); prev != old || atomic.CompareAndSwapUint32(p, old, new) {
				return
			}
		}
	})
	return prev, err
}

// LoadUint32 implements usermem.Memory.
func (v *View) LoadUint32(addr uint64) (x uint32, err error) {
	err = v.word(addr, accessRead, func(p *uint32) { x = atomic.LoadUint32(p) })
	return x, err
}
