package mm

import (
	"math/rand"
	"testing"

	"casemate/platform"
	"casemate/platform/memfile"

	"golang.org/x/sys/unix"
)

// A process is an address space together with a plain model of what it must look
// like: every page has a protection and a first byte.
type process struct {
	m     *MemoryManager
	view  *View
	pages map[uint64]*modelPage

	heap, heapEnd uint64
}

type modelPage struct {
	prot   int
	shared *byte // of a shared page; else
	value  byte
	anon   bool // private and anonymous
	advice int  // about fork
	// run is the mmap call that made it: mremap takes one mapping, and pages of
	// different calls may or may not be joined to one.
	run int
}

func (p *modelPage) byte() *byte {
	if p.shared != nil {
		return p.shared
	}
	return &p.value
}

// access does what the processor would: it uses what the host maps, and faults.
func (p *process) access(t *testing.T, mf *memfile.File, addr uint64, write bool, value byte) (byte, error) {
	t.Helper()
	p.m.AddressSpace() // it runs
	for range 3 {
		h, ok := p.m.as.(*fakeAS).pages[addr&^(pageSize-1)]
		need := unix.PROT_READ | unix.PROT_EXEC | unix.PROT_WRITE
		if write {
			need = unix.PROT_WRITE
		}
		if ok && h.prot&need != 0 {
			var b []byte
			if h.fd == mf.FD() {
				b = mf.Bytes(h.off, pageSize)
			} else {
				var err error
				b, err = unix.Mmap(h.fd, int64(h.off), pageSize, rw, unix.MAP_SHARED)
				if err != nil {
					t.Fatal(err)
				}
				defer unix.Munmap(b)
			}
			if write {
				b[addr%pageSize] = value
			}
			return b[addr%pageSize], nil
		}
		if err := p.m.HandleFault(nil, platform.Fault{Signal: int(unix.SIGSEGV), Addr: addr, Write: write, Access: true}); err != nil {
			return 0, err
		}
	}
	t.Fatalf("fault at %#x (write %v) does not end", addr, write)
	return 0, nil
}

// want says what an access must give.
func (p *process) want(addr uint64, write bool) (*modelPage, error) {
	page := p.pages[addr&^(pageSize-1)]
	switch {
	case page == nil:
		return nil, errMaperr
	case page.prot == 0 || write && page.prot&unix.PROT_WRITE == 0:
		return nil, errAccerr
	}
	return page, nil
}

func TestRandomOperationsMatchTheModel(t *testing.T) {
	mf := newMemfile(t)
	for seed := range int64(12) {
		runModel(t, mf, seed)
	}
}

