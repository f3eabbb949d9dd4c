package platformtest

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

func testApplyOwn(s *sentry) {
	var p code
	p.syscall(callPlain, 1) // maps two pages
	p.load(rbx, freeAddr)
	p.store(dataAddr, rbx)
	p.load(rbx, freeAddr+arch.PageSize)
	p.store(dataAddr+8, rbx)
	p.syscall(callFull, 2) // replaces the first one
	p.load(rbx, freeAddr)
	p.store(dataAddr+16, rbx)
	p.syscall(callPlain, 3) // makes the first one writable, removes the second
	p.store(freeAddr, rbx)
	p.load(rbx, freeAddr+arch.PageSize)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	pages := [3]uint64{s.page(), s.page(), s.page()}
	for i, off := range pages {
		binary.LittleEndian.PutUint64(s.mem[off:], uint64(i+100))
	}
	k := s.newTask()
	k.onSyscall = func(_ uint64, args [6]uint64) platform.Disposition {
		switch args[0] {
		case 1:
			sp.apply(k, s.mapping(freeAddr, pages[0], unix.PROT_READ),
				s.mapping(freeAddr+arch.PageSize, pages[1], unix.PROT_READ))
		case 2:
			m := s.mapping(freeAddr, pages[2], unix.PROT_READ)
			m.Populate = true
			sp.apply(k, m)
		case 3:
			sp.apply(k, platform.Op{Kind: platform.Protect, Addr: freeAddr, Length: arch.PageSize, Prot: rw},
				platform.Op{Kind: platform.Unmap, Addr: freeAddr + arch.PageSize, Length: arch.PageSize})
		}
		k.State().SetReturn(0)
		return platform.Resume
	}
	faults := 0
	k.onFault = func(f platform.Fault) platform.Disposition {
		faults++
		if f.Addr != freeAddr+arch.PageSize {
			s.Errorf("fault %+v", f)
		}
		return k.finish()
	}
	k.start(sp).wait()
	if a, b, c := sp.word(0), sp.word(8), sp.word(16); a != 100 || b != 101 || c != 102 {
		s.Errorf("read %d, %d, %d", a, b, c)
	}
	if faults != 1 {
		s.Error("the removed page did not fault")
	}
}

// testApplyForeign removes a page under a thread that reads it all the time: when
// Apply has returned the thread must fault.
func testApplyForeign(s *sentry) {
	var p code
	loop := codeAddr + uint64(len(p))
	p.increment(dataAddr)
	p.load(rbx, freeAddr)
	p.jump(loop)

	sp := s.newSpace(p)
	defer sp.Release()
	off := s.page()
	sp.apply(nil, s.mapping(freeAddr, off, unix.PROT_READ))
	k := s.newTask()
	faulted := make(chan uint64, 1)
	k.onFault = func(f platform.Fault) platform.Disposition {
		faulted <- f.Addr
		return k.finish()
	}
	k.start(sp)
	waitFor(s, "progress of the thread", func() bool { return sp.word(0) > 1000 })
	sp.apply(nil, platform.Op{Kind: platform.Unmap, Addr: freeAddr, Length: arch.PageSize})
	// One increment may be on its way.
	after := sp.word(0)
	k.wait()
	if a := <-faulted; a != freeAddr {
		s.Errorf("fault at %#x", a)
	}
	if n := sp.word(0); n > after+1 {
		s.Errorf("%d rounds after the page was removed", n-after)
	}
}

// testPrivateMapping maps a descriptor that is open for reading only.
func testPrivateMapping(s *sentry) {
	var p code
	p.load(rbx, freeAddr)
	p.store(dataAddr, rbx)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	fd, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		s.Fatal(err)
	}
	defer unix.Close(fd)
	sp.apply(nil, platform.Op{Kind: platform.Map, Addr: freeAddr, Length: arch.PageSize, Prot: unix.PROT_READ, FD: fd, Private: true})
	s.newTask().start(sp).wait()
	if v := uint32(sp.word(0)); v != 0x464c457f {
		s.Errorf("the file begins with %#x", v)
	}
}

