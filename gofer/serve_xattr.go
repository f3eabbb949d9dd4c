package gofer

import "golang.org/x/sys/unix"

// xattrTarget looks up the target of an operation on extended attributes and
// returns the name that leads to its file. The caller calls done.
func (w *worker) xattrTarget(r targetRef, change bool) (path []byte, t target, fd int, e unix.Errno) {
	if change {
		t, e = w.writableTarget(r)
	} else {
		t, e = w.target(r)
	}
	if e != 0 {
		return nil, t, -1, e
	}
	if fd, e = t.path(); e != 0 {
		w.s.nodes.put(t.n)
		return nil, t, -1, e
	}
	return w.number(fd), t, fd, 0
}

func (w *worker) xattrDone(t *target, fd int) {
	t.closePath(fd)
	w.s.nodes.put(t.n)
}

// putValue encodes the length of an attribute's value or list and, if the
// client asked for more than the length, its bytes.
func (w *worker) putValue(n int, size uint32) {
	w.rep.u32(uint32(n))
	if size != 0 {
		w.rep.bytes(w.text[:n])
	}
}

// getxattr: target, size uint32, name -> length uint32, value (none if size
// was 0).
func (w *worker) getxattr(d *decoder) (int, unix.Errno) {
	r := d.target()
	size := d.u32()
	name := d.str(maxName)
	if !d.ok() {
		return -1, unix.EPROTO
	}
	path, t, fd, e := w.xattrTarget(r, false)
	if e != 0 {
		return -1, e
	}
	defer w.xattrDone(&t, fd)
	n, e := getxattr(path, name, w.text[:min(size, maxXattr)])
	if e != 0 {
		return -1, e
	}
	w.putValue(n, size)
	return -1, 0
}

// listxattr: target, size uint32 -> length uint32, names with their NULs (none
// if size was 0).
func (w *worker) listxattr(d *decoder) (int, unix.Errno) {
	r := d.target()
	size := d.u32()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	path, t, fd, e := w.xattrTarget(r, false)
	if e != 0 {
		return -1, e
	}
	defer w.xattrDone(&t, fd)
	n, e := listxattr(path, w.text[:min(size, maxXattr)])
	if e != 0 {
		return -1, e
	}
	w.putValue(n, size)
	return -1, 0
}

// setxattr: target, flags uint32, length uint32, value, name -> nothing.
func (w *worker) setxattr(d *decoder) (int, unix.Errno) {
	r := d.target()
	flags := d.u32()
	value := d.take(int(d.u32()))
	name := d.str(maxName)
	if !d.ok() {
		return -1, unix.EPROTO
	}
	path, t, fd, e := w.xattrTarget(r, true)
	if e != 0 {
		return -1, e
	}
	defer w.xattrDone(&t, fd)
	return -1, setxattr(path, name, value, flags)
}

// removexattr: target, name -> nothing.
func (w *worker) removexattr(d *decoder) (int, unix.Errno) {
	r := d.target()
	name := d.str(maxName)
	if !d.ok() {
		return -1, unix.EPROTO
	}
	path, t, fd, e := w.xattrTarget(r, true)
	if e != 0 {
		return -1, e
	}
	defer w.xattrDone(&t, fd)
	return -1, removexattr(path, name)
}
