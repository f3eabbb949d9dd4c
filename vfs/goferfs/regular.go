package goferfs

import (
	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/vfs"
	"casemate/vfs/usermem"
)

// Open implements vfs.InodeOps.
func (n *node) Open(_ *vfs.Context, f *vfs.File) (vfs.FileOps, error) {
	if n.IsDir() {
		return &dirFile{n: n}, nil
	}
	if !n.IsRegular() {
		return nil, unix.ENXIO
	}
	n.mu.Lock()
	before := n.fd
	_, err := n.hostFile(f.Writable())
	if err == nil {
		n.opens++
	}
	other := before.write < 0 && n.fd.write >= 0 && before.read >= 0
	n.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if other && n.maps.Mapped() {
		// A host file system of layers (overlayfs) has given the file another body.
		n.maps.Invalidate(n, 0, 1<<63, false)
	}
	return regular{n: n}, nil
}

// hostFile returns a host descriptor of a regular file, that can be written if write is
// set. n.mu is held. It stays open while the node is, or has been lately.
func (n *node) hostFile(write bool) (int, error) {
	if n.fd.write >= 0 {
		return n.fd.write, nil
	}
	if n.fd.read >= 0 && !write {
		return n.fd.read, nil
	}
	t, err := n.target()
	if err != nil {
		return -1, err
	}
	flags := unix.O_RDONLY
	if write {
		flags = unix.O_RDWR
	}
	var o gofer.Opened
	for tried := false; ; {
		o, err = n.fs.client.Open(t, flags)
		if !n.fs.again(err, &tried) {
			break
		}
	}
	if err != nil {
		return -1, err
	}
	if !n.is(&o.Attr) {
		unix.Close(o.FD)
		n.fs.client.Release(o.Node)
		return -1, unix.ESTALE
	}
	if n.handle == 0 {
		n.handle = o.Node
	} else {
		n.fs.client.Release(o.Node)
	}
	n.fs.open.Add(1)
	if write {
		n.fd.write = o.FD
	} else {
		n.fd.read = o.FD
	}
	return o.FD, nil
}

// file is hostFile for the methods of an open file, whose descriptor is there.
func (n *node) file(write bool) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hostFile(write)
}

// closeFiles closes the host's descriptors. n.mu is held; nobody uses them.
func (n *node) closeFiles() {
	for _, fd := range [...]*int{&n.fd.read, &n.fd.write} {
		if *fd >= 0 {
			unix.Close(*fd)
			n.fs.open.Add(-1)
			*fd = -1
		}
	}
}

// A regular is an open regular file: the node itself, so that all its opens share
// the host's descriptor.
type regular struct {
	regularDefaults
	n *node
}

// regularDefaults has what regular does not have itself: it is always ready.
type regularDefaults struct{ vfs.FileDefaults }

func (r regular) node() *node { return r.n }

// Read implements vfs.FileOps.
func (r regular) Read(_ *vfs.Context, f *vfs.File, dst *usermem.Seq, off int64, _ uint32) (int, error) {
	fd, err := r.node().file(false)
	if err != nil {
		return 0, err
	}
	n, err := dst.Blocks(true, func(blocks [][]byte) (int, error) {
		var n int
		var err error
		if len(blocks) == 1 {
			n, err = unix.Pread(fd, blocks[0], off)
		} else {
			n, err = unix.Preadv(fd, blocks, off)
		}
		off += int64(max(n, 0))
		return max(n, 0), err
	})
	if n > 0 {
		err = nil
		f.Accessed()
	}
	if err == unix.EFAULT && dst.Done() == 0 {
		// Where there is nothing to read, it does not matter where it would go.
		var one [1]byte
		if n, e := unix.Pread(fd, one[:], off); n == 0 && e == nil {
			err = nil
		}
	}
	return n, err
}

// Write implements vfs.FileOps.
func (r regular) Write(_ *vfs.Context, f *vfs.File, src *usermem.Seq, off int64, flags uint32) (int, error) {
	n := r.node()
	fd, err := n.file(true)
	if err != nil {
		return 0, err
	}
	n.Lock()
	defer n.Unlock()
	if flags&unix.RWF_APPEND != 0 {
		if n.fs.shared {
			return n.append(fd, src)
		}
		off = n.Size()
	}
	total, err := src.Blocks(false, func(blocks [][]byte) (int, error) {
		var done int
		var err error
		if len(blocks) == 1 {
			done, err = unix.Pwrite(fd, blocks[0], off)
		} else {
			done, err = unix.Pwritev(fd, blocks, off)
		}
		off += int64(max(done, 0))
		return max(done, 0), err
	})
	if total > 0 {
		err = nil
		if off > n.Size() {
			n.SetSize(off)
		}
		n.stale.Store(true)
		n.TouchCM()
	}
	return total, err
}

