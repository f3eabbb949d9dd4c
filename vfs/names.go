package vfs

import (
	"golang.org/x/sys/unix"
)

// parent walks to the directory of path's last component and returns it with
// references; the component is in ctx.walk.last until the next walk.
func (ctx *Context) parent(at Start, path string) (Path, error) {
	if path == "" {
		return Path{}, unix.ENOENT
	}
	w := &ctx.walk
	for range maxRetries {
		rest, err := w.begin(ctx, at, path)
		if err == nil {
			err = w.walkParent(rest)
		}
		if err == nil && w.lastType == lastNorm && !w.cur.Inode().IsDir() {
			err = unix.ENOTDIR
		}
		if err == nil {
			p, last := w.cur, w.last
			if p.tryIncRef() {
				w.end()
				w.last = last
				return p, nil
			}
			err = errRetry
		}
		w.end()
		if err != errRetry {
			return Path{}, err
		}
	}
	return Path{}, unix.ESTALE
}

// create prepares making a name: it returns the directory with references and
// locked for writing, with write access of its mount, and the negative dentry; done ends all
// that. dir says that a directory is made, for which slashes at the end are fine.
func (ctx *Context) create(at Start, path string, dir bool) (Path, *Dentry, error) {
	w := &ctx.walk
	p, err := ctx.parent(at, path)
	if err != nil {
		return Path{}, nil, err
	}
	if w.lastType != lastNorm {
		p.DecRef()
		return Path{}, nil, unix.EEXIST
	}
	name, hash := w.last, w.lastHash
	roErr := p.Mount.GetWrite()
	in := p.Inode()
	in.mu.Lock()
	d, err := lookupLocked(ctx, p.Dentry, name, hash)
	if err == nil {
		switch {
		case d.Inode() != nil:
			err = unix.EEXIST
		case w.slash && !dir:
			err = unix.ENOENT
		case roErr != nil:
			err = roErr
		default:
			err = mayCreate(ctx, in)
		}
		if err == nil {
			return p, d, nil
		}
		d.DecRef()
	}
	in.mu.Unlock()
	if roErr == nil {
		p.Mount.PutWrite()
	}
	p.DecRef()
	return Path{}, nil, err
}

// done ends what create has begun.
func (ctx *Context) done(p Path, d *Dentry) {
	p.Inode().mu.Unlock()
	d.DecRef()
	p.Mount.PutWrite()
	p.DecRef()
}

// instantiate turns a negative dentry, whose directory is locked, into one of in;
// it takes over the reference.
func (d *Dentry) instantiate(in *Inode) {
	d.inode.Store(in)
	if d.sb.vfs.watched() {
		d.Parent().Inode().notify(unix.IN_CREATE, in, 0, d.Name())
	}
}

// Mkdir makes a directory: mkdirat(2). mode is without umask.
func (ctx *Context) Mkdir(at Start, path string, mode uint32) error {
	p, d, err := ctx.create(at, path, true)
	if err != nil {
		return err
	}
	defer ctx.done(p, d)
	in, err := p.Inode().ops.Mkdir(ctx, d.Name(), unix.S_IFDIR|mode&^ctx.FS.Umask()&0o1777)
	if err != nil {
		return err
	}
	d.instantiate(in)
	return nil
}

// Mknod makes a FIFO, socket, device or regular file: mknodat(2). mode is without
// umask. EPERM for devices without CAP_MKNOD in the initial user namespace.
func (ctx *Context) Mknod(at Start, path string, mode uint32, dev Dev) error {
	switch mode & unix.S_IFMT {
	case 0:
		mode |= unix.S_IFREG
	case unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR, unix.S_IFBLK:
	case unix.S_IFDIR:
		return unix.EPERM
	default:
		return unix.EINVAL
	}
	in, err := ctx.mknod(at, path, mode, dev)
	if err == nil {
		in.DecRef()
	}
	return err
}

// MknodSocket makes a socket's name for bind(2), and returns the inode with a reference.
// mode is without umask.
func (ctx *Context) MknodSocket(at Start, path string, mode uint32) (*Inode, error) {
	return ctx.mknod(at, path, unix.S_IFSOCK|mode&0o7777, 0)
}

