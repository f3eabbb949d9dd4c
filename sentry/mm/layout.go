package mm

import "math/bits"

// A Layout says where in an address space things go, as Linux lays it out
// (Documentation/arch/x86/x86_64/mm.rst; arch_pick_mmap_layout).
type Layout struct {
	// Min and Max bound the addresses that can be mapped: [Min, Max).
	Min, Max uint64
	// MmapBase is where mmap(2) begins to look for room, downwards.
	MmapBase uint64
	// StackTop is the end of the initial stack.
	StackTop uint64
	// PIEBase is where a position-independent program is loaded.
	PIEBase uint64
	// BrkOffset is by how much the heap starts above the program's end.
	BrkOffset uint64
}

// NewLayout chooses a layout within the platform's user range [lo, hi). stackLimit
// is RLIMIT_STACK. random gives random numbers; nil stands for no randomisation
// (personality(2), ADDR_NO_RANDOMIZE).
func NewLayout(lo, hi, stackLimit uint64, random func() uint64) Layout {
	if random == nil {
		random = func() uint64 { return 0 }
	}
	// Linux' figures for 47 bits (28 random bits of pages for mmap and programs,
	// 22 for the stack), in proportion for less.
	size := uint64(1) << bits.Len64(hi-1)
	mmapMask := size>>7 - 1
	stackMask := size>>13 - 1
	pages := func(mask uint64) uint64 { return random() & mask &^ (pageSize - 1) }

	const minGap = 128 << 20
	maxGap := hi / 6 * 5
	gap := stackLimit + stackMask + 1 + stackGuardGap
	if gap < stackLimit {
		gap = maxGap
	}
	gap = min(max(gap, minGap), maxGap)
	return Layout{
		Min:       lo,
		Max:       hi,
		MmapBase:  (hi - gap - pages(mmapMask)) &^ (pageSize - 1),
		StackTop:  hi - pages(stackMask),
		PIEBase:   (hi/3*2 + pages(mmapMask)) &^ (pageSize - 1),
		BrkOffset: pages(min(1<<30, mmapMask+1) - 1),
	}
}
