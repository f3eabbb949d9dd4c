package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/platform"
	"casemate/sentry/mm"
)

// resolveFault has the memory manager resolve a page fault; it returns the
// siginfo of the signal if it cannot.
func (t *Task) resolveFault(c platform.Context, f *platform.Fault) *SigInfo {
	m := t.MM()
	if m == nil {
		return kernelSigInfo(int32(unix.SIGKILL))
	}
	t.minorFaults.Add(1)
	err := m.HandleFault(c, *f)
	if err == nil {
		return nil
	}
	if s, ok := err.(*mm.SignalError); ok {
		return faultInfo(s.Signo, s.Code, f)
	}
	t.k.log("%s (task %d): no memory for a page fault at %#x: %v", t.Comm(), t.TID(), f.Addr, err)
	return kernelSigInfo(int32(unix.SIGKILL))
}
