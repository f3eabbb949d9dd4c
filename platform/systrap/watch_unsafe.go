//go:build amd64

package systrap

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// watchTick is how often the watch looks, while there are upcalls. An upcall
	// that one look after another finds in progress loses the listener's role.
	watchTick = 2 * time.Millisecond
	// watchIdle is the number of looks without an upcall after which the watch
	// rests until the next one.
	watchIdle = 100
)

// A watch sees to it that nobody waits in vain: for a listener that is in a long
// upcall, or for a thread that has blocked the interrupt signal by a frame of its
// own making.
type watch struct {
	resting atomic.Bool
	wake    chan struct{} // capacity 1
	quit    chan struct{}
	stopped chan struct{}

	// patience is how much processor time a process may use, and how much time
	// may pass, before a thread that is due to come up does so.
	patience time.Duration
	// overdue says that threads may be due.
	overdue atomic.Bool
}

func (wa *watch) init() {
	wa.wake = make(chan struct{}, 1)
	wa.quit = make(chan struct{})
	wa.stopped = make(chan struct{})
	wa.patience = 10 * time.Second
}

// rouse makes the watch look again.
func (wa *watch) rouse() {
	if wa.resting.Load() && wa.resting.CompareAndSwap(true, false) {
		wa.wake <- struct{}{}
	}
}

// expect notes that a thread is due.
func (wa *watch) expect() {
	if !wa.overdue.Load() {
		wa.overdue.Store(true)
	}
	wa.rouse()
}

// close ends the watch.
func (wa *watch) close() {
	close(wa.quit)
	<-wa.stopped
}

// watchAll is the goroutine of the watch.
func (p *Platform) watchAll() {
	wa := &p.watch
	defer close(wa.stopped)
	ticker := time.NewTicker(watchTick)
	defer ticker.Stop()
	var last *role
	var serial uint64
	idle := 0
	looked := time.Now()
	for {
		select {
		case <-wa.quit:
			return
		case <-ticker.C:
		}
		r := p.role.Load()
		now := r.w.upcalls.Load()
		if r.busy && r == last && now == serial {
			p.passRole(r.w)
		}
		if p.ready.count.Load() != 0 {
			p.launchReady() // the spinner is in a long upcall
		}
		if r == last && now == serial && p.spinner.owner.Load() == nil {
			idle++
		} else {
			idle = 0
		}
		last, serial = r, now
		if wa.overdue.Load() {
			if time.Since(looked) > wa.patience/8 {
				looked = time.Now()
				wa.overdue.Store(p.checkDue())
			}
			continue
		}
		if idle < watchIdle {
			continue
		}
		ticker.Stop()
		wa.resting.Store(true)
		select {
		case <-wa.quit:
			return
		case <-wa.wake:
		}
		ticker.Reset(watchTick)
		idle = 0
	}
}

// due says whether the thread has been made to come up and has not.
func (t *thread) due() bool {
	if t.want.Load() || t.phase.Load() == phaseUpgrade {
		return true
	}
	c := t.ctx.Load()
	return c != nil && c.intr.Load() && c.run.Load() == runApp
}

// checkDue kills the processes with a thread that is due for too long. It returns
// false if no thread is due.
func (p *Platform) checkDue() bool {
	any := false
	for _, proc := range reaper.all(p) {
		proc.mu.Lock()
		threads := proc.threads
		proc.mu.Unlock()
		due := false
		for _, t := range threads {
			if t != nil && t.due() {
				due = true
			} else if t != nil {
				t.dueSince = time.Time{}
			}
		}
		if !due {
			continue
		}
		any = true
		used := proc.processorTime()
		for _, t := range threads {
			switch {
			case t == nil || !t.due():
			case t.dueSince.IsZero():
				t.dueSince, t.dueUsed = time.Now(), used
			case time.Since(t.dueSince) > p.watch.patience && used-t.dueUsed > p.watch.patience/2:
				p.logf("systrap: process %d: thread %d does not answer signals; killed", proc.pid, t.tid)
				proc.kill()
			}
		}
	}
	return any
}

// processorTime returns how much processor time the process has used.
func (proc *process) processorTime() time.Duration {
	// The clock of a process: CPUCLOCK_SCHED (clock_getcpuclockid(3)).
	clock := int32(^proc.pid<<3 | 2)
	var ts unix.Timespec
	if _, _, e := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&ts)), 0); e != 0 {
		return 0
	}
	return time.Duration(ts.Nano())
}