func runModel(t *testing.T, mf *memfile.File, seed int64) {
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	rnd := rand.New(rand.NewSource(seed))
	readOnly, shared := newHostFile(t, 40), newHostFile(t, 40)
	sharedBytes := make([]byte, 40)
	for i := range sharedBytes {
		sharedBytes[i] = fileByte(i)
	}
	first := newMM(t, mf, testLayout)
	procs := []*process{{m: first, view: first.ForContext(nil), pages: map[uint64]*modelPage{}}}
	check := func() {
		var all []*MemoryManager
		for _, p := range procs {
			all = append(all, p.m)
		}
		checkHost(t, mf, all...)
	}
	prots := []int{0, unix.PROT_READ, rw, rw, rw, unix.PROT_READ | unix.PROT_EXEC, rwx, unix.PROT_WRITE}
	for step := range 1500 {
		p := procs[rnd.Intn(len(procs))]
		npages := uint64(1 + rnd.Intn(24))
		addr := testLayout.Min + uint64(rnd.Intn(1000))*pageSize
		if rnd.Intn(3) != 0 && len(p.pages) > 0 {
			// Somewhere where something is.
			best := testLayout.Max
			for a := range p.pages {
				if a >= addr && a < best {
					best = a
				}
			}
			addr = best
		}
		npages = min(npages, (testLayout.Max-addr)/pageSize)
		if npages == 0 {
			continue
		}
		end := addr + npages*pageSize
		prot := prots[rnd.Intn(len(prots))]
		switch op := rnd.Intn(22); op {
		case 0, 1: // anonymous
			flags := unix.MAP_FIXED
			if rnd.Intn(2) == 0 {
				flags = 0
			}
			isShared := rnd.Intn(4) == 0
			o := MapOptions{Addr: addr, Length: npages * pageSize, Prot: prot, Flags: flags | unix.MAP_PRIVATE, Limits: NoLimits}
			if isShared {
				o.Flags = flags | unix.MAP_SHARED
			}
			at, err := p.m.Map(nil, o)
			if err != nil {
				if err == unix.ENOMEM && flags == 0 {
					continue // no room
				}
				t.Fatalf("step %d: map: %v", step, err)
			}
			for a := at; a < at+npages*pageSize; a += pageSize {
				if flags == 0 && p.pages[a] != nil {
					t.Fatalf("step %d: mapped over %#x", step, a)
				}
				page := &modelPage{prot: prot, anon: !isShared, run: step}
				if isShared {
					page.shared = new(byte)
				}
				p.pages[a] = page
			}
		case 2, 3: // file
			f, flags := readOnly, unix.MAP_PRIVATE
			if op == 3 {
				f, flags = shared, unix.MAP_SHARED
			}
			off := uint64(rnd.Intn(40 - int(npages)))
			_, err := p.m.Map(nil, MapOptions{Addr: addr, Length: npages * pageSize, Prot: prot, Flags: flags | unix.MAP_FIXED,
				File: f, Mappable: f, Offset: off * pageSize, MaxProt: rwx, Limits: NoLimits})
			if err != nil {
				t.Fatalf("step %d: map file: %v", step, err)
			}
			for i := range npages {
				page := &modelPage{prot: prot, value: fileByte(int(off + i)), run: step}
				if op == 3 {
					page.shared = &sharedBytes[off+i]
				}
				p.pages[addr+i*pageSize] = page
			}
		case 4: // munmap
			if err := p.m.Unmap(nil, addr, npages*pageSize); err != nil {
				t.Fatalf("step %d: unmap: %v", step, err)
			}
			for a := addr; a < end; a += pageSize {
				delete(p.pages, a)
			}
		case 5, 6: // mprotect
			err := p.m.Protect(nil, addr, npages*pageSize, prot, NoLimits)
			var want error
			for a := addr; a < end; a += pageSize {
				if p.pages[a] == nil {
					want = unix.ENOMEM
					break
				}
				p.pages[a].prot = prot
			}
			if err != want {
				t.Fatalf("step %d: mprotect: %v, want %v", step, err, want)
			}
		case 7: // fork
			if len(procs) == 6 {
				continue
			}
			child, err := p.m.Fork(nil)
			if err != nil {
				t.Fatalf("step %d: fork: %v", step, err)
			}
			c := &process{m: child, view: child.ForContext(nil), pages: map[uint64]*modelPage{}}
			for a, page := range p.pages {
				if page.advice == unix.MADV_DONTFORK {
					continue
				}
				copied := *page
				if page.advice == unix.MADV_WIPEONFORK {
					copied.value = 0
				}
				c.pages[a] = &copied
			}
			c.heap, c.heapEnd = p.heap, p.heapEnd
			procs = append(procs, c)
		case 8: // exit
			if len(procs) == 1 || rnd.Intn(2) == 0 {
				continue
			}
			for i := range procs {
				if procs[i] == p {
					procs = append(procs[:i], procs[i+1:]...)
					break
				}
			}
			p.m.DecUsers()
		case 11: // mremap
			p.remap(t, rnd, step, addr, npages)
		case 12: // madvise
			p.advise(t, rnd, step, addr, npages)
		case 13: // brk
			p.brk(t, rnd, step)
		case 14: // another process writes (ptrace)
			data := make([]byte, npages*pageSize)
			for i := range npages {
				data[i*pageSize] = byte(step)
			}
			wanted := uint64(0)
			for ; wanted < npages; wanted++ {
				page := p.pages[addr+wanted*pageSize]
				if page == nil || page.shared != nil && page.prot&unix.PROT_WRITE == 0 {
					break
				}
				*page.byte() = byte(step)
			}
			if n, err := p.m.WriteForced(nil, addr, data); uint64(n) != wanted*pageSize || (err != nil) != (wanted < npages) {
				t.Fatalf("step %d: wrote %#x bytes by force, want %#x pages: %v", step, n, wanted, err)
			}
		case 9: // copy out, over several pages
			data := make([]byte, npages*pageSize)
			for i := range npages {
				data[i*pageSize] = byte(step)
			}
			wanted := uint64(0)
			for ; wanted < npages; wanted++ {
				if page, err := p.want(addr+wanted*pageSize, true); err != nil {
					break
				} else {
					*page.byte() = byte(step)
				}
			}
			if n, err := p.view.CopyOut(addr, data); uint64(n) != wanted*pageSize || (err != nil) != (wanted < npages) {
				t.Fatalf("step %d: copied out %#x bytes, want %#x pages: %v", step, n, wanted, err)
			}
		case 10: // copy in
			data := make([]byte, npages*pageSize)
			wanted := uint64(0)
			for ; wanted < npages; wanted++ {
				if _, err := p.want(addr+wanted*pageSize, false); err != nil {
					break
				}
			}
			if n, err := p.view.CopyIn(data, addr); uint64(n) != wanted*pageSize || (err != nil) != (wanted < npages) {
				t.Fatalf("step %d: copied in %#x bytes, want %#x pages: %v", step, n, wanted, err)
			}
			for i := range wanted {
				if got, want := data[i*pageSize], *p.pages[addr+i*pageSize].byte(); got != want {
					t.Fatalf("step %d: %#x is %d, want %d", step, addr+i*pageSize, got, want)
				}
			}
		default: // the application runs
			write := rnd.Intn(2) == 0
			page, want := p.want(addr, write)
			got, err := p.access(t, mf, addr, write, byte(step))
			if err != want {
				t.Fatalf("step %d: access to %#x (write %v): %v, want %v", step, addr, write, err, want)
			}
			if err == nil {
				if write {
					*page.byte() = byte(step)
				}
				if got != *page.byte() {
					t.Fatalf("step %d: %#x is %d, want %d", step, addr, got, *page.byte())
				}
			}
		}
		check()
	}
	for _, p := range procs {
		p.m.DecUsers()
	}
	if readOnly.refs != 0 || shared.refs != 0 || len(readOnly.mappings) != 0 || len(shared.mappings) != 0 {
		t.Fatalf("files are still mapped: %d %d %v %v", readOnly.refs, shared.refs, readOnly.mappings, shared.mappings)
	}
	// Everything is free again: the largest allocation works.
	if use, err := mf.Usage(); err != nil || use > 6<<20 {
		t.Fatalf("%d bytes are still in use (%v)", use, err)
	}
}

