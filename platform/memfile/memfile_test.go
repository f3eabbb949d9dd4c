package memfile

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"testing"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

const page = arch.PageSize

func newFile(t testing.TB) *File {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestRandomAllocationsAreDisjointAndZeroed(t *testing.T) {
	f := newFile(t)
	rnd := rand.New(rand.NewSource(1))
	type held struct {
		r    Range
		refs int
	}
	live := map[int]*held{}
	owner := map[uint64]int{} // page -> id
	next := 0
	drop := func(id int, r Range) {
		for p := r.Start; p < r.End; p += page {
			if got := f.Bytes(p, 1)[0]; got != byte(id|1) {
				t.Fatalf("page %#x of allocation %d was overwritten: %d", p, id, got)
			}
			delete(owner, p)
		}
		f.DecRef(r)
	}
	for range 20000 {
		if len(live) > 0 && rnd.Intn(2) == 0 {
			var id int
			for id = range live {
				break
			}
			h := live[id]
			switch {
			case h.refs > 1:
				f.DecRef(h.r)
				h.refs--
			case rnd.Intn(3) == 0:
				f.IncRef(h.r)
				h.refs++
			case rnd.Intn(3) == 0 && h.r.Len() > page:
				mid := h.r.Start + uint64(1+rnd.Intn(int(h.r.Len()/page)-1))*page
				drop(id, Range{mid, h.r.End})
				h.r.End = mid
			default:
				drop(id, h.r)
				delete(live, id)
			}
			continue
		}
		length := uint64(1+rnd.Intn(8)) * page
		if rnd.Intn(20) == 0 {
			length = uint64(1+rnd.Intn(600)) * page
		}
		r, err := f.Allocate(length)
		if err != nil {
			t.Fatal(err)
		}
		if r.Len() != length {
			t.Fatalf("%v, want %d bytes", r, length)
		}
		if length >= smallAlign && r.Start%smallAlign != 0 {
			t.Fatalf("%d bytes at %#x are not aligned", length, r.Start)
		}
		for p := r.Start; p < r.End; p += page {
			if id, taken := owner[p]; taken {
				t.Fatalf("page %#x belongs to %d", p, id)
			}
			owner[p] = next
			b := f.Bytes(p, page)
			if !bytes.Equal(b, make([]byte, page)) {
				t.Fatalf("page %#x is not zero", p)
			}
			b[0], b[page-1] = byte(next|1), 1
		}
		live[next] = &held{r, 1}
		next++
	}
	for id, h := range live {
		for ; h.refs > 1; h.refs-- {
			f.DecRef(h.r)
		}
		drop(id, h.r)
	}
	if n := f.mu.refs.Len(); n != 0 {
		t.Fatalf("%d ranges still have references", n)
	}
	kept := uint64(0)
	for i, s := range f.mu.recycled {
		kept += uint64(i+1) * uint64(len(s)) * page
	}
	if use, err := f.Usage(); err != nil || use > kept {
		t.Fatalf("%d bytes in use, %d of them kept for reuse (%v)", use, kept, err)
	}
	free := uint64(0)
	for c := f.mu.free.First(); c.Entry() != nil; c = c.Next() {
		free += c.Entry().Len()
	}
	if free+kept != f.mu.frontier {
		t.Fatalf("%d free, %d kept, frontier %d: space was lost", free, kept, f.mu.frontier)
	}
}

func TestReferencesOfPartsAreCountedApart(t *testing.T) {
	f := newFile(t)
	r, err := f.Allocate(16 * page)
	if err != nil {
		t.Fatal(err)
	}
	f.IncRef(Range{r.Start + 4*page, r.Start + 8*page})
	for _, want := range []struct {
		at     uint64
		refs   uint32
		length uint64
	}{{0, 1, 4}, {1, 1, 3}, {4, 2, 4}, {7, 2, 1}, {8, 1, 8}} {
		refs, length := f.Refs(Range{r.Start + want.at*page, r.End})
		if refs != want.refs || length != want.length*page {
			t.Errorf("page %d: %d references over %d bytes, want %d over %d", want.at, refs, length, want.refs, want.length*page)
		}
	}
	f.Bytes(r.Start, 1)[0] = 1
	f.Bytes(r.Start+4*page, 1)[0] = 2
	f.DecRef(r)
	if got := f.Bytes(r.Start+4*page, 1)[0]; got != 2 {
		t.Errorf("a page with a reference left lost its data: %d", got)
	}
	f.DecRef(Range{r.Start + 4*page, r.Start + 8*page})
	defer func() {
		if recover() == nil {
			t.Error("releasing a free page went unnoticed")
		}
	}()
	f.DecRef(Range{r.Start + 5*page, r.Start + 6*page})
}

func TestDecommitReadsAsZerosAndGivesMemoryBack(t *testing.T) {
	f := newFile(t)
	r, err := f.Allocate(64 * page)
	if err != nil {
		t.Fatal(err)
	}
	for p := r.Start; p < r.End; p += page {
		f.Bytes(p, 1)[0] = 1
	}
	if n, err := f.Resident(r); n != 64*page || err != nil {
		t.Fatalf("%d bytes resident (%v), want all", n, err)
	}
	f.Decommit(Range{r.Start + page, r.Start + 3*page})
	vec := make([]byte, 4)
	if err := f.Incore(Range{r.Start, r.Start + 4*page}, vec); err != nil || !bytes.Equal(vec, []byte{1, 0, 0, 1}) {
		t.Fatalf("Incore %v %v", vec, err)
	}
	if n, err := f.Usage(); n != 62*page || err != nil {
		t.Fatalf("usage %d (%v), want %d", n, err, 62*page)
	}
	if f.Bytes(r.Start+page, 1)[0] != 0 {
		t.Error("data survived")
	}
}

func TestAFullFileGivesENOMEM(t *testing.T) {
	f := newFile(t)
	half := uint64(len(f.mem)) / 2
	a, err := f.Allocate(half)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Allocate(half); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Allocate(page); err != unix.ENOMEM {
		t.Fatalf("full file: %v", err)
	}
	f.DecRef(a)
	for range 10 { // not only while the hole is remembered
		if _, err := f.Allocate(half / 16); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Allocate(page + 1); err != unix.EINVAL {
		t.Fatalf("odd length: %v", err)
	}
	if _, err := f.Allocate(1<<64 - page); err != unix.ENOMEM {
		t.Fatalf("absurd length: %v", err)
	}
}

func TestPagesCanBeMappedExecutable(t *testing.T) {
	f := newFile(t)
	r, err := f.Allocate(page)
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(f.FD(), int64(r.Start), page, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	f.Bytes(r.Start, page)[7] = 42
	if m[7] != 42 {
		t.Error("the mapping shows other memory")
	}
}

func benchmarkAllocate(b *testing.B, length uint64) {
	f := newFile(b)
	b.ReportAllocs()
	for b.Loop() {
		r, err := f.Allocate(length)
		if err != nil {
			b.Fatal(err)
		}
		f.Bytes(r.Start, 1)[0] = 1
		f.DecRef(r)
	}
}

func BenchmarkAllocateTouchRelease4K(b *testing.B)  { benchmarkAllocate(b, page) }
func BenchmarkAllocateTouchRelease16K(b *testing.B) { benchmarkAllocate(b, 4*page) }
func BenchmarkAllocateTouchRelease64K(b *testing.B) { benchmarkAllocate(b, 16*page) }
func BenchmarkAllocateTouchRelease8M(b *testing.B)  { benchmarkAllocate(b, 2048*page) }

// TestReleaseOfManyPieces releases ranges that fall apart into pieces while the
// lists of recycled pieces are full, so that each release makes more holes than
// it has pieces. No page may be given out twice afterwards.
func TestReleaseOfManyPieces(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const pages = 64
	for range 20 {
		r, err := f.Allocate(pages * arch.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		// Every other page has a second reference: the release leaves single pages.
		for i := uint64(0); i < pages; i += 2 {
			f.IncRef(Range{r.Start + i*arch.PageSize, r.Start + (i+1)*arch.PageSize})
		}
		f.DecRef(r)
		for i := uint64(0); i < pages; i += 2 {
			f.DecRef(Range{r.Start + i*arch.PageSize, r.Start + (i+1)*arch.PageSize})
		}
	}
	seen := map[uint64]bool{}
	for range 5000 {
		r, err := f.Allocate(arch.PageSize)
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.Start] {
			t.Fatalf("page %#x was given out twice", r.Start)
		}
		seen[r.Start] = true
	}
}

// TestStore uses a file on a small file system: a full disk is an error of Allocate.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Over(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := f.Allocate(512 << 10)
	if err != nil {
		t.Fatal(err)
	}
	b := f.Bytes(r.Start, r.Len())
	for i := range b {
		if b[i] != 0 {
			t.Fatal("not zero")
		}
		b[i] = 1
	}
	if _, err := f.Allocate(1 << 20); err != unix.ENOSPC {
		t.Errorf("allocation of more than the disk has: %v", err)
	}
	f.DecRef(r)
	if r, err = f.Allocate(1 << 20); err != nil {
		t.Fatalf("after the release of all: %v", err)
	}
	for _, c := range f.Bytes(r.Start, r.Len()) {
		if c != 0 {
			t.Fatal("old data")
		}
	}
}

func TestStoreWithoutPrograms(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := Over(fd); !errors.Is(err, unix.EPERM) {
		t.Errorf("a store from which no program can be mapped: %v", err)
	}
}
