package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/vfs"
)

// SetClearTID sets the address that is cleared, and whose futex is woken, when the
// task exits: set_tid_address(2).
func (t *Task) SetClearTID(addr uint64) { t.clearTID = addr }

// Unshare gives the calling task its own copy of what flags name: unshare(2).
// EINVAL, EPERM, ENOSPC.
func (t *Task) Unshare(flags uint64) error {
	const known = cloneNamespaces | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SYSVSEM |
		unix.CLONE_THREAD | unix.CLONE_SIGHAND | unix.CLONE_VM
	if flags&^known != 0 {
		return unix.EINVAL
	}
	if flags&(unix.CLONE_THREAD|unix.CLONE_SIGHAND|unix.CLONE_VM|unix.CLONE_NEWUSER) != 0 && t.tg.NumTasks() > 1 {
		return unix.EINVAL
	}
	if flags&(unix.CLONE_SIGHAND|unix.CLONE_VM) != 0 && t.MM().Users() > 1 {
		return unix.EINVAL
	}
	ns, c, err := t.cloneNamespaces(flags, t.Credentials())
	if err != nil {
		return err
	}
	if flags&(unix.CLONE_FS|unix.CLONE_NEWUSER|unix.CLONE_NEWNS) != 0 && t.fs.FS.Shared() {
		old := t.fs.FS
		t.fs.FS = old.Fork()
		old.DecRef()
	}
	if flags&unix.CLONE_NEWNS != 0 {
		old := t.fs.MountNS
		t.setMountNamespace(old.Clone(c.UserNS, t.fs.FS))
		old.DecRef()
	}
	if flags&unix.CLONE_FILES != 0 {
		if old := t.fds.Load(); old.Shared() {
			t.fds.Store(old.Fork(vfs.MaxFDs))
			old.DecRef(t.fs, t.tg)
		}
	}
	t.setNamespaces(ns)
	if c != t.Credentials() {
		t.SetCredentials(c)
	}
	return nil
}

// MayPtrace reports whether t may look into o and change it (ptrace(2),
// PTRACE_MODE_ATTACH_REALCREDS): EPERM.
func (t *Task) MayPtrace(o *Task) error {
	if t.tg == o.tg {
		return nil
	}
	c, oc := t.Credentials(), o.Credentials()
	t.k.mu.RLock()
	dumpable := o.tg.dumpable
	t.k.mu.RUnlock()
	same := c.RUID == oc.EUID && c.RUID == oc.SUID && c.RUID == oc.RUID &&
		c.RGID == oc.EGID && c.RGID == oc.SGID && c.RGID == oc.RGID &&
		oc.Permitted&^c.Permitted == 0 && dumpable == DumpableUser
	if same || c.HasCapIn(unix.CAP_SYS_PTRACE, oc.UserNS) {
		return nil
	}
	return unix.EPERM
}
