// Package arch holds what the sentry and the platforms must agree on about the
// processor: registers, extended state, page size.
package arch

import "golang.org/x/sys/unix"

const (
	// PageShift is log2 of PageSize.
	PageShift = 12
	// PageSize is the size of a page in bytes.
	PageSize = 1 << PageShift
	// PageMask selects the offset within a page.
	PageMask = PageSize - 1
)

// Registers are the general registers of a thread, in the layout of
// user_regs_struct (ptrace(2), PTRACE_GETREGS).
type Registers = unix.PtraceRegs

// PageRoundDown returns the start of the page that holds addr.
func PageRoundDown(addr uint64) uint64 { return addr &^ PageMask }

// PageRoundUp returns addr rounded up to a page boundary; ok is false when that
// overflows.
func PageRoundUp(addr uint64) (rounded uint64, ok bool) {
	rounded = (addr + PageMask) &^ PageMask
	return rounded, rounded >= addr
}
