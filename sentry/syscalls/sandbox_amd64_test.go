package syscalls

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/platform"
	"casemate/platform/memfile"
	"casemate/platform/ptrace"
	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/tmpfs"
	"casemate/vfs/usermem"
)

// A sandbox is a kernel on the ptrace platform with a tmpfs as its root.
type sandbox struct {
	t    *testing.T
	k    *kernel.Kernel
	vfs  *vfs.VFS
	ns   *vfs.MountNamespace
	ctx  *vfs.Context
	cred *cred.Credentials
}

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	table := Table()
	p, err := ptrace.Open(platform.Options{FullStateSyscalls: table.FullState(), Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	mem, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	user := cred.NewRootUserNamespace()
	s := &sandbox{t: t, vfs: vfs.New(user), cred: cred.NewRoot(user)}

	root := tmpfs.New(s.vfs, mem, tmpfs.Options{Mode: 0o755})
	s.ns = s.vfs.NewNamespace(user, root.Superblock(), 0)
	s.ctx = vfs.NewContext(s.cred, s.ns)
	s.k = kernel.New(kernel.Options{
		Platform: p, Memory: mem, Table: table, VFS: s.vfs, UserNS: user, Hostname: "sandbox",
		CPUs: runtime.NumCPU(), TotalMemory: 1 << 30, Log: t.Logf,
	})
	if os.Getenv("STRACE") != "" {
		s.k.SetStrace(func(line string) { os.Stderr.WriteString(line + "\n") })
	}
	t.Cleanup(func() {
		s.k.Close()
		if err := p.Close(); err != nil {
			t.Errorf("closing the platform: %v", err)
		}
	})
	return s
}

// write makes a file in the sandbox.
func (s *sandbox) write(name string, mode uint32, data []byte) {
	s.t.Helper()
	f, err := s.ctx.Open(vfs.Start{}, name, unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, mode)
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	defer f.DecRef()
	seq := usermem.Kernel(data)
	for seq.Len() > 0 {
		if _, err := f.Write(s.ctx, &seq, 0); err != nil {
			s.t.Fatalf("%s: %v", name, err)
		}
	}
}

// run runs a program to its end and returns what it wrote to its standard output
// and error.
func (s *sandbox) run(argv ...string) (kernel.WaitStatus, string) {
	s.t.Helper()
	fds := vfs.NewFDTable()
	r, w := s.k.Pipes().New(s.ctx, 0)
	defer r.DecRef()
	for fd := range 3 {
		w.IncRef()
		if _, err := fds.Add(w, int32(fd), false, 1024); err != nil {
			s.t.Fatal(err)
		}
	}
	w.DecRef()
	ns := s.k.RootNamespaces()
	var err error
	if ns.PIDForChildren, err = s.k.NewPIDNamespace(nil, s.k.UserNS()); err != nil {
		s.t.Fatal(err)
	}
	tg, err := s.k.CreateProcess(&kernel.ProcessOptions{
		Argv: argv, Envp: []string{"PATH=/bin", "HOME=/"}, Cred: s.cred, Limits: kernel.DefaultLimits(),
		MountNS: s.ns, Cwd: "/", Umask: 0o022, FDs: fds, Namespaces: &ns,
	})
	if err != nil {
		s.t.Fatalf("%v: %v", argv, err)
	}
	if err := tg.Start(); err != nil {
		s.t.Fatalf("starting %v: %v", argv, err)
	}
	var out bytes.Buffer
	drain := func() {
		var b [4096]byte
		for {
			seq := usermem.Kernel(b[:])
			n, err := r.Read(s.ctx, &seq, 0)
			if err != nil || n == 0 {
				return
			}
			out.Write(b[:n])
		}
	}
	deadline := time.After(60 * time.Second)
	for {
		select {
		case <-tg.Exited():
			drain()
			return tg.ExitStatus(), out.String()
		case <-time.After(10 * time.Millisecond):
			drain()
		case <-deadline:
			s.t.Fatalf("%v does not end; it wrote %q", argv, out.String())
		}
	}
}

// elf returns a static program of the given machine code.
func elf(code []byte) []byte {
	const base, header = 0x400000, 64 + 56
	b := make([]byte, header, header+len(code))
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 2)
	le.PutUint16(b[18:], uint16(unix.EM_X86_64))
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], base+header)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	p := b[64:]
	le.PutUint32(p[0:], 1)
	le.PutUint32(p[4:], 5)
	le.PutUint64(p[16:], base)
	le.PutUint64(p[24:], base)
	le.PutUint64(p[32:], uint64(header+len(code)))
	le.PutUint64(p[40:], uint64(header+len(code)))
	le.PutUint64(p[48:], 4096)
	return append(b, code...)
}

