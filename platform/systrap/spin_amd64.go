package systrap

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// rdtsc reads the processor's time-stamp counter.
func rdtsc() uint64

// pause tells the processor that the caller spins.
func pause()

// processor returns the number of the processor that the caller runs on.
func processor() int

const (
	// A thread is hot, and its requests are polled, after hotCalls system calls
	// of patched sites none of which came later than spinPolicy.hotGap after the
	// last.
	hotCalls = 16
	// The spinner rests for restMin to restMax when it was not worth the while,
	// twice as long each time in a row.
	restMin = 2 * time.Millisecond
	restMax = 128 * time.Millisecond
	// worth is about what a request that is polled saves, against a notification.
	worth = 4 * time.Microsecond
	// blip is how long the host's own work keeps the spinner from looking.
	blip = 20 * time.Microsecond
	// turn is how long the spinner runs before it yields to other goroutines.
	turn = 4 * time.Millisecond
)

// A spinPolicy says when to spin.
type spinPolicy struct {
	cpus   int // processors that there are
	hotGap time.Duration
	// The spinner stops when there was no request for idle.
	idle time.Duration
	// It stops when it could not look for lost, and an eighth of the time since
	// it began: somebody else has the processor, so there is none to spare.
	lost time.Duration
	// looks is how often a stub looks for an answer before it gives up.
	looks uint32
}

func defaultPolicy() spinPolicy {
	return spinPolicy{
		cpus:   min(runtime.NumCPU(), runtime.GOMAXPROCS(0)),
		hotGap: 100 * time.Microsecond,
		idle:   200 * time.Microsecond,
		lost:   500 * time.Microsecond,
		looks:  500,
	}
}

// A spinner polls the areas of hot threads for requests, while a processor is
// idle. At most one worker does so at a time.
type spinner struct {
	policy  spinPolicy
	running atomic.Int32 // contexts that run application code

	owner atomic.Pointer[worker]
	hot   atomic.Pointer[[]*thread]

	mu   sync.Mutex // held to change hot, and threads' flag of that name
	rest time.Duration
	// workers counts the goroutines in spin.
	workers sync.WaitGroup
	closed  bool
	// until is when spinning may begin again, by the counter.
	until atomic.Uint64
	// moved says that a hot thread has changed the processor.
	moved atomic.Bool

	// What the counter said at a time of the clock: its frequency is found when
	// it is first needed.
	once  sync.Once
	tsc0  uint64
	time0 time.Time
	perUs uint64
}

func (sp *spinner) init() {
	sp.policy = defaultPolicy()
	sp.tsc0, sp.time0 = rdtsc(), time.Now()
	sp.hot.Store(new([]*thread))
	sp.rest = restMin
}

// ticks converts d to the counter's unit.
func (sp *spinner) ticks(d time.Duration) uint64 {
	sp.once.Do(func() {
		for time.Since(sp.time0) < time.Millisecond {
			pause()
		}
		sp.perUs = max((rdtsc()-sp.tsc0)*1000/uint64(time.Since(sp.time0)), 1)
	})
	return uint64(d) * sp.perUs / 1000
}

