package mm

import (
	"casemate/platform/rangemap"
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// A File keeps what is mapped alive: an open file. The MemoryManager has one
// reference as long as anything of it is mapped, dropped without the manager's lock.
type File interface {
	IncRef()
	DecRef()
	// BeingWritten reports whether the file may change because somebody has it open
	// for writing. A private mapping of a file that nobody writes to can be copied
	// ahead of the writes to it; else it shows changes of the pages not yet written
	// to, as Linux's does.
	BeingWritten() bool
}

// A sourceKey decides which mappings are of the same file. A device can give every
// mapping memory of its own (zero(4)).
type sourceKey struct {
	file     File
	mappable vfs.Mappable
}

// A source is a mapped file.
type source struct {
	file     File
	mappable vfs.Mappable
	bytes    uint64 // mapped
}

func (s *source) key() sourceKey { return sourceKey{s.file, s.mappable} }

type vmaFlags uint16

const (
	vmaShared      vmaFlags = 1 << iota
	vmaMayWrite             // PROT_WRITE may be added
	vmaMayExec              // PROT_EXEC may be added
	vmaGrowsDown            // MAP_GROWSDOWN
	vmaLocked               // mlock
	vmaLockOnFault          // MLOCK_ONFAULT, with vmaLocked
	vmaNoReserve            // MAP_NORESERVE
	vmaDontFork             // MADV_DONTFORK
	vmaWipeOnFork           // MADV_WIPEONFORK
	vmaDontDump             // MADV_DONTDUMP
	vmaHidden               // the platform's, unknown to the application
	vmaSpecial              // vdso and the like: no mremap to another size, no mlock
)

// A vma is a mapping as the application knows it.
type vma struct {
	flags vmaFlags
	prot  uint8   // PROT_READ|PROT_WRITE|PROT_EXEC
	src   *source // nil: anonymous and private
	off   uint64  // in src
	name  string  // of a special mapping, or prctl(PR_SET_VMA_ANON_NAME)
}

// Advance implements rangemap.Value.
func (v vma) Advance(delta uint64) vma {
	if v.src != nil {
		v.off += delta
	}
	return v
}

// Continues implements rangemap.Value.
func (v vma) Continues(prev vma, prevLen uint64) bool {
	if v.src != nil && v.off != prev.off+prevLen {
		return false
	}
	return v.flags == prev.flags && v.prot == prev.prot && v.src == prev.src && v.name == prev.name
}

func (v *vma) has(f vmaFlags) bool { return v.flags&f != 0 }

// anonymous says that pages which do not exist yet are zero pages.
func (v *vma) anonymous() bool { return v.src == nil }

// sharedWritable is what files are told of a mapping.
func (v *vma) sharedWritable() bool {
	return v.flags&(vmaShared|vmaMayWrite) == vmaShared|vmaMayWrite
}

// allows says whether the protection allows an access. The processors know no
// memory that can be written or executed and not read.
func (v *vma) allows(a access) bool {
	switch a {
	case accessWrite:
		return v.prot&unix.PROT_WRITE != 0
	case accessExec:
		return v.prot&unix.PROT_EXEC != 0
	}
	return v.prot != 0
}

// An access is a kind of access to memory.
type access uint8

const (
	accessRead access = iota
	accessWrite
	accessExec
)

// account adds (or with sign -1 takes off) a mapping to the usage.
func (m *MemoryManager) account(v *vma, length uint64, sign int) {
	if v.has(vmaHidden) {
		return
	}
	n := length
	if sign < 0 {
		n = -length
	}
	m.usage.total += n
	switch {
	case v.has(vmaGrowsDown):
		m.usage.stack += n
	case v.isData():
		m.usage.data += n
	}
	if v.src != nil {
		m.usage.shared += n
		if v.prot&(unix.PROT_EXEC|unix.PROT_WRITE) == unix.PROT_EXEC {
			m.usage.exec += n
		}
	}
	if v.has(vmaLocked) {
		m.usage.locked += n
	}
}

// isData says whether RLIMIT_DATA counts the mapping.
func (v *vma) isData() bool {
	return v.prot&unix.PROT_WRITE != 0 && v.flags&(vmaShared|vmaGrowsDown|vmaHidden) == 0
}

// insertVMA adds a mapping to a free range, and joins it with its neighbours. The
// file knows of it already.
func (m *MemoryManager) insertVMA(start, end uint64, v vma) {
	m.vmas.Insert(start, end, v)
	m.account(&v, end-start, 1)
	if v.src != nil {
		v.src.bytes += end - start
	}
	m.vmas.Join(start, end)
}

// changeVMAs changes all mappings in [start, end), cutting them at its ends.
func (m *MemoryManager) changeVMAs(start, end uint64, change func(v *vma)) {
	m.vmas.Split(start)
	m.vmas.Split(end)
	for c := m.vmas.Seek(start); c.Entry() != nil && c.Entry().Start < end; c = c.Next() {
		e := c.Entry()
		if e.Value.has(vmaHidden) {
			continue
		}
		m.account(&e.Value, e.Len(), -1)
		change(&e.Value)
		m.account(&e.Value, e.Len(), 1)
	}
	m.vmas.Join(start, end)
}

// findVMA returns the application's mapping at addr, or nil.
func (m *MemoryManager) findVMA(addr uint64) *rangemap.Entry[vma] {
	e := m.vmas.Find(addr)
	if e != nil && e.Value.has(vmaHidden) {
		return nil
	}
	return e
}

// firstHole returns where in [start, end) the application's mappings have the
// first hole, or end.
func (m *MemoryManager) firstHole(start, end uint64) uint64 {
	for c := m.vmas.Seek(start); start < end; c = c.Next() {
		e := c.Entry()
		if e == nil || e.Start > start || e.Value.has(vmaHidden) {
			return start
		}
		start = e.End
	}
	return end
}

// addSource returns the source of a file, with a reference of the manager's own
// if it is new. dropSource undoes it if nothing gets mapped.
func (m *MemoryManager) addSource(f File, mappable vfs.Mappable) *source {
	k := sourceKey{f, mappable}
	s := m.sources[k]
	if s == nil {
		f.IncRef()
		s = &source{file: f, mappable: mappable}
		m.sources[k] = s
	}
	return s
}

// dropSource lets go of a file of which nothing is mapped any more.
func (m *MemoryManager) dropSource(s *source) {
	if s != nil && s.bytes == 0 && m.sources[s.key()] == s {
		delete(m.sources, s.key())
		m.pending.files = append(m.pending.files, s.file)
	}
}
