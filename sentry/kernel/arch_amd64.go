package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/platform"
	"casemate/platform/arch"
)

// auditArch is the architecture as seccomp filters see it.
const auditArch = unix.AUDIT_ARCH_X86_64

// Machine is what uname(2) calls the architecture.
const Machine = "x86_64"

// Machine32 is what it calls it under PER_LINUX32.
const Machine32 = "i686"

// initRegisters sets all registers as execve(2) leaves them.
func initRegisters(st *platform.State, ip, sp uint64) {
	st.Regs = arch.Registers{Rip: ip, Rsp: sp, Cs: userCS, Ss: userDS, Eflags: eflagsFixed, Orig_rax: ^uint64(0)}
	arch.InitFPState(st.FP)
}

// setTLS sets the thread pointer of a new task.
func setTLS(st *platform.State, addr uint64) error {
	st.SetTLS(addr)
	return nil
}

// restartSyscall makes the registers call nr again.
func restartSyscall(st *platform.State, nr uint64) { st.RestartSyscall(nr) }
