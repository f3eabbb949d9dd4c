package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/wait"
)

// knownOpenFlags are the flags that open(2) does not ignore.
const knownOpenFlags = unix.O_ACCMODE | unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_TRUNC | unix.O_APPEND |
	unix.O_NONBLOCK | unix.O_SYNC | unix.O_DSYNC | unix.O_ASYNC | unix.O_DIRECT | oLargefile | unix.O_DIRECTORY |
	unix.O_NOFOLLOW | unix.O_NOATIME | unix.O_CLOEXEC | unix.O_PATH | unix.O_TMPFILE

// openFile is what all forms of open have in common.
func openFile(t *kernel.Task, dirfd int32, path string, flags, mode uint32, resolve uint64) (uint64, error) {
	from := path
	if resolve&(unix.RESOLVE_BENEATH|unix.RESOLVE_IN_ROOT) != 0 {
		from = "" // an absolute path, too, begins at dirfd
	}
	at, dir, err := startAt(t, dirfd, from)
	if err != nil {
		return 0, err
	}
	defer release(dir)
	at.Resolve = resolve
	if flags&unix.O_PATH != 0 {
		flags &= unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	} else {
		flags |= oLargefile
		if flags&(unix.O_TMPFILE&^unix.O_DIRECTORY) != 0 {
			if flags&unix.O_TMPFILE != unix.O_TMPFILE || flags&unix.O_ACCMODE == unix.O_RDONLY {
				return 0, unix.EINVAL
			}
		}
		if flags&unix.O_CREAT != 0 && flags&unix.O_DIRECTORY != 0 && flags&unix.O_TMPFILE != unix.O_TMPFILE {
			return 0, unix.EINVAL
		}
	}
	table := t.FDTable()
	fd, err := table.Reserve(0, maxFDs(t))
	if err != nil {
		return 0, err
	}
	f, err := t.FSContext().Open(at, path, flags, mode)
	if err == nil {
		if err = openWait(t, f); err != nil {
			f.DecRef()
		}
	}
	if err != nil {
		table.Unreserve(fd)
		return 0, err
	}
	table.Install(fd, f, flags&unix.O_CLOEXEC != 0)
	return uint64(fd), nil
}

// openWait waits until the other end of a FIFO has been opened too.
func openWait(t *kernel.Task, f *vfs.File) error {
	w, ok := f.Ops().(vfs.OpenWaiter)
	if !ok || w.OpenDone(f) {
		return nil
	}
	_, err := waitFile(t, f, wait.In|wait.Out|wait.RdNorm|wait.WrNorm, 0, func() (int, error) {
		if w.OpenDone(f) {
			return 0, nil
		}
		return 0, unix.EAGAIN
	})
	return err
}

// sysOpen is open(2).
func sysOpen(t *kernel.Task, a kernel.Args) (uint64, error) {
	path, err := getPath(t, a.Ptr(0))
	if err != nil {
		return 0, err
	}
	return openFile(t, unix.AT_FDCWD, path, a.Uint(1)&knownOpenFlags, a.Mode(2), 0)
}

// sysCreat is creat(2).
func sysCreat(t *kernel.Task, a kernel.Args) (uint64, error) {
	path, err := getPath(t, a.Ptr(0))
	if err != nil {
		return 0, err
	}
	return openFile(t, unix.AT_FDCWD, path, unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC, a.Mode(1), 0)
}

// sysOpenat is openat(2).
func sysOpenat(t *kernel.Task, a kernel.Args) (uint64, error) {
	path, err := getPath(t, a.Ptr(1))
	if err != nil {
		return 0, err
	}
	return openFile(t, a.Int(0), path, a.Uint(2)&knownOpenFlags, a.Mode(3), 0)
}

// openHowSize is the size of struct open_how in its first version.
const openHowSize = 24

// sysOpenat2 is openat2(2).
func sysOpenat2(t *kernel.Task, a kernel.Args) (uint64, error) {
	size := a.Size(3)
	if size < openHowSize {
		return 0, unix.EINVAL
	}
	if size > 4096 {
		return 0, unix.E2BIG
	}
	b := make([]byte, size)
	if err := copyIn(t, a.Ptr(2), b); err != nil {
		return 0, err
	}
	for _, c := range b[openHowSize:] {
		if c != 0 {
			return 0, unix.E2BIG
		}
	}
	flags, mode, resolve := le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:])
	const knownResolve = unix.RESOLVE_BENEATH | unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS |
		unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV | resolveCached
	makes := flags&(unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) != 0
	switch {
	case flags&^knownOpenFlags != 0, resolve&^knownResolve != 0,
		resolve&(unix.RESOLVE_BENEATH|unix.RESOLVE_IN_ROOT) == unix.RESOLVE_BENEATH|unix.RESOLVE_IN_ROOT,
		makes && mode&^0o7777 != 0, !makes && mode != 0,
		flags&unix.O_PATH != 0 && flags&^(unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC) != 0:
		return 0, unix.EINVAL
	case resolve&resolveCached != 0 && flags&(unix.O_TRUNC|unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) != 0:
		return 0, unix.EAGAIN
	}
	path, err := getPath(t, a.Ptr(1))
	if err != nil {
		return 0, err
	}
	return openFile(t, a.Int(0), path, uint32(flags), uint32(mode), resolve)
}

const resolveCached = 0x20 // RESOLVE_CACHED

// sysClose is close(2).
func sysClose(t *kernel.Task, a kernel.Args) (uint64, error) {
	err := t.FDTable().Close(t.FSContext(), t.ThreadGroup(), a.Int(0))
	if err == kernel.ErrRestartSys {
		err = unix.EINTR // the descriptor is gone: there is no second time
	}
	return 0, err
}

// sysCloseRange is close_range(2).
func sysCloseRange(t *kernel.Task, a kernel.Args) (uint64, error) {
	first, last, flags := a.Uint(0), a.Uint(1), a.Uint(2)
	if flags&^(unix.CLOSE_RANGE_UNSHARE|unix.CLOSE_RANGE_CLOEXEC) != 0 || first > last {
		return 0, unix.EINVAL
	}
	if flags&unix.CLOSE_RANGE_UNSHARE != 0 {
		t.UnshareFDs()
	}
	if flags&unix.CLOSE_RANGE_CLOEXEC != 0 {
		t.FDTable().CloexecRange(first, last)
	} else {
		t.FDTable().CloseRange(t.FSContext(), t.ThreadGroup(), first, last)
	}
	return 0, nil
}

// sysUmask is umask(2).
func sysUmask(t *kernel.Task, a kernel.Args) (uint64, error) {
	return uint64(t.FSContext().FS.SetUmask(a.Uint(0))), nil
}
