package mm

import (
	"casemate/platform"
	"casemate/platform/arch"
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

const (
	// eagerLimit is the size of an anonymous mapping from which on it gets its
	// memory file range in pieces, when it is touched.
	eagerLimit = 1 << 30
	// lazyChunk is the size and alignment of those pieces.
	lazyChunk = 64 << 20
	// copyLimit is the size of a private writable mapping of a file that nobody
	// writes to up to which it is copied when it is made: a program's data, which is
	// going to be written.
	copyLimit = 64 << 10
	// eagerPieces is how many pieces of a file are looked up when it is mapped.
	eagerPieces = 8
)

// MapOptions say what Map maps.
type MapOptions struct {
	// Addr, Length, Prot, Flags and Offset are mmap(2)'s arguments. Of Flags
	// MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, MAP_FIXED,
	// MAP_FIXED_NOREPLACE, MAP_GROWSDOWN, MAP_32BIT, MAP_LOCKED, MAP_POPULATE and
	// MAP_NORESERVE have an effect. MAP_ANONYMOUS is what File nil says.
	Addr, Length uint64
	Prot, Flags  int
	Offset       uint64
	// File and Mappable are what is mapped; both nil for anonymous memory. Map
	// takes references of its own.
	File     File
	Mappable vfs.Mappable
	// MaxProt is what mprotect(2) may grant later on: PROT_READ|PROT_WRITE|
	// PROT_EXEC, without PROT_WRITE for a shared mapping of a file that is not
	// open for writing, without PROT_EXEC on a noexec mount. The caller has
	// checked Prot (EACCES).
	MaxProt int
	// Name is the name of a special mapping in /proc/PID/maps ("[vdso]"). Such a
	// mapping does not count as data, and is not locked.
	Name   string
	Limits Limits
}

// Map is mmap(2) but for what depends on the file's kind and open mode. Errors:
// EINVAL, ENOMEM, EEXIST (MAP_FIXED_NOREPLACE), EPERM (an address below the
// minimum, MAP_LOCKED without leave), EAGAIN (RLIMIT_MEMLOCK), EOVERFLOW,
// EOPNOTSUPP, and what the file says. c see MemoryManager.
func (m *MemoryManager) Map(c platform.Context, o MapOptions) (uint64, error) {
	if err := m.begin(); err != nil {
		return 0, err
	}
	addr, err := m.mapLocked(&o)
	return addr, m.end(c, err)
}

func (m *MemoryManager) mapLocked(o *MapOptions) (uint64, error) {
	if err := checkLength(o); err != nil {
		return 0, err
	}
	addr, err := m.place(o)
	if err != nil {
		return 0, err
	}
	v, err := newVMA(o)
	if err != nil {
		return 0, err
	}
	v.flags |= m.lockFuture
	if v.has(vmaSpecial) {
		v.flags &^= vmaLocked | vmaLockOnFault
	}
	end := addr + o.Length
	if err := m.checkLimits(&v, addr, end, o); err != nil {
		return 0, err
	}
	if o.File == nil && v.has(vmaShared) {
		shared, err := newSharedAnonymous(m.mf, o.Length)
		if err != nil {
			return 0, err
		}
		o.File, o.Mappable, o.Offset = shared, shared, 0
		m.pending.files = append(m.pending.files, shared)
	}
	if o.File != nil {
		v.off = o.Offset
		v.src = m.addSource(o.File, o.Mappable)
		if err := o.Mappable.AddMapping(m, addr, o.Length, o.Offset, v.sharedWritable()); err != nil {
			m.dropSource(v.src)
			return 0, err
		}
	}
	m.unmapLocked(addr, end)
	if v.src != nil && m.sources[v.src.key()] != v.src {
		// The unmapping was the last of the same file; queued is the drop of a
		// reference.
		v.src.file.IncRef()
		m.sources[v.src.key()] = v.src
	}
	m.insertVMA(addr, end, v)
	populate := o.Flags&unix.MAP_POPULATE != 0 || v.flags&(vmaLocked|vmaLockOnFault) == vmaLocked
	if err := m.populateNew(addr, end, populate); err != nil && v.anonymous() {
		m.unmapLocked(addr, end)
		return 0, err
	}
	return addr, nil
}

// checkLength checks and rounds the length.
func checkLength(o *MapOptions) error {
	if o.Length == 0 || o.Offset%pageSize != 0 {
		return unix.EINVAL
	}
	length, ok := arch.PageRoundUp(o.Length)
	if !ok || length == 0 {
		return unix.ENOMEM
	}
	o.Length = length
	if o.File != nil && o.Offset+length < o.Offset {
		return unix.EOVERFLOW
	}
	return nil
}

// newVMA checks the arguments of mmap that do not depend on the address space.
func newVMA(o *MapOptions) (vma, error) {
	o.Prot &= unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC // others are ignored
	v := vma{prot: uint8(o.Prot), name: o.Name}
	switch o.Flags & unix.MAP_TYPE {
	case unix.MAP_PRIVATE:
	case unix.MAP_SHARED:
		v.flags |= vmaShared
	case unix.MAP_SHARED_VALIDATE:
		const known = unix.MAP_SHARED_VALIDATE | unix.MAP_FIXED | unix.MAP_ANONYMOUS | map32Bit |
			unix.MAP_GROWSDOWN | unix.MAP_LOCKED | unix.MAP_NORESERVE | unix.MAP_POPULATE | unix.MAP_NONBLOCK |
			unix.MAP_STACK | unix.MAP_HUGETLB | unix.MAP_DENYWRITE | unix.MAP_EXECUTABLE | 31<<unix.MAP_HUGE_SHIFT
		if o.File == nil {
			return vma{}, unix.EINVAL
		}
		if o.Flags&^known != 0 {
			return vma{}, unix.EOPNOTSUPP
		}
		v.flags |= vmaShared
	default:
		return vma{}, unix.EINVAL
	}
	maxProt := o.MaxProt
	if o.File == nil {
		maxProt = unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC
	}
	if maxProt&unix.PROT_WRITE != 0 || !v.has(vmaShared) {
		v.flags |= vmaMayWrite
	}
	if maxProt&unix.PROT_EXEC != 0 {
		v.flags |= vmaMayExec
	}
	if o.Flags&unix.MAP_GROWSDOWN != 0 {
		if v.has(vmaShared) || o.File != nil {
			return vma{}, unix.EINVAL
		}
		v.flags |= vmaGrowsDown
	}
	if o.Flags&unix.MAP_LOCKED != 0 {
		v.flags |= vmaLocked
	}
	if o.Flags&unix.MAP_NORESERVE != 0 {
		v.flags |= vmaNoReserve
	}
	if o.Name != "" {
		v.flags = v.flags&^vmaLocked | vmaSpecial
	}
	return v, nil
}

// place chooses the address of a new mapping.
func (m *MemoryManager) place(o *MapOptions) (uint64, error) {
	l := &m.layout
	if o.Length > l.Max-l.Min {
		return 0, unix.ENOMEM
	}
	if o.Flags&(unix.MAP_FIXED|unix.MAP_FIXED_NOREPLACE) != 0 {
		if o.Addr%pageSize != 0 {
			return 0, unix.EINVAL
		}
		if o.Addr > l.Max-o.Length {
			return 0, unix.ENOMEM
		}
		if o.Addr < l.Min {
			return 0, unix.EPERM
		}
		for c := m.vmas.Seek(o.Addr); c.Entry() != nil && c.Entry().Start < o.Addr+o.Length; c = c.Next() {
			if c.Entry().Value.has(vmaHidden) {
				return 0, unix.ENOMEM
			}
			if o.Flags&unix.MAP_FIXED_NOREPLACE != 0 {
				return 0, unix.EEXIST
			}
		}
		return o.Addr, nil
	}
	if addr := o.Addr &^ (pageSize - 1); addr != 0 {
		addr = max(addr, l.Min)
		if addr <= l.Max-o.Length && (o.Flags&map32Bit == 0 || addr+o.Length <= 1<<31) {
			e := m.vmas.Seek(addr).Entry()
			if e == nil || addr+o.Length <= gapEnd(e.Start, &e.Value) {
				return addr, nil
			}
		}
	}
	if o.Flags&map32Bit != 0 {
		return m.findGap(0x40000000, 0x80000000, o.Length, pageSize, false)
	}
	addr, err := m.findGap(l.Min, l.MmapBase, o.Length, pageSize, true)
	if err != nil {
		addr, err = m.findGap(l.Max/3&^(pageSize-1), l.Max, o.Length, pageSize, false)
	}
	return addr, err
}

// gapEnd is where the room in front of a mapping ends that others can have.
func gapEnd(start uint64, v *vma) uint64 {
	if v.has(vmaGrowsDown) {
		return start - min(start, stackGuardGap)
	}
	return start
}

// findGap finds room in [lo, hi), from the top or from the bottom.
func (m *MemoryManager) findGap(lo, hi, length, align uint64, down bool) (uint64, error) {
	for {
		var addr uint64
		var ok bool
		if down {
			addr, ok = m.vmas.LastGap(lo, hi, length, align)
		} else {
			addr, ok = m.vmas.FirstGap(lo, hi, length, align)
		}
		if !ok {
			return 0, unix.ENOMEM
		}
		e := m.vmas.Seek(addr).Entry()
		if e == nil || addr+length <= gapEnd(e.Start, &e.Value) {
			return addr, nil
		}
		if down {
			hi = min(addr+length-1, gapEnd(e.Start, &e.Value))
		} else {
			lo = e.End
		}
		if hi <= lo {
			return 0, unix.ENOMEM
		}
	}
}

// checkLimits checks resource limits for a new mapping of [addr, end), in place of
// what is there.
func (m *MemoryManager) checkLimits(v *vma, addr, end uint64, o *MapOptions) error {
	if m.vmas.Len() >= maxMapCount || m.backings.Len() >= maxMapCount-1024 {
		return unix.ENOMEM
	}
	var replaced, replacedData uint64
	for c := m.vmas.Seek(addr); c.Entry() != nil && c.Entry().Start < end; c = c.Next() {
		e := c.Entry()
		n := min(e.End, end) - max(e.Start, addr)
		replaced += n
		if e.Value.isData() {
			replacedData += n
		}
	}
	length := end - addr
	if m.usage.total-replaced+length > o.Limits.AS {
		return unix.ENOMEM
	}
	if v.isData() && m.usage.data-replacedData+length > o.Limits.Data {
		return unix.ENOMEM
	}
	if v.has(vmaLocked) && !o.Limits.IPCLock {
		if o.Limits.Memlock == 0 && o.Flags&unix.MAP_LOCKED != 0 {
			return unix.EPERM
		}
		if m.usage.locked+length > o.Limits.Memlock {
			return unix.EAGAIN
		}
	}
	return nil
}

// populateNew gives the mapping at [start, end) the backings that it is to have
// at once, and has the host map them. all wants everything.
func (m *MemoryManager) populateNew(start, end uint64, all bool) error {
	e := m.vmas.Find(start)
	v := &e.Value
	if v.prot == 0 {
		return nil
	}
	var err error
	switch {
	case v.anonymous():
		if end-start > eagerLimit && !all {
			return nil
		}
		err = m.fillZero(start, end)
	case !v.has(vmaShared) && v.prot&unix.PROT_WRITE != 0 && end-start <= copyLimit && !v.src.file.BeingWritten():
		err = m.copyFile(e.Value, e.Start, start, start, end)
	default:
		// A file hears of writes when they come, unless that is no news to it.
		_, anonymous := v.src.mappable.(*sharedAnonymous)
		write := v.has(vmaShared) && v.prot&unix.PROT_WRITE != 0 && (all || anonymous)
		pieces := 0
		for at := start; at < end && (all || pieces < eagerPieces); pieces++ {
			to := m.hole(at, end)
			if to == at {
				at = min(m.backings.Find(at).End, end)
				continue
			}
			if at, err = m.translate(v, e.Start, at, to, write); err != nil {
				break
			}
		}
	}
	m.mapHost(start, end, false, all)
	return err
}

// fillZero gives zeroed memory to all of [start, end) that has no backing.
func (m *MemoryManager) fillZero(start, end uint64) error {
	for at := start; at < end; {
		to := m.hole(at, end)
		if to == at {
			at = min(m.backings.Find(at).End, end)
			continue
		}
		if err := m.addZero(at, to); err != nil {
			return err
		}
		at = to
	}
	return nil
}
