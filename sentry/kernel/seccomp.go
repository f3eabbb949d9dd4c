package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A seccompState is what seccomp(2) has installed for a task. It does not change;
// another filter makes another state.
type seccompState struct {
	strict  bool
	filters []*SeccompFilter // the newest first
	insns   int              // of all filters, with 4 more for each
	always  syscallSet       // calls that all filters always allow
}

// with returns the state that has one more filter; s may be nil.
func (s *seccompState) with(f *SeccompFilter) *seccompState {
	if s == nil {
		return &seccompState{filters: []*SeccompFilter{f}, insns: len(f.prog) + 4, always: f.always}
	}
	return &seccompState{
		filters: append([]*SeccompFilter{f}, s.filters...), insns: s.insns + len(f.prog) + 4, always: s.always.and(&f.always),
	}
}

// A SeccompFilter is a BPF program that has been checked.
type SeccompFilter struct {
	prog   []unix.SockFilter
	log    bool
	always syscallSet // calls that it allows whatever their arguments are
}

const (
	// maxFilterInsns is BPF_MAXINSNS.
	maxFilterInsns = 4096
	// maxPathInsns limits all filters of a task together (MAX_INSNS_PER_PATH).
	maxPathInsns = 32768
	// seccompDataSize is the size of struct seccomp_data.
	seccompDataSize = 64
)

// Actions of a filter, seccomp(2), and their data.
const (
	seccompKillProcess = 0x80000000
	seccompKillThread  = 0
	seccompTrap        = 0x00030000
	seccompErrno       = 0x00050000
	seccompNotif       = 0x7fc00000
	seccompTrace       = 0x7ff00000
	seccompLog         = 0x7ffc0000
	seccompAllow       = 0x7fff0000
	seccompAction      = 0xffff0000
	seccompData        = 0x0000ffff
)

// SeccompActionKnown reports whether a filter may return action
// (SECCOMP_GET_ACTION_AVAIL).
func SeccompActionKnown(action uint32) bool {
	switch action {
	case seccompKillProcess, seccompKillThread, seccompTrap, seccompErrno, seccompTrace, seccompLog, seccompAllow:
		return true
	}
	return false
}

// NewSeccompFilter checks a program as Linux does (net/core/filter.c's rules for
// classic BPF and those of seccomp): EINVAL.
func NewSeccompFilter(prog []unix.SockFilter, log bool) (*SeccompFilter, error) {
	n := uint32(len(prog))
	if n == 0 || n > maxFilterInsns {
		return nil, unix.EINVAL
	}
	// written[i] has the memory words that have been written on every way to i.
	written := make([]uint16, n)
	for i := range written {
		written[i] = 0xffff
	}
	have := uint16(0)
	for i := range n {
		have &= written[i]
		in := &prog[i]
		jump := func(by uint32) bool {
			if by >= n-i-1 {
				return false
			}
			written[i+1+by] &= have
			return true
		}
		switch in.Code {
		case bpfLd | bpfW | bpfAbs:
			if in.K&3 != 0 || in.K >= seccompDataSize {
				return nil, unix.EINVAL
			}
		case bpfLd | bpfW | bpfLen, bpfLdx | bpfW | bpfLen, bpfLd | bpfImm, bpfLdx | bpfImm,
			bpfMisc | bpfTax, bpfMisc | bpfTxa, bpfRet | bpfK, bpfRet | bpfA,
			bpfAlu | bpfAdd | bpfK, bpfAlu | bpfAdd | bpfX, bpfAlu | bpfSub | bpfK, bpfAlu | bpfSub | bpfX,
			bpfAlu | bpfMul | bpfK, bpfAlu | bpfMul | bpfX, bpfAlu | bpfDiv | bpfX,
			bpfAlu | bpfAnd | bpfK, bpfAlu | bpfAnd | bpfX, bpfAlu | bpfOr | bpfK, bpfAlu | bpfOr | bpfX,
			bpfAlu | bpfXor | bpfK, bpfAlu | bpfXor | bpfX, bpfAlu | bpfLsh | bpfX, bpfAlu | bpfRsh | bpfX,
			bpfAlu | bpfNeg:
		case bpfAlu | bpfDiv | bpfK:
			if in.K == 0 {
				return nil, unix.EINVAL
			}
		case bpfAlu | bpfLsh | bpfK, bpfAlu | bpfRsh | bpfK:
			if in.K >= 32 {
				return nil, unix.EINVAL
			}
		case bpfSt, bpfStx:
			if in.K >= bpfMemWords {
				return nil, unix.EINVAL
			}
			have |= 1 << in.K
		case bpfLd | bpfMem, bpfLdx | bpfMem:
			if in.K >= bpfMemWords || have&(1<<in.K) == 0 {
				return nil, unix.EINVAL
			}
		case bpfJmp | bpfJa:
			if !jump(in.K) {
				return nil, unix.EINVAL
			}
			have = 0xffff
		case bpfJmp | bpfJeq | bpfK, bpfJmp | bpfJeq | bpfX, bpfJmp | bpfJge | bpfK, bpfJmp | bpfJge | bpfX,
			bpfJmp | bpfJgt | bpfK, bpfJmp | bpfJgt | bpfX, bpfJmp | bpfJset | bpfK, bpfJmp | bpfJset | bpfX:
			if !jump(uint32(in.Jt)) || !jump(uint32(in.Jf)) {
				return nil, unix.EINVAL
			}
			have = 0xffff
		default:
			return nil, unix.EINVAL
		}
	}
	if prog[n-1].Code&7 != bpfRet {
		return nil, unix.EINVAL
	}
	f := &SeccompFilter{prog: append([]unix.SockFilter(nil), prog...), log: log}
	f.always = alwaysAllowed(f)
	return f, nil
}

