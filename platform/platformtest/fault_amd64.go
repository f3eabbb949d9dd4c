package platformtest

import (
	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

const rw = unix.PROT_READ | unix.PROT_WRITE

func testReadThenWriteFault(s *sentry) {
	var p code
	p.load(rbx, freeAddr+16)
	p.store(dataAddr, rbx)
	p.mov(rbx, 99)
	p.store(freeAddr+24, rbx)
	p.store(freeAddr+arch.PageSize, rbx) // without a read before
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	off := s.page()
	off2 := s.page()
	s.mem[off+16] = 42
	k := s.newTask()
	mapped := map[uint64]int{}
	writes := 0
	k.onFault = func(f platform.Fault) platform.Disposition {
		if f.Signal != int(unix.SIGSEGV) || !f.Access || f.Exec {
			s.Errorf("fault %+v", f)
		}
		page := arch.PageRoundDown(f.Addr)
		o := off
		if page != freeAddr {
			o = off2
		}
		switch {
		case f.Write:
			writes++
			if f.Addr != freeAddr+24 && f.Addr != freeAddr+arch.PageSize {
				s.Errorf("write at %#x", f.Addr)
			}
			sp.apply(k, s.mapping(page, o, rw))
		case mapped[page] != 0:
			s.Errorf("second fault for reading %#x", f.Addr)
			return k.finish()
		default:
			if f.Addr != freeAddr+16 && f.Addr != freeAddr+arch.PageSize {
				s.Errorf("read at %#x", f.Addr)
			}
			mapped[page]++
			sp.apply(k, s.mapping(page, o, unix.PROT_READ))
		}
		return platform.Resume
	}
	k.start(sp).wait()
	if v := sp.word(0); v != 42 {
		s.Errorf("read %d", v)
	}
	if s.mem[off+24] != 99 || s.mem[off2] != 99 || writes != 2 {
		s.Errorf("wrote %d and %d in %d faults", s.mem[off+24], s.mem[off2], writes)
	}
}

func testExecFault(s *sentry) {
	var p code
	p.jump(freeAddr)

	sp := s.newSpace(p)
	defer sp.Release()
	off := s.page()
	var target code
	target.syscall(callExit)
	copy(s.mem[off:], target)
	k := s.newTask()
	faults := 0
	k.onFault = func(f platform.Fault) platform.Disposition {
		faults++
		if f.Signal != int(unix.SIGSEGV) || !f.Access || !f.Exec || f.Write || f.Addr != freeAddr || k.State().IP() != freeAddr {
			s.Errorf("fault %+v at %#x", f, k.State().IP())
		}
		prot := unix.PROT_READ
		switch faults {
		case 2:
			prot |= unix.PROT_EXEC
		case 3:
			return k.finish()
		}
		sp.apply(k, s.mapping(freeAddr, off, prot))
		return platform.Resume
	}
	k.start(sp).wait()
	if faults != 2 {
		s.Errorf("%d faults", faults)
	}
}

func testExceptions(s *sentry) {
	for _, test := range []struct {
		name    string
		text    []byte
		signal  unix.Signal
		code    int
		addr    uint64 // if not 0
		ip      uint64 // offset in the code where the exception is reported
		noCheck bool   // code is not checked
	}{
		{name: "ud2", text: []byte{0x0f, 0x0b}, signal: unix.SIGILL, code: 2, addr: codeAddr},
		{name: "int3", text: []byte{0xcc}, signal: unix.SIGTRAP, code: 0x80, ip: 1},
		{name: "divide", text: []byte{0x31, 0xc9, 0xf7, 0xf1}, signal: unix.SIGFPE, code: 1, addr: codeAddr + 2, ip: 2},
		{name: "hlt", text: []byte{0xf4}, signal: unix.SIGSEGV, code: 0x80},
		{name: "non-canonical", text: []byte{0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x48, 0x8b, 0x00}, signal: unix.SIGSEGV, code: 0x80, ip: 10},
		{name: "non-canonical stack", text: []byte{0x48, 0xbc, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x50}, signal: unix.SIGBUS, noCheck: true, ip: 10},
		{name: "single step", text: []byte{
			0x48, 0xbc, 0x00, 0x08, 0x00, 0x20, 0, 0, 0, 0, // mov $dataAddr+2048,%rsp
			0x68, 0x02, 0x01, 0, 0, // push $0x102
			0x9d, // popf
			0x90, 0x90,
		}, signal: unix.SIGTRAP, code: 2, ip: 17},
		{name: "kernel address", text: []byte{0x48, 0xb8, 0, 0, 0, 0, 0, 0x80, 0xff, 0xff, 0x48, 0x8b, 0x00}, signal: unix.SIGSEGV, noCheck: true, ip: 10},
	} {
		sp := s.newSpace(test.text)
		k := s.newTask()
		faults := 0
		k.onFault = func(f platform.Fault) platform.Disposition {
			faults++
			ip := k.State().IP() - codeAddr
			if f.Signal != int(test.signal) || ip != test.ip ||
				!test.noCheck && (f.Code != test.code || f.Access) || test.addr != 0 && f.Addr != test.addr {
				s.Errorf("%s: fault %+v at offset %d", test.name, f, ip)
			}
			return k.finish()
		}
		k.start(sp).wait()
		sp.Release()
	}
}

// testBadStackPointer makes events with a stack pointer that leads nowhere.
func testBadStackPointer(s *sentry) {
	var p code
	for _, v := range []uint64{0, 8, 0xffffffffffffffff, 0x8000000000000000, codeAddr} {
		p.mov(rsp, v)
		p.syscall(callPlain)
		p.syscall(callFull)
		p.load(rbx, freeAddr)
		p.raw(0x0f, 0x0b)
	}
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	off := s.page()
	k := s.newTask()
	calls, faults := 0, 0
	k.onSyscall = func(uint64, [6]uint64) platform.Disposition {
		calls++
		return platform.Resume
	}
	k.onFault = func(f platform.Fault) platform.Disposition {
		faults++
		switch f.Signal {
		case int(unix.SIGILL):
			k.State().SetIP(k.State().IP() + 2)
			sp.apply(k, platform.Op{Kind: platform.Unmap, Addr: freeAddr, Length: arch.PageSize})
		case int(unix.SIGSEGV):
			if f.Addr != freeAddr {
				s.Errorf("fault %+v", f)
				return k.finish()
			}
			sp.apply(k, s.mapping(freeAddr, off, rw))
		}
		return platform.Resume
	}
	k.start(sp).wait()
	if calls != 10 || faults != 10 {
		s.Errorf("%d calls, %d faults", calls, faults)
	}
}

// testBusError touches a mapping past the end of its file.
func testBusError(s *sentry) {
	var p code
	p.load(rbx, freeAddr+8)
	p.syscall(callExit)

	sp := s.newSpace(p)
	defer sp.Release()
	k := s.newTask()
	faults := 0
	k.onFault = func(f platform.Fault) platform.Disposition {
		if faults++; faults > 1 {
			return k.finish()
		}
		if f.Signal != int(unix.SIGBUS) || f.Addr != freeAddr+8 || !f.Access {
			s.Errorf("fault %+v", f)
		}
		sp.apply(k, s.mapping(freeAddr, s.page(), rw))
		return platform.Resume
	}
	sp.apply(nil, s.mapping(freeAddr, uint64(len(s.mem)), rw))
	k.start(sp).wait()
	if faults != 1 {
		s.Errorf("%d faults", faults)
	}
}
