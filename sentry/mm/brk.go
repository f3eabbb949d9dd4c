package mm

import (
	"casemate/platform"

	"golang.org/x/sys/unix"
)

// SetBrkStart makes addr, rounded up to a page, the start and end of the heap, as
// execve does.
func (m *MemoryManager) SetBrkStart(addr uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.brkStart = (addr + pageSize - 1) &^ (pageSize - 1)
	m.brk = m.brkStart
}

// Brk is the system call brk(2): it moves the end of the heap to addr if that is
// possible, and returns where it is now.
func (m *MemoryManager) Brk(c platform.Context, addr uint64, l Limits) uint64 {
	if m.begin() != nil {
		return 0
	}
	_ = m.brkLocked(addr, l)
	now := m.brk
	if m.end(c, nil) != nil {
		return 0
	}
	return now
}

func (m *MemoryManager) brkLocked(addr uint64, l Limits) error {
	if addr < m.brkStart || addr > m.layout.Max {
		return unix.ENOMEM
	}
	if addr-m.brkStart > l.Data {
		return unix.ENOMEM
	}
	oldEnd := (m.brk + pageSize - 1) &^ (pageSize - 1)
	newEnd := (addr + pageSize - 1) &^ (pageSize - 1)
	switch {
	case newEnd < oldEnd:
		m.unmapLocked(newEnd, oldEnd)
	case newEnd > oldEnd:
		if e := m.vmas.Seek(oldEnd).Entry(); e != nil && gapEnd(e.Start, &e.Value) < newEnd {
			return unix.ENOMEM
		}
		if newEnd > m.layout.Max {
			return unix.ENOMEM
		}
		v := vma{prot: unix.PROT_READ | unix.PROT_WRITE, flags: vmaMayWrite | vmaMayExec | m.lockFuture}
		if err := m.checkLimits(&v, oldEnd, newEnd, &MapOptions{Limits: l}); err != nil {
			return err
		}
		m.insertVMA(oldEnd, newEnd, v)
		if err := m.populateNew(oldEnd, newEnd, v.flags&(vmaLocked|vmaLockOnFault) == vmaLocked); err != nil {
			m.unmapLocked(oldEnd, newEnd)
			return err
		}
	}
	m.brk = addr
	return nil
}

// SetStackStart tells where the initial stack is: addr is in it.
func (m *MemoryManager) SetStackStart(addr uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stackStart = addr
}
