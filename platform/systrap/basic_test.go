//go:build amd64

package systrap

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

func TestSyscall(t *testing.T) {
	p := open(t)
	text := new(code).call(unix.SYS_READ, 1, 2, 3, 4, 5, 6)
	after := text.here()
	text.exit(ax)
	g := newGuest(t, p, text)
	tk := g.newTask()
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		if nr != unix.SYS_READ || args != [6]uint64{1, 2, 3, 4, 5, 6} {
			t.Errorf("call %d%v", nr, args)
		}
		if ip := tk.State().IP(); ip != textAddr+uint64(after) {
			t.Errorf("ip %#x", ip)
		}
		tk.State().SetReturn(1234)
		return platform.Resume
	}
	if tk.start(g.as).wait(); tk.code != 1234 {
		t.Errorf("got %d", tk.code)
	}
}

// A call with the full state: all registers arrive, and all can be changed.
func TestFullState(t *testing.T) {
	p := open(t)
	text := new(code)
	all := []reg{ax, dx, bx, bp, si, di, r8, r9, r10, r12, r13, r14, r15}
	for _, r := range all {
		text.mov(r, 0x1111111111111111*uint64(r+1))
	}
	text.mov(ax, unix.SYS_MUNMAP).syscall()
	text.mov(cx, dataAddr)
	text.store(cx, 0, r15).store(cx, 8, bx).store(cx, 16, sp).store(cx, 24, ax)
	text.exit(r12)
	g := newGuest(t, p, text)
	tk := g.newTask()
	tk.State().Regs.Fs_base = 0x12345678
	tk.State().Regs.Gs_base = 0x7654321
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		s := tk.State()
		if !s.Full {
			t.Error("not full")
		}
		r := &s.Regs
		for i, v := range []struct{ got, want uint64 }{
			{nr, unix.SYS_MUNMAP}, {r.Rdx, 3}, {r.Rbx, 4}, {r.Rbp, 6}, {r.Rsi, 7}, {r.Rdi, 8},
			{r.R8, 9}, {r.R9, 10}, {r.R10, 11}, {r.R12, 13}, {r.R13, 14}, {r.R14, 15}, {r.R15, 16},
			{r.Rsp, dataAddr + guestSize}, {r.Fs_base, 0x12345678}, {r.Gs_base, 0x7654321},
		} {
			if i > 0 && i < 13 {
				v.want *= 0x1111111111111111
			}
			if v.got != v.want {
				t.Errorf("value %d is %#x", i, v.got)
			}
		}
		r.R15, r.Rbx, r.Rsp, r.R12 = 1, 2, 3, 4
		s.SetReturn(5)
		return platform.Resume
	}
	if tk.start(g.as).wait(); tk.code != 4 {
		t.Errorf("R12 = %d", tk.code)
	}
	for i, want := range []uint64{1, 2, 3, 5} {
		if v := g.data(8 * i); v != want {
			t.Errorf("word %d = %#x", i, v)
		}
	}
}

// Faults that Apply resolves, and the Fault's contents.
func TestFault(t *testing.T) {
	p := open(t)
	const addr = 0x10000000
	text := new(code).mov(bx, addr+8).mov(ax, 77).store(bx, 0, ax) // write
	text.mov(bx, addr+0x5000).load(di, bx, 8)                      // read
	text.mov(cx, addr+0xa000).raw(0xff, 0xd1)                      // call *%rcx
	text.exit(di)
	g := newGuest(t, p, text)
	g.setData(0x10000+0x5008, 55)
	g.mem[guestSize+0x10000+0xa000] = 0xc3 // ret
	tk := g.newTask()
	tk.fault = func(tk *task, f platform.Fault) platform.Disposition {
		page := f.Addr &^ 0xfff
		err := g.as.Apply(tk.Context, []platform.Op{{Kind: platform.Map, Addr: page, Length: 0x1000,
			Prot: unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC, FD: g.fd, Offset: guestSize + 0x10000 + page - addr}})
		if err != nil {
			t.Error(err)
			return platform.Exit
		}
		return platform.Resume
	}
	if tk.start(g.as).wait(); tk.code != 55 {
		t.Errorf("read %d; faults %+v, died %v", tk.code, tk.faults, tk.died)
	}
	if v := g.data(0x10008); v != 77 {
		t.Errorf("wrote %d", v)
	}
	if len(tk.faults) != 3 {
		t.Fatalf("%d faults", len(tk.faults))
	}
	for i, want := range []platform.Fault{
		{Signal: 11, Code: 1, Addr: addr + 8, Write: true, Access: true, TrapNo: 14, ErrorCode: 6},
		{Signal: 11, Code: 1, Addr: addr + 0x5008, Access: true, TrapNo: 14, ErrorCode: 4},
		{Signal: 11, Code: 1, Addr: addr + 0xa000, Exec: true, Access: true, TrapNo: 14, ErrorCode: 20},
	} {
		if tk.faults[i] != want {
			t.Errorf("fault %d: %+v", i, tk.faults[i])
		}
	}
}

