package procfs

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/mm"
	"casemate/vfs"
	"casemate/vfs/usermem"
)

// regions are the mappings of o's task. The files of the result have references,
// which done gives back.
func (o *object) regions() (list []mm.Region, done func()) {
	o.memory(func(m *mm.MemoryManager) {
		m.Regions(0, func(r mm.Region) bool {
			if r.File != nil {
				r.File.IncRef()
			}
			list = append(list, r)
			return true
		})
	})
	return list, func() {
		for i := range list {
			if list[i].File != nil {
				list[i].File.DecRef()
			}
		}
	}
}

// showRegion adds a mapping's line as in maps.
func (o *object) showRegion(w *text, r *mm.Region, root vfs.Path) {
	perms := [4]byte{'-', '-', '-', 'p'}
	for i, c := range [...]struct {
		bit int
		c   byte
	}{{unix.PROT_READ, 'r'}, {unix.PROT_WRITE, 'w'}, {unix.PROT_EXEC, 'x'}} {
		if r.Prot&c.bit != 0 {
			perms[i] = c.c
		}
	}
	if r.Shared {
		perms[3] = 's'
	}
	var dev vfs.Dev
	var ino uint64
	name := r.Name
	if f, ok := r.File.(*vfs.File); ok {
		dev, ino = f.Inode().Superblock().Dev, f.Inode().Ino()
		if name == "" {
			name, _ = vfs.PathName(f.Path(), root)
		}
	}
	begin := len(w.buf)
	w.printf("%08x-%08x %s %08x %02x:%02x %d ", r.Start, r.End, perms[:], r.Offset, dev.Major(), dev.Minor(), ino)
	if name != "" {
		for len(w.buf)-begin < 73 {
			w.buf = append(w.buf, ' ')
		}
		w.add(name)
	}
	w.buf = append(w.buf, '\n')
}

// rootPath is the root directory from which names are shown.
func (o *object) rootPath() vfs.Path {
	if fs := o.task.FSState(); fs != nil {
		return fs.Root()
	}
	return vfs.Path{}
}

func showMaps(o *object, w *text) {
	root := o.rootPath()
	defer root.DecRef()
	list, done := o.regions()
	defer done()
	for i := range list {
		o.showRegion(w, &list[i], root)
	}
}

func showSmaps(o *object, w *text) {
	root := o.rootPath()
	defer root.DecRef()
	list, done := o.regions()
	defer done()
	for i := range list {
		r := &list[i]
		o.showRegion(w, r, root)
		var in mm.Resident
		o.memory(func(m *mm.MemoryManager) { in = m.Resident(r.Start, r.End) })
		showResident(w, r.End-r.Start, in)
		w.add("VmFlags:")
		for _, f := range []struct {
			on   bool
			name string
		}{
			{r.Prot&unix.PROT_READ != 0, " rd"}, {r.Prot&unix.PROT_WRITE != 0, " wr"}, {r.Prot&unix.PROT_EXEC != 0, " ex"},
			{r.Shared, " sh"}, {true, " mr"}, {r.MayWrite, " mw"}, {r.MayExec, " me"}, {r.GrowsDown, " gd"},
			{r.Locked, " lo"}, {r.NoReserve, " nr"}, {r.DontFork, " dc"}, {r.WipeOnFork, " wf"}, {r.DontDump, " dd"},
		} {
			if f.on {
				w.add(f.name)
			}
		}
		w.add("\n")
	}
}

// showResident adds the sizes of smaps.
func showResident(w *text, size uint64, r mm.Resident) {
	rss := r.Private + r.Shared + r.File
	w.printf("Size:           %8d kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n", size>>10)
	w.printf("Rss:            %8d kB\nPss:            %8d kB\nPss_Dirty:      %8d kB\n", rss>>10, rss>>10, r.Private>>10)
	w.printf("Shared_Clean:   %8d kB\nShared_Dirty:   %8d kB\nPrivate_Clean:  %8d kB\nPrivate_Dirty:  %8d kB\n", r.File>>10, r.Shared>>10, 0, r.Private>>10)
	w.printf("Referenced:     %8d kB\nAnonymous:      %8d kB\nLazyFree:              0 kB\nAnonHugePages:         0 kB\nSwap:                  0 kB\nSwapPss:               0 kB\nLocked:                0 kB\n", rss>>10, (r.Private+r.Shared)>>10)
}

func showSmapsRollup(o *object, w *text) {
	var size uint64
	var in mm.Resident
	var start, end uint64
	o.memory(func(m *mm.MemoryManager) {
		m.Regions(0, func(r mm.Region) bool {
			if start == 0 {
				start = r.Start
			}
			end = r.End
			size += r.End - r.Start
			return true
		})
		in = m.Resident(start, end)
	})
	w.printf("%08x-%08x ---p 00000000 00:00 0                                  [rollup]\n", start, end)
	showResident(w, size, in)
}

// openMem opens /proc/PID/mem.
func openMem(o *object, _ *vfs.Context, _ *vfs.File) (vfs.FileOps, error) { return memFile{o: o}, nil }

// A memFile is a process's memory as a file: the offset is the address.
type memFile struct {
	vfs.FileDefaults
	o *object
}

// move moves data piece by piece by way of a buffer.
func (f memFile) move(seq *usermem.Seq, piece func(m *mm.MemoryManager, buf []byte) (int, error)) (int, error) {
	total := 0
	var err error
	f.o.memory(func(m *mm.MemoryManager) {
		buf := make([]byte, min(seq.Len(), 1<<16))
		for seq.Len() > 0 && err == nil {
			var n int
			n, err = piece(m, buf[:min(seq.Len(), uint64(len(buf)))])
			total += n
			if n == 0 {
				break
			}
		}
	})
	if total > 0 {
		return total, nil
	}
	if err == unix.EFAULT {
		err = unix.EIO
	}
	return 0, err
}

// Read implements vfs.FileOps.
func (f memFile) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, off int64, _ uint32) (int, error) {
	addr := uint64(off)
	return f.move(dst, func(m *mm.MemoryManager, buf []byte) (int, error) {
		n, err := m.ReadForced(nil, buf, addr)
		addr += uint64(n)
		if n > 0 {
			n, err = dst.CopyOut(buf[:n])
		}
		return n, err
	})
}

// Write implements vfs.FileOps.
func (f memFile) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, off int64, _ uint32) (int, error) {
	addr := uint64(off)
	return f.move(src, func(m *mm.MemoryManager, buf []byte) (int, error) {
		n, err := src.CopyIn(buf)
		if n > 0 {
			n, err = m.WriteForced(nil, addr, buf[:n])
		}
		addr += uint64(n)
		return n, err
	})
}

// Seek implements vfs.FileOps.
func (f memFile) Seek(_ *vfs.Context, file *vfs.File, off int64, whence int) (int64, error) {
	switch whence {
	case unix.SEEK_SET:
		return off, nil
	case unix.SEEK_CUR:
		return file.Pos() + off, nil
	}
	return 0, unix.EINVAL
}
