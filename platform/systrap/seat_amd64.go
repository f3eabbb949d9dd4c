package systrap

import (
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A seat is the processor that the spinner has for itself. It is bound to it, and who has
// to do with its requests is kept away: the stubs that make them and the listener, who
// would wait for the processor until the host's next tick. All this is only a matter of
// speed, so errors do not count.
type seat struct {
	all unix.CPUSet // the processors that there are
	cpu atomic.Int32

	mu sync.Mutex
	// bound are the sentry's threads that may not be on all processors.
	bound []int
}

func (s *seat) init() {
	unix.SchedGetaffinity(0, &s.all)
	s.cpu.Store(-1)
}

// take gives the processor to the calling thread, if that is not on it already, and returns
// its number. If nobody has had it yet, that is another one than the thread is on, where the
// one is who has started the spinner and is not to wait.
func (s *seat) take() int {
	_, now := rdtscp()
	if int(s.cpu.Load()) == now {
		return now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cpu := int(s.cpu.Load())
	if cpu < 0 {
		s.bind(now, false)
		_, cpu = rdtscp()
		s.cpu.Store(int32(cpu))
	}
	s.bind(cpu, true)
	return cpu
}

// avoid moves the calling thread away if it is on the spinner's processor.
func (s *seat) avoid() {
	cpu := int(s.cpu.Load())
	if cpu < 0 {
		return
	}
	if _, now := rdtscp(); now != cpu {
		return
	}
	s.mu.Lock()
	if int(s.cpu.Load()) == cpu {
		s.bind(cpu, false)
	}
	s.mu.Unlock()
}

// bind binds the calling thread to the processor, or to all others. mu is held.
func (s *seat) bind(cpu int, here bool) {
	tid := unix.Gettid()
	if !slices.Contains(s.bound, tid) {
		s.bound = append(s.bound, tid)
	}
	cpus := s.all
	if here {
		cpus.Zero()
		cpus.Set(cpu)
	} else {
		cpus.Clear(cpu)
	}
	unix.SchedSetaffinity(0, &cpus)
}

// free gives the processor back to all.
func (s *seat) free() {
	s.mu.Lock()
	s.cpu.Store(-1)
	for _, tid := range s.bound {
		unix.SchedSetaffinity(tid, &s.all)
	}
	s.bound = s.bound[:0]
	s.mu.Unlock()
}

// keepFrom keeps t away from a processor, or, if that is negative, from none. It takes
// too long to hold t.mu.
func (t *thread) keepFrom(cpu int) {
	t.affinity.Lock()
	defer t.affinity.Unlock()
	if int(t.apart.Load()) == cpu || t.proc.dead.Load() {
		return
	}
	t.apart.Store(int32(cpu))
	cpus := t.proc.p.spinner.seat.all
	if cpu >= 0 {
		cpus.Clear(cpu)
	}
	unix.SchedSetaffinity(t.tid, &cpus)
}

// born lets a clone of t have all processors.
func (t *thread) born(child *thread) {
	if t.apart.Load() >= 0 {
		unix.SchedSetaffinity(child.tid, &t.proc.p.spinner.seat.all)
	}
}
