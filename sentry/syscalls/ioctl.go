package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
)

// Requests of ioctl(2) that the core serves for any file.
const (
	fioclex  = 0x5451 // FIOCLEX
	fionclex = 0x5450 // FIONCLEX
	fionbio  = 0x5421 // FIONBIO
	fioasync = 0x5452 // FIOASYNC
	fioqsize = 0x5460 // FIOQSIZE
	figetbsz = 2      // FIGETBSZ
)

// sysIoctl is ioctl(2).
func sysIoctl(t *kernel.Task, a kernel.Args) (uint64, error) {
	fd, cmd, arg := a.Int(0), a.Uint(1), a.Ptr(2)
	f, err := getFile(t, fd)
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	switch cmd {
	case fioclex:
		return 0, t.FDTable().SetCloexec(fd, true)
	case fionclex:
		return 0, t.FDTable().SetCloexec(fd, false)
	case fionbio, fioasync:
		on, err := getUint32(t, arg)
		if err != nil {
			return 0, err
		}
		flag := uint32(unix.O_NONBLOCK)
		if cmd == fioasync {
			flag = unix.O_ASYNC
		}
		if on == 0 {
			f.SetFlags(0, flag)
		} else {
			f.SetFlags(flag, flag)
		}
		if cmd == fioasync {
			t.Kernel().SetAsync(f, fd, on != 0)
		}
		return 0, nil
	case fioqsize:
		if !f.Inode().IsRegular() && !f.Inode().IsDir() && !f.Inode().IsSymlink() {
			return 0, unix.ENOTTY
		}
		return 0, putUint64(t, arg, uint64(f.Inode().Size()))
	case figetbsz:
		return 0, putUint32(t, arg, f.Inode().Superblock().BlockSize)
	case unix.TIOCINQ:
		if f.Inode().IsRegular() {
			return 0, putUint32(t, arg, uint32(f.Inode().Size()-f.Pos()))
		}
	}
	return f.Ops().Ioctl(t.FSContext(), f, cmd, arg)
}
