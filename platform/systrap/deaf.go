//go:build amd64

package systrap

import (
	"sync"
	"time"
)

// An application can block all signals of a stub's thread by an rt_sigreturn with a
// frame of its own making, and then run on whatever the sentry wants. A process
// with a thread that does not come up by the interrupt signal for deafTicks in a
// row, although it is not in the sentry, is killed. The time is long because a
// thread on a busy host may not run for a while.
const (
	deafTick  = time.Second
	deafTicks = 10
)

// deaf watches the threads that have been sent the interrupt signal.
type deaf struct {
	mu      sync.Mutex
	threads map[*thread]*silence // nil if no goroutine runs
}

// A silence is how many ticks a thread has not come up, since it had heard so often.
type silence struct {
	heard uint32
	ticks int
}

// watch begins to watch t, which has been kicked.
func (d *deaf) watch(t *thread) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.threads == nil {
		d.threads = make(map[*thread]*silence)
		go d.run()
	}
	if d.threads[t] == nil {
		d.threads[t] = &silence{heard: t.heard.Load()}
	}
}

// run looks at the threads every tick until there are none.
func (d *deaf) run() {
	for {
		time.Sleep(deafTick)
		d.mu.Lock()
		for t, s := range d.threads {
			if d.look(t, s) {
				delete(d.threads, t)
			}
		}
		if len(d.threads) == 0 {
			d.threads = nil
			d.mu.Unlock()
			return
		}
		d.mu.Unlock()
	}
}

// look returns true if t need not be watched any more.
func (d *deaf) look(t *thread, s *silence) bool {
	if !t.kicked.Load() || t.proc.dead.Load() {
		return true
	}
	if heard := t.heard.Load(); heard != s.heard || t.inSentry() {
		s.heard, s.ticks = heard, 0
		return false
	}
	if s.ticks++; s.ticks < deafTicks {
		return false
	}
	t.proc.p.logf("systrap: process %d: thread %d blocks signals; killed", t.proc.pid, t.tid)
	t.proc.kill()
	return true
}
