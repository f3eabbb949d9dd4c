package gofer

import "golang.org/x/sys/unix"

// openFlags are the flags of open(2) that a client may ask for.
const openFlags = unix.O_ACCMODE | unix.O_TRUNC | unix.O_SYNC | unix.O_DSYNC | unix.O_DIRECT | unix.O_NOATIME

// changes reports whether opening with these flags needs a writable tree.
func changes(flags int) bool {
	return flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0
}

// open: target, flags uint32 -> handle (0 if the target was a handle), attr;
// a descriptor is donated.
func (w *worker) open(d *decoder) (int, unix.Errno) {
	r := d.target()
	flags := int(d.u32())
	if !d.ok() {
		return -1, unix.EPROTO
	}
	if flags&^openFlags != 0 || flags&unix.O_ACCMODE == unix.O_ACCMODE {
		return -1, unix.EINVAL
	}
	t, e := w.target(r)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(t.n)
	if changes(flags) && w.s.trees[t.n.tree].ReadOnly {
		return -1, unix.EROFS
	}
	if r.name != nil {
		return w.openName(t.n, r.name, flags)
	}
	fd, e := w.reopen(t.n.fd, flags)
	if e != 0 {
		return -1, e
	}
	w.rep.u64(0)
	w.rep.putStatx(&w.st)
	return fd, 0
}

// reopen opens the regular file that an O_PATH descriptor stands for, and
// leaves its attributes in w.st. Files of other types are never opened.
func (w *worker) reopen(path int, flags int) (int, unix.Errno) {
	if e := w.statFD(path); e != 0 {
		return -1, e
	}
	switch w.st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return -1, unix.EISDIR
	case unix.S_IFLNK:
		return -1, unix.ELOOP
	default:
		return -1, unix.ENXIO
	}
	fd, e := openat(unix.AT_FDCWD, w.number(path), flags, 0)
	if e == 0 && flags&unix.O_TRUNC != 0 {
		if e = w.statFD(fd); e != 0 {
			closeFD(fd)
			return -1, e
		}
	}
	return fd, e
}

// openName opens a name in a directory, and encodes a handle and the
// attributes of the file.
func (w *worker) openName(n *node, name []byte, flags int) (int, unix.Errno) {
	path, e := openat(n.fd, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if e != 0 {
		return -1, e
	}
	fd, e := w.reopen(path, flags)
	if e != 0 {
		closeFD(path)
		return -1, e
	}
	return w.donate(path, fd, n.tree)
}

// donate makes a handle of path and encodes it with the attributes in w.st; it
// returns fd to be donated. On failure it closes both.
func (w *worker) donate(path, fd, tree int) (int, unix.Errno) {
	h, e := w.s.nodes.add(path, tree, false, 0)
	if e != 0 {
		closeFD(path)
		closeFD(fd)
		return -1, e
	}
	w.rep.u64(h)
	w.rep.putStatx(&w.st)
	return fd, 0
}

// createRetries is how often create looks again at a name that others make
// and remove at the same time.
const createRetries = 16

// create: dir, name, flags uint32, mode uint32, uid uint32, gid uint32 ->
// created uint32, 0 uint32, handle, attr, attr of dir; a descriptor is
// donated.
func (w *worker) create(d *decoder) (int, unix.Errno) {
	h := d.u64()
	name := d.name()
	flags := int(d.u32())
	mode, uid, gid := d.u32(), d.u32(), d.u32()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	excl := flags&unix.O_EXCL != 0
	flags &^= unix.O_EXCL
	if flags&^openFlags != 0 || flags&unix.O_ACCMODE == unix.O_ACCMODE || mode&^07777 != 0 {
		return -1, unix.EINVAL
	}
	n, e := w.writable(h)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(n)

	start := w.rep.n
	for try := 0; try < createRetries; try++ {
		// With O_EXCL the file is new, so it is neither a device nor a link.
		fd, e := openat(n.fd, name, flags|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, mode&0777)
		if e == 0 {
			return w.created(n, name, fd, mode, uid, gid)
		}
		if e != unix.EEXIST || excl {
			return -1, e
		}
		w.rep.n = start
		w.rep.u32(0)
		w.rep.u32(0)
		fd, e = w.openName(n, name, flags)
		if e == 0 {
			if e = w.putDir(n); e != 0 {
				closeFD(fd)
				return -1, e
			}
			return fd, 0
		}
		if e != unix.ENOENT {
			return -1, e
		}
	}
	return -1, unix.ENOENT
}

// created gives a new regular file its owner and mode, makes its handle and
// encodes the reply.
func (w *worker) created(n *node, name []byte, fd int, mode, uid, gid uint32) (int, unix.Errno) {
	// The handle must not be the descriptor that can write, which would keep
	// the host from executing the file (ETXTBSY) as long as it is cached.
	path, e := openat(unix.AT_FDCWD, w.number(fd), unix.O_PATH, 0)
	if e == 0 {
		if e = w.own(path, mode, uid, gid); e != 0 {
			closeFD(path)
		}
	}
	if e != 0 {
		closeFD(fd)
		unlinkat(n.fd, name, 0)
		return -1, e
	}
	w.rep.u32(1)
	w.rep.u32(0)
	if fd, e = w.donate(path, fd, n.tree); e != 0 {
		unlinkat(n.fd, name, 0)
		return -1, e
	}
	if e = w.putDir(n); e != 0 {
		closeFD(fd)
		return -1, e
	}
	return fd, 0
}

// tmpfile: dir, flags uint32, mode uint32, uid uint32, gid uint32 -> handle, attr;
// a descriptor is donated.
func (w *worker) tmpfile(d *decoder) (int, unix.Errno) {
	h := d.u64()
	flags := int(d.u32())
	mode, uid, gid := d.u32(), d.u32(), d.u32()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	excl := flags & unix.O_EXCL
	flags &^= unix.O_EXCL
	if flags&^openFlags != 0 || flags&unix.O_ACCMODE != unix.O_RDWR || mode&^07777 != 0 {
		return -1, unix.EINVAL
	}
	n, e := w.writable(h)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(n)
	fd, e := openat(unix.AT_FDCWD, w.number(n.fd), flags|excl|unix.O_TMPFILE, mode&0777)
	if e != 0 {
		return -1, e
	}
	path, e := openat(unix.AT_FDCWD, w.number(fd), unix.O_PATH, 0)
	if e == 0 {
		if e = w.own(path, mode, uid, gid); e != 0 {
			closeFD(path)
		}
	}
	if e != 0 {
		closeFD(fd)
		return -1, e
	}
	return w.donate(path, fd, n.tree)
}

// noID leaves an owner as it is (chown(2)).
const noID = ^uint32(0)

// own gives a new file, of which path is a descriptor, its owner and those
// bits of its mode that creation does not set or chown clears. It leaves the
// attributes in w.st.
func (w *worker) own(path int, mode, uid, gid uint32) unix.Errno {
	e := w.statFD(path)
	if e != 0 {
		return e
	}
	changed := false
	if uid != noID && uid != w.st.Uid || gid != noID && gid != w.st.Gid {
		if e = fchownat(path, emptyName, uid, gid, unix.AT_EMPTY_PATH); e != 0 {
			return e
		}
		changed = true
	}
	if special := mode & 07000; special != 0 && !isType(&w.st, unix.S_IFLNK) {
		if e = fchmodat(unix.AT_FDCWD, w.number(path), uint32(w.st.Mode)&07777|special); e != 0 {
			return e
		}
		changed = true
	}
	if changed {
		return w.statFD(path)
	}
	return 0
}
