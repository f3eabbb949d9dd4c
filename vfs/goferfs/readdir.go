package goferfs

import (
	"cmp"
	"slices"

	"casemate/vfs"
)

// A dirFile is an open directory. It reads the names when it is at its beginning.
type dirFile struct {
	vfs.DirectoryFile
	n    *node
	ents []dirent // position 2+i is entry i
	read bool
}

// A dirent is an entry as getdents64(2) has it.
type dirent struct {
	name  string
	ino   uint64
	place uint32 // listed.place; 0 for what is not from a listing
	typ   uint8
}

// ReadDir implements vfs.FileOps.
func (d *dirFile) ReadDir(_ *vfs.Context, f *vfs.File, e *vfs.DirEmitter) error {
	if e.Pos == 0 || !d.read {
		if err := d.fill(); err != nil {
			return err
		}
	}
	if !e.Dots(f) {
		return nil
	}
	for i := e.Pos - 2; i < int64(len(d.ents)); i++ {
		ent := &d.ents[i]
		if !e.Emit(ent.name, ent.ino, ent.typ, i+3) {
			return nil
		}
	}
	return nil
}

// fill takes all names from the listing, or reads them, which makes the listing.
func (d *dirFile) fill() error {
	n := d.n
	n.listMu.Lock()
	defer n.listMu.Unlock()
	n.relist()
	if n.list.names == nil {
		ents, err := n.load()
		if err != nil {
			return err
		}
		d.ents, d.read = ents, true
		return nil
	}
	d.ents, d.read = d.ents[:0], true
	for name, e := range n.list.names {
		d.ents = append(d.ents, dirent{name, e.ino, e.place, e.typ})
	}
	slices.SortFunc(d.ents, func(a, b dirent) int { return cmp.Compare(a.place, b.place) })
	return nil
}

// Seek implements vfs.FileOps.
func (d *dirFile) Seek(_ *vfs.Context, f *vfs.File, off int64, whence int) (int64, error) {
	return vfs.SeekSized(f, off, whence, 0)
}

// Fsync implements vfs.FileOps.
func (d *dirFile) Fsync(_ *vfs.Context, _ *vfs.File, dataOnly bool) error {
	h, err := d.n.anyHandle()
	if err != nil {
		return err
	}
	return d.n.fs.client.Fsync(h, dataOnly)
}
