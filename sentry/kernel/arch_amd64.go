package kernel

import "golang.org/x/sys/unix"

// auditArch is the architecture as seccomp filters see it.
const auditArch = unix.AUDIT_ARCH_X86_64

// Machine is what uname(2) calls the architecture.
const Machine = "x86_64"
