package kernel

import (
	"casemate/vfs/cred"
)

// Attributes that prctl(2) and its like read and set. Those of a task are read and
// set by itself only.

// DeathSignal is PR_GET_PDEATHSIG.
func (t *Task) DeathSignal() int32 { return t.deathSignal.Load() }

// SetDeathSignal is PR_SET_PDEATHSIG.
func (t *Task) SetDeathSignal(sig int32) { t.deathSignal.Store(sig) }

// SetNoNewPrivs is PR_SET_NO_NEW_PRIVS.
func (t *Task) SetNoNewPrivs() { t.noNewPrivs.Store(true) }

// SetTimerSlack is PR_SET_TIMERSLACK; 0 stands for the default.
func (t *Task) SetTimerSlack(ns uint64) {
	if ns == 0 {
		ns = defaultTimerSlack
	}
	t.timerSlack = ns
}

// ClearTID is PR_GET_TID_ADDRESS.
func (t *Task) ClearTID() uint64 { return t.clearTID }

// SetPersonality sets the execution domain.
func (t *Task) SetPersonality(p uint32) { t.personality = p }

// Dumpable is PR_GET_DUMPABLE.
func (tg *ThreadGroup) Dumpable() int {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return tg.dumpable
}

// SetDumpable is PR_SET_DUMPABLE.
func (tg *ThreadGroup) SetDumpable(v int) {
	tg.k.mu.Lock()
	tg.dumpable = v
	tg.k.mu.Unlock()
}

// THPDisabled is PR_GET_THP_DISABLE.
func (tg *ThreadGroup) THPDisabled() bool { return tg.thpDisabled.Load() }

// SetTHPDisabled is PR_SET_THP_DISABLE. Huge pages are the host's affair.
func (tg *ThreadGroup) SetTHPDisabled(on bool) { tg.thpDisabled.Store(on) }

// ChangeIDs gives the calling task credentials with other ids: what a program that
// changes its ids may leave behind in memory is not for others to see, and
// PR_SET_PDEATHSIG is cleared.
func (t *Task) ChangeIDs(c *cred.Credentials) {
	old := t.Credentials()
	if old.EUID != c.EUID || old.EGID != c.EGID || old.FSUID != c.FSUID || old.FSGID != c.FSGID || c.Permitted&^old.Permitted != 0 {
		t.tg.SetDumpable(DumpableNone)
		t.deathSignal.Store(0)
	}
	t.SetCredentials(c)
}
