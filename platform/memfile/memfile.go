// Package memfile is the sandbox's memory file: one sparse memfd that holds all
// memory of applications which is no host file's, and the pages of tmpfs.
//
// The file is mapped once and whole into the sentry, so that a page's address in
// the sentry is one addition away from its offset. Address spaces of applications
// map pieces of it by its descriptor. Ranges of it are allocated zeroed and
// counted by reference, page by page where need be.
//
// A holder must have removed every mapping of a range that an application could
// use before it gives its reference back: the range is somebody else's then.
//
// A store is a File of the same kind over a file on a disk of the host, for tmpfs whose
// content is not to take up memory.
//
// All methods may be called by any goroutine. File.mu is a leaf: nothing is
// called with it held.
package memfile

import (
	"fmt"
	"math/bits"
	"slices"
	"sync"

	"casemate/platform/arch"
	"casemate/platform/rangemap"

	"golang.org/x/sys/unix"
)

const (
	// maxSize is the size of the file and of its mapping, if the host grants
	// that much address space; it is halved until the host does, down to minSize.
	maxSize = 32 << 40
	minSize = 1 << 30

	// smallAlign and largeAlign are the alignments in the file of allocations
	// that are at least as long, so that the host can map them by large pages
	// and around a fault.
	smallAlign = 64 << 10
	largeAlign = 2 << 20
)

// A Range is a piece of the memory file: the bytes [Start, End), page aligned.
type Range struct{ Start, End uint64 }

// Len is the length in bytes.
func (r Range) Len() uint64 { return r.End - r.Start }

// refs counts the references to every page of a range.
type refs uint32

// Advance implements rangemap.Value.
func (n refs) Advance(uint64) refs { return n }

// Continues implements rangemap.Value.
func (n refs) Continues(prev refs, _ uint64) bool { return n == prev }

// unused is the value of free space.
type unused struct{}

// Advance implements rangemap.Value.
func (unused) Advance(uint64) unused { return unused{} }

// Continues implements rangemap.Value.
func (unused) Continues(unused, uint64) bool { return true }

// A File is the memory file, or a store.
type File struct {
	fd    int
	mem   []byte // the whole file
	store bool

	mu struct {
		sync.Mutex
		// refs has the allocated pages.
		refs rangemap.Map[refs]
		// free has the holes below frontier that can be given out. Space that
		// is in none of refs, free and recycled is on its way to free.
		free rangemap.Map[unused]
		// frontier is where space begins that was never given out.
		frontier uint64
		// recent[k] has starts of entries of free with 2^k to 2^(k+1)-1 pages,
		// the latest last. They are hints: an entry may have changed since.
		recent [64][]uint64
		// recycled[n-1] has the starts of pieces of n pages which nobody refers
		// to and which are not holes but hold old data.
		recycled [recycleMax][]uint64
	}
}

const (
	// recycleMax is the largest number of pages that are kept with their data
	// for the next allocation instead of being given back to the host: to clear
	// them is cheaper than a hole and a new page.
	recycleMax = 16
	// recycleKeep is how many pages of each size of piece are kept.
	recycleKeep = 64
	// recentKeep is how many holes of each size class are remembered.
	recentKeep = 256
)

// New creates the file and maps it. Errors are the host's.
func New() (*File, error) {
	// An executable memfd can be forbidden (vm.memfd_noexec); mapping one that
	// is not for execve(2) with PROT_EXEC is not.
	fd, err := unix.MemfdCreate("memory", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("memory", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("create the memory file: memfd_create: %w", err)
	}
	f := &File{fd: fd}
	if err := f.mapAll(); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("map the memory file of at least %d bytes: %w (is the address space limited, as by ulimit -v?)", minSize, err)
	}
	return f, nil
}

