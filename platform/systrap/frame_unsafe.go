//go:build amd64

package systrap

import (
	"unsafe"

	"casemate/platform"
	"casemate/platform/arch"
)

// ucontext is the kernel's struct ucontext with struct sigcontext, as it lies in
// a signal frame (asm/sigcontext.h, asm-generic/ucontext.h).
type ucontext struct {
	flags uint64
	link  uint64
	stack stackT

	r8, r9, r10, r11, r12, r13, r14, r15 uint64
	di, si, bp, bx, dx, ax, cx, sp       uint64
	ip, eflags                           uint64
	cs, gs, fs, ss                       uint16
	err, trapno, oldmask, cr2            uint64
	fpstate                              uint64
	_                                    [8]uint64

	sigmask uint64

	info siginfo // follows it in the frame
}

// siginfo is the part of siginfo_t that faults and seccomp use.
type siginfo struct {
	signo, errno, code int32
	_                  int32
	addr               uint64 // si_addr, si_call_addr
	syscall            int32
	arch               uint32
	_                  [96]byte
}

const (
	ucSize = unsafe.Sizeof(ucontext{})

	// uc_flags: UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS.
	ucFlags = 1 | 2 | 4

	// The 64-bit segments of an application, for a State whose Cs is 0.
	userCS, userSS = 0x33, 0x2b
)

// frameOffset is where in an area a frame is that the sentry makes: as high on
// the alternate stack as the kernel would put it.
func frameOffset() uint64 {
	fp := (areaSize - uint64(arch.FPStateSize()) - arch.FPFrameTrailer) &^ 63
	return (fp - uint64(ucSize)) &^ 15
}

// frameValid says whether a frame can be at offset off of an area.
func frameValid(off uint64) bool {
	return off >= stackStart && off <= areaSize-uint64(ucSize) && off%16 == 0
}

func (a area) frame(off uint64) *ucontext {
	return (*ucontext)(unsafe.Pointer(&a.mem[off]))
}

// readFrame copies the frame at off, a valid offset, to s. It returns false if
// the frame is not one that the kernel has made.
func (a area) readFrame(off uint64, base uint64, s *platform.State) bool {
	u := a.frame(off)
	fp := u.fpstate - base
	size := uint64(arch.FPStateSize())
	if fp < stackStart || fp > areaSize-size || fp%64 != 0 {
		return false
	}
	copy(s.FP, a.mem[fp:fp+size])
	r := &s.Regs
	r.R8, r.R9, r.R10, r.R11 = u.r8, u.r9, u.r10, u.r11
	r.R12, r.R13, r.R14, r.R15 = u.r12, u.r13, u.r14, u.r15
	r.Rdi, r.Rsi, r.Rbp, r.Rbx = u.di, u.si, u.bp, u.bx
	r.Rdx, r.Rax, r.Rcx, r.Rsp = u.dx, u.ax, u.cx, u.sp
	r.Rip, r.Eflags = u.ip, u.eflags
	r.Cs, r.Ss = uint64(u.cs), uint64(u.ss)
	r.Fs_base, r.Gs_base = *a.word(areaFSBase), *a.word(areaGSBase)
	if r.Gs_base == base {
		r.Gs_base = 0
	}
	r.Orig_rax = ^uint64(0)
	s.Full = true
	return true
}

// writeFrame makes a frame at off out of s, which rt_sigreturn restores.
func (a area) writeFrame(off uint64, base uint64, s *platform.State) {
	size := uint64(arch.FPStateSize())
	fp := (areaSize - size - arch.FPFrameTrailer) &^ 63
	copy(a.mem[fp:], s.FP)
	arch.SealFPState(a.mem[fp : fp+size])
	arch.PutFPFrameTrailer(a.mem[fp+size:])
	u := a.frame(off)
	u.flags, u.link = ucFlags, 0
	u.stack = stackT{sp: base + stackStart, size: stackSize}
	r := &s.Regs
	u.r8, u.r9, u.r10, u.r11 = r.R8, r.R9, r.R10, r.R11
	u.r12, u.r13, u.r14, u.r15 = r.R12, r.R13, r.R14, r.R15
	u.di, u.si, u.bp, u.bx = r.Rdi, r.Rsi, r.Rbp, r.Rbx
	u.dx, u.ax, u.cx, u.sp = r.Rdx, r.Rax, r.Rcx, r.Rsp
	u.ip, u.eflags = r.Rip, r.Eflags
	u.cs, u.ss = userCS, userSS
	if r.Cs != 0 {
		u.cs, u.ss = uint16(r.Cs), uint16(r.Ss)
	}
	u.gs, u.fs = 0, 0
	u.err, u.trapno, u.oldmask, u.cr2 = 0, 0, 0, 0
	u.fpstate = base + fp
	u.sigmask = 0
	*a.word(areaFSBase) = canonical(r.Fs_base)
	*a.word(areaGSBase) = canonical(r.Gs_base)
	if r.Gs_base == 0 {
		*a.word(areaGSBase) = base // for patched sites
	}
	*a.word(areaSelf) = base
}

// canonical returns v if it can be the base of a segment, else 0.
func canonical(v uint64) uint64 {
	if int64(v<<16)>>16 != int64(v) {
		return 0
	}
	return v
}

// finishCall puts the result of the system call that was to be made again
// (upgrade) into the frame at off.
func (a area) finishCall(off, result uint64) {
	u := a.frame(off)
	u.ax = result
	u.ip += syscallLength
}
