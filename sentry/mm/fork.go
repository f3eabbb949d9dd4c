package mm

import (
	"casemate/platform"
	"casemate/platform/memfile"
	"casemate/platform/rangemap"

	"golang.org/x/sys/unix"
)

// A hotSet remembers where copy-on-write was broken after forks. A process that
// forks often writes to the same few pages every time, its child too: Fork copies
// them beforehand, which costs a tenth of a fault or less.
type hotSet struct {
	list [hotMax]struct{ start, end uint64 }
	n    int
	// next is where the last copy ended.
	next uint64
	// forks counts forks since the list was begun.
	forks int
}

const (
	hotMax = 16
	// hotRenew is the number of forks after which the list is begun anew, so
	// that places which are not written to any more drop out.
	hotRenew = 64
)

// note adds a place.
func (h *hotSet) note(start, end uint64) {
	for i := range h.list[:h.n] {
		e := &h.list[i]
		if start <= e.end && end >= e.start {
			if end-start+e.end-e.start <= 2*faultAround {
				e.start, e.end = min(start, e.start), max(end, e.end)
			}
			return
		}
	}
	if h.n < hotMax && end-start <= faultAround {
		h.list[h.n] = struct{ start, end uint64 }{start, end}
		h.n++
	}
}

// Fork returns a copy of the address space with one user, for a child process:
// private memory is shared copy-on-write. It relies on the users being the tasks
// of the address space: if there is one, nothing else runs in it. The error is ENOMEM, or a file's or the
// platform's. c as in Map; it is the Context that forks.
func (m *MemoryManager) Fork(c platform.Context) (*MemoryManager, error) {
	child := &MemoryManager{p: m.p, mf: m.mf, layout: m.layout, sources: map[sourceKey]*source{}, gen: 1}
	child.users.Store(1)
	if err := m.begin(); err != nil {
		return nil, err
	}
	// The host's copy of the address space is to have all that was collected, and
	// nothing that the child must not have.
	m.started = true
	for vc := m.vmas.First(); vc.Entry() != nil; vc = vc.Next() {
		if e := vc.Entry(); e.Value.has(vmaDontFork | vmaWipeOnFork) {
			m.unmapHost(e.Start, e.End)
		}
	}
	hot := m.setHotAside()
	m.shareCOW(hot)
	if err := m.commit(c); err != nil {
		m.dropHot(hot)
		return nil, m.end(c, unix.ENOMEM)
	}
	as, err := m.as.Fork(c, child)
	if err != nil {
		m.dropHot(hot)
		return nil, m.end(c, err)
	}
	child.as = as
	child.mu.Lock()
	err = child.inherit(m)
	child.mu.Unlock()
	if err != nil {
		m.dropHot(hot)
		err = m.end(c, err)
		child.DecUsers()
		return nil, err
	}
	m.copyHot(hot)
	if err := m.end(c, nil); err != nil {
		child.DecUsers()
		return nil, err
	}
	return child, nil
}

// A hotPiece is a range of addresses with a private backing of its own, and
// memory for a copy.
type hotPiece struct {
	start, end uint64
	dst        memfile.Range
}

// setHotAside returns the hot pieces of memory that are the parent's alone, if no
// thread of it can write to them until Fork is done.
func (m *MemoryManager) setHotAside() []hotPiece {
	h := &m.hot
	if h.forks++; h.forks > hotRenew {
		*h = hotSet{next: h.next}
	}
	if m.users.Load() != 1 {
		return nil
	}
	var hot []hotPiece
	for _, p := range h.list[:h.n] {
		for c := m.vmas.Seek(p.start); c.Entry() != nil && c.Entry().Start < p.end; c = c.Next() {
			e := c.Entry()
			if e.Value.prot&unix.PROT_WRITE == 0 || e.Value.has(vmaShared|vmaDontFork|vmaWipeOnFork|vmaHidden) {
				continue
			}
			s, t := max(e.Start, p.start), min(e.End, p.end)
			m.backings.Split(s)
			m.backings.Split(t)
			for b := m.backings.Seek(s); b.Entry() != nil && b.Entry().Start < t; b = b.Next() {
				be := b.Entry()
				if be.Value.flags&(backPrivate|backCOW) != backPrivate {
					continue
				}
				dst, err := m.mf.AllocateDirty(be.Len())
				if err != nil {
					return hot // it can do without
				}
				hot = append(hot, hotPiece{be.Start, be.End, dst})
			}
		}
	}
	return hot
}

