package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
)

// Operations of arch_prctl(2).
const (
	archSetGS    = 0x1001
	archSetFS    = 0x1002
	archGetFS    = 0x1003
	archGetGS    = 0x1004
	archGetCPUID = 0x1011
	archSetCPUID = 0x1012
)

// sysArchPrctl is arch_prctl(2).
func sysArchPrctl(t *kernel.Task, a kernel.Args) (uint64, error) {
	st := t.Regs()
	addr := a.Ptr(1)
	_, hi := t.Kernel().Platform().UserRange()
	switch a.Uint(0) {
	case archSetFS:
		if addr >= hi {
			return 0, unix.EPERM
		}
		st.SetTLS(addr)
		return 0, nil
	case archGetFS:
		return 0, putUint64(t, addr, st.TLS())
	case archSetGS:
		if addr >= hi {
			return 0, unix.EPERM
		}
		st.Regs.Gs_base = addr
		return 0, nil
	case archGetGS:
		return 0, putUint64(t, addr, st.Regs.Gs_base)
	case archGetCPUID:
		return 1, nil
	case archSetCPUID:
		return 0, unix.ENODEV
	}
	return 0, unix.EINVAL
}
