//go:build amd64

package systrap

import (
	"time"

	"golang.org/x/sys/unix"
)

// receive waits for the next notification. It may return without one.
func (w *worker) receive() bool {
	switch e := receive(w.p.listener, &w.n); e {
	case 0:
		return true
	case unix.EINTR:
	case unix.ENOENT: // the caller is not there any more
		if listenerOver(w.p.listener) {
			// Nor will there ever be one: all stubs have died.
			<-w.p.over
		}
	default:
		w.p.logf("systrap: seccomp listener: %v", e)
		time.Sleep(time.Second)
	}
	return false
}

// listen receives and serves notifications while w has the role. First come the
// workers that are to go on: one of them gets the role and w's thread.
func (w *worker) listen() {
	p := w.p
	for !p.closing.Load() {
		if p.ready.count.Load() != 0 && w.giveWay() {
			return
		}
		if !w.receive() {
			continue
		}
		p.spinner.seat.avoid()
		t := w.take()
		if t != nil && !w.serve(t, t.signal) {
			return
		}
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
			w.left.Store(false)
			return true
		}
		w.left.Store(true)
		if p.role.Load() != &w.busy || !w.left.CompareAndSwap(true, false) {
			return false
		}
	}
}

// passRole gives the listener's role to another worker if w, in an upcall, has it.
func (p *Platform) passRole(w *worker) {
	if p.role.Load() != &w.busy {
		return
	}
	if next := p.succeed(w); next != nil {
		p.launch(next)
	}
}

// succeed returns an idle worker that has w's role now; nil if w, in an upcall, has lent it
// meanwhile.
func (p *Platform) succeed(w *worker) *worker {
	next := p.idleWorker()
	if p.role.CompareAndSwap(&w.busy, &next.listening) {
		return next
	}
	p.release(next)
	return nil
}

// abdicate gives the role to another worker, if w has it, and else has who gives it back to w
// do so: w's upcall will take long, or is over. The caller is to drive the worker that is
// returned, if any.
func (w *worker) abdicate() *worker {
	for {
		w.left.Store(true)
		if w.p.role.Load() != &w.busy || !w.left.CompareAndSwap(true, false) {
			return nil
		}
		if next := w.p.succeed(w); next != nil {
			return next
		}
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
			r.w.lent.Store(true)
			if p.role.CompareAndSwap(r, &me.listening) {
				if me.listenUntil(ready) {
					p.giveBack(r.w)
				}
			}
			continue
		}
		block()
	}
}

// giveBack returns the role, which the caller has, to w, from whom it has it.
func (p *Platform) giveBack(w *worker) {
	p.role.Store(&w.busy)
	if w.left.Load() && w.left.CompareAndSwap(true, false) {
		if next := w.abdicate(); next != nil {
			p.launch(next)
		}
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
	p.launchReady()
	for !ready() {
		if !pollListener(p.listener, deathTick) || !me.receive() {
			continue
		}
		t := me.take()
		if t == nil {
			continue
		}
		next := p.idleWorker()
		next.n, next.thread, next.signal = me.n, t, t.signal
		p.role.Store(&next.listening)
		p.launch(next)
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
	if n.ip == ipHandoff && n.args[0] == interruptSignal {
		t.kicked.Store(false)
		t.heard.Add(1)
	}
	switch t.phase.Load() {
	case phaseApp:
		if n.ip < stubText || n.ip >= stubText+stubSize {
			t.notif = n.id
			if !t.phase.CompareAndSwap(phaseApp, phasePlain) {
				return false, true
			}
			t.upgraded, t.signal = false, 0
			return true, false
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
		if t.handoff(n) && n.args[0] == interruptSignal && t.setFrame(n.args[2]) {
			t.notif = n.id
			return false, !t.phase.CompareAndSwap(phaseFast, phaseFastStub)
		}
	case phaseUpgrade:
		if t.handoff(n) && n.args[0] == interruptSignal && t.setFrame(n.args[2]) {
			t.notif = n.id
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
		ev := w.p.idleWorker()
		ev.n, ev.thread, ev.signal, ev.deferred = w.n, t, sig, true
		t.granted <- struct{}{}
		w.p.launch(ev)
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
