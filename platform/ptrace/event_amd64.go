package ptrace

import (
	"syscall"

	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// si_code values (asm-generic/siginfo.h).
const (
	segvMapErr = 1
	segvAccErr = 2
	busAdrAln  = 1
	busAdrErr  = 2
	sysSeccomp = 1
	siKernel   = 0x80
)

// Processor exceptions (Intel SDM volume 3, 6.15) and bits of the page fault
// error code.
const (
	trapDebug      = 1
	trapBreakpoint = 3
	trapInvalidOp  = 6
	trapProtection = 13
	trapPage       = 14
	trapX87        = 16
	trapAlignment  = 17
	trapSIMD       = 19
	trapDivide     = 0
	pageProt       = 1 << 0
	pageWrite      = 1 << 1
	pageUser       = 1 << 2
	pageExec       = 1 << 4
)

// dispatch makes the upcall for the stop ws.
func (c *context) dispatch(ws unix.WaitStatus) (platform.Disposition, error) {
	sig := ws.StopSignal()
	switch {
	case sig == unix.SIGTRAP|0x80:
		a, err := syscallArch(c.tid)
		if err != nil {
			return 0, err
		}
		return c.syscall(a)
	case stopEvent(ws) != 0:
		return platform.ResumeFull, c.readFull()
	}
	// The signal is not delivered, whatever it is. Only what the kernel itself
	// has sent for an instruction concerns the application.
	info, err := getSigInfo(c.tid)
	if err != nil {
		return 0, err
	}
	if info.code > 0 {
		switch sig {
		case unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGTRAP:
			if err := c.readFull(); err != nil {
				return 0, err
			}
			return c.h.HandleFault(c, c.fault(sig, &info)), nil
		case unix.SIGSYS:
			if info.code == sysSeccomp {
				// The vsyscall page, which ptrace does not see.
				c.regs.Orig_rax = uint64(info.syscall)
				return c.syscall(info.arch)
			}
		}
	}
	return platform.ResumeFull, c.readFull()
}

// syscall makes the upcall for a system call by the conventions of auditArch.
func (c *context) syscall(auditArch uint32) (platform.Disposition, error) {
	r := &c.regs
	r.Orig_rax = uint64(int32(r.Orig_rax)) // as Linux does
	if auditArch != unix.AUDIT_ARCH_X86_64 {
		r.Orig_rax = ^uint64(0) // no such call
	}
	c.last = fetchFault{}
	if r.Orig_rax < maxSyscall && c.p.full[r.Orig_rax] {
		if err := c.readFull(); err != nil {
			return 0, err
		}
	} else {
		// Just what the interface promises, so that nobody relies on more.
		c.st.Full = false
		c.st.Regs = arch.Registers{
			Orig_rax: r.Orig_rax, Rax: r.Rax, Rip: r.Rip,
			Rdi: r.Rdi, Rsi: r.Rsi, Rdx: r.Rdx, R10: r.R10, R8: r.R8, R9: r.R9,
		}
	}
	return c.h.HandleSyscall(c), nil
}

// A fetchFault is a fault that may have been the fetch of an instruction or its
// write to its own neighbourhood.
type fetchFault struct {
	ip, addr uint64
	exec     bool // what it was reported as
}

// fault describes the exception that has stopped c.
func (c *context) fault(sig syscall.Signal, info *sigInfo) platform.Fault {
	f := platform.Fault{Signal: int(sig), Code: int(info.code), Addr: info.addr}
	last := c.last
	c.last = fetchFault{}
	switch sig {
	case unix.SIGSEGV:
		switch f.Code {
		case segvMapErr:
			f.Access = true
			f.Exec = f.Addr == c.regs.Rip
		case segvAccErr:
			f.Access = true
			f.Exec = c.isFetch(f.Addr, last)
			f.Write = !f.Exec
			f.ErrorCode = pageProt
		default:
			f.TrapNo = trapProtection
		}
	case unix.SIGBUS:
		switch f.Code {
		case busAdrErr:
			f.Access = true
		case busAdrAln:
			f.TrapNo = trapAlignment
		}
	case unix.SIGILL:
		f.TrapNo = trapInvalidOp
	case unix.SIGFPE:
		f.TrapNo = c.arithmeticTrap(f.Code)
	case unix.SIGTRAP:
		f.TrapNo = trapDebug
		if f.Code == siKernel {
			f.TrapNo = trapBreakpoint
		}
	}
	if f.Access {
		f.TrapNo = trapPage
		f.ErrorCode |= pageUser
		if f.Write {
			f.ErrorCode |= pageWrite
		}
		if f.Exec {
			f.ErrorCode |= pageExec
		}
	}
	return f
}

// isFetch guesses whether a SEGV_ACCERR at addr was the fetch of an instruction,
// else it was a write. At the instruction pointer a fetch is likely. In the page
// after it, within the length of an instruction, a write is the better first
// guess: it does no harm if it was a fetch from a page that cannot be executed. If
// the very same fault comes again, the guess was wrong.
func (c *context) isFetch(addr uint64, last fetchFault) bool {
	const maxInstruction = 15
	ip := c.regs.Rip
	var exec bool
	switch {
	case addr == ip:
		exec = true
	case addr > ip && addr-ip < maxInstruction && addr&arch.PageMask == 0:
		exec = false
	default:
		return false
	}
	if last.ip == ip && last.addr == addr && ip != 0 {
		exec = !last.exec
	}
	c.last = fetchFault{ip, addr, exec}
	return exec
}

// arithmeticTrap returns the exception behind a SIGFPE: the divide error, or that
// of the unit whose sticky flags show an unmasked exception.
func (c *context) arithmeticTrap(code int) uint64 {
	const fpeIntDiv = 1
	if code == fpeIntDiv {
		return trapDivide
	}
	// x87 status word, bit 7: an unmasked exception is pending.
	if c.st.FP[2]&0x80 != 0 {
		return trapX87
	}
	return trapSIMD
}
