package mm

import (
	"casemate/platform"
	"casemate/platform/memfile"
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

type backingFlags uint8

const (
	// backPrivate: a range of the memory file of which the MemoryManager has a
	// reference; else the file's own, valid until it is invalidated.
	backPrivate backingFlags = 1 << iota
	// backCOW, with backPrivate: another MemoryManager may have it too.
	backCOW
	// backWritable, without backPrivate: the file has been told of writes.
	backWritable
	// backMemory: fd is the memory file's.
	backMemory
	// backMapped: the host maps it, with the effective protection or less.
	backMapped
)

// A backing is where the bytes of a range of addresses are.
type backing struct {
	off   uint64
	fd    int32
	flags backingFlags
}

// Advance implements rangemap.Value.
func (b backing) Advance(delta uint64) backing {
	b.off += delta
	return b
}

// Continues implements rangemap.Value.
func (b backing) Continues(prev backing, prevLen uint64) bool {
	return b.off == prev.off+prevLen && b.fd == prev.fd && b.flags == prev.flags
}

func (b *backing) private() bool { return b.flags&backPrivate != 0 }

func (b *backing) has(f backingFlags) bool { return b.flags&f != 0 }

// writable says whether the backing may be written through v as it is.
func (b *backing) writable(v *vma) bool {
	if b.private() {
		return !b.has(backCOW)
	}
	return v.has(vmaShared) && b.has(backWritable)
}

// effective returns the protection with which the host may map b for v.
func effective(v *vma, b *backing) int {
	p := int(v.prot)
	if p&unix.PROT_WRITE != 0 && !b.writable(v) {
		p = p&^unix.PROT_WRITE | unix.PROT_READ
	}
	return p
}

// reserve is the offset in the memory file of a range of m.ahead.
type reserve uint64

// Advance implements rangemap.Value.
func (r reserve) Advance(delta uint64) reserve { return r + reserve(delta) }

// Continues implements rangemap.Value.
func (r reserve) Continues(prev reserve, prevLen uint64) bool { return r == prev+reserve(prevLen) }

// aheadWindow is the size and alignment of the windows of addresses for which
// ranges of the memory file are reserved at once.
const aheadWindow = 2 << 20

// addZero gives [start, end), which has no backings, zeroed private memory. The
// host does not map it yet.
func (m *MemoryManager) addZero(start, end uint64) error {
	for at := start; at < end; {
		to := end
		if e := m.ahead.Seek(at).Entry(); e != nil {
			if e.Start <= at {
				to = min(e.End, end)
				off := uint64(e.Value) + at - e.Start
				m.ahead.Remove(at, to)
				m.addPrivate(at, to, off)
				at = to
				continue
			}
			to = min(to, e.Start)
		}
		// What is unused around it is reserved too, if it is worth it.
		from, until := m.unused(at, at&^(aheadWindow-1), (to+aheadWindow-1)&^(aheadWindow-1))
		if to-at < aheadWindow && until-from >= 2*(to-at) {
			r, err := m.mf.Allocate(until - from)
			if err != nil {
				return err
			}
			m.ahead.Insert(from, until, reserve(r.Start))
			continue
		}
		r, err := m.mf.Allocate(to - at)
		if err != nil {
			return err
		}
		m.addPrivate(at, to, r.Start)
		at = to
	}
	return nil
}

// addPrivate makes a range of the memory file, whose reference it takes over, the
// backing of [start, end).
func (m *MemoryManager) addPrivate(start, end, off uint64) {
	m.backings.Insert(start, end, backing{off, int32(m.mf.FD()), backPrivate | backMemory})
	m.backings.Join(start, end)
}

// unused returns the bounds of what of [lo, hi) around addr, which is in it and
// has neither a backing nor a reserve, has neither.
func (m *MemoryManager) unused(addr, lo, hi uint64) (uint64, uint64) {
	lo, hi = m.around(addr, lo, hi)
	c := m.ahead.Seek(addr)
	if e := c.Entry(); e != nil {
		hi = min(hi, e.Start)
	}
	if e := c.Prev().Entry(); e != nil {
		lo = max(lo, e.End)
	}
	return lo, hi
}

// removeBackings forgets the backings of [start, end) and has the host unmap
// them.
func (m *MemoryManager) removeBackings(start, end uint64) {
	mapped, any := false, false
	for c := m.backings.Seek(start); c.Entry() != nil && c.Entry().Start < end; c = c.Next() {
		e := c.Entry()
		any = true
		mapped = mapped || e.Value.has(backMapped)
		if e.Value.private() {
			s, t := max(e.Start, start), min(e.End, end)
			m.release(e.Value.off+s-e.Start, t-s)
		}
	}
	if mapped {
		m.opUnmap(start, end)
	}
	if any {
		m.windows.drop(start, end)
		m.backings.Remove(start, end)
	}
}

// release queues a reference to the memory file to be dropped.
func (m *MemoryManager) release(off, length uint64) {
	if n := len(m.pending.dead); n > 0 && m.pending.dead[n-1].End == off {
		m.pending.dead[n-1].End += length
		return
	}
	m.pending.dead = append(m.pending.dead, memfile.Range{Start: off, End: off + length})
}

// mapHost has the host map what backs [start, end): all of it if again is set,
// else what it does not map yet. populate says that it will be touched at once.
func (m *MemoryManager) mapHost(start, end uint64, again, populate bool) {
	m.backings.Split(start)
	m.backings.Split(end)
	for vc := m.vmas.Seek(start); vc.Entry() != nil && vc.Entry().Start < end; vc = vc.Next() {
		ve := vc.Entry()
		v := &ve.Value
		if v.prot == 0 {
			continue
		}
		s, t := max(ve.Start, start), min(ve.End, end)
		m.backings.Split(s)
		m.backings.Split(t)
		for c := m.backings.Seek(s); c.Entry() != nil && c.Entry().Start < t; c = c.Next() {
			e := c.Entry()
			if e.Value.has(backMapped) && !again {
				continue
			}
			e.Value.flags |= backMapped
			m.opMap(platform.Op{
				Addr: e.Start, Length: e.Len(), Prot: effective(v, &e.Value),
				FD: int(e.Value.fd), Offset: e.Value.off, Populate: populate,
				Private: !v.has(vmaShared) && !e.Value.has(backMemory),
			})
		}
	}
	m.backings.Join(start, end)
}

// unmapHost has the host unmap [start, end), whose backings stay.
func (m *MemoryManager) unmapHost(start, end uint64) {
	m.backings.Split(start)
	m.backings.Split(end)
	mapped := false
	for c := m.backings.Seek(start); c.Entry() != nil && c.Entry().Start < end; c = c.Next() {
		b := &c.Entry().Value
		mapped = mapped || b.has(backMapped)
		b.flags &^= backMapped
	}
	m.backings.Join(start, end)
	if mapped {
		m.opUnmap(start, end)
	}
}

// translate asks the file of v, a mapping that begins at vstart, where the part
// from start on is, to end at most, and makes that the backing, in place of
// another of the file. It returns the end of what it got.
func (m *MemoryManager) translate(v *vma, vstart, start, end uint64, write bool) (uint64, error) {
	b, err := ask(v, vstart, start, end, write)
	if err != nil {
		return start, err
	}
	m.removeBackings(start, start+b.Length)
	var flags backingFlags
	if b.Memory {
		flags |= backMemory
	}
	if write {
		flags |= backWritable
	}
	m.backings.Insert(start, start+b.Length, backing{b.Offset, int32(b.FD), flags})
	m.backings.Join(start, start+b.Length)
	return start + b.Length, nil
}

// ask is Mappable.Translate for addresses of a mapping.
func ask(v *vma, vstart, start, end uint64, write bool) (vfs.Backing, error) {
	b, err := v.src.mappable.Translate(v.off+start-vstart, end-start, write)
	if err != nil {
		return b, err
	}
	b.Length = min(b.Length, end-start) &^ (pageSize - 1)
	if b.Length == 0 || b.Offset%pageSize != 0 {
		return b, unix.EIO
	}
	return b, nil
}

// hole returns the end of the piece of [start, end) without backings that begins
// at start, or start itself.
func (m *MemoryManager) hole(start, end uint64) uint64 {
	e := m.backings.Seek(start).Entry()
	if e == nil {
		return end
	}
	return max(start, min(e.Start, end))
}
