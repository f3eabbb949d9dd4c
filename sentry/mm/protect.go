package mm

import (
	"casemate/platform"

	"golang.org/x/sys/unix"
)

// Protect is mprotect(2): EINVAL (alignment, flags, PROT_GROWSDOWN on another
// mapping), ENOMEM (holes, too many mappings, limits), EACCES (the file does not
// allow it).
func (m *MemoryManager) Protect(c platform.Context, addr, length uint64, prot int, l Limits) error {
	const growMask = unix.PROT_GROWSDOWN | unix.PROT_GROWSUP
	grows := prot & growMask
	prot &^= growMask
	if grows == growMask || addr%pageSize != 0 {
		return unix.EINVAL
	}
	if length == 0 {
		return nil
	}
	end := (addr + length + pageSize - 1) &^ (pageSize - 1)
	if end <= addr {
		return unix.ENOMEM
	}
	if prot&^(unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC) != 0 || grows == unix.PROT_GROWSUP {
		return unix.EINVAL
	}
	if err := m.begin(); err != nil {
		return err
	}
	if grows != 0 {
		e := m.vmas.Seek(addr).Entry()
		if e == nil || e.Start >= end {
			return m.end(c, unix.ENOMEM)
		}
		if !e.Value.has(vmaGrowsDown) {
			return m.end(c, unix.EINVAL)
		}
		addr = e.Start
	}
	err := m.protectLocked(addr, end, prot, l)
	return m.end(c, err)
}

// protectLocked changes the protection mapping by mapping, as Linux does: those
// before the one that fails stay changed.
func (m *MemoryManager) protectLocked(start, end uint64, prot int, l Limits) error {
	for at := start; at < end; {
		e := m.vmas.Find(at)
		if e == nil || e.Value.has(vmaHidden) {
			return unix.ENOMEM
		}
		to := min(e.End, end)
		v := &e.Value
		if prot&unix.PROT_WRITE != 0 && !v.has(vmaMayWrite) || prot&unix.PROT_EXEC != 0 && !v.has(vmaMayExec) {
			return unix.EACCES
		}
		if int(v.prot) == prot {
			at = to
			continue
		}
		if m.vmas.Len() >= maxMapCount && (at > e.Start || to < e.End) {
			return unix.ENOMEM
		}
		changed := *v
		changed.prot = uint8(prot)
		if changed.isData() && !v.isData() && m.usage.data+to-at > l.Data {
			return unix.ENOMEM
		}
		m.protectPiece(at, to, v, &changed)
		m.changeVMAs(at, to, func(v *vma) { v.prot = uint8(prot) })
		if prot != 0 {
			if e := m.vmas.Find(at); e.Value.anonymous() && to-at <= eagerLimit {
				if err := m.fillZero(at, to); err != nil {
					return err
				}
			}
			m.mapHost(at, to, false, false)
		}
		at = to
	}
	return nil
}

// protectPiece has the host change what it maps of [start, end), which is within
// one mapping that turns from old to changed.
func (m *MemoryManager) protectPiece(start, end uint64, old, changed *vma) {
	if changed.prot == 0 {
		m.unmapHost(start, end)
		return
	}
	for c := m.backings.Seek(start); c.Entry() != nil && c.Entry().Start < end; c = c.Next() {
		e := c.Entry()
		if !e.Value.has(backMapped) {
			continue
		}
		if p := effective(changed, &e.Value); p != effective(old, &e.Value) {
			m.opProtect(max(e.Start, start), min(e.End, end), p)
		}
	}
}
