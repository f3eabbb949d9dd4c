package platformtest

import (
	"sync"
	"sync/atomic"

	"casemate/platform"
)

func testInterruptLoop(s *sentry) {
	var p code
	p.mov(rbx, 0x1111)
	p.increment(dataAddr)
	p.spin()
	spinning := codeAddr + uint64(len(p)) - 2

	sp := s.newSpace(p)
	defer sp.Release()
	k := s.newTask()
	interrupts := make(chan struct{}, 100)
	var over atomic.Bool
	k.onIntr = func() platform.Disposition {
		if over.Load() {
			st := k.State()
			if st.IP() != spinning || st.Regs.Rbx != 0x1111 {
				s.Errorf("interrupted at %#x, rbx %#x", st.IP(), st.Regs.Rbx)
			}
			return k.finish()
		}
		interrupts <- struct{}{}
		return platform.Resume
	}
	k.start(sp)
	waitFor(s, "progress of the thread", func() bool { return sp.word(0) == 1 })
	for range 10 {
		k.Interrupt()
		await(s.T, interrupts, "interrupt")
	}
	over.Store(true)
	k.Interrupt()
	k.wait()
}

// testInterruptInUpcall interrupts a task when its system call has been served
// and the sentry does not look again.
func testInterruptInUpcall(s *sentry) {
	var p code
	for range 50 {
		p.syscall(callPlain)
	}
	p.spin()

	sp := s.newSpace(p)
	defer sp.Release()
	k := s.newTask()
	calls := 0
	interrupts := 0
	k.onSyscall = func(uint64, [6]uint64) platform.Disposition {
		calls++
		finished := make(chan struct{})
		go func() {
			k.Interrupt()
			close(finished)
		}()
		<-finished
		return platform.Resume
	}
	k.onIntr = func() platform.Disposition {
		interrupts++
		if calls == 50 {
			return k.finish()
		}
		return platform.Resume
	}
	k.start(sp).wait()
	if interrupts < 50 {
		s.Errorf("%d interrupts for %d calls", interrupts, calls)
	}
}

// testInterruptStorm interrupts a task that makes calls, from several goroutines.
// No call may be lost or made twice.
func testInterruptStorm(s *sentry) {
	const rounds = 1000
	var p code
	p.mov(rbx, 0)
	loop := codeAddr + uint64(len(p))
	p.raw(0x48, 0x89, 0xdf) // mov %rbx,%rdi
	p.mov(rax, callPlain)
	p.raw(0x0f, 0x05)
	p.raw(0x48, 0xff, 0xc3) // inc %rbx
	p.jump(loop)

	sp := s.newSpace(p)
	defer sp.Release()
	k := s.newTask()
	var next uint64
	k.onSyscall = func(_ uint64, args [6]uint64) platform.Disposition {
		if args[0] != next {
			s.Errorf("call %d, want %d", args[0], next)
			return k.finish()
		}
		if next++; next == rounds {
			return k.finish()
		}
		k.State().SetReturn(uint64(next))
		if next%3 == 0 {
			return platform.ResumeFull
		}
		return platform.Resume
	}
	var group sync.WaitGroup
	k.start(sp)
	for range 3 {
		group.Go(func() {
			for {
				select {
				case <-k.done:
					return
				default:
					k.Interrupt()
				}
			}
		})
	}
	k.wait()
	group.Wait()
}

// testBlocking parks a task in its upcall until another one has made a call.
func testBlocking(s *sentry) {
	var p code
	p.syscall(callPlain)
	p.store(dataAddr, rax)
	p.syscall(callExit)
	sp := s.newSpace(p)
	defer sp.Release()
	sp2 := s.newSpace(p)
	defer sp2.Release()

	wake := make(chan struct{})
	a, b := s.newTask(), s.newTask()
	blocked := make(chan struct{})
	a.onSyscall = func(uint64, [6]uint64) platform.Disposition {
		a.Blocking()
		close(blocked)
		<-wake
		a.State().SetReturn(5)
		return platform.Resume
	}
	b.onSyscall = func(uint64, [6]uint64) platform.Disposition {
		close(wake)
		return platform.Resume
	}
	a.start(sp)
	await(s.T, blocked, "call")
	b.start(sp2)
	b.wait()
	a.wait()
	if v := sp.word(0); v != 5 {
		s.Errorf("result %d", v)
	}
}

func testThreads(s *sentry) {
	const n = 500
	var p code
	for range 3 {
		p.increment(dataAddr)
		p.syscall(callPlain)
	}
	p.syscall(callExit)
	sp := s.newSpace(p)
	defer sp.Release()
	// All are in their first call before one goes on.
	var first sync.WaitGroup
	first.Add(n)
	tasks := make([]*task, n)
	for i := range tasks {
		k := s.newTask()
		calls := 0
		k.onSyscall = func(uint64, [6]uint64) platform.Disposition {
			if calls++; calls == 1 {
				k.Blocking()
				first.Done()
				first.Wait()
			}
			return platform.Resume
		}
		tasks[i] = k
		k.start(sp)
	}
	for _, k := range tasks {
		k.wait()
	}
	if v := sp.word(0); v != 3*n {
		s.Errorf("%d increments", v)
	}
}
