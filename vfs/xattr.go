package vfs

import (
	"strings"

	"golang.org/x/sys/unix"
)

// xattrPermission checks that ctx may use the attribute name of in by mask, by
// xattr(7). EINVAL for a namespace without a name in it.
func (in *Inode) xattrPermission(ctx *Context, name string, mask int) error {
	if err := in.xattrAccess(ctx, name, mask); err != nil {
		return err
	}
	if strings.IndexByte(name, '.') == len(name)-1 {
		return unix.EINVAL
	}
	return nil
}

func (in *Inode) xattrAccess(ctx *Context, name string, mask int) error {
	if mask == MayWrite && in.sb.readOnly.Load() {
		return unix.EROFS
	}
	switch {
	case strings.HasPrefix(name, "security."), strings.HasPrefix(name, "system."):
		if name == "security.capability" && mask == MayWrite && !ctx.Cred.HasCapOver(unix.CAP_SETFCAP, in.UID(), in.GID()) {
			return unix.EPERM
		}
		if mask == MayWrite && strings.HasPrefix(name, "security.") && name != "security.capability" &&
			!ctx.Cred.HasCapIn(unix.CAP_SYS_ADMIN, in.sb.vfs.UserNS) {
			return unix.EPERM
		}
		return nil
	case strings.HasPrefix(name, "trusted."):
		if !ctx.Cred.HasCapIn(unix.CAP_SYS_ADMIN, in.sb.vfs.UserNS) {
			if mask == MayWrite {
				return unix.EPERM
			}
			return unix.ENODATA
		}
		return nil
	case strings.HasPrefix(name, "user."):
		if !in.IsRegular() && !in.IsDir() {
			if mask == MayWrite {
				return unix.EPERM
			}
			return unix.ENODATA
		}
		if in.IsDir() && in.Mode()&unix.S_ISVTX != 0 && mask == MayWrite && !in.OwnerOrCapable(ctx) {
			return unix.EPERM
		}
		return in.Permission(ctx, mask)
	}
	return unix.EOPNOTSUPP
}

// Getxattr returns an extended attribute of p: getxattr(2).
func (ctx *Context) Getxattr(p Path, name string) ([]byte, error) {
	in := p.Inode()
	if err := in.xattrPermission(ctx, name, MayRead); err != nil {
		return nil, err
	}
	return in.ops.Getxattr(ctx, name)
}

// Setxattr sets an extended attribute of p: setxattr(2). flags are XATTR_CREATE or
// XATTR_REPLACE.
func (ctx *Context) Setxattr(p Path, name string, value []byte, flags int) error {
	if err := p.Mount.GetWrite(); err != nil {
		return err
	}
	defer p.Mount.PutWrite()
	in := p.Inode()
	if err := in.xattrPermission(ctx, name, MayWrite); err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	err := in.ops.Setxattr(ctx, name, value, flags)
	if err == nil && in.sb.vfs.watched() {
		p.Dentry.notify(in, unix.IN_ATTRIB)
	}
	return err
}

// Listxattr returns the names of p's extended attributes that ctx may see:
// listxattr(2).
func (ctx *Context) Listxattr(p Path) ([]string, error) {
	in := p.Inode()
	names, err := in.ops.Listxattr(ctx)
	if err != nil {
		return nil, err
	}
	if ctx.Cred.HasCapIn(unix.CAP_SYS_ADMIN, in.sb.vfs.UserNS) {
		return names, nil
	}
	var seen []string
	for _, n := range names {
		if !strings.HasPrefix(n, "trusted.") {
			seen = append(seen, n)
		}
	}
	return seen, nil
}

// Removexattr removes an extended attribute of p: removexattr(2).
func (ctx *Context) Removexattr(p Path, name string) error {
	if err := p.Mount.GetWrite(); err != nil {
		return err
	}
	defer p.Mount.PutWrite()
	in := p.Inode()
	if err := in.xattrPermission(ctx, name, MayWrite); err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	err := in.ops.Removexattr(ctx, name)
	if err == nil && in.sb.vfs.watched() {
		p.Dentry.notify(in, unix.IN_ATTRIB)
	}
	return err
}

// Statfs fills st: statfs(2).
func (ctx *Context) Statfs(p Path, st *unix.Statfs_t) error {
	sb := p.Mount.sb
	*st = unix.Statfs_t{Type: sb.Magic, Bsize: int64(sb.BlockSize), Frsize: int64(sb.BlockSize)}
	if err := sb.ops.Statfs(ctx, st); err != nil {
		return err
	}
	flags := p.Mount.flags.Load()
	if sb.ReadOnly() {
		flags |= unix.MS_RDONLY
	}
	st.Flags = stValid
	for _, f := range []struct {
		ms uint32
		st int64
	}{
		{unix.MS_RDONLY, unix.ST_RDONLY}, {unix.MS_NOSUID, unix.ST_NOSUID}, {unix.MS_NODEV, unix.ST_NODEV},
		{unix.MS_NOEXEC, unix.ST_NOEXEC}, {unix.MS_NOATIME, unix.ST_NOATIME},
		{unix.MS_NODIRATIME, unix.ST_NODIRATIME}, {unix.MS_RELATIME, unix.ST_RELATIME},
		{unix.MS_NOSYMFOLLOW, stNosymfollow},
	} {
		if flags&f.ms != 0 {
			st.Flags |= f.st
		}
	}
	return nil
}

const (
	stValid       = 0x20   // ST_VALID
	stNosymfollow = 0x2000 // ST_NOSYMFOLLOW
)
