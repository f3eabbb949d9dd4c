package vdso

import "casemate/platform/arch"

func (hostClocks) counter() uint64 { return rdtsc() }

// invariantCounter says whether the counter goes at a constant rate in all power
// states (Intel SDM volume 3, 18.17.1; CPUID.80000007H:EDX[8]).
func invariantCounter() bool {
	if max, _, _, _ := arch.CPUID(0x80000000, 0); max < 0x80000007 {
		return false
	}
	_, _, _, edx := arch.CPUID(0x80000007, 0)
	return edx&(1<<8) != 0
}
