package arch

// CPUID executes the CPUID instruction (Intel SDM volume 2). A virtual machine
// traps it, which takes microseconds: keep the answer.
func CPUID(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// XCR0 returns the set of extended-state components that the operating system
// has enabled (XGETBV with ECX=0), 3 (x87 and SSE) if the processor has no XSAVE.
func XCR0() uint64 {
	const osxsave = 1 << 27
	if _, _, ecx, _ := CPUID(1, 0); ecx&osxsave == 0 {
		return XFeatureFP | XFeatureSSE
	}
	return xgetbv0()
}

func xgetbv0() uint64