func TestExit(t *testing.T) {
	s := newSandbox(t)
	s.write("/exit", 0o755, elf([]byte{
		0xb8, 0x3c, 0, 0, 0, // mov $60,%eax: exit
		0xbf, 0x2a, 0, 0, 0, // mov $42,%edi
		0x0f, 0x05, // syscall
	}))
	if status, _ := s.run("/exit"); status != kernel.WaitExited(42) {
		t.Errorf("status %#x, want exit(42)", status)
	}
}

func TestFaultKills(t *testing.T) {
	s := newSandbox(t)
	s.write("/fault", 0o755, elf([]byte{
		0x31, 0xc0, // xor %eax,%eax
		0x8b, 0x00, // mov (%rax),%eax
	}))
	if status, _ := s.run("/fault"); status != kernel.WaitSignaled(int32(unix.SIGSEGV)) {
		t.Errorf("status %#x, want SIGSEGV", status)
	}
}

func TestForkWait(t *testing.T) {
	s := newSandbox(t)
	s.write("/fork", 0o755, elf([]byte{
		0xb8, 57, 0, 0, 0, // mov $57,%eax: fork
		0x0f, 0x05, // syscall
		0x85, 0xc0, // test %eax,%eax
		0x75, 0x0c, // jne parent
		0xb8, 60, 0, 0, 0, // mov $60,%eax: exit
		0xbf, 7, 0, 0, 0, // mov $7,%edi
		0x0f, 0x05, // syscall
		// parent:
		0xb8, 61, 0, 0, 0, // mov $61,%eax: wait4
		0xbf, 0xff, 0xff, 0xff, 0xff, // mov $-1,%edi
		0x48, 0x8d, 0x74, 0x24, 0xf8, // lea -8(%rsp),%rsi
		0x31, 0xd2, // xor %edx,%edx
		0x4d, 0x31, 0xd2, // xor %r10,%r10
		0x0f, 0x05, // syscall
		0x8b, 0x7c, 0x24, 0xf8, // mov -8(%rsp),%edi
		0xc1, 0xef, 0x08, // shr $8,%edi
		0xb8, 60, 0, 0, 0, // mov $60,%eax: exit
		0x0f, 0x05, // syscall
	}))
	if status, _ := s.run("/fork"); status != kernel.WaitExited(7) {
		t.Errorf("status %#x, want exit(7)", status)
	}
}

// busybox installs the host's static busybox; the test is skipped without one.
func (s *sandbox) busybox() {
	s.t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		s.t.Skip("no busybox on this host")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.ctx.Mkdir(vfs.Start{}, "/bin", 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.write("/bin/busybox", 0o755, data)
	if err := s.ctx.Mkdir(vfs.Start{}, "/dev", 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.write("/dev/null", 0o666, nil)
	for _, name := range []string{"sh", "echo", "cat", "ls", "sleep", "true", "false", "seq", "sort", "wc", "kill", "ps"} {
		if err := s.ctx.Symlink("busybox", vfs.Start{}, "/bin/"+name); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestBusybox(t *testing.T) {
	s := newSandbox(t)
	s.busybox()
	for _, c := range []struct {
		script, want string
		code         int32
	}{
		{"echo hello", "hello\n", 0},
		{"exit 3", "", 3},
		{"/bin/true && /bin/false; echo $?", "1\n", 0},
		{"seq 1 20000 | sort -n | wc -l", "20000\n", 0},
		{"echo a > /f; cat /f /f | wc -c", "4\n", 0},
		{"sleep 0.01 & wait $!; echo $?", "0\n", 0},
		{"trap 'echo usr1' USR1; kill -USR1 $$; echo after", "usr1\nafter\n", 0},
		{"sh -c 'kill -TERM $$; sleep 5'; echo $?", "Terminated\n143\n", 0},
		{"kill -TERM $$; echo init ignores it", "init ignores it\n", 0},
		// The shell says "Terminated" only if sleep still runs when it begins to wait.
		{"sh -c 'sleep 100 & kill $!; wait $!; echo $?' 2> /dev/null", "143\n", 0},
		{"sh -c 'kill -STOP $$; echo on' & sleep 0.05; kill -CONT $!; wait; echo end", "on\nend\n", 0},
		{"for i in 1 2 3 4 5 6 7 8; do /bin/busybox true & done; wait; echo done", "done\n", 0},
	} {
		status, out := s.run("/bin/sh", "-c", c.script)
		want := kernel.WaitExited(c.code)
		if status != want || strings.TrimSpace(out) != strings.TrimSpace(c.want) {
			t.Errorf("%q: status %#x, output %q; want %#x, %q", c.script, status, out, want, c.want)
		}
	}
}
