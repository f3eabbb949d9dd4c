package platformtest

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// System calls of the tiny sentry's own. The numbers are those of Linux calls, so
// that a call which slips through does no harm.
const (
	callPlain = unix.SYS_GETPPID
	callFull  = unix.SYS_RT_SIGRETURN // the only one of Options.FullStateSyscalls
	callExit  = unix.SYS_EXIT
)

// Where the tests put things. Every address space has a page of code at codeAddr
// and a page of data at dataAddr.
const (
	codeAddr = 0x10000000
	dataAddr = 0x20000000
	freeAddr = 0x30000000 // nothing
)

const deadline = 30 * time.Second

// sentry is a platform with memory for its applications.
type sentry struct {
	*testing.T
	platform.Platform
	fd   int
	mem  []byte
	next uint64
}

func newSentry(t *testing.T, open Open) *sentry {
	t.Helper()
	p, err := open(platform.Options{FullStateSyscalls: []uintptr{callFull}, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	const size = 8 << 20
	// The descriptor is younger than the platform.
	fd, err := unix.MemfdCreate("platformtest", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Ftruncate(fd, size); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		unix.Munmap(mem)
		unix.Close(fd)
	})
	return &sentry{T: t, Platform: p, fd: fd, mem: mem}
}

// page allocates a page of memory and returns its offset in s.fd and s.mem.
func (s *sentry) page() uint64 {
	off := s.next
	s.next += arch.PageSize
	return off
}

// mapping returns the Op that maps a page.
func (s *sentry) mapping(addr, off uint64, prot int) platform.Op {
	return platform.Op{Kind: platform.Map, Addr: addr, Length: arch.PageSize, Prot: prot, FD: s.fd, Offset: off}
}

// space is an address space with its page of data.
type space struct {
	platform.AddressSpace
	s    *sentry
	data uint64 // offset of the page at dataAddr
}

// newSpace returns an address space that holds text and a page of data.
func (s *sentry) newSpace(text code) *space {
	s.Helper()
	as, err := s.NewAddressSpace(nil)
	if err != nil {
		s.Fatal(err)
	}
	sp := &space{AddressSpace: as, s: s, data: s.page()}
	textOff := s.page()
	if len(text) > arch.PageSize {
		s.Fatalf("%d bytes of code", len(text))
	}
	copy(s.mem[textOff:], text)
	sp.apply(nil,
		s.mapping(codeAddr, textOff, unix.PROT_READ|unix.PROT_EXEC),
		s.mapping(dataAddr, sp.data, unix.PROT_READ|unix.PROT_WRITE))
	return sp
}

func (sp *space) apply(c platform.Context, ops ...platform.Op) {
	sp.s.Helper()
	if err := sp.Apply(c, ops); err != nil {
		sp.s.Errorf("Apply: %v", err)
	}
}

// word is the application's 8 bytes at dataAddr+off.
func (sp *space) word(off uint64) uint64 {
	return binary.LittleEndian.Uint64(sp.s.mem[sp.data+off:])
}

// task is a Context with its handlers. Those that are nil fail the test, but for
// syscall, which gives exit(2) only, and interrupt, which resumes.
type task struct {
	platform.Context
	s         *sentry
	onSyscall func(nr uint64, args [6]uint64) platform.Disposition
	onFault   func(f platform.Fault) platform.Disposition
	onIntr    func() platform.Disposition
	onDeath   func()
	done      chan struct{}
	inUpcall  atomic.Bool
}

func (s *sentry) newTask() *task {
	k := &task{s: s, done: make(chan struct{})}
	k.Context = s.NewContext(k)
	st := k.State()
	st.SetIP(codeAddr)
	st.Full = true
	return k
}

// start runs the task in sp.
func (k *task) start(sp *space) *task {
	k.s.Helper()
	if err := k.Start(sp.AddressSpace); err != nil {
		k.s.Fatalf("Start: %v", err)
	}
	return k
}

// wait waits until the task has exited or died.
func (k *task) wait() {
	k.s.Helper()
	await(k.s.T, k.done, "end of a task")
	k.Release()
}

// await waits for a channel with a limit.
func await[E any](t *testing.T, c <-chan E, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(deadline):
		t.Fatalf("no %s", what)
	}
}

// enter checks that upcalls do not overlap; the result ends the upcall.
func (k *task) enter() func() {
	if k.inUpcall.Swap(true) {
		k.s.Error("two upcalls of one Context at a time")
	}
	return func() { k.inUpcall.Store(false) }
}

// finish is the end of a task.
func (k *task) finish() platform.Disposition {
	defer close(k.done)
	return platform.Exit
}

func (k *task) HandleSyscall(c platform.Context) platform.Disposition {
	defer k.enter()()
	if c != k.Context {
		k.s.Error("upcall for another Context")
	}
	nr, args := c.State().Syscall()
	if nr == callExit {
		return k.finish()
	}
	if k.onSyscall == nil {
		k.s.Errorf("system call %d at %#x", nr, c.State().IP())
		return k.finish()
	}
	return k.onSyscall(nr, args)
}

func (k *task) HandleFault(c platform.Context, f platform.Fault) platform.Disposition {
	defer k.enter()()
	if !c.State().Full {
		k.s.Error("HandleFault without the full state")
	}
	if k.onFault == nil {
		k.s.Errorf("fault %+v at %#x", f, c.State().IP())
		return k.finish()
	}
	return k.onFault(f)
}

func (k *task) HandleInterrupt(c platform.Context) platform.Disposition {
	defer k.enter()()
	if !c.State().Full {
		k.s.Error("HandleInterrupt without the full state")
	}
	if k.onIntr == nil {
		return platform.Resume
	}
	return k.onIntr()
}

func (k *task) HandleDeath(platform.Context) {
	defer k.enter()()
	if k.onDeath == nil {
		k.s.Error("a stub has died")
	} else {
		k.onDeath()
	}
	close(k.done)
}

// HandleKill does nothing: it is not an upcall like the others.
func (k *task) HandleKill(platform.Context) {}
