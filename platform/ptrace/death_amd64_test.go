package ptrace

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// A victim is a Context that runs into one page of code.
type victim struct {
	t         *testing.T
	p         platform.Platform
	as        *addressSpace
	c         *context
	fd        int
	onSyscall func(nr uint64) platform.Disposition
	onFault   func(f platform.Fault) platform.Disposition
	onIntr    func() platform.Disposition
	dead      chan struct{} // closed by HandleDeath
	exited    chan struct{} // closed when a handler has returned Exit
}

const textAddr = 0x10000

func newVictim(t *testing.T, p platform.Platform, text ...byte) *victim {
	t.Helper()
	v := &victim{t: t, p: p, dead: make(chan struct{}), exited: make(chan struct{})}
	fd, err := unix.MemfdCreate("text", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	v.fd = fd
	if _, err := unix.Write(fd, append(text, make([]byte, arch.PageSize-len(text))...)); err != nil {
		t.Fatal(err)
	}
	as, err := p.NewAddressSpace(nil)
	if err != nil {
		t.Fatal(err)
	}
	v.as = as.(*addressSpace)
	if err := v.apply(unix.PROT_READ | unix.PROT_EXEC); err != nil {
		t.Fatal(err)
	}
	v.c = p.NewContext(v).(*context)
	v.c.State().SetIP(textAddr)
	return v
}

func (v *victim) start() *victim {
	v.t.Helper()
	if err := v.c.Start(v.as); err != nil {
		v.t.Fatal(err)
	}
	return v
}

func (v *victim) apply(prot int) error {
	return v.as.Apply(nil, []platform.Op{{Kind: platform.Map, Addr: textAddr, Length: arch.PageSize, Prot: prot, FD: v.fd}})
}

func (v *victim) release() {
	v.c.Release()
	v.as.Release()
	unix.Close(v.fd)
}

func (v *victim) answer(d platform.Disposition) platform.Disposition {
	if d == platform.Exit {
		close(v.exited)
	}
	return d
}

func (v *victim) HandleSyscall(c platform.Context) platform.Disposition {
	nr, _ := c.State().Syscall()
	if v.onSyscall == nil {
		v.t.Errorf("system call %d", nr)
		return v.answer(platform.Exit)
	}
	return v.answer(v.onSyscall(nr))
}

func (v *victim) HandleFault(c platform.Context, f platform.Fault) platform.Disposition {
	if v.onFault == nil {
		v.t.Errorf("fault %+v", f)
		return v.answer(platform.Exit)
	}
	return v.answer(v.onFault(f))
}

func (v *victim) HandleInterrupt(platform.Context) platform.Disposition {
	if v.onIntr == nil {
		return platform.Resume
	}
	return v.answer(v.onIntr())
}

func (v *victim) HandleDeath(platform.Context) { close(v.dead) }

func (v *victim) HandleKill(platform.Context) {}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s", what)
	}
}

