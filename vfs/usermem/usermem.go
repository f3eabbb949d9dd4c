// Package usermem describes application memory to code that moves data into and
// out of it without knowing the memory manager.
package usermem

import "golang.org/x/sys/unix"

// Memory is an application's address space as seen by the sentry. Everything in
// it can change at any time: copy once, then check the copy. All methods resolve
// faults (stack growth, copy-on-write) as the processor would; none may be called
// with a lock held that a page fault takes (a mapped file's).
type Memory interface {
	// CopyIn copies len(dst) bytes from addr. It returns the number of bytes
	// copied, and EFAULT if that is fewer.
	CopyIn(dst []byte, addr uint64) (int, error)
	// CopyOut copies src to addr. It returns the number of bytes copied, and
	// EFAULT if that is fewer.
	CopyOut(addr uint64, src []byte) (int, error)
	// CopyInString copies the string at addr up to its NUL, which it leaves
	// out. ENAMETOOLONG if there is none within max bytes, EFAULT.
	CopyInString(addr uint64, max int) (string, error)
	// Zero sets length bytes at addr to zero, like CopyOut.
	Zero(addr, length uint64) (uint64, error)
	// Blocks calls f with the memory [addr, addr+length) as the sentry has it
	// mapped, while it cannot be unmapped and given away: f must not block on
	// anything but a host file, and must not call Memory. A block may be backed
	// by a host file that shrinks: f passes the blocks to host system calls, or
	// copies with Copy, which survives that. f gets only the leading part if the
	// rest is not accessible; EFAULT if nothing is. f returns how many bytes it
	// has used.
	Blocks(addr, length uint64, write bool, f func(blocks [][]byte) (int, error)) (int, error)
	// SwapUint32 and CompareAndSwapUint32 are atomic with respect to the
	// application. addr must be aligned (EINVAL); EFAULT.
	SwapUint32(addr uint64, v uint32) (old uint32, err error)
	CompareAndSwapUint32(addr uint64, old, new uint32) (prev uint32, err error)
	// LoadUint32 loads atomically.
	LoadUint32(addr uint64) (uint32, error)
}

// MaxRW is the largest number of bytes that one read(2) or write(2) transfers
// (MAX_RW_COUNT).
const MaxRW = 0x7ffff000

// A Range is a piece of application memory.
type Range struct {
	Addr   uint64
	Length uint64
}

// A Seq is a sequence of pieces of application or of sentry memory that data is
// moved to or from, in order. Moving data consumes it from the front. The zero
// Seq is empty.
type Seq struct {
	mem    Memory
	one    Range   // the only range, if more is nil
	more   []Range // all ranges, for vectored calls
	kernel []byte  // sentry memory, if mem is nil
	done   uint64
	left   uint64
}

// Single returns the Seq of one range. length is cut to MaxRW.
func Single(mem Memory, addr, length uint64) Seq {
	length = min(length, MaxRW)
	return Seq{mem: mem, one: Range{addr, length}, left: length}
}

// Vector returns the Seq of ranges, which it keeps and changes. The total is cut
// to MaxRW.
func Vector(mem Memory, ranges []Range) Seq {
	s := Seq{mem: mem, more: ranges}
	for i := range ranges {
		ranges[i].Length = min(ranges[i].Length, MaxRW-s.left)
		s.left += ranges[i].Length
	}
	return s
}

// Kernel returns a Seq over sentry memory.
func Kernel(p []byte) Seq { return Seq{kernel: p, left: uint64(len(p))} }

// Len is the number of bytes left.
func (s *Seq) Len() uint64 { return s.left }

// Done is the number of bytes moved so far.
func (s *Seq) Done() uint64 { return s.done }

// Truncate cuts what is left to at most n bytes.
func (s *Seq) Truncate(n uint64) { s.left = min(s.left, n) }

