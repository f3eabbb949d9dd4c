package vfs

import (
	"golang.org/x/sys/unix"
)

// Stat fills st with the attributes of p: statx(2). Ids are kernel ids.
func (ctx *Context) Stat(p Path, mask, sync uint32, st *unix.Statx_t) error {
	in := p.Inode()
	if err := in.ops.Getattr(ctx, mask, sync, st); err != nil {
		return err
	}
	st.Mnt_id = uint64(p.Mount.id)
	st.Mask |= unix.STATX_MNT_ID
	if mask&statxMntIDUnique != 0 {
		st.Mnt_id = p.Mount.unique
		st.Mask = st.Mask&^unix.STATX_MNT_ID | statxMntIDUnique
	}
	st.Attributes_mask |= unix.STATX_ATTR_MOUNT_ROOT
	if p.Dentry == p.Mount.root {
		st.Attributes |= unix.STATX_ATTR_MOUNT_ROOT
	}
	return nil
}

const statxMntIDUnique = 0x4000 // STATX_MNT_ID_UNIQUE

// Setattr changes attributes of p after checking that ctx may: chmod(2),
// chown(2), utimensat(2). a.Ctime is filled in. For the size see Truncate.
func (ctx *Context) Setattr(p Path, a *SetAttr) error {
	if err := p.Mount.GetWrite(); err != nil {
		return err
	}
	defer p.Mount.PutWrite()
	in := p.Inode()
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.prepareSetattr(ctx, a); err != nil {
		return err
	}
	if a.Mask&(AttrUID|AttrGID) != 0 && !in.IsDir() && a.Mask&AttrMode == 0 {
		// chown(2) takes away the set-id bits.
		mode := in.Mode()
		clear := mode & unix.S_ISUID
		if mode&(unix.S_ISGID|unix.S_IXGRP) == unix.S_ISGID|unix.S_IXGRP {
			clear |= unix.S_ISGID
		}
		if clear != 0 {
			a.Mask |= AttrMode
			a.Mode = mode &^ (clear | unix.S_IFMT)
		}
	}
	a.Ctime = in.sb.vfs.Now()
	if err := in.ops.Setattr(ctx, a); err != nil {
		return err
	}
	if in.sb.vfs.watched() {
		p.Dentry.notify(in, attrEvents(a.Mask))
	}
	return nil
}

// attrEvents is what a change of attributes is to those who watch.
func attrEvents(mask uint32) uint32 {
	switch {
	case mask&(AttrMode|AttrUID|AttrGID) != 0, mask&(AttrAtime|AttrMtime) == AttrAtime|AttrMtime:
		return unix.IN_ATTRIB
	case mask&AttrAtime != 0:
		return unix.IN_ACCESS
	}
	return unix.IN_MODIFY
}

// Access checks that ctx, with its file system ids, may access p by mask, mounts
// included: the caller has put the real ids there for access(2).
func (ctx *Context) Access(p Path, mask int) error {
	in := p.Inode()
	if mask&MayExec != 0 && in.IsRegular() && p.Mount.NoExec() {
		return unix.EACCES
	}
	if err := in.Permission(ctx, mask); err != nil {
		return err
	}
	if mask&MayWrite != 0 && p.Mount.flags.Load()&unix.MS_RDONLY != 0 {
		switch in.Type() {
		case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
			return unix.EROFS
		}
	}
	return nil
}

// Truncate sets the size of the file at p: truncate(2).
func (ctx *Context) Truncate(p Path, size int64) error {
	in := p.Inode()
	if in.IsDir() {
		return unix.EISDIR
	}
	if !in.IsRegular() {
		return unix.EINVAL
	}
	if err := p.Mount.GetWrite(); err != nil {
		return err
	}
	defer p.Mount.PutWrite()
	if err := in.Permission(ctx, MayWrite); err != nil {
		return err
	}
	if !in.getWriter() {
		return unix.ETXTBSY
	}
	defer in.putWriter()
	err := ctx.truncate(in, size)
	if err == nil && in.sb.vfs.watched() {
		p.Dentry.notify(in, unix.IN_MODIFY)
	}
	return err
}

// Truncate sets the size of f: ftruncate(2).
func (f *File) Truncate(ctx *Context, size int64) error {
	if !f.inode.IsRegular() || f.mode&modeWrite == 0 {
		return unix.EINVAL
	}
	err := ctx.truncate(f.inode, size)
	if err == nil {
		f.notify(unix.IN_MODIFY)
	}
	return err
}

func (ctx *Context) truncate(in *Inode, size int64) error {
	if uint64(size) > ctx.FileSizeLimit && size > in.Size() {
		return EFSIZE
	}
	if size > in.sb.MaxSize {
		return unix.EFBIG
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.sb.vfs.Now()
	a := &ctx.attr
	*a = SetAttr{Mask: AttrSize | AttrMtime, Size: size, Mtime: now, Ctime: now}
	mode := in.Mode()
	if clear := mode & (unix.S_ISUID | unix.S_ISGID); clear != 0 && !ctx.Cred.HasCapOver(unix.CAP_FSETID, in.UID(), in.GID()) {
		if mode&unix.S_IXGRP == 0 {
			clear &^= unix.S_ISGID
		}
		a.Mask |= AttrMode
		a.Mode = mode &^ (clear | unix.S_IFMT)
	}
	return in.ops.Setattr(ctx, a)
}

// Readlink returns the target of the symbolic link p: readlink(2). EINVAL if it is
// none.
func (ctx *Context) Readlink(p Path) (string, error) {
	in := p.Inode()
	if !in.IsSymlink() {
		return "", unix.EINVAL
	}
	p.Mount.touchAtime(in)
	return in.ops.Readlink(ctx)
}