func open(t *testing.T) platform.Platform {
	t.Helper()
	p, err := Open(platform.Options{Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	loop        = []byte{0xeb, 0xfe}
	syscallText = []byte{0x0f, 0x05}
)

func TestKilledWhileRunning(t *testing.T) {
	p := open(t)
	defer p.Close()
	v := newVictim(t, p, loop...).start()
	unix.Kill(v.as.pid, unix.SIGKILL)
	await(t, v.dead, "HandleDeath")
	if err := v.apply(unix.PROT_READ); err == nil {
		t.Error("Apply works in a dead address space")
	}
	if _, err := v.as.Fork(nil, nil); err == nil {
		t.Error("Fork works in a dead address space")
	}
	if err := p.NewContext(v).Start(v.as); err == nil {
		t.Error("Start works in a dead address space")
	}
	v.c.Interrupt()
	v.release()

	// The platform is not affected.
	w := newVictim(t, p, syscallText...)
	w.onSyscall = func(uint64) platform.Disposition { return platform.Exit }
	w.start()
	await(t, w.exited, "system call")
	w.release()
}

func TestKilledInUpcall(t *testing.T) {
	p := open(t)
	defer p.Close()
	var v *victim
	started := make(chan struct{})
	v = newVictim(t, p, 0xeb, 0xfe)
	v.onIntr = func() platform.Disposition {
		unix.Kill(v.as.pid, unix.SIGKILL)
		if err := v.as.Apply(v.c, []platform.Op{{Kind: platform.Unmap, Addr: textAddr, Length: arch.PageSize}}); err == nil {
			t.Error("Apply works in a dead address space")
		}
		close(started)
		return platform.Resume
	}
	v.start().c.Interrupt()
	await(t, started, "interrupt")
	await(t, v.dead, "HandleDeath")
	v.release()
}

func TestApplyFails(t *testing.T) {
	p := open(t)
	defer p.Close()
	as, err := p.NewAddressSpace(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer as.Release()
	op := platform.Op{Kind: platform.Map, Addr: textAddr, Length: arch.PageSize, Prot: unix.PROT_READ, FD: 1 << 20}
	if err := as.Apply(nil, []platform.Op{op}); err != unix.EBADF {
		t.Errorf("mapping a descriptor that does not exist: %v", err)
	}
}

// TestForeignSignals sends signals from outside; none reaches the application.
func TestForeignSignals(t *testing.T) {
	p := open(t)
	defer p.Close()
	v := newVictim(t, p, loop...)
	var over atomic.Bool
	interrupts := make(chan struct{}, 100)
	v.onIntr = func() platform.Disposition {
		interrupts <- struct{}{}
		if over.Load() {
			return platform.Exit
		}
		return platform.Resume
	}
	v.start()
	for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGTSTP, unix.SIGCONT, unix.SIGTERM, unix.SIGSEGV, unix.SIGTRAP, unix.SIGSYS, unix.SIGCHLD} {
		if err := unix.Tgkill(v.as.pid, v.c.tid, sig); err != nil {
			t.Fatal(err)
		}
		await(t, interrupts, sig.String())
	}
	// To the process: the leader is stopped, so the Context's thread gets it.
	unix.Kill(v.as.pid, unix.SIGUSR2)
	await(t, interrupts, "SIGUSR2")
	over.Store(true)
	v.c.Interrupt()
	await(t, v.exited, "interrupt")
	v.release()
}

// TestStubPage jumps to the stub's own code with the numbers of its own calls:
// they are the application's calls like any others, and the page cannot be
// written.
func TestStubPage(t *testing.T) {
	p := open(t)
	defer p.Close()
	movabs := func(reg byte, v uint64) []byte {
		b := []byte{0x48, 0xb8 | reg}
		for i := range 8 {
			b = append(b, byte(v>>(8*i)))
		}
		return b
	}
	for _, entry := range []uint64{stubCall, stubThread, stubWait} {
		text := append(movabs(1, entry), 0xff, 0xe1) // jmp *%rcx
		v := newVictim(t, p, append(movabs(0, unix.SYS_MUNMAP), text...)...)
		calls := 0
		v.onSyscall = func(nr uint64) platform.Disposition {
			if calls++; calls > 1 {
				return platform.Exit
			}
			if want := uint64(unix.SYS_MUNMAP); nr != want && entry != stubWait {
				t.Errorf("call %d, want %d", nr, want)
			}
			return platform.Resume
		}
		v.onFault = func(f platform.Fault) platform.Disposition {
			if f.Signal != int(unix.SIGTRAP) {
				t.Errorf("fault %+v", f)
			}
			return platform.Exit
		}
		v.start()
		await(t, v.exited, "event")
		v.release()
	}
	v := newVictim(t, p, append(movabs(1, stubBase), 0x88, 0x01)...) // mov %al,(%rcx)
	v.onFault = func(f platform.Fault) platform.Disposition {
		if f.Signal != int(unix.SIGSEGV) || f.Addr != stubBase || !f.Write {
			t.Errorf("fault %+v", f)
		}
		return platform.Exit
	}
	v.start()
	await(t, v.exited, "fault")
	v.release()
}

// TestKillInCall kills a process while its leader makes a call for which the Context of another thread
// waits in an upcall.
func TestKillInCall(t *testing.T) {
	p := open(t)
	defer p.Close()
	const size = 256 << 20
	fd, err := unix.MemfdCreate("large", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	killed := false
	for try := 0; try < 20 && !killed; try++ {
		// Its pages are made anew: that takes a while.
		if err := unix.Ftruncate(fd, 0); err != nil {
			t.Fatal(err)
		}
		if err := unix.Ftruncate(fd, size); err != nil {
			t.Fatal(err)
		}
		v := newVictim(t, p, syscallText...)
		v.onSyscall = func(uint64) platform.Disposition {
			called := make(chan error, 1)
			go func() {
				called <- v.as.Apply(nil, []platform.Op{{Kind: platform.Map, Addr: 1 << 32, Length: size, Prot: unix.PROT_READ, FD: fd, Populate: true}})
			}()
			time.Sleep(5 * time.Millisecond) // into the call
			unix.Kill(v.as.pid, unix.SIGKILL)
			select {
			case err := <-called:
				killed = err != nil
			case <-time.After(20 * time.Second):
				t.Error("the call does not end")
			}
			return platform.Resume
		}
		v.start()
		await(t, v.dead, "death")
		v.release()
	}
	if !killed {
		t.Error("the calls have always ended before")
	}
}

// TestEmptyAddressSpace reads the host's own list of a stub's mappings.
func TestEmptyAddressSpace(t *testing.T) {
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		t.Skip("/proc is that of another pid namespace")
	}
	p := open(t)
	defer p.Close()
	as, err := p.NewAddressSpace(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer as.Release()
	maps, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(as.(*addressSpace).pid), "maps"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(maps)) {
		if !strings.Contains(line, "[vsyscall]") {
			n++
			if !strings.HasPrefix(line, "7fff00000000-7fff00001000 r-xs") {
				t.Errorf("mapping %s", line)
			}
		}
	}
	if n != 1 {
		t.Errorf("mappings are:\n%s", maps)
	}
}

// TestClose counts what is left.
func TestClose(t *testing.T) {
	fds, children, goroutines := count(t, "/proc/self/fd"), stubs(t), runtime.NumGoroutine()
	p := open(t)
	for range 3 {
		v := newVictim(t, p, syscallText...)
		v.onSyscall = func(uint64) platform.Disposition { return platform.Exit }
		v.start()
		await(t, v.exited, "system call")
		v.release()
	}
	left, err := p.NewAddressSpace(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = left
	if n := stubs(t); n != children+2 {
		t.Errorf("%d children with one address space, %d before", n, children)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if n := count(t, "/proc/self/fd"); n != fds {
		t.Errorf("%d descriptors, %d before", n, fds)
	}
	if n := stubs(t); n != children {
		t.Errorf("%d children, %d before", n, children)
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
		}
	}
}

func count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// stubs counts the child processes of this one.
func stubs(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil {
			n += len(strings.Fields(string(b)))
		}
	}
	return n
}

// BenchmarkSyscall is a system call without the full state.
func BenchmarkSyscall(b *testing.B) {
	t := &testing.T{}
	p, err := Open(platform.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	v := newVictim(t, p, 0x0f, 0x05, 0xeb, 0xfc)
	n := 0
	start := make(chan struct{})
	v.onSyscall = func(uint64) platform.Disposition {
		if n == 0 {
			<-start
		}
		if n++; n > b.N {
			return platform.Exit
		}
		return platform.Resume
	}
	b.ReportAllocs()
	b.ResetTimer()
	v.start()
	close(start)
	<-v.exited
	v.release()
}
