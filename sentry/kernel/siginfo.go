package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// NumSignals is the number of signals; they are numbered from 1.
const NumSignals = 64

// The real-time signals as the kernel counts them; libcs keep some for themselves.
const (
	sigRTMin = 32
	sigRTMax = 64
)

// A SignalSet is a set of signals; bit n-1 stands for signal n, as in sigset_t.
type SignalSet uint64

// Signals returns the set of the signals listed.
func Signals(list ...unix.Signal) SignalSet {
	var s SignalSet
	for _, n := range list {
		s |= 1 << (n - 1)
	}
	return s
}

// Has reports whether sig is in s.
func (s SignalSet) Has(sig int32) bool { return s>>(sig-1)&1 != 0 }

func bit(sig int32) SignalSet { return 1 << (sig - 1) }

// ValidSignal reports whether there is a signal of that number.
func ValidSignal(sig int32) bool { return sig >= 1 && sig <= NumSignals }

// Sets of signals by what they do by default, signal(7).
var (
	// Unblockable signals cannot be caught, blocked or ignored.
	Unblockable = Signals(unix.SIGKILL, unix.SIGSTOP)

	stopSignals   = Signals(unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	ignoreSignals = Signals(unix.SIGCONT, unix.SIGCHLD, unix.SIGWINCH, unix.SIGURG)
	coreSignals   = Signals(unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGFPE,
		unix.SIGSEGV, unix.SIGBUS, unix.SIGSYS, unix.SIGXCPU, unix.SIGXFSZ)
	synchronousSignals = Signals(unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGTRAP, unix.SIGFPE, unix.SIGSYS)
)

// Values of si_code, sigaction(2).
const (
	SIUser    = 0
	SIKernel  = 0x80
	SIQueue   = -1
	SITimer   = -2
	SIMesgq   = -3
	SIAsyncIO = -4
	SISigIO   = -5
	SITkill   = -6

	CLDExited    = 1
	CLDKilled    = 2
	CLDDumped    = 3
	CLDTrapped   = 4
	CLDStopped   = 5
	CLDContinued = 6

	sysSeccomp = 1
)

// SigInfoSize is the size of a siginfo_t in bytes.
const SigInfoSize = 128

// A SigInfo is a siginfo_t.
type SigInfo struct {
	Signo, Errno, Code int32
	// Fields is the union of siginfo_t, from offset 16 on.
	Fields [112]byte
}

// Encode writes the siginfo_t to p, which has SigInfoSize bytes.
func (i *SigInfo) Encode(p []byte) {
	le := binary.LittleEndian
	le.PutUint32(p[0:], uint32(i.Signo))
	le.PutUint32(p[4:], uint32(i.Errno))
	le.PutUint32(p[8:], uint32(i.Code))
	le.PutUint32(p[12:], 0)
	copy(p[16:SigInfoSize], i.Fields[:])
}

// Decode reads a siginfo_t from p, which has SigInfoSize bytes.
func (i *SigInfo) Decode(p []byte) {
	le := binary.LittleEndian
	i.Signo = int32(le.Uint32(p[0:]))
	i.Errno = int32(le.Uint32(p[4:]))
	i.Code = int32(le.Uint32(p[8:]))
	copy(i.Fields[:], p[16:SigInfoSize])
}

func (i *SigInfo) setU32(off int, v uint32) { binary.LittleEndian.PutUint32(i.Fields[off-16:], v) }
func (i *SigInfo) setU64(off int, v uint64) { binary.LittleEndian.PutUint64(i.Fields[off-16:], v) }
func (i *SigInfo) u32(off int) uint32       { return binary.LittleEndian.Uint32(i.Fields[off-16:]) }
func (i *SigInfo) u64(off int) uint64       { return binary.LittleEndian.Uint64(i.Fields[off-16:]) }

// SetSender sets si_pid and si_uid.
func (i *SigInfo) SetSender(pid int32, uid uint32) {
	i.setU32(16, uint32(pid))
	i.setU32(20, uid)
}

// Sender returns si_pid and si_uid.
func (i *SigInfo) Sender() (pid int32, uid uint32) { return int32(i.u32(16)), i.u32(20) }

// SetValue sets si_value.
func (i *SigInfo) SetValue(v uint64) { i.setU64(24, v) }

// Value returns si_value.
func (i *SigInfo) Value() uint64 { return i.u64(24) }

// setTimer sets si_timerid and si_overrun.
func (i *SigInfo) setTimer(id, overrun int32) {
	i.setU32(16, uint32(id))
	i.setU32(20, uint32(overrun))
}

// setChild sets what SIGCHLD tells but for the sender. utime and stime are clock
// ticks.
func (i *SigInfo) setChild(status int32, utime, stime int64) {
	i.setU32(24, uint32(status))
	i.setU64(32, uint64(utime))
	i.setU64(40, uint64(stime))
}

// setAddr sets si_addr.
func (i *SigInfo) setAddr(addr uint64) { i.setU64(16, addr) }

// SetPoll sets si_band and si_fd of SIGIO.
func (i *SigInfo) SetPoll(band int64, fd int32) {
	i.setU64(16, uint64(band))
	i.setU32(24, uint32(fd))
}

// kernelSigInfo is the siginfo of a signal that the kernel itself sends.
func kernelSigInfo(sig int32) *SigInfo { return &SigInfo{Signo: sig, Code: SIKernel} }
