package gofer

import "golang.org/x/sys/unix"

// sync: handle, what uint32 -> nothing.
func (w *worker) sync(d *decoder) (int, unix.Errno) {
	h := d.u64()
	what := d.u32()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	n := w.s.nodes.get(h)
	if n == nil {
		return -1, unix.ESTALE
	}
	defer w.s.nodes.put(n)
	var call uintptr
	switch what {
	case syncFile:
		call = unix.SYS_FSYNC
	case syncData:
		call = unix.SYS_FDATASYNC
	case syncFS:
		call = unix.SYS_SYNCFS
	default:
		return -1, unix.EINVAL
	}
	var fd int
	var e unix.Errno
	if n.dir {
		fd, e = openat(n.fd, dot, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	} else {
		fd, e = w.reopen(n.fd, unix.O_RDONLY)
	}
	if e != 0 {
		return -1, e
	}
	_, _, e = unix.Syscall(call, uintptr(fd), 0, 0)
	closeFD(fd)
	return -1, e
}

// fallocate: handle, mode uint32, offset uint64, length uint64 -> attr.
func (w *worker) fallocate(d *decoder) (int, unix.Errno) {
	h := d.u64()
	mode := d.u32()
	off, size := d.u64(), d.u64()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	t, e := w.writableTarget(targetRef{handle: h})
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(t.n)
	fd, e := w.reopen(t.n.fd, unix.O_WRONLY)
	if e != 0 {
		return -1, e
	}
	defer closeFD(fd)
	if e = fallocate(fd, mode, off, size); e != 0 {
		return -1, e
	}
	if e = w.statFD(fd); e != 0 {
		return -1, e
	}
	w.rep.putStatx(&w.st)
	return -1, 0
}
