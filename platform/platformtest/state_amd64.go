package platformtest

import (
	"bytes"
	"encoding/binary"

	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// vsyscallTime is the address of time in the vsyscall page.
const vsyscallTime = 0xffffffffff600400

func testSyscall(s *sentry) {
	var p code
	p.syscall(callPlain, 11, 12, 13, 14, 15, 16)
	p.store(dataAddr, rax)
	p.syscall(callPlain, 21)
	p.store(dataAddr+8, rax)
	p.syscall(1<<32 | callPlain) // Linux looks at 32 bits of the number
	p.syscall(1<<32 - 1)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	k := s.newTask()
	calls := 0
	k.onSyscall = func(nr uint64, args [6]uint64) platform.Disposition {
		calls++
		switch calls {
		case 1:
			if want := [6]uint64{11, 12, 13, 14, 15, 16}; nr != callPlain || args != want {
				s.Errorf("got call %d %v", nr, args)
			}
			// Six constants and the number, ten bytes each, and the instruction.
			if ip := k.State().IP(); ip != codeAddr+72 {
				s.Errorf("instruction pointer is %#x", ip)
			}
			k.State().SetReturn(0x123456789abcdef0)
		case 2:
			if nr != callPlain || args[0] != 21 {
				s.Errorf("got call %d %v", nr, args)
			}
			e := int64(unix.ENOENT)
			k.State().SetReturn(uint64(-e))
		case 3:
			if nr != callPlain {
				s.Errorf("number with high bits is %#x", nr)
			}
		case 4:
			if uint32(nr) != 1<<32-1 {
				s.Errorf("number -1 is %#x", nr)
			}
		}
		return platform.Resume
	}
	k.start(sp).wait()
	if calls != 4 {
		s.Errorf("%d calls", calls)
	}
	if v := sp.word(0); v != 0x123456789abcdef0 {
		s.Errorf("first call returned %#x", v)
	}
	if v := int64(sp.word(8)); v != -int64(unix.ENOENT) {
		s.Errorf("second call returned %d", v)
	}
}

func testSyscallKeepsRegisters(s *sentry) {
	kept := []int{rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r12, r13, r14}
	var p code
	numbers := []uint64{callPlain, callFull}
	for n, nr := range numbers {
		for _, r := range kept {
			p.mov(r, 0xabcd000000000000|nr<<8|uint64(r))
		}
		p.syscall(nr)
		for i, r := range kept {
			p.store(dataAddr+uint64(n*128+i*8), r)
		}
	}
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	k := s.newTask()
	k.onSyscall = func(uint64, [6]uint64) platform.Disposition { return platform.Resume }
	k.start(sp).wait()
	for n, nr := range numbers {
		for i, r := range kept {
			if v, want := sp.word(uint64(n*128+i*8)), 0xabcd000000000000|nr<<8|uint64(r); v != want {
				s.Errorf("call %d: register %d is %#x, want %#x", nr, r, v, want)
			}
		}
	}
}

func testFullState(s *sentry) {
	var p code
	p.mov(rbx, 0x1111)
	p.mov(r14, 0x2222)
	p.mov(rsp, 0x3330)
	p.syscall(callFull)
	p.store(dataAddr, rbx)
	p.store(dataAddr+8, rsp)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	k := s.newTask()
	calls := 0
	k.onSyscall = func(nr uint64, _ [6]uint64) platform.Disposition {
		calls++
		st := k.State()
		if !st.Full {
			s.Error("state is not full")
		}
		if r := st.Regs; r.Rbx != 0x1111 || r.R14 != 0x2222 || r.Rsp != 0x3330 {
			s.Errorf("rbx, r14, rsp are %#x, %#x, %#x", r.Rbx, r.R14, r.Rsp)
		}
		st.Regs.Rbx = 0x4444
		st.SetSP(0x5550)
		return platform.Resume
	}
	k.start(sp).wait()
	if calls != 1 {
		s.Errorf("%d calls", calls)
	}
	if rbx, rsp := sp.word(0), sp.word(8); rbx != 0x4444 || rsp != 0x5550 {
		s.Errorf("rbx, rsp became %#x, %#x", rbx, rsp)
	}
}

func testTLS(s *sentry) {
	var p code
	p.raw(0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0) // mov %fs:0,%rax
	p.store(dataAddr+16, rax)
	p.syscall(callFull)
	p.raw(0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0)
	p.store(dataAddr+24, rax)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	binary.LittleEndian.PutUint64(s.mem[sp.data:], 0xfeed)
	binary.LittleEndian.PutUint64(s.mem[sp.data+8:], 0xbeef)
	k := s.newTask()
	k.State().SetTLS(dataAddr)
	k.onSyscall = func(uint64, [6]uint64) platform.Disposition {
		if tls := k.State().TLS(); tls != dataAddr {
			s.Errorf("TLS is at %#x", tls)
		}
		k.State().SetTLS(dataAddr + 8)
		return platform.Resume
	}
	k.start(sp).wait()
	if a, b := sp.word(16), sp.word(24); a != 0xfeed || b != 0xbeef {
		s.Errorf("%%fs:0 was %#x, then %#x", a, b)
	}
}

func testResumeFull(s *sentry) {
	var p code
	p.mov(rbx, 0x1111)
	p.syscall(callPlain)
	p.store(dataAddr, rax)
	p.store(dataAddr+8, rbx)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	k := s.newTask()
	k.onSyscall = func(uint64, [6]uint64) platform.Disposition {
		k.State().SetReturn(77)
		return platform.ResumeFull
	}
	interrupts := 0
	k.onIntr = func() platform.Disposition {
		if interrupts++; interrupts > 1 {
			return platform.Resume
		}
		st := k.State()
		if st.Return() != 77 || st.Regs.Rbx != 0x1111 || sp.word(8) != 0 {
			s.Errorf("result %d, rbx %#x, stored %#x", st.Return(), st.Regs.Rbx, sp.word(8))
		}
		st.Regs.Rbx = 0x2222
		return platform.Resume
	}
	k.start(sp).wait()
	if interrupts == 0 {
		s.Error("no HandleInterrupt")
	}
	if a, b := sp.word(0), sp.word(8); a != 77 || b != 0x2222 {
		s.Errorf("application saw %d, %#x", a, b)
	}
}

func testRestartSyscall(s *sentry) {
	var p code
	p.syscall(callPlain, 5)
	p.store(dataAddr, rax)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	k := s.newTask()
	calls := 0
	k.onSyscall = func(nr uint64, args [6]uint64) platform.Disposition {
		calls++
		if nr != callPlain || args[0] != 5 {
			s.Errorf("got call %d %v", nr, args)
		}
		k.State().SetReturn(uint64(calls))
		return platform.ResumeFull
	}
	k.onIntr = func() platform.Disposition {
		if calls == 1 {
			k.State().RestartSyscall(callPlain)
			calls++
		}
		return platform.Resume
	}
	k.start(sp).wait()
	if v := sp.word(0); v != 3 || calls != 3 {
		s.Errorf("result %d, %d calls", v, calls)
	}
}

// testRestartErrnos leaves in the result's register, as a signal handler's return
// may, values with which Linux's own code asks for a restart.
func testRestartErrnos(s *sentry) {
	errnos := []int64{512, 513, 514, 516}
	var p code
	for i := range errnos {
		p.syscall(callFull, uint64(i))
		p.store(dataAddr+8*uint64(i), rax)
	}
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	k := s.newTask()
	calls := 0
	k.onSyscall = func(_ uint64, args [6]uint64) platform.Disposition {
		calls++
		k.State().SetReturn(uint64(-errnos[args[0]]))
		k.Interrupt()
		return platform.Resume
	}
	k.start(sp).wait()
	for i, e := range errnos {
		if v := int64(sp.word(8 * uint64(i))); v != -e {
			s.Errorf("result %d, want %d", v, -e)
		}
	}
	if calls != len(errnos) {
		s.Errorf("%d calls", calls)
	}
}

func testForeignSyscallABI(s *sentry) {
	var p code
	p.mov(rax, 20) // getpid(2) of i386
	p.raw(0xcd, 0x80)
	p.store(dataAddr, rax)
	p.syscall(0x40000000 | unix.SYS_GETPID) // x32
	p.store(dataAddr+8, rax)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	enosys := int64(unix.ENOSYS)
	k := s.newTask()
	k.onSyscall = func(nr uint64, args [6]uint64) platform.Disposition {
		if nr < 0x40000000 {
			s.Errorf("got call %d", nr)
		}
		k.State().SetReturn(uint64(-enosys))
		return platform.Resume
	}
	// A processor fault is an answer too.
	k.onFault = func(f platform.Fault) platform.Disposition {
		k.State().SetIP(k.State().IP() + 2)
		k.State().SetReturn(uint64(-enosys))
		return platform.Resume
	}
	k.start(sp).wait()
	if a, b := int64(sp.word(0)), int64(sp.word(8)); a != -enosys || b != -enosys {
		s.Errorf("int $0x80 gave %d, x32 %d", a, b)
	}
}

// testVsyscall calls the vsyscall page, which the host's kernel emulates: it must
// fault or be a system call of the sentry.
func testVsyscall(s *sentry) {
	var p code
	p.mov(rsp, dataAddr+1024)
	p.mov(rdi, 0)
	p.mov(rax, vsyscallTime)
	p.raw(0xff, 0xd0) // call *%rax
	p.store(dataAddr, rax)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	k := s.newTask()
	k.onSyscall = func(nr uint64, args [6]uint64) platform.Disposition {
		if nr != unix.SYS_TIME {
			s.Errorf("got call %d", nr)
		}
		k.State().SetReturn(4711)
		return platform.Resume
	}
	k.onFault = func(f platform.Fault) platform.Disposition {
		if f.Signal != int(unix.SIGSEGV) {
			s.Errorf("fault %+v", f)
		}
		st := k.State()
		st.SetIP(binary.LittleEndian.Uint64(s.mem[sp.data+st.SP()-dataAddr:]))
		st.SetSP(st.SP() + 8)
		st.SetReturn(4711)
		return platform.Resume
	}
	k.start(sp).wait()
	if v := sp.word(0); v != 4711 {
		s.Errorf("time is %d", v)
	}
}

// pattern returns 32 bytes that differ for every n.
func pattern(n int) []byte {
	return bytes.Repeat([]byte{byte(n), 0xa0, byte(n * 3), 0x55}, 8)
}

// Offsets in an XSAVE image.
const (
	xmm0     = 160
	ymm0High = 576 // on every processor so far
)

func testVectorState(s *sentry) {
	var p code
	p.loadYMM(0, dataAddr)
	p.loadYMM(1, dataAddr+32)
	p.syscall(callPlain)
	p.storeYMM(dataAddr+64, 0)
	p.syscall(callFull)
	p.storeYMM(dataAddr+96, 0)
	p.storeYMM(dataAddr+128, 1)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	copy(s.mem[sp.data:], pattern(1))
	copy(s.mem[sp.data+32:], pattern(2))
	k := s.newTask()
	if n := len(k.State().FP); n != arch.FPStateSize() {
		s.Fatalf("State.FP has %d bytes", n)
	}
	k.onSyscall = func(nr uint64, _ [6]uint64) platform.Disposition {
		if nr == callFull {
			fp := k.State().FP
			if got := append(bytes.Clone(fp[xmm0:xmm0+16]), fp[ymm0High:ymm0High+16]...); !bytes.Equal(got, pattern(1)) {
				s.Errorf("ymm0 is % x", got)
			}
			copy(fp[xmm0+16:], pattern(9)[:16])
		}
		return platform.Resume
	}
	k.start(sp).wait()
	for off, want := range map[uint64][]byte{
		64:  pattern(1),
		96:  pattern(1),
		128: append(pattern(9)[:16], pattern(2)[16:]...),
	} {
		if got := s.mem[sp.data+off:][:32]; !bytes.Equal(got, want) {
			s.Errorf("at %d: % x, want % x", off, got, want)
		}
	}
}

// testHostileFPState resumes with what an application could have put into a
// signal frame, and a sentry should not have let through. The Context goes on or
// faults; the platform survives.
func testHostileFPState(s *sentry) {
	var p code
	p.syscall(callFull)
	p.syscall(callExit)
	for name, spoil := range map[string]func(fp []byte){
		"ones": func(fp []byte) {
			for i := range fp {
				fp[i] = 0xff
			}
		},
		"zeros":            func(fp []byte) { clear(fp) },
		"compacted format": func(fp []byte) { binary.LittleEndian.PutUint64(fp[520:], 1<<63) },
	} {
		sp := s.newSpace(p)
		k := s.newTask()
		k.onSyscall = func(uint64, [6]uint64) platform.Disposition {
			spoil(k.State().FP)
			return platform.Resume
		}
		k.onFault = func(f platform.Fault) platform.Disposition {
			if f.Signal != int(unix.SIGSEGV) {
				s.Errorf("%s: fault %+v", name, f)
			}
			return k.finish()
		}
		k.start(sp).wait()
		sp.Release()
	}
}

// testHostileRegisters resumes with registers that user code cannot have. The
// Context faults, or dies; the platform survives.
func testHostileRegisters(s *sentry) {
	var p code
	p.syscall(callFull)
	p.syscall(callExit)
	for name, spoil := range map[string]func(*arch.Registers){
		"kernel ip":    func(r *arch.Registers) { r.Rip = 0xffff800000001000 },
		"odd ip":       func(r *arch.Registers) { r.Rip = 0x8000000000000000 },
		"kernel cs":    func(r *arch.Registers) { r.Cs = 0x10 },
		"no ss":        func(r *arch.Registers) { r.Ss = 0 },
		"eflags":       func(r *arch.Registers) { r.Eflags = 0x3000 | 0x4000 | 0x10000 | 0x20000 },
		"kernel fs":    func(r *arch.Registers) { r.Fs_base = 0xffff800000000000 },
		"odd segments": func(r *arch.Registers) { r.Ds, r.Es, r.Fs, r.Gs = 0x13, 0x17, 0x63, 0xfff3 },
	} {
		sp := s.newSpace(p)
		k := s.newTask()
		faults := 0
		k.onSyscall = func(uint64, [6]uint64) platform.Disposition {
			spoil(&k.State().Regs)
			return platform.Resume
		}
		k.onFault = func(f platform.Fault) platform.Disposition {
			if faults++; faults > 3 {
				s.Errorf("%s: too many faults: %+v", name, f)
			}
			return k.finish()
		}
		k.onDeath = func() {}
		k.start(sp).wait()
		sp.Release()
	}
}
