package gofer

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// attach: tree uint32 -> handle, tree flags uint32, 0 uint32, attr.
func (w *worker) attach(d *decoder) (int, unix.Errno) {
	i := d.u32()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	if uint64(i) >= uint64(len(w.s.trees)) {
		return -1, unix.ENOENT
	}
	t := &w.s.trees[i]
	fd, e := fcntlDup(t.FD)
	if e != 0 {
		return -1, e
	}
	if e = w.statFD(fd); e != 0 {
		closeFD(fd)
		return -1, e
	}
	h, e := w.adopt(fd, int(i))
	if e != 0 {
		return -1, e
	}
	var flags uint32
	if t.ReadOnly {
		flags |= treeReadOnly
	}
	if t.Shared {
		flags |= treeShared
	}
	if t.Connect {
		flags |= treeConnect
	}
	w.rep.u64(h)
	w.rep.u32(flags)
	w.rep.u32(0)
	w.rep.putWatched(&w.st, w.watch)
	return -1, 0
}

// adopt makes a handle for a descriptor whose attributes are in w.st, and leaves
// its watch in w.watch; on failure it closes the descriptor.
func (w *worker) adopt(fd, tree int) (uint64, unix.Errno) {
	dir, t := isType(&w.st, unix.S_IFDIR), &w.s.nodes
	w.watch = 0
	if dir && t.watcher.fd >= 0 && !w.s.trees[tree].Shared {
		w.watch = t.watcher.add(w.number(fd))
	}
	h, e := t.add(fd, tree, dir, w.watch)
	if e != 0 {
		t.watcher.remove(w.watch)
		closeFD(fd)
	}
	return h, e
}

// walk: dir, flags uint16, n uint16, n names -> stop uint16, count uint16,
// errno uint32, count times (handle, attr), and the link's target if the walk
// stopped at one.
func (w *worker) walk(d *decoder) (int, unix.Errno) {
	h := d.u64()
	flags := d.u16()
	count := int(d.u16())
	if d.bad || count == 0 || count > maxWalk || flags&^walkHandles != 0 {
		return -1, unix.EPROTO
	}
	// All names are checked before the first is looked up.
	for c := *d; count >= 0; count-- {
		if count == 0 {
			if !c.ok() {
				return -1, unix.EPROTO
			}
			break
		}
		c.name()
	}
	n, e := w.directory(h)
	if e != 0 {
		return -1, e
	}
	defer func() { w.s.nodes.put(n) }()

	head := w.rep.room(8)
	stop, done := stopNone, 0
	for stop == stopNone && len(d.b) > 0 {
		name := d.name()
		last := len(d.b) == 0
		var link int
		if h, link, e = w.step(n, name, last, flags&walkHandles != 0); e != 0 {
			stop = stopError
			if e == unix.ENOENT {
				stop, e = stopMissing, 0
			}
			break
		}
		w.rep.u64(h)
		w.rep.putWatched(&w.st, w.watch)
		done++
		switch w.st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			if last {
				break
			}
			next := w.s.nodes.get(h)
			if next == nil {
				stop, e = stopError, unix.ESTALE // released by another request
				break
			}
			w.s.nodes.put(n)
			n = next
		case unix.S_IFLNK:
			stop = stopSymlink
			putString(&w.rep, w.text[:link])
		default:
			if !last {
				stop = stopNotDir
			}
		}
	}
	binary.LittleEndian.PutUint16(head[0:], uint16(stop))
	binary.LittleEndian.PutUint16(head[2:], uint16(done))
	binary.LittleEndian.PutUint32(head[4:], uint32(e))
	return -1, 0
}

// step looks one name up and leaves its attributes in w.st and, if it is a
// symbolic link, the first link bytes of w.text as its target. It returns a
// handle for a directory, or for any file if all is set, else 0.
func (w *worker) step(n *node, name []byte, last, all bool) (h uint64, link int, e unix.Errno) {
	w.watch = 0
	if last && !all {
		// Most last components are neither directories nor links: ask first.
		e = statx(n.fd, name, unix.AT_SYMLINK_NOFOLLOW, &w.st)
		if e != 0 || !isType(&w.st, unix.S_IFDIR) && !isType(&w.st, unix.S_IFLNK) {
			return 0, 0, e
		}
	}
	fd, e := openat(n.fd, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if e != 0 {
		return 0, 0, e
	}
	if e = w.statFD(fd); e == 0 && isType(&w.st, unix.S_IFLNK) {
		link, e = w.readLink(fd, emptyName)
	}
	if e != 0 || !all && !isType(&w.st, unix.S_IFDIR) {
		closeFD(fd)
		return 0, link, e
	}
	h, e = w.adopt(fd, n.tree)
	return h, link, e
}

// readLink reads the target of a symbolic link into w.text.
func (w *worker) readLink(dir int, name []byte) (int, unix.Errno) {
	n, e := readlinkat(dir, name, w.text[:maxLink+1])
	if e == 0 && n > maxLink {
		return 0, unix.ENAMETOOLONG
	}
	return n, e
}

// getattr: n uint16, n targets -> n times (errno uint32, attr).
func (w *worker) getattr(d *decoder) (int, unix.Errno) {
	count := int(d.u16())
	if count > maxGetattr {
		return -1, unix.EPROTO
	}
	for ; count > 0; count-- {
		r := d.target()
		if d.bad {
			return -1, unix.EPROTO
		}
		t, e := w.target(r)
		if e == 0 {
			e = statx(t.n.fd, t.name, t.flags, &w.st)
			w.s.nodes.put(t.n)
		}
		if e != 0 {
			w.st = unix.Statx_t{}
		}
		w.rep.u32(uint32(e))
		w.rep.putStatx(&w.st)
	}
	if !d.ok() {
		return -1, unix.EPROTO
	}
	return -1, 0
}

// readlink: target -> string.
func (w *worker) readlink(d *decoder) (int, unix.Errno) {
	r := d.target()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	t, e := w.target(r)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(t.n)
	n, e := w.readLink(t.n.fd, t.name)
	if e != 0 {
		return -1, e
	}
	putString(&w.rep, w.text[:n])
	return -1, 0
}

// statfs: handle -> type, bsize, blocks, bfree, bavail, files, ffree, namelen,
// frsize, flags: uint64 each.
func (w *worker) statfs(d *decoder) (int, unix.Errno) {
	h := d.u64()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	n := w.s.nodes.get(h)
	if n == nil {
		return -1, unix.ESTALE
	}
	defer w.s.nodes.put(n)
	st := &w.stfs
	if e := fstatfs(n.fd, st); e != 0 {
		return -1, e
	}
	for _, v := range [...]uint64{uint64(st.Type), uint64(st.Bsize), st.Blocks, st.Bfree, st.Bavail,
		st.Files, st.Ffree, uint64(st.Namelen), uint64(st.Frsize), uint64(st.Flags)} {
		w.rep.u64(v)
	}
	return -1, 0
}

// release: nothing; the handles stand before every request's body.
func (w *worker) release(d *decoder) (int, unix.Errno) {
	if !d.ok() {
		return -1, unix.EPROTO
	}
	return -1, 0
}
