//go:build amd64

package systrap

import (
	"runtime"
	"sync/atomic"

	"casemate/platform"
	"casemate/platform/arch"
	"casemate/platform/loan"

	"golang.org/x/sys/unix"
)

// What a context is doing.
const (
	runNone   = iota // not started, or has exited
	runApp           // application code
	runUpcall        // in the sentry
	runDead
)

// syscallLength is the length of the instruction.
const syscallLength = 2

// A context implements platform.Context.
type context struct {
	p     *Platform
	h     platform.Handler
	state platform.State

	run atomic.Uint32
	// intr says that HandleInterrupt is due.
	intr atomic.Bool

	// worker makes the upcall; nil if that is none of a worker's.
	worker atomic.Pointer[worker]

	// after is what After was given; late says that it has not been done.
	after platform.Runner
	late  atomic.Bool

	parking  atomic.Uint32
	unparked chan struct{} // capacity 1

	space *space
	t     atomic.Pointer[thread]
	// next is the address space that SetAddressSpace has set.
	next *space
}

// NewContext implements platform.Platform.
func (p *Platform) NewContext(h platform.Handler) platform.Context {
	return &context{p: p, h: h, unparked: make(chan struct{}, 1), state: platform.State{FP: arch.NewFPState(), Full: true}}
}

// State implements platform.Context.
func (c *context) State() *platform.State { return &c.state }

// Blocking implements platform.Context.
func (c *context) Blocking() {
	w := c.worker.Load()
	switch {
	case w == nil:
	case c.p.spinner.owner.CompareAndSwap(w, nil):
		c.p.respin(c.t.Load())
	default:
		if next := w.abdicate(); next != nil {
			c.p.launch(next)
		}
	}
}

// After implements platform.Context. Who makes the call by notification gets its processor
// back no sooner for an early answer.
func (c *context) After(r platform.Runner) bool {
	if w := c.worker.Load(); w == nil || c.p.spinner.owner.Load() != w || c.t.Load().phase.Load() != phaseFast {
		return false
	}
	if c.after == nil {
		c.after = r
		c.late.Store(true)
	}
	return c.after == r
}

// Desk implements platform.Context.
func (c *context) Desk() *loan.Desk {
	t := c.t.Load()
	if t.desk == nil {
		t.desk = t.area.desk()
	}
	return t.desk
}

// catchUp does what After was given.
func (c *context) catchUp() {
	if r := c.after; r != nil {
		c.after = nil
		r.Run()
		c.late.Store(false)
	}
}

// Interrupt implements platform.Context.
func (c *context) Interrupt() {
	c.intr.Store(true)
	if c.run.Load() == runApp {
		if t := c.t.Load(); t != nil {
			t.kick()
			c.p.watch.expect()
		}
	}
}

// Release implements platform.Context.
func (c *context) Release() {}

// event serves an event of t, c's thread: sig is 0 for a plain system call.
func (c *context) event(t *thread, n *notification, sig int) {
	for c.late.Load() {
		runtime.Gosched() // the spinner is at it
	}
	if !c.run.CompareAndSwap(runApp, runUpcall) {
		return // it has died meanwhile
	}
	c.p.spinner.running.Add(-1)
	if sig == 0 {
		c.intr.Store(false)
		r := &c.state.Regs
		r.Orig_rax = uint64(uint32(n.nr))
		r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = n.args[0], n.args[1], n.args[2], n.args[3], n.args[4], n.args[5]
		r.Rip = n.ip
		r.Rax = errNoSys
		c.state.Full = false
		d := c.h.HandleSyscall(c)
		if pt := c.space.patcher; pt != nil && d == platform.Resume && c.next == nil && pt.called(c, n.ip, uint64(uint32(n.nr)), &n.args) {
			c.p.heat(t)
		}
		c.finish(d)
		return
	}
	lent := false
	if t.area.inFast(t.frame) {
		c.lock(t) // whoever answers a request has done so
		lent = t.area.leaveFast(t.frame, false)
		t.mu.Unlock()
	}
	if !t.area.readFrame(t.frame, t.base, &c.state) {
		t.proc.breach("no frame", n)
		c.lose(t)
		return
	}
	d := platform.Resume
	switch info := &t.area.frame(t.frame).info; unix.Signal(sig) {
	case interruptSignal:
		if c.intr.Swap(false) {
			d = c.h.HandleInterrupt(c)
		}
	case unix.SIGSYS:
		nr, audit := info.syscall, info.arch
		if audit != unix.AUDIT_ARCH_X86_64 {
			c.state.Regs.Rax = errNoSys
			break
		}
		c.intr.Store(false)
		c.state.Regs.Orig_rax = uint64(uint32(nr))
		c.state.Regs.Rax = errNoSys
		d = c.h.HandleSyscall(c)
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGTRAP:
		c.intr.Store(false)
		if lent {
			break // of the buffer of a call, which is made again
		}
		u := t.area.frame(t.frame)
		if pt := c.space.patcher; pt != nil {
			if ip, ok := pt.site(c.state.Regs.Rip); ok && (c.state.Regs.Rip-checkOffset)%trampolineSize == 0 {
				// The trampoline is not for those who use GS.
				c.state.Regs.Rip = ip - syscallLength
				break
			}
		}
		f := platform.Fault{
			Signal:    sig,
			Code:      int(info.code),
			Addr:      info.addr,
			TrapNo:    u.trapno,
			ErrorCode: u.err,
		}
		if f.TrapNo == trapPageFault {
			f.Addr = u.cr2
			f.Access = true
			f.Write = f.ErrorCode&pageFaultWrite != 0
			f.Exec = f.ErrorCode&pageFaultExec != 0
		}
		d = c.h.HandleFault(c, f)
	default:
		t.proc.breach("unexpected signal", n)
		c.lose(t)
		return
	}
	c.finish(d)
}

