package mm

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

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
