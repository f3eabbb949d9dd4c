package gofer

import "golang.org/x/sys/unix"

// setattr: target, SetAttr -> attr. If one of several changes fails, those
// before it in the order size, owner, mode, times have been made.
func (w *worker) setattr(d *decoder) (int, unix.Errno) {
	r := d.target()
	var a SetAttr
	d.setAttr(&a)
	if !d.ok() {
		return -1, unix.EPROTO
	}
	if a.Valid&^setAll != 0 || a.Size > 1<<63-1 {
		return -1, unix.EINVAL
	}
	t, e := w.writableTarget(r)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(t.n)
	path, e := t.path()
	if e != 0 {
		return -1, e
	}
	defer t.closePath(path)
	if a.Valid&SetSize != 0 {
		if e = truncate(w.number(path), a.Size); e != 0 {
			return -1, e
		}
	}
	if a.Valid&(SetUID|SetGID) != 0 {
		uid, gid := noID, noID
		if a.Valid&SetUID != 0 {
			uid = a.UID
		}
		if a.Valid&SetGID != 0 {
			gid = a.GID
		}
		if e = fchownat(path, emptyName, uid, gid, unix.AT_EMPTY_PATH); e != 0 {
			return -1, e
		}
	}
	if a.Valid&SetMode != 0 {
		if e = fchmodat(unix.AT_FDCWD, w.number(path), a.Mode&07777); e != 0 {
			return -1, e
		}
	}
	if a.Valid&(SetAtime|SetMtime) != 0 {
		ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
		if a.Valid&SetAtime != 0 {
			ts[0] = unix.Timespec{Sec: a.Atime.Sec, Nsec: int64(a.Atime.Nsec)}
		}
		if a.Valid&SetMtime != 0 {
			ts[1] = unix.Timespec{Sec: a.Mtime.Sec, Nsec: int64(a.Mtime.Nsec)}
		}
		if e = utimensat(path, emptyName, &ts, unix.AT_EMPTY_PATH); e != 0 {
			return -1, e
		}
	}
	if e = w.statFD(path); e != 0 {
		return -1, e
	}
	w.rep.putStatx(&w.st)
	return -1, 0
}
