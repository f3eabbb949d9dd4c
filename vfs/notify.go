package vfs

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// A Watch is somebody's interest in what happens to an Inode: inotify(7).
type Watch struct {
	// Mask is the IN_* events of interest, and IN_EXCL_UNLINK. It changes by
	// SetMask only.
	Mask uint32
	// Func is told of an event: its bit, with IN_ISDIR if it is about a
	// directory; the cookie of a rename; for an event of an entry in a
	// watched directory its name, else "". IN_IGNORED says that the Inode has
	// gone: it is the last. It must not block, nor use the file system; locks of
	// the core are held.
	Func func(w *Watch, mask, cookie uint32, name string)

	in *Inode
}

// A watchList has the watches of an Inode.
type watchList struct {
	mu   sync.Mutex
	list []*Watch
}

// watched reports whether there is any watch at all.
func (v *VFS) watched() bool { return v.watches.Load() > 0 }

// AddWatch makes w watch in, which it holds until RemoveWatch or IN_IGNORED.
func (in *Inode) AddWatch(w *Watch) {
	in.IncRef()
	w.in = in
	x := in.more()
	x.watch.mu.Lock()
	x.watch.list = append(x.watch.list, w)
	x.watch.mu.Unlock()
	in.sb.vfs.watches.Add(1)
}

// Remove ends the watch. It reports false if that has happened before.
func (w *Watch) Remove() bool {
	in := w.in
	l := &in.more().watch
	l.mu.Lock()
	i := slices.Index(l.list, w)
	if i >= 0 {
		l.list = slices.Delete(slices.Clone(l.list), i, i+1)
	}
	l.mu.Unlock()
	if i < 0 {
		return false
	}
	in.sb.vfs.watches.Add(-1)
	in.DecRef()
	return true
}

// Inode is what w watches.
func (w *Watch) Inode() *Inode { return w.in }

// SetMask changes the events of interest, or with add adds to them.
func (w *Watch) SetMask(mask uint32, add bool) {
	l := &w.in.more().watch
	l.mu.Lock()
	if add {
		mask |= w.Mask
	}
	w.Mask = mask
	l.mu.Unlock()
}

// notify tells those who watch in of an event that is about the object of. With
// IN_EXCL_UNLINK in event those do not hear of it who do not want to hear of what
// has no name any more.
func (in *Inode) notify(event uint32, of *Inode, cookie uint32, name string) {
	x := in.extra.Load()
	if x == nil {
		return
	}
	x.watch.mu.Lock()
	defer x.watch.mu.Unlock()
	for _, w := range x.watch.list {
		if w.Mask&event&^unix.IN_EXCL_UNLINK == 0 || w.Mask&event&unix.IN_EXCL_UNLINK != 0 {
			continue
		}
		mask := event &^ unix.IN_EXCL_UNLINK
		if mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) == 0 && of.IsDir() {
			mask |= unix.IN_ISDIR
		}
		w.Func(w, mask, cookie, name)
	}
}

// notifyGone tells those who watch in that it has gone, and ends their watches.
func (in *Inode) notifyGone() {
	in.notify(unix.IN_DELETE_SELF, in, 0, "")
	x := in.extra.Load()
	if x == nil {
		return
	}
	x.watch.mu.Lock()
	list := x.watch.list
	x.watch.list = nil
	for _, w := range list {
		w.Func(w, unix.IN_IGNORED, 0, "")
	}
	x.watch.mu.Unlock()
	in.sb.vfs.watches.Add(-int64(len(list)))
	for range list {
		in.DecRef()
	}
}

// notify tells those who watch d's directory and d's object, in, of an event.
func (d *Dentry) notify(in *Inode, event uint32) {
	at := d.at.Load()
	if at.parent != nil {
		if dir := at.parent.inode.Load(); dir != nil && dir.extra.Load() != nil {
			parental := event
			if d.unhashed.Load() {
				parental |= unix.IN_EXCL_UNLINK
			}
			dir.notify(parental, in, 0, at.name)
		}
	}
	in.notify(event, in, 0, "")
}

// notify tells those who watch f's directory and f's object of an event.
func (f *File) notify(event uint32) {
	if f.inode.sb.vfs.watched() && f.mode&modePath == 0 {
		f.path.Dentry.notify(f.inode, event)
	}
}

// notifyMove tells those who watch of a rename.
func (v *VFS) notifyMove(oldDir, newDir, child *Inode, name, newName string) {
	cookie := v.moves.Add(1)
	oldDir.notify(unix.IN_MOVED_FROM, child, cookie, name)
	newDir.notify(unix.IN_MOVED_TO, child, cookie, newName)
	child.notify(unix.IN_MOVE_SELF, child, 0, "")
}
