package loader

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"testing"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// memFile is a File in memory.
type memFile struct {
	data []byte
	refs int
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) DecRef() { f.refs-- }

// page is a page of fakeMemory.
type page struct {
	prot int
	data []byte // nil: zeros
}

// fakeMemory is a Memory.
type fakeMemory struct {
	pages    map[uint64]*page
	min, max uint64
	next     uint64 // end of the next mapping without an address
	largest  uint64 // length of a mapping
	vdso     uint64
}

func newMemory(o *Options) *fakeMemory {
	return &fakeMemory{pages: make(map[uint64]*page), min: o.Min, max: o.Max, next: 0x7f0000000000, largest: 64 << 20}
}

func (m *fakeMemory) Map(g Mapping) (uint64, error) {
	if g.Length == 0 || g.Addr&arch.PageMask != 0 || g.Length&arch.PageMask != 0 || g.Offset&arch.PageMask != 0 {
		return 0, unix.EINVAL
	}
	if g.Length > m.max {
		return 0, unix.ENOMEM
	}
	if g.Flags&(unix.MAP_FIXED|unix.MAP_FIXED_NOREPLACE) == 0 {
		m.next -= g.Length
		g.Addr = m.next
	}
	if g.Addr < m.min {
		return 0, unix.EPERM
	}
	if g.Addr > m.max-g.Length {
		return 0, unix.ENOMEM
	}
	if g.Length > m.largest {
		return 0, unix.ENOMEM // more than the fake can hold
	}
	for a := g.Addr; a < g.Addr+g.Length; a += arch.PageSize {
		if m.pages[a] != nil && g.Flags&unix.MAP_FIXED_NOREPLACE != 0 {
			return 0, unix.EEXIST
		}
		p := &page{prot: g.Prot}
		if g.File != nil {
			b := make([]byte, arch.PageSize)
			if n, _ := g.File.ReadAt(b, int64(g.Offset+a-g.Addr)); n > 0 {
				p.data = b
			}
		}
		m.pages[a] = p
	}
	return g.Addr, nil
}

func (m *fakeMemory) Unmap(addr, length uint64) error {
	for a := addr; a < addr+length; a += arch.PageSize {
		delete(m.pages, a)
	}
	return nil
}

func (m *fakeMemory) CopyOut(addr uint64, b []byte) (int, error) {
	for i := range b {
		a := addr + uint64(i)
		p := m.pages[arch.PageRoundDown(a)]
		if p == nil || p.prot&unix.PROT_WRITE == 0 {
			return i, unix.EFAULT
		}
		if p.data == nil {
			p.data = make([]byte, arch.PageSize)
		}
		p.data[a&arch.PageMask] = b[i]
	}
	return len(b), nil
}

func (m *fakeMemory) Zero(addr, length uint64) (uint64, error) {
	n, err := m.CopyOut(addr, make([]byte, length))
	return uint64(n), err
}

func (m *fakeMemory) MapVDSO() (uint64, error) { return m.vdso, nil }

// read returns memory that must exist.
func (m *fakeMemory) read(t *testing.T, addr, length uint64) []byte {
	t.Helper()
	out := make([]byte, length)
	for i := range out {
		a := addr + uint64(i)
		p := m.pages[arch.PageRoundDown(a)]
		if p == nil {
			t.Fatalf("nothing is mapped at %#x", a)
		}
		if p.data != nil {
			out[i] = p.data[a&arch.PageMask]
		}
	}
	return out
}

// string returns the string at addr.
func (m *fakeMemory) string(t *testing.T, addr uint64) string {
	t.Helper()
	var s []byte
	for ; ; addr++ {
		c := m.read(t, addr, 1)[0]
		if c == 0 {
			return string(s)
		}
		s = append(s, c)
	}
}

// A run is a range of pages of one protection.
type run struct {
	start, end uint64
	prot       int
}

// runs lists what is mapped below limit.
func (m *fakeMemory) runs(limit uint64) []run {
	var all []run
	for _, a := range slices.Sorted(maps.Keys(m.pages)) {
		if a >= limit {
			break
		}
		p := m.pages[a]
		if n := len(all); n > 0 && all[n-1].end == a && all[n-1].prot == p.prot {
			all[n-1].end += arch.PageSize
			continue
		}
		all = append(all, run{a, a + arch.PageSize, p.prot})
	}
	return all
}

func testOptions() Options {
	return Options{
		Min: 0x10000, Max: 0x7ffffffff000,
		StackTop: 0x7ffffffde000, PIEBase: 0x555555554000, BrkOffset: 0x3000,
		StackLimit: 8 << 20,
		Random:     [16]byte(bytes.Repeat([]byte{0xab}, 16)),
		UID:        1, EUID: 2, GID: 3, EGID: 4,
	}
}

func noOpen(string) (File, error) { return nil, unix.ENOENT }
