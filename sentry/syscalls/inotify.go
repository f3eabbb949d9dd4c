package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/inotify"
)

// sysInotifyInit is inotify_init(2).
func sysInotifyInit(t *kernel.Task, _ kernel.Args) (uint64, error) { return inotifyInit(t, 0) }

// sysInotifyInit1 is inotify_init1(2).
func sysInotifyInit1(t *kernel.Task, a kernel.Args) (uint64, error) { return inotifyInit(t, a.Uint(0)) }

func inotifyInit(t *kernel.Task, flags uint32) (uint64, error) {
	if flags&^(unix.IN_CLOEXEC|unix.IN_NONBLOCK) != 0 {
		return 0, unix.EINVAL
	}
	return t.AddAnonFile("inotify", unix.O_RDONLY|flags&unix.IN_NONBLOCK, flags&unix.IN_CLOEXEC != 0, inotify.New())
}

// sysInotifyAddWatch is inotify_add_watch(2).
func sysInotifyAddWatch(t *kernel.Task, a kernel.Args) (uint64, error) {
	mask := a.Uint(2)
	const flags = unix.IN_DONT_FOLLOW | unix.IN_EXCL_UNLINK | unix.IN_MASK_ADD | unix.IN_MASK_CREATE | unix.IN_ONESHOT | unix.IN_ONLYDIR
	if mask&(unix.IN_ALL_EVENTS|flags) == 0 || mask&(unix.IN_MASK_ADD|unix.IN_MASK_CREATE) == unix.IN_MASK_ADD|unix.IN_MASK_CREATE {
		return 0, unix.EINVAL
	}
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	i := inotify.Of(f)
	if i == nil {
		return 0, unix.EINVAL
	}
	var walk uint32
	if mask&unix.IN_DONT_FOLLOW == 0 {
		walk |= vfs.WalkFollow
	}
	if mask&unix.IN_ONLYDIR != 0 {
		walk |= vfs.WalkDirectory
	}
	p, err := walkAt(t, unix.AT_FDCWD, a.Ptr(1), walk)
	if err != nil {
		return 0, err
	}
	defer p.DecRef()
	if err := p.Inode().Permission(t.FSContext(), vfs.MayRead); err != nil {
		return 0, err
	}
	wd, err := i.Add(p.Inode(), mask)
	return uint64(wd), err
}

// sysInotifyRmWatch is inotify_rm_watch(2).
func sysInotifyRmWatch(t *kernel.Task, a kernel.Args) (uint64, error) {
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	i := inotify.Of(f)
	if i == nil {
		return 0, unix.EINVAL
	}
	return 0, i.Remove(a.Int(1))
}
