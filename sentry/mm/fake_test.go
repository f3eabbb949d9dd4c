package mm

import (
	"testing"

	"casemate/platform"
	"casemate/platform/memfile"
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// fakePlatform has address spaces that only note what is mapped.
type fakePlatform struct {
	lo, hi uint64
	mf     *memfile.File
}

func (p *fakePlatform) Name() string                                 { return "fake" }
func (p *fakePlatform) UserRange() (lo, hi uint64)                   { return p.lo, p.hi }
func (p *fakePlatform) NewContext(platform.Handler) platform.Context { return nil }
func (p *fakePlatform) HostSyscalls() []platform.HostSyscall         { return nil }
func (p *fakePlatform) Close() error                                 { return nil }
func (p *fakePlatform) NewAddressSpace(platform.Text) (platform.AddressSpace, error) {
	return &fakeAS{pages: map[uint64]hostPage{}, mf: p.mf}, nil
}

// A hostPage is what the host maps at a page.
type hostPage struct {
	fd      int
	off     uint64
	prot    int
	private bool
}

type fakeAS struct {
	pages    map[uint64]hostPage
	mf       *memfile.File
	ops      int
	released bool
	err      error
	bad      string
}

func (s *fakeAS) Apply(_ platform.Context, ops []platform.Op) error {
	if s.err != nil {
		return s.err
	}
	for _, o := range ops {
		s.ops++
		if o.Length == 0 || (o.Addr|o.Length|o.Offset)%pageSize != 0 {
			s.bad = "unaligned or empty op"
		}
		for a := o.Addr; a < o.Addr+o.Length; a += pageSize {
			// What goes away is not anybody else's yet: this panics if it is
			// free already.
			if p, ok := s.pages[a]; ok && o.Kind != platform.Protect && p.fd == s.mf.FD() {
				s.mf.Refs(memfile.Range{Start: p.off, End: p.off + pageSize})
			}
			switch o.Kind {
			case platform.Map:
				if o.Private && o.Prot&unix.PROT_WRITE != 0 {
					s.bad = "private writable host mapping"
				}
				s.pages[a] = hostPage{o.FD, o.Offset + a - o.Addr, o.Prot, o.Private}
			case platform.Unmap:
				delete(s.pages, a)
			case platform.Protect:
				p, ok := s.pages[a]
				if !ok {
					s.bad = "protection of unmapped page"
				}
				p.prot = o.Prot
				s.pages[a] = p
			}
		}
	}
	return nil
}

func (s *fakeAS) Fork(platform.Context, platform.Text) (platform.AddressSpace, error) {
	if s.err != nil {
		return nil, s.err
	}
	child := &fakeAS{pages: map[uint64]hostPage{}, mf: s.mf}
	for a, p := range s.pages {
		child.pages[a] = p
	}
	return child, nil
}

func (s *fakeAS) Release() { s.released = true; s.pages = nil }

// testLayout is small, so that random addresses hit.
var testLayout = Layout{Min: 0x10000, Max: 0x10000 + 1024*pageSize, MmapBase: 0x10000 + 900*pageSize}

func newMemfile(t testing.TB) *memfile.File {
	mf, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mf.Close() })
	return mf
}

func newMM(t testing.TB, mf *memfile.File, l Layout) *MemoryManager {
	m, err := New(&fakePlatform{l.Min, l.Max, mf}, mf, l)
	if err != nil {
		t.Fatal(err)
	}
	m.AddressSpace()
	return m
}

// fork forks and makes the child ready to run.
func fork(t testing.TB, m *MemoryManager) *MemoryManager {
	t.Helper()
	child, err := m.Fork(nil)
	if err != nil {
		t.Fatal(err)
	}
	child.AddressSpace()
	return child
}

