package mm

import (
	"testing"

	"casemate/platform"
)

func benchView(b *testing.B) (*View, uint64) {
	mf := newMemfile(b)
	m := newMM(b, mf, NewLayout(0x10000, 1<<47-pageSize, 8<<20, nil))
	for range 100 {
		mapAnon(b, m, 0, 16*pageSize, rw, 0)
		mapAnon(b, m, 0, pageSize, 0, 0)
	}
	return m.ForContext(nil), mapAnon(b, m, 0, 64*pageSize, rw, 0)
}

func BenchmarkCopyIn64(b *testing.B) {
	v, addr := benchView(b)
	var buf [64]byte
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.CopyIn(buf[:], addr+128); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCopyOut64(b *testing.B) {
	v, addr := benchView(b)
	var buf [64]byte
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.CopyOut(addr+128, buf[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCopyOutTwoMappings(b *testing.B) {
	v, addr := benchView(b)
	mapAnon(b, v.mm, 0, pageSize, 0, 0)
	other := mapAnon(b, v.mm, 0, 64*pageSize, rw, 0)
	var buf [64]byte
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.CopyOut(addr+128, buf[:]); err != nil {
			b.Fatal(err)
		}
		if _, err := v.CopyOut(other+128, buf[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompareAndSwap(b *testing.B) {
	v, addr := benchView(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.CompareAndSwapUint32(addr, 0, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBlocks4K(b *testing.B) {
	v, addr := benchView(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Blocks(addr, 4096, true, func(bs [][]byte) (int, error) { return len(bs[0]), nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMapUnmap64K(b *testing.B) {
	v, _ := benchView(b)
	m := v.mm
	m.as = nopAS{}
	b.ReportAllocs()
	for b.Loop() {
		a := mapAnon(b, m, 0, 16*pageSize, rw, 0)
		if err := m.Unmap(nil, a, 16*pageSize); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkForkExit(b *testing.B) {
	v, _ := benchView(b)
	m := v.mm
	m.as = nopAS{}
	b.ReportAllocs()
	for b.Loop() {
		c, err := m.Fork(nil)
		if err != nil {
			b.Fatal(err)
		}
		c.DecUsers()
	}
}

// nopAS does nothing.
type nopAS struct{}

func (nopAS) Apply(platform.Context, []platform.Op) error { return nil }
func (nopAS) Release()                                    {}
func (nopAS) Fork(platform.Context, platform.Text) (platform.AddressSpace, error) {
	return nopAS{}, nil
}
