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

// rdtscp is rdtsc, and the number of the processor that the caller runs on.
func rdtscp() (tsc uint64, cpu int)

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
	worth = 5 * time.Microsecond
	// trial is how much of a processor's time is spent before it must have been worth
	// the while. Time that no other context of the sandbox would use counts less by
	// the factor spare.
	trial = 400 * time.Microsecond
	spare = 8
	// blip is how long the host's own work keeps the spinner from looking.
	blip = 20 * time.Microsecond
	// The spinner offers its processor to the host's other threads when it has not for
	// polite and has nothing to do, or has not for patient: the host would let them wait
	// for a tick of its clock.
	polite  = 10 * time.Microsecond
	patient = 100 * time.Microsecond
	// turn is how long the spinner runs before it yields to other goroutines, and
	// how long a thread stays hot that makes no request.
	turn = 4 * time.Millisecond
)

// A spinPolicy says when to spin.
type spinPolicy struct {
	cpus   int // processors that there are
	hotGap time.Duration
	// The spinner stops when there was no request for idle; while application code runs,
	// which may be waiting for a processor, for busy.
	idle, busy time.Duration
	// It stops when it could not look for lost, and an eighth of the time since
	// it began: somebody else has the processor. That time is not idle.
	lost time.Duration
	// looks is how often a stub looks for an answer before it gives up.
	looks uint32
}

func defaultPolicy() spinPolicy {
	return spinPolicy{
		cpus:   min(runtime.NumCPU(), runtime.GOMAXPROCS(0)),
		hotGap: 100 * time.Microsecond,
		idle:   time.Millisecond,
		busy:   4 * time.Millisecond,
		lost:   500 * time.Microsecond,
		looks:  500,
	}
}

// A spinner polls the areas of hot threads for requests. At most one worker does so
// at a time, its owner. The processor that it is on is then its own: hot threads are
// kept away from it, because two who look for each other's words on one processor wait
// for milliseconds (seat). That is worth the while if the processor would be idle, and also
// with all of them busy if there are very many system calls: what each saves is then
// more than what is spent between them.
type spinner struct {
	policy  spinPolicy
	seat    seat
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

	// calls counts the system calls of patched sites. There were calls0 of them at the
	// time rested, when the spinner ended.
	calls          atomic.Uint64
	calls0, rested uint64
	// pace is how many there were in 1024 ms before it began again, if that is known.
	pace uint64

	tally tally // the owner's

	// What the counter said at a time of the clock: its frequency is found when
	// it is first needed.
	once  sync.Once
	tsc0  uint64
	time0 time.Time
	perUs uint64
}

// A tally is what the spinner has done since it began, in the counter's unit.
type tally struct {
	started, yielded uint64 // times
	saved            uint64
	lost             uint64 // somebody else had the processor
	// The balance of late.
	gain, waste uint64
	// How many calls there were at the time yielded, and their rate of late, as
	// spinner.pace.
	calls, pace uint64
}

