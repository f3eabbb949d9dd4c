package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

const (
	xattrNameMax = 255     // XATTR_NAME_MAX
	xattrSizeMax = 1 << 16 // XATTR_SIZE_MAX
)

// xattrName reads the name of an attribute: ERANGE if it is too long or empty.
func xattrName(t *kernel.Task, addr uint64) (string, error) {
	s, err := t.Memory().CopyInString(addr, xattrNameMax+1)
	if err == unix.ENAMETOOLONG || err == nil && s == "" {
		err = unix.ERANGE
	}
	return s, err
}

// noFD stands for a descriptor in calls that have a path instead.
const noFD = -1 << 31

// xattrPath calls f with the path at addr, or with that of fd if it is not noFD.
func xattrPath(t *kernel.Task, fd int32, addr uint64, walk uint32, f func(p vfs.Path) (uint64, error)) (uint64, error) {
	if fd != noFD {
		file, err := getFile(t, fd)
		if err != nil {
			return 0, err
		}
		defer file.DecRef()
		return f(file.Path())
	}
	p, err := walkAt(t, unix.AT_FDCWD, addr, walk)
	if err != nil {
		return 0, err
	}
	defer p.DecRef()
	return f(p)
}

func getxattr(t *kernel.Task, fd int32, path uint64, walk uint32, a *kernel.Args) (uint64, error) {
	name, err := xattrName(t, a.Ptr(1))
	if err != nil {
		return 0, err
	}
	return xattrPath(t, fd, path, walk, func(p vfs.Path) (uint64, error) {
		v, err := t.FSContext().Getxattr(p, name)
		if err != nil {
			return 0, err
		}
		return giveBytes(t, a.Ptr(2), a.Size(3), v)
	})
}

// giveBytes writes v to a buffer and returns its length; with a size of 0 only
// that. ERANGE if there is no room.
func giveBytes(t *kernel.Task, addr, size uint64, v []byte) (uint64, error) {
	if size == 0 {
		return uint64(len(v)), nil
	}
	if uint64(len(v)) > size {
		return 0, unix.ERANGE
	}
	return uint64(len(v)), copyOut(t, addr, v)
}

// sysGetxattr is getxattr(2).
func sysGetxattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return getxattr(t, noFD, a.Ptr(0), vfs.WalkFollow, &a)
}

// sysLgetxattr is lgetxattr(2).
func sysLgetxattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return getxattr(t, noFD, a.Ptr(0), 0, &a)
}

// sysFgetxattr is fgetxattr(2).
func sysFgetxattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return getxattr(t, a.Int(0), 0, 0, &a)
}

func setxattr(t *kernel.Task, fd int32, path uint64, walk uint32, a *kernel.Args) (uint64, error) {
	size, flags := a.Size(3), a.Int(4)
	if flags&^(unix.XATTR_CREATE|unix.XATTR_REPLACE) != 0 {
		return 0, unix.EINVAL
	}
	name, err := xattrName(t, a.Ptr(1))
	if err != nil {
		return 0, err
	}
	if size > xattrSizeMax {
		return 0, unix.E2BIG
	}
	v := make([]byte, size)
	if err := copyIn(t, a.Ptr(2), v); err != nil {
		return 0, err
	}
	return xattrPath(t, fd, path, walk, func(p vfs.Path) (uint64, error) {
		return 0, t.FSContext().Setxattr(p, name, v, int(flags))
	})
}

// sysSetxattr is setxattr(2).
func sysSetxattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return setxattr(t, noFD, a.Ptr(0), vfs.WalkFollow, &a)
}

// sysLsetxattr is lsetxattr(2).
func sysLsetxattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return setxattr(t, noFD, a.Ptr(0), 0, &a)
}

// sysFsetxattr is fsetxattr(2).
func sysFsetxattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return setxattr(t, a.Int(0), 0, 0, &a)
}

func listxattr(t *kernel.Task, fd int32, path uint64, walk uint32, a *kernel.Args) (uint64, error) {
	return xattrPath(t, fd, path, walk, func(p vfs.Path) (uint64, error) {
		names, err := t.FSContext().Listxattr(p)
		if err != nil {
			return 0, err
		}
		var b []byte
		for _, n := range names {
			b = append(append(b, n...), 0)
		}
		return giveBytes(t, a.Ptr(1), a.Size(2), b)
	})
}

// sysListxattr is listxattr(2).
func sysListxattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return listxattr(t, noFD, a.Ptr(0), vfs.WalkFollow, &a)
}

// sysLlistxattr is llistxattr(2).
func sysLlistxattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return listxattr(t, noFD, a.Ptr(0), 0, &a)
}

// sysFlistxattr is flistxattr(2).
func sysFlistxattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return listxattr(t, a.Int(0), 0, 0, &a)
}

func removexattr(t *kernel.Task, fd int32, path uint64, walk uint32, addr uint64) (uint64, error) {
	name, err := xattrName(t, addr)
	if err != nil {
		return 0, err
	}
	return xattrPath(t, fd, path, walk, func(p vfs.Path) (uint64, error) {
		return 0, t.FSContext().Removexattr(p, name)
	})
}

// sysRemovexattr is removexattr(2).
func sysRemovexattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return removexattr(t, noFD, a.Ptr(0), vfs.WalkFollow, a.Ptr(1))
}

// sysLremovexattr is lremovexattr(2).
func sysLremovexattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return removexattr(t, noFD, a.Ptr(0), 0, a.Ptr(1))
}

// sysFremovexattr is fremovexattr(2).
func sysFremovexattr(t *kernel.Task, a kernel.Args) (uint64, error) {
	return removexattr(t, a.Int(0), 0, 0, a.Ptr(1))
}
