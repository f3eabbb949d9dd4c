package kernel

import (
	"testing"

	"golang.org/x/sys/unix"
)

func stmt(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func jump(code uint16, k uint32, jt, jf uint8) unix.SockFilter {
	return unix.SockFilter{Code: code, K: k, Jt: jt, Jf: jf}
}

func TestSeccompFilterCheck(t *testing.T) {
	allow := stmt(bpfRet|bpfK, seccompAllow)
	for _, c := range []struct {
		name string
		prog []unix.SockFilter
		ok   bool
	}{
		{"empty", nil, false},
		{"return", []unix.SockFilter{allow}, true},
		{"no return", []unix.SockFilter{stmt(bpfLd|bpfImm, 1)}, false},
		{"load beyond the data", []unix.SockFilter{stmt(bpfLd|bpfW|bpfAbs, 64), allow}, false},
		{"load unaligned", []unix.SockFilter{stmt(bpfLd|bpfW|bpfAbs, 2), allow}, false},
		{"load of bytes", []unix.SockFilter{stmt(bpfLd|bpfAbs|0x10, 0), allow}, false},
		{"jump out", []unix.SockFilter{stmt(bpfJmp|bpfJa, 1), allow}, false},
		{"jump around", []unix.SockFilter{stmt(bpfJmp|bpfJa, 0xffffffff), allow}, false},
		{"conditional jump out", []unix.SockFilter{jump(bpfJmp|bpfJeq|bpfK, 0, 0, 5), allow}, false},
		{"division by zero", []unix.SockFilter{stmt(bpfAlu|bpfDiv|bpfK, 0), allow}, false},
		{"shift too far", []unix.SockFilter{stmt(bpfAlu|bpfLsh|bpfK, 32), allow}, false},
		{"memory not written", []unix.SockFilter{stmt(bpfLd|bpfMem, 0), allow}, false},
		{"memory written on one way only", []unix.SockFilter{
			jump(bpfJmp|bpfJeq|bpfK, 0, 0, 1), stmt(bpfSt, 3), stmt(bpfLd|bpfMem, 3), allow}, false},
		{"memory written", []unix.SockFilter{stmt(bpfSt, 3), stmt(bpfLd|bpfMem, 3), allow}, true},
		{"memory beyond", []unix.SockFilter{stmt(bpfSt, 16), allow}, false},
	} {
		if _, err := NewSeccompFilter(c.prog, false); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := NewSeccompFilter(make([]unix.SockFilter, maxFilterInsns+1), false); err != unix.EINVAL {
		t.Errorf("too long: %v", err)
	}
}

// errnoFor is a filter that gives errno for one call and allows the others.
func errnoFor(t *testing.T, nr, errno uint32) *SeccompFilter {
	t.Helper()
	f, err := NewSeccompFilter([]unix.SockFilter{
		stmt(bpfLd|bpfW|bpfAbs, 0),
		jump(bpfJmp|bpfJeq|bpfK, nr, 0, 1),
		stmt(bpfRet|bpfK, seccompErrno|errno),
		stmt(bpfRet|bpfK, seccompAllow),
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSeccompArithmetic(t *testing.T) {
	// ((7 + 5) * 3 - 4) / 2 ^ 1 | 0x40 & 0x5f << 1 >> 1, negated: all operations.
	f, err := NewSeccompFilter([]unix.SockFilter{
		stmt(bpfLd|bpfImm, 7), stmt(bpfAlu|bpfAdd|bpfK, 5), stmt(bpfAlu|bpfMul|bpfK, 3),
		stmt(bpfAlu|bpfSub|bpfK, 4), stmt(bpfAlu|bpfDiv|bpfK, 2), stmt(bpfAlu|bpfXor|bpfK, 1),
		stmt(bpfAlu|bpfOr|bpfK, 0x40), stmt(bpfAlu|bpfAnd|bpfK, 0x5f), stmt(bpfAlu|bpfLsh|bpfK, 1),
		stmt(bpfAlu|bpfRsh|bpfK, 1), stmt(bpfMisc|bpfTax, 0), stmt(bpfAlu|bpfNeg, 0),
		stmt(bpfAlu|bpfAdd|bpfX, 0), stmt(bpfMisc|bpfTxa, 0), stmt(bpfRet|bpfA, 0),
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	var data [seccompDataSize]byte
	if got := f.run(&data); got != (((7+5)*3-4)/2^1|0x40)&0x5f {
		t.Errorf("result %#x", got)
	}
}

func TestSeccompDivisionByZeroKills(t *testing.T) {
	f, err := NewSeccompFilter([]unix.SockFilter{
		stmt(bpfLd|bpfImm, seccompAllow), stmt(bpfAlu|bpfDiv|bpfX, 0), stmt(bpfRet|bpfA, 0)}, false)
	if err != nil {
		t.Fatal(err)
	}
	var data [seccompDataSize]byte
	if got := f.run(&data); got != 0 {
		t.Errorf("result %#x, want 0", got)
	}
}

// TestSeccompAlways has a filter that looks at an argument of some calls.
func TestSeccompAlways(t *testing.T) {
	f, err := NewSeccompFilter([]unix.SockFilter{
		stmt(bpfLd|bpfW|bpfAbs, 4),
		jump(bpfJmp|bpfJeq|bpfK, auditArch, 1, 0),
		stmt(bpfRet|bpfK, seccompKillProcess),
		stmt(bpfLd|bpfW|bpfAbs, 0),
		jump(bpfJmp|bpfJeq|bpfK, 10, 0, 1),
		stmt(bpfRet|bpfK, seccompErrno|1),
		jump(bpfJmp|bpfJeq|bpfK, 11, 0, 3),
		stmt(bpfLd|bpfW|bpfAbs, 16),
		jump(bpfJmp|bpfJeq|bpfK, 0, 1, 0),
		stmt(bpfRet|bpfK, seccompErrno|1),
		stmt(bpfRet|bpfK, seccompAllow),
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	for nr := range uint64(MaxSyscall + 10) {
		if got, want := f.always.has(nr), nr != 10 && nr != 11 && nr < MaxSyscall; got != want {
			t.Errorf("call %d: %v", nr, got)
		}
	}
	n := (*seccompState)(nil).with(f)
	if n = n.with(f); n.always != f.always || len(n.filters) != 2 {
		t.Errorf("two filters: %d, %v", len(n.filters), n.always)
	}
}
