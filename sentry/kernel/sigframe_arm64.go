package kernel

import "golang.org/x/sys/unix"

// MinSigStackSize is the least size of an alternate signal stack (MINSIGSTKSZ).
const MinSigStackSize = 5120

// pushSignalFrame fails: arm64 is not supported yet.
func (t *Task) pushSignalFrame(info *SigInfo, act *SigAction, mask SignalSet) error {
	return unix.ENOSYS
}

// popSignalFrame fails: arm64 is not supported yet.
func (t *Task) popSignalFrame() (SignalSet, error) { return 0, unix.ENOSYS }

// SignalStack serves sigaltstack(2).
func (t *Task) SignalStack(set *SignalStack) (SignalStack, error) {
	return SignalStack{}, unix.ENOSYS
}
