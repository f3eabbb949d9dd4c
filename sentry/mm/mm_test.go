package mm

import (
	"bytes"
	"errors"
	"testing"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

var wide = Layout{Min: 0x10000, Max: 1<<47 - pageSize, MmapBase: 1 << 46}

func fault(m *MemoryManager, addr uint64, write bool) error {
	return m.HandleFault(nil, platform.Fault{Signal: int(unix.SIGSEGV), Addr: addr, Write: write, Access: true})
}

func TestOneOpForAMappingAndForItsRemoval(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	as := m.as.(*fakeAS)
	a := mapAnon(t, m, 0, 64*pageSize, rw, 0)
	if as.ops != 1 || len(as.pages) != 64 {
		t.Fatalf("mmap took %d ops for %d pages, want one for all", as.ops, len(as.pages))
	}
	if err := m.Unmap(nil, a, 64*pageSize); err != nil || as.ops != 2 || len(as.pages) != 0 {
		t.Fatalf("munmap: %v, %d ops in all, %d pages left", err, as.ops, len(as.pages))
	}
	as.ops = 0
	a = mapAnon(t, m, 0, 64*pageSize, rw, 0)
	mapAnon(t, m, a, 64*pageSize, rw, unix.MAP_FIXED)
	if as.ops != 2 {
		t.Errorf("mapping over a mapping took %d ops, want 1", as.ops-1)
	}
	checkHost(t, mf, m)
}

func TestNeighboursAreNeighboursInTheMemoryFile(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	for range 100 {
		mapAnon(t, m, 0, pageSize, rw, 0)
	}
	if n := m.vmas.Len(); n != 1 {
		t.Errorf("%d mappings, want 1", n)
	}
	if n := m.backings.Len(); n != 1 {
		t.Errorf("%d backings, want 1: the host would have as many mappings", n)
	}
	m.SetBrkStart(1 << 32)
	for i := range uint64(200) {
		if got := m.Brk(nil, 1<<32+i*pageSize+1, NoLimits); got != 1<<32+i*pageSize+1 {
			t.Fatalf("brk: %#x", got)
		}
	}
	if n := m.backings.Len(); n != 2 {
		t.Errorf("%d backings with a heap, want 2", n)
	}
	checkHost(t, mf, m)
}

func TestAHugeMappingIsBackedInPieces(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	m.as = nopAS{}
	a := mapAnon(t, m, 0, 64<<40, rw, unix.MAP_NORESERVE) // more than the memory file has
	v := m.ForContext(nil)
	for _, at := range []uint64{0, 1 << 40, 64<<40 - 8} {
		if _, err := v.CopyOut(a+at, []byte("12345678")); err != nil {
			t.Fatalf("at %#x: %v", at, err)
		}
	}
	var total uint64
	for c := m.backings.First(); c.Entry() != nil; c = c.Next() {
		total += c.Entry().Len()
	}
	if total == 0 || total > 3*lazyChunk {
		t.Errorf("%d MiB are backed, want at most three chunks", total>>20)
	}
	if err := m.Unmap(nil, a, 64<<40); err != nil {
		t.Fatal(err)
	}
}

func TestTheStackGrows(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	const top = 1 << 40
	mapAnon(t, m, top-4*pageSize, 4*pageSize, rw, unix.MAP_FIXED|unix.MAP_GROWSDOWN)
	m.SetStackStart(top - 1)
	m.SetGrowthLimits(1<<20, ^uint64(0))
	if err := fault(m, top-100<<10, true); err != nil {
		t.Fatal(err)
	}
	if r, ok := m.FindRegion(top - 100<<10); !ok || r.Name != "[stack]" || r.End != top {
		t.Fatalf("%+v", r)
	}
	if err := fault(m, top-1<<20-1, true); !errors.Is(err, errMaperr) {
		t.Errorf("beyond the limit: %v", err)
	}
	if _, err := m.ForContext(nil).CopyOut(top-1<<20, []byte{1}); err != nil {
		t.Errorf("copy to the last page of the limit: %v", err)
	}
	checkHost(t, mf, m)
	// A neighbour below keeps the guard gap free.
	m.SetGrowthLimits(1<<30, ^uint64(0))
	below := uint64(top - 4<<20)
	mapAnon(t, m, below-pageSize, pageSize, rw, unix.MAP_FIXED)
	if err := fault(m, below+stackGuardGap, false); err != nil {
		t.Errorf("right above the gap: %v", err)
	}
	if err := fault(m, below+stackGuardGap-1, false); !errors.Is(err, errMaperr) {
		t.Errorf("in the gap: %v", err)
	}
	// Nor does mmap put anything there without being told to.
	a := mapAnon(t, m, below+stackGuardGap/2, pageSize, rw, 0)
	if a == below+stackGuardGap/2 {
		t.Error("mmap took its hint within the gap")
	}
}

func TestTruncationTakesPagesAway(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	f := newHostFile(t, 64)
	a, err := m.Map(nil, MapOptions{Length: 64 * pageSize, Prot: rw, Flags: unix.MAP_SHARED, File: f, Mappable: f, MaxProt: rwx, Limits: NoLimits})
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Map(nil, MapOptions{Length: 64 * pageSize, Prot: rw, Flags: unix.MAP_PRIVATE, File: f, Mappable: f, MaxProt: rwx, Limits: NoLimits})
	if err != nil {
		t.Fatal(err)
	}
	v := m.ForContext(nil)
	for _, at := range []uint64{a, p} {
		for _, page := range []uint64{0, 30} {
			if _, err := v.CopyOut(at+page*pageSize, []byte{7}); err != nil {
				t.Fatal(err)
			}
		}
	}
	child := fork(t, m)
	f.truncate(20)
	checkHost(t, mf, m, child)
	for _, x := range []*MemoryManager{m, child} {
		if len(x.as.(*fakeAS).pages) != 40 {
			t.Errorf("%d pages are mapped, want 40", len(x.as.(*fakeAS).pages))
		}
		v := x.ForContext(nil)
		var b [1]byte
		for _, at := range []uint64{a, p} {
			if _, err := v.CopyIn(b[:], at); err != nil || b[0] != 7 {
				t.Errorf("what is left: %d %v", b[0], err)
			}
			if _, err := v.CopyIn(b[:], at+30*pageSize); err != unix.EFAULT {
				t.Errorf("what is gone: %v", err)
			}
			if err := fault(x, at+30*pageSize, true); !errors.Is(err, errBus) {
				t.Errorf("fault beyond the end: %v, want SIGBUS", err)
			}
		}
	}
	// A SIGBUS of the host on a page that the file still claims is passed on.
	if err := m.HandleFault(nil, platform.Fault{Signal: int(unix.SIGBUS), Addr: a, Access: true}); !errors.Is(err, errBus) {
		t.Errorf("SIGBUS of the host: %v", err)
	}
	f.truncate(64)
	if err := fault(m, a+30*pageSize, true); err != nil {
		t.Errorf("after growth: %v", err)
	}
}

func TestAnInvalidationSparesOtherMappings(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	f := newHostFile(t, 4)
	a := mapAnon(t, m, 0, 4*pageSize, rw, 0)
	v := m.ForContext(nil)
	if _, err := v.CopyOut(a, []byte{9}); err != nil {
		t.Fatal(err)
	}
	m.InvalidateMapping(f, a, 4*pageSize, 0, true) // it was mapped here a moment ago
	var b [1]byte
	if _, err := v.CopyIn(b[:], a); err != nil || b[0] != 9 {
		t.Fatalf("%d %v", b[0], err)
	}
}

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

func TestHiddenMappings(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	const near = 1 << 40
	mapAnon(t, m, near, 16*pageSize, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_FIXED)
	h, err := m.ReserveHidden(nil, near, 2*pageSize)
	if err != nil {
		t.Fatal(err)
	}
	if d := int64(h) - near; d > 2<<30-pageSize || d < -(2<<30-pageSize) {
		t.Errorf("%#x is too far from %#x", h, uint64(near))
	}
	if err := m.WriteHidden(nil, h+pageSize-2, []byte("code")); err != nil {
		t.Fatal(err)
	}
	m.Regions(0, func(r Region) bool {
		if r.Start <= h && r.End > h {
			t.Errorf("it is visible: %+v", r)
		}
		return true
	})
	if err := m.Unmap(nil, h, 2*pageSize); err != nil {
		t.Errorf("munmap: %v", err)
	}
	if err := m.Protect(nil, h, pageSize, rw, NoLimits); err != unix.ENOMEM {
		t.Errorf("mprotect: %v", err)
	}
	if _, err := m.Map(nil, MapOptions{Addr: h, Length: pageSize, Prot: rw, Flags: unix.MAP_PRIVATE | unix.MAP_FIXED, Limits: NoLimits}); err != unix.ENOMEM {
		t.Errorf("mmap over it: %v", err)
	}
	if _, err := m.ForContext(nil).CopyIn(make([]byte, 1), h); err != unix.EFAULT {
		t.Errorf("access by a system call: %v", err)
	}
	child := fork(t, m)
	if err := m.WriteHidden(nil, h+pageSize-2, []byte("CODE")); err != nil {
		t.Fatal(err)
	}
	checkHost(t, mf, m, child)
	for x, want := range map[*MemoryManager]string{m: "CODE", child: "code"} {
		var got []byte
		for i := range uint64(4) {
			p := x.as.(*fakeAS).pages[(h+pageSize-2+i)&^(pageSize-1)]
			if p.prot != unix.PROT_READ|unix.PROT_EXEC {
				t.Fatalf("protection %d", p.prot)
			}
			got = append(got, mf.Bytes(p.off, pageSize)[(pageSize-2+i)%pageSize])
		}
		if string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestPatchText(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	f := newHostFile(t, 8)
	rx := unix.PROT_READ | unix.PROT_EXEC
	a, err := m.Map(nil, MapOptions{Length: 8 * pageSize, Prot: rx, Flags: unix.MAP_PRIVATE, File: f, Mappable: f, MaxProt: rwx, Limits: NoLimits})
	if err != nil {
		t.Fatal(err)
	}
	old := make([]byte, 5)
	at := a + pageSize - 4 // it straddles a page boundary
	if err := m.ReadText(at, old); err != nil || old[4] != fileByte(1) {
		t.Fatalf("ReadText: %v %v", old, err)
	}
	if m.PatchText(nil, at, []byte("other"), []byte("12345")) {
		t.Error("it patched what was not there")
	}
	if !m.PatchText(nil, at, old, []byte("12345")) {
		t.Fatal("it did not patch")
	}
	if err := m.ReadText(at, old); err != nil || string(old) != "12345" {
		t.Errorf("after patching: %q %v", old, err)
	}
	checkHost(t, mf, m)
	if p := m.as.(*fakeAS).pages[a]; p.prot != rx || p.fd != mf.FD() {
		t.Errorf("the host maps %+v", p)
	}
	child := fork(t, m)
	if !m.PatchText(nil, at, []byte("12345"), []byte("67890")) {
		t.Error("no second patch")
	}
	if err := child.ReadText(at, old); err != nil || string(old) != "12345" {
		t.Errorf("the child sees %q %v", old, err)
	}
	if err := m.Protect(nil, a, pageSize, rwx, NoLimits); err != nil {
		t.Fatal(err)
	}
	if m.PatchText(nil, a, make([]byte, 1), []byte{1}) {
		t.Error("it patched writable memory")
	}
	if m.ReadText(a+8*pageSize, old) == nil {
		t.Error("it read beyond the mapping")
	}
	checkHost(t, mf, m, child)
}

func TestForksOfHotPagesDoNotFault(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	a := mapAnon(t, m, 0, 256*pageSize, rw, 0)
	as := m.as.(*fakeAS)
	faults := 0
	touch := func(x *MemoryManager, addr uint64, value byte) {
		for x.as.(*fakeAS).pages[addr].prot&unix.PROT_WRITE == 0 {
			if err := fault(x, addr, true); err != nil {
				t.Fatal(err)
			}
			faults++
		}
		mf.Bytes(x.as.(*fakeAS).pages[addr].off, 1)[0] = value
	}
	for i := range byte(10) {
		faults = 0
		child := fork(t, m)
		for _, page := range []uint64{3, 100, 255} {
			touch(m, a+page*pageSize, i+1)
			var b [1]byte
			if _, err := child.ForContext(nil).CopyIn(b[:], a+page*pageSize); err != nil || b[0] != i {
				t.Fatalf("the child sees %d, want %d (%v)", b[0], i, err)
			}
			touch(child, a+page*pageSize, 99)
		}
		checkHost(t, mf, m, child)
		child.DecUsers()
	}
	if faults != 0 {
		t.Errorf("%d faults after the tenth fork, want none", faults)
	}
	// With a second task in it the parent may write while it forks.
	m.IncUsers()
	child := fork(t, m)
	if as.pages[a+3*pageSize].prot&unix.PROT_WRITE != 0 {
		t.Error("a page stayed writable although another thread could write")
	}
	checkHost(t, mf, m, child)
}

func TestAForkTreeSharesAndReleases(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	a := mapAnon(t, m, 0, 512*pageSize, rw, 0)
	if _, err := m.ForContext(nil).CopyOut(a, bytes.Repeat([]byte{1}, 512*pageSize)); err != nil {
		t.Fatal(err)
	}
	before, _ := mf.Usage()
	all := []*MemoryManager{m}
	for i := range 40 {
		c := fork(t, all[i/2])
		if _, err := c.ForContext(nil).CopyOut(a+uint64(i)*8*pageSize, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	checkHost(t, mf, all...)
	after, _ := mf.Usage()
	if after-before > 41*faultAround {
		t.Errorf("40 forks took %d KiB", (after-before)>>10)
	}
	for _, x := range all {
		x.DecUsers()
	}
	if n, _ := mf.Usage(); n > 3<<20 { // what is kept for reuse
		t.Errorf("%d KiB are left", n>>10)
	}
}

func TestALimitOfLockedMemory(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	a := mapAnon(t, m, 0, 16*pageSize, rw, 0)
	l := NoLimits
	l.IPCLock, l.Memlock = false, 8*pageSize
	if err := m.Lock(nil, a, 8*pageSize, 0, l); err != nil {
		t.Fatal(err)
	}
	if err := m.Lock(nil, a+4*pageSize, 4*pageSize, 0, l); err != nil {
		t.Errorf("what is locked already counts twice: %v", err)
	}
	if err := m.Lock(nil, a+8*pageSize, pageSize, 0, l); err != unix.ENOMEM {
		t.Errorf("beyond the limit: %v", err)
	}
	if _, err := m.Map(nil, MapOptions{Length: pageSize, Prot: rw, Flags: unix.MAP_PRIVATE | unix.MAP_LOCKED, Limits: l}); err != unix.EAGAIN {
		t.Errorf("MAP_LOCKED beyond the limit: %v", err)
	}
	l.Memlock = 0
	if err := m.Lock(nil, a, pageSize, 0, l); err != unix.EPERM {
		t.Errorf("no leave: %v", err)
	}
	if err := m.LockAll(nil, unix.MCL_ONFAULT, NoLimits); err != unix.EINVAL {
		t.Errorf("mlockall(MCL_ONFAULT): %v", err)
	}
	if err := m.UnlockAll(nil); err != nil || m.Usage().Locked != 0 {
		t.Errorf("munlockall: %v, %d locked", err, m.Usage().Locked)
	}
	if err := m.LockAll(nil, unix.MCL_FUTURE|unix.MCL_ONFAULT, NoLimits); err != nil {
		t.Fatal(err)
	}
	mapAnon(t, m, 0, pageSize, rw, 0)
	if m.Usage().Locked != pageSize {
		t.Errorf("%d bytes locked after mlockall(MCL_FUTURE)", m.Usage().Locked)
	}
	checkHost(t, mf, m)
}

func TestLimitsOfAddressSpaceAndData(t *testing.T) {
	m := newMM(t, newMemfile(t), wide)
	l := NoLimits
	l.AS, l.Data = 8*pageSize, 4*pageSize
	try := func(prot int, pages uint64) error {
		_, err := m.Map(nil, MapOptions{Length: pages * pageSize, Prot: prot, Flags: unix.MAP_PRIVATE, Limits: l})
		return err
	}
	if err := try(rw, 5); err != unix.ENOMEM {
		t.Errorf("too much data: %v", err)
	}
	if err := try(rw, 4); err != nil {
		t.Error(err)
	}
	if err := try(0, 5); err != unix.ENOMEM {
		t.Errorf("too much in all: %v", err)
	}
	if err := try(0, 4); err != nil {
		t.Error(err)
	}
	m.SetBrkStart(1 << 30)
	if got := m.Brk(nil, 1<<30+pageSize, l); got != 1<<30 {
		t.Errorf("brk beyond the limit: %#x", got)
	}
}

func TestWhatProcShows(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	f := newHostFile(t, 4)
	a := mapAnon(t, m, 1<<32, 4*pageSize, rw, unix.MAP_FIXED)
	m.SetBrkStart(2 << 32)
	m.Brk(nil, 2<<32+100, NoLimits)
	o := MapOptions{Addr: 3 << 32, Length: 2 * pageSize, Prot: unix.PROT_READ | unix.PROT_EXEC, Flags: unix.MAP_PRIVATE | unix.MAP_FIXED,
		File: f, Mappable: f, Offset: pageSize, MaxProt: rwx, Limits: NoLimits}
	if _, err := m.Map(nil, o); err != nil {
		t.Fatal(err)
	}
	o = MapOptions{Addr: 4 << 32, Length: pageSize, Prot: unix.PROT_READ, Flags: unix.MAP_PRIVATE | unix.MAP_FIXED, Name: "[vvar]", Limits: NoLimits}
	if _, err := m.Map(nil, o); err != nil {
		t.Fatal(err)
	}
	o = MapOptions{Addr: 5 << 32, Length: pageSize, Prot: rw, Flags: unix.MAP_SHARED | unix.MAP_FIXED, Limits: NoLimits}
	if _, err := m.Map(nil, o); err != nil {
		t.Fatal(err)
	}
	if err := m.SetAnonName(a, pageSize, "name"); err != nil {
		t.Fatal(err)
	}
	var got []string
	m.Regions(0, func(r Region) bool {
		if (r.File != nil) != (r.Start == 3<<32) {
			t.Errorf("file %v at %#x", r.File, r.Start)
		}
		got = append(got, r.Name)
		return true
	})
	want := []string{"[anon:name]", "", "[heap]", "", "[vvar]", "/dev/zero (deleted)"}
	if len(got) != len(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, err := m.ForContext(nil).CopyOut(a, []byte{1}); err != nil {
		t.Fatal(err)
	}
	u := m.Usage()
	if u.Total != 10*pageSize-pageSize || u.Data != 5*pageSize || u.Exec != 2*pageSize || u.Anon != pageSize || u.HeapSize != 100 {
		t.Errorf("%+v", u)
	}
	vec := make([]byte, 4)
	if err := m.Mincore(a, vec); err != nil || !bytes.Equal(vec, []byte{1, 0, 0, 0}) {
		t.Errorf("mincore: %v %v", vec, err)
	}
	if err := m.Mincore(a, make([]byte, 5)); err != unix.ENOMEM {
		t.Errorf("mincore over a hole: %v", err)
	}
}

func TestFutexKeysOfSharedMemoryAreTheSameEverywhere(t *testing.T) {
	m := newMM(t, newMemfile(t), wide)
	private := mapAnon(t, m, 0, pageSize, rw, 0)
	shared, err := m.Map(nil, MapOptions{Length: 2 * pageSize, Prot: rw, Flags: unix.MAP_SHARED, Limits: NoLimits})
	if err != nil {
		t.Fatal(err)
	}
	child := fork(t, m)
	moved, err := child.Remap(nil, shared+pageSize, pageSize, 2*pageSize, unix.MREMAP_MAYMOVE, 0, NoLimits)
	if err != nil {
		t.Fatal(err)
	}
	obj, off, err := m.FutexKey(shared + pageSize + 8)
	if err != nil || obj == nil {
		t.Fatal(obj, err)
	}
	if o, f, err := child.FutexKey(moved + 8); o != obj || f != off || err != nil {
		t.Errorf("%v %#x, want %v %#x (%v)", o, f, obj, off, err)
	}
	if o, f, err := m.FutexKey(private); o != nil || f != private || err != nil {
		t.Errorf("private: %v %#x %v", o, f, err)
	}
	if _, _, err := m.FutexKey(8); err != unix.EFAULT {
		t.Errorf("nothing there: %v", err)
	}
	// What mremap has added lies beyond the object.
	if err := fault(child, moved+pageSize, false); !errors.Is(err, errBus) {
		t.Errorf("beyond the shared object: %v", err)
	}
	if err := m.Advise(nil, shared, pageSize, unix.MADV_REMOVE); err != nil {
		t.Errorf("MADV_REMOVE: %v", err)
	}
	if err := m.Advise(nil, private, pageSize, unix.MADV_REMOVE); err != unix.EINVAL {
		t.Errorf("MADV_REMOVE of private memory: %v", err)
	}
}

func TestNothingReachesTheHostBeforeTheStart(t *testing.T) {
	mf := newMemfile(t)
	m, err := New(&fakePlatform{wide.Min, wide.Max, mf}, mf, wide)
	if err != nil {
		t.Fatal(err)
	}
	f := newHostFile(t, 32)
	as := m.as.(*fakeAS)
	for i := range uint64(4) {
		_, err := m.Map(nil, MapOptions{Addr: 1<<32 + i*8*pageSize, Length: 8 * pageSize, Prot: unix.PROT_READ, Flags: unix.MAP_PRIVATE | unix.MAP_FIXED,
			File: f, Mappable: f, Offset: i * 8 * pageSize, MaxProt: rwx, Limits: NoLimits})
		if err != nil {
			t.Fatal(err)
		}
	}
	mapAnon(t, m, 1<<32+8*pageSize, 24*pageSize, rw, unix.MAP_FIXED)
	if _, err := m.ForContext(nil).CopyOut(1<<32+8*pageSize, []byte{1}); err != nil {
		t.Fatal(err)
	}
	if as.ops != 0 {
		t.Errorf("%d ops before the start", as.ops)
	}
	m.AddressSpace()
	if as.ops == 0 || as.ops > 5 || len(as.pages) != 32 {
		t.Errorf("%d ops, %d pages", as.ops, len(as.pages))
	}
	checkHost(t, mf, m)
	child, err := m.Fork(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := child.ForContext(nil).CopyOut(1<<32+8*pageSize, []byte{2}); err != nil {
		t.Fatal(err)
	}
	checkHost(t, mf, m, child)
	child.DecUsers() // it never ran
	checkHost(t, mf, m)
	m.DecUsers()
	if f.refs != 0 || len(f.mappings) != 0 {
		t.Errorf("the file is still mapped: %d, %v", f.refs, f.mappings)
	}
}

func TestADeadAddressSpaceGivesENOMEM(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	a := mapAnon(t, m, 0, 4*pageSize, rw, 0)
	m.as.(*fakeAS).err = errors.New("killed")
	if _, err := m.Map(nil, MapOptions{Length: pageSize, Prot: rw, Flags: unix.MAP_PRIVATE, Limits: NoLimits}); err != unix.ENOMEM {
		t.Errorf("mmap: %v", err)
	}
	if _, err := m.Fork(nil); err == nil {
		t.Error("fork went well")
	}
	if err := m.Unmap(nil, a, pageSize); err != unix.ENOMEM {
		t.Errorf("munmap: %v", err)
	}
	m.DecUsers()
	if use, err := mf.Usage(); use != 0 || err != nil {
		t.Errorf("%d bytes in use (%v)", use, err)
	}
}

func TestAReleasedManagerHasNoMemory(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	a := mapAnon(t, m, 0, 4*pageSize, rw, 0)
	v := m.ForContext(nil)
	var b [1]byte
	if _, err := v.CopyIn(b[:], a); err != nil {
		t.Fatal(err)
	}
	if !m.TryIncUsers() {
		t.Fatal("no users")
	}
	m.DecUsers()
	m.DecUsers()
	if m.TryIncUsers() {
		t.Error("a user after the last")
	}
	if _, err := v.CopyIn(b[:], a); err != unix.EFAULT {
		t.Errorf("copy: %v", err)
	}
	if err := fault(m, a, false); !errors.Is(err, errMaperr) {
		t.Errorf("fault: %v", err)
	}
	if _, err := m.Map(nil, MapOptions{Length: pageSize, Prot: rw, Flags: unix.MAP_PRIVATE, Limits: NoLimits}); err != unix.ESRCH {
		t.Errorf("mmap: %v", err)
	}
}

func TestLayoutsAreInOrder(t *testing.T) {
	const hi = 1<<47 - 1<<30
	x := uint64(88172645463325252)
	random := func() uint64 { x ^= x << 13; x ^= x >> 7; x ^= x << 17; return x }
	for i := range 1000 {
		l := NewLayout(0x10000, hi, 8<<20, random)
		if i == 0 {
			l = NewLayout(0x10000, hi, ^uint64(0), nil)
		}
		if (l.MmapBase|l.StackTop|l.PIEBase|l.BrkOffset)%pageSize != 0 {
			t.Fatalf("unaligned: %+v", l)
		}
		if l.StackTop > hi || i > 0 && (l.MmapBase+128<<20 > l.StackTop || l.PIEBase+l.BrkOffset+1<<40 > l.MmapBase) {
			t.Fatalf("too close: %+v", l)
		}
	}
	a, b := NewLayout(0x10000, hi, 8<<20, random), NewLayout(0x10000, hi, 8<<20, random)
	if a.MmapBase == b.MmapBase || a.StackTop == b.StackTop || a.PIEBase == b.PIEBase {
		t.Errorf("not random: %+v %+v", a, b)
	}
}
