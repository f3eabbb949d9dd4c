package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/platform/arch"
	"casemate/sentry/kernel"
	"casemate/sentry/mm"
)

// mmap is mmap(2).
func mmap(t *kernel.Task, addr, length uint64, prot, flags int, fd int32, off uint64) (uint64, error) {
	if off&arch.PageMask != 0 {
		return 0, unix.EINVAL
	}
	o := mm.MapOptions{
		Addr: addr, Length: length, Prot: prot, Flags: flags, Offset: off,
		MaxProt: unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC,
		Limits:  t.MMLimits(),
	}
	if flags&unix.MAP_ANONYMOUS == 0 {
		f := t.FDTable().Get(fd)
		if f == nil {
			return 0, unix.EBADF
		}
		defer f.DecRef()
		if length == 0 {
			return 0, unix.EINVAL
		}
		shared := flags&unix.MAP_TYPE != unix.MAP_PRIVATE
		if !f.Readable() || shared && prot&unix.PROT_WRITE != 0 && !f.Writable() {
			return 0, unix.EACCES
		}
		if m := f.Path().Mount; m != nil && m.NoExec() {
			if prot&unix.PROT_EXEC != 0 {
				return 0, unix.EPERM
			}
			o.MaxProt &^= unix.PROT_EXEC
		}
		if shared && !f.Writable() {
			o.MaxProt &^= unix.PROT_WRITE
		}
		mappable, err := f.Ops().Mmap(t.FSContext(), f, prot, flags)
		if err != nil {
			return 0, err
		}
		o.File, o.Mappable = f, mappable
	}
	return t.MM().Map(t.Context(), o)
}

// sysMmap is mmap(2).
func sysMmap(t *kernel.Task, a kernel.Args) (uint64, error) {
	return mmap(t, a.Ptr(0), a.Size(1), int(a.Size(2)), int(a.Size(3)), a.Int(4), a.Size(5))
}

// sysMunmap is munmap(2).
func sysMunmap(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.MM().Unmap(t.Context(), a.Ptr(0), a.Size(1))
}

// sysMprotect is mprotect(2).
func sysMprotect(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.MM().Protect(t.Context(), a.Ptr(0), a.Size(1), int(a.Size(2)), t.MMLimits())
}

// sysBrk is brk(2).
func sysBrk(t *kernel.Task, a kernel.Args) (uint64, error) {
	return t.MM().Brk(t.Context(), a.Ptr(0), t.MMLimits()), nil
}