func (ctx *Context) mknod(at Start, path string, mode uint32, dev Dev) (*Inode, error) {
	p, d, err := ctx.create(at, path, false)
	if err != nil {
		return nil, err
	}
	defer ctx.done(p, d)
	mode &^= ctx.FS.Umask()
	var in *Inode
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		in, err = p.Inode().ops.Create(ctx, d.Name(), mode)
	case unix.S_IFCHR, unix.S_IFBLK:
		if !ctx.Cred.HasCapIn(unix.CAP_MKNOD, p.Mount.vfs.UserNS) {
			return nil, unix.EPERM
		}
		in, err = p.Inode().ops.Mknod(ctx, d.Name(), mode, dev)
	default:
		in, err = p.Inode().ops.Mknod(ctx, d.Name(), mode, 0)
	}
	if err != nil {
		return nil, err
	}
	in.IncRef()
	d.instantiate(in)
	return in, nil
}

// Symlink makes a symbolic link: symlinkat(2).
func (ctx *Context) Symlink(target string, at Start, path string) error {
	if target == "" {
		return unix.ENOENT
	}
	p, d, err := ctx.create(at, path, false)
	if err != nil {
		return err
	}
	defer ctx.done(p, d)
	in, err := p.Inode().ops.Symlink(ctx, d.Name(), target)
	if err != nil {
		return err
	}
	d.instantiate(in)
	return nil
}

// Link makes path another name of old: linkat(2). It does not take over the references of old.
func (ctx *Context) Link(old Path, at Start, path string) error {
	p, d, err := ctx.create(at, path, false)
	if err != nil {
		return err
	}
	defer ctx.done(p, d)
	in := old.Inode()
	if old.Mount != p.Mount {
		return unix.EXDEV
	}
	if in.IsDir() {
		return unix.EPERM
	}
	// O_TMPFILE files have no link but may get one; what was unlinked may not.
	if in.Nlink() == 0 && !in.linkable.Load() {
		return unix.ENOENT
	}
	if err := p.Inode().ops.Link(ctx, d.Name(), in); err != nil {
		return err
	}
	in.linkable.Store(false)
	in.IncRef()
	if in.sb.vfs.watched() {
		in.notify(unix.IN_ATTRIB, in, 0, "")
	}
	d.instantiate(in)
	return nil
}

// Unlink removes a name that is no directory: unlink(2).
func (ctx *Context) Unlink(at Start, path string) error {
	return ctx.remove(at, path, false)
}

// Rmdir removes an empty directory: rmdir(2).
func (ctx *Context) Rmdir(at Start, path string) error {
	return ctx.remove(at, path, true)
}

func (ctx *Context) remove(at Start, path string, dir bool) error {
	w := &ctx.walk
	p, err := ctx.parent(at, path)
	if err != nil {
		return err
	}
	defer p.DecRef()
	switch {
	case w.lastType == lastNorm:
	case !dir:
		return unix.EISDIR
	case w.lastType == lastDot:
		return unix.EINVAL
	case w.lastType == lastDotDot:
		return unix.ENOTEMPTY
	default:
		return unix.EBUSY
	}
	if err := p.Mount.GetWrite(); err != nil {
		return err
	}
	defer p.Mount.PutWrite()
	in := p.Inode()
	in.mu.Lock()
	d, err := lookupLocked(ctx, p.Dentry, w.last, w.lastHash)
	if err == nil {
		err = ctx.removeLocked(in, d, dir, w.slash)
	}
	in.mu.Unlock()
	if d != nil {
		d.DecRef()
	}
	return err
}

// removeLocked removes d from dir, which is locked.
func (ctx *Context) removeLocked(in *Inode, d *Dentry, dir, slash bool) error {
	child := d.Inode()
	if child == nil {
		return unix.ENOENT
	}
	if !dir && slash {
		if child.IsDir() {
			return unix.EISDIR
		}
		return unix.ENOTDIR
	}
	if err := mayDelete(ctx, in, child, dir); err != nil {
		return err
	}
	if d.mounted.Load() > 0 && in.sb.vfs.busy(ctx.MountNS, d) {
		return unix.EBUSY
	}
	if !dir {
		if err := in.ops.Unlink(ctx, d.Name(), child); err != nil {
			return err
		}
	} else {
		child.mu.Lock()
		err := in.ops.Rmdir(ctx, d.Name(), child)
		if err == nil {
			child.dead.Store(true)
		}
		child.mu.Unlock()
		if err != nil {
			return err
		}
	}
	d.unhash()
	if d.mounted.Load() > 0 {
		in.sb.vfs.detachAll(d)
	}
	if in.sb.vfs.watched() {
		if !dir {
			child.notify(unix.IN_ATTRIB, child, 0, "")
		}
		if child.Nlink() == 0 && d.refs.Load() == 1 {
			child.notifyGone() // the caller is the last to use it
		}
		in.notify(unix.IN_DELETE, child, 0, d.Name())
	}
	return nil
}