// Parts of a classic BPF opcode (linux/bpf_common.h).
const (
	bpfLd, bpfLdx, bpfSt, bpfStx, bpfAlu, bpfJmp, bpfRet, bpfMisc = 0, 1, 2, 3, 4, 5, 6, 7

	bpfW                           = 0x00
	bpfImm, bpfAbs, bpfMem, bpfLen = 0x00, 0x20, 0x60, 0x80

	bpfAdd, bpfSub, bpfMul, bpfDiv = 0x00, 0x10, 0x20, 0x30
	bpfOr, bpfAnd, bpfLsh, bpfRsh  = 0x40, 0x50, 0x60, 0x70
	bpfNeg, bpfXor                 = 0x80, 0xa0

	bpfJa, bpfJeq, bpfJgt, bpfJge, bpfJset = 0x00, 0x10, 0x20, 0x30, 0x40

	bpfK, bpfX, bpfA = 0x00, 0x08, 0x10
	bpfTax, bpfTxa   = 0x00, 0x80

	bpfMemWords = 16
)

// run executes the program on a struct seccomp_data and returns its result.
func (f *SeccompFilter) run(data *[seccompDataSize]byte) uint32 {
	var a, x uint32
	var mem [bpfMemWords]uint32
	for pc := 0; pc < len(f.prog); pc++ {
		in := &f.prog[pc]
		k := in.K
		switch in.Code {
		case bpfLd | bpfW | bpfAbs:
			a = binary.LittleEndian.Uint32(data[k:])
		case bpfLd | bpfW | bpfLen:
			a = seccompDataSize
		case bpfLdx | bpfW | bpfLen:
			x = seccompDataSize
		case bpfLd | bpfImm:
			a = k
		case bpfLdx | bpfImm:
			x = k
		case bpfLd | bpfMem:
			a = mem[k]
		case bpfLdx | bpfMem:
			x = mem[k]
		case bpfSt:
			mem[k] = a
		case bpfStx:
			mem[k] = x
		case bpfMisc | bpfTax:
			x = a
		case bpfMisc | bpfTxa:
			a = x
		case bpfRet | bpfK:
			return k
		case bpfRet | bpfA:
			return a
		case bpfJmp | bpfJa:
			pc += int(k)
		default:
			if in.Code&bpfX != 0 {
				k = x
			}
			if in.Code&7 == bpfAlu {
				if in.Code&0xf0 == bpfDiv && k == 0 {
					return 0
				}
				a = bpfCompute(in.Code&0xf0, a, k)
				continue
			}
			if bpfTest(in.Code&0xf0, a, k) {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
	}
	return seccompKillThread
}

func bpfCompute(op uint16, a, k uint32) uint32 {
	switch op {
	case bpfAdd:
		return a + k
	case bpfSub:
		return a - k
	case bpfMul:
		return a * k
	case bpfDiv:
		return a / k
	case bpfOr:
		return a | k
	case bpfAnd:
		return a & k
	case bpfXor:
		return a ^ k
	case bpfLsh:
		return a << (k & 31)
	case bpfRsh:
		return a >> (k & 31)
	}
	return -a
}

func bpfTest(op uint16, a, k uint32) bool {
	switch op {
	case bpfJeq:
		return a == k
	case bpfJgt:
		return a > k
	case bpfJge:
		return a >= k
	}
	return a&k != 0
}

// SeccompMode is what PR_GET_SECCOMP returns: 0, 1 (strict) or 2 (filter).
func (t *Task) SeccompMode() int {
	switch s := t.seccomp.Load(); {
	case s == nil:
		return 0
	case s.strict:
		return unix.SECCOMP_MODE_STRICT
	}
	return unix.SECCOMP_MODE_FILTER
}

// SeccompFilters is how many filters are installed, for /proc/PID/status.
func (t *Task) SeccompFilters() int {
	if s := t.seccomp.Load(); s != nil {
		return len(s.filters)
	}
	return 0
}

// SetSeccompStrict enters strict mode. EINVAL in filter mode.
func (t *Task) SetSeccompStrict() error {
	if s := t.seccomp.Load(); s != nil && !s.strict {
		return unix.EINVAL
	}
	t.seccomp.Store(&seccompState{strict: true})
	t.k.desks.end()
	return nil
}

// AddSeccompFilter installs f for the calling task, and with sync for all threads of
// its process. With sync the number of a thread that has other filters is returned
// if there is one; nothing is changed then. EINVAL in strict mode, ENOMEM when
// there are too many instructions.
func (t *Task) AddSeccompFilter(f *SeccompFilter, sync bool) (other int32, err error) {
	old := t.seccomp.Load()
	if old != nil && old.strict {
		return 0, unix.EINVAL
	}
	n := old.with(f)
	if n.insns > maxPathInsns {
		return 0, unix.ENOMEM
	}
	defer t.k.desks.end()
	if !sync {
		t.seccomp.Store(n)
		return 0, nil
	}
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	for _, o := range t.tg.tasks {
		if s := o.seccomp.Load(); o != t && s != nil && (s.strict || !s.ancestorOf(old)) {
			return o.pid.In(t.pid.ns), nil
		}
	}
	for _, o := range t.tg.tasks {
		o.seccomp.Store(n)
		if t.noNewPrivs.Load() {
			o.noNewPrivs.Store(true)
		}
	}
	return 0, nil
}

// ancestorOf reports whether n's filters are s's and newer ones.
func (s *seccompState) ancestorOf(n *seccompState) bool {
	if n == nil || len(n.filters) < len(s.filters) {
		return false
	}
	for i := range s.filters {
		if s.filters[len(s.filters)-1-i] != n.filters[len(n.filters)-1-i] {
			return false
		}
	}
	return true
}

// seccompCheck runs the filters on a system call. done says that the call is not
// made but has the result ret, err.
func (t *Task) seccompCheck(nr uint64, args Args) (ret uint64, err error, done bool) {
	s := t.seccomp.Load()
	if s.always.has(nr) {
		return 0, nil, false
	}
	if s.strict {
		switch nr {
		case unix.SYS_READ, unix.SYS_WRITE, unix.SYS_EXIT, unix.SYS_RT_SIGRETURN:
			return 0, nil, false
		}
		t.seccompKill(nr, false)
		return 0, unix.ENOSYS, true
	}
	var data [seccompDataSize]byte
	le := binary.LittleEndian
	le.PutUint32(data[0:], uint32(nr))
	le.PutUint32(data[4:], auditArch)
	le.PutUint64(data[8:], t.state.IP())
	for i, v := range args {
		le.PutUint64(data[16+8*i:], v)
	}
	result := uint32(seccompAllow)
	for _, f := range s.filters {
		// The action with the lowest value as a signed number counts.
		if r := f.run(&data); int32(r&seccompAction) < int32(result&seccompAction) {
			result = r
		}
	}
	switch result & seccompAction {
	case seccompAllow:
		return 0, nil, false
	case seccompLog:
		t.k.log("%s (task %d): seccomp: system call %s", t.Comm(), t.TID(), t.k.table.Name(nr))
		return 0, nil, false
	case seccompErrno:
		e := min(result&seccompData, 4095)
		if e == 0 {
			return 0, nil, true
		}
		return 0, unix.Errno(e), true
	case seccompTrap:
		info := &SigInfo{Signo: int32(unix.SIGSYS), Errno: int32(result & seccompData), Code: sysSeccomp}
		info.setAddr(t.state.IP())
		info.setU32(24, uint32(nr))
		info.setU32(28, auditArch)
		t.forceSignal(info)
		return nr, nil, true
	case seccompTrace, seccompNotif:
		return 0, unix.ENOSYS, true
	case seccompKillThread:
		t.seccompKill(nr, false)
	default:
		t.seccompKill(nr, true)
	}
	return 0, unix.ENOSYS, true
}

// seccompKill ends the task, or its process, as if by SIGSYS.
func (t *Task) seccompKill(nr uint64, process bool) {
	t.k.log("%s (task %d) killed by seccomp: system call %s", t.Comm(), t.TID(), t.k.table.Name(nr))
	if process || t.tg.NumTasks() == 1 {
		t.ExitGroup(WaitSignaled(int32(unix.SIGSYS)))
		return
	}
	t.exitStatus = WaitSignaled(int32(unix.SIGSYS))
	t.work.Or(workExit)
}
