package gofer

import "golang.org/x/sys/unix"

// unlink: dir, name, flags uint32 (0 or AT_REMOVEDIR) -> attr of dir.
func (w *worker) unlink(d *decoder) (int, unix.Errno) {
	h := d.u64()
	name := d.name()
	flags := d.u32()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	if flags&^unix.AT_REMOVEDIR != 0 {
		return -1, unix.EINVAL
	}
	n, e := w.writable(h)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(n)
	if e = unlinkat(n.fd, name, int(flags)); e != 0 {
		return -1, e
	}
	return -1, w.putDir(n)
}

// rename: old dir, old name, new dir, new name, flags uint32 -> attr of old
// dir, attr of new dir.
func (w *worker) rename(d *decoder) (int, unix.Errno) {
	oldH := d.u64()
	oldName := d.name()
	newH := d.u64()
	newName := d.name()
	flags := d.u32()
	if !d.ok() {
		return -1, unix.EPROTO
	}
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return -1, unix.EINVAL
	}
	from, e := w.writable(oldH)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(from)
	to, e := w.writable(newH)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(to)
	if from.tree != to.tree {
		return -1, unix.EXDEV
	}
	if e = renameat2(from.fd, oldName, to.fd, newName, flags); e != 0 {
		return -1, e
	}
	if e = w.putDir(from); e != 0 {
		return -1, e
	}
	return -1, w.putDir(to)
}
