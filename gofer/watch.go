package gofer

import (
	"sync"

	"golang.org/x/sys/unix"
)

// A watcher watches directories for names that come and go (inotify(7)): those of trees that
// are not shared, for as long as the client has a handle of them. The client has the instance
// too and reads the events itself.
//
// A host lets a user have few instances and not endlessly many watches. What cannot be watched
// is served all the same.
type watcher struct {
	fd int // -1: nothing is watched

	mu   sync.Mutex
	uses map[WatchID]int // handles of each watched directory
}

// watchMask are the events that a watch is for.
const watchMask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO

// open makes the instance if there is a tree to watch, and the host allows one more.
func (t *watcher) open(trees []Tree) {
	t.fd, t.uses = -1, map[WatchID]int{}
	for i := range trees {
		if trees[i].Shared {
			continue
		}
		if fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err == nil {
			t.fd = fd
		}
		return
	}
}

// add watches a directory, whose descriptor's number in the working directory name is, for one
// more handle. It returns 0 if the host does not allow that.
func (t *watcher) add(name []byte) WatchID {
	t.mu.Lock()
	defer t.mu.Unlock()
	id, e := inotifyAddWatch(t.fd, name, watchMask|unix.IN_ONLYDIR)
	if e != 0 {
		return 0
	}
	t.uses[id]++
	return id
}

// remove undoes add.
func (t *watcher) remove(id WatchID) {
	if id == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.uses[id]--; t.uses[id] == 0 {
		delete(t.uses, id)
		inotifyRmWatch(t.fd, id)
	}
}
