package sandbox

import "sync"

// A tail is an io.Writer that keeps the beginning and the end of what is written
// to it: enough to tell why a process died.
type tail struct {
	mu    sync.Mutex
	first []byte
	last  []byte
}

const (
	keepFirst = 8 << 10
	keepLast  = 8 << 10
)

func newTail() *tail { return &tail{} }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if room := keepFirst - len(t.first); room > 0 {
		k := min(room, len(p))
		t.first = append(t.first, p[:k]...)
		p = p[k:]
	}
	t.last = append(t.last, p...)
	if extra := len(t.last) - keepLast; extra > 0 {
		t.last = append(t.last[:0], t.last[extra:]...)
	}
	return n, nil
}

// String returns what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.first) + string(t.last)
}
