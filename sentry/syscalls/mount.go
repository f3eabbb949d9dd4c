package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

const (
	msMgcVal = 0xc0ed0000 // MS_MGC_VAL
	msMgcMsk = 0xffff0000 // MS_MGC_MSK

	propagationFlags = unix.MS_SHARED | unix.MS_PRIVATE | unix.MS_SLAVE | unix.MS_UNBINDABLE
	maxMountData     = 4096
)

// optionalString reads a string, which may be missing.
func optionalString(t *kernel.Task, addr uint64, max int) (string, error) {
	if addr == 0 {
		return "", nil
	}
	s, err := t.Memory().CopyInString(addr, max)
	if err == unix.ENAMETOOLONG {
		err = unix.EINVAL
	}
	return s, err
}

// sysMount is mount(2).
func sysMount(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a[3]
	if flags&msMgcMsk == msMgcVal {
		flags &^= msMgcMsk
	}
	fstype, err := optionalString(t, a.Ptr(2), maxMountData)
	if err != nil {
		return 0, err
	}
	source, err := optionalString(t, a.Ptr(0), unix.PathMax)
	if err != nil {
		return 0, err
	}
	data, err := optionalString(t, a.Ptr(4), maxMountData)
	if err != nil {
		return 0, err
	}
	dst, err := walkAt(t, unix.AT_FDCWD, a.Ptr(1), vfs.WalkFollow)
	if err != nil {
		return 0, err
	}
	defer dst.DecRef()
	return 0, mount(t, source, dst, fstype, uint32(flags), data)
}

func mount(t *kernel.Task, source string, dst vfs.Path, fstype string, flags uint32, data string) error {
	ctx := t.FSContext()
	if !t.Credentials().HasCapIn(unix.CAP_SYS_ADMIN, ctx.MountNS.UserNS) {
		return unix.EPERM
	}
	switch {
	case flags&(unix.MS_REMOUNT|unix.MS_BIND) == unix.MS_REMOUNT|unix.MS_BIND:
		return ctx.Remount(dst, flags, data, true)
	case flags&unix.MS_REMOUNT != 0:
		return ctx.Remount(dst, flags, data, false)
	case flags&unix.MS_BIND != 0, flags&unix.MS_MOVE != 0 && flags&propagationFlags == 0:
		if source == "" {
			return unix.EINVAL
		}
		src, err := ctx.Walk(vfs.Start{}, source, vfs.WalkFollow)
		if err != nil {
			return err
		}
		defer src.DecRef()
		if flags&unix.MS_BIND != 0 {
			return ctx.Bind(src, dst, flags&unix.MS_REC != 0)
		}
		return ctx.Move(src, dst)
	case flags&propagationFlags != 0:
		typ := flags & propagationFlags
		if typ&(typ-1) != 0 || flags&^(propagationFlags|unix.MS_REC|unix.MS_SILENT) != 0 {
			return unix.EINVAL
		}
		return ctx.SetPropagation(dst, typ, flags&unix.MS_REC != 0)
	}
	if fstype == "" {
		return unix.EINVAL
	}
	return ctx.NewMount(source, dst, fstype, flags, data)
}

const umountNofollow = 8 // UMOUNT_NOFOLLOW

// sysUmount2 is umount2(2).
func sysUmount2(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Int(1)
	if flags&^(unix.MNT_FORCE|unix.MNT_DETACH|unix.MNT_EXPIRE|umountNofollow) != 0 {
		return 0, unix.EINVAL
	}
	walk := uint32(vfs.WalkFollow)
	if flags&umountNofollow != 0 {
		walk = 0
	}
	p, err := walkAt(t, unix.AT_FDCWD, a.Ptr(0), walk)
	if err != nil {
		return 0, err
	}
	return 0, t.FSContext().Unmount(p, int(flags))
}

// sysPivotRoot is pivot_root(2).
func sysPivotRoot(t *kernel.Task, a kernel.Args) (uint64, error) {
	n, err := walkAt(t, unix.AT_FDCWD, a.Ptr(0), vfs.WalkFollow|vfs.WalkDirectory)
	if err != nil {
		return 0, err
	}
	defer n.DecRef()
	o, err := walkAt(t, unix.AT_FDCWD, a.Ptr(1), vfs.WalkFollow|vfs.WalkDirectory)
	if err != nil {
		return 0, err
	}
	defer o.DecRef()
	return 0, t.FSContext().PivotRoot(n, o)
}
