package vfs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// oTmpfile is the bit of O_TMPFILE that is its own.
const oTmpfile = unix.O_TMPFILE &^ unix.O_DIRECTORY

// Open opens path: openat2(2). flags are O_*, which the caller has checked for
// validity; mode is without umask. FIFOs may need waiting for: see OpenWaiter.
func (ctx *Context) Open(at Start, path string, flags, mode uint32) (*File, error) {
	if flags&oTmpfile != 0 {
		return ctx.openTmpfile(at, path, flags, mode)
	}
	if flags&unix.O_CREAT != 0 && flags&unix.O_PATH == 0 {
		return ctx.openCreate(at, path, flags, mode)
	}
	walk := uint32(WalkFollow)
	if flags&unix.O_NOFOLLOW != 0 {
		walk = 0
	}
	if flags&unix.O_DIRECTORY != 0 {
		walk |= WalkDirectory
	}
	p, err := ctx.Walk(at, path, walk)
	if err != nil {
		// O_DIRECTORY and O_NOFOLLOW on a symbolic link: ENOTDIR, as Linux.
		return nil, err
	}
	return ctx.openFile(p, flags, false)
}

// OpenAt opens what is at p, whose references it takes over, whatever happens.
func (ctx *Context) OpenAt(p Path, flags uint32) (*File, error) {
	return ctx.openFile(p, flags&^(unix.O_CREAT|unix.O_EXCL), false)
}

// openCreate opens a file that may have to be made.
func (ctx *Context) openCreate(at Start, path string, flags, mode uint32) (*File, error) {
	if path == "" {
		return nil, unix.ENOENT
	}
	w := &ctx.walk
	for range maxRetries {
		p, created, err := w.walkCreate(ctx, at, path, flags, mode)
		w.end()
		if err == errRetry {
			continue
		}
		if err != nil {
			return nil, err
		}
		return ctx.openFile(p, flags, created)
	}
	return nil, unix.ESTALE
}

// walkCreate walks to a file that may have to be made, and returns it with
// references.
func (w *walker) walkCreate(ctx *Context, at Start, path string, flags, mode uint32) (p Path, created bool, err error) {
	rest, err := w.begin(ctx, at, path)
	if err != nil {
		return Path{}, false, err
	}
	for {
		if err := w.walkParent(rest); err != nil {
			return Path{}, false, err
		}
		if w.lastType != lastNorm && flags&unix.O_EXCL != 0 {
			return Path{}, false, unix.EEXIST
		}
		if w.lastType != lastNorm || w.slash {
			return Path{}, false, unix.EISDIR
		}
		next, link, err := w.step(w.last, w.lastHash, true)
		if err == unix.ENOENT {
			next, created, err = w.createLast(flags, mode)
			if err == nil {
				if created {
					return next, true, nil
				}
				link = next.Inode().IsSymlink()
				defer next.DecRef()
			}
		}
		if err != nil {
			return Path{}, false, err
		}
		if flags&unix.O_EXCL != 0 {
			return Path{}, false, unix.EEXIST
		}
		if !link {
			if !next.tryIncRef() {
				return Path{}, false, errRetry
			}
			return next, false, nil
		}
		if flags&unix.O_NOFOLLOW != 0 {
			return Path{}, false, unix.ELOOP
		}
		if rest, err = w.link(next); err != nil {
			return Path{}, false, err
		}
		if rest == "" {
			if !w.cur.tryIncRef() {
				return Path{}, false, errRetry
			}
			return w.cur, false, nil
		}
	}
}

// createLast makes the regular file w.last in w.cur, unless somebody else has just
// done that. It returns it with references.
func (w *walker) createLast(flags, mode uint32) (Path, bool, error) {
	dir := w.cur
	if !dir.tryIncRef() {
		return Path{}, false, errRetry
	}
	defer dir.DecRef()
	roErr := dir.Mount.GetWrite()
	if roErr == nil {
		defer dir.Mount.PutWrite()
	}
	in := dir.Inode()
	in.mu.Lock()
	defer in.mu.Unlock()
	d, err := lookupLocked(w.ctx, dir.Dentry, w.last, w.lastHash)
	if err != nil {
		return Path{}, false, err
	}
	if d.Inode() != nil {
		p := Path{dir.Mount, d}
		p.Mount.IncRef()
		return p, false, nil
	}
	err = roErr
	if err == nil {
		err = mayCreate(w.ctx, in)
	}
	var child *Inode
	if err == nil {
		child, err = in.ops.Create(w.ctx, d.Name(), unix.S_IFREG|mode&^w.ctx.FS.Umask()&0o7777)
	}
	if err != nil {
		if err == unix.EEXIST && flags&unix.O_EXCL == 0 && d.sb.reval != nil {
			err = errRetry // somebody outside has just made it
			d.unhash()
		}
		d.DecRef()
		return Path{}, false, err
	}
	d.instantiate(child)
	dir.Mount.IncRef()
	return Path{dir.Mount, d}, true, nil
}

// openTmpfile opens a new file without a name: O_TMPFILE of open(2).
func (ctx *Context) openTmpfile(at Start, path string, flags, mode uint32) (*File, error) {
	dir, err := ctx.Walk(at, path, WalkFollow|WalkDirectory)
	if err != nil {
		return nil, err
	}
	defer dir.DecRef()
	if err := dir.Mount.GetWrite(); err != nil {
		return nil, err
	}
	defer dir.Mount.PutWrite()
	in := dir.Inode()
	in.mu.Lock()
	err = mayCreate(ctx, in)
	var child *Inode
	if err == nil {
		child, err = in.ops.Tmpfile(ctx, unix.S_IFREG|mode&^ctx.FS.Umask()&0o7777)
	}
	in.mu.Unlock()
	if err != nil {
		return nil, err
	}
	child.linkable.Store(flags&unix.O_EXCL == 0)
	d := dir.Dentry.newUnhashedChild(fmt.Sprintf("#%d", child.ino), child)
	dir.Mount.IncRef()
	return ctx.openFile(Path{dir.Mount, d}, flags, true)
}

