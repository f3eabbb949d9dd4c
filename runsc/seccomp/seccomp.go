// Package seccomp builds and installs the system call filters of runsc's own
// processes, the sentry and the gofer (seccomp(2)).
package seccomp

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// A Rule allows a system call. With Args it allows it only if all of them hold;
// several rules of one number are alternatives.
type Rule struct {
	Nr   uintptr
	Args []Arg
	// Refuse has the call, whatever its arguments, fail with this error instead. It must be
	// the number's only rule.
	Refuse unix.Errno
}

// An Arg says that argument Index (0 to 5), under Mask, equals Value. Mask 0
// stands for all bits.
type Arg struct {
	Index       int
	Value, Mask uint64
}

// Allow returns rules that allow the calls whatever their arguments.
func Allow(nrs ...uintptr) []Rule {
	rules := make([]Rule, len(nrs))
	for i, nr := range nrs {
		rules[i].Nr = nr
	}
	return rules
}

// Offsets in struct seccomp_data.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

func load(off uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
}

func ret(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

// jumpEqual goes on with the next instruction if the accumulator is k, else skips
// that many.
func jumpEqual(k uint32, skip int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: uint8(skip), K: k}
}

// check returns the instructions that compare one half of an argument and, on a
// mismatch, skip what follows in the rule, whose length is rest.
func check(off, value, mask uint32, rest int) []unix.SockFilter {
	if mask == 0 {
		return nil
	}
	code := []unix.SockFilter{load(off)}
	if mask != ^uint32(0) {
		code = append(code, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask})
	}
	return append(code, jumpEqual(value&mask, rest))
}

// alternative returns the instructions of a rule after its number has matched:
// they return or fall through to what follows.
func alternative(args []Arg) []unix.SockFilter {
	code := []unix.SockFilter{ret(unix.SECCOMP_RET_ALLOW)}
	for i := len(args) - 1; i >= 0; i-- {
		a := args[i]
		mask := a.Mask
		if mask == 0 {
			mask = ^uint64(0)
		}
		off := uint32(offArgs + 8*a.Index)
		code = append(check(off+4, uint32(a.Value>>32), uint32(mask>>32), len(code)), code...)
		code = append(check(off, uint32(a.Value), uint32(mask), len(code)), code...)
	}
	return code
}

// Compile translates rules into a filter that ends any other call by a SIGSYS,
// which no program of ours survives. Rules that come first are reached first.
func Compile(rules []Rule) ([]unix.SockFilter, error) {
	arch := uint32(unix.AUDIT_ARCH_X86_64)
	if runtime.GOARCH == "arm64" {
		arch = unix.AUDIT_ARCH_AARCH64
	}
	prog := []unix.SockFilter{
		load(offArch),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: arch},
		ret(unix.SECCOMP_RET_KILL_PROCESS),
		load(offNr),
	}
	byNr := map[uintptr][]Rule{}
	var order []uintptr
	for _, r := range rules {
		if _, ok := byNr[r.Nr]; !ok {
			order = append(order, r.Nr)
		}
		byNr[r.Nr] = append(byNr[r.Nr], r)
	}
	for _, nr := range order {
		var body []unix.SockFilter
		for _, r := range byNr[nr] {
			if r.Refuse != 0 {
				body = append(body, ret(unix.SECCOMP_RET_ERRNO|uint32(r.Refuse)))
				continue
			}
			body = append(body, alternative(r.Args)...)
		}
		// Where no alternative holds; never reached if one has no conditions.
		body = append(body, ret(unix.SECCOMP_RET_TRAP))
		if len(body) > 255 {
			return nil, fmt.Errorf("seccomp: too many rules for system call %d", nr)
		}
		prog = append(prog, jumpEqual(uint32(nr), len(body)))
		prog = append(prog, body...)
	}
	prog = append(prog, ret(unix.SECCOMP_RET_TRAP))
	if len(prog) > unix.BPF_MAXINSNS {
		return nil, errors.New("seccomp: the filter is too long")
	}
	return prog, nil
}
