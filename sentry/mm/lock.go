package mm

import (
	"casemate/platform"

	"golang.org/x/sys/unix"
)

// Lock is mlock(2) and mlock2(2): EPERM, ENOMEM (limit, holes, memory that cannot
// be had), EINVAL.
func (m *MemoryManager) Lock(c platform.Context, addr, length uint64, flags int, l Limits) error {
	if flags&^unix.MLOCK_ONFAULT != 0 {
		return unix.EINVAL
	}
	if l.Memlock == 0 && !l.IPCLock {
		return unix.EPERM
	}
	start, end, err := lockRange(addr, length)
	if err != nil || start == end {
		return err
	}
	if err := m.begin(); err != nil {
		return err
	}
	set := vmaLocked
	if flags&unix.MLOCK_ONFAULT != 0 {
		set |= vmaLockOnFault
	}
	return m.end(c, m.lockLocked(start, end, set, l))
}

// lockRange rounds a range to pages.
func lockRange(addr, length uint64) (start, end uint64, err error) {
	start = addr &^ (pageSize - 1)
	end = (addr + length + pageSize - 1) &^ (pageSize - 1)
	if end < start || addr+length < addr {
		return 0, 0, unix.EINVAL
	}
	return start, end, nil
}

func (m *MemoryManager) lockLocked(start, end uint64, set vmaFlags, l Limits) error {
	if !l.IPCLock {
		already := uint64(0)
		for c := m.vmas.Seek(start); c.Entry() != nil && c.Entry().Start < end; c = c.Next() {
			if e := c.Entry(); e.Value.has(vmaLocked) {
				already += min(e.End, end) - max(e.Start, start)
			}
		}
		if m.usage.locked-already+end-start > l.Memlock {
			return unix.ENOMEM
		}
	}
	// What lies before a hole is locked, as in Linux.
	to := m.firstHole(start, end)
	m.changeVMAs(start, to, func(v *vma) {
		if !v.has(vmaSpecial) {
			v.flags = v.flags&^vmaLockOnFault | set
		}
	})
	if to < end {
		return unix.ENOMEM
	}
	if set&vmaLockOnFault != 0 {
		return nil
	}
	return m.touch(start, end)
}

// touch gives all of [start, end) memory, private memory where it is writable.
func (m *MemoryManager) touch(start, end uint64) error {
	for at := start; at < end; {
		e := m.findVMA(at)
		to := min(e.End, end)
		write := e.Value.prot&unix.PROT_WRITE != 0 && !e.Value.has(vmaShared)
		if !e.Value.has(vmaSpecial) && (e.Value.prot == 0 || m.provideAll(at, to, write) != nil) {
			return unix.ENOMEM
		}
		at = to
	}
	return nil
}

// Unlock is munlock(2): EINVAL, ENOMEM (holes).
func (m *MemoryManager) Unlock(c platform.Context, addr, length uint64) error {
	start, end, err := lockRange(addr, length)
	if err != nil || start == end {
		return err
	}
	if err := m.begin(); err != nil {
		return err
	}
	to := m.firstHole(start, end)
	if to < end {
		err = unix.ENOMEM
	}
	m.changeVMAs(start, to, func(v *vma) { v.flags &^= vmaLocked | vmaLockOnFault })
	return m.end(c, err)
}

// LockAll is mlockall(2): EINVAL, EPERM, ENOMEM.
func (m *MemoryManager) LockAll(c platform.Context, flags int, l Limits) error {
	const known = unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT
	if flags&^known != 0 || flags&(unix.MCL_CURRENT|unix.MCL_FUTURE) == 0 {
		return unix.EINVAL
	}
	if l.Memlock == 0 && !l.IPCLock {
		return unix.EPERM
	}
	if err := m.begin(); err != nil {
		return err
	}
	if flags&unix.MCL_CURRENT != 0 && !l.IPCLock && m.usage.total > l.Memlock {
		return m.end(c, unix.ENOMEM)
	}
	set := vmaLocked
	if flags&unix.MCL_ONFAULT != 0 {
		set |= vmaLockOnFault
	}
	m.lockFuture = 0
	if flags&unix.MCL_FUTURE != 0 {
		m.lockFuture = set
	}
	if flags&unix.MCL_CURRENT != 0 {
		m.changeVMAs(0, m.layout.Max, func(v *vma) {
			if !v.has(vmaSpecial) {
				v.flags = v.flags&^vmaLockOnFault | set
			}
		})
		if set&vmaLockOnFault == 0 {
			for at := uint64(0); ; {
				e := m.vmas.Seek(at).Entry()
				if e == nil {
					break
				}
				at = e.End
				if !e.Value.has(vmaHidden) {
					// What cannot be had is not locked: no error (mlockall ignores it).
					_ = m.touch(e.Start, e.End)
				}
			}
		}
	}
	return m.end(c, nil)
}

// UnlockAll is munlockall(2).
func (m *MemoryManager) UnlockAll(c platform.Context) error {
	if err := m.begin(); err != nil {
		return err
	}
	m.lockFuture = 0
	m.changeVMAs(0, m.layout.Max, func(v *vma) { v.flags &^= vmaLocked | vmaLockOnFault })
	return m.end(c, nil)
}
