package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/platform/arch"
	"casemate/sentry/kernel"
	"casemate/sentry/mm"
	"casemate/vfs"
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
		if shared && (!f.Writable() || writeSealed(f)) {
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

// sysMremap is mremap(2).
func sysMremap(t *kernel.Task, a kernel.Args) (uint64, error) {
	return t.MM().Remap(t.Context(), a.Ptr(0), a.Size(1), a.Size(2), int(a.Size(3)), a.Ptr(4), t.MMLimits())
}

// sysMadvise is madvise(2).
func sysMadvise(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.MM().Advise(t.Context(), a.Ptr(0), a.Size(1), int(a.Int(2)))
}

// sysMlock is mlock(2).
func sysMlock(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.MM().Lock(t.Context(), a.Ptr(0), a.Size(1), 0, t.MMLimits())
}

// sysMlock2 is mlock2(2).
func sysMlock2(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.MM().Lock(t.Context(), a.Ptr(0), a.Size(1), int(a.Int(2)), t.MMLimits())
}

// sysMunlock is munlock(2).
func sysMunlock(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.MM().Unlock(t.Context(), a.Ptr(0), a.Size(1))
}

// sysMlockall is mlockall(2).
func sysMlockall(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.MM().LockAll(t.Context(), int(a.Int(0)), t.MMLimits())
}

// sysMunlockall is munlockall(2).
func sysMunlockall(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.MM().UnlockAll(t.Context())
}

// sysMsync is msync(2).
func sysMsync(t *kernel.Task, a kernel.Args) (uint64, error) {
	t.Context().Blocking()
	return 0, t.MM().Sync(a.Ptr(0), a.Size(1), int(a.Int(2)), func(f mm.File, off, length uint64) error {
		if file, ok := f.(*vfs.File); ok {
			return file.Fsync(t.FSContext(), true)
		}
		return nil
	})
}

// mincoreChunk is how many pages are looked up at a time.
const mincoreChunk = 4096

// sysMincore is mincore(2).
func sysMincore(t *kernel.Task, a kernel.Args) (uint64, error) {
	addr, length, out := a.Ptr(0), a.Size(1), a.Ptr(2)
	if addr&arch.PageMask != 0 {
		return 0, unix.EINVAL
	}
	end, ok := arch.PageRoundUp(length)
	if !ok || addr+end < addr {
		return 0, unix.ENOMEM
	}
	vec := make([]byte, min(end>>arch.PageShift, mincoreChunk))
	for pages := end >> arch.PageShift; pages > 0; {
		v := vec[:min(pages, mincoreChunk)]
		if err := t.MM().Mincore(addr, v); err != nil {
			return 0, err
		}
		if err := copyOut(t, out, v); err != nil {
			return 0, err
		}
		n := uint64(len(v))
		addr, out, pages = addr+n<<arch.PageShift, out+n, pages-n
	}
	return 0, nil
}