// dropHot gives back the memory for copies that are not made.
func (m *MemoryManager) dropHot(hot []hotPiece) {
	for _, h := range hot {
		m.mf.DecRef(h.dst)
	}
}

// shareCOW marks all private memory but the hot pieces copy-on-write.
func (m *MemoryManager) shareCOW(hot []hotPiece) {
	isHot := func(addr uint64) bool {
		for _, h := range hot {
			if addr >= h.start && addr < h.end {
				return true
			}
		}
		return false
	}
	// Where a backing reaches over several mappings each has its protection.
	for vc := m.vmas.First(); vc.Entry() != nil; vc = vc.Next() {
		ve := vc.Entry()
		v := &ve.Value
		if v.has(vmaShared | vmaDontFork | vmaWipeOnFork) {
			continue
		}
		if v.prot&unix.PROT_WRITE == 0 {
			continue
		}
		for c := m.backings.Seek(ve.Start); c.Entry() != nil && c.Entry().Start < ve.End; c = c.Next() {
			e := c.Entry()
			if e.Value.flags&(backPrivate|backCOW|backMapped) == backPrivate|backMapped && !isHot(e.Start) {
				m.opProtect(max(e.Start, ve.Start), min(e.End, ve.End), int(v.prot)&^unix.PROT_WRITE|unix.PROT_READ)
			}
		}
	}
	for vc := m.vmas.First(); vc.Entry() != nil; vc = vc.Next() {
		ve := vc.Entry()
		if ve.Value.has(vmaShared | vmaDontFork | vmaWipeOnFork) {
			continue
		}
		m.backings.Split(ve.Start)
		m.backings.Split(ve.End)
		for c := m.backings.Seek(ve.Start); c.Entry() != nil && c.Entry().Start < ve.End; c = c.Next() {
			if e := c.Entry(); e.Value.private() && !isHot(e.Start) {
				e.Value.flags |= backCOW
			}
		}
	}
	m.backings.Join(0, ^uint64(0))
}

// inherit fills the child with what it has from its parent, which is locked.
func (m *MemoryManager) inherit(parent *MemoryManager) error {
	m.brkStart, m.brk, m.stackStart, m.growth = parent.brkStart, parent.brk, parent.stackStart, parent.growth
	m.vmas = parent.vmas.Clone()
	var not []rangemap.Entry[vma]
	for c := m.vmas.First(); c.Entry() != nil; c = c.Next() {
		e := c.Entry()
		v := &e.Value
		if v.has(vmaDontFork | vmaWipeOnFork) {
			not = append(not, *e)
			if v.has(vmaDontFork) {
				v.src = nil // it is about to go
				continue
			}
		}
		v.flags &^= vmaLocked | vmaLockOnFault
		m.account(v, e.Len(), 1)
		if s := v.src; s != nil {
			v.src = m.addSource(s.file, s.mappable)
			if err := s.mappable.AddMapping(m, e.Start, e.Len(), v.off, v.sharedWritable()); err != nil {
				m.dropSource(v.src)
				m.vmas.Remove(e.Start, ^uint64(0))
				return err
			}
			v.src.bytes += e.Len()
		}
	}
	m.backings = parent.backings.Clone()
	for _, e := range not {
		if e.Value.has(vmaDontFork) {
			m.vmas.Remove(e.Start, e.End)
		}
		m.backings.Remove(e.Start, e.End)
	}
	for c := m.backings.First(); c.Entry() != nil; c = c.Next() {
		if e := c.Entry(); e.Value.private() {
			m.mf.IncRef(memfile.Range{Start: e.Value.off, End: e.Value.off + e.Len()})
		}
	}
	return nil
}

// copyHot leaves the hot pieces to the child, whose address space has them mapped
// for writing, and gives the parent copies.
func (m *MemoryManager) copyHot(hot []hotPiece) {
	for _, h := range hot {
		b := m.backings.Find(h.start)
		m.replacePrivate(h.start, h.end, b.Value.off+h.start-b.Start, h.dst)
	}
}
