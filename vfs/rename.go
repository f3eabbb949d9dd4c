package vfs

import (
	"golang.org/x/sys/unix"
)

// Rename renames: renameat2(2).
func (ctx *Context) Rename(at Start, path string, newAt Start, newPath string, flags uint32) error {
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE|unix.RENAME_WHITEOUT) != 0 {
		return unix.EINVAL
	}
	if flags&unix.RENAME_EXCHANGE != 0 && flags&(unix.RENAME_NOREPLACE|unix.RENAME_WHITEOUT) != 0 {
		return unix.EINVAL
	}
	if flags&unix.RENAME_WHITEOUT != 0 && !ctx.Cred.HasCap(unix.CAP_MKNOD) {
		return unix.EPERM
	}
	w := &ctx.walk
	from, err := ctx.parent(at, path)
	if err != nil {
		return err
	}
	defer from.DecRef()
	src := renameEnd{name: w.last, hash: w.lastHash, typ: w.lastType, slash: w.slash}
	to, err := ctx.parent(newAt, newPath)
	if err != nil {
		return err
	}
	defer to.DecRef()
	dst := renameEnd{name: w.last, hash: w.lastHash, typ: w.lastType, slash: w.slash}

	if from.Mount != to.Mount {
		return unix.EXDEV
	}
	if src.typ != lastNorm {
		return unix.EBUSY
	}
	if dst.typ != lastNorm {
		if flags&unix.RENAME_NOREPLACE != 0 {
			return unix.EEXIST
		}
		return unix.EBUSY
	}
	if err := from.Mount.GetWrite(); err != nil {
		return err
	}
	defer from.Mount.PutWrite()
	above, err := lockRename(from.Dentry, to.Dentry)
	if err != nil {
		return err
	}
	defer unlockRename(from.Dentry, to.Dentry)
	if src.d, err = lookupLocked(ctx, from.Dentry, src.name, src.hash); err != nil {
		return err
	}
	defer src.d.DecRef()
	if src.d.Inode() == nil {
		return unix.ENOENT
	}
	if dst.d, err = lookupLocked(ctx, to.Dentry, dst.name, dst.hash); err != nil {
		return err
	}
	defer dst.d.DecRef()
	return ctx.renameLocked(from.Dentry, to.Dentry, above, src, dst, flags)
}

// A renameEnd is one of the two names of a rename.
type renameEnd struct {
	d     *Dentry
	name  string
	hash  uint32
	typ   int
	slash bool
}

// lockRename locks both directories. If one is an ancestor of the other it
// returns the ancestor's child that leads there.
func lockRename(a, b *Dentry) (above *Dentry, err error) {
	if a == b {
		a.Inode().mu.Lock()
		return nil, nil
	}
	a.sb.renameMu.Lock()
	first, second := a, b
	if c := childTowards(a, b); c != nil {
		above = c
	} else if c := childTowards(b, a); c != nil {
		above = c
		first, second = b, a
	} else if b.Inode().seq < a.Inode().seq {
		first, second = b, a
	}
	first.Inode().mu.Lock()
	second.Inode().mu.Lock()
	return above, nil
}

// childTowards returns the entry of dir that is d or has it below; nil if d is not
// below dir.
func childTowards(dir, d *Dentry) *Dentry {
	for p := d.Parent(); p != nil; d, p = p, p.Parent() {
		if p == dir {
			return d
		}
	}
	return nil
}

func unlockRename(a, b *Dentry) {
	a.Inode().mu.Unlock()
	if a != b {
		b.Inode().mu.Unlock()
		a.sb.renameMu.Unlock()
	}
}

// renameLocked renames with both directories locked.
func (ctx *Context) renameLocked(from, to, above *Dentry, src, dst renameEnd, flags uint32) error {
	oldDir, newDir := from.Inode(), to.Inode()
	child, replaced := src.d.Inode(), dst.d.Inode()
	exchange := flags&unix.RENAME_EXCHANGE != 0
	if flags&unix.RENAME_NOREPLACE != 0 && replaced != nil {
		return unix.EEXIST
	}
	if exchange {
		if replaced == nil {
			return unix.ENOENT
		}
		if dst.slash && !replaced.IsDir() {
			return unix.ENOTDIR
		}
	}
	if !child.IsDir() && (src.slash || !exchange && dst.slash) {
		return unix.ENOTDIR
	}
	// A directory cannot go below itself, nor can what has the source in it be
	// replaced.
	if src.d == above {
		return unix.EINVAL
	}
	if dst.d == above {
		if exchange {
			return unix.EINVAL
		}
		return unix.ENOTEMPTY
	}
	if child == replaced {
		return nil // two names of one file: nothing happens
	}
	if err := mayDelete(ctx, oldDir, child, child.IsDir()); err != nil {
		return err
	}
	if replaced == nil {
		if err := mayCreate(ctx, newDir); err != nil {
			return err
		}
	} else if err := mayDelete(ctx, newDir, replaced, replaced.IsDir()); err != nil {
		return err
	} else if !exchange {
		if child.IsDir() && !replaced.IsDir() {
			return unix.ENOTDIR
		}
		if !child.IsDir() && replaced.IsDir() {
			return unix.EISDIR
		}
	}
	// A directory that changes its parent gets another "..".
	if oldDir != newDir {
		if child.IsDir() {
			if err := child.Permission(ctx, MayWrite); err != nil {
				return err
			}
		}
		if exchange && replaced.IsDir() {
			if err := replaced.Permission(ctx, MayWrite); err != nil {
				return err
			}
		}
	}
	for _, d := range []*Dentry{src.d, dst.d} {
		if d.mounted.Load() > 0 && oldDir.sb.vfs.busy(ctx.MountNS, d) {
			return unix.EBUSY
		}
	}
	if replaced != nil && !exchange && replaced.IsDir() {
		replaced.mu.Lock()
		defer replaced.mu.Unlock()
	}
	if err := oldDir.ops.Rename(ctx, src.d.Name(), child, newDir, dst.d.Name(), replaced, flags); err != nil {
		return err
	}
	if exchange {
		if v := oldDir.sb.vfs; v.watched() {
			v.notifyMove(oldDir, newDir, child, src.name, dst.name)
			v.notifyMove(newDir, oldDir, replaced, dst.name, src.name)
		}
		src.d.swap(dst.d)
		return nil
	}
	if replaced != nil && replaced.IsDir() {
		replaced.dead.Store(true)
	}
	at := dst.d.at.Load()
	dst.d.unhash()
	src.d.move(to, at.name, at.hash)
	if v := oldDir.sb.vfs; v.watched() {
		v.notifyMove(oldDir, newDir, child, src.name, dst.name)
		if replaced != nil {
			replaced.notify(unix.IN_ATTRIB, replaced, 0, "")
		}
	}
	if dst.d.mounted.Load() > 0 {
		oldDir.sb.vfs.detachAll(dst.d)
	}
	return nil
}
