package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// setBuffer makes ctx.Seq the buffer of a call. EFAULT if it does not lie where
// applications can have memory.
func setBuffer(t *kernel.Task, addr, length uint64) error {
	if !inUserRange(t, addr, length) {
		return unix.EFAULT
	}
	t.FSContext().Seq = usermem.Single(t.Memory(), addr, length)
	return nil
}

// inUserRange reports whether applications can have memory at all of [addr,
// addr+length).
func inUserRange(t *kernel.Task, addr, length uint64) bool {
	_, hi := t.Kernel().Platform().UserRange()
	return length <= hi && addr <= hi-length
}

// maxIOV is UIO_MAXIOV.
const maxIOV = 1024

// setVector makes ctx.Seq the buffers of a vectored call. EINVAL, EFAULT.
func setVector(t *kernel.Task, addr uint64, count uint64) error {
	ctx := t.FSContext()
	if uint64(uint32(count)) != count || count > maxIOV {
		return unix.EINVAL
	}
	ranges, err := getVector(t, addr, int(count), ctx.Ranges[:0])
	ctx.Ranges = ranges
	if err != nil {
		return err
	}
	ctx.Seq = usermem.Vector(t.Memory(), ranges)
	return nil
}

// getVector appends count struct iovec at addr to ranges. EINVAL, EFAULT.
func getVector(t *kernel.Task, addr uint64, count int, ranges []usermem.Range) ([]usermem.Range, error) {
	buf := &t.FSContext().Buf
	for count > 0 {
		n := min(count, len(buf)/16)
		if err := copyIn(t, addr, buf[:16*n]); err != nil {
			return ranges, err
		}
		for i := range n {
			r := usermem.Range{Addr: le.Uint64(buf[16*i:]), Length: le.Uint64(buf[16*i+8:])}
			if int64(r.Length) < 0 {
				return ranges, unix.EINVAL
			}
			if !inUserRange(t, r.Addr, r.Length) {
				return ranges, unix.EFAULT
			}
			ranges = append(ranges, r)
		}
		addr += uint64(16 * n)
		count -= n
	}
	return ranges, nil
}

// noOffset says that a call uses the file's position.
const noOffset = -1

// readFile reads into ctx.Seq, at the position or at an offset.
func readFile(t *kernel.Task, f *vfs.File, off int64, flags uint32) (uint64, error) {
	n, err := tryRead(t, f, off, flags)
	if err == unix.EAGAIN && !f.Nonblocking() && flags&unix.RWF_NOWAIT == 0 {
		var timeout int64
		if o, ok := f.Ops().(vfs.Timeouter); ok {
			timeout, _ = o.Timeouts()
		}
		n, err = waitFile(t, f, wait.Readable, timeout, func() (int, error) { return tryRead(t, f, off, flags) })
	}
	return uint64(n), err
}

func tryRead(t *kernel.Task, f *vfs.File, off int64, flags uint32) (int, error) {
	ctx := t.FSContext()
	if off == noOffset {
		return f.Read(ctx, &ctx.Seq, flags)
	}
	return f.Pread(ctx, &ctx.Seq, off, flags)
}

// writeFile writes ctx.Seq, at the position or at an offset.
func writeFile(t *kernel.Task, f *vfs.File, off int64, flags uint32) (uint64, error) {
	ctx := t.FSContext()
	n, err := tryWrite(t, f, off, flags)
	if f.Stream() && !f.Nonblocking() && flags&unix.RWF_NOWAIT == 0 && ctx.Seq.Len() > 0 && (err == nil || err == unix.EAGAIN) {
		n, err = writeAll(t, f, n, flags)
	}
	if err != nil {
		if err == unix.EPIPE {
			t.SignalSelf(unix.SIGPIPE)
		}
		return 0, fileError(t, err)
	}
	return uint64(n), nil
}

// writeAll goes on with a write to a stream of which done bytes have been taken,
// until all are or it is interrupted.
func writeAll(t *kernel.Task, f *vfs.File, done int, flags uint32) (int, error) {
	var timeout int64
	if o, ok := f.Ops().(vfs.Timeouter); ok {
		_, timeout = o.Timeouts()
	}
	ctx := t.FSContext()
	_, err := waitFile(t, f, wait.Writable, timeout, func() (int, error) {
		n, err := tryWrite(t, f, noOffset, flags)
		done += n
		if err == nil && n > 0 && ctx.Seq.Len() > 0 {
			return 0, unix.EAGAIN
		}
		return n, err
	})
	if done > 0 {
		if err == unix.EPIPE {
			t.SignalSelf(unix.SIGPIPE)
		}
		return done, nil
	}
	return 0, err
}

