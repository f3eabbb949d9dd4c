package mm

import (
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

func TestAPrivateMappingShowsWritesToTheFileUntilItsPageIsCopied(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	f := newHostFile(t, 4)
	f.written = true
	addr, err := m.Map(nil, MapOptions{Length: 4 * pageSize, Prot: rw, Flags: unix.MAP_PRIVATE, File: f, Mappable: f, MaxProt: rwx, Limits: NoLimits})
	if err != nil {
		t.Fatal(err)
	}
	v := m.ForContext(nil)
	if _, err := v.CopyOut(addr, []byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Pwrite(f.fd, []byte{7}, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Pwrite(f.fd, []byte{7}, pageSize); err != nil {
		t.Fatal(err)
	}
	var p [pageSize + 1]byte
	if _, err := v.CopyIn(p[:], addr); err != nil {
		t.Fatal(err)
	}
	if p[0] != 1 || p[1] != 0 || p[pageSize] != 7 {
		t.Errorf("the copied page has %d, %d, the other one %d", p[0], p[1], p[pageSize])
	}
	checkHost(t, mf, m)
}
