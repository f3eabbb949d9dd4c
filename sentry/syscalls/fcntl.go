package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/pipe"
	"casemate/vfs/tmpfs"
)

// sysFcntl is fcntl(2).
func sysFcntl(t *kernel.Task, a kernel.Args) (uint64, error) {
	fd, cmd, arg := a.Int(0), a.Int(1), a[2]
	table := t.FDTable()
	f := table.GetPath(fd)
	if f == nil {
		return 0, unix.EBADF
	}
	defer f.DecRef()
	switch cmd {
	case unix.F_DUPFD, unix.F_DUPFD_CLOEXEC:
		limit := maxFDs(t)
		if int32(arg) < 0 || arg >= limit {
			return 0, unix.EINVAL
		}
		f.IncRef()
		n, err := table.Add(f, int32(arg), cmd == unix.F_DUPFD_CLOEXEC, limit)
		if err != nil {
			f.DecRef()
			return 0, err
		}
		return uint64(n), nil
	case unix.F_GETFD:
		if on, _ := table.Cloexec(fd); on {
			return unix.FD_CLOEXEC, nil
		}
		return 0, nil
	case unix.F_SETFD:
		return 0, table.SetCloexec(fd, arg&unix.FD_CLOEXEC != 0)
	case unix.F_GETFL:
		return uint64(f.Flags()), nil
	}
	if f.IsPath() {
		return 0, unix.EBADF
	}
	switch cmd {
	case unix.F_SETFL:
		return 0, setStatusFlags(t, f, fd, uint32(arg))
	case unix.F_GETLK, unix.F_SETLK, unix.F_SETLKW, fOFDGetlk, fOFDSetlk, fOFDSetlkw:
		return 0, recordLock(t, f, cmd, arg)
	case unix.F_SETOWN, unix.F_GETOWN, unix.F_SETOWN_EX, unix.F_GETOWN_EX, unix.F_SETSIG, unix.F_GETSIG:
		return fileOwner(t, f, cmd, arg)
	case unix.F_SETPIPE_SZ:
		p := pipe.Of(f)
		if p == nil {
			return 0, unix.EBADF
		}
		n, err := p.Resize(uint32(arg), t.HasCap(unix.CAP_SYS_RESOURCE))
		return uint64(n), err
	case unix.F_GETPIPE_SZ:
		p := pipe.Of(f)
		if p == nil {
			return 0, unix.EBADF
		}
		return uint64(p.Size()), nil
	case unix.F_GET_SEALS:
		s, err := tmpfs.Seals(f.Inode())
		return uint64(s), err
	case unix.F_ADD_SEALS:
		return 0, tmpfs.AddSeals(f, uint32(arg))
	case unix.F_GETLEASE:
		return unix.F_UNLCK, nil
	case unix.F_SETLEASE:
		return 0, setLease(t, f, int32(arg))
	}
	return 0, unix.EINVAL
}

// setLease serves F_SETLEASE as for file systems that have no leases: EINVAL, where
// nothing else stands against one.
func setLease(t *kernel.Task, f *vfs.File, typ int32) error {
	in := f.Inode()
	if t.FSContext().Cred.FSUID != in.UID() && !t.HasCap(unix.CAP_LEASE) {
		return unix.EACCES
	}
	if in.IsRegular() && (typ == unix.F_UNLCK || typ == unix.F_RDLCK && in.OpenForWriting()) {
		return unix.EAGAIN
	}
	return unix.EINVAL
}

// Commands of open file description locks, fcntl(2).
const (
	fOFDGetlk  = 36 // F_OFD_GETLK
	fOFDSetlk  = 37 // F_OFD_SETLK
	fOFDSetlkw = 38 // F_OFD_SETLKW
)

// setStatusFlags serves F_SETFL.
func setStatusFlags(t *kernel.Task, f *vfs.File, fd int32, flags uint32) error {
	if flags&unix.O_NOATIME != 0 && f.Flags()&unix.O_NOATIME == 0 && !f.Inode().OwnerOrCapable(t.FSContext()) {
		return unix.EPERM
	}
	f.SetFlags(flags, vfs.SettableFlags)
	t.Kernel().SetAsync(f, fd, flags&unix.O_ASYNC != 0)
	return nil
}

// sysDup is dup(2).
func sysDup(t *kernel.Task, a kernel.Args) (uint64, error) {
	f := t.FDTable().GetPath(a.Int(0))
	if f == nil {
		return 0, unix.EBADF
	}
	return addFile(t, f, false)
}

// sysDup2 is dup2(2).
func sysDup2(t *kernel.Task, a kernel.Args) (uint64, error) {
	old, to := a.Int(0), a.Int(1)
	if old == to {
		f := t.FDTable().GetPath(old)
		if f == nil {
			return 0, unix.EBADF
		}
		f.DecRef()
		return uint64(to), nil
	}
	return dupTo(t, old, to, false)
}

// sysDup3 is dup3(2).
func sysDup3(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(2)
	if flags&^unix.O_CLOEXEC != 0 || a.Int(0) == a.Int(1) {
		return 0, unix.EINVAL
	}
	return dupTo(t, a.Int(0), a.Int(1), flags&unix.O_CLOEXEC != 0)
}

func dupTo(t *kernel.Task, old, to int32, cloexec bool) (uint64, error) {
	if to < 0 || uint64(to) >= maxFDs(t) {
		return 0, unix.EBADF
	}
	f := t.FDTable().GetPath(old)
	if f == nil {
		return 0, unix.EBADF
	}
	if err := t.FDTable().Replace(t.FSContext(), t.ThreadGroup(), to, f, cloexec, maxFDs(t)); err != nil {
		f.DecRef()
		return 0, err
	}
	return uint64(to), nil
}
