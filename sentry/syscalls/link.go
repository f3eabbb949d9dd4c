package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// named calls f with the path at addr and where it begins.
func named(t *kernel.Task, dirfd int32, addr uint64, f func(at vfs.Start, path string) error) (uint64, error) {
	path, err := getPath(t, addr)
	if err != nil {
		return 0, err
	}
	at, dir, err := startAt(t, dirfd, path)
	if err != nil {
		return 0, err
	}
	defer release(dir)
	return 0, f(at, path)
}

func mkdirAt(t *kernel.Task, dirfd int32, addr uint64, mode uint32) (uint64, error) {
	return named(t, dirfd, addr, func(at vfs.Start, path string) error { return t.FSContext().Mkdir(at, path, mode) })
}

// sysMkdir is mkdir(2).
func sysMkdir(t *kernel.Task, a kernel.Args) (uint64, error) {
	return mkdirAt(t, unix.AT_FDCWD, a.Ptr(0), a.Mode(1))
}

// sysMkdirat is mkdirat(2).
func sysMkdirat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return mkdirAt(t, a.Int(0), a.Ptr(1), a.Mode(2))
}

func mknodAt(t *kernel.Task, dirfd int32, addr uint64, mode, dev uint32) (uint64, error) {
	return named(t, dirfd, addr, func(at vfs.Start, path string) error {
		return t.FSContext().Mknod(at, path, mode, vfs.Dev(dev))
	})
}

// sysMknod is mknod(2).
func sysMknod(t *kernel.Task, a kernel.Args) (uint64, error) {
	return mknodAt(t, unix.AT_FDCWD, a.Ptr(0), a.Uint(1), a.Uint(2))
}

// sysMknodat is mknodat(2).
func sysMknodat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return mknodAt(t, a.Int(0), a.Ptr(1), a.Uint(2), a.Uint(3))
}

// sysRmdir is rmdir(2).
func sysRmdir(t *kernel.Task, a kernel.Args) (uint64, error) {
	return named(t, unix.AT_FDCWD, a.Ptr(0), t.FSContext().Rmdir)
}

// sysUnlink is unlink(2).
func sysUnlink(t *kernel.Task, a kernel.Args) (uint64, error) {
	return named(t, unix.AT_FDCWD, a.Ptr(0), t.FSContext().Unlink)
}

// sysUnlinkat is unlinkat(2).
func sysUnlinkat(t *kernel.Task, a kernel.Args) (uint64, error) {
	switch a.Uint(2) {
	case 0:
		return named(t, a.Int(0), a.Ptr(1), t.FSContext().Unlink)
	case unix.AT_REMOVEDIR:
		return named(t, a.Int(0), a.Ptr(1), t.FSContext().Rmdir)
	}
	return 0, unix.EINVAL
}

func symlinkAt(t *kernel.Task, target uint64, dirfd int32, addr uint64) (uint64, error) {
	s, err := getPath(t, target)
	if err != nil {
		return 0, err
	}
	return named(t, dirfd, addr, func(at vfs.Start, path string) error { return t.FSContext().Symlink(s, at, path) })
}

// sysSymlink is symlink(2).
func sysSymlink(t *kernel.Task, a kernel.Args) (uint64, error) {
	return symlinkAt(t, a.Ptr(0), unix.AT_FDCWD, a.Ptr(1))
}

// sysSymlinkat is symlinkat(2).
func sysSymlinkat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return symlinkAt(t, a.Ptr(0), a.Int(1), a.Ptr(2))
}

func linkAt(t *kernel.Task, oldfd int32, old uint64, newfd int32, addr uint64, flags uint32) (uint64, error) {
	if flags&^(unix.AT_SYMLINK_FOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return 0, unix.EINVAL
	}
	name, err := getPath(t, old)
	if err != nil {
		return 0, err
	}
	if name == "" && flags&unix.AT_EMPTY_PATH != 0 && !t.HasCap(unix.CAP_DAC_READ_SEARCH) {
		return 0, unix.ENOENT
	}
	p, err := walkPath(t, oldfd, name, walkFlags(flags, false))
	if err != nil {
		return 0, err
	}
	defer p.DecRef()
	return named(t, newfd, addr, func(at vfs.Start, path string) error { return t.FSContext().Link(p, at, path) })
}

// sysLink is link(2).
func sysLink(t *kernel.Task, a kernel.Args) (uint64, error) {
	return linkAt(t, unix.AT_FDCWD, a.Ptr(0), unix.AT_FDCWD, a.Ptr(1), 0)
}

// sysLinkat is linkat(2).
func sysLinkat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return linkAt(t, a.Int(0), a.Ptr(1), a.Int(2), a.Ptr(3), a.Uint(4))
}

func renameAt(t *kernel.Task, oldfd int32, old uint64, newfd int32, addr uint64, flags uint32) (uint64, error) {
	name, err := getPath(t, old)
	if err != nil {
		return 0, err
	}
	from, dir, err := startAt(t, oldfd, name)
	if err != nil {
		return 0, err
	}
	defer release(dir)
	return named(t, newfd, addr, func(at vfs.Start, path string) error {
		return t.FSContext().Rename(from, name, at, path, flags)
	})
}

// sysRename is rename(2).
func sysRename(t *kernel.Task, a kernel.Args) (uint64, error) {
	return renameAt(t, unix.AT_FDCWD, a.Ptr(0), unix.AT_FDCWD, a.Ptr(1), 0)
}

// sysRenameat is renameat(2).
func sysRenameat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return renameAt(t, a.Int(0), a.Ptr(1), a.Int(2), a.Ptr(3), 0)
}

// sysRenameat2 is renameat2(2).
func sysRenameat2(t *kernel.Task, a kernel.Args) (uint64, error) {
	return renameAt(t, a.Int(0), a.Ptr(1), a.Int(2), a.Ptr(3), a.Uint(4))
}

func readlinkAt(t *kernel.Task, dirfd int32, addr, buf uint64, size int32) (uint64, error) {
	if size <= 0 {
		return 0, unix.EINVAL
	}
	path, err := getPath(t, addr)
	if err != nil {
		return 0, err
	}
	p, err := walkPath(t, dirfd, path, vfs.WalkEmpty)
	if err == nil && path == "" && dirfd == unix.AT_FDCWD {
		p.DecRef()
		err = unix.ENOENT
	}
	if err != nil {
		return 0, err
	}
	defer p.DecRef()
	target, err := t.FSContext().Readlink(p)
	if err != nil {
		if path == "" && err == unix.EINVAL {
			err = unix.ENOENT
		}
		return 0, err
	}
	b := []byte(target)
	b = b[:min(len(b), int(size))]
	if err := copyOut(t, buf, b); err != nil {
		return 0, err
	}
	return uint64(len(b)), nil
}

// sysReadlink is readlink(2).
func sysReadlink(t *kernel.Task, a kernel.Args) (uint64, error) {
	return readlinkAt(t, unix.AT_FDCWD, a.Ptr(0), a.Ptr(1), a.Int(2))
}

// sysReadlinkat is readlinkat(2).
func sysReadlinkat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return readlinkAt(t, a.Int(0), a.Ptr(1), a.Ptr(2), a.Int(3))
}