func (sp *spinner) init() {
	sp.policy = defaultPolicy()
	sp.seat.init()
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

// pauses notes that the spinner ends, and returns the time.
func (sp *spinner) pauses() uint64 {
	sp.calls0, sp.rested = sp.calls.Load(), rdtsc()
	sp.seat.free()
	return sp.rested
}

// rate is that of n calls in a time of the counter, in calls in 1024 ms.
func (sp *spinner) rate(n, past uint64) uint64 {
	return n << 20 / max(past/sp.ticks(time.Microsecond), 1)
}

// better reports whether a rate is worth the while, against the one before the spinner began.
func (sp *spinner) better(pace uint64) bool { return pace >= sp.pace+sp.pace/4 }

// heat notes that a patched site of t has made a system call by notification. The
// caller is the listener.
func (p *Platform) heat(t *thread) {
	sp := &p.spinner
	sp.calls.Add(1)
	if sp.policy.cpus < 2 || t.hot.Load() {
		return // if it is hot the stub has given up; the spinner notices
	}
	now := rdtsc()
	if now-t.lastCall > sp.ticks(sp.policy.hotGap) {
		t.heat = 0
	}
	t.lastCall = now
	if t.heat++; t.heat < hotCalls {
		return
	}
	t.heat = 0
	if now < sp.until.Load() {
		return
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if t.hot.Load() {
		return
	}
	t.hot.Store(true)
	hot := *sp.hot.Load()
	hot = append(hot[:len(hot):len(hot)], t)
	sp.hot.Store(&hot)
	p.startSpin()
}

// startSpin starts a worker that polls if there is none and something to poll.
// sp.mu is held.
func (p *Platform) startSpin() {
	sp := &p.spinner
	if sp.closed || sp.owner.Load() != nil || len(*sp.hot.Load()) == 0 {
		return
	}
	w := p.idleWorker()
	if now := rdtsc(); sp.owner.CompareAndSwap(nil, w) {
		sp.pace = 0
		calls := sp.calls.Load()
		if past := now - sp.rested; past >= sp.ticks(restMin) {
			sp.pace = sp.rate(calls-sp.calls0, past)
		}
		sp.tally = tally{started: now, yielded: now, calls: calls}
		p.launch(w)
	} else {
		p.release(w)
	}
}

// respin has another worker poll if there are hot threads beside t: the one who did is
// in an upcall of t that blocks.
func (p *Platform) respin(t *thread) {
	sp := &p.spinner
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.pauses()
	if hot := *sp.hot.Load(); len(hot) > 1 || len(hot) == 1 && hot[0] != t {
		p.startSpin()
	}
	p.launchReady() // who has counted on the spinner
}

// close ends the spinner. No context runs.
func (sp *spinner) close() {
	sp.mu.Lock()
	sp.closed = true
	sp.mu.Unlock()
	sp.owner.Store(nil)
	sp.workers.Wait()
}

// poll tells the stub to post requests. The next look will do if t is in use.
func (t *thread) poll() {
	if t.mu.TryLock() {
		if !t.proc.dead.Load() {
			t.area.setPoll(true, t.proc.p.spinner.policy.looks)
		}
		t.mu.Unlock()
	}
}

// cool makes t's requests go by notification again. The caller has taken t off the
// list of hot threads, and holds no t.mu.
func (t *thread) cool() {
	t.hot.Store(false)
	t.mu.Lock()
	if !t.proc.dead.Load() {
		t.area.setPoll(false, t.proc.p.spinner.policy.looks)
	}
	t.mu.Unlock()
	t.keepFrom(-1)
}

// spin polls while w owns the spinner. It ends when w does not, or when w.successor
// does.
func (w *worker) spin() {
	p := w.p
	sp := &p.spinner
	sp.mu.Lock()
	if sp.closed {
		sp.mu.Unlock()
		sp.owner.CompareAndSwap(w, nil)
		return
	}
	sp.workers.Add(1)
	sp.mu.Unlock()
	defer sp.workers.Done()
	p.watch.rouse()
	idle, busy, most := sp.ticks(sp.policy.idle), sp.ticks(sp.policy.busy), sp.ticks(sp.policy.lost)
	worth, blip, turn, trial := sp.ticks(worth), sp.ticks(blip), sp.ticks(turn), sp.ticks(trial)
	polite, patient := sp.ticks(polite), sp.ticks(patient)
	y := &sp.tally
	seat := sp.seat.take()
	last := rdtsc()
	looked, offered := last, last
	for w.polls() {
		if p.ready.count.Load() != 0 && w.giveWay() {
			return
		}
		served := false
		for _, t := range *sp.hot.Load() {
			switch {
			case t.area.posted():
				t.asked = true
				y.saved += worth
				y.gain += worth
				served = true
				w.fast(t)
			case int(t.apart.Load()) != seat:
				t.keepFrom(seat)
			case !t.area.polled():
				t.poll() // somebody looks now, or again
			}
		}
		now, cpu := rdtscp()
		if cpu != seat {
			seat = sp.seat.take() // on another thread
		}
		if past := now - y.yielded; past > turn {
			y.yielded = now
			calls := sp.calls.Load()
			pace := sp.rate(calls-y.calls, past)
			y.calls = calls
			if y.pace == 0 {
				y.pace = pace
			}
			y.pace = (y.pace + pace) / 2
			y.gain, y.waste = y.gain/2, y.waste/2
			p.prune()
			runtime.Gosched()
		}
		if since := now - offered; since > patient || since > polite && !served {
			offered = now
			unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		}
		if served {
			last, looked = now, now
			continue
		}
		since := now - looked
		looked = now
		running := int(sp.running.Load())
		enough := busy
		if running == 0 {
			enough = idle
		}
		switch {
		case since > blip:
			y.lost += since
			last += since
		case running >= sp.policy.cpus:
			y.waste += since
		default:
			y.waste += since / spare
		}
		if now-last > enough || y.lost > most+(now-y.started)/8 || y.waste > trial+y.gain ||
			y.pace != 0 && !sp.better(y.pace) {
			p.stopSpin(w)
			return
		}
		pause()
	}
}

// polls says whether w is to poll. After an upcall that has blocked it goes on, unless
// there is another one who does, or it has something else to do.
func (w *worker) polls() bool {
	p := w.p
	sp := &p.spinner
	return sp.owner.Load() == w ||
		len(*sp.hot.Load()) != 0 && p.role.Load() != &w.busy && sp.owner.CompareAndSwap(nil, w)
}

// prune takes threads off the list that have made no request for a turn, unless they
// wait for the answer to one. The caller is the spinner's owner.
func (p *Platform) prune() {
	sp := &p.spinner
	sp.mu.Lock()
	defer sp.mu.Unlock()
	var hot, cold []*thread
	for _, t := range *sp.hot.Load() {
		if !t.proc.dead.Load() && (t.asked || t.phase.Load() == phaseFast) {
			hot = append(hot, t)
		} else {
			cold = append(cold, t)
		}
		t.asked = false
	}
	if len(cold) == 0 {
		return
	}
	sp.hot.Store(&hot)
	for _, t := range cold {
		t.cool()
	}
}

// stopSpin ends w's polling.
func (p *Platform) stopSpin(w *worker) {
	sp := &p.spinner
	y := sp.tally
	if !sp.owner.CompareAndSwap(w, nil) {
		return
	}
	p.launchReady() // who has counted on the spinner
	sp.mu.Lock()
	defer sp.mu.Unlock()
	hot := *sp.hot.Load()
	sp.hot.Store(new([]*thread))
	now := sp.pauses()
	// The rates say it best, if they are known.
	worthwhile := y.saved >= now-y.started && y.waste <= y.gain
	if sp.pace != 0 {
		worthwhile = sp.better(y.pace)
	}
	if !worthwhile {
		sp.until.Store(now + sp.ticks(sp.rest))
		sp.rest = min(2*sp.rest, restMax)
	} else {
		sp.rest = restMin
	}
	for _, t := range hot {
		t.cool()
	}
}

// fast serves the request that t has posted.
func (w *worker) fast(t *thread) {
	if !t.mu.TryLock() {
		return
	}
	c := t.ctx.Load()
	if c != nil && c.late.Load() { // another worker is at it
		t.mu.Unlock()
		return
	}
	if t.proc.dead.Load() || !t.area.take() || !t.phase.CompareAndSwap(phaseApp, phaseFast) {
		// If t has come up otherwise meanwhile, the call is made again.
		t.mu.Unlock()
		return
	}
	t.upgraded = false
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
	c.p.spinner.calls.Add(1)
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
	c.catchUp()
}
