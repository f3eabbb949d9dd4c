//go:build amd64

package systrap

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// reaper waits for the stub processes of all platforms. They are children whose
// end makes no SIGCHLD, so that nobody else's wait meets them.
var reaper reaping

type reaping struct {
	sync.Mutex
	procs   map[int]*process
	running bool
}

// add has proc waited for, whose ID is pid, unless that has been said before.
func (r *reaping) add(proc *process, pid int) {
	r.Lock()
	defer r.Unlock()
	if proc.pid != 0 || r.procs[pid] != nil {
		return
	}
	proc.pid = pid
	if unix.Tgkill(pid, pid, 0) == unix.ESRCH {
		go proc.died() // and waited for, as nobody's
		return
	}
	if r.procs == nil {
		r.procs = make(map[int]*process)
	}
	r.procs[pid] = proc
	if !r.running {
		r.running = true
		go r.loop()
	}
}

// all returns the processes of p.
func (r *reaping) all(p *Platform) []*process {
	r.Lock()
	defer r.Unlock()
	var procs []*process
	for _, proc := range r.procs {
		if proc.p == p {
			procs = append(procs, proc)
		}
	}
	return procs
}

func (r *reaping) loop() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WCLONE, nil)
		r.Lock()
		switch {
		case err == unix.EINTR:
		case err != nil:
			if len(r.procs) == 0 {
				r.running = false
				r.Unlock()
				return
			}
			// Somebody else has waited for them.
			for pid, proc := range r.procs {
				delete(r.procs, pid)
				go proc.died()
			}
		default:
			if proc := r.procs[pid]; proc != nil {
				delete(r.procs, pid)
				go proc.died()
			}
		}
		r.Unlock()
	}
}

// newProcess returns a process, about to be cloned, whose areas are chunks.
func (p *Platform) newProcess(chunks []uint64) *process {
	proc := &process{p: p, chunks: chunks, gone: make(chan struct{})}
	p.procs.Add(1)
	return proc
}

// died is called when nothing is left of the process.
func (proc *process) died() {
	p := proc.p
	proc.dead.Store(true)
	proc.mu.Lock()
	threads, chunks := proc.threads, proc.chunks
	proc.mu.Unlock()
	for _, t := range threads {
		if t != nil {
			p.tids.remove(uint32(t.tid), t)
		}
	}
	close(proc.gone)
	for _, t := range threads {
		if t == nil {
			continue
		}
		if c := t.ctx.Load(); c != nil && !c.die(runApp, nil) && c.run.Load() == runUpcall && !proc.released.Load() {
			c.h.HandleKill(c)
		}
	}
	// Upcalls may still look at the areas: wait for them to let go.
	for _, t := range threads {
		if t != nil {
			t.mu.Lock()
			//lint:ignore SA2001 only to wait for its holder
			t.mu.Unlock()
		}
	}
	for _, off := range chunks {
		if off != 0 {
			p.areas.release(off)
		}
	}
	p.procs.Done()
}

// tids finds threads by their ID.
type tids [1 << 10]atomic.Pointer[tidPage]

type tidPage [1 << 12]atomic.Pointer[thread]

func (s *tids) get(tid uint32) *thread {
	if page := s[tid>>12&(1<<10-1)].Load(); page != nil {
		return page[tid&(1<<12-1)].Load()
	}
	return nil
}

func (s *tids) set(tid uint32, t *thread) {
	slot := &s[tid>>12&(1<<10-1)]
	if slot.Load() == nil {
		slot.CompareAndSwap(nil, new(tidPage))
	}
	slot.Load()[tid&(1<<12-1)].Store(t)
}

// remove forgets t, if tid is not somebody else's already.
func (s *tids) remove(tid uint32, t *thread) {
	if page := s[tid>>12&(1<<10-1)].Load(); page != nil {
		page[tid&(1<<12-1)].CompareAndSwap(t, nil)
	}
}