// testUserRange maps the first and the last page.
func testUserRange(s *sentry) {
	lo, hi := s.UserRange()
	if lo > 0x10000 || hi < 0x7f0000000000 {
		s.Errorf("range is [%#x, %#x)", lo, hi)
	}
	var p code
	p.mov(rbx, 7)
	p.store(lo, rbx)
	p.store(hi-arch.PageSize, rbx)
	p.syscall(callExit)
	sp := s.newSpace(p)
	defer sp.Release()
	a, b := s.page(), s.page()
	sp.apply(nil, s.mapping(lo, a, rw), s.mapping(hi-arch.PageSize, b, rw))
	s.newTask().start(sp).wait()
	if s.mem[a] != 7 || s.mem[b] != 7 {
		s.Error("not written")
	}

	// All of it is empty at first, and can be unmapped.
	as, err := s.NewAddressSpace(nil)
	if err != nil {
		s.Fatal(err)
	}
	defer as.Release()
	if err := as.Apply(nil, []platform.Op{{Kind: platform.Unmap, Addr: lo, Length: hi - lo}}); err != nil {
		s.Error(err)
	}
}

func testFork(s *sentry) {
	var p code
	p.syscall(callFull, 1) // forks
	p.increment(dataAddr)
	p.syscall(callPlain, 2)
	p.load(rbx, freeAddr)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	off := s.page()
	sp.apply(nil, s.mapping(freeAddr, off, rw))
	parent, child := s.newTask(), s.newTask()
	var childSpace *space
	parent.onSyscall = func(_ uint64, args [6]uint64) platform.Disposition {
		if args[0] != 1 {
			return platform.Resume
		}
		as, err := sp.Fork(parent, nil)
		if err != nil {
			s.Errorf("Fork: %v", err)
			return parent.finish()
		}
		childSpace = &space{AddressSpace: as, s: s, data: sp.data}
		st := child.State()
		st.Regs = parent.State().Regs
		copy(st.FP, parent.State().FP)
		st.SetReturn(0)
		child.start(childSpace)
		return platform.Resume
	}
	child.onSyscall = func(uint64, [6]uint64) platform.Disposition {
		childSpace.apply(child, platform.Op{Kind: platform.Unmap, Addr: freeAddr, Length: arch.PageSize})
		return platform.Resume
	}
	faults := 0
	child.onFault = func(platform.Fault) platform.Disposition {
		faults++
		return child.finish()
	}
	parent.start(sp).wait()
	child.wait()
	childSpace.Release()
	if faults != 1 {
		s.Error("the child's page was not removed")
	}
	if n := sp.word(0); n != 2 {
		s.Errorf("%d processes went on", n)
	}
}

func testSetAddressSpace(s *sentry) {
	var first, second code
	first.mov(rbx, 0x77)
	first.syscall(callFull)
	first.spin()
	second.store(dataAddr, rbx)
	second.syscall(callPlain)
	second.load(rbx, freeAddr)
	second.syscall(callExit)

	old, sp := s.newSpace(first), s.newSpace(second)
	defer sp.Release()
	k := s.newTask()
	k.onSyscall = func(nr uint64, _ [6]uint64) platform.Disposition {
		if nr == callFull {
			if err := k.SetAddressSpace(sp.AddressSpace); err != nil {
				s.Errorf("SetAddressSpace: %v", err)
				return k.finish()
			}
			k.State().SetIP(codeAddr)
			old.Release()
		} else {
			sp.apply(k, s.mapping(freeAddr, s.page(), rw))
		}
		return platform.Resume
	}
	k.start(old).wait()
	if v := sp.word(0); v != 0x77 {
		s.Errorf("the new program saw %#x", v)
	}
}

// testReleaseInUpcall releases the address space on the last task's way out, as
// exit_group(2) does.
func testReleaseInUpcall(s *sentry) {
	var p code
	p.syscall(callPlain)
	sp := s.newSpace(p)
	k := s.newTask()
	k.onSyscall = func(uint64, [6]uint64) platform.Disposition {
		sp.Release()
		return k.finish()
	}
	k.start(sp).wait()
}

func testProcesses(s *sentry) {
	const n = 60
	var p code
	for range 20 {
		p.syscall(callPlain)
	}
	p.syscall(callExit)
	var calls atomic.Int64
	tasks := make([]*task, n)
	spaces := make([]*space, n)
	for i := range tasks {
		spaces[i] = s.newSpace(p)
		tasks[i] = s.newTask()
		tasks[i].onSyscall = func(uint64, [6]uint64) platform.Disposition {
			calls.Add(1)
			return platform.Resume
		}
		tasks[i].start(spaces[i])
	}
	for i := range tasks {
		tasks[i].wait()
		spaces[i].Release()
	}
	if calls.Load() != n*20 {
		s.Errorf("%d calls", calls.Load())
	}
}

// waitFor waits for a condition that the application brings about.
func waitFor(s *sentry, what string, cond func() bool) {
	s.Helper()
	for end := time.Now().Add(deadline); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("no %s", what)
		}
	}
}