// append writes to the end of a file that the host appends to as well.
func (n *node) append(fd int, src *usermem.Seq) (int, error) {
	total, err := src.Blocks(false, func(blocks [][]byte) (int, error) {
		done, err := unix.Pwritev2(fd, blocks, 0, unix.RWF_APPEND)
		return max(done, 0), err
	})
	if total > 0 {
		err = nil
		var st unix.Stat_t
		if e := unix.Fstat(fd, &st); e != nil {
			return total, e
		}
		n.SetSize(st.Size)
		n.SetTimes(st.Atim.Nano(), st.Mtim.Nano(), st.Ctim.Nano())
	}
	return total, err
}

// ReadDir implements vfs.FileOps.
func (r regular) ReadDir(*vfs.Context, *vfs.File, *vfs.DirEmitter) error { return unix.ENOTDIR }

// Seek implements vfs.FileOps.
func (r regular) Seek(_ *vfs.Context, f *vfs.File, off int64, whence int) (int64, error) {
	n := r.node()
	if whence == unix.SEEK_DATA || whence == unix.SEEK_HOLE {
		fd, err := n.file(false)
		if err != nil {
			return 0, err
		}
		return unix.Seek(fd, off, whence)
	}
	if n.fs.shared && whence == unix.SEEK_END {
		if err := n.refresh(); err != nil {
			return 0, err
		}
	}
	return vfs.SeekSized(f, off, whence, n.Size())
}

// Fsync implements vfs.FileOps.
func (r regular) Fsync(_ *vfs.Context, _ *vfs.File, dataOnly bool) error {
	fd, err := r.node().file(false)
	if err != nil {
		return err
	}
	if dataOnly {
		return unix.Fdatasync(fd)
	}
	return unix.Fsync(fd)
}

// Fallocate implements vfs.FileOps.
func (r regular) Fallocate(_ *vfs.Context, _ *vfs.File, mode uint32, off, length int64) error {
	n := r.node()
	fd, err := n.file(true)
	if err != nil {
		return err
	}
	n.Lock()
	defer n.Unlock()
	if err := unix.Fallocate(fd, mode, off, length); err != nil {
		return err
	}
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 || mode&(unix.FALLOC_FL_COLLAPSE_RANGE|unix.FALLOC_FL_INSERT_RANGE) != 0 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		n.SetSize(st.Size)
	}
	n.stale.Store(true)
	n.TouchCM()
	return nil
}

// Mmap implements vfs.FileOps.
func (r regular) Mmap(_ *vfs.Context, f *vfs.File, prot, flags int) (vfs.Mappable, error) {
	return r.node(), nil
}

// Release implements vfs.FileOps.
func (r regular) Release(*vfs.File) {
	n := r.node()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opens--
	if n.opens == 0 && (n.fs.shared || n.fs.open.Load() > n.fs.max) && !n.maps.Mapped() {
		n.closeFiles()
		if h := n.handle; !n.fs.shared && n.dir != nil && h != 0 {
			// Its name leads there.
			n.handle = 0
			n.fs.client.Release(h)
		}
	}
}

// Translate implements vfs.Mappable. The first write to a page changes the file's
// times.
func (n *node) Translate(off, length uint64, write bool) (vfs.Backing, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fd, err := n.hostFile(write)
	if err != nil {
		return vfs.Backing{}, err
	}
	size := uint64(n.Size())
	if n.fs.shared || off >= size {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return vfs.Backing{}, err
		}
		size = uint64(st.Size)
	}
	size = (size + 4095) &^ 4095
	if off >= size {
		return vfs.Backing{}, unix.EIO
	}
	if write {
		n.TouchCM()
	}
	return vfs.Backing{FD: fd, Offset: off, Length: min(length, size-off)}, nil
}

// AddMapping implements vfs.Mappable.
func (n *node) AddMapping(m vfs.MappingSpace, addr, length, off uint64, writable bool) error {
	n.maps.Add(m, addr, length, off, writable)
	if writable {
		n.stale.Store(true)
		n.mapped.Add(1)
		n.fs.keeper.drop(n)
	}
	return nil
}

// RemoveMapping implements vfs.Mappable.
func (n *node) RemoveMapping(m vfs.MappingSpace, addr, length, off uint64, writable bool) {
	n.maps.Remove(m, addr, length, off, writable)
}