// Over returns a store over fd, which it takes over: an empty regular file of the host
// that nobody else changes, open for reading and writing. Space on the disk is
// reserved when it is allocated, so that a full disk is an error of Allocate and not a
// fault. EPERM if programs cannot be mapped from the file.
func Over(fd int) (*File, error) {
	f := &File{fd: fd, store: true}
	if err := f.mapAll(); err != nil {
		return nil, fmt.Errorf("map the store: %w", err)
	}
	p, err := unix.Mmap(fd, 0, arch.PageSize, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_SHARED)
	if err != nil {
		unix.Munmap(f.mem)
		return nil, fmt.Errorf("map the store for programs: %w (is its file system mounted noexec?)", err)
	}
	unix.Munmap(p)
	return f, nil
}

// IsStore reports whether f was made by Over.
func (f *File) IsStore() bool { return f.store }

// mapAll gives the file its size and maps it.
func (f *File) mapAll() error {
	var err error
	for size := int64(maxSize); size >= minSize; size /= 2 {
		if err = unix.Ftruncate(f.fd, size); err != nil {
			continue
		}
		f.mem, err = unix.Mmap(f.fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
		if err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	// No child of the sentry gets to see all applications' memory, nor does a
	// core dump.
	for _, advice := range []int{unix.MADV_DONTFORK, unix.MADV_DONTDUMP} {
		if err := unix.Madvise(f.mem, advice); err != nil {
			unix.Munmap(f.mem)
			return fmt.Errorf("keep it from children: madvise %d: %w", advice, err)
		}
	}
	return nil
}

// Close gives the file up. Nothing may use it any more.
func (f *File) Close() error {
	err := unix.Munmap(f.mem)
	if e := unix.Close(f.fd); err == nil {
		err = e
	}
	return err
}

// FD is the host descriptor of the file, for mappings of its ranges.
func (f *File) FD() int { return f.fd }

// Bytes returns the sentry's mapping of [off, off+length), which must lie in
// allocated ranges to be of use. It is valid until they are released.
func (f *File) Bytes(off, length uint64) []byte {
	return f.mem[off : off+length : off+length]
}

// Allocate returns a range of length bytes, a multiple of the page size, that
// reads as zeros and has one reference. It takes up address space in the file
// only; the host gives it memory page by page when it is touched. ENOMEM when
// the file is full, EINVAL for a bad length; of a store also ENOSPC, EIO and what else
// the disk has.
func (f *File) Allocate(length uint64) (Range, error) {
	r, dirty, err := f.allocate(length)
	if dirty {
		f.clear(r)
	} else if f.store && err == nil {
		if err := f.reserve(r); err != nil {
			f.DecRef(r)
			return Range{}, err
		}
	}
	return r, err
}

// reserve has the host's file system set space aside for r.
func (f *File) reserve(r Range) error {
	for {
		err := unix.Fallocate(f.fd, unix.FALLOC_FL_KEEP_SIZE, int64(r.Start), int64(r.Len()))
		switch err {
		case unix.EINTR:
			continue
		case unix.EOPNOTSUPP:
			return nil // a file system that cannot
		}
		return err
	}
}

// clear clears a recycled range: what the host has memory for of a long one, as it
// may be little.
func (f *File) clear(r Range) {
	var vec [recycleMax]byte
	if r.Len() <= 4*arch.PageSize || f.Incore(r, vec[:]) != nil {
		clear(f.Bytes(r.Start, r.Len()))
		return
	}
	for i := range r.Len() / arch.PageSize {
		if vec[i]&1 != 0 {
			clear(f.Bytes(r.Start+i*arch.PageSize, arch.PageSize))
		}
	}
}

// AllocateDirty is Allocate for a caller that writes every byte of the range
// before anybody else can read it: the range holds arbitrary old data of other
// applications.
func (f *File) AllocateDirty(length uint64) (Range, error) {
	r, _, err := f.allocate(length)
	return r, err
}

// allocate returns a range with one reference; dirty says that it is not zero.
func (f *File) allocate(length uint64) (r Range, dirty bool, err error) {
	if length == 0 || length%arch.PageSize != 0 {
		return Range{}, false, unix.EINVAL
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if pages := length / arch.PageSize; pages <= recycleMax {
		if s := f.mu.recycled[pages-1]; len(s) > 0 {
			r.Start = s[len(s)-1]
			f.mu.recycled[pages-1] = s[:len(s)-1]
			dirty = true
		}
	}
	if !dirty {
		var ok bool
		if r.Start, ok = f.takeLocked(length); !ok {
			return Range{}, false, unix.ENOMEM
		}
	}
	r.End = r.Start + length
	f.mu.refs.Insert(r.Start, r.End, 1)
	f.mu.refs.Join(r.Start, r.End)
	return r, dirty, nil
}

// takeLocked finds room for length bytes.
func (f *File) takeLocked(length uint64) (uint64, bool) {
	align := uint64(arch.PageSize)
	switch {
	case length >= largeAlign:
		align = largeAlign
	case length >= smallAlign:
		align = smallAlign
	}
	class := sizeClass(length)
	for k := class; k < min(class+3, len(f.mu.recent)); k++ {
		for n := len(f.mu.recent[k]); n > 0; n-- {
			start := f.mu.recent[k][n-1]
			e := f.mu.free.Find(start)
			if e != nil && e.Start == start && sizeClass(e.Len()) == k {
				at := (start + align - 1) &^ (align - 1)
				if at+length > e.End {
					break
				}
				f.mu.recent[k] = f.mu.recent[k][:n-1]
				f.cutLocked(at, length)
				return at, true
			}
			f.mu.recent[k] = f.mu.recent[k][:n-1]
		}
	}
	at := (f.mu.frontier + align - 1) &^ (align - 1)
	if at+length >= at && at+length <= uint64(len(f.mem)) {
		if at > f.mu.frontier {
			f.addFreeLocked(f.mu.frontier, at)
		}
		f.mu.frontier = at + length
		return at, true
	}
	for c := f.mu.free.First(); c.Entry() != nil; c = c.Next() {
		e := c.Entry()
		at := (e.Start + align - 1) &^ (align - 1)
		if at+length > at && at+length <= e.End {
			f.cutLocked(at, length)
			return at, true
		}
	}
	return 0, false
}

// sizeClass returns log2 of the number of pages.
func sizeClass(length uint64) int { return bits.Len64(length/arch.PageSize) - 1 }

// cutLocked takes [at, at+length) out of the hole that it lies in.
func (f *File) cutLocked(at, length uint64) {
	e := *f.mu.free.Find(at)
	f.mu.free.Remove(at, at+length)
	if e.Start < at {
		f.rememberLocked(e.Start, at)
	}
	if at+length < e.End {
		f.rememberLocked(at+length, e.End)
	}
}

// addFreeLocked adds a hole.
func (f *File) addFreeLocked(start, end uint64) {
	f.mu.free.Insert(start, end, unused{})
	f.mu.free.Join(start, end)
	e := f.mu.free.Find(start)
	f.rememberLocked(e.Start, e.End)
}

func (f *File) rememberLocked(start, end uint64) {
	k := sizeClass(end - start)
	if len(f.mu.recent[k]) == recentKeep {
		f.mu.recent[k] = slices.Delete(f.mu.recent[k], 0, recentKeep/2)
	}
	f.mu.recent[k] = append(f.mu.recent[k], start)
}

// IncRef adds a reference to every page of r, each of which must have one.
func (f *File) IncRef(r Range) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.refs.Split(r.Start)
	f.mu.refs.Split(r.End)
	at := r.Start
	for c := f.mu.refs.Seek(r.Start); at < r.End; c = c.Next() {
		e := c.Entry()
		if e == nil || e.Start != at {
			panic(fmt.Sprintf("memfile: reference to free page %#x", at))
		}
		e.Value++
		at = e.End
	}
	f.mu.refs.Join(r.Start, r.End)
}

// DecRef drops a reference to every page of r. Pages without references are
// given back; see the package comment for what must have happened before.
func (f *File) DecRef(r Range) {
	var few, fewHoles [4]Range
	dead := few[:0]
	f.mu.Lock()
	f.mu.refs.Split(r.Start)
	f.mu.refs.Split(r.End)
	at := r.Start
	for c := f.mu.refs.Seek(r.Start); at < r.End; c = c.Next() {
		e := c.Entry()
		if e == nil || e.Start != at {
			f.mu.Unlock()
			panic(fmt.Sprintf("memfile: release of free page %#x", at))
		}
		e.Value--
		if e.Value == 0 {
			dead = append(dead, Range{e.Start, e.End})
		}
		at = e.End
	}
	for _, d := range dead {
		f.mu.refs.Remove(d.Start, d.End)
	}
	f.mu.refs.Join(r.Start, r.End)
	holes := fewHoles[:0] // may grow by more than dead has
	for _, d := range dead {
		pages := d.Len() / arch.PageSize
		if pages > recycleMax || d.Len() >= smallAlign && d.Start%smallAlign != 0 {
			holes = append(holes, d)
			continue
		}
		s := &f.mu.recycled[pages-1]
		if keep := int(recycleKeep / pages); len(*s) == keep {
			for _, start := range (*s)[:keep/2] {
				holes = append(holes, Range{start, start + pages*arch.PageSize})
			}
			*s = slices.Delete(*s, 0, keep/2)
		}
		*s = append(*s, d.Start)
	}
	f.mu.Unlock()
	if len(holes) == 0 {
		return
	}
	for _, h := range holes {
		f.punch(h)
	}
	f.mu.Lock()
	for _, h := range holes {
		f.addFreeLocked(h.Start, h.End)
	}
	f.mu.Unlock()
}

// DecRefUntouched is DecRef for a range of which nobody has written a byte since it
// was allocated with Allocate, and which has one reference: there is nothing to
// clear.
func (f *File) DecRefUntouched(r Range) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.mu.refs.Find(r.Start)
	if e == nil || e.End < r.End || e.Value != 1 {
		panic(fmt.Sprintf("memfile: release of shared or free range %#x", r.Start))
	}
	f.mu.refs.Remove(r.Start, r.End)
	f.addFreeLocked(r.Start, r.End)
}

// Refs returns the number of references to the first page of r, and for how many
// bytes of r that number holds. Only a number of one that is the caller's own
// reference stays as it is.
func (f *File) Refs(r Range) (count uint32, length uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.mu.refs.Find(r.Start)
	if e == nil {
		panic(fmt.Sprintf("memfile: references of free page %#x", r.Start))
	}
	return uint32(e.Value), min(e.End, r.End) - r.Start
}

// Decommit makes r, which stays allocated, read as zeros, and gives its memory
// back to the host.
func (f *File) Decommit(r Range) { f.punch(r) }

// punch makes a hole. The host can refuse for lack of memory when it has to split
// a large page: the bytes are cleared then.
func (f *File) punch(r Range) {
	for {
		err := unix.Fallocate(f.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(r.Start), int64(r.Len()))
		if err == nil {
			return
		}
		if err != unix.EINTR {
			break
		}
	}
	clear(f.Bytes(r.Start, r.Len()))
}

// Incore sets vec[i] to 1 if the host has memory for page i of r and to 0
// otherwise, as mincore(2) does. vec is as long as r has pages.
func (f *File) Incore(r Range, vec []byte) error {
	return mincore(f.Bytes(r.Start, r.Len()), vec)
}

// Resident returns how many bytes of r the host has memory for.
func (f *File) Resident(r Range) (uint64, error) {
	var vec [512]byte
	n := uint64(0)
	for r.Start < r.End {
		part := Range{r.Start, min(r.End, r.Start+uint64(len(vec))*arch.PageSize)}
		v := vec[:part.Len()/arch.PageSize]
		if err := f.Incore(part, v); err != nil {
			return n, err
		}
		for _, b := range v {
			n += uint64(b&1) * arch.PageSize
		}
		r.Start = part.End
	}
	return n, nil
}

// Usage returns the memory in bytes that the host has given to the whole file.
func (f *File) Usage() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return 0, fmt.Errorf("size of the memory file: fstat: %w", err)
	}
	return uint64(st.Blocks) * 512, nil
}