// mapAnon maps private anonymous memory.
func mapAnon(t testing.TB, m *MemoryManager, addr, length uint64, prot, flags int) uint64 {
	t.Helper()
	a, err := m.Map(nil, MapOptions{Addr: addr, Length: length, Prot: prot, Flags: flags | unix.MAP_PRIVATE | unix.MAP_ANONYMOUS, Limits: NoLimits})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const (
	rw  = unix.PROT_READ | unix.PROT_WRITE
	rwx = rw | unix.PROT_EXEC
)

// hostFile is a mappable file of the host.
type hostFile struct {
	t        testing.TB
	fd       int
	size     uint64
	refs     int
	mappings map[mappingKey]int // pages, by what AddMapping said
	asked    int
	wrote    int
	written  bool // what BeingWritten answers
}

type mappingKey struct {
	m        vfs.MappingSpace
	base     uint64 // address of offset 0
	off      uint64
	writable bool
}

func newHostFile(t testing.TB, pages int) *hostFile {
	fd, err := unix.MemfdCreate("host", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	f := &hostFile{t: t, fd: fd, size: uint64(pages) * pageSize, mappings: map[mappingKey]int{}}
	for i := range pages {
		if _, err := unix.Pwrite(fd, []byte{fileByte(i)}, int64(i)*pageSize); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Ftruncate(fd, int64(f.size)); err != nil {
		t.Fatal(err)
	}
	return f
}

// fileByte is the first byte of page i of a new host file.
func fileByte(i int) byte { return byte(i%100 + 100) }

func (f *hostFile) IncRef() { f.refs++ }
func (f *hostFile) DecRef() { f.refs-- }

func (f *hostFile) BeingWritten() bool { return f.written }

func (f *hostFile) Translate(off, length uint64, write bool) (vfs.Backing, error) {
	f.asked++
	if write {
		f.wrote++
	}
	size := (f.size + pageSize - 1) &^ (pageSize - 1)
	if off >= size {
		return vfs.Backing{}, unix.EIO
	}
	return vfs.Backing{FD: f.fd, Offset: off, Length: min(length, size-off)}, nil
}

func (f *hostFile) AddMapping(m vfs.MappingSpace, addr, length, off uint64, writable bool) error {
	for i := uint64(0); i < length; i += pageSize {
		f.mappings[mappingKey{m, addr + i, off + i, writable}]++
	}
	return nil
}

func (f *hostFile) RemoveMapping(m vfs.MappingSpace, addr, length, off uint64, writable bool) {
	for i := uint64(0); i < length; i += pageSize {
		k := mappingKey{m, addr + i, off + i, writable}
		if f.mappings[k] == 0 {
			f.t.Errorf("removal of a mapping that was not added: %#x", addr+i)
		}
		if f.mappings[k]--; f.mappings[k] == 0 {
			delete(f.mappings, k)
		}
	}
}

// truncate does what a file system does.
func (f *hostFile) truncate(pages int) {
	f.size = uint64(pages) * pageSize
	if err := unix.Ftruncate(f.fd, int64(f.size)); err != nil {
		f.t.Fatal(err)
	}
	var all []mappingKey
	for k := range f.mappings {
		if k.off >= f.size {
			all = append(all, k)
		}
	}
	for _, k := range all {
		k.m.InvalidateMapping(f, k.base, pageSize, k.off, true)
	}
}

// checkHost checks the invariants of the package comment over all address spaces
// of a memory file.
func checkHost(t testing.TB, mf *memfile.File, all ...*MemoryManager) {
	t.Helper()
	type user struct {
		m        *MemoryManager
		addr     uint64
		writable bool
	}
	users := map[uint64][]user{} // private pages, by offset
	for _, m := range all {
		as := m.as.(*fakeAS)
		if as.bad != "" {
			t.Fatal(as.bad)
		}
		var total, locked uint64
		for c := m.vmas.First(); c.Entry() != nil; c = c.Next() {
			if e := c.Entry(); !e.Value.has(vmaHidden) {
				total += e.Len()
				if e.Value.has(vmaLocked) {
					locked += e.Len()
				}
			}
		}
		if total != m.usage.total || locked != m.usage.locked {
			t.Fatalf("usage %+v, mapped %d, locked %d", m.usage, total, locked)
		}
		for c := m.backings.First(); c.Entry() != nil; c = c.Next() {
			e := c.Entry()
			for a := e.Start; a < e.End; a += pageSize {
				b := e.Value.Advance(a - e.Start)
				ve := m.vmas.Find(a)
				if ve == nil {
					t.Fatalf("%#x is backed and not mapped", a)
				}
				if b.private() && ve.Value.has(vmaShared) {
					t.Fatalf("%#x is shared and has private memory", a)
				}
				h, mapped := as.pages[a]
				if !m.started {
					mapped = false // it has yet to get its mappings
				} else if b.has(backMapped) != mapped {
					t.Fatalf("%#x: the host maps it: %v, marked: %v", a, mapped, b.has(backMapped))
				}
				if b.private() {
					users[b.off] = append(users[b.off], user{m, a, mapped && h.prot&unix.PROT_WRITE != 0})
				}
			}
		}
		for a, h := range as.pages {
			if !m.started {
				break
			}
			e := m.backings.Find(a)
			if e == nil {
				t.Fatalf("the host maps %#x, which has no backing", a)
			}
			b := e.Value.Advance(a - e.Start)
			v := m.vmas.Find(a).Value
			if h.fd != int(b.fd) || h.off != b.off {
				t.Fatalf("the host maps %d:%#x at %#x, want %d:%#x", h.fd, h.off, a, b.fd, b.off)
			}
			if extra := h.prot &^ effective(&v, &b); extra != 0 {
				t.Fatalf("%#x is mapped with %#x more than allowed", a, extra)
			}
		}
		for _, r := range m.pending.dead { // what waits for the start
			for off := r.Start; off < r.End; off += pageSize {
				users[off] = append(users[off], user{m, 0, false})
			}
		}
		for c := m.ahead.First(); c.Entry() != nil; c = c.Next() {
			e := c.Entry()
			for a := e.Start; a < e.End; a += pageSize {
				users[uint64(e.Value)+a-e.Start] = append(users[uint64(e.Value)+a-e.Start], user{m, 0, false})
			}
		}
	}
	for off, list := range users {
		refs, _ := mf.Refs(memfile.Range{Start: off, End: off + pageSize})
		if int(refs) != len(list) {
			t.Fatalf("page %#x has %d references and %d users", off, refs, len(list))
		}
		for _, u := range list {
			if u.writable && len(list) > 1 {
				t.Fatalf("page %#x is shared and writable at %#x", off, u.addr)
			}
		}
	}
}
