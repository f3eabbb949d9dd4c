package mm

import (
	"casemate/platform"
	"casemate/platform/arch"
	"casemate/platform/memfile"

	"golang.org/x/sys/unix"
)

// A HolePuncher is a Mappable from which MADV_REMOVE can take pages.
type HolePuncher interface {
	// PunchHole makes length bytes from off on read as zeros, as fallocate(2)
	// does with FALLOC_FL_PUNCH_HOLE. It may invalidate mappings.
	PunchHole(off, length uint64) error
}

// madvSoftOffline is MADV_SOFT_OFFLINE, which golang.org/x/sys lacks.
const madvSoftOffline = 101

// Advise is madvise(2). Advice about what is going to be used is accepted and of
// no effect, since the host has its own idea of that. Errors: EINVAL, ENOMEM
// (holes in the range; the rest is advised), EACCES, EPERM, EOPNOTSUPP
// (MADV_REMOVE of a file without holes), EFAULT (MADV_POPULATE_READ and _WRITE).
func (m *MemoryManager) Advise(c platform.Context, addr, length uint64, advice int) error {
	switch advice {
	case unix.MADV_NORMAL, unix.MADV_RANDOM, unix.MADV_SEQUENTIAL, unix.MADV_WILLNEED, unix.MADV_DONTNEED, unix.MADV_FREE,
		unix.MADV_REMOVE, unix.MADV_DONTFORK, unix.MADV_DOFORK, unix.MADV_MERGEABLE, unix.MADV_UNMERGEABLE,
		unix.MADV_HUGEPAGE, unix.MADV_NOHUGEPAGE, unix.MADV_DONTDUMP, unix.MADV_DODUMP, unix.MADV_WIPEONFORK,
		unix.MADV_KEEPONFORK, unix.MADV_COLD, unix.MADV_PAGEOUT, unix.MADV_POPULATE_READ, unix.MADV_POPULATE_WRITE,
		unix.MADV_DONTNEED_LOCKED:
	case unix.MADV_HWPOISON, madvSoftOffline:
		return unix.EPERM
	default:
		return unix.EINVAL
	}
	rounded, ok := arch.PageRoundUp(length)
	if !ok || addr%pageSize != 0 || addr+rounded < addr {
		return unix.EINVAL
	}
	if rounded == 0 {
		return nil
	}
	end := addr + rounded
	if err := m.begin(); err != nil {
		return err
	}
	if advice == unix.MADV_POPULATE_READ || advice == unix.MADV_POPULATE_WRITE {
		return m.end(c, m.populate(addr, end, advice == unix.MADV_POPULATE_WRITE))
	}
	var result error
	var holes []punch
	for at := addr; at < end; {
		e := m.vmas.Seek(at).Entry()
		for e != nil && e.Value.has(vmaHidden) {
			e = m.vmas.Seek(e.End).Entry()
		}
		if e == nil || e.Start >= end {
			result = unix.ENOMEM
			break
		}
		if e.Start > at {
			result = unix.ENOMEM
		}
		s, t := max(e.Start, at), min(e.End, end)
		at = t
		if advice == unix.MADV_REMOVE {
			h, err := punchable(&e.Value, e.Value.off+s-e.Start, t-s)
			if err != nil {
				result = err
				break
			}
			holes = append(holes, h)
			continue
		}
		if err := m.adviseOne(s, t, e.Value, advice); err != nil {
			result = err
			break
		}
	}
	for _, h := range holes {
		h.file.IncRef()
	}
	result = m.end(c, result)
	for _, h := range holes {
		if err := h.from.PunchHole(h.off, h.length); err != nil && result == nil {
			result = err
		}
		h.file.DecRef()
	}
	return result
}

// A punch is a hole to be made when the lock is released.
type punch struct {
	file        File
	from        HolePuncher
	off, length uint64
}

func punchable(v *vma, off, length uint64) (punch, error) {
	if v.src == nil || v.has(vmaLocked) {
		return punch{}, unix.EINVAL
	}
	if !v.sharedWritable() {
		return punch{}, unix.EACCES
	}
	from, ok := v.src.mappable.(HolePuncher)
	if !ok {
		return punch{}, unix.EOPNOTSUPP
	}
	return punch{v.src.file, from, off, length}, nil
}

