//go:build amd64

package systrap

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A worker is a goroutine that receives notifications and serves them. One of
// them at a time has the listener's role; the others are in upcalls that said
// that they block.
type worker struct {
	p *Platform
	n notification
	// busy says that the worker is in an upcall, and cannot listen.
	busy atomic.Bool
}

// listen receives and serves notifications while w has the role.
func (w *worker) listen() {
	p := w.p
	defer func() {
		if p.workers.Add(-1) == 0 && p.closing.Load() {
			close(p.stopped)
		}
	}()
	for p.role.Load() == w && !p.closing.Load() {
		switch e := receive(p.listener, &w.n); e {
		case 0:
			w.handle()
		case unix.EINTR, unix.ENOENT:
		default:
			p.logf("systrap: seccomp listener: %v", e)
			return
		}
	}
}

// passRole gives the listener's role to another goroutine if w has it.
func (p *Platform) passRole(w *worker) {
	next := &worker{p: p}
	if p.role.CompareAndSwap(w, next) {
		p.workers.Add(1)
		go next.listen()
	}
}

// waitBegin makes sure that somebody listens until waitEnd, whatever the upcalls
// do that are in progress: the caller waits for a stub, and may itself be in the
// upcall of the goroutine that has the role.
func (p *Platform) waitBegin() {
	p.waiters.Add(1)
	if w := p.role.Load(); w.busy.Load() {
		p.passRole(w)
	}
}

func (p *Platform) waitEnd() { p.waiters.Add(-1) }

// enter is called before an upcall.
func (w *worker) enter() {
	w.busy.Store(true)
	if w.p.waiters.Load() != 0 {
		w.p.passRole(w)
	}
}

// exit is called after an upcall.
func (w *worker) exit() { w.busy.Store(false) }

// handle serves the notification w.n.
func (w *worker) handle() {
	p, n := w.p, &w.n
	t := p.tids.get(n.tid)
	if n.ip == ipNewThread || n.ip == ipNewProcess {
		if p.birth(n, t) {
			return
		}
	}
	if t == nil {
		p.logf("systrap: unknown thread %d: call %d at %#x; killed", n.tid, n.nr, n.ip)
		unix.Kill(int(n.tid), unix.SIGKILL)
		return
	}
	for !t.notified(w, n) {
	}
}

// notified serves n, t's notification. It returns false when it is to be tried
// again because t's phase has changed meanwhile.
func (t *thread) notified(w *worker, n *notification) bool {
	p := t.proc.p
	switch ph := t.phase.Load(); ph {
	case phaseApp:
		if n.ip < stubText || n.ip >= stubText+stubSize {
			t.notif = n.id
			if !t.phase.CompareAndSwap(phaseApp, phasePlain) {
				return false
			}
			t.upgraded = false
			w.serve(t, 0)
			return true
		}
		if t.fastSleep(n) {
			// The answer came just before.
			respond(p.listener, &response{id: n.id})
			return true
		}
		if sig := n.args[0]; t.handoff(n) && sig < kindDone && t.setFrame(n.args[2]) {
			t.notif = n.id
			if !t.phase.CompareAndSwap(phaseApp, phaseStub) {
				return false
			}
			t.upgraded = false
			t.rode.Store(false)
			w.serve(t, int(sig))
			return true
		}
	case phaseFast:
		switch {
		case t.fastSleep(n):
			t.notif = n.id
			return t.phase.CompareAndSwap(phaseFast, phaseFastSleep)
		case t.handoff(n) && n.args[0] == interruptSignal && t.setFrame(n.args[2]):
			t.notif = n.id
			return t.phase.CompareAndSwap(phaseFast, phaseFastStub)
		}
	case phaseUpgrade:
		if t.fastSleep(n) && !t.restarted {
			t.restarted = true
			respond(p.listener, &response{id: n.id, errno: -errRestartNoIntr})
			return true
		}
		if t.handoff(n) && n.args[0] == interruptSignal && t.setFrame(n.args[2]) {
			t.notif = n.id
			t.restarted = false
			t.phase.Store(phaseStub)
			t.done <- result{}
			return true
		}
	case phaseCalls:
		if t.approve(n) {
			return true
		}
	}
	t.proc.breach("not a call that was commanded", n)
	return true
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
// t into the stub, 0 for a system call.
func (w *worker) serve(t *thread, sig int) {
	if t.want.Load() && t.want.CompareAndSwap(true, false) {
		// Somebody waits to use the thread. The event is served when mu is free
		// again.
		ev := &worker{p: w.p, n: w.n}
		ev.busy.Store(true)
		t.granted <- struct{}{}
		go func() {
			t.mu.Lock()
			t.mu.Unlock()
			ev.upcall(t, sig)
		}()
		return
	}
	w.upcall(t, sig)
}

// upcall makes the upcall for an event of t.
func (w *worker) upcall(t *thread, sig int) {
	c := t.ctx.Load()
	if c == nil {
		t.proc.breach("no context", &w.n)
		return
	}
	c.worker.Store(w)
	w.enter()
	c.event(t, &w.n, sig)
	w.exit()
}
