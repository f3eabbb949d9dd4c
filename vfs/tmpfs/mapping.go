package tmpfs

import (
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// Mmap implements vfs.FileOps.
func (r *regular) Mmap(_ *vfs.Context, _ *vfs.File, prot, flags int) (vfs.Mappable, error) {
	r.data.RLock()
	defer r.data.RUnlock()
	if flags&unix.MAP_SHARED != 0 && prot&unix.PROT_WRITE != 0 && r.seals&(unix.F_SEAL_WRITE|unix.F_SEAL_FUTURE_WRITE) != 0 {
		return nil, unix.EPERM
	}
	return r, nil
}

// Translate implements vfs.Mappable. Pages that do not exist are made, whether
// they are to be read or written: those of the chunk of off. The first write to a
// page changes the file's times.
func (r *regular) Translate(off, length uint64, write bool) (vfs.Backing, error) {
	r.data.Lock()
	defer r.data.Unlock()
	size := (uint64(r.Size()) + pageSize - 1) &^ (pageSize - 1)
	if off >= size {
		return vfs.Backing{}, unix.EIO
	}
	length = min(length, size-off)
	end := min(off+length, off&^(chunkSize-1)+chunkSize)
	for p := off; p < end; p += pageSize {
		if err := r.fill(p, size >= chunkSize); err != nil {
			if p == off {
				return vfs.Backing{}, err
			}
			break
		}
	}
	if write {
		r.TouchCM()
	}
	at, n, _ := r.table.run(off, length)
	return vfs.Backing{FD: r.fs.mem.FD(), Offset: at, Length: n, Memory: !r.fs.mem.IsStore()}, nil
}

// AddMapping implements vfs.Mappable.
func (r *regular) AddMapping(m vfs.MappingSpace, addr, length, off uint64, writable bool) error {
	r.data.Lock()
	defer r.data.Unlock()
	if writable && r.seals&unix.F_SEAL_WRITE != 0 {
		return unix.EPERM
	}
	r.maps.Add(m, addr, length, off, writable)
	return nil
}

// RemoveMapping implements vfs.Mappable.
func (r *regular) RemoveMapping(m vfs.MappingSpace, addr, length, off uint64, writable bool) {
	r.maps.Remove(m, addr, length, off, writable)
}
