package mm

import (
	"casemate/platform"
	"casemate/platform/rangemap"

	"golang.org/x/sys/unix"
)

// Remap is mremap(2). Errors: EINVAL, EFAULT (no mapping, or more than one),
// ENOMEM, EAGAIN (RLIMIT_MEMLOCK), and what a file says. c as in Map.
func (m *MemoryManager) Remap(c platform.Context, old, oldLen, newLen uint64, flags int, newAddr uint64, l Limits) (uint64, error) {
	const known = unix.MREMAP_MAYMOVE | unix.MREMAP_FIXED | unix.MREMAP_DONTUNMAP
	move := flags&unix.MREMAP_MAYMOVE != 0
	oldLen = (oldLen + pageSize - 1) &^ (pageSize - 1)
	newLen = (newLen + pageSize - 1) &^ (pageSize - 1)
	switch {
	case flags&^known != 0,
		flags&unix.MREMAP_FIXED != 0 && !move,
		flags&unix.MREMAP_DONTUNMAP != 0 && (!move || oldLen != newLen),
		old%pageSize != 0:
		return 0, unix.EINVAL
	}
	if newLen == 0 || newLen > m.layout.Max || oldLen > m.layout.Max || old > m.layout.Max-oldLen {
		return 0, unix.EINVAL
	}
	if flags&unix.MREMAP_FIXED != 0 {
		if newAddr%pageSize != 0 || newAddr > m.layout.Max-newLen || newAddr < m.layout.Min ||
			old+oldLen > newAddr && newAddr+newLen > old {
			return 0, unix.EINVAL
		}
	}
	if err := m.begin(); err != nil {
		return 0, err
	}
	r := remap{old, oldLen, newLen, flags, newAddr, l}
	addr, err := m.remapLocked(&r)
	return addr, m.end(c, err)
}

// remap are the arguments of mremap.
type remap struct {
	old, oldLen, newLen uint64
	flags               int
	newAddr             uint64
	limits              Limits
}

func (m *MemoryManager) remapLocked(r *remap) (uint64, error) {
	e := m.findVMA(r.old)
	if e == nil {
		return 0, unix.EFAULT
	}
	moves := r.flags&(unix.MREMAP_FIXED|unix.MREMAP_DONTUNMAP) != 0
	if r.oldLen >= r.newLen && !moves {
		if r.oldLen > r.newLen {
			m.unmapLocked(r.old+r.newLen, r.old+r.oldLen)
		}
		return r.old, nil
	}
	if err := m.mayRemap(r, e); err != nil {
		return 0, err
	}
	if r.flags&unix.MREMAP_FIXED != 0 {
		for c := m.vmas.Seek(r.newAddr); c.Entry() != nil && c.Entry().Start < r.newAddr+r.newLen; c = c.Next() {
			if c.Entry().Value.has(vmaHidden) {
				return 0, unix.ENOMEM
			}
		}
		m.unmapLocked(r.newAddr, r.newAddr+r.newLen)
		if r.oldLen > r.newLen {
			m.unmapLocked(r.old+r.newLen, r.old+r.oldLen)
			r.oldLen = r.newLen
		}
		if e = m.findVMA(r.old); e == nil {
			return 0, unix.EFAULT
		}
	}
	v := e.Value.Advance(r.old - e.Start)
	end := r.old + r.oldLen
	if !moves && end == e.End && r.oldLen > 0 {
		next := m.vmas.Seek(end).Entry()
		if r.newLen <= m.layout.Max-r.old && (next == nil || gapEnd(next.Start, &next.Value) >= r.old+r.newLen) {
			grown := v.Advance(r.oldLen)
			if err := m.addMapped(end, r.old+r.newLen, grown); err != nil {
				return 0, err
			}
			return r.old, nil
		}
	}
	if r.flags&unix.MREMAP_MAYMOVE == 0 {
		return 0, unix.ENOMEM
	}
	if r.flags&unix.MREMAP_FIXED == 0 {
		if r.flags&unix.MREMAP_DONTUNMAP == 0 {
			r.newAddr = 0 // else it is a hint
		}
		var err error
		if r.newAddr, err = m.place(&MapOptions{Addr: r.newAddr, Length: r.newLen}); err != nil {
			return 0, err
		}
	}
	return r.newAddr, m.move(r, v)
}

