package kernel

import "casemate/vfs/wait"

// What signalfd(2) needs of a process.

// AnyPending reports whether a signal of set is pending for the process or one of
// its tasks.
func (tg *ThreadGroup) AnyPending(set SignalSet) bool {
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	all := tg.pending.set
	for _, t := range tg.tasks {
		all |= t.pending.set
	}
	return all&set != 0
}

// RegisterSignalFD has e told of every signal that becomes pending. The
// notification comes with the process's signals locked.
func (tg *ThreadGroup) RegisterSignalFD(e *wait.Entry, mask wait.Events) {
	tg.signalFDs.Register(e, mask)
}

// UnregisterSignalFD ends it.
func (tg *ThreadGroup) UnregisterSignalFD(e *wait.Entry) { tg.signalFDs.Unregister(e) }

// WakeSignalFDs has all that wait for signals look again.
func (tg *ThreadGroup) WakeSignalFDs() { tg.signalFDs.Notify(wait.In | wait.RdNorm) }
