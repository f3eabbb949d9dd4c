package vfs

import (
	"casemate/vfs/cred"

	"golang.org/x/sys/unix"
)

// Permission checks that ctx may access in by mask (MayRead...), mounts aside:
// EACCES, EROFS.
func (in *Inode) Permission(ctx *Context, mask int) error {
	if mask&MayWrite != 0 && in.sb.readOnly.Load() {
		switch in.Type() {
		case unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK:
			return unix.EROFS
		}
	}
	if mask&MayWrite != 0 && in.unmapped() {
		return unix.EACCES
	}
	if in.perm != nil {
		return in.perm.CheckPermission(ctx, mask)
	}
	return in.DefaultPermission(ctx, mask)
}

// unmapped reports whether the file is nobody's: its file system has an owner whom the mount
// has no id for.
func (in *Inode) unmapped() bool { return in.UID() == cred.NoUID || in.GID() == cred.NoGID }

// DefaultPermission checks by owner, group, permission bits and capabilities
// (path_resolution(7), "Permissions"): EACCES.
func (in *Inode) DefaultPermission(ctx *Context, mask int) error {
	c := ctx.Cred
	mode := in.mode.Load()
	perm := mode
	if c.FSUID == in.UID() {
		perm >>= 6
	} else if (perm>>3^perm)&uint32(mask) != 0 && c.InGroup(in.GID()) {
		// The group matters only where its bits differ from the others'.
		perm >>= 3
	}
	if perm&uint32(mask) == uint32(mask) {
		return nil
	}
	uid, gid := in.UID(), in.GID()
	if mode&unix.S_IFMT == unix.S_IFDIR {
		if mask&MayWrite == 0 && c.HasCapOver(unix.CAP_DAC_READ_SEARCH, uid, gid) {
			return nil
		}
		if c.HasCapOver(unix.CAP_DAC_OVERRIDE, uid, gid) {
			return nil
		}
		return unix.EACCES
	}
	if mask == MayRead && c.HasCapOver(unix.CAP_DAC_READ_SEARCH, uid, gid) {
		return nil
	}
	if (mask&MayExec == 0 || mode&0o111 != 0) && c.HasCapOver(unix.CAP_DAC_OVERRIDE, uid, gid) {
		return nil
	}
	return unix.EACCES
}

// OwnerOrCapable reports whether ctx owns in or has CAP_FOWNER over it.
func (in *Inode) OwnerOrCapable(ctx *Context) bool {
	return ctx.Cred.FSUID == in.UID() || ctx.Cred.HasCapOver(unix.CAP_FOWNER, in.UID(), in.GID())
}

// mayDelete checks that ctx may remove the name of child from dir: unlink(2),
// rmdir(2), rename(2). dir is locked.
func mayDelete(ctx *Context, dir, child *Inode, wantDir bool) error {
	if child.unmapped() {
		return unix.EOVERFLOW
	}
	if err := dir.Permission(ctx, MayWrite|MayExec); err != nil {
		return err
	}
	if dir.Mode()&unix.S_ISVTX != 0 && ctx.Cred.FSUID != child.UID() && ctx.Cred.FSUID != dir.UID() &&
		!ctx.Cred.HasCapOver(unix.CAP_FOWNER, child.UID(), child.GID()) {
		return unix.EPERM
	}
	if wantDir {
		if !child.IsDir() {
			return unix.ENOTDIR
		}
	} else if child.IsDir() {
		return unix.EISDIR
	}
	if dir.dead.Load() {
		return unix.ENOENT
	}
	return nil
}

// mayCreate checks that ctx may make a name in dir, which is locked.
func mayCreate(ctx *Context, dir *Inode) error {
	if dir.dead.Load() {
		return unix.ENOENT
	}
	if _, ok := dir.sb.UserNS.FromUID(ctx.Cred.FSUID); !ok {
		return unix.EOVERFLOW
	}
	if _, ok := dir.sb.UserNS.FromGID(ctx.Cred.FSGID); !ok {
		return unix.EOVERFLOW
	}
	return dir.Permission(ctx, MayWrite|MayExec)
}

// killSetID clears the set-user-ID and set-group-ID bits of in as a write or
// truncation by an unprivileged user does (inode(7)).
func (in *Inode) killSetID(ctx *Context) {
	if ctx.Cred.HasCapOver(unix.CAP_FSETID, in.UID(), in.GID()) {
		return
	}
	mode := in.Mode()
	clear := uint32(0)
	if mode&unix.S_ISUID != 0 {
		clear |= unix.S_ISUID
	}
	if mode&(unix.S_ISGID|unix.S_IXGRP) == unix.S_ISGID|unix.S_IXGRP {
		clear |= unix.S_ISGID
	}
	if clear == 0 {
		return
	}
	in.ops.Setattr(ctx, &SetAttr{Mask: AttrMode, Mode: mode &^ (clear | unix.S_IFMT), Ctime: in.sb.vfs.Now()})
}

// prepareSetattr checks a change of attributes and adds what it implies: chmod(2), chown(2),
// utimensat(2).
func (in *Inode) prepareSetattr(ctx *Context, a *SetAttr) error {
	c := ctx.Cred
	if in.UID() == cred.NoUID && a.Mask&AttrUID == 0 || in.GID() == cred.NoGID && a.Mask&AttrGID == 0 {
		return unix.EOVERFLOW // what is nobody's must be given an owner first
	}
	mayChown := c.HasCapOver(unix.CAP_CHOWN, in.UID(), in.GID()) || in.unmapped() && c.UserNS.Parent() == nil && c.Effective.Has(unix.CAP_CHOWN)
	if a.Mask&AttrUID != 0 {
		if a.UID == cred.NoUID {
			return unix.EINVAL
		}
		if !(c.FSUID == in.UID() && a.UID == in.UID()) && !mayChown {
			return unix.EPERM
		}
	}
	if a.Mask&AttrGID != 0 {
		if a.GID == cred.NoGID {
			return unix.EINVAL
		}
		if !(c.FSUID == in.UID() && (c.InGroup(a.GID) || a.GID == in.GID())) && !mayChown {
			return unix.EPERM
		}
	}
	if a.Mask&AttrMode != 0 {
		if !in.OwnerOrCapable(ctx) {
			return unix.EPERM
		}
		gid := in.GID()
		if a.Mask&AttrGID != 0 {
			gid = a.GID
		}
		if a.Mode&unix.S_ISGID != 0 && !c.InGroup(gid) && !c.HasCapOver(unix.CAP_FSETID, in.UID(), in.GID()) {
			a.Mode &^= unix.S_ISGID
		}
	}
	if a.Mask&(AttrAtimeSet|AttrMtimeSet) != 0 && !in.OwnerOrCapable(ctx) {
		return unix.EPERM
	}
	return nil
}
