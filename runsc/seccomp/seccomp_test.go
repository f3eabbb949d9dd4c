package seccomp

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// run interprets the filter for one call, with just the instructions that Compile
// makes.
func run(t *testing.T, prog []unix.SockFilter, arch uint32, nr uint32, args [6]uint64) uint32 {
	t.Helper()
	var acc uint32
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			switch {
			case in.K == offNr:
				acc = nr
			case in.K == offArch:
				acc = arch
			case in.K >= offArgs && in.K < offArgs+48 && in.K%4 == 0:
				v := args[(in.K-offArgs)/8]
				if in.K%8 == 4 {
					v >>= 32
				}
				acc = uint32(v)
			default:
				t.Fatalf("load of offset %d", in.K)
			}
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if acc == in.K {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		default:
			t.Fatalf("instruction %#x", in.Code)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

func TestCompile(t *testing.T) {
	rules := append(Allow(unix.SYS_READ, unix.SYS_WRITE),
		Rule{Nr: unix.SYS_IOCTL, Args: []Arg{{Index: 1, Value: 0x5401}}},
		Rule{Nr: unix.SYS_IOCTL, Args: []Arg{{Index: 1, Value: 0x5402}, {Index: 2, Value: 1 << 40, Mask: 0xff << 36}}},
		Rule{Nr: unix.SYS_CLONE, Args: []Arg{{Index: 0, Value: 0x10000, Mask: 0x10000}}})
	prog, err := Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	const native = unix.AUDIT_ARCH_X86_64
	for _, c := range []struct {
		arch, nr uint32
		args     [6]uint64
		want     uint32
	}{
		{native, unix.SYS_READ, [6]uint64{9, 9, 9}, unix.SECCOMP_RET_ALLOW},
		{native, unix.SYS_WRITE, [6]uint64{}, unix.SECCOMP_RET_ALLOW},
		{native, unix.SYS_OPENAT, [6]uint64{}, unix.SECCOMP_RET_TRAP},
		{unix.AUDIT_ARCH_I386, unix.SYS_READ, [6]uint64{}, unix.SECCOMP_RET_KILL_PROCESS},
		{native, unix.SYS_IOCTL, [6]uint64{0, 0x5401}, unix.SECCOMP_RET_ALLOW},
		{native, unix.SYS_IOCTL, [6]uint64{0, 0x15401}, unix.SECCOMP_RET_TRAP},
		{native, unix.SYS_IOCTL, [6]uint64{0, 1<<32 | 0x5401}, unix.SECCOMP_RET_TRAP},
		{native, unix.SYS_IOCTL, [6]uint64{0, 0x5402, 1<<40 | 7}, unix.SECCOMP_RET_ALLOW},
		{native, unix.SYS_IOCTL, [6]uint64{0, 0x5402, 1 << 41}, unix.SECCOMP_RET_TRAP},
		{native, unix.SYS_CLONE, [6]uint64{0x10100}, unix.SECCOMP_RET_ALLOW},
		{native, unix.SYS_CLONE, [6]uint64{0x100}, unix.SECCOMP_RET_TRAP},
	} {
		if got := run(t, prog, c.arch, c.nr, c.args); got != c.want {
			t.Errorf("call %d %#x: got %#x, want %#x", c.nr, c.args, got, c.want)
		}
	}
}

// TestInstall has a child process install a filter without socket(2) and call it.
func TestInstall(t *testing.T) {
	if os.Getenv("SECCOMP_TEST_CHILD") != "" {
		var all []uintptr
		for nr := uintptr(0); nr < 450; nr++ {
			if nr != unix.SYS_SOCKET {
				all = append(all, nr)
			}
		}
		if err := Install(Allow(all...)); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(3)
		}
		unix.Getppid()
		unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		os.Exit(4)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestInstall$")
	cmd.Env = append(os.Environ(), "SECCOMP_TEST_CHILD=1")
	out, err := cmd.CombinedOutput()
	exit, ok := err.(*exec.ExitError)
	if !ok {
		t.Fatalf("the child got past its filter: %v: %s", err, out)
	}
	if ws := exit.Sys().(syscall.WaitStatus); ws.ExitStatus() == 3 || ws.ExitStatus() == 4 {
		t.Fatalf("the child got past its filter: %v: %s", err, out)
	}
}

func TestRefuse(t *testing.T) {
	prog, err := Compile([]Rule{{Nr: unix.SYS_OPENAT, Refuse: unix.ENOENT}, {Nr: unix.SYS_READ}})
	if err != nil {
		t.Fatal(err)
	}
	for nr, want := range map[uint32]uint32{
		unix.SYS_OPENAT: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOENT), unix.SYS_READ: unix.SECCOMP_RET_ALLOW, unix.SYS_WRITE: unix.SECCOMP_RET_TRAP,
	} {
		if got := run(t, prog, unix.AUDIT_ARCH_X86_64, nr, [6]uint64{}); got != want {
			t.Errorf("call %d: %#x, want %#x", nr, got, want)
		}
	}
}
