package kernel

import (
	"sync"

	"golang.org/x/sys/unix"
)

// NumLimits is the number of resource limits, RLIM_NLIMITS.
const NumLimits = 16

// Limits are the resource limits of a process, getrlimit(2).
type Limits struct {
	mu sync.Mutex
	l  [NumLimits]unix.Rlimit
}

// DefaultLimits returns the limits with which Linux starts its first process,
// but for the number of open files, which has the 1,048,576 that container
// engines ask for as its hard limit.
func DefaultLimits() *Limits {
	const inf = unix.RLIM_INFINITY
	l := &Limits{}
	for i := range l.l {
		l.l[i] = unix.Rlimit{Cur: inf, Max: inf}
	}
	l.l[unix.RLIMIT_STACK] = unix.Rlimit{Cur: 8 << 20, Max: inf}
	l.l[unix.RLIMIT_CORE] = unix.Rlimit{Cur: 0, Max: inf}
	l.l[unix.RLIMIT_NOFILE] = unix.Rlimit{Cur: 1024, Max: 1048576}
	l.l[unix.RLIMIT_MEMLOCK] = unix.Rlimit{Cur: 8 << 20, Max: 8 << 20}
	l.l[unix.RLIMIT_MSGQUEUE] = unix.Rlimit{Cur: 819200, Max: 819200}
	l.l[unix.RLIMIT_NICE] = unix.Rlimit{}
	l.l[unix.RLIMIT_RTPRIO] = unix.Rlimit{}
	l.l[unix.RLIMIT_SIGPENDING] = unix.Rlimit{Cur: 62700, Max: 62700}
	return l
}

// Get returns limit r (RLIMIT_*), which must be below NumLimits.
func (l *Limits) Get(r int) unix.Rlimit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.l[r]
}

// Set sets limit r without asking.
func (l *Limits) Set(r int, v unix.Rlimit) {
	l.mu.Lock()
	l.l[r] = v
	l.mu.Unlock()
}

// Fork returns a copy.
func (l *Limits) Fork() *Limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &Limits{l: l.l}
}

// Change sets limit r if the caller may: EINVAL if soft exceeds hard, EPERM to
// raise hard without privilege. It returns the old limit.
func (l *Limits) Change(r int, v unix.Rlimit, privileged bool) (unix.Rlimit, error) {
	if v.Cur > v.Max {
		return unix.Rlimit{}, unix.EINVAL
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.l[r]
	if v.Max > old.Max && !privileged {
		return old, unix.EPERM
	}
	l.l[r] = v
	return old, nil
}
