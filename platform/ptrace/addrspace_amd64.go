package ptrace

import (
	"sync"
	"time"

	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// addressSpace is one stub process.
type addressSpace struct {
	p   *Platform
	pid int

	mu       sync.Mutex
	threads  map[int]struct{} // Contexts' threads not yet reaped; guarded by mu
	released bool             // guarded by mu
	reaped   bool             // the leader died in a call and was reaped; guarded by mu
}

func (p *Platform) newAddressSpace(pid int) *addressSpace {
	as := &addressSpace{p: p, pid: pid, threads: make(map[int]struct{})}
	p.mu.Lock()
	p.spaces[as] = struct{}{}
	p.mu.Unlock()
	return as
}

// Apply carries out ops at once, in the calling Context's stub thread if it can.
func (as *addressSpace) Apply(c platform.Context, ops []platform.Op) error {
	var err error
	if own, ok := c.(*context); ok && own != nil && own.as == as && own.onTracer() {
		base := as.p.injectBase(&own.regs)
		err = applyOps(own.tid, &base, ops)
	} else {
		err = as.onLeader(func() error { return applyOps(as.pid, &as.p.base, ops) })
	}
	return hostError(err)
}

// applyOps makes the stopped tracee tid carry out ops.
func applyOps(tid int, base *arch.Registers, ops []platform.Op) error {
	for i := range ops {
		op := &ops[i]
		var err error
		switch op.Kind {
		case platform.Map:
			flags := uint64(unix.MAP_FIXED | unix.MAP_SHARED)
			if op.Private {
				flags = unix.MAP_FIXED | unix.MAP_PRIVATE
			}
			if op.Populate {
				flags |= unix.MAP_POPULATE
			}
			_, err = call(tid, base, unix.SYS_MMAP, op.Addr, op.Length, uint64(op.Prot), flags, uint64(op.FD), op.Offset)
		case platform.Unmap:
			_, err = call(tid, base, unix.SYS_MUNMAP, op.Addr, op.Length)
		case platform.Protect:
			_, err = call(tid, base, unix.SYS_MPROTECT, op.Addr, op.Length, uint64(op.Prot))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Fork forks the stub process.
func (as *addressSpace) Fork(platform.Context, platform.Text) (platform.AddressSpace, error) {
	var pid int
	err := as.onLeader(func() (err error) {
		pid, err = as.p.fork(as.pid)
		return err
	})
	if err != nil {
		return nil, hostError(err)
	}
	return as.p.newAddressSpace(pid), nil
}

// Release kills the stub process and waits for its end.
func (as *addressSpace) Release() {
	as.mu.Lock()
	if as.released {
		as.mu.Unlock()
		return
	}
	as.released = true
	threads := make([]int, 0, len(as.threads))
	for tid := range as.threads {
		threads = append(threads, tid)
	}
	as.mu.Unlock()

	as.kill()
	// The leader can be reaped after its threads. Those of Contexts that are in
	// an upcall, on whose way out Release is often called, have nobody else who
	// waits for them.
	for _, tid := range threads {
		reap(tid)
	}
	as.mu.Lock()
	if !as.reaped {
		reap(as.pid)
		as.reaped = true
	}
	as.mu.Unlock()

	as.p.mu.Lock()
	delete(as.p.spaces, as)
	as.p.mu.Unlock()
}

// patience is how long a call of the leader takes before the process may have been killed in it.
const patience = 50 * time.Millisecond

// onLeader runs f, which works with the leader of the process, on the control
// thread.
//
// If the process is killed meanwhile, the control thread hears of the leader's end only when
// all other threads have been reaped. Those of Contexts that are in an upcall have nobody who
// does; it may even be one of them that waits for the control thread.
func (as *addressSpace) onLeader(f func() error) error {
	var err error
	as.p.onControl(func() {
		done := make(chan struct{})
		defer close(done)
		watch := time.AfterFunc(patience, func() { as.reapDead(done) })
		defer watch.Stop()
		err = f()
	})
	if err == errReaped {
		as.mu.Lock()
		as.reaped = true
		as.mu.Unlock()
	}
	return err
}

// reapDead reaps threads of Contexts that die, until done is closed. The Contexts find that out.
func (as *addressSpace) reapDead(done <-chan struct{}) {
	for {
		as.mu.Lock()
		for tid := range as.threads {
			if hasDied(tid) {
				reap(tid)
			}
		}
		as.mu.Unlock()
		select {
		case <-done:
			return
		case <-time.After(patience):
		}
	}
}

// kill kills the process.
func (as *addressSpace) kill() {
	as.mu.Lock()
	defer as.mu.Unlock()
	if !as.reaped {
		unix.Kill(as.pid, unix.SIGKILL)
	}
}

// newThread makes a thread for a Context. EAGAIN or ENOMEM.
func (as *addressSpace) newThread() (int, error) {
	var tid int
	err := as.onLeader(func() (err error) {
		tid, err = as.p.newThread(as.pid)
		return err
	})
	if err != nil {
		return 0, hostError(err)
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.released {
		return 0, unix.ENOMEM
	}
	as.threads[tid] = struct{}{}
	return tid, nil
}

// remove forgets a thread that has been reaped.
func (as *addressSpace) remove(tid int) {
	as.mu.Lock()
	delete(as.threads, tid)
	as.mu.Unlock()
}
