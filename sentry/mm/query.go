package mm

import (
	"casemate/platform/memfile"
	"casemate/platform/rangemap"

	"golang.org/x/sys/unix"
)

// A Region is a mapping as /proc/PID/maps and smaps show it (proc(5)).
type Region struct {
	Start, End uint64
	Prot       int
	Shared     bool
	// MayWrite and MayExec say what mprotect could add.
	MayWrite, MayExec bool
	GrowsDown, Locked, NoReserve,
	DontFork, WipeOnFork, DontDump bool
	// File is nil for anonymous memory.
	File   File
	Offset uint64
	// Name is what is shown instead of a path: "[heap]", "[stack]", "[vdso]",
	// "[anon:...]", "/dev/zero (deleted)", or nothing.
	Name string
}

// Regions calls f for all mappings that end after from, in order, until it returns
// false. f is called with the lock held for reading: it must neither block nor
// call the MemoryManager. It may keep a File only with a reference of its own.
func (m *MemoryManager) Regions(from uint64, f func(Region) bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for c := m.vmas.Seek(from); c.Entry() != nil; c = c.Next() {
		if e := c.Entry(); !e.Value.has(vmaHidden) && !f(m.region(e)) {
			return
		}
	}
}

// FindRegion returns the mapping that contains addr; ok is false if there is none.
func (m *MemoryManager) FindRegion(addr uint64) (r Region, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if e := m.findVMA(addr); e != nil {
		return m.region(e), true
	}
	return Region{}, false
}

func (m *MemoryManager) region(e *rangemap.Entry[vma]) Region {
	v := &e.Value
	r := Region{
		Start: e.Start, End: e.End, Prot: int(v.prot), Shared: v.has(vmaShared),
		MayWrite: v.has(vmaMayWrite), MayExec: v.has(vmaMayExec),
		GrowsDown: v.has(vmaGrowsDown), Locked: v.has(vmaLocked), NoReserve: v.has(vmaNoReserve),
		DontFork: v.has(vmaDontFork), WipeOnFork: v.has(vmaWipeOnFork), DontDump: v.has(vmaDontDump),
		Name: v.name,
	}
	switch {
	case v.src != nil:
		if _, anonymous := v.src.file.(*sharedAnonymous); anonymous {
			r.Name = "/dev/zero (deleted)"
		} else {
			r.File = v.src.file
		}
		r.Offset = v.off
	case v.name != "":
	case e.Start <= m.brk && e.End >= m.brkStart && m.brk > m.brkStart:
		r.Name = "[heap]"
	case m.stackStart >= e.Start && m.stackStart < e.End:
		r.Name = "[stack]"
	}
	return r
}

// SetAnonName is prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME): it names anonymous
// memory; "" takes the name away. EINVAL; ENOMEM for holes; EBADF for files.
func (m *MemoryManager) SetAnonName(addr, length uint64, name string) error {
	end, err := m.userRange(addr, length)
	if err != nil || addr == end {
		return err
	}
	if name != "" {
		name = "[anon:" + name + "]"
	}
	if err := m.begin(); err != nil {
		return err
	}
	for at := addr; at < end; {
		e := m.vmas.Seek(at).Entry()
		if e == nil || e.Start >= end {
			err = unix.ENOMEM
			break
		}
		if e.Start > at || e.Value.has(vmaHidden) {
			err = unix.ENOMEM
		}
		s, t := max(e.Start, at), min(e.End, end)
		at = t
		if e.Value.has(vmaHidden) {
			continue
		}
		if e.Value.src != nil || e.Value.has(vmaSpecial) {
			err = unix.EBADF
			break
		}
		m.changeVMAs(s, t, func(v *vma) { v.name = name })
	}
	return m.end(nil, err)
}

// A Usage is how much memory an address space has, in bytes, by the names that
// /proc/PID/status gives it.
type Usage struct {
	Total    uint64 // VmSize
	Data     uint64 // VmData
	Stack    uint64 // VmStk
	Exec     uint64 // VmExe and VmLib
	Locked   uint64 // VmLck
	Anon     uint64 // RssAnon
	File     uint64 // RssFile and RssShmem: what is mapped of files, in memory or not
	HeapSize uint64 // of the heap
}

// Usage returns the sizes. It asks the host which private pages there are, which
// takes about a microsecond per 2 MiB.
func (m *MemoryManager) Usage() Usage {
	m.mu.RLock()
	defer m.mu.RUnlock()
	u := Usage{
		Total: m.usage.total, Data: m.usage.data, Stack: m.usage.stack, Exec: m.usage.exec, Locked: m.usage.locked,
		HeapSize: m.brk - m.brkStart,
	}
	r := m.resident(0, m.layout.Max)
	u.Anon, u.File = r.Private+r.Shared, r.File
	return u
}

