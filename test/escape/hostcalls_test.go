package escape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"casemate/sentry/syscalls"

	"golang.org/x/sys/unix"
)

// TestHostCalls reads the seccomp filters of a running sandbox's processes back from
// the host and compares the system calls that they let through with the lists in
// docs/design.md.
func TestHostCalls(t *testing.T) {
	runsc := command(t)
	bin := t.TempDir()
	must(t, os.Chmod(bin, 0o755))
	documented := documentedCalls(t)
	for _, p := range platforms() {
		s := start(t, runsc, p, "calls-"+p, bin, "", "/bin/sh", "-c", "echo ready; while :; do :; done")
		s.until(t, "ready", time.Minute)
		seen := map[string]string{}
		for _, pid := range processes(s.cmd.Process.Pid) {
			name := role(pid)
			switch name {
			case "":
				// Those of ptrace have a tracer: the filter can be seen in
				// platform/ptrace only.
				if p == "ptrace" {
					continue
				}
				name = "stub"
			case "boot":
				name = "sentry"
			}
			if name != "gofer" {
				name += ", " + p
			}
			calls, err := hostCalls(pid)
			if err == errDeaf && role(pid) == "" {
				continue
			}
			if err == unix.EIO || err == unix.EINVAL {
				t.Skip("this kernel does not show filters (CONFIG_CHECKPOINT_RESTORE)")
			}
			must(t, err)
			if was, ok := seen[name]; ok && was != calls {
				t.Errorf("two processes of kind %q differ: %s and %s", name, was, calls)
			}
			seen[name] = calls
		}
		s.kill()
		if want := 3; p == "systrap" && len(seen) != want || p != "systrap" && len(seen) != want-1 {
			t.Errorf("%s: seen %v", p, seen)
		}
		for name, calls := range seen {
			if documented[name] != calls {
				t.Errorf("docs/design.md does not say what the filter of the %s allows. It must be:\n%s: %s", name, name, calls)
			}
		}
	}
}

// documentedCalls returns the lists in docs/design.md: the lines "WHO: CALL ..." of
// the code block after the heading "Host calls", with their continuation lines.
func documentedCalls(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/design.md")
	must(t, err)
	_, section, ok := strings.Cut(string(text), "### Host calls\n")
	if !ok {
		t.Fatal("docs/design.md has no section on host calls")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	lists := map[string]string{}
	who := ""
	for line := range strings.Lines(section) {
		entry, indented := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if !indented {
			continue
		}
		if head, list, ok := strings.Cut(entry, ": "); ok && entry[0] != ' ' {
			who, entry = head, list
		}
		lists[who] = strings.TrimSpace(lists[who] + " " + strings.TrimSpace(entry))
	}
	return lists
}

// hostCalls returns the names of the calls that all filters of a process together may
// let through, in order; with a * if that depends on something other than the number.
func hostCalls(pid int) (string, error) {
	filters, err := filtersOf(pid)
	if err != nil {
		return "", err
	}
	var names []string
	for nr := range uint32(1024) {
		always, ever := true, true
		for _, f := range filters {
			actions := f.actions(nr)
			ever = ever && slices.Contains(actions, unix.SECCOMP_RET_ALLOW)
			always = always && len(actions) == 1
		}
		if !ever {
			continue
		}
		name := syscalls.Table().Name(uint64(nr))
		if !always {
			name += "*"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, " "), nil
}

// A program is a filter as bpf(4) has it.
type program []unix.SockFilter

// errDeaf says that a process waits in a system call and does not stop: a stub that
// waits for the sentry.
var errDeaf = errors.New("the process does not stop")

// filtersOf reads the filters of a process, which must not be traced.
func filtersOf(pid int) (all []program, err error) {
	type result struct {
		all []program
		err error
	}
	done := make(chan result)
	go func() {
		// The thread ends with the goroutine, and with it what it traces is free.
		runtime.LockOSThread()
		all, err := readFilters(pid)
		done <- result{all, err}
	}()
	r := <-done
	return r.all, r.err
}

func readFilters(pid int) (all []program, err error) {
	if err := unix.PtraceSeize(pid); err != nil {
		return nil, fmt.Errorf("process %d: PTRACE_SEIZE: %w", pid, err)
	}
	if err := unix.PtraceInterrupt(pid); err != nil {
		return nil, fmt.Errorf("process %d: PTRACE_INTERRUPT: %w", pid, err)
	}
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
		var ws unix.WaitStatus
		got, err := unix.Wait4(pid, &ws, unix.WALL|unix.WNOHANG, nil)
		if err != nil || got == pid && !ws.Stopped() {
			return nil, fmt.Errorf("process %d: wait status %#x, %v", pid, ws, err)
		}
		if got == pid {
			break
		}
		if time.Now().After(end) {
			return nil, errDeaf
		}
	}
	for i := range uintptr(8) {
		code, err := seccompFilter(pid, i)
		if err == unix.ENOENT && i > 0 {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var p program
		for ; len(code) >= 8; code = code[8:] {
			p = append(p, unix.SockFilter{Code: binary.NativeEndian.Uint16(code), Jt: code[2], Jf: code[3], K: binary.NativeEndian.Uint32(code[4:])})
		}
		all = append(all, p)
	}
	return all, nil
}

// actions returns what the filter may do with a native call of that number, whatever
// its arguments and wherever it comes from.
func (p program) actions(nr uint32) []uint32 {
	type state struct {
		pc    int
		known bool // whether the accumulator is
		a     uint32
	}
	const offNr, offArch = 0, 4
	seen := map[state]bool{}
	found := map[uint32]bool{}
	work := []state{{}}
	for len(work) > 0 {
		s := work[len(work)-1]
		work = work[:len(work)-1]
		if seen[s] || s.pc >= len(p) {
			continue
		}
		seen[s] = true
		in := p[s.pc]
		next := state{s.pc + 1, s.known, s.a}
		switch in.Code & 7 {
		case unix.BPF_RET:
			found[in.K&unix.SECCOMP_RET_ACTION_FULL] = true
			continue
		case unix.BPF_LD:
			next.known, next.a = true, nr
			switch in.K {
			case offNr:
			case offArch:
				next.a = unix.AUDIT_ARCH_X86_64
			default:
				next.known, next.a = false, 0
			}
		case unix.BPF_ALU:
			switch {
			case !s.known:
			case in.Code == unix.BPF_ALU|unix.BPF_AND|unix.BPF_K:
				next.a &= in.K
			default:
				next.known, next.a = false, 0
			}
		case unix.BPF_JMP:
			yes, no := next, next
			yes.pc += int(in.Jt)
			no.pc += int(in.Jf)
			holds := false
			switch in.Code &^ 7 {
			case unix.BPF_JA:
				next.pc += int(in.K)
				work = append(work, next)
				continue
			case unix.BPF_JEQ:
				holds = s.a == in.K
			case unix.BPF_JGE:
				holds = s.a >= in.K
			case unix.BPF_JGT:
				holds = s.a > in.K
			case unix.BPF_JSET:
				holds = s.a&in.K != 0
			}
			if !s.known || holds {
				work = append(work, yes)
			}
			if !s.known || !holds {
				work = append(work, no)
			}
			continue
		}
		work = append(work, next)
	}
	var list []uint32
	for a := range found {
		list = append(list, a)
	}
	return list
}
