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
}

type modelPage struct {
	prot   int
	shared *byte // of a shared page; else
	value  byte
	grows  bool
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
	for seed := range int64(40) {
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
		switch op := rnd.Intn(16); op {
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
				page := &modelPage{prot: prot}
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
				page := &modelPage{prot: prot, value: fileByte(int(off + i))}
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
				copied := *page
				c.pages[a] = &copied
			}
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
