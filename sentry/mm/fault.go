package mm

import (
	"fmt"

	"casemate/platform"
	"casemate/platform/memfile"
	"casemate/platform/rangemap"
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// A SignalError is a fault that becomes a signal: Signo SIGSEGV with Code
// SEGV_MAPERR or SEGV_ACCERR, or SIGBUS with Code BUS_ADRERR (sigaction(2)).
type SignalError struct{ Signo, Code int }

func (e *SignalError) Error() string {
	return fmt.Sprintf("access to memory: signal %d, code %d", e.Signo, e.Code)
}

const (
	segvMaperr = 1
	segvAccerr = 2
	busAdrerr  = 2
)

var (
	errMaperr = &SignalError{int(unix.SIGSEGV), segvMaperr}
	errAccerr = &SignalError{int(unix.SIGSEGV), segvAccerr}
	errBus    = &SignalError{int(unix.SIGBUS), busAdrerr}
)

const (
	// faultAround is the size and alignment of the piece of a file that is
	// looked up around a fault, and of sequential copies.
	faultAround = 64 << 10
	// firstCopy is how much of shared memory is copied around a write that does
	// not follow on another.
	firstCopy = 16 << 10
	// crowdedCopy is the same when there are so many backings that the host's
	// limit of mappings comes near.
	crowdedCopy    = 2 << 20
	crowdedBacking = 40000
)

// HandleFault resolves a page fault (f.Access) of an application: nil means that
// the instruction can be tried again. A *SignalError says which signal the
// application gets; ENOMEM, that the memory file or the host is out of room, for
// which Linux kills the process.
func (m *MemoryManager) HandleFault(c platform.Context, f platform.Fault) error {
	a := accessRead
	switch {
	case f.Write:
		a = accessWrite
	case f.Exec:
		a = accessExec
	}
	if m.begin() != nil {
		return errMaperr
	}
	var err error
	if f.Signal == int(unix.SIGBUS) && !m.busResolvable(f.Addr) {
		err = errBus
	} else {
		err = m.fault(f.Addr, a, true)
	}
	return m.end(c, err)
}

// busResolvable says whether a SIGBUS of the host at addr may be due to a
// translation that is out of date, and not the end of a file.
func (m *MemoryManager) busResolvable(addr uint64) bool {
	page := addr &^ (pageSize - 1)
	e := m.findVMA(page)
	if e == nil || e.Value.anonymous() {
		return false
	}
	b := m.backings.Find(page)
	if b == nil || b.Value.private() {
		return b == nil
	}
	now, err := ask(&e.Value, e.Start, page, page+pageSize, b.Value.has(backWritable))
	if err != nil {
		return false
	}
	if now.FD == int(b.Value.fd) && now.Offset == b.Value.off+page-b.Start {
		return false
	}
	m.removeBackings(b.Start, b.End)
	return true
}

// fault makes an access to addr possible, for the sentry and, on commit, for the
// application. hidden allows the access to hidden mappings.
func (m *MemoryManager) fault(addr uint64, a access, hidden bool) error {
	page := addr &^ (pageSize - 1)
	e := m.vmas.Find(page)
	if e != nil && e.Value.has(vmaHidden) && !hidden {
		return errMaperr
	}
	if e == nil {
		if e = m.growStack(page); e == nil {
			return errMaperr
		}
	}
	if !e.Value.allows(a) {
		return errAccerr
	}
	return m.provide(*e, page, a == accessWrite)
}

// provide makes sure that page, which is in e, has a backing that is writable if
// write is set, and that the host maps it.
func (m *MemoryManager) provide(e rangemap.Entry[vma], page uint64, write bool) error {
	v := &e.Value
	b := m.backings.Find(page)
	switch {
	case b == nil && v.anonymous():
		return m.faultZero(&e, page)
	case b == nil || !b.Value.private():
		if write && !v.has(vmaShared) {
			return m.faultCopyFile(&e, page)
		}
		if b == nil || write && !b.Value.has(backWritable) {
			return m.faultFile(&e, page, write)
		}
	case write && b.Value.has(backCOW):
		return m.breakCOW(&e, *b, page)
	}
	m.mapHost(max(b.Start, e.Start), min(b.End, e.End), true, false)
	return nil
}

// around returns the bounds of the hole in [lo, hi) around page.
func (m *MemoryManager) around(page, lo, hi uint64) (uint64, uint64) {
	c := m.backings.Seek(page)
	if e := c.Entry(); e != nil {
		hi = min(hi, e.Start)
	}
	if e := c.Prev().Entry(); e != nil {
		lo = max(lo, e.End)
	}
	return lo, hi
}

// faultZero gives zeroed memory to the hole around page.
func (m *MemoryManager) faultZero(e *rangemap.Entry[vma], page uint64) error {
	lo, hi := e.Start, e.End
	if hi-lo > eagerLimit {
		chunk := page &^ (lazyChunk - 1)
		lo, hi = max(lo, chunk), min(hi, chunk+lazyChunk)
	}
	lo, hi = m.around(page, lo, hi)
	if err := m.addZero(lo, hi); err != nil {
		return err
	}
	m.mapHost(lo, hi, false, false)
	return nil
}

// signalOf turns a file's error into what the toucher gets.
func signalOf(err error) error {
	if err == unix.ENOMEM {
		return err
	}
	return errBus
}

// faultFile maps page and what the file offers around it.
func (m *MemoryManager) faultFile(e *rangemap.Entry[vma], page uint64, write bool) error {
	hi := e.End
	lo := page
	if !write {
		lo, hi = m.around(page, max(e.Start, page&^(faultAround-1)), e.End)
	}
	for at := lo; at <= page; {
		to, err := m.translate(&e.Value, e.Start, at, hi, write)
		switch {
		case err == nil:
			at = to
		case at < page:
			lo, at = page, page
		default:
			return signalOf(err)
		}
		if at > page {
			m.mapHost(lo, at, false, false)
		}
	}
	return nil
}

// faultCopyFile copies the page, and what lies around it if the file does not
// change, of a private mapping of a file.
func (m *MemoryManager) faultCopyFile(e *rangemap.Entry[vma], page uint64) error {
	size := uint64(faultAround)
	if e.Value.src.file.BeingWritten() {
		size = pageSize
	}
	lo := max(e.Start, page&^(size-1))
	hi := min(e.End, page&^(size-1)+size)
	// Stay clear of private pages.
	for c := m.backings.Seek(page).Prev(); c.Entry() != nil && c.Entry().End > lo; c = c.Prev() {
		if c.Entry().Value.private() {
			lo = c.Entry().End
		}
	}
	for c := m.backings.Seek(page); c.Entry() != nil && c.Entry().Start < hi; c = c.Next() {
		if c.Entry().Value.private() {
			hi = c.Entry().Start
		}
	}
	if err := m.copyFile(e.Value, e.Start, page, lo, hi); err != nil {
		return err
	}
	m.mapHost(lo, hi, false, true)
	return nil
}

// copyFile gives [start, end) of the private mapping v, which begins at vstart,
// private copies of the file's pages. They may be fewer where the file ends, but
// page is among them, or there is an error.
func (m *MemoryManager) copyFile(v vma, vstart, page, start, end uint64) error {
	type piece struct {
		start uint64
		b     vfs.Backing
	}
	var array [4]piece
	pieces := array[:0]
	for at := start; at < end; {
		var b vfs.Backing
		var err error
		if e := m.backings.Find(at); e != nil {
			b = vfs.Backing{FD: int(e.Value.fd), Offset: e.Value.off + at - e.Start, Length: min(e.End, end) - at, Memory: e.Value.has(backMemory)}
		} else {
			b, err = ask(&v, vstart, at, m.hole(at, end), false)
		}
		switch {
		case err == nil:
			pieces = append(pieces, piece{at, b})
			at += b.Length
		case at < page:
			pieces = pieces[:0]
			at += pageSize
			start = at
		case at == page:
			return signalOf(err)
		default:
			end = at
		}
	}
	r, err := m.mf.AllocateDirty(end - start)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		dst := m.mf.Bytes(r.Start+p.start-start, p.b.Length)
		if p.b.Memory {
			copy(dst, m.mf.Bytes(p.b.Offset, p.b.Length))
		} else if err := readFile(p.b.FD, dst, p.b.Offset); err != nil {
			m.mf.DecRef(r)
			return errBus
		}
	}
	m.removeBackings(start, end)
	m.addPrivate(start, end, r.Start)
	return nil
}

