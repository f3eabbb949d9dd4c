package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/platform"
)

// resolveFault has the memory manager resolve a page fault; it returns the
// siginfo of the signal if it cannot.
func (t *Task) resolveFault(c platform.Context, f *platform.Fault) *SigInfo {
	m := t.MM()
	if m == nil {
		return kernelSigInfo(int32(unix.SIGKILL))
	}
	t.minorFaults.Add(1)
	sig, code := m.HandleFault(c, *f)
	if sig == 0 {
		return nil
	}
	return faultInfo(sig, code, f)
}
