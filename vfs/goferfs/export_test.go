package goferfs

import "time"

// SetNow sets the clock by which a file has settled.
func (fs *FS) SetNow(now func() time.Time) { fs.keeper.now = now }

// Kept returns how many bytes are kept of how many files.
func (fs *FS) Kept() (bytes, files int) {
	fs.keeper.mu.Lock()
	defer fs.keeper.mu.Unlock()
	return fs.keeper.size, fs.keeper.files.Len()
}

// Watched returns how many directories are watched, how many changes of the sentry's own are
// still expected in them, and how many have suspects or an untrue listing.
func (fs *FS) Watched() (dirs, expected, suspicious int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, n := range fs.nodes {
		w := n.watch.Load()
		if w == nil {
			continue
		}
		dirs++
		w.mu.Lock()
		for _, left := range w.own {
			expected += left
		}
		w.mu.Unlock()
		if w.suspicious.Load() {
			suspicious++
		}
	}
	return dirs, expected, suspicious
}
