package tmpfs

import (
	"sync"

	"casemate/platform/memfile"
	"casemate/vfs"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// A regular is a regular file. It is its own vfs.FileOps.
type regular struct {
	node
	vfs.NotDirectory
	vfs.NotSymlink
	regularFile

	// io is held for reading while pages are copied from or to, and for writing
	// before pages that have been taken out of the table are given away.
	io sync.RWMutex

	// data guards what follows, and is all that a fault takes.
	data  sync.RWMutex
	table pageTable
	seals uint32 // F_SEAL_*

	maps vfs.Mappings
}

// regularFile has the methods of FileOps that regular does not have itself.
type regularFile struct{ vfs.FileDefaults }

func (fs *FS) newRegular(ctx *vfs.Context, in *vfs.Inode, mode uint32) (*regular, error) {
	if err := fs.addInode(); err != nil {
		return nil, err
	}
	uid, gid, mode := vfs.InitOwner(ctx, in, mode)
	r := &regular{seals: unix.F_SEAL_SEAL}
	r.init(fs, r, mode, uid, gid)
	return r, nil
}

// Open implements vfs.InodeOps.
func (r *regular) Open(*vfs.Context, *vfs.File) (vfs.FileOps, error) { return r, nil }

// Evict implements vfs.InodeOps.
func (r *regular) Evict() {
	if r.Nlink() == 0 {
		r.freeAll()
		r.fs.inodes.Add(^uint64(0))
	}
}

// freeAll frees all pages, when nobody uses the file any more.
func (r *regular) freeAll() {
	r.data.Lock()
	before := r.table.pages
	free := r.table.cut(0, 1<<63, nil)
	if r.table.ahead.Len() > 0 {
		free = append(free, r.table.ahead)
		r.table.ahead = memfile.Range{}
	}
	r.data.Unlock()
	r.release(free, before)
}

// release gives ranges of n accounted pages back to the memory file.
func (r *regular) release(free []memfile.Range, n uint64) {
	if len(free) == 0 {
		return
	}
	r.io.Lock() // nobody copies from them any more
	//lint:ignore SA2001 only to wait for its holders
	r.io.Unlock()
	for i := 0; i < len(free); {
		// Neighbours go together.
		c := free[i]
		for i++; i < len(free) && free[i].Start == c.End; i++ {
			c.End = free[i].End
		}
		r.fs.mem.DecRef(c)
	}
	r.fs.freePages(n)
}

// Getattr implements vfs.InodeOps.
func (r *regular) Getattr(_ *vfs.Context, _, _ uint32, st *unix.Statx_t) error {
	r.FillStat(st)
	r.data.RLock()
	st.Blocks = r.table.pages * (pageSize / 512)
	r.data.RUnlock()
	return nil
}

// Setattr implements vfs.InodeOps. Inode.mu is held.
func (r *regular) Setattr(_ *vfs.Context, a *vfs.SetAttr) error {
	if a.Mask&vfs.AttrMode != 0 && (a.Mode^r.Mode())&0o111 != 0 {
		r.data.RLock()
		sealed := r.seals&SealExec != 0
		r.data.RUnlock()
		if sealed {
			return unix.EPERM
		}
	}
	if a.Mask&vfs.AttrSize != 0 {
		if err := r.truncate(a.Size); err != nil {
			return err
		}
	}
	r.ApplyAttr(a)
	return nil
}

// truncate changes the size. Inode.mu is held.
func (r *regular) truncate(size int64) error {
	r.data.Lock()
	old := r.Size()
	if size < old && r.seals&unix.F_SEAL_SHRINK != 0 || size > old && r.seals&unix.F_SEAL_GROW != 0 {
		r.data.Unlock()
		return unix.EPERM
	}
	if size >= old {
		r.clearTail(uint64(old))
		r.SetSize(size)
		r.data.Unlock()
		return nil
	}
	r.SetSize(size)
	r.clearTail(uint64(size))
	from := (uint64(size) + pageSize - 1) &^ (pageSize - 1)
	before := r.table.pages
	free := r.table.cut(from, 1<<63, nil)
	n := before - r.table.pages
	r.data.Unlock()
	if len(free) > 0 {
		r.maps.Invalidate(r, from, 1<<63, true)
		r.release(free, n)
	}
	return nil
}

// clearTail sets the bytes from size to the end of its page to zero: a mapping
// may have written there. data is held.
func (r *regular) clearTail(size uint64) {
	if size%pageSize == 0 {
		return
	}
	if at, ok := r.table.chunk(size).at(size); ok {
		clear(r.fs.mem.Bytes(at+size%pageSize, pageSize-size%pageSize))
	}
}

// Read implements vfs.FileOps.
func (r *regular) Read(_ *vfs.Context, f *vfs.File, dst *usermem.Seq, off int64, _ uint32) (int, error) {
	total := 0
	r.io.RLock()
	defer r.io.RUnlock()
	for dst.Len() > 0 {
		size := r.Size()
		if off >= size {
			break
		}
		want := min(dst.Len(), uint64(size-off))
		r.data.RLock()
		at, n, ok := r.table.run(uint64(off), want)
		r.data.RUnlock()
		var err error
		var done int
		if ok {
			done, err = dst.CopyOut(r.fs.mem.Bytes(at, n))
		} else {
			var z uint64
			z, err = dst.Zero(n)
			done = int(z)
		}
		total += done
		off += int64(done)
		if err != nil {
			if total == 0 {
				return 0, err
			}
			break
		}
	}
	f.Accessed()
	return total, nil
}

// Write implements vfs.FileOps.
func (r *regular) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, off int64, flags uint32) (int, error) {
	r.Lock()
	defer r.Unlock()
	if flags&unix.RWF_APPEND != 0 {
		off = r.Size()
	}
	if src.Len() == 0 {
		return 0, nil
	}
	if off+int64(src.Len()) < off {
		if off == 1<<63-1 {
			return 0, unix.EFBIG
		}
		src.Truncate(uint64(1<<63 - 1 - off))
	}
	total := 0
	r.io.RLock()
	defer r.io.RUnlock()
	var err error
	for src.Len() > 0 {
		var at, n uint64
		if at, n, err = r.space(uint64(off), src.Len()); err != nil {
			break
		}
		var done int
		done, err = src.CopyIn(r.fs.mem.Bytes(at, n))
		total += done
		off += int64(done)
		if done > 0 && off > r.Size() {
			r.SetSize(off)
		}
		if err != nil {
			break
		}
	}
	if total == 0 {
		return 0, err
	}
	r.TouchCM()
	return total, nil
}

