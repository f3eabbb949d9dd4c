package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// setattrAt changes attributes of a path.
func setattrAt(t *kernel.Task, dirfd int32, addr uint64, walk uint32, a *vfs.SetAttr) (uint64, error) {
	p, err := walkAt(t, dirfd, addr, walk)
	if err != nil {
		return 0, err
	}
	defer p.DecRef()
	return 0, setattrPath(t, p, a)
}

func setattrPath(t *kernel.Task, p vfs.Path, a *vfs.SetAttr) error {
	if a.Mask&vfs.AttrMode != 0 && p.Inode().IsSymlink() {
		return unix.EOPNOTSUPP
	}
	return t.FSContext().Setattr(p, a)
}

// setattrFD changes attributes of an open file.
func setattrFD(t *kernel.Task, fd int32, a *vfs.SetAttr) (uint64, error) {
	f, err := getFile(t, fd)
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	return 0, setattrPath(t, f.Path(), a)
}

// sysChmod is chmod(2).
func sysChmod(t *kernel.Task, a kernel.Args) (uint64, error) {
	return setattrAt(t, unix.AT_FDCWD, a.Ptr(0), vfs.WalkFollow, &vfs.SetAttr{Mask: vfs.AttrMode, Mode: a.Mode(1)})
}

// sysFchmod is fchmod(2).
func sysFchmod(t *kernel.Task, a kernel.Args) (uint64, error) {
	return setattrFD(t, a.Int(0), &vfs.SetAttr{Mask: vfs.AttrMode, Mode: a.Mode(1)})
}

// sysFchmodat is fchmodat(2) as the kernel has it, without flags.
func sysFchmodat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return setattrAt(t, a.Int(0), a.Ptr(1), vfs.WalkFollow, &vfs.SetAttr{Mask: vfs.AttrMode, Mode: a.Mode(2)})
}

// sysFchmodat2 is fchmodat2(2).
func sysFchmodat2(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(3)
	if flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return 0, unix.EINVAL
	}
	return setattrAt(t, a.Int(0), a.Ptr(1), walkFlags(flags, true), &vfs.SetAttr{Mask: vfs.AttrMode, Mode: a.Mode(2)})
}

// owner returns the change of owner that chown(2) asks for.
func owner(t *kernel.Task, uid, gid uint32) (*vfs.SetAttr, error) {
	u, g, err := ids(t, uid, gid)
	if err != nil {
		return nil, err
	}
	s := &vfs.SetAttr{UID: u, GID: g}
	if uid != ^uint32(0) {
		s.Mask |= vfs.AttrUID
	}
	if gid != ^uint32(0) {
		s.Mask |= vfs.AttrGID
	}
	return s, nil
}

func chownAt(t *kernel.Task, dirfd int32, addr uint64, uid, gid, walk uint32) (uint64, error) {
	s, err := owner(t, uid, gid)
	if err != nil {
		return 0, err
	}
	return setattrAt(t, dirfd, addr, walk, s)
}

// sysChown is chown(2).
func sysChown(t *kernel.Task, a kernel.Args) (uint64, error) {
	return chownAt(t, unix.AT_FDCWD, a.Ptr(0), a.Uint(1), a.Uint(2), vfs.WalkFollow)
}

// sysLchown is lchown(2).
func sysLchown(t *kernel.Task, a kernel.Args) (uint64, error) {
	return chownAt(t, unix.AT_FDCWD, a.Ptr(0), a.Uint(1), a.Uint(2), 0)
}

// sysFchown is fchown(2).
func sysFchown(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, err := owner(t, a.Uint(1), a.Uint(2))
	if err != nil {
		return 0, err
	}
	return setattrFD(t, a.Int(0), s)
}

// sysFchownat is fchownat(2).
func sysFchownat(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(4)
	if flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return 0, unix.EINVAL
	}
	return chownAt(t, a.Int(0), a.Ptr(1), a.Uint(2), a.Uint(3), walkFlags(flags, true))
}

// fileTime is a time for a file in ns, within what they can hold.
func fileTime(sec, nsec int64) int64 {
	const maxSec = (1<<63-1)/1000000000 - 1
	return min(max(sec, -maxSec), maxSec)*1e9 + nsec
}

// utimes changes the times of a path, or of dirfd itself if addr is 0. s has the
// times; without a mask they are now.
func utimes(t *kernel.Task, dirfd int32, addr uint64, flags uint32, s *vfs.SetAttr) (uint64, error) {
	ctx := t.FSContext()
	var p vfs.Path
	if addr == 0 && dirfd != unix.AT_FDCWD {
		if flags != 0 {
			return 0, unix.EINVAL
		}
		f, err := getFile(t, dirfd)
		if err != nil {
			return 0, err
		}
		defer f.DecRef()
		p = f.Path()
	} else {
		var err error
		if p, err = walkAt(t, dirfd, addr, walkFlags(flags, true)); err != nil {
			return 0, err
		}
		defer p.DecRef()
	}
	if s == nil {
		now := t.Kernel().VFS().Now()
		s = &vfs.SetAttr{Mask: vfs.AttrAtime | vfs.AttrMtime, Atime: now, Mtime: now}
		// Whoever may write may set them to now.
		if !p.Inode().OwnerOrCapable(ctx) {
			if err := p.Inode().Permission(ctx, vfs.MayWrite); err != nil {
				return 0, err
			}
		}
	}
	return 0, ctx.Setattr(p, s)
}

