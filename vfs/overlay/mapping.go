package overlay

import (
	"sync"

	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// A layerMapping is the layer's file behind the mappings of a node. It stays open
// until the node goes.
type layerMapping struct {
	mu    sync.Mutex
	file  *vfs.File
	m     vfs.Mappable
	added bool // the node is registered with m
	write bool // for writing too
}

// wholeFile is the range by which a node is registered with a layer's file.
const wholeFile = 1 << 62

// openMapping opens the layer's file for mappings, if it is not yet. If the file is
// copied up later, remap opens the copy.
func (n *node) openMapping(ctx *vfs.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mapped.mu.Lock()
	open := n.mapped.file != nil
	n.mapped.mu.Unlock()
	if open {
		return nil
	}
	f, m, err := n.openTop(ctx)
	if err != nil {
		return err
	}
	n.mapped.mu.Lock()
	n.mapped.file, n.mapped.m = f, m
	n.mapped.mu.Unlock()
	return nil
}

// openTop opens the object that the node shows for mapping.
func (n *node) openTop(ctx *vfs.Context) (*vfs.File, vfs.Mappable, error) {
	top, layer := n.top()
	flags := uint32(unix.O_RDONLY)
	prot := unix.PROT_READ
	if layer == 0 && n.fs.upper {
		flags, prot = unix.O_RDWR, unix.PROT_READ|unix.PROT_WRITE
	}
	f, err := n.fs.open(ctx, layer, top, flags)
	if err != nil {
		return nil, nil, err
	}
	m, err := f.Ops().Mmap(ctx, f, prot, unix.MAP_SHARED)
	if err != nil {
		f.DecRef()
		return nil, nil, err
	}
	return f, m, nil
}

// remap moves mappings to the copy that has just been made. n.mu is held.
func (n *node) remap(ctx *vfs.Context) error {
	n.mapped.mu.Lock()
	open := n.mapped.file != nil
	n.mapped.mu.Unlock()
	if !open {
		return nil
	}
	f, m, err := n.openTop(ctx)
	if err != nil {
		return err
	}
	l := &n.mapped
	l.mu.Lock()
	oldFile, old, added, write := l.file, l.m, l.added, l.write
	l.file, l.m = f, m
	if added {
		err = m.AddMapping(n, 0, wholeFile, 0, write)
	}
	l.mu.Unlock()
	n.maps.Invalidate(n, 0, wholeFile, false)
	if added {
		old.RemoveMapping(n, 0, wholeFile, 0, write)
	}
	oldFile.DecRef()
	return err
}

// release lets go of the file, when nobody uses the node any more.
func (l *layerMapping) release(n *node) {
	if l.file == nil {
		return
	}
	if l.added {
		l.m.RemoveMapping(n, 0, wholeFile, 0, l.write)
	}
	l.file.DecRef()
	l.file, l.m = nil, nil
}

// Translate implements vfs.Mappable.
func (n *node) Translate(off, length uint64, write bool) (vfs.Backing, error) {
	n.mapped.mu.Lock()
	m := n.mapped.m
	n.mapped.mu.Unlock()
	return m.Translate(off, length, write)
}

// AddMapping implements vfs.Mappable. The layer's file knows the node as the only
// one that maps it, at addresses that are offsets.
func (n *node) AddMapping(m vfs.MappingSpace, addr, length, off uint64, writable bool) error {
	l := &n.mapped
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.added {
		if err := l.m.AddMapping(n, 0, wholeFile, 0, writable); err != nil {
			return err
		}
		l.added, l.write = true, writable
	} else if writable && !l.write {
		if err := l.m.AddMapping(n, 0, wholeFile, 0, true); err != nil {
			return err
		}
		l.m.RemoveMapping(n, 0, wholeFile, 0, false)
		l.write = true
	}
	n.maps.Add(m, addr, length, off, writable)
	return nil
}

// RemoveMapping implements vfs.Mappable.
func (n *node) RemoveMapping(m vfs.MappingSpace, addr, length, off uint64, writable bool) {
	n.maps.Remove(m, addr, length, off, writable)
}

// InvalidateMapping implements vfs.MappingSpace, towards the layer's file.
func (n *node) InvalidateMapping(_ vfs.Mappable, addr, length, _ uint64, dropPrivate bool) {
	n.maps.Invalidate(n, addr, addr+length, dropPrivate)
}
