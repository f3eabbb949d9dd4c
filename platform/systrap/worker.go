//go:build amd64

package systrap

import (
	"iter"
	"sync"
	"sync/atomic"
)

// A worker receives notifications and serves them, or polls requests. One of them
// at a time has the listener's role; the others are in upcalls that wait, or idle.
//
// Workers are coroutines. A goroutine, a driver, runs one after another: when the
// context of one parks, the driver goes on with an idle one, which listens; and
// when an upcall of that one lets the first go on, the driver switches back after
// it. So those who wait for each other on one processor take no switch between
// goroutines, which Go would spread over all processors.
type worker struct {
	p *Platform
	n notification

	// Who has the role, and whether it listens or is in an upcall, is one
	// pointer (Platform.role), to one of these two.
	listening, busy role
	// left says that the worker will not look whether it has the role. Who
	// changes it back sees to the role.
	left atomic.Bool
	// lent says that somebody may give back the role to the worker.
	lent atomic.Bool
	// upcalls counts the upcalls that w has made.
	upcalls atomic.Uint64

	// What it is to do when it is resumed: to serve the event n of thread, which
	// signal has brought (again, if deferred: it was lent meanwhile). Then it does
	// what it has the role for.
	thread   *thread
	signal   int
	deferred bool

	resume func() (outcome, bool)
	stop   func()
	yield  func(outcome) bool
	// parked is the context that has parked, successor the worker that has w's
	// role now, when w has yielded.
	parked    *context
	successor *worker
}

type role struct {
	w    *worker
	busy bool
}

// An outcome is why a worker has yielded.
type outcome int

const (
	outcomeIdle   outcome = iota // nothing more to do
	outcomeParked                // its context has parked
)

func (p *Platform) newWorker() *worker {
	w := &worker{p: p}
	w.listening = role{w, false}
	w.busy = role{w, true}
	return w
}

// workers are the workers that nobody drives: idle ones, and parked ones that are
// to go on.
type workers struct {
	count atomic.Int32
	mu    sync.Mutex
	list  []*worker
}

func (ws *workers) push(w *worker) {
	ws.mu.Lock()
	ws.list = append(ws.list, w)
	ws.count.Store(int32(len(ws.list)))
	ws.mu.Unlock()
}

// pop returns nil if there is none. The last one in comes out first: its stack is
// in the cache.
func (ws *workers) pop() (w *worker) {
	ws.mu.Lock()
	if n := len(ws.list); n > 0 {
		w = ws.list[n-1]
		ws.list[n-1] = nil
		ws.list = ws.list[:n-1]
		ws.count.Store(int32(n - 1))
	}
	ws.mu.Unlock()
	return w
}

// maxIdle is how many idle workers are kept.
const maxIdle = 64

// idleWorker returns a worker, which listens if it is told nothing else.
func (p *Platform) idleWorker() *worker {
	if w := p.idle.pop(); w != nil {
		w.left.Store(false)
		return w
	}
	return p.newWorker()
}

// start makes w a coroutine. The caller is a driver: a goroutine that is locked to
// its thread, as others may be, could not pass it to one that is not.
func (w *worker) start() {
	w.resume, w.stop = iter.Pull(func(yield func(outcome) bool) {
		w.yield = yield
		for {
			w.work()
			if !yield(outcomeIdle) {
				return
			}
		}
	})
}

// release takes back an idle worker.
func (p *Platform) release(w *worker) {
	if w.lent.Load() || p.closing.Load() || p.idle.count.Load() >= maxIdle {
		w.end()
		return
	}
	p.idle.push(w)
}

// end ends an idle worker.
func (w *worker) end() {
	if w.stop != nil {
		w.stop()
	}
}

// work does what w was told to do, and then listens or polls while it has that role.
func (w *worker) work() {
	p := w.p
	if t := w.thread; t != nil {
		w.thread = nil
		serve := w.serve
		if w.deferred {
			w.deferred = false
			t.mu.Lock()
			//lint:ignore SA2001 the lock is handed over: its holder has let go
			t.mu.Unlock()
			serve = w.upcall
		}
		serve(t, w.signal)
	}
	for w.successor == nil && !p.closing.Load() {
		switch {
		case p.spinner.owner.Load() == w:
			w.spin()
		case p.role.Load() == &w.listening || w.exit():
			w.listen()
		default:
			return
		}
	}
}

