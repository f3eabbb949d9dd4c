package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/wait"
)

// recordLock serves the commands of fcntl(2) for record locks; arg is the address
// of a struct flock.
func recordLock(t *kernel.Task, f *vfs.File, cmd int32, arg uint64) error {
	ofd := cmd >= fOFDGetlk
	b := t.FSContext().Buf[:32]
	if err := copyIn(t, arg, b); err != nil {
		return err
	}
	l := vfs.Lock{Type: int16(le.Uint16(b)), PID: t.ThreadGroup().PID(), Owner: t.ThreadGroup()}
	whence := int16(le.Uint16(b[2:]))
	start, length := int64(le.Uint64(b[8:])), int64(le.Uint64(b[16:]))
	if ofd {
		if le.Uint32(b[24:]) != 0 {
			return unix.EINVAL
		}
		l.PID, l.Owner = vfs.OFDPID, f
	}
	if l.Type != unix.F_RDLCK && l.Type != unix.F_WRLCK && l.Type != unix.F_UNLCK {
		return unix.EINVAL
	}
	switch whence {
	case unix.SEEK_SET:
	case unix.SEEK_CUR:
		start += f.Pos()
	case unix.SEEK_END:
		start += f.Inode().Size()
	default:
		return unix.EINVAL
	}
	l.Start, l.End = start, vfs.MaxLockEnd
	if length > 0 {
		if start > vfs.MaxLockEnd-(length-1) {
			return unix.EOVERFLOW
		}
		l.End = start + length - 1
	} else if length < 0 {
		l.Start, l.End = start+length, start-1
	}
	if l.Start < 0 {
		return unix.EINVAL
	}
	switch cmd {
	case unix.F_GETLK, fOFDGetlk:
		if l.Type == unix.F_UNLCK {
			return unix.EINVAL
		}
		o, ok := f.GetLock(&l)
		if !ok {
			le.PutUint16(b, unix.F_UNLCK)
			return copyOut(t, arg, b)
		}
		le.PutUint16(b, uint16(o.Type))
		le.PutUint16(b[2:], unix.SEEK_SET)
		le.PutUint64(b[8:], uint64(o.Start))
		n := o.End - o.Start + 1
		if o.End == vfs.MaxLockEnd {
			n = 0
		}
		le.PutUint64(b[16:], uint64(n))
		le.PutUint32(b[24:], uint32(o.PID))
		return copyOut(t, arg, b)
	case unix.F_SETLK, fOFDSetlk:
		return f.SetLock(&l, false)
	}
	defer f.CancelLock(l.Owner)
	return waitLock(t, f, func() error { return f.SetLock(&l, true) })
}

// waitLock calls try until it gives something else than EAGAIN, waiting for locks
// on f to go in between.
func waitLock(t *kernel.Task, f *vfs.File, try func() error) error {
	e := t.WaitEntry()
	q := f.LockQueue()
	q.Register(e, wait.In)
	defer q.Unregister(e)
	for {
		if err := try(); err != unix.EAGAIN {
			return err
		}
		if err := t.Block(clock.Never); err != nil {
			return err
		}
	}
}

const lockMand = 32 // LOCK_MAND

// sysFlock is flock(2).
func sysFlock(t *kernel.Task, a kernel.Args) (uint64, error) {
	op := int(a.Int(1))
	if op&lockMand != 0 {
		return 0, nil // Linux took these locks away, but not the flag
	}
	typ := op &^ unix.LOCK_NB
	if typ != unix.LOCK_SH && typ != unix.LOCK_EX && typ != unix.LOCK_UN {
		return 0, unix.EINVAL
	}
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	if typ == unix.LOCK_UN || op&unix.LOCK_NB != 0 {
		return 0, f.Flock(typ)
	}
	return 0, waitLock(t, f, func() error { return f.Flock(typ) })
}
