package mm

import (
	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// Unmap is munmap(2): EINVAL; ENOMEM if it would leave too many mappings.
func (m *MemoryManager) Unmap(c platform.Context, addr, length uint64) error {
	end, err := m.userRange(addr, length)
	if err != nil {
		return err
	}
	if addr == end {
		return unix.EINVAL
	}
	if err := m.begin(); err != nil {
		return err
	}
	if e := m.vmas.Find(addr); e != nil && e.Start < addr && e.End > end && m.vmas.Len() >= maxMapCount {
		return m.end(c, unix.ENOMEM)
	}
	m.unmapLocked(addr, end)
	return m.end(c, nil)
}

// userRange checks that addr is page aligned and [addr, addr+length), with length
// rounded up, lies in the user range; it returns the end. EINVAL.
func (m *MemoryManager) userRange(addr, length uint64) (uint64, error) {
	length, ok := arch.PageRoundUp(length)
	if !ok || addr%pageSize != 0 || addr > m.layout.Max || length > m.layout.Max-addr {
		return 0, unix.EINVAL
	}
	return addr + length, nil
}

// unmapLocked removes the application's mappings in [start, end).
func (m *MemoryManager) unmapLocked(start, end uint64) {
	for at := start; at < end; {
		e := m.vmas.Seek(at).Entry()
		if e == nil || e.Start >= end {
			return
		}
		s, t := max(e.Start, at), min(e.End, end)
		at = t
		if e.Value.has(vmaHidden) {
			continue
		}
		v := e.Value.Advance(s - e.Start)
		m.removeBackings(s, t)
		m.vmas.Remove(s, t)
		m.account(&v, t-s, -1)
		if v.src != nil {
			m.pending.removed = append(m.pending.removed, removedMapping{v.src.mappable, s, t - s, v.off, v.sharedWritable()})
			v.src.bytes -= t - s
			m.dropSource(v.src)
		}
	}
}
