package profile

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// eval runs a program on a call.
func eval(t *testing.T, prog []unix.SockFilter, nr uint32, args ...uint64) uint32 {
	t.Helper()
	var a uint32
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		hop := func(holds bool) {
			if holds {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			if in.K == 0 {
				a = nr
				continue
			}
			i := (in.K - 16) / 8
			v := uint64(0)
			if int(i) < len(args) {
				v = args[i]
			}
			a = uint32(v >> (8 * ((in.K - 16) % 8)))
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JEQ:
			hop(a == in.K)
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JGT:
			hop(a > in.K)
		case unix.BPF_JMP | unix.BPF_K | unix.BPF_JGE:
			hop(a >= in.K)
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		default:
			t.Fatalf("instruction %#x", in.Code)
		}
	}
	t.Fatal("the program has no end")
	return 0
}

var numbers = map[string]uint32{"read": 0, "write": 1, "open": 2, "close": 3, "clone": 56, "mkdir": 83, "clone3": 435}

func number(name string) (uint32, bool) {
	nr, ok := numbers[name]
	return nr, ok
}

const (
	allow = uint32(unix.SECCOMP_RET_ALLOW)
	eperm = uint32(unix.SECCOMP_RET_ERRNO | 1)
)

func ptr[T any](v T) *T { return &v }

func compile(t *testing.T, p *specs.LinuxSeccomp) []unix.SockFilter {
	t.Helper()
	prog, err := Compile(p, number)
	if err != nil {
		t.Fatal(err)
	}
	return prog
}

func TestAllowList(t *testing.T) {
	prog := compile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"read", "write", "nothing", "close"}, Action: specs.ActAllow},
		{Names: []string{"clone"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 0x7e020000, ValueTwo: 0, Op: specs.OpMaskedEqual}}},
		{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(unix.ENOSYS))},
	}})
	enosys := uint32(unix.SECCOMP_RET_ERRNO | 38)
	for _, c := range []struct {
		nr   uint32
		arg  uint64
		want uint32
	}{
		{0, 0, allow}, {1, 9, allow}, {2, 0, eperm}, {3, 0, allow}, {4, 0, eperm}, {56, 17, allow}, {56, 0x10000000, eperm},
		{56, 1 << 40, allow}, {55, 0, eperm}, {57, 0, eperm}, {434, 0, eperm}, {435, 0, enosys}, {436, 0, enosys}, {1 << 30, 0, enosys},
	} {
		if got := eval(t, prog, c.nr, c.arg); got != c.want {
			t.Errorf("call %d(%#x): %#x, want %#x", c.nr, c.arg, got, c.want)
		}
	}
}

func TestOperators(t *testing.T) {
	values := []uint64{0, 1, 2, 5, 1<<32 - 1, 1 << 32, 1<<32 + 1, 5 << 32, 5<<32 + 5, ^uint64(0) - 1, ^uint64(0)}
	for op, holds := range map[specs.LinuxSeccompOperator]func(a, v uint64) bool{
		specs.OpEqualTo:      func(a, v uint64) bool { return a == v },
		specs.OpNotEqual:     func(a, v uint64) bool { return a != v },
		specs.OpLessThan:     func(a, v uint64) bool { return a < v },
		specs.OpLessEqual:    func(a, v uint64) bool { return a <= v },
		specs.OpGreaterThan:  func(a, v uint64) bool { return a > v },
		specs.OpGreaterEqual: func(a, v uint64) bool { return a >= v },
		specs.OpMaskedEqual:  func(a, v uint64) bool { return a&v == 5 },
	} {
		for _, v := range values {
			prog := compile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
				Names: []string{"mkdir"}, Action: specs.ActErrno,
				Args: []specs.LinuxSeccompArg{{Index: 1, Value: v, ValueTwo: 5, Op: op}, {Index: 0, Value: 7, Op: specs.OpEqualTo}},
			}}})
			for _, a := range values {
				want := allow
				if holds(a, v) {
					want = eperm
				}
				if got := eval(t, prog, 83, 7, a); got != want {
					t.Errorf("%#x %s %#x: %#x, want %#x", a, op, v, got, want)
				}
				if got := eval(t, prog, 83, 8, a); got != allow {
					t.Errorf("the other condition does not count for %#x %s %#x: %#x", a, op, v, got)
				}
			}
		}
	}
}

// Conditions on one argument are alternatives.
func TestAlternatives(t *testing.T) {
	prog := compile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActKill, Syscalls: []specs.LinuxSyscall{{
		Names: []string{"open"}, Action: specs.ActAllow,
		Args: []specs.LinuxSeccompArg{{Index: 0, Value: 1, Op: specs.OpEqualTo}, {Index: 0, Value: 3, Op: specs.OpEqualTo}},
	}}})
	for arg, want := range map[uint64]uint32{1: allow, 3: allow, 2: 0} {
		if got := eval(t, prog, 2, arg); got != want {
			t.Errorf("open(%d): %#x, want %#x", arg, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, p := range map[string]*specs.LinuxSeccomp{
		"default action": {DefaultAction: "SCMP_ACT_NOTHING"},
		"notify":         {DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActNotify}}},
		"operator":       {DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Op: "x"}}}}},
		"argument":       {DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}}}}},
	} {
		if _, err := Compile(p, number); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
