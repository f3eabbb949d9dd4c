package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/platform"
	"casemate/platform/arch"
)

// auditArch is the architecture as seccomp filters see it.
const auditArch = unix.AUDIT_ARCH_AARCH64

// Machine is what uname(2) calls the architecture.
const Machine = "aarch64"

// Machine32 is what it calls it under PER_LINUX32.
const Machine32 = "armv8l"

// initRegisters sets all registers as execve(2) leaves them.
func initRegisters(st *platform.State, ip, sp uint64) {
	st.Regs = arch.Registers{Pc: ip, Sp: sp}
	clear(st.FP)
}

// setTLS fails: arm64 is not supported yet.
func setTLS(st *platform.State, addr uint64) error { return unix.ENOSYS }

// restartSyscall goes back to the system call instruction, which takes the number
// from x8. The first argument, which the result has overwritten, is lost: arm64 is
// not supported yet.
func restartSyscall(st *platform.State, nr uint64) {
	st.Regs.Regs[8] = nr
	st.Regs.Pc -= 4
}
