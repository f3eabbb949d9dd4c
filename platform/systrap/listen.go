//go:build amd64

package systrap

import (
	"runtime"
	"sync/atomic"
	"time"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

// A worker is a goroutine that receives notifications and serves them. One of
// them at a time has the listener's role; the others are in upcalls that said
// that they block.
type worker struct {
	p *Platform
	n notification

	// Who has the role, and whether it listens or is in an upcall, is one
	// pointer (Platform.role), to one of these two.
	listening, busy role
	// left says that the worker has ended for want of the role. Who changes it
	// back sees to the role.
	left atomic.Bool
	// upcalls counts the upcalls that w has made.
	upcalls atomic.Uint64

	// The spinner's: the thread that pin has pinned, and the processors that it
	// might use before.
	pinned int
	cpus   unix.CPUSet
}

type role struct {
	w    *worker
	busy bool
}

func (p *Platform) newWorker() *worker {
	w := &worker{p: p}
	w.listening = role{w, false}
	w.busy = role{w, true}
	return w
}

// receive waits for the next notification. It may return without one.
func (w *worker) receive() bool {
	switch e := receive(w.p.listener, &w.n); e {
	case 0:
		return true
	case unix.EINTR, unix.ENOENT: // ENOENT: the caller is not there any more
	default:
		w.p.logf("systrap: seccomp listener: %v", e)
		time.Sleep(time.Second)
	}
	return false
}

// begin starts a goroutine that listens; w has been given the role.
func (w *worker) begin() {
	w.p.workers.Add(1)
	go w.listen()
}

// listen receives and serves notifications while w has the role.
func (w *worker) listen() {
	p := w.p
	defer p.leave()
	for !p.closing.Load() {
		if !w.receive() {
			continue
		}
		t := w.take()
		if t == nil {
			continue
		}
		wakes := platform.Wakes()
		if !w.serve(t, t.signal) {
			return
		}
		if platform.Wakes() != wakes {
			runtime.Gosched()
		}
	}
}

// leave counts a worker that ends.
func (p *Platform) leave() {
	if p.workers.Add(-1) == 0 && p.closing.Load() {
		close(p.stopped)
	}
}

// enter is called before an upcall.
func (w *worker) enter() {
	w.upcalls.Store(w.upcalls.Load() + 1)
	w.p.watch.rouse()
	if w.p.role.CompareAndSwap(&w.listening, &w.busy) && w.p.waiters.Load() != 0 {
		w.p.passRole(w)
	}
}

// exit is called after an upcall. It returns false if w has no role any more.
func (w *worker) exit() bool {
	p := w.p
	for {
		if p.role.CompareAndSwap(&w.busy, &w.listening) {
			return true
		}
		w.left.Store(true)
		if p.role.Load() != &w.busy || !w.left.CompareAndSwap(true, false) {
			return false
		}
	}
}

// passRole gives the listener's role to another goroutine if w, in an upcall, has
// it.
func (p *Platform) passRole(w *worker) {
	next := p.newWorker()
	if p.role.CompareAndSwap(&w.busy, &next.listening) {
		next.begin()
	}
}

// waitFor waits until ready is true, for something that the listener does. If the
// one who has the role is in an upcall, perhaps the caller's own, the caller
// listens in its stead: no other goroutine need be woken. ready must not block;
// block waits until ready may be true.
func (p *Platform) waitFor(ready func() bool, block func()) {
	p.waiters.Add(1)
	defer p.waiters.Add(-1)
	for !ready() {
		if r := p.role.Load(); r.busy {
			me := p.newWorker()
			if p.role.CompareAndSwap(r, &me.listening) {
				if me.listenUntil(ready) {
					p.giveBack(me, r.w)
				}
			}
			continue
		}
		block()
	}
}

// giveBack returns the role, which me has, to w, from whom it has it.
func (p *Platform) giveBack(me, w *worker) {
	p.role.Store(&w.busy)
	if w.left.Load() && w.left.CompareAndSwap(true, false) {
		p.passRole(w)
	}
}

// deathTick is how long it may take until a goroutine that listens in another's
// stead notices the death of the stub that it waits for, in milliseconds.
const deathTick = 10

// listenUntil listens until ready. A notification that takes an upcall goes to a
// new worker, with the role, and listenUntil returns false.
func (me *worker) listenUntil(ready func() bool) bool {
	p := me.p
	p.workers.Add(1)
	defer p.leave()
	for !ready() {
		if !pollListener(p.listener, deathTick) || !me.receive() {
			continue
		}
		t := me.take()
		if t == nil {
			continue
		}
		next, signal := p.newWorker(), t.signal
		next.n = me.n
		p.role.Store(&next.listening)
		p.workers.Add(1)
		go func() {
			if next.serve(t, signal) {
				next.listen()
			} else {
				p.leave()
			}
		}()
		return false
	}
	return true
}

// take takes the notification w.n. It returns the thread if there is to be an
// upcall.
func (w *worker) take() *thread {
	p, n := w.p, &w.n
	t := p.tids.get(n.tid)
	if n.ip == ipNewThread || n.ip == ipNewProcess {
		if p.birth(n, t) {
			return nil
		}
	}
	if t == nil {
		p.logf("systrap: unknown thread %d: call %d at %#x; killed", n.tid, n.nr, n.ip)
		unix.Kill(int(n.tid), unix.SIGKILL)
		return nil
	}
	for {
		upcall, again := t.notified(n)
		switch {
		case again:
		case upcall:
			return t
		default:
			return nil
		}
	}
}

// notified takes n, t's notification. upcall says that there is to be one, for
// t.signal; again that n is to be taken again because t's phase has changed
// meanwhile.
func (t *thread) notified(n *notification) (upcall, again bool) {
	p := t.proc.p
	if n.ip == ipHandoff && n.args[0] == interruptSignal {
		t.kicked.Store(false)
		t.heard.Add(1)
	}
	switch ph := t.phase.Load(); ph {
	case phaseApp:
		if n.ip < stubText || n.ip >= stubText+stubSize {
			t.notif = n.id
			if !t.phase.CompareAndSwap(phaseApp, phasePlain) {
				return false, true
			}
			t.upgraded, t.signal = false, 0
			return true, false
		}
		if t.fastSleep(n) {
			// The answer came just before.
			respond(p.listener, &response{id: n.id})
			return false, false
		}
		if sig := n.args[0]; t.handoff(n) && sig < kindDone && t.setFrame(n.args[2]) {
			t.notif = n.id
			if !t.phase.CompareAndSwap(phaseApp, phaseStub) {
				return false, true
			}
			t.upgraded, t.signal = false, int(sig)
			t.rode.Store(false)
			return true, false
		}
	case phaseFast:
		switch {
		case t.fastSleep(n):
			t.notif = n.id
			return false, !t.phase.CompareAndSwap(phaseFast, phaseFastSleep)
		case t.handoff(n) && n.args[0] == interruptSignal && t.setFrame(n.args[2]):
			t.notif = n.id
			return false, !t.phase.CompareAndSwap(phaseFast, phaseFastStub)
		}
	case phaseUpgrade:
		if t.fastSleep(n) && !t.restarted {
			t.restarted = true
			respond(p.listener, &response{id: n.id, errno: -errRestartNoIntr})
			return false, false
		}
		if t.handoff(n) && n.args[0] == interruptSignal && t.setFrame(n.args[2]) {
			t.notif = n.id
			t.restarted = false
			t.phase.Store(phaseStub)
			t.done <- result{}
			return false, false
		}
	case phaseCalls:
		if t.approve(n) {
			return false, false
		}
	}
	t.proc.breach("not a call that was commanded", n)
	return false, false
}

// fastSleep says whether n is the stub's call by which t waits to be told to look
// again for the answer to its request.
func (t *thread) fastSleep(n *notification) bool {
	return n.ip == ipFastSleep && n.nr == nrHandoff && n.args[0] == kindSleep && n.args[3] == t.base
}

// handoff says whether n is the stub's call by which t waits for a command. What
// the stub does next then depends on the command alone.
func (t *thread) handoff(n *notification) bool {
	return n.ip == ipHandoff && n.nr == nrHandoff && n.args[3] == t.base
}

// setFrame takes down that there is a signal frame at addr.
func (t *thread) setFrame(addr uint64) bool {
	off := addr - t.base
	if !frameValid(off) {
		return false
	}
	t.frame = off
	return true
}

// approve lets the stub make a call that it was told to make, or takes its
// report.
func (t *thread) approve(n *notification) bool {
	if t.next < len(t.calls) {
		want := &t.calls[t.next]
		ip := uint64(ipCall)
		if want.nr == unix.SYS_CLONE {
			ip = ipClone
		}
		if n.ip == ip && uint64(uint32(n.nr)) == want.nr && n.args == want.args {
			t.next++
			if t.next == len(t.calls) && t.ride {
				t.phase.Store(phaseApp)
			}
			r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
			respond(t.proc.p.listener, &r)
			return true
		}
	}
	if t.ride || !t.handoff(n) {
		return false
	}
	r := result{val: n.args[1]}
	switch n.args[0] {
	case kindDone:
		if t.next != len(t.calls) {
			return false
		}
		if e := -int64(r.val); e > 0 && e < 4096 {
			r.errno = unix.Errno(e)
		}
	case kindFailed:
		r.errno = unix.Errno(-r.val)
	default:
		return false
	}
	t.notif = n.id
	t.phase.Store(phaseStub)
	t.done <- r
	return true
}

// serve makes the upcall for t's notification, n; sig is the signal that brought
// t into the stub, 0 for a system call. It returns false if w has no role any
// more.
func (w *worker) serve(t *thread, sig int) bool {
	if t.want.Load() && t.want.CompareAndSwap(true, false) {
		// Somebody waits to use the thread. The event is served when mu is free
		// again.
		ev := w.p.newWorker()
		ev.n = w.n
		t.granted <- struct{}{}
		go func() {
			t.mu.Lock()
			//lint:ignore SA2001 the lock is handed over: its holder has let go
			t.mu.Unlock()
			ev.upcall(t, sig)
		}()
		return true
	}
	return w.upcall(t, sig)
}

// upcall makes the upcall for an event of t. It returns false if w has no role any
// more.
func (w *worker) upcall(t *thread, sig int) bool {
	c := t.ctx.Load()
	if c == nil {
		t.proc.breach("no context", &w.n)
		return true
	}
	c.worker.Store(w)
	w.enter()
	c.event(t, &w.n, sig)
	return w.exit()
}