func (p *process) remap(t *testing.T, rnd *rand.Rand, step int, addr, npages uint64) {
	t.Helper()
	first := p.pages[addr]
	if first == nil {
		if _, err := p.m.Remap(nil, addr, pageSize, 2*pageSize, unix.MREMAP_MAYMOVE, 0, NoLimits); err != unix.EFAULT {
			t.Fatalf("step %d: mremap of nothing: %v", step, err)
		}
		return
	}
	// Stay within one mmap call with one protection: one mapping for sure.
	n := uint64(1)
	for ; n < npages; n++ {
		page := p.pages[addr+n*pageSize]
		if page == nil || page.run != first.run || page.prot != first.prot || page.advice != first.advice {
			break
		}
	}
	if first.shared != nil || !first.anon {
		return // growth shows other parts of a file: TestRemapOfFiles
	}
	to := uint64(1 + rnd.Intn(24))
	flags := []int{0, unix.MREMAP_MAYMOVE, unix.MREMAP_MAYMOVE | unix.MREMAP_FIXED, unix.MREMAP_MAYMOVE | unix.MREMAP_DONTUNMAP}[rnd.Intn(4)]
	if flags&unix.MREMAP_DONTUNMAP != 0 {
		to = n
	}
	target := uint64(0)
	if flags&unix.MREMAP_FIXED != 0 {
		target = testLayout.Min + uint64(rnd.Intn(1000))*pageSize
		if target+to*pageSize > testLayout.Max || target < addr+n*pageSize && addr < target+to*pageSize {
			return
		}
	}
	got, err := p.m.Remap(nil, addr, n*pageSize, to*pageSize, flags, target, NoLimits)
	if err == unix.ENOMEM && flags&unix.MREMAP_FIXED == 0 {
		return
	}
	if err != nil {
		t.Fatalf("step %d: mremap(%#x, %d pages, %d pages, %#x): %v", step, addr, n, to, flags, err)
	}
	if target != 0 && got != target || flags == 0 && got != addr {
		t.Fatalf("step %d: mremap moved to %#x", step, got)
	}
	moved := map[uint64]*modelPage{}
	for i := range to {
		page := &modelPage{prot: first.prot, anon: true, advice: first.advice, run: first.run}
		if i < n {
			page.value = p.pages[addr+i*pageSize].value
		} else if p.pages[got+i*pageSize] != nil && target == 0 {
			t.Fatalf("step %d: mremap over %#x", step, got+i*pageSize)
		}
		moved[got+i*pageSize] = page
	}
	for i := range n {
		if flags&unix.MREMAP_DONTUNMAP != 0 {
			p.pages[addr+i*pageSize].value = 0
		} else {
			delete(p.pages, addr+i*pageSize)
		}
	}
	for a, page := range moved {
		p.pages[a] = page
	}
}

