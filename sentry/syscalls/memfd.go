package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/tmpfs"
)

// memfdNameMax is the longest name that memfd_create(2) takes.
const memfdNameMax = 249

// sysMemfdCreate is memfd_create(2).
func sysMemfdCreate(t *kernel.Task, a kernel.Args) (uint64, error) {
	const sealExec = unix.MFD_NOEXEC_SEAL | unix.MFD_EXEC
	flags := a.Uint(1)
	if flags&^(unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|sealExec) != 0 || flags&sealExec == sealExec {
		return 0, unix.EINVAL
	}
	name, err := t.Memory().CopyInString(a.Ptr(0), memfdNameMax+1)
	if err != nil {
		if err == unix.ENAMETOOLONG {
			err = unix.EINVAL
		}
		return 0, err
	}
	mode := uint32(0o777)
	if flags&unix.MFD_NOEXEC_SEAL != 0 {
		mode = 0o666
	}
	f, err := t.Kernel().NewMemfd(t.FSContext(), "memfd:"+name, mode, flags&(unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL) != 0)
	if err != nil {
		return 0, err
	}
	f.SetFlags(oLargefile, oLargefile)
	if flags&unix.MFD_NOEXEC_SEAL != 0 {
		if err := tmpfs.AddSeals(f, tmpfs.SealExec); err != nil {
			f.DecRef()
			return 0, err
		}
	}
	return addFile(t, f, flags&unix.MFD_CLOEXEC != 0)
}

// writeSealed reports whether f is a file in memory that must not be written any
// more.
func writeSealed(f *vfs.File) bool {
	s, err := tmpfs.Seals(f.Inode())
	return err == nil && s&(unix.F_SEAL_WRITE|unix.F_SEAL_FUTURE_WRITE) != 0
}
