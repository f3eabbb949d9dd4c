package gofer

import "golang.org/x/sys/unix"

// mkdir: dir, name, mode uint32, uid uint32, gid uint32 -> handle, attr, attr
// of dir.
func (w *worker) mkdir(d *decoder) (int, unix.Errno) {
	h := d.u64()
	name := d.name()
	mode, uid, gid := d.u32(), d.u32(), d.u32()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	if mode&^07777 != 0 {
		return -1, unix.EINVAL
	}
	n, e := w.writable(h)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(n)
	if e = mkdirat(n.fd, name, mode&0777); e != 0 {
		return -1, e
	}
	path, e := w.ownName(n, name, unix.O_DIRECTORY, mode, uid, gid, unix.AT_REMOVEDIR)
	if e != 0 {
		return -1, e
	}
	nh, e := w.adopt(path, n.tree)
	if e != 0 {
		unlinkat(n.fd, name, unix.AT_REMOVEDIR)
		return -1, e
	}
	w.rep.u64(nh)
	w.rep.putWatched(&w.st, w.watch)
	return -1, w.putDir(n)
}

// ownName calls own on the file that has just been made under a name, and
// returns its O_PATH descriptor; if that fails it removes the name again.
func (w *worker) ownName(n *node, name []byte, flags int, mode, uid, gid uint32, removal int) (int, unix.Errno) {
	path, e := openat(n.fd, name, unix.O_PATH|unix.O_NOFOLLOW|flags, 0)
	if e != 0 {
		return -1, e
	}
	if e = w.own(path, mode, uid, gid); e != 0 {
		closeFD(path)
		unlinkat(n.fd, name, removal)
		return -1, e
	}
	return path, 0
}

// symlink: dir, name, target string, uid uint32, gid uint32 -> attr, attr of
// dir.
func (w *worker) symlink(d *decoder) (int, unix.Errno) {
	h := d.u64()
	name := d.name()
	link := d.str(maxLink)
	uid, gid := d.u32(), d.u32()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	n, e := w.writable(h)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(n)
	if e = symlinkat(link, n.fd, name); e != 0 {
		return -1, e
	}
	return w.made(n, name, 0, uid, gid)
}

// made encodes the reply about a file that has just been made and gets no
// handle.
func (w *worker) made(n *node, name []byte, mode, uid, gid uint32) (int, unix.Errno) {
	path, e := w.ownName(n, name, 0, mode, uid, gid, 0)
	if e != 0 {
		return -1, e
	}
	closeFD(path)
	w.rep.putStatx(&w.st)
	return -1, w.putDir(n)
}

// mknod: dir, name, mode uint32, major uint32, minor uint32, uid uint32, gid
// uint32 -> attr, attr of dir.
func (w *worker) mknod(d *decoder) (int, unix.Errno) {
	h := d.u64()
	name := d.name()
	mode, major, minor := d.u32(), d.u32(), d.u32()
	uid, gid := d.u32(), d.u32()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	switch mode &^ 07777 {
	case unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR, unix.S_IFBLK:
	default:
		return -1, unix.EINVAL
	}
	n, e := w.writable(h)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(n)
	if e = mknodat(n.fd, name, mode&^07000, unix.Mkdev(major, minor)); e != 0 {
		return -1, e
	}
	return w.made(n, name, mode, uid, gid)
}

// link: target, new dir, new name -> attr, attr of new dir.
func (w *worker) link(d *decoder) (int, unix.Errno) {
	r := d.target()
	h := d.u64()
	name := d.name()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	t, e := w.target(r)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(t.n)
	n, e := w.writable(h)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(n)
	if t.n.tree != n.tree {
		return -1, unix.EXDEV
	}
	if r.name != nil {
		e = linkat(t.n.fd, r.name, n.fd, name, 0)
	} else {
		// Through the descriptor's number, because AT_EMPTY_PATH needs
		// CAP_DAC_READ_SEARCH.
		e = linkat(unix.AT_FDCWD, w.number(t.n.fd), n.fd, name, unix.AT_SYMLINK_FOLLOW)
	}
	if e != 0 {
		return -1, e
	}
	if e = statx(n.fd, name, unix.AT_SYMLINK_NOFOLLOW, &w.st); e != 0 {
		return -1, e
	}
	w.rep.putStatx(&w.st)
	return -1, w.putDir(n)
}