func (p *process) advise(t *testing.T, rnd *rand.Rand, step int, addr, npages uint64) {
	t.Helper()
	page := p.pages[addr]
	if page == nil || !page.anon {
		return
	}
	n := uint64(1)
	for ; n < npages; n++ {
		if page := p.pages[addr+n*pageSize]; page == nil || !page.anon {
			break
		}
	}
	advice := []int{unix.MADV_DONTNEED, unix.MADV_DONTFORK, unix.MADV_DOFORK, unix.MADV_WIPEONFORK, unix.MADV_KEEPONFORK}[rnd.Intn(5)]
	if err := p.m.Advise(nil, addr, n*pageSize, advice); err != nil {
		t.Fatalf("step %d: madvise %d: %v", step, advice, err)
	}
	for i := range n {
		page := p.pages[addr+i*pageSize]
		switch advice {
		case unix.MADV_DONTNEED:
			page.value = 0
		case unix.MADV_DONTFORK:
			page.advice = advice
			// Both can be set; keep the model to one.
			if err := p.m.Advise(nil, addr+i*pageSize, pageSize, unix.MADV_KEEPONFORK); err != nil {
				t.Fatal(err)
			}
		case unix.MADV_WIPEONFORK:
			page.advice = advice
			if err := p.m.Advise(nil, addr+i*pageSize, pageSize, unix.MADV_DOFORK); err != nil {
				t.Fatal(err)
			}
		case unix.MADV_DOFORK:
			if page.advice == unix.MADV_DONTFORK {
				page.advice = 0
			}
		case unix.MADV_KEEPONFORK:
			if page.advice == unix.MADV_WIPEONFORK {
				page.advice = 0
			}
		}
	}
}

func (p *process) brk(t *testing.T, rnd *rand.Rand, step int) {
	t.Helper()
	if p.heap == 0 {
		p.heap = testLayout.Min + 950*pageSize
		p.heapEnd = p.heap
		p.m.SetBrkStart(p.heap - 5)
	}
	want := p.heap + uint64(rnd.Intn(30))*pageSize
	got := p.m.Brk(nil, want, NoLimits)
	if got != want {
		if got != p.heapEnd {
			t.Fatalf("step %d: brk failed and moved to %#x", step, got)
		}
		for a := p.heapEnd; a < want; a += pageSize {
			if p.pages[a] != nil {
				return
			}
		}
		t.Fatalf("step %d: brk failed with room", step)
	}
	for a := p.heapEnd; a < want; a += pageSize {
		if p.pages[a] != nil {
			t.Fatalf("step %d: the heap grew over %#x", step, a)
		}
		p.pages[a] = &modelPage{prot: rw, anon: true, run: -step}
	}
	for a := want; a < p.heapEnd; a += pageSize {
		delete(p.pages, a)
	}
	p.heapEnd = want
}
