package kernel

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/platform"
	"casemate/sentry/clock"
	"casemate/sentry/mm"
)

func mapStack(t testing.TB, task *Task) {
	t.Helper()
	_, err := task.MM().Map(nil, mm.MapOptions{
		Addr: stack, Length: 1 << 16, Prot: unix.PROT_READ | unix.PROT_WRITE, Flags: unix.MAP_PRIVATE | unix.MAP_FIXED,
		MaxProt: unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC, Limits: mm.NoLimits,
	})
	if err != nil {
		t.Fatal(err)
	}
	task.state.Regs.Rsp = stack + 1<<16
}

// call makes a system call as the application would.
func call(t *Task, nr uint64, args ...uint64) (uint64, platform.Disposition) {
	r := &t.state.Regs
	r.Orig_rax, r.Rax = nr, uint64(0xffffffffffffffda)
	for i, p := range []*uint64{&r.Rdi, &r.Rsi, &r.Rdx, &r.R10, &r.R8, &r.R9} {
		*p = 0
		if i < len(args) {
			*p = args[i]
		}
	}
	d := t.HandleSyscall(t.ctx)
	return r.Rax, d
}

// errnoValue is e as a system call returns it.
func errnoValue(e unix.Errno) uint64 { return uint64(-int64(e)) }

// sibling makes another thread of t's process, without starting it.
func sibling(tb testing.TB, t *Task) *Task {
	tb.Helper()
	tid, err := t.Clone(&CloneArgs{Flags: unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND | unix.CLONE_FS | unix.CLONE_FILES})
	if err != nil {
		tb.Fatal(err)
	}
	return t.PIDNamespace().Task(int32(tid))
}

func TestDispatch(t *testing.T) {
	task := newTestProcess(t)
	if v, d := call(task, unix.SYS_GETPID); v != 1 || d != platform.Resume {
		t.Errorf("getpid() = %d, %v", v, d)
	}
	for _, nr := range []uint64{unix.SYS_READ, MaxSyscall, 1 << 40, ^uint64(0)} {
		if v, _ := call(task, nr); v != errnoValue(unix.ENOSYS) {
			t.Errorf("call %d gives %#x, want ENOSYS", nr, v)
		}
	}
	if _, d := call(task, unix.SYS_EXIT, 7); d != platform.Exit {
		t.Errorf("exit gives %v", d)
	}
	<-task.tg.Exited()
	if s := task.tg.ExitStatus(); s != WaitExited(7) {
		t.Errorf("status %#x", s)
	}
}

