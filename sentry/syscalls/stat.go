package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// statPath fills ctx.Attr with the attributes of p, with ids as the task sees
// them.
func statPath(t *kernel.Task, p vfs.Path, mask, sync uint32) error {
	ctx := t.FSContext()
	st := &ctx.Attr
	if err := ctx.Stat(p, mask, sync, st); err != nil {
		return err
	}
	ns := t.Credentials().UserNS
	st.Uid = ns.ShowUID(credUID(st.Uid))
	st.Gid = ns.ShowGID(credGID(st.Gid))
	return nil
}

// fstatat is what all forms of stat have in common: it writes a struct stat.
func fstatat(t *kernel.Task, dirfd int32, path, addr uint64, walk uint32) (uint64, error) {
	if err := statAt(t, dirfd, path, walk, unix.STATX_BASIC_STATS, 0); err != nil {
		return 0, err
	}
	ctx := t.FSContext()
	n := encodeStat(ctx.Buf[:], &ctx.Attr)
	return 0, copyOut(t, addr, ctx.Buf[:n])
}

// statAt fills ctx.Attr for a path, or for dirfd itself if walk has WalkEmpty and
// the path is empty or no address.
func statAt(t *kernel.Task, dirfd int32, addr uint64, walk, mask, sync uint32) error {
	path := ""
	if addr != 0 || walk&vfs.WalkEmpty == 0 {
		var err error
		if path, err = getPath(t, addr); err != nil {
			return err
		}
	}
	if path == "" && walk&vfs.WalkEmpty != 0 && dirfd != unix.AT_FDCWD {
		f := t.FDTable().GetPath(dirfd)
		if f == nil {
			return unix.EBADF
		}
		defer f.DecRef()
		return statPath(t, f.Path(), mask, sync)
	}
	p, err := walkPath(t, dirfd, path, walk)
	if err != nil {
		return err
	}
	defer p.DecRef()
	return statPath(t, p, mask, sync)
}

// sysStat is stat(2).
func sysStat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return fstatat(t, unix.AT_FDCWD, a.Ptr(0), a.Ptr(1), vfs.WalkFollow)
}

// sysLstat is lstat(2).
func sysLstat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return fstatat(t, unix.AT_FDCWD, a.Ptr(0), a.Ptr(1), 0)
}

// sysFstat is fstat(2).
func sysFstat(t *kernel.Task, a kernel.Args) (uint64, error) {
	f := t.FDTable().GetPath(a.Int(0))
	if f == nil {
		return 0, unix.EBADF
	}
	defer f.DecRef()
	if err := statPath(t, f.Path(), unix.STATX_BASIC_STATS, 0); err != nil {
		return 0, err
	}
	ctx := t.FSContext()
	n := encodeStat(ctx.Buf[:], &ctx.Attr)
	return 0, copyOut(t, a.Ptr(1), ctx.Buf[:n])
}

// sysNewfstatat is fstatat(2).
func sysNewfstatat(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(3)
	if flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT|unix.AT_EMPTY_PATH|atStatxSyncType) != 0 {
		return 0, unix.EINVAL
	}
	return fstatat(t, a.Int(0), a.Ptr(1), a.Ptr(2), walkFlags(flags, true))
}

// sysStatx is statx(2).
func sysStatx(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags, mask := a.Uint(2), a.Uint(3)
	if mask&unix.STATX__RESERVED != 0 || flags&atStatxSyncType == atStatxSyncType {
		return 0, unix.EINVAL
	}
	if flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT|unix.AT_EMPTY_PATH|atStatxSyncType) != 0 {
		return 0, unix.EINVAL
	}
	if err := statAt(t, a.Int(0), a.Ptr(1), walkFlags(flags, true), mask, flags&atStatxSyncType); err != nil {
		return 0, err
	}
	ctx := t.FSContext()
	encodeStatx(ctx.Buf[:], &ctx.Attr)
	return 0, copyOut(t, a.Ptr(4), ctx.Buf[:256])
}

// encodeStatx writes st as struct statx is in memory; b has 256 bytes.
func encodeStatx(b []byte, st *unix.Statx_t) {
	clear(b[:256])
	le.PutUint32(b[0:], st.Mask)
	le.PutUint32(b[4:], st.Blksize)
	le.PutUint64(b[8:], st.Attributes)
	le.PutUint32(b[16:], st.Nlink)
	le.PutUint32(b[20:], st.Uid)
	le.PutUint32(b[24:], st.Gid)
	le.PutUint16(b[28:], st.Mode)
	le.PutUint64(b[32:], st.Ino)
	le.PutUint64(b[40:], st.Size)
	le.PutUint64(b[48:], st.Blocks)
	le.PutUint64(b[56:], st.Attributes_mask)
	for i, ts := range [...]*unix.StatxTimestamp{&st.Atime, &st.Btime, &st.Ctime, &st.Mtime} {
		le.PutUint64(b[64+16*i:], uint64(ts.Sec))
		le.PutUint32(b[72+16*i:], ts.Nsec)
	}
	le.PutUint32(b[128:], st.Rdev_major)
	le.PutUint32(b[132:], st.Rdev_minor)
	le.PutUint32(b[136:], st.Dev_major)
	le.PutUint32(b[140:], st.Dev_minor)
	le.PutUint64(b[144:], st.Mnt_id)
	le.PutUint32(b[152:], st.Dio_mem_align)
	le.PutUint32(b[156:], st.Dio_offset_align)
}

// sysAccess is access(2).
func sysAccess(t *kernel.Task, a kernel.Args) (uint64, error) {
	return accessAt(t, unix.AT_FDCWD, a.Ptr(0), a.Uint(1), 0)
}

// sysFaccessat is faccessat(2) as the kernel has it, without flags.
func sysFaccessat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return accessAt(t, a.Int(0), a.Ptr(1), a.Uint(2), 0)
}

// sysFaccessat2 is faccessat2(2).
func sysFaccessat2(t *kernel.Task, a kernel.Args) (uint64, error) {
	return accessAt(t, a.Int(0), a.Ptr(1), a.Uint(2), a.Uint(3))
}

func accessAt(t *kernel.Task, dirfd int32, addr uint64, mode, flags uint32) (uint64, error) {
	if mode&^7 != 0 || flags&^(unix.AT_EACCESS|unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return 0, unix.EINVAL
	}
	ctx := t.FSContext()
	if flags&unix.AT_EACCESS == 0 {
		// The real ids count, and what root may then do.
		if c := ctx.Cred; c.FSUID != c.RUID || c.FSGID != c.RGID || !c.RealCapsEffective() {
			ctx.Cred = c.AsReal()
			defer func() { ctx.Cred = c }()
		}
	}
	p, err := walkAt(t, dirfd, addr, walkFlags(flags, true))
	if err != nil {
		return 0, err
	}
	defer p.DecRef()
	if mode == 0 {
		return 0, nil
	}
	return 0, ctx.Access(p, int(mode))
}

// atStatxSyncType is AT_STATX_SYNC_TYPE of statx(2).
const atStatxSyncType = unix.AT_STATX_FORCE_SYNC | unix.AT_STATX_DONT_SYNC