// Exceptions other than page faults.
func TestExceptions(t *testing.T) {
	p := open(t)
	for _, tt := range []struct {
		name string
		text *code
		want platform.Fault
	}{
		{"ud2", new(code).raw(0x0f, 0x0b), platform.Fault{Signal: 4, Code: 2, Addr: textAddr, TrapNo: 6}},
		{"int3", new(code).raw(0xcc), platform.Fault{Signal: 5, Code: 0x80, TrapNo: 3}},
		{"div", new(code).raw(0x31, 0xc9, 0xf7, 0xf1), platform.Fault{Signal: 8, Code: 1, Addr: textAddr + 2}},
		{"hlt", new(code).raw(0xf4), platform.Fault{Signal: 11, Code: 0x80, TrapNo: 13}},
		{"noncanonical", new(code).mov(bx, 0x8000000000000000).load(ax, bx, 0), platform.Fault{Signal: 11, Code: 0x80, TrapNo: 13}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, p, tt.text)
			tk := g.newTask().start(g.as).wait()
			if len(tk.faults) != 1 || tk.faults[0] != tt.want {
				t.Errorf("got %+v", tk.faults)
			}
		})
	}
}

// A second context in the address space, with the memory shared and its own
// registers.
func TestThreads(t *testing.T) {
	p := open(t)
	text := new(code)
	// Count at data[0] + 8*DI up to a million, wait for the other thread's flag.
	text.mov(bx, dataAddr).raw(0x48, 0x8d, 0x1c, 0xfb) // lea (rbx,rdi,8), rbx
	loop := text.here()
	text.load(ax, bx, 0).inc(ax).store(bx, 0, ax).cmp(ax, 1000000).jne(loop)
	text.exit(di)
	g := newGuest(t, p, text)
	var tasks []*task
	for i := range 20 {
		tk := g.newTask()
		tk.State().Regs.Rdi = uint64(i)
		tasks = append(tasks, tk.start(g.as))
	}
	for i, tk := range tasks {
		if tk.wait(); tk.died || tk.code != uint64(i) || g.data(8*i) != 1000000 {
			t.Errorf("thread %d: %v %d %d", i, tk.died, tk.code, g.data(8*i))
		}
	}
}

// A thread started from an upcall, several live contexts, Apply with all of them
// running.
func TestApplyThreads(t *testing.T) {
	p := open(t)
	const addr = 0x20000000
	text := new(code)
	// The first thread asks for a second, then both loop, reading a word and
	// making calls, until it is not 1.
	text.call(unix.SYS_CLONE)
	text.mov(bx, addr)
	loop := text.here()
	text.call(unix.SYS_GETPID).load(di, bx, 0).cmp(di, 1).raw(0x0f, 0x84).imm32(uint32(loop - text.here() - 4))
	text.exit(di)
	g := newGuest(t, p, text)
	g.setData(0x10000, 1)
	g.setData(0x11000, 2)
	at := func(off uint64) []platform.Op {
		return []platform.Op{{Kind: platform.Map, Addr: addr, Length: 0x1000, Prot: unix.PROT_READ, FD: g.fd, Offset: guestSize + off}}
	}
	if err := g.as.Apply(nil, at(0x10000)); err != nil {
		t.Fatal(err)
	}
	second := g.newTask()
	first := g.newTask()
	first.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		if nr == unix.SYS_CLONE {
			s := second.State()
			s.Regs = tk.State().Regs
			copy(s.FP, tk.State().FP)
			s.SetReturn(0)
			second.start(g.as)
		}
		tk.State().SetReturn(1)
		return platform.Resume
	}
	calls := make(chan struct{}, 1)
	n := 0
	second.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		if n++; n == 100 {
			calls <- struct{}{}
		}
		return platform.Resume
	}
	first.start(g.as)
	<-calls
	// From outside, by force.
	if err := g.as.Apply(nil, at(0x11000)); err != nil {
		t.Fatal(err)
	}
	for _, tk := range []*task{first, second} {
		if tk.wait(); tk.code != 2 {
			t.Errorf("read %d; faults %+v, died %v", tk.code, tk.faults, tk.died)
		}
	}
}

