//go:build amd64

package systrap

import "golang.org/x/sys/unix"

// A birth is a process or a thread that is being cloned. Its first system call,
// which nothing but the stub's code can have made, has mark among its arguments:
// the sentry has seen the value in a register of the parent's clone.
type birth struct {
	ip   uint64
	nr   int32
	args [6]uint64
	proc *process // the thread's, or the new one
	slot int
	born chan *thread
}

// expect notes a birth that is about to happen under mark.
func (p *Platform) expect(mark uint64, b *birth) {
	p.births.Lock()
	p.births.m[mark] = b
	p.births.Unlock()
}

// unexpect takes expect back. It returns false if the birth has happened.
func (p *Platform) unexpect(mark uint64) bool {
	p.births.Lock()
	defer p.births.Unlock()
	expected := p.births.m[mark] != nil
	delete(p.births.m, mark)
	return expected
}

// birth takes the first system call of a new process or thread. It returns false
// if n is not one. t is the thread that was known by n's thread ID.
func (p *Platform) birth(n *notification, t *thread) bool {
	mark := n.args[4] // of a thread
	if n.ip == ipNewProcess {
		mark = n.args[5]
	}
	if t != nil && unix.Tgkill(t.proc.pid, t.tid, 0) == nil {
		return false // it is alive and well, and not new
	}
	p.births.Lock()
	b := p.births.m[mark]
	if b == nil || b.ip != n.ip || b.nr != n.nr || b.args != n.args {
		p.births.Unlock()
		return false
	}
	delete(p.births.m, mark)
	p.births.Unlock()

	tid := int(n.tid)
	proc := b.proc
	if n.ip == ipNewProcess {
		reaper.add(proc, tid)
	}
	t = newThread(proc, tid, b.slot)
	t.phase.Store(phaseCalls) // none, and then a report
	proc.mu.Lock()
	for len(proc.threads) <= b.slot {
		proc.threads = append(proc.threads, nil)
	}
	proc.threads[b.slot] = t
	proc.mu.Unlock()
	p.tids.set(n.tid, t)
	r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	respond(p.listener, &r)
	b.born <- t
	return true
}

// await returns the new thread, ready for a command, when it has been cloned.
func (b *birth) await() (*thread, unix.Errno) {
	var t *thread
	over := false
	b.proc.p.waitFor(func() bool {
		select {
		case t = <-b.born:
		case <-b.proc.gone:
			over = true
		default:
		}
		return t != nil || over
	}, func() {
		select {
		case t = <-b.born:
		case <-b.proc.gone:
			over = true
		}
	})
	if t == nil {
		return nil, unix.ESRCH
	}
	r := t.await(t.done)
	return t, r.errno
}

// forkTries is how often fork begins again when somebody has killed the child
// before it was anybody's.
const forkTries = 5

// fork has t, in phaseStub, clone its process. It returns the child's thread, or
// ESRCH if t has died. t.mu is held.
func (p *Platform) fork(t *thread) (child *thread, e unix.Errno) {
	for range forkTries {
		child, e = p.forkOnce(t)
		if e != unix.ESRCH || t.proc.dead.Load() {
			break
		}
	}
	return child, e
}

func (p *Platform) forkOnce(t *thread) (*thread, unix.Errno) {
	offset, e := p.areas.allocate()
	if e != 0 {
		return nil, e
	}
	n := t.slot / chunkSlots
	b := &birth{
		ip: ipNewProcess,
		nr: unix.SYS_MMAP,
		args: [6]uint64{areaAddr(n * chunkSlots), chunkSize, unix.PROT_READ | unix.PROT_WRITE,
			unix.MAP_SHARED | unix.MAP_FIXED, uint64(p.areas.fd), offset},
		proc: p.newProcess(make([]uint64, n+1)),
		slot: t.slot,
		born: make(chan *thread, 1),
	}
	b.proc.chunks[n] = offset
	p.expect(offset, b)
	pid, e := t.run(cmdClone, []call{{unix.SYS_CLONE, [6]uint64{
		processFlags, 0, p.parent, 0, uint64(p.areas.fd), offset}}})
	if e != 0 {
		if p.unexpect(offset) {
			b.proc.died() // it never was
		} else {
			// t has died between the clone and its report.
			(<-b.born).proc.kill()
		}
		return nil, e
	}
	reaper.add(b.proc, int(pid))
	child, e := b.await()
	if e != 0 {
		p.unexpect(offset)
		return nil, e
	}
	t.born(child)
	// What it has inherited of its parent's other areas goes.
	var calls []call
	t.proc.mu.Lock()
	count := len(t.proc.chunks)
	t.proc.mu.Unlock()
	if n > 0 {
		calls = append(calls, call{unix.SYS_MUNMAP, [6]uint64{stubAreas, uint64(n) * chunkSize}})
	}
	if rest := count - n - 1; rest > 0 {
		calls = append(calls, call{unix.SYS_MUNMAP, [6]uint64{areaAddr((n + 1) * chunkSlots), uint64(rest) * chunkSize}})
	}
	if len(calls) > 0 {
		child.mu.Lock()
		_, e = child.run(cmdCalls, calls)
		child.mu.Unlock()
		if e != 0 {
			child.proc.kill()
			return nil, e
		}
	}
	return child, 0
}

// clone has t, borrowed, clone a thread of its process. s.exec is held.
func (s *space) clone(t *thread) (*thread, unix.Errno) {
	p, proc := s.p, s.proc
	proc.mu.Lock()
	slot := 0
	for slot < len(proc.threads) && proc.threads[slot] != nil {
		slot++
	}
	chunk := slot / chunkSlots
	missing := chunk >= len(proc.chunks) || proc.chunks[chunk] == 0
	proc.mu.Unlock()
	if slot >= maxSlots {
		return nil, unix.EAGAIN
	}
	if missing {
		offset, e := p.areas.allocate()
		if e != 0 {
			return nil, e
		}
		_, e = t.run(cmdCalls, []call{{unix.SYS_MMAP, [6]uint64{areaAddr(chunk * chunkSlots), chunkSize,
			unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_FIXED, uint64(p.areas.fd), offset}}})
		if e != 0 {
			p.areas.release(offset)
			return nil, e
		}
		proc.mu.Lock()
		for len(proc.chunks) <= chunk {
			proc.chunks = append(proc.chunks, 0)
		}
		proc.chunks[chunk] = offset
		proc.mu.Unlock()
	}
	stack := p.areas.stack(slot)
	mark := p.marks.Add(2)
	b := &birth{
		ip:   ipNewThread,
		nr:   unix.SYS_SIGALTSTACK,
		args: [6]uint64{stack, 0, 0, 0, mark, stack},
		proc: proc,
		slot: slot,
		born: make(chan *thread, 1),
	}
	p.expect(mark, b)
	_, e := t.run(cmdClone, []call{{unix.SYS_CLONE, [6]uint64{
		threadFlags, areaAddr(slot), 0, 0, mark, stack}}})
	if e != 0 {
		p.unexpect(mark)
		return nil, e
	}
	child, e := b.await()
	if e != 0 {
		p.unexpect(mark)
		return nil, e
	}
	t.born(child)
	return child, 0
}
