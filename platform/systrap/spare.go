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

// NewAddressSpace implements platform.Platform.
func (p *Platform) NewAddressSpace(text platform.Text) (platform.AddressSpace, error) {
	t := p.takeSpare()
	if t == nil {
		var e unix.Errno
		if t, e = p.newSpare(); e != 0 {
			return nil, e
		}
	}
	return &space{p: p, proc: t.proc, patcher: newPatcher(text), parked: []*thread{t}}, nil
}

// takeSpare returns a thread of an empty process, nil if there is none.
func (p *Platform) takeSpare() *thread {
	sp := &p.spares
	sp.Lock()
	defer sp.Unlock()
	var t *thread
	for t == nil && len(sp.threads) > 0 {
		t = sp.threads[len(sp.threads)-1]
		sp.threads = sp.threads[:len(sp.threads)-1]
		if t.proc.dead.Load() {
			t = nil
		}
	}
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

// newSpare clones the zygote.
func (p *Platform) newSpare() (*thread, unix.Errno) {
	p.zygote.mu.Lock()
	defer p.zygote.mu.Unlock()
	return p.fork(p.zygote)
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
		s.proc.kill()
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
	// The application may have changed the thread's alternate stack by a frame
	// of its own making; if it is still on it this fails.
	if _, e := t.run(cmdCalls, []call{
		{unix.SYS_MUNMAP, [6]uint64{0, stubStart}},
		{unix.SYS_SIGALTSTACK, [6]uint64{s.p.areas.stack(t.slot)}},
	}); e != 0 {
		return false
	}
	t.area.wipe()
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
