package mm

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAHostFileThatShrinksUnderACopyGivesEFAULT(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	f := newHostFile(t, 8)
	a, err := m.Map(nil, MapOptions{Length: 8 * pageSize, Prot: rw, Flags: unix.MAP_SHARED, File: f, Mappable: f, MaxProt: rwx, Limits: NoLimits})
	if err != nil {
		t.Fatal(err)
	}
	v := m.ForContext(nil)
	buf := make([]byte, 8*pageSize)
	if _, err := v.CopyOut(a, buf); err != nil {
		t.Fatal(err)
	}
	// Behind everybody's back.
	if err := unix.Ftruncate(f.fd, 2*pageSize); err != nil {
		t.Fatal(err)
	}
	if n, err := v.CopyOut(a, buf); err != unix.EFAULT || n > 2*pageSize {
		t.Errorf("CopyOut: %d %v", n, err)
	}
	if n, err := v.CopyIn(buf, a); err != unix.EFAULT || n > 2*pageSize {
		t.Errorf("CopyIn: %d %v", n, err)
	}
	if _, err := v.Zero(a+4*pageSize, 100); err != unix.EFAULT {
		t.Errorf("Zero: %v", err)
	}
	if _, err := v.CompareAndSwapUint32(a+4*pageSize, 0, 1); err != unix.EFAULT {
		t.Errorf("CompareAndSwap: %v", err)
	}
	if n, err := v.CopyIn(buf[:10], a+2*pageSize-5); err != unix.EFAULT || n > 5 {
		t.Errorf("CopyIn across the end: %d %v", n, err)
	}
}

func TestReadingAMappedHostFile(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	f := newHostFile(t, 600)
	a, err := m.Map(nil, MapOptions{Length: 600 * pageSize, Prot: unix.PROT_READ, Flags: unix.MAP_PRIVATE, File: f, Mappable: f, MaxProt: rwx, Limits: NoLimits})
	if err != nil {
		t.Fatal(err)
	}
	v := m.ForContext(nil)
	var b [3]byte
	for i := range 600 { // by pread first, by windows then
		if _, err := v.CopyIn(b[:], a+uint64(i)*pageSize); err != nil || b[0] != fileByte(i) || b[1] != 0 {
			t.Fatalf("page %d: %v %v", i, b, err)
		}
	}
	if m.windows.n == 0 {
		t.Error("no window was opened")
	}
	all := make([]byte, 600*pageSize)
	n, err := v.Blocks(a, uint64(len(all)), false, func(blocks [][]byte) (int, error) {
		n := 0
		for _, b := range blocks {
			n += copy(all[n:], b)
		}
		return n, nil
	})
	if err != nil || n != len(all) || all[599*pageSize] != fileByte(599) {
		t.Fatalf("Blocks: %d %v", n, err)
	}
	if err := m.Unmap(nil, a, 600*pageSize); err != nil || m.windows.n != 0 {
		t.Errorf("%d windows after munmap (%v)", m.windows.n, err)
	}
}

func TestManyHostFilesShareFewWindows(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	f := newHostFile(t, 4)
	var at []uint64
	for range 3 * windowMax {
		a, err := m.Map(nil, MapOptions{Length: 4 * pageSize, Prot: rw, Flags: unix.MAP_SHARED, File: f, Mappable: f, MaxProt: rwx, Limits: NoLimits})
		if err != nil {
			t.Fatal(err)
		}
		mapAnon(t, m, 0, pageSize, 0, 0)
		at = append(at, a)
	}
	v := m.ForContext(nil)
	for i, a := range at {
		if _, err := v.SwapUint32(a, uint32(i)); err != nil {
			t.Fatal(err)
		}
	}
	if x, err := v.LoadUint32(at[0]); x != uint32(len(at)-1) || err != nil {
		t.Errorf("%d %v", x, err)
	}
	if m.windows.n > windowMax {
		t.Errorf("%d windows", m.windows.n)
	}
}

func TestStringsAndWords(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	a := mapAnon(t, m, 0, 2*pageSize, rw, 0)
	v := m.ForContext(nil)
	long := bytes.Repeat([]byte{'x'}, 3000)
	if _, err := v.CopyOut(a+2*pageSize-3001, long); err != nil {
		t.Fatal(err)
	}
	if s, err := v.CopyInString(a+2*pageSize-3001, 4096); err != nil || s != string(long) {
		t.Errorf("string at the end of memory: %d bytes, %v", len(s), err)
	}
	if _, err := v.CopyInString(a+2*pageSize-3001, 3000); err != unix.ENAMETOOLONG {
		t.Errorf("string without room for its NUL: %v", err)
	}
	if _, err := v.CopyOut(a+2*pageSize-1, []byte{'x'}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.CopyInString(a+2*pageSize-3001, 4096); err != unix.EFAULT {
		t.Errorf("string that runs out of memory: %v", err)
	}
	if _, err := v.SwapUint32(a+2, 1); err != unix.EINVAL {
		t.Errorf("unaligned: %v", err)
	}
	if prev, err := v.CompareAndSwapUint32(a, 0, 5); prev != 0 || err != nil {
		t.Errorf("CompareAndSwap: %d %v", prev, err)
	}
	if prev, err := v.CompareAndSwapUint32(a, 0, 6); prev != 5 || err != nil {
		t.Errorf("CompareAndSwap of another value: %d %v", prev, err)
	}
	if old, err := v.SwapUint32(a, 8); old != 5 || err != nil {
		t.Errorf("Swap: %d %v", old, err)
	}
	if x, err := v.LoadUint32(a); x != 8 || err != nil {
		t.Errorf("Load: %d %v", x, err)
	}
	if n, err := v.Zero(a+pageSize, 2*pageSize); n != pageSize || err != unix.EFAULT {
		t.Errorf("Zero: %d %v", n, err)
	}
}
