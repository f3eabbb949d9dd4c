package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/wait"
)

// startAt returns where path begins, for a dirfd argument. The file, if any, is
// dirfd's, which the caller lets go of by release when the walk is over.
func startAt(t *kernel.Task, dirfd int32, path string) (vfs.Start, *vfs.File, error) {
	if dirfd == unix.AT_FDCWD || path != "" && path[0] == '/' {
		return vfs.Start{}, nil, nil
	}
	f := t.FDTable().GetPath(dirfd)
	if f == nil {
		return vfs.Start{}, nil, unix.EBADF
	}
	return vfs.Start{Path: f.Path()}, f, nil
}

// release lets go of a file, if there is one.
func release(f *vfs.File) {
	if f != nil {
		f.DecRef()
	}
}

// walkAt reads the path at addr and walks it from dirfd. flags are vfs.Walk*.
func walkAt(t *kernel.Task, dirfd int32, addr uint64, flags uint32) (vfs.Path, error) {
	path, err := getPath(t, addr)
	if err != nil {
		return vfs.Path{}, err
	}
	return walkPath(t, dirfd, path, flags)
}

func walkPath(t *kernel.Task, dirfd int32, path string, flags uint32) (vfs.Path, error) {
	at, f, err := startAt(t, dirfd, path)
	if err != nil {
		return vfs.Path{}, err
	}
	defer release(f)
	return t.FSContext().Walk(at, path, flags)
}

// walkFlags translates AT_* flags; follow says whether links are followed without
// AT_SYMLINK_FOLLOW or AT_SYMLINK_NOFOLLOW.
func walkFlags(at uint32, follow bool) uint32 {
	var w uint32
	if at&unix.AT_SYMLINK_NOFOLLOW != 0 {
		follow = false
	}
	if at&unix.AT_SYMLINK_FOLLOW != 0 {
		follow = true
	}
	if follow {
		w |= vfs.WalkFollow
	}
	if at&unix.AT_EMPTY_PATH != 0 {
		w |= vfs.WalkEmpty
	}
	return w
}

// getFile returns the open file of a descriptor with a reference: EBADF.
func getFile(t *kernel.Task, fd int32) (*vfs.File, error) {
	f := t.FDTable().Get(fd)
	if f == nil {
		return nil, unix.EBADF
	}
	return f, nil
}

// maxFDs is the soft limit on descriptors.
func maxFDs(t *kernel.Task) uint64 {
	return t.ThreadGroup().Limits().Get(unix.RLIMIT_NOFILE).Cur
}

// addFile gives f a descriptor; f is let go of if there is none left.
func addFile(t *kernel.Task, f *vfs.File, cloexec bool) (uint64, error) {
	fd, err := t.FDTable().Add(f, 0, cloexec, maxFDs(t))
	if err != nil {
		f.DecRef()
		return 0, err
	}
	return uint64(fd), nil
}

// fileError turns the file system's own codes into errno, and sends the signals
// that go with errors.
func fileError(t *kernel.Task, err error) error {
	switch err {
	case vfs.EFSIZE:
		t.SignalSelf(unix.SIGXFSZ)
		return unix.EFBIG
	}
	return err
}

// waitFile calls try until it gives something else than EAGAIN, waiting for
// events of f in between. It does not wait if f is not to block. timeout limits
// the wait, in ns; 0 does not.
func waitFile(t *kernel.Task, f *vfs.File, events wait.Events, timeout int64, try func() (int, error)) (int, error) {
	deadline := clock.Never
	if timeout > 0 {
		deadline = clock.Monotonic() + timeout
	}
	e := t.WaitEntry()
	f.Ops().Register(e, events)
	defer f.Ops().Unregister(e)
	for {
		n, err := try()
		if err != unix.EAGAIN {
			return n, err
		}
		if err := t.Block(deadline); err != nil {
			// What has come counts more than a signal or the time.
			if n, again := try(); again != unix.EAGAIN {
				return n, again
			}
			if err == unix.ETIMEDOUT {
				return 0, unix.EAGAIN
			}
			if timeout > 0 {
				return 0, unix.EINTR
			}
			return 0, err
		}
	}
}

// ids translates ids of the task's user namespace; (uid_t)-1 stays. EINVAL for one
// that has no mapping.
func ids(t *kernel.Task, uid, gid uint32) (cred.UID, cred.GID, error) {
	ns := t.Credentials().UserNS
	u, g := cred.NoUID, cred.NoGID
	ok := true
	if uid != ^uint32(0) {
		if u, ok = ns.ToUID(uid); !ok {
			return 0, 0, unix.EINVAL
		}
	}
	if gid != ^uint32(0) {
		if g, ok = ns.ToGID(gid); !ok {
			return 0, 0, unix.EINVAL
		}
	}
	return u, g, nil
}

func credUID(id uint32) cred.UID { return cred.UID(id) }

func credGID(id uint32) cred.GID { return cred.GID(id) }