// space makes room for a write at off of length bytes; it returns a place and how many of them can go there.
func (r *regular) space(off, length uint64) (at, n uint64, err error) {
	r.data.Lock()
	defer r.data.Unlock()
	size := uint64(r.Size())
	if r.seals&(unix.F_SEAL_WRITE|unix.F_SEAL_FUTURE_WRITE) != 0 {
		return 0, 0, unix.EPERM
	}
	if off+length > size {
		if r.seals&unix.F_SEAL_GROW != 0 {
			if off >= size {
				return 0, 0, unix.EPERM
			}
			length = size - off
		}
		if off > size {
			r.clearTail(size)
		}
	}
	end := min(off+length, off&^(chunkSize-1)+chunkSize)
	whole := max(off+length, size) >= chunkSize
	for p := off &^ (pageSize - 1); p < end; p += pageSize {
		if err := r.fill(p, whole); err != nil {
			if p <= off {
				return 0, 0, err
			}
			end = p
			break
		}
	}
	at, n, _ = r.table.run(off, end-off)
	return at, n, nil
}

// Seek implements vfs.FileOps.
func (r *regular) Seek(_ *vfs.Context, f *vfs.File, off int64, whence int) (int64, error) {
	size := r.Size()
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return vfs.SeekSized(f, off, whence, size)
	}
	if off < 0 || off >= size {
		return 0, unix.ENXIO
	}
	r.data.RLock()
	defer r.data.RUnlock()
	n := r.table.next(uint64(off), uint64(size), whence == unix.SEEK_DATA)
	if whence == unix.SEEK_DATA && n == uint64(size) {
		return 0, unix.ENXIO
	}
	return int64(n), nil
}

// Fsync implements vfs.FileOps.
func (r *regular) Fsync(*vfs.Context, *vfs.File, bool) error { return nil }

// Fallocate implements vfs.FileOps.
func (r *regular) Fallocate(_ *vfs.Context, _ *vfs.File, mode uint32, off, length int64) error {
	if mode&^(unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE) != 0 {
		return unix.EOPNOTSUPP
	}
	r.Lock()
	defer r.Unlock()
	from, to := uint64(off), uint64(off+length)
	if mode&unix.FALLOC_FL_PUNCH_HOLE != 0 {
		return r.punch(from, to)
	}
	r.data.Lock()
	defer r.data.Unlock()
	size := uint64(r.Size())
	grow := mode&unix.FALLOC_FL_KEEP_SIZE == 0 && to > size
	if grow && r.seals&unix.F_SEAL_GROW != 0 {
		return unix.EPERM
	}
	if (to-from)/pageSize > r.fs.limit() {
		return unix.ENOSPC
	}
	var made []uint64
	for p := from &^ (pageSize - 1); p < to; p += pageSize {
		if _, ok := r.table.chunk(p).at(p); ok {
			continue
		}
		if err := r.fill(p, to >= chunkSize); err != nil {
			n := r.table.pages
			var free []memfile.Range
			for _, q := range made {
				free = r.table.cut(q, q+pageSize, free)
			}
			n -= r.table.pages
			for _, c := range free {
				r.fs.mem.DecRef(c) // nobody has seen them
			}
			r.fs.freePages(n)
			return err
		}
		made = append(made, p)
	}
	if grow {
		r.clearTail(size)
		r.SetSize(int64(to))
	}
	r.TouchCM()
	return nil
}

// punch makes a hole. Inode.mu is held.
func (r *regular) punch(from, to uint64) error {
	r.data.Lock()
	if r.seals&(unix.F_SEAL_WRITE|unix.F_SEAL_FUTURE_WRITE) != 0 {
		r.data.Unlock()
		return unix.EPERM
	}
	first := (from + pageSize - 1) &^ (pageSize - 1)
	last := to &^ (pageSize - 1)
	if from < first {
		r.zero(from, min(first, to))
	}
	if last < to && last >= first {
		r.zero(last, to)
	}
	var free []memfile.Range
	before := r.table.pages
	if first < last {
		free = r.table.cut(first, last, nil)
	}
	n := before - r.table.pages
	r.data.Unlock()
	r.TouchCM()
	if len(free) > 0 {
		r.maps.Invalidate(r, first, last, false)
		r.release(free, n)
	}
	return nil
}

// zero sets bytes of one page to zero.
func (r *regular) zero(from, to uint64) {
	if at, ok := r.table.chunk(from).at(from); ok {
		clear(r.fs.mem.Bytes(at+from%pageSize, to-from))
	}
}
