package goferfs

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
