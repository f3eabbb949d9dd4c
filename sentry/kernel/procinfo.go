package kernel

import "casemate/vfs"

// What only /proc asks of tasks and processes.

// Reaped reports whether the process has been waited for: its number may be
// another's now.
func (tg *ThreadGroup) Reaped() bool {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return tg.reaped
}

// OOMScoreAdj is the process's oom_score_adj, -1000 to 1000.
func (tg *ThreadGroup) OOMScoreAdj() int32 { return tg.oomScoreAdj.Load() }

// SetOOMScoreAdj sets OOMScoreAdj.
func (tg *ThreadGroup) SetOOMScoreAdj(v int32) { tg.oomScoreAdj.Store(v) }

// A Numbered TTY has a device number as /proc/PID/stat shows it.
type numberedTTY interface{ DeviceNumber() uint32 }

// TerminalState returns the device number of the process's controlling terminal (0:
// none), and the number in ns of the terminal's foreground process group (-1:
// none).
func (tg *ThreadGroup) TerminalState(ns *PIDNamespace) (device uint32, foreground int32) {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	if tg.pgrp == nil || tg.pgrp.session.tty == nil {
		return 0, -1
	}
	if n, ok := tg.pgrp.session.tty.(numberedTTY); ok {
		device = n.DeviceNumber()
	}
	if g := tg.pgrp.session.foreground(); g != nil {
		return device, g.ID(ns)
	}
	return device, -1
}

// FSState returns the task's root, working directory and umask; nil once it has
// exited. The caller looks at them only.
func (t *Task) FSState() *vfs.FSState {
	if t.fds.Load() == nil {
		return nil
	}
	return t.fs.FS
}

// Personality is what personality(2) has set.
func (t *Task) Personality() uint32 { return t.personality }

// TimerSlack is the timer slack in ns (PR_SET_TIMERSLACK).
func (t *Task) TimerSlack() uint64 { return t.timerSlack }

// MinorFaults is the number of page faults that the sentry has served.
func (t *Task) MinorFaults() int64 { return t.minorFaults.Load() }

// ContextSwitches returns how often the task has waited, and how often it was made
// to stop running, which the sentry does not see.
func (t *Task) ContextSwitches() (voluntary, involuntary int64) { return t.voluntarySwitches.Load(), 0 }