func tryWrite(t *kernel.Task, f *vfs.File, off int64, flags uint32) (int, error) {
	ctx := t.FSContext()
	if off == noOffset {
		return f.Write(ctx, &ctx.Seq, flags)
	}
	return f.Pwrite(ctx, &ctx.Seq, off, flags)
}

// sysRead is read(2).
func sysRead(t *kernel.Task, a kernel.Args) (uint64, error) {
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	if !f.Readable() {
		return 0, unix.EBADF
	}
	if err := setBuffer(t, a.Ptr(1), a.Size(2)); err != nil {
		return 0, err
	}
	return readFile(t, f, noOffset, 0)
}

// sysWrite is write(2).
func sysWrite(t *kernel.Task, a kernel.Args) (uint64, error) {
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	if !f.Writable() {
		return 0, unix.EBADF
	}
	if err := setBuffer(t, a.Ptr(1), a.Size(2)); err != nil {
		return 0, err
	}
	n, err := writeFile(t, f, noOffset, 0)
	if err == nil {
		t.LendRoom(a.Int(0), f, int(n))
	}
	return n, err
}

// sysPread64 is pread(2).
func sysPread64(t *kernel.Task, a kernel.Args) (uint64, error) {
	off := a.Long(3)
	if off < 0 {
		return 0, unix.EINVAL
	}
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	if !f.Readable() {
		return 0, unix.EBADF
	}
	if err := setBuffer(t, a.Ptr(1), a.Size(2)); err != nil {
		return 0, err
	}
	return readFile(t, f, off, 0)
}

// sysPwrite64 is pwrite(2).
func sysPwrite64(t *kernel.Task, a kernel.Args) (uint64, error) {
	off := a.Long(3)
	if off < 0 {
		return 0, unix.EINVAL
	}
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	if !f.Writable() {
		return 0, unix.EBADF
	}
	if err := setBuffer(t, a.Ptr(1), a.Size(2)); err != nil {
		return 0, err
	}
	return writeFile(t, f, off, 0)
}

// vectored is what the vectored calls have in common.
func vectored(t *kernel.Task, fd int32, iov, count uint64, off int64, flags uint32, write bool) (uint64, error) {
	f, err := getFile(t, fd)
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	if write && !f.Writable() || !write && !f.Readable() {
		return 0, unix.EBADF
	}
	if err := setVector(t, iov, count); err != nil {
		return 0, err
	}
	if write {
		return writeFile(t, f, off, flags)
	}
	return readFile(t, f, off, flags)
}

// sysReadv is readv(2).
func sysReadv(t *kernel.Task, a kernel.Args) (uint64, error) {
	return vectored(t, a.Int(0), a.Ptr(1), a.Size(2), noOffset, 0, false)
}

// sysWritev is writev(2).
func sysWritev(t *kernel.Task, a kernel.Args) (uint64, error) {
	return vectored(t, a.Int(0), a.Ptr(1), a.Size(2), noOffset, 0, true)
}

// sysPreadv is preadv(2).
func sysPreadv(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Long(3) < 0 {
		return 0, unix.EINVAL
	}
	return vectored(t, a.Int(0), a.Ptr(1), a.Size(2), a.Long(3), 0, false)
}

// sysPwritev is pwritev(2).
func sysPwritev(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Long(3) < 0 {
		return 0, unix.EINVAL
	}
	return vectored(t, a.Int(0), a.Ptr(1), a.Size(2), a.Long(3), 0, true)
}

// knownRWF are the flags of preadv2(2) and pwritev2(2).
const knownRWF = unix.RWF_HIPRI | unix.RWF_DSYNC | unix.RWF_SYNC | unix.RWF_NOWAIT | unix.RWF_APPEND | rwfNoappend

const rwfNoappend = 0x20 // RWF_NOAPPEND

func vectored2(t *kernel.Task, a *kernel.Args, write bool) (uint64, error) {
	off, flags := a.Long(3), a.Uint(5)
	if off < noOffset {
		return 0, unix.EINVAL
	}
	if flags&^knownRWF != 0 {
		return 0, unix.EOPNOTSUPP
	}
	if flags&(unix.RWF_APPEND|rwfNoappend) == unix.RWF_APPEND|rwfNoappend {
		return 0, unix.EINVAL
	}
	return vectored(t, a.Int(0), a.Ptr(1), a.Size(2), off, flags, write)
}

// sysPreadv2 is preadv2(2).
func sysPreadv2(t *kernel.Task, a kernel.Args) (uint64, error) { return vectored2(t, &a, false) }

// sysPwritev2 is pwritev2(2).
func sysPwritev2(t *kernel.Task, a kernel.Args) (uint64, error) { return vectored2(t, &a, true) }

// sysLseek is lseek(2).
func sysLseek(t *kernel.Task, a kernel.Args) (uint64, error) {
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	n, err := f.Seek(t.FSContext(), a.Long(1), int(a.Int(2)))
	return uint64(n), err
}
