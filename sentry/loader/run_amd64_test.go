package loader

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"casemate/platform"
	"casemate/platform/memfile"
	"casemate/platform/ptrace"
	"casemate/sentry/mm"
	"casemate/sentry/vdso"
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// mappedFile is a file of the host that can be mapped: File, mm.File and
// vfs.Mappable.
type mappedFile struct {
	f    *os.File
	size uint64
}

func openMapped(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unix.ENOENT
	}
	i, err := f.Stat()
	if err != nil {
		return nil, unix.EIO
	}
	return &mappedFile{f, uint64(i.Size()+4095) &^ 4095}, nil
}

func (f *mappedFile) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// The descriptor stays open until the test's process ends.
func (f *mappedFile) IncRef() {}
func (f *mappedFile) DecRef() {}

func (f *mappedFile) BeingWritten() bool { return false }

func (f *mappedFile) Translate(off, length uint64, _ bool) (vfs.Backing, error) {
	if off >= f.size {
		return vfs.Backing{}, unix.EIO
	}
	return vfs.Backing{FD: int(f.f.Fd()), Offset: off, Length: min(length, f.size-off)}, nil
}

func (f *mappedFile) AddMapping(vfs.MappingSpace, uint64, uint64, uint64, bool) error { return nil }
func (f *mappedFile) RemoveMapping(vfs.MappingSpace, uint64, uint64, uint64, bool)    {}

// process is a program with the few system calls that a C library makes. It
// implements Memory and platform.Handler.
type process struct {
	*testing.T
	*mm.View
	m      *mm.MemoryManager
	vdso   *vdso.Object
	c      platform.Context
	files  []*mappedFile
	out    bytes.Buffer
	clocks atomic.Int32
	status chan int
}

func (p *process) Map(g Mapping) (uint64, error) {
	o := mm.MapOptions{Addr: g.Addr, Length: g.Length, Prot: g.Prot, Flags: g.Flags, Offset: g.Offset,
		MaxProt: unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC, Limits: mm.NoLimits}
	if g.File != nil {
		f := g.File.(*mappedFile)
		o.File, o.Mappable = f, f
	}
	return p.m.Map(p.c, o)
}

func (p *process) Unmap(addr, length uint64) error { return p.m.Unmap(p.c, addr, length) }
func (p *process) MapVDSO() (uint64, error)        { return p.vdso.Map(p.m) }

func (p *process) HandleDeath(platform.Context) { p.status <- -1 }

func (p *process) HandleKill(platform.Context) {}

func (p *process) HandleInterrupt(platform.Context) platform.Disposition { return platform.Resume }

func (p *process) HandleFault(c platform.Context, f platform.Fault) platform.Disposition {
	if f.Access && p.m.HandleFault(c, f) == nil {
		return platform.Resume
	}
	p.Errorf("fault %+v at %#x", f, c.State().IP())
	p.status <- -1
	return platform.Exit
}

func (p *process) HandleSyscall(c platform.Context) platform.Disposition {
	st := c.State()
	nr, a := st.Syscall()
	v, err := uint64(0), error(nil)
	switch nr {
	case unix.SYS_EXIT, unix.SYS_EXIT_GROUP:
		p.status <- int(a[0])
		return platform.Exit
	case unix.SYS_WRITE, unix.SYS_READ, unix.SYS_PREAD64:
		b := make([]byte, a[2])
		switch nr {
		case unix.SYS_WRITE:
			_, err = p.CopyIn(b, a[1])
			p.out.Write(b)
			v = a[2]
		case unix.SYS_READ:
			var n int
			n, _ = p.files[a[0]-100].f.Read(b)
			_, err = p.CopyOut(a[1], b[:n])
			v = uint64(n)
		default:
			var n int
			n, _ = p.files[a[0]-100].f.ReadAt(b, int64(a[3]))
			_, err = p.CopyOut(a[1], b[:n])
			v = uint64(n)
		}
	case unix.SYS_OPENAT:
		var path string
		if path, err = p.CopyInString(a[1], 4096); err == nil {
			var f File
			if f, err = openMapped(path); err == nil {
				p.files = append(p.files, f.(*mappedFile))
				v = uint64(99 + len(p.files))
			}
		}
	case unix.SYS_NEWFSTATAT: // with AT_EMPTY_PATH, as ld.so and stdio do
		var status unix.Stat_t
		if a[0] >= 100 {
			err = unix.Fstat(int(p.files[a[0]-100].f.Fd()), &status)
		}
		b, _ := binary.Append(nil, binary.LittleEndian, &status)
		if err == nil {
			_, err = p.CopyOut(a[2], b)
		}
	case unix.SYS_BRK:
		v = p.m.Brk(c, a[0], mm.NoLimits)
	case unix.SYS_MMAP:
		g := Mapping{Addr: a[0], Length: (a[1] + 4095) &^ 4095, Prot: int(a[2]), Flags: int(a[3]), Offset: a[5]}
		if g.Flags&unix.MAP_ANONYMOUS == 0 {
			g.File = p.files[a[4]-100]
		}
		v, err = p.Map(g)
	case unix.SYS_MUNMAP:
		err = p.m.Unmap(c, a[0], a[1])
	case unix.SYS_MPROTECT:
		err = p.m.Protect(c, a[0], a[1], int(a[2]), mm.NoLimits)
	case unix.SYS_ARCH_PRCTL:
		const setFS = 0x1002
		if a[0] != setFS {
			err = unix.EINVAL
			break
		}
		st.SetTLS(a[1])
	case unix.SYS_SET_TID_ADDRESS:
		v = 1
	case unix.SYS_CLOSE, unix.SYS_SET_ROBUST_LIST:
	case unix.SYS_CLOCK_GETTIME:
		p.clocks.Add(1)
		var ns int64
		if ns, err = p.vdso.Now(int32(a[0])); err == nil {
			ts := unix.NsecToTimespec(ns)
			b, _ := binary.Append(nil, binary.LittleEndian, &ts)
			_, err = p.CopyOut(a[1], b)
		}
	default:
		err = unix.ENOSYS
	}
	if err != nil {
		v = uint64(-int64(err.(unix.Errno)))
	}
	st.SetReturn(v)
	return platform.Resume
}