// sysUtimensat is utimensat(2).
func sysUtimensat(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(3)
	if flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return 0, unix.EINVAL
	}
	if a.Ptr(2) == 0 {
		return utimes(t, a.Int(0), a.Ptr(1), flags, nil)
	}
	b := t.FSContext().Buf[:32]
	if err := copyIn(t, a.Ptr(2), b); err != nil {
		return 0, err
	}
	now := t.Kernel().VFS().Now()
	s := &vfs.SetAttr{}
	omitted, nows := 0, 0
	for i, which := range [...]struct {
		time     *int64
		bit, set uint32
	}{{&s.Atime, vfs.AttrAtime, vfs.AttrAtimeSet}, {&s.Mtime, vfs.AttrMtime, vfs.AttrMtimeSet}} {
		sec, nsec := int64(le.Uint64(b[16*i:])), int64(le.Uint64(b[16*i+8:]))
		switch {
		case nsec == unix.UTIME_OMIT:
			omitted++
		case nsec == unix.UTIME_NOW:
			*which.time = now
			s.Mask |= which.bit
			nows++
		case nsec < 0 || nsec >= 1e9:
			return 0, unix.EINVAL
		default:
			*which.time = fileTime(sec, nsec)
			s.Mask |= which.bit | which.set
		}
	}
	switch {
	case omitted == 2:
		return 0, nil
	case nows == 2:
		s = nil
	default:
		// To set one to now and leave the other alone is the owner's too.
		if s.Mask&vfs.AttrAtime != 0 {
			s.Mask |= vfs.AttrAtimeSet
		}
		if s.Mask&vfs.AttrMtime != 0 {
			s.Mask |= vfs.AttrMtimeSet
		}
	}
	return utimes(t, a.Int(0), a.Ptr(1), flags, s)
}

// timesAttr returns the change of times to two values in ns.
func timesAttr(atime, mtime int64) *vfs.SetAttr {
	return &vfs.SetAttr{
		Mask:  vfs.AttrAtime | vfs.AttrMtime | vfs.AttrAtimeSet | vfs.AttrMtimeSet,
		Atime: atime, Mtime: mtime,
	}
}

// sysUtime is utime(2).
func sysUtime(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Ptr(1) == 0 {
		return utimes(t, unix.AT_FDCWD, a.Ptr(0), 0, nil)
	}
	b := t.FSContext().Buf[:16]
	if err := copyIn(t, a.Ptr(1), b); err != nil {
		return 0, err
	}
	s := timesAttr(fileTime(int64(le.Uint64(b)), 0), fileTime(int64(le.Uint64(b[8:])), 0))
	return utimes(t, unix.AT_FDCWD, a.Ptr(0), 0, s)
}

func futimesat(t *kernel.Task, dirfd int32, path, addr uint64) (uint64, error) {
	if addr == 0 {
		return utimes(t, dirfd, path, 0, nil)
	}
	b := t.FSContext().Buf[:32]
	if err := copyIn(t, addr, b); err != nil {
		return 0, err
	}
	var ns [2]int64
	for i := range ns {
		usec := int64(le.Uint64(b[16*i+8:]))
		if usec < 0 || usec >= 1e6 {
			return 0, unix.EINVAL
		}
		ns[i] = fileTime(int64(le.Uint64(b[16*i:])), usec*1000)
	}
	return utimes(t, dirfd, path, 0, timesAttr(ns[0], ns[1]))
}

// sysUtimes is utimes(2).
func sysUtimes(t *kernel.Task, a kernel.Args) (uint64, error) {
	return futimesat(t, unix.AT_FDCWD, a.Ptr(0), a.Ptr(1))
}

// sysFutimesat is futimesat(2).
func sysFutimesat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return futimesat(t, a.Int(0), a.Ptr(1), a.Ptr(2))
}

// sysTruncate is truncate(2).
func sysTruncate(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Long(1) < 0 {
		return 0, unix.EINVAL
	}
	p, err := walkAt(t, unix.AT_FDCWD, a.Ptr(0), vfs.WalkFollow)
	if err != nil {
		return 0, err
	}
	defer p.DecRef()
	return 0, fileError(t, t.FSContext().Truncate(p, a.Long(1)))
}

// sysFtruncate is ftruncate(2).
func sysFtruncate(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Long(1) < 0 {
		return 0, unix.EINVAL
	}
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	return 0, fileError(t, f.Truncate(t.FSContext(), a.Long(1)))
}
