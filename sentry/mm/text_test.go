package mm

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestHiddenMappings(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	const near = 1 << 40
	mapAnon(t, m, near, 16*pageSize, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_FIXED)
	h, err := m.ReserveHidden(nil, near-8*pageSize, near+1<<20, 2*pageSize)
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
	if m.PatchText(nil, at, old, []byte("12345")) {
		t.Error("it patched two pages")
	}
	at--
	if err := m.ReadText(at, old); err != nil {
		t.Fatal(err)
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

// TestPatchTextInUse checks that a page which other threads may be executing is
// replaced and not written to.
func TestPatchTextInUse(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	f := newHostFile(t, 2)
	a, err := m.Map(nil, MapOptions{Length: 2 * pageSize, Prot: unix.PROT_READ | unix.PROT_EXEC, Flags: unix.MAP_PRIVATE,
		File: f, Mappable: f, MaxProt: rwx, Limits: NoLimits})
	if err != nil {
		t.Fatal(err)
	}
	old := make([]byte, 10)
	if err := m.ReadText(a, old); err != nil {
		t.Fatal(err)
	}
	patch := func(at uint64, was, is string) (before, after hostPage) {
		t.Helper()
		pages := m.as.(*fakeAS).pages
		before = pages[a]
		if !m.PatchText(nil, at, []byte(was), []byte(is)) {
			t.Fatal("it did not patch")
		}
		return before, pages[a]
	}
	patch(a, string(old[:5]), "first")
	if before, after := patch(a, "first", "again"); before != after {
		t.Errorf("a page of a single thread is at %+v, was at %+v", after, before)
	}
	m.IncUsers()
	before, after := patch(a+5, string(old[5:]), "other")
	if before.off == after.off {
		t.Error("a page that others may be executing was written to")
	}
	if err := m.ReadText(a, old); err != nil || string(old) != "againother" {
		t.Errorf("%q %v", old, err)
	}
	fork(t, m).DecUsers()
	// It is marked copy-on-write, though nobody else has it any more.
	if before, after := patch(a, "again", "third"); before.off == after.off {
		t.Error("a page that was copy-on-write was written to")
	}
	checkHost(t, mf, m)
	m.DecUsers()
}
