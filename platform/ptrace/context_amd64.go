package ptrace

import (
	"runtime"
	"sync"
	"sync/atomic"

	"casemate/platform"
	"casemate/platform/arch"
	"casemate/platform/loan"

	"golang.org/x/sys/unix"
)

// Bits of context.flags. Running code is interrupted by a signal, an upcall by
// the second look at its end.
const (
	running = 1 << iota // application code runs, or is about to
	pending             // Interrupt was called since the last upcall began
)

// interruptSignal stops a running stub thread. It is never delivered.
const interruptSignal = unix.SIGUSR1

// context is one stub thread, traced by the OS thread of the goroutine in run.
type context struct {
	p  *Platform
	h  platform.Handler
	st platform.State

	// Used by the goroutine in run, and before it starts.
	tracer int            // tid of the OS thread that run is locked to
	regs   arch.Registers // the thread's registers at its last stop
	xstate []byte         // image of the host's NT_X86_XSTATE
	last   fetchFault

	flags    atomic.Uint32
	unparked chan struct{} // capacity 1

	// tid is the stub thread, 0 when there is none, of as. The goroutine in run
	// changes them under mu; Interrupt reads them under mu.
	mu  sync.Mutex
	tid int
	as  *addressSpace
}

// State returns the registers.
func (c *context) State() *platform.State { return &c.st }

// Blocking does nothing: each Context has an OS thread of its own.
func (c *context) Blocking() {}

// Park waits for Unpark.
func (c *context) Park() { <-c.unparked }

// Unpark lets Park return.
func (c *context) Unpark() {
	select {
	case c.unparked <- struct{}{}:
	default:
	}
}

// Release does nothing: the goroutine lets go of all when the Context exits.
func (c *context) Release() {}

// Start makes the stub thread and the goroutine that traces it.
func (c *context) Start(space platform.AddressSpace) error {
	as := space.(*addressSpace)
	tid, err := as.newThread()
	if err != nil {
		return err
	}
	c.as, c.tid = as, tid
	c.xstate = make([]byte, c.p.xsize)
	c.st.Full = true
	go c.run()
	return nil
}

// SetAddressSpace makes a new stub thread in the other process and ends the old
// one.
func (c *context) SetAddressSpace(space platform.AddressSpace) error {
	as := space.(*addressSpace)
	tid, err := as.newThread()
	if err != nil {
		return err
	}
	if err := attach(tid); err != nil {
		as.remove(tid)
		return unix.EAGAIN
	}
	base := c.p.injectBase(&c.regs)
	old, oldAS := c.tid, c.as
	c.mu.Lock()
	c.tid, c.as = tid, as
	c.mu.Unlock()
	end(old, &base)
	oldAS.remove(old)
	return nil
}

// After implements platform.Context: nothing goes on while a tracee is in an upcall.
func (c *context) After(platform.Runner) bool { return false }

// Desk implements platform.Context: there is none.
func (c *context) Desk() *loan.Desk { return nil }

// Interrupt stops the thread if it runs.
func (c *context) Interrupt() {
	if c.flags.Or(pending) != running {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tid != 0 {
		// The thread may have stopped or died already; nothing to do then.
		unix.Tgkill(c.as.pid, c.tid, interruptSignal)
	}
}

// onTracer says whether the caller may make ptrace requests for c.
func (c *context) onTracer() bool { return c.tid != 0 && unix.Gettid() == c.tracer }

// attach begins to trace tid and stops it.
func attach(tid int) error {
	if err := seize(tid, traceOptions); err != nil {
		return err
	}
	return stop(tid)
}

// run runs the Context until it exits or dies.
func (c *context) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.tracer = unix.Gettid()
	if err := attach(c.tid); err != nil {
		c.die(err)
		return
	}
	d := platform.Resume
	for {
		var err error
		switch d {
		case platform.Exit:
			c.exit()
			return
		case platform.ResumeFull:
			if err = c.makeFull(); err == nil {
				d = c.h.HandleInterrupt(c)
			}
		default:
			if c.flags.CompareAndSwap(0, running) {
				var ws unix.WaitStatus
				ws, err = c.step()
				c.flags.Store(0)
				if err == nil {
					d, err = c.dispatch(ws)
				}
			} else {
				c.flags.Store(0)
				d = platform.ResumeFull
			}
		}
		if err != nil {
			c.die(err)
			return
		}
	}
}

// step runs application code until the next stop.
func (c *context) step() (unix.WaitStatus, error) {
	if err := c.load(); err != nil {
		return 0, err
	}
	if err := resume(unix.PTRACE_SYSEMU, c.tid); err != nil {
		return 0, err
	}
	ws, err := wait(c.tid)
	if err != nil {
		return ws, err
	}
	return ws, getRegs(c.tid, &c.regs)
}

// load writes the state to the stub thread.
func (c *context) load() error {
	if c.st.Full {
		c.regs = c.st.Regs
		if err := c.loadFP(); err != nil {
			return err
		}
	} else {
		c.regs.Rax = c.st.Regs.Rax
	}
	// Or the kernel would take a result for one that asks for a restart.
	c.regs.Orig_rax = ^uint64(0)
	userSelectors(&c.regs)
	return setRegs(c.tid, &c.regs)
}

// userSelectors makes the segment selectors such that user code can have them.
func userSelectors(r *arch.Registers) {
	const rpl = 3
	if r.Cs&rpl != rpl {
		r.Cs = userCS
	}
	if r.Ss&rpl != rpl {
		r.Ss = userSS
	}
	for _, s := range []*uint64{&r.Ds, &r.Es, &r.Fs, &r.Gs} {
		if *s&rpl != rpl {
			*s = 0
		}
	}
}

// loadFP writes the extended state to the stub thread.
func (c *context) loadFP() error {
	clear(c.xstate[copy(c.xstate, c.st.FP):])
	arch.SanitizeFPState(c.xstate[:len(c.st.FP)])
	return setXState(c.tid, c.xstate)
}

// makeFull completes the state.
func (c *context) makeFull() error {
	if c.st.Full {
		return nil
	}
	c.regs.Rax = c.st.Regs.Rax
	return c.readFull()
}

// readFull fills the state from the last stop.
func (c *context) readFull() error {
	if _, err := getXState(c.tid, c.xstate); err != nil {
		return err
	}
	copy(c.st.FP, c.xstate)
	arch.SealFPState(c.st.FP)
	c.st.Regs = c.regs
	c.st.Full = true
	return nil
}

// exit ends the stub thread.
func (c *context) exit() {
	base := c.p.injectBase(&c.regs)
	end(c.tid, &base)
	c.gone()
}

// die reports the stub thread's death. A thread that ptrace refuses to handle for
// another reason is killed first, with its process.
func (c *context) die(err error) {
	if !isDead(err) {
		c.p.log("ptrace platform: thread %d of stub %d is lost: %v", c.tid, c.as.pid, err)
		c.as.kill()
	}
	if err != errReaped {
		reap(c.tid)
	}
	c.gone()
	c.h.HandleDeath(c)
}

// gone forgets the stub thread, which has been reaped.
func (c *context) gone() {
	c.as.remove(c.tid)
	c.mu.Lock()
	c.tid = 0
	c.mu.Unlock()
}
