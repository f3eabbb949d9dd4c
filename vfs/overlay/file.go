package overlay

import (
	"sync"

	"casemate/netstack/pkt"
	"casemate/vfs"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// Open implements vfs.InodeOps.
func (n *node) Open(ctx *vfs.Context, f *vfs.File) (vfs.FileOps, error) {
	switch n.Type() {
	case unix.S_IFDIR:
		return &dirFile{}, nil
	case unix.S_IFREG:
	default:
		return nil, unix.ENXIO
	}
	if f.Writable() {
		if _, err := n.copyUp(ctx); err != nil {
			return nil, err
		}
	}
	o := &file{n: n}
	if _, err := o.layer(ctx, f); err != nil {
		return nil, err
	}
	return o, nil
}

// A file is an open regular file. It works on the layer's file, and changes to the
// copy when the file has been copied up.
type file struct {
	vfs.FileDefaults
	n *node

	mu   sync.Mutex
	real *vfs.File
	of   *vfs.Inode // what real is a file of
	old  []*vfs.File
}

// layer returns the file of the layer that counts now. It is good until o is
// released.
func (o *file) layer(ctx *vfs.Context, f *vfs.File) (*vfs.File, error) {
	top, layer := o.n.top()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == top {
		return o.real, nil
	}
	const kept = unix.O_ACCMODE | unix.O_DIRECT | unix.O_NOATIME
	r, err := o.n.fs.open(ctx, layer, top, f.Flags()&kept)
	if err != nil {
		return nil, err
	}
	if o.real != nil {
		o.old = append(o.old, o.real)
	}
	o.real, o.of = r, top
	return r, nil
}

// Read implements vfs.FileOps.
func (o *file) Read(ctx *vfs.Context, f *vfs.File, dst *usermem.Seq, off int64, flags uint32) (int, error) {
	r, err := o.layer(ctx, f)
	if err != nil {
		return 0, err
	}
	return r.Ops().Read(ctx, r, dst, off, flags)
}

// Lend implements vfs.Lender.
func (o *file) Lend(ctx *vfs.Context, f *vfs.File, off int64, n int) (pkt.Frag, bool) {
	r, err := o.layer(ctx, f)
	if err != nil {
		return pkt.Frag{}, false
	}
	return r.Lend(ctx, off, n)
}

// Write implements vfs.FileOps.
func (o *file) Write(ctx *vfs.Context, f *vfs.File, src *usermem.Seq, off int64, flags uint32) (int, error) {
	r, err := o.layer(ctx, f)
	if err != nil {
		return 0, err
	}
	n, err := r.Ops().Write(ctx, r, src, off, flags)
	o.n.SetSize(r.Inode().Size())
	return n, err
}

// Seek implements vfs.FileOps.
func (o *file) Seek(ctx *vfs.Context, f *vfs.File, off int64, whence int) (int64, error) {
	r, err := o.layer(ctx, f)
	if err != nil {
		return 0, err
	}
	if whence == unix.SEEK_DATA || whence == unix.SEEK_HOLE {
		return r.Ops().Seek(ctx, r, off, whence)
	}
	return vfs.SeekSized(f, off, whence, r.Inode().Size())
}

// Ioctl implements vfs.FileOps.
func (o *file) Ioctl(ctx *vfs.Context, f *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	r, err := o.layer(ctx, f)
	if err != nil {
		return 0, err
	}
	return r.Ops().Ioctl(ctx, r, cmd, arg)
}

// Fsync implements vfs.FileOps.
func (o *file) Fsync(ctx *vfs.Context, f *vfs.File, dataOnly bool) error {
	r, err := o.layer(ctx, f)
	if err != nil {
		return err
	}
	return r.Ops().Fsync(ctx, r, dataOnly)
}

// Fallocate implements vfs.FileOps.
func (o *file) Fallocate(ctx *vfs.Context, f *vfs.File, mode uint32, off, length int64) error {
	r, err := o.layer(ctx, f)
	if err != nil {
		return err
	}
	err = r.Ops().Fallocate(ctx, r, mode, off, length)
	o.n.SetSize(r.Inode().Size())
	return err
}

// Release implements vfs.FileOps.
func (o *file) Release(*vfs.File) {
	for _, r := range append(o.old, o.real) {
		r.DecRef()
	}
}

// Mmap implements vfs.FileOps.
func (o *file) Mmap(ctx *vfs.Context, f *vfs.File, prot, flags int) (vfs.Mappable, error) {
	n := o.n
	if flags&unix.MAP_SHARED != 0 && prot&unix.PROT_WRITE != 0 {
		if _, err := n.copyUp(ctx); err != nil {
			return nil, err
		}
	}
	if err := n.openMapping(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// A dirFile is an open directory: a list of what was there when it was read from
// the beginning.
type dirFile struct {
	vfs.DirectoryFile
	list []entry
	read bool
}

// An entry is a name in the union.
type entry struct {
	name string
	ino  uint64
	typ  uint8
}

// ReadDir implements vfs.FileOps.
func (d *dirFile) ReadDir(ctx *vfs.Context, f *vfs.File, e *vfs.DirEmitter) error {
	if e.Pos == 0 || !d.read {
		list, _, err := f.Inode().Ops().(*node).entries(ctx)
		if err != nil {
			return err
		}
		d.list, d.read = list, true
	}
	if !e.Dots(f) {
		return nil
	}
	for e.Pos >= 2 && e.Pos-2 < int64(len(d.list)) {
		x := &d.list[e.Pos-2]
		if !e.Emit(x.name, x.ino, x.typ, e.Pos+1) {
			break
		}
	}
	return nil
}

// Seek implements vfs.FileOps.
func (d *dirFile) Seek(_ *vfs.Context, f *vfs.File, off int64, whence int) (int64, error) {
	return vfs.SeekSized(f, off, whence, 1<<63-1)
}

// entries returns what is in the directory, and the whiteouts in its upper part.
func (n *node) entries(ctx *vfs.Context) (list []entry, whiteouts []string, err error) {
	seen := make(map[string]bool)
	if u := n.upper.Load(); u != nil {
		if err := n.readLayer(ctx, 0, u, seen, &list, &whiteouts); err != nil {
			return nil, nil, err
		}
	}
	for _, l := range n.lower {
		var covered []string
		if err := n.readLayer(ctx, l.layer, l.inode, seen, &list, &covered); err != nil {
			return nil, nil, err
		}
	}
	return list, whiteouts, nil
}

// readLayer adds what is in a layer's directory and not seen yet.
func (n *node) readLayer(ctx *vfs.Context, layer int, dir *vfs.Inode, seen map[string]bool, list *[]entry, whiteouts *[]string) error {
	f, err := n.fs.open(ctx, layer, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.DecRef()
	first := len(*list)
	e := vfs.DirEmitter{Func: func(name string, ino uint64, typ uint8, _ int64) bool {
		if name != "." && name != ".." && !seen[name] {
			*list = append(*list, entry{name, n.fs.inoOf(layer, ino), typ})
		}
		return true
	}}
	for {
		before := f.Pos()
		if err := f.ReadDir(ctx, &e); err != nil {
			return err
		}
		if f.Pos() == before {
			break
		}
	}
	kept := (*list)[:first]
	for _, x := range (*list)[first:] {
		seen[x.name] = true
		if x.typ == unix.DT_CHR {
			in, err := lookup(ctx, dir, x.name)
			if err != nil {
				return err
			}
			if in != nil {
				white := isWhiteout(in)
				in.DecRef()
				if white {
					*whiteouts = append(*whiteouts, x.name)
					continue
				}
			}
		}
		kept = append(kept, x)
	}
	*list = kept
	return nil
}