// A thread resumes while Apply waits for another one, and so takes its calls along: Apply
// returns when they have been made.
func TestApplyTakenAlong(t *testing.T) {
	p := open(t)
	text := new(code).call(unix.SYS_MUNMAP).exit(ax) // a call with the full state: phaseStub
	g := newGuest(t, p, text)
	arrived, applied := make(chan struct{}), make(chan error, 1)
	hold := func(then func(tk *task)) (*task, chan struct{}) {
		tk, free := g.newTask(), make(chan struct{})
		tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
			tk.Blocking()
			arrived <- struct{}{}
			<-free
			then(tk)
			return platform.Resume
		}
		tk.start(g.as)
		<-arrived
		return tk, free
	}
	own, apply := hold(func(tk *task) {
		applied <- g.as.Apply(tk.Context, []platform.Op{{Kind: platform.Unmap, Addr: 0x20000000, Length: 0x1000}})
	})
	rider, resume := hold(func(*task) {})
	thread := func(tk *task) *thread { return tk.Context.(*context).t.Load() }

	thread(own).mu.Lock()
	close(apply)
	stacks := make([]byte, 1<<20)
	for !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("systrap.(*space).seize(")) {
		runtime.Gosched()
	}
	// Stopped, it comes as far as the calls.
	pid := thread(rider).proc.pid
	unix.Kill(pid, unix.SIGSTOP)
	close(resume)
	for thread(rider).phase.Load() != phaseCalls {
		runtime.Gosched()
	}
	thread(own).mu.Unlock()
	select {
	case <-applied:
		t.Error("Apply has returned, but its calls have not been made")
	case <-time.After(50 * time.Millisecond):
	}
	unix.Kill(pid, unix.SIGCONT)
	if !t.Failed() {
		if err := <-applied; err != nil {
			t.Error(err)
		}
	}
	own.wait()
	rider.wait()
}

func TestFork(t *testing.T) {
	p := open(t)
	text := new(code).mov(bx, 0x1234).call(unix.SYS_FORK).move(di, ax).exit(ax)
	g := newGuest(t, p, text)
	parent, child := g.newTask(), g.newTask()
	parent.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		as, err := g.as.Fork(tk.Context, nil)
		if err != nil {
			t.Error(err)
			return platform.Resume
		}
		t.Cleanup(as.Release)
		s := child.State()
		s.Regs = tk.State().Regs
		copy(s.FP, tk.State().FP)
		s.SetReturn(0)
		child.start(as)
		tk.State().SetReturn(42)
		return platform.Resume
	}
	parent.start(g.as).wait()
	child.wait()
	if parent.code != 42 || child.code != 0 || child.died {
		t.Errorf("%d %d %v", parent.code, child.code, child.died)
	}
	if parent.Context.(*context).space.proc.pid == child.Context.(*context).space.proc.pid {
		t.Error("one process")
	}
}

// What execve does: a new address space in an upcall.
func TestSetAddressSpace(t *testing.T) {
	p := open(t)
	g := newGuest(t, p, new(code).call(unix.SYS_EXECVE).exit(ax))
	other := newGuest(t, p, new(code).mov(di, 99).exit(di))
	tk := g.newTask()
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		if err := tk.SetAddressSpace(other.as); err != nil {
			t.Error(err)
		}
		tk.State().SetIP(textAddr)
		return platform.Resume
	}
	if tk.start(g.as).wait(); tk.code != 99 || tk.died {
		t.Errorf("%d %v", tk.code, tk.died)
	}
}

