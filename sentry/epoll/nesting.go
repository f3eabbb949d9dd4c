package epoll

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/vfs"
)

// maxNests is how many steps a chain of epoll files that watch each other may have.
const maxNests = 4

// maxPaths is how many ways a wake-up may have from a file, by the number of epoll
// files between it and the last one; there is no limit where there are none between.
var maxPaths = [maxNests + 1]int{1: 500, 2: 100, 3: 50, 4: 10}

// nesting serialises what makes a new path from a file through several epoll files:
// that epoll file watches epoll file, and that an epoll file which is watched itself
// watches any file. With it the limits hold, and no circle can come to be. It comes
// before all locks of the package.
var nesting sync.Mutex

// generation numbers the walks; guarded by nesting. A File whose mark has this number
// has been visited, so that no walk visits one twice.
var generation uint64

// A mark is what a walk has found out about a File; guarded by nesting.
type mark struct {
	generation uint64
	depth      int
	paths      [maxNests + 1]int
}

// watchers are the items of other epoll files that watch one.
type watchers struct {
	mu    sync.Mutex // taken with any other lock held
	items map[*item]struct{}
}

func (w *watchers) add(it *item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.items == nil {
		w.items = map[*item]struct{}{}
	}
	w.items[it] = struct{}{}
}

func (w *watchers) remove(it *item) {
	w.mu.Lock()
	delete(w.items, it)
	w.mu.Unlock()
}

func (w *watchers) any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.items) > 0
}

// checkDepth returns ELOOP if e must not watch inner because of what inner watches
// and who watches e. nesting is held.
func (e *File) checkDepth(inner *File) error {
	generation++
	below, ok := inner.below(e)
	if !ok {
		return unix.ELOOP
	}
	generation++
	if below+1+e.above() > maxNests {
		return unix.ELOOP
	}
	return nil
}

// below returns how many steps the longest chain of epoll files down from e has; ok is
// false if target is in one. nesting is held, and File.mu of no epoll file at or below e.
func (e *File) below(target *File) (depth int, ok bool) {
	if e == target {
		return 0, false
	}
	if e.mark.generation == generation {
		return e.mark.depth, true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for k := range e.items {
		if inner, is := k.file.Ops().(*File); is {
			d, ok := inner.below(target)
			if !ok {
				return 0, false
			}
			depth = max(depth, d+1)
		}
	}
	e.mark.generation, e.mark.depth = generation, depth
	return depth, true
}

// above is below upwards. nesting is held.
func (e *File) above() int {
	if e.mark.generation == generation {
		return e.mark.depth
	}
	e.watchers.mu.Lock()
	defer e.watchers.mu.Unlock()
	depth := 0
	for it := range e.watchers.items {
		depth = max(depth, it.epoll.above()+1)
	}
	e.mark.generation, e.mark.depth = generation, depth
	return depth
}

// paths returns how many ways there are up from e to epoll files that nobody watches,
// by the number of steps. nesting is held.
func (e *File) paths() [maxNests + 1]int {
	if e.mark.generation == generation {
		return e.mark.paths
	}
	e.watchers.mu.Lock()
	defer e.watchers.mu.Unlock()
	var n [maxNests + 1]int
	if len(e.watchers.items) == 0 {
		n[0] = 1
	}
	for it := range e.watchers.items {
		for i, more := range it.epoll.paths() {
			if i < maxNests {
				n[i+1] = min(n[i+1]+more, maxPaths[1]+1)
			}
		}
	}
	e.mark.generation, e.mark.paths = generation, n
	return n
}

// checkPaths returns EINVAL if the wake-ups of f, or if it is an epoll file of a file
// that it watches, have too many ways. nesting is held, and File.mu of no epoll file at
// or below f.
func checkPaths(f *vfs.File) error {
	generation++
	return pathsFrom(f, map[*vfs.File]bool{})
}

func pathsFrom(f *vfs.File, seen map[*vfs.File]bool) error {
	if seen[f] {
		return nil
	}
	seen[f] = true
	if e, is := f.Ops().(*File); is {
		e.mu.Lock()
		defer e.mu.Unlock()
		for k := range e.items {
			if err := pathsFrom(k.file, seen); err != nil {
				return err
			}
		}
		return nil
	}
	var n [maxNests + 1]int
	f.EachReleaser(func(r vfs.Releaser) {
		it, is := r.(*item)
		if !is {
			return
		}
		for i, more := range it.epoll.paths() {
			n[i] += more
		}
	})
	for i := 1; i < len(n); i++ {
		if n[i] > maxPaths[i] {
			return unix.EINVAL
		}
	}
	return nil
}