// errNoSys is -ENOSYS, what a system call returns if nobody sets a result.
const errNoSys = ^uint64(unix.ENOSYS) + 1

// The processor's page fault exception (Intel SDM volume 3, 4.7).
const (
	trapPageFault  = 14
	pageFaultWrite = 1 << 1
	pageFaultExec  = 1 << 4
)

// finish does what the Handler has answered.
func (c *context) finish(d platform.Disposition) {
	for {
		t := c.t.Load()
		switch {
		case d == platform.Exit:
			c.exit()
			return
		case c.next != nil:
			t = c.move()
			if t == nil {
				c.die(runUpcall, c.worker.Load())
				return
			}
		}
		c.lock(t)
		if d == platform.ResumeFull || c.intr.Load() {
			if t.phase.Load() != phasePlain {
				ok := c.complete(t)
				t.mu.Unlock()
				if !ok {
					c.lose(t)
					return
				}
				c.intr.Store(false)
				d = c.h.HandleInterrupt(c)
				continue
			}
			c.intr.Store(true)
		}
		if c.lost(t) {
			t.mu.Unlock()
			c.die(runApp, c.worker.Load())
			return
		}
		if c.intr.Load() {
			t.kick()
		}
		c.resume(t)
		return
	}
}

// complete makes the state full, the result of the system call included, when t
// is in the sentry other than by a plain call. It returns false if t is no more.
// t.mu is held.
func (c *context) complete(t *thread) bool {
	if t.ready() != 0 {
		return false
	}
	if !t.upgraded {
		return true
	}
	t.area.finishCall(t.frame, c.state.Regs.Rax)
	t.upgraded = false
	if !t.area.readFrame(t.frame, t.base, &c.state) {
		t.proc.kill()
		return false
	}
	return true
}

// resume lets t go on in the application, and releases t.mu.
func (c *context) resume(t *thread) {
	result := c.state.Regs.Rax // no more c's when t goes on
	for {
		switch t.phase.Load() {
		case phasePlain:
			t.goOn(phaseApp, int64(result))
			return
		case phaseFast:
			if t.phase.CompareAndSwap(phaseFast, phaseApp) {
				t.area.reply(result)
				t.mu.Unlock()
				return
			}
			continue
		}
		t.ready()
		if t.upgraded {
			t.area.finishCall(t.frame, result)
		} else {
			t.frame = frameOffset()
			t.area.writeFrame(t.frame, t.base, &c.state)
		}
		if c.intr.Load() {
			t.kick() // the last kick may be why it is here
		}
		c.space.resume(t)
		return
	}
}

// lock takes t.mu. Who holds it may need the listener.
func (c *context) lock(t *thread) {
	if !t.mu.TryLock() {
		c.Blocking()
		t.mu.Lock()
	}
}

// lost ends the upcall: from now on it is for the reaper to make c die with its
// process. It returns true if the process is dead already, and the reaper may have
// missed c: the caller has c die, with no lock held.
func (c *context) lost(t *thread) bool {
	c.p.spinner.running.Add(1)
	c.run.Store(runApp)
	return t.proc.dead.Load()
}

// lose ends the upcall of a context whose process has died or has been killed. No
// lock is held.
func (c *context) lose(t *thread) {
	if c.lost(t) {
		c.die(runApp, c.worker.Load())
	}
}

// die tells the Handler that c has died, if it still does what it did, was. No lock
// is held: the Handler may release the address space. w is the worker that calls, or
// nil.
func (c *context) die(was uint32, w *worker) bool {
	if !c.run.CompareAndSwap(was, runDead) {
		return false
	}
	c.worker.Store(w)
	if was == runApp {
		c.p.spinner.running.Add(-1)
	}
	c.space.left(c)
	c.h.HandleDeath(c)
	return true
}

// exit lets go of c's thread.
func (c *context) exit() {
	t := c.t.Load()
	c.lock(t)
	t.ctx.Store(nil)
	c.run.Store(runNone)
	t.mu.Unlock()
	c.space.left(c)
	c.space.park(t)
	c.space.recycle()
}
