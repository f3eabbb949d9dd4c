package gofer

import "golang.org/x/sys/unix"

// A target is the file that a request is about: a handle's own file, or the
// file of a name in a handle's directory. It is what the *at system calls take.
type target struct {
	n     *node
	name  []byte // with a NUL; empty for the handle's own file
	flags int    // AT_EMPTY_PATH or AT_SYMLINK_NOFOLLOW
}

// targetRef is a target as the request names it, not yet looked up.
type targetRef struct {
	handle uint64
	name   []byte // nil for the handle's own file
}

func (d *decoder) target() targetRef { return targetRef{d.u64(), d.optName()} }

// target looks a reference up. The caller puts back t.n.
func (w *worker) target(r targetRef) (t target, e unix.Errno) {
	n := w.s.nodes.get(r.handle)
	switch {
	case n == nil:
		return t, unix.ESTALE
	case r.name == nil:
		return target{n, emptyName, unix.AT_EMPTY_PATH}, 0
	case !n.dir:
		w.s.nodes.put(n)
		return t, unix.ENOTDIR
	}
	return target{n, r.name, unix.AT_SYMLINK_NOFOLLOW}, 0
}

// path returns an O_PATH descriptor of the target, which the caller closes
// with closePath.
func (t *target) path() (int, unix.Errno) {
	if t.flags == unix.AT_EMPTY_PATH {
		return t.n.fd, 0
	}
	return openat(t.n.fd, t.name, unix.O_PATH|unix.O_NOFOLLOW, 0)
}

func (t *target) closePath(fd int) {
	if t.flags != unix.AT_EMPTY_PATH {
		closeFD(fd)
	}
}

// directory looks up the handle of a directory. The caller puts the node back.
func (w *worker) directory(h uint64) (*node, unix.Errno) {
	n := w.s.nodes.get(h)
	if n == nil {
		return nil, unix.ESTALE
	}
	if !n.dir {
		w.s.nodes.put(n)
		return nil, unix.ENOTDIR
	}
	return n, 0
}

// writable is directory for a change: it fails with EROFS on a read-only tree.
func (w *worker) writable(h uint64) (*node, unix.Errno) {
	n, e := w.directory(h)
	if e == 0 && w.s.trees[n.tree].ReadOnly {
		w.s.nodes.put(n)
		return nil, unix.EROFS
	}
	return n, e
}

// writableTarget is target for a change.
func (w *worker) writableTarget(r targetRef) (target, unix.Errno) {
	t, e := w.target(r)
	if e == 0 && w.s.trees[t.n.tree].ReadOnly {
		w.s.nodes.put(t.n)
		return t, unix.EROFS
	}
	return t, e
}

// statFD reads the attributes of a descriptor's file into w.st.
func (w *worker) statFD(fd int) unix.Errno {
	return statx(fd, emptyName, unix.AT_EMPTY_PATH, &w.st)
}

// putDir encodes the attributes of a directory that has just been changed.
func (w *worker) putDir(n *node) unix.Errno {
	e := w.statFD(n.fd)
	if e == 0 {
		w.rep.putStatx(&w.st)
	}
	return e
}

func isType(st *unix.Statx_t, typ uint16) bool { return st.Mode&unix.S_IFMT == typ }
