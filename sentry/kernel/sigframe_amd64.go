package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/platform/arch"
)

// The signal frame, as Linux lays it out (asm/sigframe.h, asm/ucontext.h,
// asm/sigcontext.h), from the stack pointer up:
//
//	8    return address: the restorer
//	304  struct ucontext: flags 8, link 8, stack 24, sigcontext 256, mask 8
//	128  siginfo
//
// The extended state lies above it, aligned to 64 bytes.
const (
	frameUcontext = 8
	frameStack    = frameUcontext + 16
	frameContext  = frameUcontext + 40
	frameMask     = frameContext + 256
	frameInfo     = frameMask + 8
	frameSize     = frameInfo + SigInfoSize

	redZone = 128

	// Bits of uc_flags.
	ucFPXState        = 1
	ucSigContextSS    = 2
	ucStrictRestoreSS = 4

	userCS = 0x33
	userDS = 0x2b

	// Bits of EFLAGS that rt_sigreturn(2) restores: AC, OF, DF, TF, SF, ZF, AF,
	// PF, CF, RF.
	fixEflags = 0x40000 | 0x800 | 0x400 | 0x100 | 0x80 | 0x40 | 0x10 | 4 | 1 | 0x10000
	eflagsDF  = 0x400
	eflagsRF  = 0x10000
	eflagsTF  = 0x100
	// eflagsFixed are the bits that are always set in user mode: IF and the one
	// that reads as 1.
	eflagsFixed = 0x202
)

// MinSigStackSize is the least size of an alternate signal stack (MINSIGSTKSZ).
const MinSigStackSize = 2048

// pushSignalFrame writes the frame of a signal handler, and sets the registers to
// run it. mask is what the handler's return restores. EFAULT if the stack cannot
// hold it.
func (t *Task) pushSignalFrame(info *SigInfo, act *SigAction, mask SignalSet) error {
	if act.Flags&saRestorer == 0 {
		return unix.EFAULT
	}
	r := &t.state.Regs
	shown := t.altStack.shown(r.Rsp)
	sp := r.Rsp - redZone
	onAlt := t.altStack.holds(r.Rsp)
	entering := false
	if act.Flags&saOnStack != 0 && t.altStack.Size != 0 && !onAlt {
		sp = t.altStack.Addr + t.altStack.Size
		entering = true
	}
	fpSize := uint64(arch.FPStateSize())
	fp := (sp - fpSize - arch.FPFrameTrailer) &^ 63
	frame := (fp-frameSize)&^15 - 8
	if (onAlt || entering) && t.altStack.Flags&ssAutodisarm == 0 && (frame < t.altStack.Addr || frame > sp) {
		return unix.EFAULT
	}

	buf := t.frameBuffer(int(fp - frame + fpSize + arch.FPFrameTrailer))
	clear(buf[:frameSize])
	le := binary.LittleEndian
	le.PutUint64(buf[0:], act.Restorer)
	le.PutUint64(buf[frameUcontext:], ucFPXState|ucSigContextSS|ucStrictRestoreSS)
	shown.Encode(buf[frameStack:])
	c := buf[frameContext:]
	for i, v := range [...]uint64{r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15,
		r.Rdi, r.Rsi, r.Rbp, r.Rbx, r.Rdx, r.Rax, r.Rcx, r.Rsp, r.Rip, r.Eflags,
		userCS | userDS<<48, t.trapError, t.trapNo, uint64(mask), t.trapAddr, fp} {
		le.PutUint64(c[8*i:], v)
	}
	le.PutUint64(buf[frameMask:], uint64(mask))
	info.Encode(buf[frameInfo:])
	x := buf[fp-frame:]
	copy(x, t.state.FP)
	arch.SealFPState(x[:fpSize])
	arch.PutFPFrameTrailer(x[fpSize:])
	if _, err := t.fs.Mem.CopyOut(frame, buf); err != nil {
		return unix.EFAULT
	}

	if t.altStack.Flags&ssAutodisarm != 0 && entering {
		t.altStack = SignalStack{}
	}
	arch.InitFPState(t.state.FP)
	r.Rdi = uint64(info.Signo)
	r.Rsi = frame + frameInfo
	r.Rdx = frame + frameUcontext
	r.Rax = 0
	r.Rsp = frame
	r.Rip = act.Handler
	r.Eflags &^= eflagsDF | eflagsRF | eflagsTF
	r.Cs, r.Ss = userCS, userDS
	return nil
}

// popSignalFrame restores the registers, the alternate stack and the extended
// state from the frame of the handler that returns, and returns the signal mask.
// EFAULT if the frame cannot be read or is not valid.
func (t *Task) popSignalFrame() (SignalSet, error) {
	r := &t.state.Regs
	frame := r.Rsp - 8
	var buf [frameInfo]byte
	if _, err := t.fs.Mem.CopyIn(buf[:], frame); err != nil {
		return 0, unix.EFAULT
	}
	le := binary.LittleEndian
	c := buf[frameContext:]
	at := func(i int) uint64 { return le.Uint64(c[8*i:]) }
	if fp := at(23); fp != 0 {
		const legacy = 512
		x := t.frameBuffer(arch.FPStateSize() + arch.FPFrameTrailer)
		n, err := t.fs.Mem.CopyIn(x, fp)
		if err != nil && n < legacy || !arch.RestoreFPState(t.state.FP, x[:n]) {
			return 0, unix.EFAULT
		}
	} else {
		arch.InitFPState(t.state.FP)
	}
	r.R8, r.R9, r.R10, r.R11 = at(0), at(1), at(2), at(3)
	r.R12, r.R13, r.R14, r.R15 = at(4), at(5), at(6), at(7)
	r.Rdi, r.Rsi, r.Rbp, r.Rbx = at(8), at(9), at(10), at(11)
	r.Rdx, r.Rax, r.Rcx, r.Rsp = at(12), at(13), at(14), at(15)
	r.Rip = at(16)
	r.Eflags = r.Eflags&^fixEflags | at(17)&fixEflags | eflagsFixed
	r.Cs, r.Ss = userCS, userDS
	if _, hi := t.k.platform.UserRange(); r.Rip >= hi {
		// The processor faults on the way out to an address that is not the
		// application's.
		return 0, unix.EFAULT
	}
	var s SignalStack
	s.Decode(buf[frameStack:])
	t.setAltStack(s, r.Rsp, MinSigStackSize)
	t.restart = 0
	return SignalSet(le.Uint64(buf[frameMask:])), nil
}

// frameBuffer returns n bytes of the task's buffer for signal frames.
func (t *Task) frameBuffer(n int) []byte {
	if cap(t.frame) < n {
		t.frame = make([]byte, n)
	}
	return t.frame[:n]
}

// SignalStack serves sigaltstack(2): it returns the stack as it is, and sets it to
// *set if set is not nil. State.Full holds. EPERM, EINVAL, ENOMEM.
func (t *Task) SignalStack(set *SignalStack) (SignalStack, error) {
	sp := t.state.SP()
	old := t.altStack.shown(sp)
	if set != nil {
		if err := t.setAltStack(*set, sp, MinSigStackSize); err != nil {
			return old, err
		}
	}
	return old, nil
}