func TestDispatchDoesNotAllocate(t *testing.T) {
	task := newTestProcess(t)
	if n := testing.AllocsPerRun(100, func() { call(task, unix.SYS_GETPID) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { call(task, unix.SYS_PAUSE, uint64(unix.EAGAIN)) }); n > 1 {
		t.Errorf("%v allocations with an errno", n)
	}
}

func BenchmarkDispatch(b *testing.B) {
	task := newTestProcess(b)
	for b.Loop() {
		call(task, unix.SYS_GETPID)
	}
}

// handle sets an action and makes sig pending for the task.
func handle(tb testing.TB, t *Task, sig unix.Signal, flags uint64) {
	tb.Helper()
	act := SigAction{Handler: 0x401000, Flags: flags | saRestorer, Restorer: 0x402000, Mask: Signals(unix.SIGHUP)}
	if _, err := t.SigAction(int32(sig), &act); err != nil {
		tb.Fatal(err)
	}
	if err := t.Kill(1, int32(sig)); err != nil {
		tb.Fatal(err)
	}
}

func TestSignalFrame(t *testing.T) {
	task := newTestProcess(t)
	task.SetSignalMask(Signals(unix.SIGWINCH))
	r := &task.state.Regs
	r.Rbx, r.R15, r.Rip, r.Eflags = 0x1234, 0x5678, 0x400010, 0x246
	handle(t, task, unix.SIGUSR1, saSigInfo)
	before := *r
	fp := bytes.Clone(task.state.FP)
	before.Rax, before.Orig_rax = 42, 0
	r.Rax = 42
	if d := task.HandleInterrupt(task.ctx); d != platform.Resume {
		t.Fatalf("disposition %v", d)
	}
	if r.Rip != 0x401000 || r.Rdi != uint64(unix.SIGUSR1) || r.Rsp%16 != 8 || r.Rsp >= before.Rsp-redZone {
		t.Errorf("handler called with ip %#x, signal %d, sp %#x", r.Rip, r.Rdi, r.Rsp)
	}
	if want := Signals(unix.SIGWINCH, unix.SIGUSR1, unix.SIGHUP); task.SignalMask() != want {
		t.Errorf("mask in the handler %#x, want %#x", task.SignalMask(), want)
	}
	var ret [8]byte
	if _, err := task.fs.Mem.CopyIn(ret[:], r.Rsp); err != nil || leUint64(ret[:]) != 0x402000 {
		t.Errorf("return address %#x, %v", leUint64(ret[:]), err)
	}
	var info [SigInfoSize]byte
	if _, err := task.fs.Mem.CopyIn(info[:], r.Rsi); err != nil {
		t.Fatal(err)
	}
	var i SigInfo
	i.Decode(info[:])
	if pid, uid := i.Sender(); i.Signo != int32(unix.SIGUSR1) || i.Code != SIUser || pid != 1 || uid != 0 {
		t.Errorf("siginfo %+v", i)
	}

	r.Rsp += 8 // the handler returns to the restorer
	r.Rbx = 0
	if _, err := task.SigReturn(); err != nil {
		t.Fatal(err)
	}
	r.Orig_rax = 0
	before.Cs, before.Ss = userCS, userDS
	if *r != before {
		t.Errorf("registers after the handler\n%+v\nwant\n%+v", *r, before)
	}
	if task.SignalMask() != Signals(unix.SIGWINCH) {
		t.Errorf("mask after the handler %#x", task.SignalMask())
	}
	if !bytes.Equal(task.state.FP, fp) {
		t.Error("extended state differs after the handler")
	}
}

func TestForgedSignalFrame(t *testing.T) {
	task := newTestProcess(t)
	r := &task.state.Regs
	frame := uint64(stack + 4096)
	b := make([]byte, 4096)
	for i := range b {
		b[i] = 0xff
	}
	if _, err := task.fs.Mem.CopyOut(frame-8, b); err != nil {
		t.Fatal(err)
	}
	r.Rsp = frame
	task.SigReturn()
	if d := task.leave(); d != platform.Exit {
		t.Fatalf("disposition %v", d)
	}
	if s := task.tg.ExitStatus(); s != WaitSignaled(int32(unix.SIGSEGV)) {
		t.Errorf("status %#x, want SIGSEGV", s)
	}
}

func TestRestart(t *testing.T) {
	const ip = 0x400010
	for _, c := range []struct {
		name    string
		code    unix.Errno
		handler bool
		flags   uint64
		ip, rax uint64 // where the application goes on
	}{
		{"sys, no handler", ErrRestartSys, false, 0, ip - 2, unix.SYS_PAUSE},
		{"sys, handler", ErrRestartSys, true, 0, ip, errnoValue(unix.EINTR)},
		{"sys, SA_RESTART", ErrRestartSys, true, saRestart, ip - 2, unix.SYS_PAUSE},
		{"nointr, handler", ErrRestartNoIntr, true, 0, ip - 2, unix.SYS_PAUSE},
		{"nohand, SA_RESTART", ErrRestartNoHand, true, saRestart, ip, errnoValue(unix.EINTR)},
		{"nohand, no handler", ErrRestartNoHand, false, 0, ip - 2, unix.SYS_PAUSE},
		{"block, SA_RESTART", ErrRestartBlock, true, saRestart, ip, errnoValue(unix.EINTR)},
		{"block, no handler", ErrRestartBlock, false, 0, ip - 2, unix.SYS_RESTART_SYSCALL},
	} {
		t.Run(c.name, func(t *testing.T) {
			task := newTestProcess(t)
			r := &task.state.Regs
			r.Rip = ip
			if c.handler {
				handle(t, task, unix.SIGUSR1, c.flags)
			}
			call(task, unix.SYS_PAUSE, uint64(c.code))
			if c.handler {
				if r.Rip != 0x401000 {
					t.Fatalf("no handler called: ip %#x", r.Rip)
				}
				r.Rsp += 8
				task.SigReturn()
			}
			if r.Rip != c.ip || r.Rax != c.rax {
				t.Errorf("goes on at %#x with rax %#x, want %#x, %#x", r.Rip, r.Rax, c.ip, c.rax)
			}
		})
	}
}

func TestRealTimeSignalsQueue(t *testing.T) {
	task := newTestProcess(t)
	task.SetSignalMask(^SignalSet(0))
	for v := range uint64(3) {
		for _, sig := range []int32{40, int32(unix.SIGUSR1), 39} {
			info := SigInfo{Signo: sig, Code: SIQueue}
			info.SetValue(v)
			if err := task.SigQueue(1, &info); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, want := range []struct {
		sig   int32
		value uint64
	}{{int32(unix.SIGUSR1), 0}, {39, 0}, {39, 1}, {39, 2}, {40, 0}, {40, 1}, {40, 2}} {
		info, ok := task.Dequeue(^SignalSet(0))
		if !ok || info.Signo != want.sig || info.Value() != want.value {
			t.Errorf("got signal %d with %d, want %+v", info.Signo, info.Value(), want)
		}
	}
	if _, ok := task.Dequeue(^SignalSet(0)); ok {
		t.Error("a standard signal was queued twice")
	}
	if n := task.userCount().signals.Load(); n != 0 {
		t.Errorf("%d signals still count", n)
	}
	task.tg.limits.Set(unix.RLIMIT_SIGPENDING, unix.Rlimit{})
	if err := task.SigQueue(1, &SigInfo{Signo: 40, Code: SIQueue}); err != unix.EAGAIN {
		t.Errorf("beyond RLIMIT_SIGPENDING: %v, want EAGAIN", err)
	}
}

func TestInitIgnoresWhatItDoesNotHandle(t *testing.T) {
	task := newTestProcess(t)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL, unix.SIGSEGV} {
		if err := task.Kill(1, int32(sig)); err != nil {
			t.Fatal(err)
		}
	}
	if task.Interrupted() {
		t.Error("process 1 is killed by itself")
	}
	task.tg.SignalGroup(&SigInfo{Signo: int32(unix.SIGTERM)})
	if task.Interrupted() {
		t.Error("process 1 is killed by SIGTERM from outside, which it does not handle")
	}
	task.tg.SignalGroup(&SigInfo{Signo: int32(unix.SIGKILL)})
	if !task.Interrupted() {
		t.Error("SIGKILL from outside does not kill process 1")
	}
}

func TestFutex(t *testing.T) {
	task := newTestProcess(t)
	const word = stack + 128
	if err := task.FutexWait(word, true, 1, futexMatchAny, clock.Never); err != unix.EAGAIN {
		t.Errorf("wait for another value: %v", err)
	}
	if err := task.FutexWait(word+1, true, 0, futexMatchAny, clock.Never); err != unix.EINVAL {
		t.Errorf("unaligned: %v", err)
	}
	if err := task.FutexWait(word, true, 0, futexMatchAny, clock.After(1e6)); err != unix.ETIMEDOUT {
		t.Errorf("timeout: %v", err)
	}
	const n = 8
	var wg sync.WaitGroup
	others := make([]*Task, n)
	for i := range others {
		others[i] = sibling(t, task)
	}
	for _, o := range others {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := o.FutexWait(word, true, 0, futexMatchAny, clock.Never); err != nil {
				t.Errorf("wait: %v", err)
			}
		}()
	}
	// Two are woken, two more after a move to another word, the rest at once.
	woken := int32(0)
	for woken < 2 {
		m, err := task.FutexWake(word, true, 2-woken, futexMatchAny)
		if err != nil {
			t.Fatal(err)
		}
		woken += m
		time.Sleep(time.Millisecond)
	}
	for moved := int32(0); moved < 2; time.Sleep(time.Millisecond) {
		_, m, err := task.FutexRequeue(word, word+4, true, true, 0, 2-moved, nil)
		if err != nil {
			t.Fatal(err)
		}
		moved += m
	}
	if m, _ := task.FutexWake(word+4, true, 100, futexMatchAny); m != 2 {
		t.Errorf("%d woken that had been moved", m)
	}
	for woken += 2; woken < n; time.Sleep(time.Millisecond) {
		m, _ := task.FutexWake(word, true, 100, futexMatchAny)
		woken += m
	}
	wg.Wait()
}

func TestFutexWaitIsInterrupted(t *testing.T) {
	task := newTestProcess(t)
	o := sibling(t, task)
	done := make(chan error)
	go func() { done <- o.FutexWait(stack+128, true, 0, futexMatchAny, clock.Never) }()
	act := SigAction{Handler: 0x401000, Flags: saRestorer}
	task.SigAction(int32(unix.SIGUSR1), &act)
	if err := task.Tgkill(1, o.TID(), int32(unix.SIGUSR1), nil); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != ErrRestartSys {
		t.Errorf("%v, want ErrRestartSys", err)
	}
	if m, _ := task.FutexWake(stack+128, true, 1, futexMatchAny); m != 0 {
		t.Error("the interrupted task is still queued")
	}
}

func TestPIDNamespaces(t *testing.T) {
	task := newTestProcess(t)
	k, root := task.k, task.PIDNamespace()
	child, err := k.NewPIDNamespace(root, k.userNS)
	if err != nil {
		t.Fatal(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	p, err := k.allocPID(child, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.In(child) != 1 || p.In(root) != 2 {
		t.Errorf("numbers %d and %d, want 1 and 2", p.In(child), p.In(root))
	}
	if task.pid.In(child) != 0 {
		t.Error("the child namespace sees its parent's task")
	}
	p.release()
	if child.pids[1] != nil || root.pids[2] != nil {
		t.Error("numbers were not given back")
	}
	if _, err := k.allocPID(child, []int32{5}); err != unix.EINVAL {
		t.Errorf("number 5 in an empty namespace: %v", err)
	}
	if _, err := k.allocPID(root, []int32{1}); err != unix.EEXIST {
		t.Errorf("number 1 again: %v", err)
	}
	deep := child
	for range maxPIDNamespaceLevel {
		if deep, err = k.NewPIDNamespace(deep, k.userNS); err != nil {
			break
		}
	}
	if err != unix.ENOSPC {
		t.Errorf("nesting without end: %v", err)
	}
}

func TestExitOfLeaderWaitsForThreads(t *testing.T) {
	task := newTestProcess(t)
	o := sibling(t, task)
	if _, d := call(task, unix.SYS_EXIT, 1); d != platform.Exit {
		t.Fatalf("disposition %v", d)
	}
	select {
	case <-task.tg.Exited():
		t.Fatal("the process is dead while a thread lives")
	default:
	}
	if _, d := call(o, unix.SYS_EXIT, 2); d != platform.Exit {
		t.Fatalf("disposition %v", d)
	}
	<-task.tg.Exited()
	if s := task.tg.ExitStatus(); s != WaitExited(2) {
		t.Errorf("status %#x, want the last thread's", s)
	}
}
