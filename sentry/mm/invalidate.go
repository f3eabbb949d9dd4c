package mm

import "casemate/vfs"

// InvalidateMapping implements vfs.MappingSpace.
func (m *MemoryManager) InvalidateMapping(f vfs.Mappable, addr, length, off uint64, dropPrivate bool) {
	if m.begin() != nil {
		return // nothing is mapped any more
	}
	end := addr + length
	for at := addr; at < end; {
		e := m.vmas.Seek(at).Entry()
		if e == nil || e.Start >= end {
			break
		}
		s, t := max(e.Start, at), min(e.End, end)
		at = t
		if e.Value.src == nil || e.Value.src.mappable != f || e.Value.off+s-e.Start != off+s-addr {
			continue
		}
		m.invalidate(s, t, dropPrivate)
	}
	// The address space is dead if the host refused: nothing else to do.
	_ = m.end(nil, nil)
}

// invalidate drops the backings of [start, end) that are the file's, or all.
func (m *MemoryManager) invalidate(start, end uint64, private bool) {
	if private {
		m.removeBackings(start, end)
		return
	}
	for at := start; at < end; {
		e := m.backings.Seek(at).Entry()
		if e == nil || e.Start >= end {
			return
		}
		s, t := max(e.Start, at), min(e.End, end)
		at = t
		if !e.Value.private() {
			m.removeBackings(s, t)
		}
	}
}
