// Package profile translates the seccomp profile of an OCI configuration (runtime-spec,
// config-linux.md "Seccomp") into a filter program, as libseccomp would.
package profile

import (
	"errors"
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Compile returns the program of a profile. number finds a system call by its name; calls
// that do not exist are left out, as runc does. The program takes the architecture for
// granted: there is one in a sandbox.
func Compile(p *specs.LinuxSeccomp, number func(name string) (nr uint32, ok bool)) ([]unix.SockFilter, error) {
	def, err := action(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	calls := map[uint32]*call{}
	last := uint32(0)
	for i := range p.Syscalls {
		s := &p.Syscalls[i]
		act, err := action(s.Action, s.ErrnoRet)
		if err != nil {
			return nil, err
		}
		tests, err := conditions(s.Args)
		if err != nil {
			return nil, fmt.Errorf("seccomp: %v: %w", s.Names, err)
		}
		for _, name := range s.Names {
			nr, ok := number(name)
			if !ok {
				continue
			}
			last = max(last, nr)
			if act == def {
				continue // a rule that changes nothing
			}
			c := calls[nr]
			if c == nil {
				c = &call{}
				calls[nr] = c
			}
			c.add(act, tests)
		}
	}
	c := compiler{calls: calls, def: def, beyond: def}
	if def&unix.SECCOMP_RET_ACTION_FULL == unix.SECCOMP_RET_ERRNO && last > 0 {
		// A call that is newer than the profile does not exist for the container, so that
		// programs fall back to older ones (runc does so too).
		c.beyond = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	}
	c.last = last
	return c.program(), nil
}

// errNotify says why there is no SCMP_ACT_NOTIFY: linux.seccomp.listenerPath would have to get a
// descriptor by which an agent of the host answers calls of processes of the host.
var errNotify = errors.New("seccomp: SCMP_ACT_NOTIFY is not supported: the system calls of a sandbox do not reach the host, and no agent of it could see them")

// action is the value that the program returns for an action.
func action(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errno != nil {
		data = uint32(*errno) & unix.SECCOMP_RET_DATA
	}
	switch a {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data, nil
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	}
	if a == specs.ActNotify {
		return 0, errNotify
	}
	return 0, fmt.Errorf("seccomp: the action %q is not supported", a)
}

// A call is what is to be done with one system call: the first of the rules that holds, or
// always.
type call struct {
	rules  []rule
	always *uint32
}

type rule struct {
	action uint32
	tests  []specs.LinuxSeccompArg
}

func (c *call) add(action uint32, alternatives [][]specs.LinuxSeccompArg) {
	if len(alternatives) == 0 {
		if c.always == nil {
			c.always = &action
		}
		return
	}
	for _, tests := range alternatives {
		c.rules = append(c.rules, rule{action, tests})
	}
}

// maxArgs is how many arguments a system call has.
const maxArgs = 6

// conditions are the alternatives under which a rule holds. Conditions on one argument are
// alternatives, those on several must all hold (runc's reading of the specification).
func conditions(args []specs.LinuxSeccompArg) ([][]specs.LinuxSeccompArg, error) {
	var seen [maxArgs]bool
	twice := false
	for _, a := range args {
		if a.Index >= maxArgs {
			return nil, fmt.Errorf("there is no argument %d", a.Index)
		}
		if _, known := operators[a.Op]; !known {
			return nil, fmt.Errorf("unknown operator %q", a.Op)
		}
		twice = twice || seen[a.Index]
		seen[a.Index] = true
	}
	if len(args) == 0 {
		return nil, nil
	}
	if !twice {
		return [][]specs.LinuxSeccompArg{args}, nil
	}
	var each [][]specs.LinuxSeccompArg
	for _, a := range args {
		each = append(each, []specs.LinuxSeccompArg{a})
	}
	return each, nil
}

type compiler struct {
	calls  map[uint32]*call
	def    uint32
	last   uint32 // the last number that the profile knows
	beyond uint32 // for those after it
}

// A span is a range of numbers, up to the next span's first, that are treated alike.
type span struct {
	first uint32
	code  []unix.SockFilter
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func ret(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

func jump(test uint16, k uint32, yes, no int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, K: k, Jt: uint8(yes), Jf: uint8(no)}
}

// program is a binary search for the number in spans.
func (c *compiler) program() []unix.SockFilter {
	var spans []span
	for nr := range c.last + 1 {
		code := c.body(nr)
		if n := len(spans); n > 0 && slices.Equal(spans[n-1].code, code) {
			continue
		}
		spans = append(spans, span{nr, code})
	}
	spans = append(spans, span{c.last + 1, []unix.SockFilter{ret(c.beyond)}})
	return append([]unix.SockFilter{load(0)}, search(spans)...)
}

func search(spans []span) []unix.SockFilter {
	if len(spans) == 1 {
		return spans[0].code
	}
	half := len(spans) / 2
	low, high := search(spans[:half]), search(spans[half:])
	code := []unix.SockFilter{
		jump(unix.BPF_JGE, spans[half].first, 0, 1),
		{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(low))},
	}
	return slices.Concat(code, low, high)
}

// body decides about one call.
func (c *compiler) body(nr uint32) []unix.SockFilter {
	known := c.calls[nr]
	if known == nil {
		return []unix.SockFilter{ret(c.def)}
	}
	if known.always != nil {
		return []unix.SockFilter{ret(*known.always)}
	}
	var code []unix.SockFilter
	for _, r := range known.rules {
		code = append(code, r.compile()...)
	}
	return append(code, ret(c.def))
}

// compile returns the rule's action, or goes on behind its end.
func (r *rule) compile() []unix.SockFilter {
	code := []unix.SockFilter{ret(r.action)}
	for _, t := range slices.Backward(r.tests) {
		code = append(operators[t.Op](t, len(code)), code...)
	}
	return code
}

// operators make a test of a 64-bit argument, which skips the next instructions if it fails.
var operators = map[specs.LinuxSeccompOperator]func(t specs.LinuxSeccompArg, skip int) []unix.SockFilter{
	specs.OpEqualTo: func(t specs.LinuxSeccompArg, skip int) []unix.SockFilter {
		return equal(t.Index, t.Value, ^uint64(0), skip)
	},
	specs.OpMaskedEqual: func(t specs.LinuxSeccompArg, skip int) []unix.SockFilter {
		return equal(t.Index, t.ValueTwo, t.Value, skip)
	},
	specs.OpNotEqual: func(t specs.LinuxSeccompArg, skip int) []unix.SockFilter {
		return []unix.SockFilter{
			load(high(t.Index)), jump(unix.BPF_JEQ, uint32(t.Value>>32), 0, 2),
			load(low(t.Index)), jump(unix.BPF_JEQ, uint32(t.Value), skip, 0),
		}
	},
	specs.OpGreaterThan:  func(t specs.LinuxSeccompArg, skip int) []unix.SockFilter { return compare(t, unix.BPF_JGT, skip, true) },
	specs.OpGreaterEqual: func(t specs.LinuxSeccompArg, skip int) []unix.SockFilter { return compare(t, unix.BPF_JGE, skip, true) },
	specs.OpLessThan: func(t specs.LinuxSeccompArg, skip int) []unix.SockFilter {
		return compare(t, unix.BPF_JGE, skip, false)
	},
	specs.OpLessEqual: func(t specs.LinuxSeccompArg, skip int) []unix.SockFilter {
		return compare(t, unix.BPF_JGT, skip, false)
	},
}

// The halves of an argument in struct seccomp_data.
func low(i uint) uint32  { return uint32(16 + 8*i) }
func high(i uint) uint32 { return low(i) + 4 }

// equal goes on if the argument's bits under mask are value.
func equal(i uint, value, mask uint64, skip int) []unix.SockFilter {
	and := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: k}
	}
	return []unix.SockFilter{
		load(high(i)), and(uint32(mask >> 32)), jump(unix.BPF_JEQ, uint32(value>>32), 0, skip+3),
		load(low(i)), and(uint32(mask)), jump(unix.BPF_JEQ, uint32(value), 0, skip),
	}
}

// compare goes on if the argument compares with the value as op says, or not with it.
func compare(t specs.LinuxSeccompArg, op uint16, skip int, holds bool) []unix.SockFilter {
	h := uint32(t.Value >> 32)
	yes, no := 0, skip // of the last test
	if !holds {
		yes, no = skip, 0
	}
	return []unix.SockFilter{
		load(high(t.Index)),
		jump(unix.BPF_JGT, h, yes+3, 0), // greater for sure
		jump(unix.BPF_JEQ, h, 0, no+2),  // less for sure
		load(low(t.Index)),
		jump(op, uint32(t.Value), yes, no),
	}
}