// heat notes that a patched site of t has made a system call by notification. The
// caller is the listener.
func (p *Platform) heat(t *thread) {
	sp := &p.spinner
	if sp.policy.cpus < 2 {
		return
	}
	now := rdtsc()
	if t.hot.Load() {
		return // the stub has given up; the spinner notices
	}
	if now-t.lastCall > sp.ticks(sp.policy.hotGap) {
		t.heat = 0
	}
	t.lastCall = now
	if t.heat++; t.heat < hotCalls {
		return
	}
	t.heat = 0
	// One for t, one for the spinner.
	if now < sp.until.Load() || int(sp.running.Load()) > sp.policy.cpus-2 {
		return
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	hot := *sp.hot.Load()
	if t.hot.Load() {
		return
	}
	t.hot.Store(true)
	t.answered()
	hot = append(hot[:len(hot):len(hot)], t)
	sp.hot.Store(&hot)
	p.respin()
}

// respin starts a worker that polls if there is none and something to poll.
// sp.mu is held.
func (p *Platform) respin() {
	sp := &p.spinner
	if sp.closed || sp.owner.Load() != nil || len(*sp.hot.Load()) == 0 {
		return
	}
	w := p.idleWorker()
	if sp.owner.CompareAndSwap(nil, w) {
		sp.workers.Add(1)
		w.spinner = true
		p.launch(w)
	} else {
		p.release(w)
	}
}

// close ends the spinner. No context runs.
func (sp *spinner) close() {
	sp.mu.Lock()
	sp.closed = true
	sp.mu.Unlock()
	sp.owner.Store(nil)
	sp.workers.Wait()
}

// cool makes t's requests go by notification again. The spinner was in an upcall
// of t's context that blocks: another one takes over.
func (p *Platform) cool(t *thread) {
	sp := &p.spinner
	sp.mu.Lock()
	defer sp.mu.Unlock()
	var hot []*thread
	for _, other := range *sp.hot.Load() {
		if other != t {
			hot = append(hot, other)
		}
	}
	sp.hot.Store(&hot)
	t.hot.Store(false)
	t.setPoll(false)
	p.respin()
}

// setPoll tells the stub whether to post requests.
func (t *thread) setPoll(on bool) {
	if on && !t.mu.TryLock() {
		return // the next look will do
	} else if !on {
		t.mu.Lock()
	}
	if !t.proc.dead.Load() {
		t.area.setPoll(on, t.proc.p.spinner.policy.looks)
	}
	t.mu.Unlock()
}

// spin polls while w owns the spinner.
func (w *worker) spin() {
	p := w.p
	sp := &p.spinner
	defer sp.workers.Done()
	sp.moved.Store(false)
	w.pin()
	defer w.unpin()
	var saved, lost uint64
	idle, most := sp.ticks(sp.policy.idle), sp.ticks(sp.policy.lost)
	worth, blip, turn := sp.ticks(worth), sp.ticks(blip), sp.ticks(turn)
	started := rdtsc()
	last, looked, yielded := started, started, started
	for sp.owner.Load() == w {
		served := false
		for _, t := range *sp.hot.Load() {
			switch {
			case t.area.posted():
				w.fast(t)
				saved += worth
				served = true
			case !t.area.polled():
				t.setPoll(true) // somebody looks now, or again
			}
		}
		now := rdtsc()
		if now-yielded > turn {
			yielded = now
			w.yieldThread()
		}
		if served {
			last, looked = now, now
			continue
		}
		if now-looked > blip {
			lost += now - looked
		}
		looked = now
		if sp.moved.Load() {
			sp.moved.Store(false)
			w.pin()
		}
		if now-last > idle || lost > most+(now-started)/8 || int(sp.running.Load()) >= sp.policy.cpus {
			sp.stop(w, saved < now-started)
			return
		}
		pause()
	}
}

// answered notes on which processor t goes on, before its notification is
// answered: the one where that is done (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP).
func (t *thread) answered() {
	if !t.hot.Load() {
		return
	}
	if cpu := int32(processor()); t.cpu.Swap(cpu) != cpu {
		t.proc.p.spinner.moved.Store(true)
	}
}

// pin keeps the spinner's thread away from the processors that the stubs are on:
// where the host puts it by itself, it often is in their way instead of beside
// them.
func (w *worker) pin() {
	if tid := unix.Gettid(); w.pinned != tid {
		w.unpin()
		if unix.SchedGetaffinity(tid, &w.cpus) != nil {
			return
		}
		w.pinned = tid
	}
	rest := w.cpus
	for _, t := range *w.p.spinner.hot.Load() {
		rest.Clear(int(t.cpu.Load()))
	}
	unix.SchedSetaffinity(w.pinned, &rest)
}

// unpin undoes pin. The caller is w's goroutine.
func (w *worker) unpin() {
	if w.pinned != 0 {
		unix.SchedSetaffinity(w.pinned, &w.cpus)
		w.pinned = 0
	}
}

// yieldThread lets other goroutines have the thread. Who does not do so for long is
// made to, by a signal and, all in all, a fraction of a millisecond.
func (w *worker) yieldThread() {
	runtime.Gosched()
	if unix.Gettid() != w.pinned {
		w.pin()
	}
}

// stop ends w's polling; tired says that a rest is due.
func (sp *spinner) stop(w *worker, tired bool) {
	if !sp.owner.CompareAndSwap(w, nil) {
		return
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	hot := *sp.hot.Load()
	sp.hot.Store(new([]*thread))
	if tired {
		sp.until.Store(rdtsc() + sp.ticks(sp.rest))
		sp.rest = min(2*sp.rest, restMax)
	} else {
		sp.rest = restMin
	}
	for _, t := range hot {
		t.hot.Store(false)
		t.setPoll(false)
	}
}

// fast serves the request that t has posted.
func (w *worker) fast(t *thread) {
	if !t.mu.TryLock() {
		return
	}
	if t.proc.dead.Load() || !t.area.take() || !t.phase.CompareAndSwap(phaseApp, phaseFast) {
		// If t has come up otherwise meanwhile, the call is made again.
		t.mu.Unlock()
		return
	}
	t.upgraded = false
	c := t.ctx.Load()
	if c == nil || !c.run.CompareAndSwap(runApp, runUpcall) {
		t.mu.Unlock()
		return
	}
	t.area.readRequest(&c.state)
	t.mu.Unlock()
	c.worker.Store(w)
	c.fastCall(t)
}

// fastCall serves the system call of a patched site, which c.state has.
func (c *context) fastCall(t *thread) {
	c.p.spinner.running.Add(-1)
	c.intr.Store(false)
	if c.p.full[c.state.Regs.Orig_rax&(fullNumbers-1)] {
		// A site that makes calls of many kinds, and this is one that needs it all.
		nr := c.state.Regs.Orig_rax
		c.lock(t)
		ok := c.complete(t)
		t.mu.Unlock()
		if !ok {
			c.lose(t)
			return
		}
		c.state.Regs.Orig_rax = nr
		c.state.Regs.Rax = errNoSys
	}
	c.finish(c.h.HandleSyscall(c))
}