// readFile fills dst from a host file, with zeros after its end.
func readFile(fd int, dst []byte, off uint64) error {
	for len(dst) > 0 {
		n, err := unix.Pread(fd, dst, int64(off))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			clear(dst)
			return nil
		}
		dst = dst[n:]
		off += uint64(n)
	}
	return nil
}

// breakCOW makes page, backed by b copy-on-write, writable: as it is if nobody
// else has it any more, else by a copy.
func (m *MemoryManager) breakCOW(e *rangemap.Entry[vma], b rangemap.Entry[backing], page uint64) error {
	lo, hi := max(e.Start, b.Start), min(e.End, b.End)
	off := func(addr uint64) uint64 { return b.Value.off + addr - b.Start }
	// Find the run of pages around page that are as often referred to.
	if page-lo > crowdedCopy {
		lo = page - crowdedCopy
	}
	var count uint32
	for {
		n, length := m.mf.Refs(memfile.Range{Start: off(lo), End: off(hi)})
		if lo+length > page {
			count, hi = n, lo+length
			break
		}
		lo += length
	}
	if count == 1 {
		m.backings.Split(lo)
		m.backings.Split(hi)
		for c := m.backings.Seek(lo); c.Entry() != nil && c.Entry().Start < hi; c = c.Next() {
			c.Entry().Value.flags &^= backCOW
		}
		m.backings.Join(lo, hi)
		if b.Value.has(backMapped) {
			m.opProtect(lo, hi, int(e.Value.prot))
		} else {
			m.mapHost(lo, hi, false, false)
		}
		m.hot.note(page, page+pageSize)
		return nil
	}
	size := uint64(firstCopy)
	switch {
	case m.backings.Len() > crowdedBacking:
		size = crowdedCopy
	case page == m.hot.next:
		size = faultAround
	}
	lo = max(lo, page&^(size-1))
	hi = min(hi, page&^(size-1)+size)
	m.hot.next = hi
	m.hot.note(lo, hi)
	return m.copyPrivate(lo, hi, off(lo))
}