func TestInterrupt(t *testing.T) {
	p := open(t)
	text := new(code).mov(bx, dataAddr)
	loop := text.here()
	text.inc(r12).store(bx, 0, r12).jmp(loop)
	g := newGuest(t, p, text)
	tk := g.newTask()
	tk.interrupt = func(tk *task) platform.Disposition {
		if tk.State().Regs.R12 == 0 {
			t.Error("not the loop's registers")
		}
		if tk.ints.Load() == 50 {
			close(tk.ended)
			return platform.Exit
		}
		return platform.Resume
	}
	tk.start(g.as)
	for i := range int32(50) {
		for v := g.data(0); g.data(0) == v; {
			time.Sleep(10 * time.Microsecond)
		}
		tk.Interrupt()
		for tk.ints.Load() <= i {
			time.Sleep(10 * time.Microsecond)
		}
	}
	tk.wait()
}

// ResumeFull after a plain and after a full call.
func TestResumeFull(t *testing.T) {
	p := open(t)
	text := new(code).mov(r12, 7).call(unix.SYS_READ).move(r13, ax).call(unix.SYS_MUNMAP).exit(r13)
	g := newGuest(t, p, text)
	tk := g.newTask()
	var rax []uint64
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		tk.State().SetReturn(100 + nr)
		return platform.ResumeFull
	}
	tk.interrupt = func(tk *task) platform.Disposition {
		s := tk.State()
		if !s.Full || s.Regs.R12 != 7 {
			t.Error("not the full state")
		}
		rax = append(rax, s.Regs.Rax)
		return platform.Resume
	}
	tk.start(g.as).wait()
	if len(rax) != 2 || rax[0] != 100 || rax[1] != 111 || tk.code != 100 {
		t.Errorf("%v %d", rax, tk.code)
	}
}

// An upcall that blocks does not keep others waiting; Interrupt while it blocks
// is not lost.
func TestBlocking(t *testing.T) {
	p := open(t)
	text := new(code).call(unix.SYS_READ).exit(ax)
	g := newGuest(t, p, text)
	release := make(chan struct{})
	blocked := make(chan struct{})
	a := g.newTask()
	a.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		tk.Blocking()
		close(blocked)
		<-release
		tk.Interrupt()
		tk.State().SetReturn(5)
		return platform.Resume
	}
	a.start(g.as)
	<-blocked
	b := newGuest(t, p, text).newTask()
	b.start(b.g.as).wait()
	close(release)
	if a.wait(); a.code != 5 || a.ints.Load() != 1 {
		t.Errorf("%d, %d interrupts", a.code, a.ints.Load())
	}
}

// A stub that is killed: contexts that run, and one that is in an upcall.
func TestDeath(t *testing.T) {
	p := open(t)
	text := new(code).call(unix.SYS_READ)
	loop := text.here()
	text.jmp(loop)
	g := newGuest(t, p, text)
	blocked, release := make(chan struct{}), make(chan struct{})
	a := g.newTask()
	a.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		tk.Blocking()
		close(blocked)
		<-release
		return platform.Resume
	}
	a.start(g.as)
	<-blocked
	b := g.newTask().start(g.as)
	proc := g.as.(*space).proc
	unix.Kill(proc.pid, unix.SIGKILL)
	if b.wait(); !b.died {
		t.Error("b has not died")
	}
	close(release)
	if a.wait(); !a.died {
		t.Error("a has not died")
	}
	if err := g.as.Apply(nil, []platform.Op{{Kind: platform.Unmap, Addr: textAddr, Length: 0x1000}}); err == nil {
		t.Error("Apply to a dead address space")
	}
	if err := g.newTask().Start(g.as); err == nil {
		t.Error("Start in a dead address space")
	}
	if _, err := g.as.Fork(nil, nil); err == nil {
		t.Error("Fork of a dead address space")
	}
}

// An upcall that takes long without saying so does not keep others waiting for
// ever.
func TestLongUpcall(t *testing.T) {
	p := open(t)
	text := new(code).call(unix.SYS_READ).exit(ax)
	g := newGuest(t, p, text)
	release, blocked := make(chan struct{}), make(chan struct{})
	a := g.newTask()
	a.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		close(blocked)
		<-release
		return platform.Resume
	}
	a.start(g.as)
	<-blocked
	b := newGuest(t, p, text).newTask()
	b.start(b.g.as).wait()
	close(release)
	a.wait()
}
