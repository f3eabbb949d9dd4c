package kernel

// A syscallSet is a set of system calls by number, below MaxSyscall.
type syscallSet [(MaxSyscall + 63) / 64]uint64

func (s *syscallSet) add(nr uint64) { s[nr/64] |= 1 << (nr % 64) }

func (s *syscallSet) has(nr uint64) bool { return nr < MaxSyscall && s[nr/64]&(1<<(nr%64)) != 0 }

// and returns what is in both sets.
func (s syscallSet) and(o *syscallSet) syscallSet {
	for i := range s {
		s[i] &= o[i]
	}
	return s
}

// Offsets in struct seccomp_data of what is known of a call without its arguments.
const (
	seccompDataNr   = 0
	seccompDataArch = 4
)

// alwaysAllowed are the calls that the program allows whatever their arguments are: it
// needs not be run for them.
func alwaysAllowed(f *SeccompFilter) (set syscallSet) {
	for nr := range uint64(MaxSyscall) {
		if f.allows(uint32(nr)) {
			set.add(nr)
		}
	}
	return set
}

// allows reports whether the program gets to allow a call without looking at more than its
// number and the architecture.
func (f *SeccompFilter) allows(nr uint32) bool {
	var a uint32
	for pc := 0; pc < len(f.prog); pc++ {
		in := &f.prog[pc]
		switch in.Code {
		case bpfLd | bpfW | bpfAbs:
			switch in.K {
			case seccompDataNr:
				a = nr
			case seccompDataArch:
				a = auditArch
			default:
				return false
			}
		case bpfRet | bpfK:
			return in.K == seccompAllow
		case bpfJmp | bpfJa:
			pc += int(in.K)
		case bpfAlu | bpfAnd | bpfK:
			a &= in.K
		case bpfJmp | bpfJeq | bpfK, bpfJmp | bpfJgt | bpfK, bpfJmp | bpfJge | bpfK, bpfJmp | bpfJset | bpfK:
			if bpfTest(in.Code&0xf0, a, in.K) {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		default:
			return false
		}
	}
	return false
}
