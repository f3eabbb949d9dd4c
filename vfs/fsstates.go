package vfs

import "sync"

// fsStates has all FSStates, for pivot_root(2).
type fsStates struct {
	mu  sync.Mutex
	all map[*FSState]struct{}
}

func (s *fsStates) add(fs *FSState) {
	s.mu.Lock()
	if s.all == nil {
		s.all = make(map[*FSState]struct{})
	}
	s.all[fs] = struct{}{}
	s.mu.Unlock()
}

func (s *fsStates) remove(fs *FSState) {
	s.mu.Lock()
	delete(s.all, fs)
	s.mu.Unlock()
}

// replace gives every state that has from as root or working directory to in its
// place.
func (s *fsStates) replace(from, to Path) {
	s.mu.Lock()
	drop := 0
	for fs := range s.all {
		fs.mu.Lock()
		for _, p := range []*Path{&fs.root, &fs.cwd} {
			if *p == from {
				to.IncRef()
				*p = to
				drop++
			}
		}
		fs.mu.Unlock()
	}
	s.mu.Unlock()
	for range drop {
		from.DecRef()
	}
}