// A Resident is how much of a range of addresses is in memory, in bytes.
type Resident struct {
	Private uint64 // private pages that are this address space's alone
	Shared  uint64 // private pages that other processes have too, by fork
	File    uint64 // what is mapped of files
}

// Resident counts the memory of [start, end), for /proc/PID/smaps.
func (m *MemoryManager) Resident(start, end uint64) Resident {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.resident(start, end)
}

func (m *MemoryManager) resident(start, end uint64) Resident {
	var r Resident
	for c := m.backings.Seek(start); c.Entry() != nil && c.Entry().Start < end; c = c.Next() {
		e := c.Entry()
		s, t := max(e.Start, start), min(e.End, end)
		if !e.Value.private() {
			r.File += t - s
			continue
		}
		off := e.Value.off + s - e.Start
		n, err := m.mf.Resident(memfile.Range{Start: off, End: off + t - s})
		if err != nil {
			continue
		}
		if e.Value.has(backCOW) {
			r.Shared += n
		} else {
			r.Private += n
		}
	}
	return r
}

// Mincore is mincore(2) for len(vec) pages from addr on: EINVAL, ENOMEM (holes).
// Pages of host files count as in memory when they are mapped.
func (m *MemoryManager) Mincore(addr uint64, vec []byte) error {
	if addr%pageSize != 0 {
		return unix.EINVAL
	}
	length := uint64(len(vec)) * pageSize
	if addr > m.layout.Max || length > m.layout.Max-addr {
		return unix.ENOMEM
	}
	clear(vec)
	m.mu.RLock()
	defer m.mu.RUnlock()
	end := addr + length
	if m.firstHole(addr, end) < end {
		return unix.ENOMEM
	}
	for c := m.backings.Seek(addr); c.Entry() != nil && c.Entry().Start < end; c = c.Next() {
		e := c.Entry()
		s, t := max(e.Start, addr), min(e.End, end)
		v := vec[(s-addr)/pageSize : (t-addr)/pageSize]
		if !e.Value.has(backMemory) {
			for i := range v {
				v[i] = 1
			}
			continue
		}
		off := e.Value.off + s - e.Start
		if err := m.mf.Incore(memfile.Range{Start: off, End: off + t - s}, v); err != nil {
			return err
		}
		for i := range v {
			v[i] &= 1
		}
	}
	return nil
}

// Sync is msync(2). It calls sync, without the lock, for every piece of a shared
// mapping of a file if flags have MS_SYNC; sync writes the file back. EINVAL,
// ENOMEM (holes), EBUSY (MS_INVALIDATE of locked memory), and what sync returns.
func (m *MemoryManager) Sync(addr, length uint64, flags int, sync func(f File, off, length uint64) error) error {
	if flags&^(unix.MS_ASYNC|unix.MS_INVALIDATE|unix.MS_SYNC) != 0 || flags&(unix.MS_ASYNC|unix.MS_SYNC) == unix.MS_ASYNC|unix.MS_SYNC ||
		addr%pageSize != 0 {
		return unix.EINVAL
	}
	end := (addr + length + pageSize - 1) &^ (pageSize - 1)
	if end < addr {
		return unix.ENOMEM
	}
	var result error
	for at := addr; at < end; {
		m.mu.RLock()
		e := m.vmas.Seek(at).Entry()
		for e != nil && e.Value.has(vmaHidden) {
			e = m.vmas.Seek(e.End).Entry()
		}
		if e == nil || e.Start >= end {
			m.mu.RUnlock()
			return unix.ENOMEM
		}
		if e.Start > at {
			result = unix.ENOMEM
		}
		s, t := max(e.Start, at), min(e.End, end)
		at = t
		if flags&unix.MS_INVALIDATE != 0 && e.Value.has(vmaLocked) {
			m.mu.RUnlock()
			return unix.EBUSY
		}
		src, off := e.Value.src, e.Value.off+s-e.Start
		if src == nil || flags&unix.MS_SYNC == 0 || !e.Value.has(vmaShared) {
			m.mu.RUnlock()
			continue
		}
		file := src.file
		if _, anonymous := file.(*sharedAnonymous); anonymous {
			m.mu.RUnlock()
			continue
		}
		file.IncRef()
		m.mu.RUnlock()
		err := sync(file, off, t-s)
		file.DecRef()
		if err != nil {
			return err
		}
	}
	return result
}

// FutexKey says which word the one at addr is, for futex(2): obj is the Mappable of
// a shared mapping and off the offset in it, the same in all address spaces; obj
// is nil if the mapping is private, so that the address names the word. EFAULT if
// nothing is mapped there.
func (m *MemoryManager) FutexKey(addr uint64) (obj any, off uint64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	e := m.findVMA(addr)
	if e == nil {
		return nil, 0, unix.EFAULT
	}
	if e.Value.has(vmaShared) {
		return e.Value.src.mappable, e.Value.off + addr - e.Start, nil
	}
	return nil, addr, nil
}