// openFile makes a File of p, whose references it takes over. created says that
// the file was made by this call, so that permissions do not matter.
func (ctx *Context) openFile(p Path, flags uint32, created bool) (*File, error) {
	in := p.Inode()
	f := &File{path: p, inode: in, cred: ctx.Cred}
	if flags&unix.O_PATH != 0 {
		f.init(flags & (unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW))
		f.ops = pathFile{}
		return f, nil
	}
	err := ctx.mayOpen(p, in, flags, created)
	if err != nil {
		p.DecRef()
		return nil, err
	}
	// O_NOCTTY is for the driver that opens f; the file does not keep it.
	f.init(flags &^ (unix.O_CREAT | unix.O_EXCL | unix.O_TRUNC | unix.O_CLOEXEC))
	typ := in.Type()
	if f.mode&modeWrite != 0 || flags&unix.O_TRUNC != 0 && typ == unix.S_IFREG {
		if typ == unix.S_IFREG {
			if err := p.Mount.GetWrite(); err != nil {
				p.DecRef()
				return nil, err
			}
			if !in.getWriter() {
				p.Mount.PutWrite()
				p.DecRef()
				return nil, unix.ETXTBSY
			}
			in.sb.writers.Add(1)
			f.mode |= modeWriter
		}
	}
	switch {
	case in.sb.Flags&SBOwnOpen != 0:
		f.ops, err = in.ops.Open(ctx, f)
	case typ == unix.S_IFCHR, typ == unix.S_IFBLK:
		f.ops, err = p.Mount.vfs.openDevice(ctx, f)
	case typ == unix.S_IFIFO:
		if open := p.Mount.vfs.openFIFO; open != nil {
			f.ops, err = open(ctx, f)
		} else {
			err = unix.ENXIO
		}
	case typ == unix.S_IFSOCK:
		err = unix.ENXIO
	default:
		f.ops, err = in.ops.Open(ctx, f)
	}
	if err != nil {
		if f.mode&modeWriter != 0 {
			in.putWriter()
			p.Mount.putWrite()
		}
		p.DecRef()
		return nil, err
	}
	f.flags.And(^uint32(unix.O_NOCTTY))
	if flags&unix.O_TRUNC != 0 && typ == unix.S_IFREG && !created && in.sb.Flags&SBOwnOpen == 0 {
		if err := ctx.truncate(in, 0); err != nil {
			f.DecRef()
			return nil, err
		}
	}
	if f.mode&(modeWrite|modeWriter) == modeWriter {
		// It was only to be truncated.
		in.putWriter()
		p.Mount.putWrite()
		f.mode &^= modeWriter
	}
	f.notify(unix.IN_OPEN)
	if flags&unix.O_TRUNC != 0 && !created {
		f.notify(unix.IN_MODIFY)
	}
	return f, nil
}

// mayOpen checks that ctx may open in with flags.
func (ctx *Context) mayOpen(p Path, in *Inode, flags uint32, created bool) error {
	mask := 0
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		mask = MayRead
	case unix.O_WRONLY:
		mask = MayWrite
	default:
		mask = MayRead | MayWrite
	}
	if flags&unix.O_TRUNC != 0 {
		mask |= MayWrite
	}
	switch in.Type() {
	case unix.S_IFLNK:
		return unix.ELOOP
	case unix.S_IFDIR:
		if mask&MayWrite != 0 || flags&unix.O_CREAT != 0 {
			return unix.EISDIR
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		if p.Mount.flags.Load()&unix.MS_NODEV != 0 || p.Mount.sb.Flags&SBNoDev != 0 {
			return unix.EACCES
		}
	}
	if flags&unix.O_DIRECTORY != 0 && !in.IsDir() && flags&oTmpfile == 0 {
		return unix.ENOTDIR
	}
	if !created {
		if err := in.Permission(ctx, mask); err != nil {
			return err
		}
	}
	if flags&unix.O_NOATIME != 0 && !in.OwnerOrCapable(ctx) {
		return unix.EPERM
	}
	return nil
}

// getWriter counts a file open for writing; false if a program is being executed
// from it.
func (in *Inode) getWriter() bool {
	for {
		n := in.writeCount.Load()
		if n < 0 {
			return false
		}
		if in.writeCount.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (in *Inode) putWriter() { in.writeCount.Add(-1) }

// BeingWritten reports whether the file may change because somebody has it open for
// writing.
func (f *File) BeingWritten() bool { return f.mode&modeWrite != 0 || f.inode.writeCount.Load() > 0 }

// OpenForWriting reports whether somebody has in open for writing.
func (in *Inode) OpenForWriting() bool { return in.writeCount.Load() > 0 }

// DenyWrite keeps in from being opened for writing, while it is a program that
// is executed; ETXTBSY if somebody has it open for writing.
func (in *Inode) DenyWrite() error {
	for {
		n := in.writeCount.Load()
		if n > 0 {
			return unix.ETXTBSY
		}
		if in.writeCount.CompareAndSwap(n, n-1) {
			return nil
		}
	}
}

// AllowWrite is DenyWrite's end.
func (in *Inode) AllowWrite() { in.writeCount.Add(1) }

// OpenInternal opens what is at p, whose references it takes over, without a
// permission check: for file systems that are made of others.
func (ctx *Context) OpenInternal(p Path, flags uint32) (*File, error) {
	return ctx.openFile(p, flags&^(unix.O_CREAT|unix.O_EXCL), true)
}