// TestRunPrograms runs programs on the ptrace platform, in memory of the memory
// manager, with the sandbox's vDSO.
func TestRunPrograms(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	pl, err := ptrace.Open(platform.Options{Log: t.Logf, FullStateSyscalls: []uintptr{unix.SYS_ARCH_PRCTL}})
	if err != nil {
		t.Fatal(err)
	}
	defer pl.Close()
	mf, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	defer mf.Close()
	object, err := vdso.New(mf, vdso.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{{"-static"}, {"-static-pie"}, {"-no-pie"}, {"-pie"}, {"-pie", "-z", "execstack"}} {
		path := filepath.Join(t.TempDir(), "program")
		args := append([]string{"-O1", "-o", path, "testdata/program.c"}, flags...)
		if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
			t.Fatalf("cc: %v\n%s", err, out)
		}
		script := write(t, t.TempDir(), "script", []byte("#!"+path+" one two\n"))

		f, err := openMapped(script)
		if err != nil {
			t.Fatal(err)
		}
		prog, err := Open(f, script, []string{"zero", "three"}, []string{"A=b"}, 8<<20, openMapped)
		if err != nil {
			t.Fatal(err)
		}
		lo, hi := pl.UserRange()
		seed := uint64(time.Now().UnixNano())
		layout := mm.NewLayout(lo, hi, 8<<20, func() uint64 { seed = seed*6364136223846793005 + 1442695040888963407; return seed })
		m, err := mm.New(pl, mf, layout)
		if err != nil {
			t.Fatal(err)
		}
		p := &process{T: t, View: m.ForContext(nil), m: m, vdso: object, status: make(chan int, 2)}
		im, err := prog.Load(p, Options{Min: layout.Min, Max: layout.Max, StackTop: layout.StackTop,
			PIEBase: layout.PIEBase, BrkOffset: layout.BrkOffset, StackLimit: 8 << 20, StackRandom: seed, UID: 5})
		if err != nil {
			t.Fatal(err)
		}
		m.SetBrkStart(im.BrkStart)
		m.SetStackStart(im.SP)
		p.c = pl.NewContext(p)
		p.c.State().SetIP(im.Entry)
		p.c.State().SetSP(im.SP)
		if err := p.c.Start(m.AddressSpace()); err != nil {
			t.Fatal(err)
		}
		select {
		case status := <-p.status:
			if status != 42 {
				t.Errorf("%v: status %d", flags, status)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%v: no end", flags)
		}
		want := "argv[0]=" + path + "\nargv[1]=one two\nargv[2]=" + script + "\nargv[3]=three\nenv A=b\n" +
			"execfn " + script + " platform x86_64 secure 0 uid 5\n"
		if got := p.out.String(); got != want {
			t.Errorf("%v: printed\n%s\nwant\n%s", flags, got, want)
		}
		if n := p.clocks.Load(); n > 500 {
			t.Errorf("%v: %d system calls for the time of 2000 readings", flags, n)
		}
		m.DecUsers()
	}
}
