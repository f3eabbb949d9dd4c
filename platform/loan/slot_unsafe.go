package loan

import "unsafe"

// slotAt returns slot i in a desk's memory.
func slotAt(mem []byte, i int) *slot { return (*slot)(unsafe.Pointer(&mem[i*SlotSize])) }
