package mm

import (
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// FutexKey says what the shared futex at addr is identified by (futex(2)): the
// mapped file and the offset in it, or nil if the mapping is private, when it is the
// address space and addr. EFAULT if nothing is mapped.
func (m *MemoryManager) FutexKey(addr uint64) (vfs.Mappable, uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	e := m.findVMA(addr)
	if e == nil {
		return nil, 0, unix.EFAULT
	}
	v := &e.Value
	if !v.has(vmaShared) || v.src == nil {
		return nil, 0, nil
	}
	return v.src.mappable, v.off + addr - e.Start, nil
}

// Users is the number of processes and others that use the address space.
func (m *MemoryManager) Users() int32 { return m.users.Load() }
