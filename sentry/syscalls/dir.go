package syscalls

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// direntBuffer is how much one getdents(2) returns at most.
const direntBuffer = 32 << 10

var direntBuffers = sync.Pool{New: func() any { return new([direntBuffer]byte) }}

// sysGetdents64 is getdents64(2).
func sysGetdents64(t *kernel.Task, a kernel.Args) (uint64, error) {
	return getdents(t, a.Int(0), a.Ptr(1), a.Uint(2), true)
}

// sysGetdents is getdents(2), whose entries have the type behind the name.
func sysGetdents(t *kernel.Task, a kernel.Args) (uint64, error) {
	return getdents(t, a.Int(0), a.Ptr(1), a.Uint(2), false)
}

func getdents(t *kernel.Task, fd int32, addr uint64, count uint32, wide bool) (uint64, error) {
	f, err := getFile(t, fd)
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	pooled := direntBuffers.Get().(*[direntBuffer]byte)
	defer direntBuffers.Put(pooled)
	buf := pooled[:min(count, direntBuffer)]
	used, full := 0, false
	e := vfs.DirEmitter{Func: func(name string, ino uint64, typ uint8, next int64) bool {
		header := 19
		if !wide {
			header = 18
		}
		size := header + len(name) + 1
		if !wide {
			size++
		}
		size = (size + 7) &^ 7
		if used+size > len(buf) {
			full = true
			return false
		}
		b := buf[used : used+size]
		clear(b)
		le.PutUint64(b[0:], ino)
		le.PutUint64(b[8:], uint64(next))
		le.PutUint16(b[16:], uint16(size))
		if wide {
			b[18] = typ
		} else {
			b[size-1] = typ
		}
		copy(b[header:], name)
		used += size
		return true
	}}
	err = f.ReadDir(t.FSContext(), &e)
	if used == 0 {
		if err == nil && full {
			err = unix.EINVAL
		}
		return 0, err
	}
	if err := copyOut(t, addr, buf[:used]); err != nil {
		return 0, err
	}
	return uint64(used), nil
}

// sysGetcwd is getcwd(2).
func sysGetcwd(t *kernel.Task, a kernel.Args) (uint64, error) {
	name, err := t.FSContext().Getcwd()
	if err != nil {
		return 0, err
	}
	if uint64(len(name)) >= a.Size(1) {
		return 0, unix.ERANGE
	}
	b := append([]byte(name), 0)
	if err := copyOut(t, a.Ptr(0), b); err != nil {
		return 0, err
	}
	return uint64(len(b)), nil
}

// enter checks that the task may make p, which it walked to, its working or root
// directory.
func enter(t *kernel.Task, p vfs.Path) error {
	if !p.Inode().IsDir() {
		return unix.ENOTDIR
	}
	return p.Inode().Permission(t.FSContext(), vfs.MayExec)
}

// sysChdir is chdir(2).
func sysChdir(t *kernel.Task, a kernel.Args) (uint64, error) {
	p, err := walkAt(t, unix.AT_FDCWD, a.Ptr(0), vfs.WalkFollow|vfs.WalkDirectory)
	if err != nil {
		return 0, err
	}
	defer p.DecRef()
	if err := enter(t, p); err != nil {
		return 0, err
	}
	t.FSContext().FS.SetCwd(p)
	return 0, nil
}

// sysFchdir is fchdir(2).
func sysFchdir(t *kernel.Task, a kernel.Args) (uint64, error) {
	f := t.FDTable().GetPath(a.Int(0))
	if f == nil {
		return 0, unix.EBADF
	}
	defer f.DecRef()
	if err := enter(t, f.Path()); err != nil {
		return 0, err
	}
	t.FSContext().FS.SetCwd(f.Path())
	return 0, nil
}

// sysChroot is chroot(2).
func sysChroot(t *kernel.Task, a kernel.Args) (uint64, error) {
	p, err := walkAt(t, unix.AT_FDCWD, a.Ptr(0), vfs.WalkFollow|vfs.WalkDirectory)
	if err != nil {
		return 0, err
	}
	defer p.DecRef()
	if err := enter(t, p); err != nil {
		return 0, err
	}
	if !t.HasCap(unix.CAP_SYS_CHROOT) {
		return 0, unix.EPERM
	}
	t.FSContext().FS.SetRoot(p)
	return 0, nil
}
