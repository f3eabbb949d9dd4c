package gofer

import "golang.org/x/sys/unix"

// connect: target, type uint32 -> nothing; a socket that is connected to the
// unix socket bound to the target is donated. It does not block: a listener
// whose queue is full gives EAGAIN.
func (w *worker) connect(d *decoder) (int, unix.Errno) {
	r := d.target()
	typ := d.u32()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	switch typ {
	case unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET:
	default:
		return -1, unix.EPROTOTYPE
	}
	t, e := w.target(r)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(t.n)
	if !w.s.trees[t.n.tree].Connect {
		return -1, unix.EACCES
	}
	path, e := t.path()
	if e != 0 {
		return -1, e
	}
	defer t.closePath(path)
	if e = w.statFD(path); e != 0 {
		return -1, e
	}
	if !isType(&w.st, unix.S_IFSOCK) {
		return -1, unix.ECONNREFUSED
	}
	sock, err := unix.Socket(unix.AF_UNIX, int(typ)|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err.(unix.Errno)
	}
	if e = connectUnix(sock, w.number(path)); e != 0 {
		closeFD(sock)
		return -1, e
	}
	return sock, 0
}
