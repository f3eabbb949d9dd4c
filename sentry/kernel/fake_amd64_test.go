package kernel

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/platform"
	"casemate/platform/arch"
	"casemate/platform/loan"
	"casemate/platform/memfile"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/tmpfs"
	"casemate/vfs/usermem"
)

// A fakePlatform runs nothing: the tests make the upcalls.
type fakePlatform struct{}

func (fakePlatform) Name() string               { return "fake" }
func (fakePlatform) UserRange() (lo, hi uint64) { return 0x10000, 1<<47 - 4096 }
func (fakePlatform) NewAddressSpace(platform.Text) (platform.AddressSpace, error) {
	return fakeSpace{}, nil
}
func (fakePlatform) HostSyscalls() []platform.HostSyscall { return nil }
func (fakePlatform) Close() error                         { return nil }
func (fakePlatform) NewContext(platform.Handler) platform.Context {
	return &fakeContext{unparked: make(chan struct{}, 1), state: platform.State{FP: arch.NewFPState(), Full: true}}
}

type fakeSpace struct{}

func (fakeSpace) Apply(platform.Context, []platform.Op) error { return nil }
func (fakeSpace) Fork(platform.Context, platform.Text) (platform.AddressSpace, error) {
	return fakeSpace{}, nil
}
func (fakeSpace) Release() {}

type fakeContext struct {
	state    platform.State
	unparked chan struct{}
}

func (c *fakeContext) State() *platform.State                      { return &c.state }
func (c *fakeContext) Start(platform.AddressSpace) error           { return nil }
func (c *fakeContext) SetAddressSpace(platform.AddressSpace) error { return nil }
func (c *fakeContext) Blocking()                                   {}
func (c *fakeContext) Park()                                       { <-c.unparked }
func (c *fakeContext) Unpark()                                     { c.unparked <- struct{}{} }
func (c *fakeContext) After(platform.Runner) bool                  { return false }
func (c *fakeContext) Desk() *loan.Desk                            { return nil }
func (c *fakeContext) Interrupt()                                  {}
func (c *fakeContext) Release()                                    {}

// testTable has the calls that the tests make.
var testTable = NewTable([]Entry{
	unix.SYS_GETPID: {Name: "getpid", Support: Full, Fn: func(t *Task, a Args) (uint64, error) {
		return uint64(t.ThreadGroup().PID()), nil
	}},
	unix.SYS_PAUSE: {Name: "pause", Support: Full, Fn: func(t *Task, a Args) (uint64, error) {
		return 0, a.result()
	}},
	unix.SYS_EXIT: {Name: "exit", Support: Full, Args: "int", Fn: func(t *Task, a Args) (uint64, error) {
		t.Exit(a.Int(0))
		return 0, nil
	}},
})

// result is the error that a test wants of a call.
func (a *Args) result() error { return unix.Errno(a[0]) }

// stack is where the tests' tasks have memory of their own: 64 KiB.
const stack = 0x7000_0000_0000

// newTestProcess returns process 1 of a new kernel, which has not been started.
func newTestProcess(t testing.TB) *Task {
	t.Helper()
	mem, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	user := cred.NewRootUserNamespace()
	v := vfs.New(user)
	root := tmpfs.New(v, mem, tmpfs.Options{Mode: 0o755})
	ns := v.NewNamespace(user, root.Superblock(), 0)
	k := New(Options{Platform: fakePlatform{}, Memory: mem, Table: testTable, VFS: v, UserNS: user, CPUs: 2})
	t.Cleanup(k.Close)

	c := cred.NewRoot(user)
	ctx := vfs.NewContext(c, ns)
	f, err := ctx.Open(vfs.Start{}, "/prog", unix.O_CREAT|unix.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	seq := usermem.Kernel(testELF())
	if _, err := f.Write(ctx, &seq, 0); err != nil {
		t.Fatal(err)
	}
	f.DecRef()
	all := k.RootNamespaces()
	tg, err := k.CreateProcess(&ProcessOptions{
		Argv: []string{"/prog"}, Cred: c, Limits: DefaultLimits(), MountNS: ns, FDs: vfs.NewFDTable(), Namespaces: &all,
	})
	if err != nil {
		t.Fatal(err)
	}
	task := tg.Leader()
	mapStack(t, task)
	return task
}

// testELF is a static program, which is never run.
func testELF() []byte {
	b := make([]byte, 4096)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 2)
	le.PutUint16(b[18:], unix.EM_X86_64)
	le.PutUint64(b[24:], 0x400000)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	p := b[64:]
	le.PutUint32(p[0:], 1)
	le.PutUint32(p[4:], 5)
	le.PutUint64(p[16:], 0x400000)
	le.PutUint64(p[32:], 4096)
	le.PutUint64(p[40:], 4096)
	le.PutUint64(p[48:], 4096)
	return b
}
