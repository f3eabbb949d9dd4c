//go:build amd64

package systrap

import (
	"sync"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

// maxSpares is how many empty processes are kept.
const maxSpares = 8

// spares are processes with one thread, without a context, and no mappings but
// the stub's: used ones, and a new one made ahead.
type spares struct {
	sync.Mutex
	threads []*thread
	making  bool
	makers  sync.WaitGroup // who makes one ahead
	closed  bool
}

// pop takes a thread whose process lives, nil if there is none. sp is locked.
func (sp *spares) pop() *thread {
	for len(sp.threads) > 0 {
		t := sp.threads[len(sp.threads)-1]
		sp.threads = sp.threads[:len(sp.threads)-1]
		if !t.proc.dead.Load() {
			return t
		}
	}
	return nil
}

// NewAddressSpace implements platform.Platform.
func (p *Platform) NewAddressSpace(text platform.Text) (platform.AddressSpace, error) {
	t := p.takeSpare()
	if t == nil {
		var e unix.Errno
		if t, e = p.newSpare(); e != 0 {
			return nil, e
		}
	}
	return newSpace(t, newPatcher(text)), nil
}

// takeSpare returns a thread of an empty process, nil if there is none.
func (p *Platform) takeSpare() *thread {
	sp := &p.spares
	sp.Lock()
	defer sp.Unlock()
	t := sp.pop()
	if len(sp.threads) == 0 && !sp.making && !sp.closed {
		sp.making = true
		sp.makers.Add(1)
		go func() {
			defer sp.makers.Done()
			t, e := p.newSpare()
			sp.Lock()
			sp.making = false
			sp.Unlock()
			if e == 0 {
				p.putSpare(t)
			}
		}()
	}
	return t
}

// newSpare clones the template.
func (p *Platform) newSpare() (t *thread, e unix.Errno) {
	p.template.Lock()
	defer p.template.Unlock()
	for {
		from := p.template.t
		from.mu.Lock()
		t, e = p.fork(from)
		from.mu.Unlock()
		if e == 0 || !from.proc.dead.Load() || !p.replaceTemplate() {
			return t, e
		}
	}
}

// replaceTemplate makes a spare the template after the template's death, or a
// clone of any process that there is. It returns false if there is none.
// template's lock is held.
func (p *Platform) replaceTemplate() bool {
	p.spares.Lock()
	t := p.spares.pop()
	p.spares.Unlock()
	if t == nil {
		for _, proc := range reaper.all(p) {
			if s := proc.space.Load(); s != nil {
				if t = s.cloneEmpty(); t != nil {
					break
				}
			}
		}
	}
	if t == nil {
		return false
	}
	p.logf("systrap: process %d, the template, was killed; it is %d now", p.template.t.proc.pid, t.proc.pid)
	p.template.t = t
	return true
}

// cloneEmpty returns the thread of a new process that is empty, nil if s's process
// is not to be used.
func (s *space) cloneEmpty() *thread {
	s.exec.Lock()
	defer s.exec.Unlock()
	if s.proc.space.Load() != s {
		return nil // released
	}
	from := s.borrow(nil)
	if from == nil {
		return nil
	}
	t, e := s.p.fork(from)
	from.mu.Unlock()
	if e != 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clean() != 0 {
		t.proc.kill()
		return nil
	}
	return t
}

// clean removes all mappings but the stub's from the process, whose only thread t
// is, in phaseStub, and makes it as new. t.mu is held.
func (t *thread) clean() unix.Errno {
	// The application may have changed the thread's alternate stack by a frame
	// of its own making; if it is still on it this fails.
	if _, e := t.run(cmdCalls, []call{
		{unix.SYS_MUNMAP, [6]uint64{0, stubStart}},
		{unix.SYS_SIGALTSTACK, [6]uint64{t.proc.p.areas.stack(t.slot)}},
	}); e != 0 {
		return e
	}
	t.area.wipe()
	t.desk = nil
	return 0
}

// putSpare keeps t's process for another address space, or ends it.
func (p *Platform) putSpare(t *thread) {
	p.spares.Lock()
	defer p.spares.Unlock()
	if p.spares.closed || len(p.spares.threads) >= maxSpares {
		t.proc.kill()
		return
	}
	p.spares.threads = append(p.spares.threads, t)
}

// Release implements platform.AddressSpace.
func (s *space) Release() {
	if !s.empty() {
		s.proc.released.Store(true)
		s.proc.kill()
		if r := s.p.role.Load(); r.busy {
			s.p.passRole(r.w) // perhaps the caller's
		}
		<-s.proc.gone
		return
	}
	s.recycle()
}

// empty removes all mappings from the process, and makes it as new. It returns
// false if it is not fit for another address space.
func (s *space) empty() bool {
	s.exec.Lock()
	defer s.exec.Unlock()
	s.proc.space.Store(nil)
	s.proc.mu.Lock()
	single := true
	var t *thread
	for _, other := range s.proc.threads {
		if other != nil {
			single = single && t == nil
			t = other
		}
	}
	s.proc.mu.Unlock()
	if !single || !t.inSentry() {
		return false
	}
	if t = s.borrow(nil); t == nil {
		return false
	}
	defer t.mu.Unlock()
	s.mu.Lock()
	s.pending = nil
	s.mu.Unlock()
	if t.clean() != 0 {
		return false
	}
	s.mu.Lock()
	s.emptied = true
	s.mu.Unlock()
	return true
}

// recycle puts the process with the spares if it is empty and has no context any
// more.
func (s *space) recycle() {
	s.mu.Lock()
	var t *thread
	if s.emptied && s.live == 0 {
		t = s.unpark()
	}
	s.mu.Unlock()
	if t != nil {
		s.p.putSpare(t)
	}
}

// close waits until no spare is being made. No more will be.
func (sp *spares) close() {
	sp.Lock()
	sp.closed = true
	sp.Unlock()
	sp.makers.Wait()
}