// adviseOne advises on [start, end) within the mapping v.
func (m *MemoryManager) adviseOne(start, end uint64, v vma, advice int) error {
	change := func(set, clear vmaFlags) {
		m.changeVMAs(start, end, func(v *vma) { v.flags = v.flags&^clear | set })
	}
	switch advice {
	case unix.MADV_DONTFORK:
		change(vmaDontFork, 0)
	case unix.MADV_DOFORK:
		change(0, vmaDontFork)
	case unix.MADV_WIPEONFORK:
		if !v.anonymous() {
			return unix.EINVAL
		}
		change(vmaWipeOnFork, 0)
	case unix.MADV_KEEPONFORK:
		change(0, vmaWipeOnFork)
	case unix.MADV_DONTDUMP:
		change(vmaDontDump, 0)
	case unix.MADV_DODUMP:
		if v.has(vmaSpecial) {
			return unix.EINVAL
		}
		change(0, vmaDontDump)
	case unix.MADV_COLD, unix.MADV_PAGEOUT:
		if v.has(vmaLocked | vmaSpecial) {
			return unix.EINVAL
		}
	case unix.MADV_FREE:
		if !v.anonymous() || v.has(vmaLocked|vmaSpecial) {
			return unix.EINVAL
		}
		return m.discard(start, end, &v)
	case unix.MADV_DONTNEED:
		if v.has(vmaLocked | vmaSpecial) {
			return unix.EINVAL
		}
		return m.discard(start, end, &v)
	case unix.MADV_DONTNEED_LOCKED:
		if v.has(vmaSpecial) {
			return unix.EINVAL
		}
		return m.discard(start, end, &v)
	}
	return nil
}

// discard drops private memory in the mapping v: zeros or the file show again. A
// shared mapping loses nothing by it.
func (m *MemoryManager) discard(start, end uint64, v *vma) error {
	if v.has(vmaShared) {
		return nil
	}
	if !v.anonymous() {
		for at := start; at < end; {
			e := m.backings.Seek(at).Entry()
			if e == nil || e.Start >= end {
				break
			}
			s, t := max(e.Start, at), min(e.End, end)
			at = t
			if e.Value.private() {
				m.removeBackings(s, t)
			}
		}
		return nil
	}
	for at := start; at < end; {
		e := m.backings.Seek(at).Entry()
		if e == nil || e.Start >= end {
			break
		}
		s, t := max(e.Start, at), min(e.End, end)
		at = t
		if e.Value.has(backCOW) {
			m.removeBackings(s, t)
			if err := m.addZero(s, t); err != nil {
				return err
			}
			m.mapHost(s, t, false, false)
			continue
		}
		off := e.Value.off + s - e.Start
		m.mf.Decommit(memfile.Range{Start: off, End: off + t - s})
	}
	return nil
}

// populate resolves faults in all of [start, end): MADV_POPULATE_READ and _WRITE.
// EINVAL if a mapping does not allow the access, ENOMEM for holes, EFAULT where
// the access would give SIGBUS.
func (m *MemoryManager) populate(start, end uint64, write bool) error {
	need := uint8(unix.PROT_READ)
	if write {
		need = unix.PROT_WRITE
	}
	for at := start; at < end; {
		e := m.findVMA(at)
		if e == nil {
			return unix.ENOMEM
		}
		if e.Value.prot&need == 0 {
			return unix.EINVAL
		}
		to := min(e.End, end)
		if err := m.provideAll(at, to, write); err != nil {
			return err
		}
		at = to
	}
	return nil
}

// provideAll gives all of [start, end), which lies in one mapping, backings as
// provide does. EFAULT stands for SIGBUS.
func (m *MemoryManager) provideAll(start, end uint64, write bool) error {
	for at := start; at < end; {
		if err := m.provide(*m.vmas.Find(at), at, write); err != nil {
			if err == errBus {
				return unix.EFAULT
			}
			return unix.ENOMEM
		}
		at = m.backings.Find(at).End
	}
	return nil
}
