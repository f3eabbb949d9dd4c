package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// Types of struct f_owner_ex, fcntl(2).
const (
	fOwnerTID  = 0 // F_OWNER_TID
	fOwnerPID  = 1 // F_OWNER_PID
	fOwnerPgrp = 2 // F_OWNER_PGRP
)

// fileOwner serves the commands of fcntl(2) that say who gets SIGIO.
func fileOwner(t *kernel.Task, f *vfs.File, cmd int32, arg uint64) (uint64, error) {
	var o vfs.Owner
	if old := f.Owner(); old != nil {
		o = *old
	} else {
		o.Type = fOwnerPID
	}
	switch cmd {
	case unix.F_GETOWN:
		if o.Type == fOwnerPgrp {
			return uint64(-int64(o.ID)), nil
		}
		return uint64(o.ID), nil
	case unix.F_GETSIG:
		return uint64(o.Signal), nil
	case unix.F_GETOWN_EX:
		b := t.FSContext().Buf[:8]
		le.PutUint32(b, uint32(o.Type))
		le.PutUint32(b[4:], uint32(o.ID))
		return 0, copyOut(t, arg, b)
	case unix.F_SETSIG:
		if arg > kernel.NumSignals {
			return 0, unix.EINVAL
		}
		o.Signal = int32(arg)
	case unix.F_SETOWN:
		o.Type, o.ID = fOwnerPID, int32(arg)
		if o.ID == -1<<31 {
			return 0, unix.EINVAL
		}
		if o.ID < 0 {
			o.Type, o.ID = fOwnerPgrp, -o.ID
		}
	case unix.F_SETOWN_EX:
		b := t.FSContext().Buf[:8]
		if err := copyIn(t, arg, b); err != nil {
			return 0, err
		}
		o.Type, o.ID = int32(le.Uint32(b)), int32(le.Uint32(b[4:]))
		if o.Type < fOwnerTID || o.Type > fOwnerPgrp {
			return 0, unix.EINVAL
		}
	}
	if o.ID != 0 && cmd != unix.F_SETSIG {
		ns := t.PIDNamespace()
		if o.Type == fOwnerTID && ns.Task(o.ID) == nil || o.Type == fOwnerPID && ns.ThreadGroup(o.ID) == nil {
			return 0, unix.ESRCH
		}
	}
	o.Cred, o.Namespace = t.Credentials(), t.PIDNamespace()
	f.SetOwner(&o)
	return 0, nil
}