// copyPrivate replaces the private memory [start, end), one range of the memory
// file that begins at off, by a copy, and has the host map it.
func (m *MemoryManager) copyPrivate(start, end, off uint64) error {
	r, err := m.mf.AllocateDirty(end - start)
	if err != nil {
		return err
	}
	m.replacePrivate(start, end, off, r)
	return nil
}

// replacePrivate is copyPrivate to the new range r.
func (m *MemoryManager) replacePrivate(start, end, off uint64, r memfile.Range) {
	copy(m.mf.Bytes(r.Start, r.Len()), m.mf.Bytes(off, end-start))
	m.backings.Remove(start, end)
	m.release(off, end-start)
	m.addPrivate(start, end, r.Start)
	m.mapHost(start, end, false, true)
}

// SetGrowthLimits sets the resource limits RLIMIT_STACK and RLIMIT_AS in bytes,
// for mappings that grow down by a fault. New sets none.
func (m *MemoryManager) SetGrowthLimits(stack, as uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.growth.stack, m.growth.as = stack, as
}

// stackStep is the alignment to which a mapping that grows down grows.
const stackStep = 64 << 10

// growStack extends the mapping above page, if it grows down, to contain page. It
// returns the mapping, or nil.
func (m *MemoryManager) growStack(page uint64) *rangemap.Entry[vma] {
	c := m.vmas.Seek(page)
	e := c.Entry()
	if e == nil || !e.Value.has(vmaGrowsDown) || e.Value.has(vmaHidden) {
		return nil
	}
	floor := m.layout.Min
	if p := c.Prev().Entry(); p != nil {
		floor = max(floor, p.End)
		if p.Value.prot != 0 && !p.Value.has(vmaGrowsDown) {
			floor += stackGuardGap
		}
	}
	if e.End > m.growth.stack {
		floor = max(floor, (e.End-m.growth.stack+pageSize-1)&^(pageSize-1))
	}
	room := uint64(0)
	if m.growth.as > m.usage.total {
		room = m.growth.as - m.usage.total
	}
	if page < floor || e.Start-page > room {
		return nil
	}
	start := max(floor, page&^(stackStep-1))
	if e.Start-start > room {
		start = page
	}
	v := e.Value
	end := e.Start
	m.vmas.Insert(start, end, v)
	m.account(&v, end-start, 1)
	m.vmas.Join(end, end)
	return m.vmas.Find(page)
}