// mayRemap checks a mapping e that is to grow or to move.
func (m *MemoryManager) mayRemap(r *remap, e *rangemap.Entry[vma]) error {
	v := &e.Value
	if r.oldLen == 0 && !v.has(vmaShared) {
		return unix.EINVAL
	}
	if r.oldLen > e.End-r.old {
		return unix.EFAULT
	}
	more := r.newLen - min(r.newLen, r.oldLen)
	if r.flags&unix.MREMAP_DONTUNMAP != 0 {
		more = r.newLen
	}
	if more == 0 {
		return nil
	}
	if v.has(vmaSpecial) {
		return unix.EFAULT
	}
	if v.src != nil {
		if off := v.off + r.old - e.Start; off+r.newLen < off {
			return unix.EINVAL
		}
	}
	if m.vmas.Len() >= maxMapCount-3 {
		return unix.ENOMEM
	}
	if v.has(vmaLocked) && !r.limits.IPCLock && m.usage.locked+more > r.limits.Memlock {
		return unix.EAGAIN
	}
	if m.usage.total+more > r.limits.AS || v.isData() && m.usage.data+more > r.limits.Data {
		return unix.ENOMEM
	}
	return nil
}

// addMapped adds the mapping v to [start, end), which is free, and tells its file.
func (m *MemoryManager) addMapped(start, end uint64, v vma) error {
	if v.src != nil {
		if err := v.src.mappable.AddMapping(m, start, end-start, v.off, v.sharedWritable()); err != nil {
			return err
		}
	}
	m.insertVMA(start, end, v)
	if err := m.populateNew(start, end, v.flags&(vmaLocked|vmaLockOnFault) == vmaLocked); err != nil && v.anonymous() {
		m.unmapLocked(start, end)
		return err
	}
	return nil
}

// move moves the mapping v at r.old to r.newAddr, where there is room.
func (m *MemoryManager) move(r *remap, v vma) error {
	start, end := r.newAddr, r.newAddr+r.newLen
	if v.src != nil {
		if err := v.src.mappable.AddMapping(m, start, r.newLen, v.off, v.sharedWritable()); err != nil {
			return err
		}
	}
	if r.flags&unix.MREMAP_DONTUNMAP != 0 {
		// Linux unlocks the whole mapping, not just what moves.
		e := m.vmas.Find(r.old)
		m.changeVMAs(e.Start, e.End, func(v *vma) { v.flags &^= vmaLocked | vmaLockOnFault })
	}
	m.insertVMA(start, end, v)
	if r.oldLen > 0 {
		m.moveBackings(r.old, r.old+r.oldLen, start)
		if r.flags&unix.MREMAP_DONTUNMAP == 0 {
			m.unmapLocked(r.old, r.old+r.oldLen)
		} else if err := m.populateNew(r.old, r.old+r.oldLen, false); err != nil && v.anonymous() {
			return err
		}
	}
	m.mapHost(start, min(end, start+r.oldLen), false, false)
	if r.newLen > r.oldLen {
		// What is missing faults if it cannot be had now.
		if err := m.populateNew(start+r.oldLen, end, v.flags&(vmaLocked|vmaLockOnFault) == vmaLocked); err != nil && v.anonymous() {
			return err
		}
	}
	return nil
}

// moveBackings moves the backings of [start, end) to the addresses from to on. The
// host maps them at neither place then.
func (m *MemoryManager) moveBackings(start, end, to uint64) {
	m.unmapHost(start, end)
	m.windows.drop(start, end)
	m.backings.Split(start)
	m.backings.Split(end)
	var moved []rangemap.Entry[backing]
	for c := m.backings.Seek(start); c.Entry() != nil && c.Entry().Start < end; c = c.Next() {
		moved = append(moved, *c.Entry())
	}
	m.backings.Remove(start, end)
	for _, e := range moved {
		m.backings.Insert(e.Start-start+to, e.End-start+to, e.Value)
	}
	m.backings.Join(to, to+end-start)
}
