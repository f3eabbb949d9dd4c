package backlog

import (
	"slices"
	"time"
)

// A Source is a link that those who need packets may ask for what has arrived.
type Source interface {
	// Poll puts what has arrived into the Set and runs it. If there is nothing, but reason to
	// expect something soon, it looks for it for up to d. It is called from where Run may be.
	Poll(d time.Duration)
}

// AddSource adds a source.
func (s *Set) AddSource(x Source) {
	s.adding.Lock()
	defer s.adding.Unlock()
	l := append(slices.Clone(s.list()), x)
	s.sources.Store(&l)
}

// RemoveSource removes a source. It may still be in use by a Poll that has begun before.
func (s *Set) RemoveSource(x Source) {
	s.adding.Lock()
	defer s.adding.Unlock()
	l := slices.DeleteFunc(slices.Clone(s.list()), func(y Source) bool { return x == y })
	s.sources.Store(&l)
}

func (s *Set) list() []Source {
	if l := s.sources.Load(); l != nil {
		return *l
	}
	return nil
}

// Poll asks all sources. Who is about to wait for packets gives a d of microseconds, in which it
// does what would take as long by other threads; who only likes to have them gives 0.
func (s *Set) Poll(d time.Duration) {
	for _, x := range s.list() {
		x.Poll(d)
	}
}
