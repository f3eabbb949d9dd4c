package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// sysSync is sync(2).
func sysSync(t *kernel.Task, _ kernel.Args) (uint64, error) {
	ctx := t.FSContext()
	for _, sb := range ctx.MountNS.Superblocks() {
		sb.Ops().Sync(ctx)
	}
	return 0, nil
}

// sysSyncfs is syncfs(2).
func sysSyncfs(t *kernel.Task, a kernel.Args) (uint64, error) {
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	return 0, f.Inode().Superblock().Ops().Sync(t.FSContext())
}

func fsync(t *kernel.Task, fd int32, dataOnly bool) (uint64, error) {
	f, err := getFile(t, fd)
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	return 0, f.Fsync(t.FSContext(), dataOnly)
}

// sysFsync is fsync(2).
func sysFsync(t *kernel.Task, a kernel.Args) (uint64, error) { return fsync(t, a.Int(0), false) }

// sysFdatasync is fdatasync(2).
func sysFdatasync(t *kernel.Task, a kernel.Args) (uint64, error) { return fsync(t, a.Int(0), true) }

// sysSyncFileRange is sync_file_range(2): what it promises least is that data is on
// its way, so it is served by fdatasync(2) when it is to wait.
func sysSyncFileRange(t *kernel.Task, a kernel.Args) (uint64, error) {
	const known = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	off, n, flags := a.Long(1), a.Long(2), a.Uint(3)
	if flags&^known != 0 || off < 0 || n < 0 || off+n < off {
		return 0, unix.EINVAL
	}
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	switch f.Inode().Type() {
	case unix.S_IFREG, unix.S_IFBLK, unix.S_IFDIR, unix.S_IFLNK:
	default:
		return 0, unix.ESPIPE
	}
	if flags&(unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WAIT_AFTER) == 0 {
		return 0, nil
	}
	return 0, f.Fsync(t.FSContext(), true)
}

// sysFallocate is fallocate(2).
func sysFallocate(t *kernel.Task, a kernel.Args) (uint64, error) {
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	return 0, fileError(t, f.Fallocate(t.FSContext(), a.Uint(1), a.Long(2), a.Long(3)))
}

// sysFadvise64 is posix_fadvise(2). Advice changes nothing: the host's page cache
// does well without.
func sysFadvise64(t *kernel.Task, a kernel.Args) (uint64, error) {
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	if f.Inode().Type() == unix.S_IFIFO {
		return 0, unix.ESPIPE
	}
	if a.Long(2) < 0 || a.Uint(3) > unix.FADV_NOREUSE {
		return 0, unix.EINVAL
	}
	return 0, nil
}

// sysReadahead is readahead(2).
func sysReadahead(t *kernel.Task, a kernel.Args) (uint64, error) {
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	if !f.Readable() {
		return 0, unix.EBADF
	}
	if !f.Inode().IsRegular() {
		return 0, unix.EINVAL
	}
	return 0, nil
}

// encodeStatfs writes st as struct statfs (the same on all 64-bit machines).
func encodeStatfs(b []byte, st *unix.Statfs_t) int {
	const size = 120
	clear(b[:size])
	le.PutUint64(b[0:], uint64(st.Type))
	le.PutUint64(b[8:], uint64(st.Bsize))
	le.PutUint64(b[16:], st.Blocks)
	le.PutUint64(b[24:], st.Bfree)
	le.PutUint64(b[32:], st.Bavail)
	le.PutUint64(b[40:], st.Files)
	le.PutUint64(b[48:], st.Ffree)
	le.PutUint32(b[56:], uint32(st.Fsid.Val[0]))
	le.PutUint32(b[60:], uint32(st.Fsid.Val[1]))
	le.PutUint64(b[64:], uint64(st.Namelen))
	le.PutUint64(b[72:], uint64(st.Frsize))
	le.PutUint64(b[80:], uint64(st.Flags))
	return size
}

func statfs(t *kernel.Task, p vfs.Path, addr uint64) (uint64, error) {
	ctx := t.FSContext()
	var st unix.Statfs_t
	if err := ctx.Statfs(p, &st); err != nil {
		return 0, err
	}
	n := encodeStatfs(ctx.Buf[:], &st)
	return 0, copyOut(t, addr, ctx.Buf[:n])
}

// sysStatfs is statfs(2).
func sysStatfs(t *kernel.Task, a kernel.Args) (uint64, error) {
	p, err := walkAt(t, unix.AT_FDCWD, a.Ptr(0), vfs.WalkFollow)
	if err != nil {
		return 0, err
	}
	defer p.DecRef()
	return statfs(t, p, a.Ptr(1))
}

// sysFstatfs is fstatfs(2).
func sysFstatfs(t *kernel.Task, a kernel.Args) (uint64, error) {
	f := t.FDTable().GetPath(a.Int(0))
	if f == nil {
		return 0, unix.EBADF
	}
	defer f.DecRef()
	return statfs(t, f.Path(), a.Ptr(1))
}