// launch starts a driver that begins with w.
func (p *Platform) launch(w *worker) {
	p.workers.Add(1)
	go p.drive(w)
}

// drive runs w, and whoever takes its place, until there is nobody.
func (p *Platform) drive(w *worker) {
	defer p.leave()
	for w != nil {
		if w.resume == nil {
			w.start()
		}
		switch out, _ := w.resume(); out {
		case outcomeParked:
			w = p.park(w)
		case outcomeIdle:
			next := w.successor
			w.successor = nil
			p.release(w)
			w = next
		}
	}
}

// leave counts a driver that ends.
func (p *Platform) leave() {
	if p.workers.Add(-1) == 0 && p.closing.Load() {
		close(p.stopped)
	}
}

// States of context.parking.
const (
	parkingNone    = iota
	parkingWorker  // its worker is parked
	parkingChannel // the goroutine that has called Park waits on unparked
	parkingToken   // Unpark came first
)

// park takes down that w is parked, and returns who goes on in its stead: w
// itself if it has been told to meanwhile, who has its role, or nobody.
func (p *Platform) park(w *worker) *worker {
	c := w.parked
	w.parked = nil
	if c.parking.CompareAndSwap(parkingToken, parkingNone) {
		return w
	}
	next := w.relieve(c)
	if !c.parking.CompareAndSwap(parkingNone, parkingWorker) {
		c.parking.Store(parkingNone)
		if next == nil {
			return w
		}
		p.ready.push(w) // next will see it
	}
	return next
}

// relieve returns a worker that has taken over what w, whose context parks, has to do
// besides: to poll or to listen. It returns nil if that is nothing.
func (w *worker) relieve(c *context) *worker {
	p := w.p
	if p.spinner.owner.Load() == w {
		if t := c.t.Load(); int(p.spinner.running.Load()) >= p.spinner.policy.cpus-1 {
			t.area.sleep() // somebody else can use the processor
		}
		next := p.idleWorker()
		if p.spinner.owner.CompareAndSwap(w, next) {
			return next
		}
		p.release(next)
	}
	return w.abdicate()
}

// makeReady lets w, which is parked, go on: after the upcall that is in progress,
// which may well be what this is called from, or at once.
func (p *Platform) makeReady(w *worker) {
	p.ready.push(w)
	if !p.role.Load().busy && p.spinner.owner.Load() == nil {
		p.launchReady()
	}
}

// launchReady starts drivers for all workers that are to go on.
func (p *Platform) launchReady() {
	for {
		w := p.ready.pop()
		if w == nil {
			return
		}
		p.launch(w)
	}
}

// crowd is how many workers may wait to go on, one after another, before another
// processor is asked to help.
const crowd = 3

// giveWay gives w's role, to poll or to listen, and its driver to a worker that is to
// go on. It returns false if there is none.
func (w *worker) giveWay() bool {
	p := w.p
	next := p.ready.pop()
	if next == nil {
		return false
	}
	if p.ready.count.Load() > crowd {
		if other := p.ready.pop(); other != nil {
			p.launch(other)
		}
	}
	if !p.spinner.owner.CompareAndSwap(w, next) && !p.role.CompareAndSwap(&w.listening, &next.busy) {
		p.launch(next)
		return false
	}
	p.watch.rouse()
	w.successor = next
	return true
}

// Park implements platform.Context.
func (c *context) Park() {
	if w := c.worker.Load(); w != nil {
		c.catchUp()
		w.parked = c
		w.yield(outcomeParked)
		return
	}
	if c.parking.CompareAndSwap(parkingNone, parkingChannel) {
		<-c.unparked
	} else {
		c.parking.Store(parkingNone)
	}
}

// Unpark implements platform.Context.
func (c *context) Unpark() {
	for {
		switch c.parking.Load() {
		case parkingNone:
			if c.parking.CompareAndSwap(parkingNone, parkingToken) {
				return
			}
		case parkingWorker:
			if c.parking.CompareAndSwap(parkingWorker, parkingNone) {
				c.p.makeReady(c.worker.Load())
				return
			}
		case parkingChannel:
			if c.parking.CompareAndSwap(parkingChannel, parkingNone) {
				c.unparked <- struct{}{}
				return
			}
		case parkingToken:
			return
		}
	}
}
