//go:build amd64

package systrap

import (
	"fmt"
	"sync"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

// A space implements platform.AddressSpace by a stub process.
type space struct {
	p       *Platform
	proc    *process
	patcher *patcher

	// exec is held to use one of the process's threads for calls. It comes
	// before thread.mu, and that before mu.
	exec sync.Mutex

	mu      sync.Mutex
	live    int       // contexts that have started and not ended
	parked  []*thread // threads without a context
	pending []call    // to be made before anything of the application runs
	rider   *thread   // the last thread that has resumed with pending calls
	// emptied says that the process was emptied for another address space, and
	// waits for its only context to end.
	emptied bool
}

// newSpace returns the space of t's process, whose only thread t is.
func newSpace(t *thread, patcher *patcher) *space {
	s := &space{p: t.proc.p, proc: t.proc, patcher: patcher, parked: []*thread{t}}
	t.proc.space.Store(s)
	return s
}

// toCall returns the system call that op stands for.
func toCall(op *platform.Op) call {
	switch op.Kind {
	case platform.Map:
		flags := uint64(unix.MAP_SHARED)
		if op.Private {
			flags = unix.MAP_PRIVATE
		}
		if op.Populate {
			flags |= unix.MAP_POPULATE
		}
		return call{unix.SYS_MMAP, [6]uint64{op.Addr, op.Length, uint64(op.Prot), flags | unix.MAP_FIXED, uint64(op.FD), op.Offset}}
	case platform.Unmap:
		return call{unix.SYS_MUNMAP, [6]uint64{op.Addr, op.Length}}
	case platform.Protect:
		return call{unix.SYS_MPROTECT, [6]uint64{op.Addr, op.Length, uint64(op.Prot)}}
	}
	panic(fmt.Sprintf("systrap: operation %d", op.Kind))
}

// Apply implements platform.AddressSpace.
func (s *space) Apply(c platform.Context, ops []platform.Op) error {
	own, _ := c.(*context)
	if own != nil && own.space != s {
		own = nil
	}
	if s.proc.dead.Load() {
		return unix.ESRCH
	}
	s.mu.Lock()
	for i := range ops {
		s.pending = append(s.pending, toCall(&ops[i]))
	}
	ride := s.live == 0 || s.live == 1 && own != nil
	s.mu.Unlock()
	if ride {
		if own == nil {
			return nil
		}
		t := own.t.Load()
		if t.phase.Load() == phaseStub {
			return nil
		}
		// It could dodge the signal that a plain system call ends with, but not
		// this.
		own.lock(t)
		e := t.ready()
		t.mu.Unlock()
		return asError(e)
	}
	return asError(s.flush(own))
}

func asError(e unix.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

// flush makes the pending calls and returns when they are done.
func (s *space) flush(own *context) unix.Errno {
	s.exec.Lock()
	defer s.exec.Unlock()
	t, e := s.settle(own)
	if e == 0 {
		t.mu.Unlock()
	}
	return e
}

// settle is borrow of a thread when no call is pending any more. Another thread that resumes
// between borrow and drain takes the calls with it, which are made when that one has been had.
func (s *space) settle(own *context) (*thread, unix.Errno) {
	for {
		t := s.borrow(own)
		if t == nil {
			return nil, unix.ESRCH
		}
		e := s.drain(t)
		s.mu.Lock()
		rides := s.rider != nil && s.rider != t
		s.mu.Unlock()
		if e == 0 && !rides {
			return t, 0
		}
		t.mu.Unlock()
		if e != 0 {
			return nil, e
		}
	}
}

// drain has t, which is borrowed, make the pending calls.
func (s *space) drain(t *thread) unix.Errno {
	s.mu.Lock()
	calls := s.pending
	s.pending = nil
	s.mu.Unlock()
	for len(calls) > 0 {
		n := min(len(calls), maxCalls)
		if _, e := t.run(cmdCalls, calls[:n]); e != 0 {
			s.proc.kill()
			return e
		}
		calls = calls[n:]
	}
	return 0
}

// borrow returns a thread of the process in phaseStub, its mu held; nil if the
// process has died. s.exec is held.
func (s *space) borrow(own *context) *thread {
	if t := s.pick(own); t != nil {
		return s.seize(t)
	}
	return nil
}

// seize is borrow of a certain thread.
func (s *space) seize(t *thread) *thread {
	t.mu.Lock()
	for {
		if s.proc.dead.Load() {
			t.mu.Unlock()
			return nil
		}
		if t.inSentry() {
			if t.ready() != 0 {
				t.mu.Unlock()
				return nil
			}
			return t
		}
		t.want.Store(true)
		if t.inSentry() {
			if t.want.CompareAndSwap(true, false) {
				continue // the listener was too early to see it
			}
		} else {
			t.kick()
		}
		s.p.watch.expect()
		granted := false
		s.p.waitFor(func() bool {
			select {
			case <-t.granted:
				granted = true
			default:
			}
			return granted || t.stuck()
		}, func() {
			select {
			case <-t.granted:
				granted = true
			case <-s.proc.gone:
			}
		})
	}
}

// pick chooses the thread that can soonest be had.
func (s *space) pick(own *context) *thread {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.rider; t != nil {
		// Its calls come before what is to be done now.
		s.rider = nil
		if t.rode.Load() {
			return t
		}
	}
	if own != nil {
		return own.t.Load()
	}
	if n := len(s.parked); n > 0 {
		return s.parked[n-1]
	}
	s.proc.mu.Lock()
	defer s.proc.mu.Unlock()
	var found *thread
	for _, t := range s.proc.threads {
		if t == nil {
			continue
		}
		found = t
		if t.phase.Load() == phaseStub {
			break
		}
	}
	return found
}

// resume lets t go on with its frame, after the pending calls, and releases t.mu.
func (s *space) resume(t *thread) {
	s.mu.Lock()
	calls := s.pending
	if len(calls) > 0 {
		s.pending = nil
		s.rider = t
		t.rode.Store(true)
	}
	s.mu.Unlock()
	for len(calls) > maxCalls {
		if _, e := t.run(cmdCalls, calls[:maxCalls]); e != 0 {
			s.proc.kill()
			t.mu.Unlock()
			return
		}
		calls = calls[maxCalls:]
	}
	cmd, phase := uint64(cmdResume), uint32(phaseApp)
	if len(calls) > 0 {
		t.calls, t.next, t.ride = calls, 0, true
		t.area.putCalls(calls)
		cmd = cmdCalls | cmdRide | uint64(len(calls))<<cmdCountShift
		phase = phaseCalls
	}
	t.goOn(phase, int64(cmd|t.frame<<cmdFrameShift))
}

// Fork implements platform.AddressSpace.
func (s *space) Fork(c platform.Context, text platform.Text) (platform.AddressSpace, error) {
	own, _ := c.(*context)
	if own != nil && own.space != s {
		own = nil
	}
	s.exec.Lock()
	defer s.exec.Unlock()
	t, e := s.settle(own)
	if e != 0 {
		return nil, e
	}
	defer t.mu.Unlock()
	child, e := s.p.fork(t)
	if e != 0 {
		return nil, e
	}
	return newSpace(child, s.patcher.fork(text)), nil
}

// Start implements platform.Context.
func (c *context) Start(as platform.AddressSpace) error {
	s := as.(*space)
	c.space = s
	t, e := s.admit(c)
	if e != 0 {
		return e
	}
	c.launch(t)
	return nil
}

// launch lets c run on t for the first time.
func (c *context) launch(t *thread) {
	c.lock(t)
	e := t.ready()
	if dead := c.lost(t); dead || e != 0 {
		t.mu.Unlock()
		if dead {
			go c.die(runApp, nil) // the caller of Start may have locks
		}
		return
	}
	t.upgraded = false
	t.frame = frameOffset()
	t.area.writeFrame(t.frame, t.base, &c.state)
	c.space.resume(t)
}

// admit binds a thread of the process to c.
func (s *space) admit(c *context) (*thread, unix.Errno) {
	s.exec.Lock()
	defer s.exec.Unlock()
	s.mu.Lock()
	live := s.live
	t := s.unpark()
	s.mu.Unlock()
	if live > 0 || t == nil {
		b, e := s.settle(nil)
		if e != 0 {
			return nil, e
		}
		if t == nil {
			t, e = s.clone(b)
		}
		b.mu.Unlock()
		if e != 0 {
			return nil, e
		}
	}
	s.mu.Lock()
	s.live++
	s.mu.Unlock()
	c.t.Store(t)
	t.ctx.Store(c)
	return t, 0
}

// unpark takes a thread that has no context, or returns nil. s.mu is held.
func (s *space) unpark() *thread {
	n := len(s.parked)
	if n == 0 {
		return nil
	}
	t := s.parked[n-1]
	s.parked = s.parked[:n-1]
	return t
}

// park takes back a thread whose context has ended.
func (s *space) park(t *thread) {
	s.mu.Lock()
	s.parked = append(s.parked, t)
	s.mu.Unlock()
}

// left notes that c has ended.
func (s *space) left(c *context) {
	s.mu.Lock()
	s.live--
	s.mu.Unlock()
}

// SetAddressSpace implements platform.Context.
func (c *context) SetAddressSpace(as platform.AddressSpace) error {
	c.next = as.(*space)
	return nil
}

// move carries out SetAddressSpace. It returns the new thread, nil if there is
// none.
func (c *context) move() *thread {
	to, from, old := c.next, c.space, c.t.Load()
	c.next = nil
	t, e := to.admit(c)
	if e != 0 {
		return nil
	}
	c.lock(old)
	old.ctx.Store(nil)
	old.mu.Unlock()
	from.left(c)
	from.park(old)
	from.recycle()
	c.space = to
	c.lock(t)
	e = t.ready()
	t.upgraded = false
	t.mu.Unlock()
	if e != 0 {
		return nil
	}
	return t
}
