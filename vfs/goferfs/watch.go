package goferfs

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/vfs"
)

// An engine may change even a tree that is the sandbox's own: docker cp does. So the gofer
// watches directories, and a dirWatch, which a directory has as long as it has a handle,
// keeps what is known of names that came and went: what the sentry did itself is expected,
// the rest makes it look again.
type dirWatch struct {
	watch *gofer.Watch
	// suspicious says that there are suspects, or that the listing is not true any more.
	suspicious atomic.Bool

	mu sync.Mutex
	// own are the changes of the sentry's own that are still to be heard of.
	own map[gofer.Change]int
	// suspects are names that others have changed.
	suspects map[string]struct{}
	// unlisted says that the listing is not true any more.
	unlisted bool
}

// maxSuspects is how many names are kept: beyond, all names of the file system are forgotten.
const maxSuspects = 1 << 12

// observe begins to watch n, which has just got a handle; id came with that. n.mu is held.
func (n *node) observe(id gofer.WatchID) {
	if !n.IsDir() || n.fs.shared {
		return
	}
	w := new(dirWatch)
	if w.watch = n.fs.client.Watch(id, func(c gofer.Change) { n.heard(w, c) }); w.watch != nil {
		n.watch.Store(w)
	}
}

// unobserve ends that.
func (n *node) unobserve() {
	if w := n.watch.Swap(nil); w != nil {
		w.watch.Stop()
	}
}

// heard takes a change in n.
func (n *node) heard(w *dirWatch, c gofer.Change) {
	w.mu.Lock()
	if w.met(c) {
		w.mu.Unlock()
		return
	}
	lost := c.Lost || len(w.suspects) >= maxSuspects
	if lost {
		clear(w.own)
		clear(w.suspects)
	} else {
		if w.suspects == nil {
			w.suspects = map[string]struct{}{}
		}
		w.suspects[c.Name] = struct{}{}
	}
	w.unlisted = true
	w.suspicious.Store(true)
	n.stale.Store(true)
	w.mu.Unlock()
	if lost {
		n.fs.Root().Drop()
	}
}

// expect notes that the sentry itself is about to make name come or go in n.
func (n *node) expect(name string, gone bool) {
	if w := n.watch.Load(); w != nil {
		w.mu.Lock()
		if w.own == nil {
			w.own = map[gofer.Change]int{}
		}
		w.own[gofer.Change{Name: name, Gone: gone}]++
		w.mu.Unlock()
	}
}

// unexpect undoes that if nothing has come of it.
func (n *node) unexpect(name string, gone bool) {
	if w := n.watch.Load(); w != nil {
		w.mu.Lock()
		w.met(gofer.Change{Name: name, Gone: gone})
		w.mu.Unlock()
	}
}

// met takes a change off those that are expected, and reports whether it was one. w.mu is held.
func (w *dirWatch) met(c gofer.Change) bool {
	left := w.own[c]
	switch left {
	case 0:
		return false
	case 1:
		delete(w.own, c)
	default:
		w.own[c] = left - 1
	}
	return true
}

// suspect reports whether others have changed name in n since it was last asked.
func (n *node) suspect(name string) bool {
	w := n.watch.Load()
	if w == nil || !w.suspicious.Load() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, is := w.suspects[name]
	delete(w.suspects, name)
	w.settle()
	return is
}

// relist forgets the listing if it is not true any more. n.Inode.mu is held, for writing or
// with listMu.
func (n *node) relist() {
	w := n.watch.Load()
	if w == nil || !w.suspicious.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unlisted {
		w.unlisted = false
		n.list = listing{}
	}
	w.settle()
}

// settle clears suspicious if there is nothing left to suspect. w.mu is held.
func (w *dirWatch) settle() {
	if len(w.suspects) == 0 && !w.unlisted {
		w.suspicious.Store(false)
	}
}

// still reports whether name in n, which others have changed, is child again, or nothing has it
// if child is nil. If not child has lost that name.
func (n *node) still(name string, child *vfs.Inode) bool {
	h, err := n.anyHandle()
	if err != nil {
		return false
	}
	a, err := n.fs.client.Getattr(gofer.Target{Node: h, Name: name})
	if child == nil {
		return err == unix.ENOENT
	}
	c := child.Ops().(*node)
	// The number of a file that has been removed is soon another's.
	if err == nil && c.is(&a) && c.Btime() != 0 && c.Btime() == nanoseconds(a.Btime) {
		return true
	}
	c.mu.Lock()
	old := c.detach(n, name)
	c.unlinked()
	c.mu.Unlock()
	c.fs.forget(c)
	if old != nil {
		old.DecRef()
	}
	return false
}
