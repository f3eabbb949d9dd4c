package kernel

import "casemate/vfs"

// UnshareFDs gives the calling task a descriptor table of its own if it shares it:
// unshare(2) with CLONE_FILES, close_range(2).
func (t *Task) UnshareFDs() {
	old := t.fds.Load()
	if !old.Shared() {
		return
	}
	t.fds.Store(old.Fork(vfs.MaxFDs))
	old.DecRef(t.fs, t.tg)
}