// head returns the first non-empty range left, cut to what is left.
func (s *Seq) head() Range {
	if s.more == nil {
		return Range{s.one.Addr, min(s.one.Length, s.left)}
	}
	for len(s.more) > 0 && s.more[0].Length == 0 {
		s.more = s.more[1:]
	}
	if len(s.more) == 0 {
		return Range{}
	}
	return Range{s.more[0].Addr, min(s.more[0].Length, s.left)}
}

// consume drops n bytes from the first range.
func (s *Seq) consume(n int) {
	s.done += uint64(n)
	s.left -= uint64(n)
	r := &s.one
	if s.more != nil {
		r = &s.more[0]
	}
	r.Addr += uint64(n)
	r.Length -= uint64(n)
}

// Skip consumes n bytes, or all that is left, without touching them.
func (s *Seq) Skip(n uint64) {
	n = min(n, s.left)
	if s.mem == nil {
		s.kernel = s.kernel[n:]
		s.done += n
		s.left -= n
		return
	}
	for n > 0 {
		r := s.head()
		k := min(n, r.Length)
		s.consume(int(k))
		n -= k
	}
}

// CopyOut copies src to the front of s, as much as fits. It returns the number of
// bytes copied; EFAULT if that is fewer than fit.
func (s *Seq) CopyOut(src []byte) (int, error) {
	if s.mem == nil {
		n := copy(s.kernel[:s.left], src)
		s.kernel = s.kernel[n:]
		s.done += uint64(n)
		s.left -= uint64(n)
		return n, nil
	}
	total := 0
	for len(src) > 0 && s.left > 0 {
		r := s.head()
		n, err := s.mem.CopyOut(r.Addr, src[:min(uint64(len(src)), r.Length)])
		s.consume(n)
		total += n
		if err != nil {
			return total, err
		}
		src = src[n:]
	}
	return total, nil
}

// CopyIn copies from the front of s to dst, as much as there is. It returns the
// number of bytes copied; EFAULT if that is fewer than there are.
func (s *Seq) CopyIn(dst []byte) (int, error) {
	if s.mem == nil {
		n := copy(dst, s.kernel[:s.left])
		s.kernel = s.kernel[n:]
		s.done += uint64(n)
		s.left -= uint64(n)
		return n, nil
	}
	total := 0
	for len(dst) > 0 && s.left > 0 {
		r := s.head()
		n, err := s.mem.CopyIn(dst[:min(uint64(len(dst)), r.Length)], r.Addr)
		s.consume(n)
		total += n
		if err != nil {
			return total, err
		}
		dst = dst[n:]
	}
	return total, nil
}

// Zero sets the first n bytes left to zero.
func (s *Seq) Zero(n uint64) (uint64, error) {
	n = min(n, s.left)
	if s.mem == nil {
		clear(s.kernel[:n])
		s.kernel = s.kernel[n:]
		s.done += n
		s.left -= n
		return n, nil
	}
	total := uint64(0)
	for total < n {
		r := s.head()
		z, err := s.mem.Zero(r.Addr, min(r.Length, n-total))
		s.consume(int(z))
		total += z
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Blocks calls f with the memory of s piece by piece, as Memory.Blocks does,
// until all is consumed, f moves fewer bytes than it was given, or f fails. write
// says that f writes to the memory. An error after some bytes have moved is
// returned with their number.
func (s *Seq) Blocks(write bool, f func(blocks [][]byte) (int, error)) (int, error) {
	if s.mem == nil {
		n, err := f([][]byte{s.kernel[:s.left]})
		s.kernel = s.kernel[n:]
		s.done += uint64(n)
		s.left -= uint64(n)
		return n, err
	}
	total := 0
	for s.left > 0 {
		r := s.head()
		given := 0
		n, err := s.mem.Blocks(r.Addr, r.Length, write, func(blocks [][]byte) (int, error) {
			for _, b := range blocks {
				given += len(b)
			}
			return f(blocks)
		})
		s.consume(n)
		total += n
		if err != nil {
			return total, err
		}
		if n < given {
			return total, nil
		}
		if uint64(n) < r.Length {
			return total, unix.EFAULT
		}
	}
	return total, nil
}
