package overlay

import (
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// Lookup implements vfs.InodeOps.
func (n *node) Lookup(ctx *vfs.Context, name string) (*vfs.Inode, error) {
	if !n.IsDir() {
		return nil, unix.ENOTDIR
	}
	var upper *vfs.Inode
	if u := n.upper.Load(); u != nil {
		var err error
		if upper, err = lookup(ctx, u, name); err != nil {
			return nil, err
		}
	}
	var lower []lowerDir
	switch {
	case upper == nil:
		var err error
		if lower, err = n.lookupLower(ctx, name); err != nil {
			return nil, err
		}
		if lower == nil {
			return nil, unix.ENOENT
		}
	case isWhiteout(upper):
		upper.DecRef()
		return nil, unix.ENOENT
	case upper.IsDir():
		var err error
		if lower, err = n.belowUpper(ctx, name, upper); err != nil {
			upper.DecRef()
			return nil, err
		}
	}
	c, err := n.fs.newNode(ctx, n, name, upper, lower)
	if err != nil {
		return nil, err
	}
	return &c.Inode, nil
}

// lookupLower returns what name is in the lower layers: directories that are to be
// merged, or one other object; nil if there is nothing.
func (n *node) lookupLower(ctx *vfs.Context, name string) ([]lowerDir, error) {
	var found []lowerDir
	for _, l := range n.lower {
		in, err := lookup(ctx, l.inode, name)
		if err != nil {
			drop(nil, found)
			return nil, err
		}
		if in == nil {
			continue
		}
		if isWhiteout(in) || found != nil && !in.IsDir() {
			in.DecRef()
			break
		}
		found = append(found, lowerDir{l.layer, in})
		if !in.IsDir() || isOpaque(ctx, in) {
			break
		}
	}
	return found, nil
}

// belowUpper returns what is merged with the upper directory dir, called name.
func (n *node) belowUpper(ctx *vfs.Context, name string, dir *vfs.Inode) ([]lowerDir, error) {
	n.fs.mu.Lock()
	below, ok := n.fs.below[dir]
	for _, l := range below {
		l.inode.IncRef()
	}
	n.fs.mu.Unlock()
	if ok {
		return below, nil
	}
	if isOpaque(ctx, dir) {
		return nil, nil
	}
	lower, err := n.lookupLower(ctx, name)
	if err == nil && lower != nil && !lower[0].inode.IsDir() {
		drop(nil, lower)
		lower = nil
	}
	return lower, err
}

// hides reports whether there is something called name in the lower layers.
func (n *node) hides(ctx *vfs.Context, name string) (bool, error) {
	lower, err := n.lookupLower(ctx, name)
	drop(nil, lower)
	return lower != nil, err
}

// uncover removes the whiteout called name from the upper directory u, which is
// locked.
func uncover(ctx *vfs.Context, u *vfs.Inode, name string) error {
	in, err := u.Ops().Lookup(ctx, name)
	if err != nil {
		if err == unix.ENOENT {
			return nil
		}
		return err
	}
	defer in.DecRef()
	if !isWhiteout(in) {
		return unix.EEXIST
	}
	return u.Ops().Unlink(ctx, name, in)
}

// cover makes a whiteout called name in the upper directory u, which is locked.
func cover(ctx *vfs.Context, u *vfs.Inode, name string) error {
	in, err := u.Ops().Mknod(ctx, name, unix.S_IFCHR, 0)
	if err == nil {
		in.DecRef()
	}
	return err
}

// make makes an object in the upper layer by f, which is called with the upper directory
// locked, and returns its node.
func (n *node) make(ctx *vfs.Context, name string, f func(u *vfs.Inode) (*vfs.Inode, error)) (*vfs.Inode, error) {
	u, err := n.copyUp(ctx)
	if err != nil {
		return nil, err
	}
	u.Lock()
	if err = uncover(ctx, u, name); err != nil {
		u.Unlock()
		return nil, err
	}
	in, err := f(u)
	if err != nil {
		if hidden, e := n.hides(ctx, name); e == nil && hidden {
			cover(ctx, u, name)
		}
		u.Unlock()
		return nil, err
	}
	u.Unlock()
	if in.IsDir() {
		n.fs.mu.Lock()
		n.fs.below[in] = nil
		n.fs.mu.Unlock()
	}
	c, err := n.fs.newNode(ctx, n, name, in, nil)
	if err != nil {
		return nil, err
	}
	return &c.Inode, nil
}

// Create implements vfs.InodeOps.
func (n *node) Create(ctx *vfs.Context, name string, mode uint32) (*vfs.Inode, error) {
	return n.make(ctx, name, func(u *vfs.Inode) (*vfs.Inode, error) { return u.Ops().Create(ctx, name, mode) })
}

// Mkdir implements vfs.InodeOps.
func (n *node) Mkdir(ctx *vfs.Context, name string, mode uint32) (*vfs.Inode, error) {
	return n.make(ctx, name, func(u *vfs.Inode) (*vfs.Inode, error) { return u.Ops().Mkdir(ctx, name, mode) })
}

// Mknod implements vfs.InodeOps. A device 0:0, the whiteout of an overlay whose
// upper layer is in this one, is kept as another device.
func (n *node) Mknod(ctx *vfs.Context, name string, mode uint32, dev vfs.Dev) (*vfs.Inode, error) {
	if mode&unix.S_IFMT == unix.S_IFCHR && dev == 0 {
		dev = nestedWhiteout
	}
	return n.make(ctx, name, func(u *vfs.Inode) (*vfs.Inode, error) { return u.Ops().Mknod(ctx, name, mode, dev) })
}

// Symlink implements vfs.InodeOps.
func (n *node) Symlink(ctx *vfs.Context, name, target string) (*vfs.Inode, error) {
	return n.make(ctx, name, func(u *vfs.Inode) (*vfs.Inode, error) { return u.Ops().Symlink(ctx, name, target) })
}

// Tmpfile implements vfs.InodeOps.
func (n *node) Tmpfile(ctx *vfs.Context, mode uint32) (*vfs.Inode, error) {
	u, err := n.copyUp(ctx)
	if err != nil {
		return nil, err
	}
	u.Lock()
	in, err := u.Ops().Tmpfile(ctx, mode)
	u.Unlock()
	if err != nil {
		return nil, err
	}
	c, err := n.fs.newNode(ctx, nil, "", in, nil)
	if err != nil {
		return nil, err
	}
	return &c.Inode, nil
}

// Link implements vfs.InodeOps.
func (n *node) Link(ctx *vfs.Context, name string, target *vfs.Inode) error {
	t := target.Ops().(*node)
	old, err := t.copyUp(ctx)
	if err != nil {
		return err
	}
	u, err := n.copyUp(ctx)
	if err != nil {
		return err
	}
	u.Lock()
	if err = uncover(ctx, u, name); err == nil {
		err = u.Ops().Link(ctx, name, old)
	}
	u.Unlock()
	if err != nil {
		return err
	}
	t.AddNlink(1)
	t.setPlace(n, name)
	return nil
}

// Unlink implements vfs.InodeOps.
func (n *node) Unlink(ctx *vfs.Context, name string, child *vfs.Inode) error {
	c := child.Ops().(*node)
	if err := n.removeName(ctx, name, c, false); err != nil {
		return err
	}
	if c.AddNlink(-1) == 0 {
		c.forget()
	}
	return nil
}

// Rmdir implements vfs.InodeOps.
func (n *node) Rmdir(ctx *vfs.Context, name string, child *vfs.Inode) error {
	c := child.Ops().(*node)
	if err := c.clear(ctx); err != nil {
		return err
	}
	if err := n.removeName(ctx, name, c, true); err != nil {
		return err
	}
	c.SetNlink(0)
	c.forget()
	return nil
}

// forget notes that c has no name any more.
func (n *node) forget() {
	n.mu.Lock()
	parent := n.parent
	n.parent, n.name = nil, ""
	n.mu.Unlock()
	if parent != nil {
		parent.DecRef()
	}
}

// removeName removes c from the directory.
func (n *node) removeName(ctx *vfs.Context, name string, c *node, dir bool) error {
	hidden, err := n.hides(ctx, name)
	if err != nil {
		return err
	}
	u, err := n.copyUp(ctx)
	if err != nil {
		return err
	}
	u.Lock()
	defer u.Unlock()
	// What the name is in the upper layer is asked of the layer: c may have been
	// copied up by another name.
	in, err := u.Ops().Lookup(ctx, name)
	if err == nil {
		if dir {
			err = u.Ops().Rmdir(ctx, name, in)
		} else {
			err = u.Ops().Unlink(ctx, name, in)
		}
		if err == nil && dir {
			n.fs.dropBelow(in)
		}
		in.DecRef()
		if err != nil {
			return err
		}
	} else if err != unix.ENOENT {
		return err
	}
	if hidden {
		return cover(ctx, u, name)
	}
	return nil
}

// dropBelow forgets what is below an upper directory that has gone.
func (fs *FS) dropBelow(in *vfs.Inode) {
	fs.mu.Lock()
	below := fs.below[in]
	delete(fs.below, in)
	fs.mu.Unlock()
	drop(nil, below)
}

// clear checks that the directory is empty, and removes the whiteouts from its upper part:
// ENOTEMPTY.
func (n *node) clear(ctx *vfs.Context) error {
	list, whiteouts, err := n.entries(ctx)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return unix.ENOTEMPTY
	}
	u := n.upper.Load()
	if u == nil {
		return nil
	}
	u.Lock()
	defer u.Unlock()
	for _, name := range whiteouts {
		if err := uncover(ctx, u, name); err != nil {
			return err
		}
	}
	return nil
}

// Rename implements vfs.InodeOps.
func (n *node) Rename(ctx *vfs.Context, name string, child, newDir *vfs.Inode, newName string, replaced *vfs.Inode, flags uint32) error {
	if flags&unix.RENAME_WHITEOUT != 0 {
		return unix.EINVAL
	}
	c, to := child.Ops().(*node), newDir.Ops().(*node)
	exchange := flags&unix.RENAME_EXCHANGE != 0
	var r *node
	if replaced != nil {
		r = replaced.Ops().(*node)
	}
	if _, err := c.copyUp(ctx); err != nil {
		return err
	}
	from, err := n.copyUp(ctx)
	if err != nil {
		return err
	}
	dest, err := to.copyUp(ctx)
	if err != nil {
		return err
	}
	if exchange {
		if _, err := r.copyUp(ctx); err != nil {
			return err
		}
	} else if r != nil && r.IsDir() {
		if err := r.clear(ctx); err != nil {
			return err
		}
	}
	hidden, err := n.hides(ctx, name)
	if err != nil {
		return err
	}
	var other *vfs.Inode
	if exchange {
		other = r.upper.Load()
	}
	if err := renameUpper(ctx, n.fs, from, name, c.upper.Load(), dest, newName, other, exchange); err != nil {
		return err
	}
	if hidden && !exchange {
		from.Lock()
		err = cover(ctx, from, name)
		from.Unlock()
	}
	c.setPlace(to, newName)
	switch {
	case exchange:
		r.setPlace(n, name)
	case r != nil && r.IsDir():
		r.SetNlink(0)
		r.forget()
	case r != nil:
		if r.AddNlink(-1) == 0 {
			r.forget()
		}
	}
	return err
}

// linkCopy sees to it that the copy of an object, which may have been made by
// another name of it, has this name in the upper directory dir, which is locked.
func linkCopy(ctx *vfs.Context, dir *vfs.Inode, name string, copied *vfs.Inode) error {
	in, err := dir.Ops().Lookup(ctx, name)
	if err == unix.ENOENT {
		return dir.Ops().Link(ctx, name, copied)
	}
	if err == nil {
		in.DecRef()
	}
	return err
}

// renameUpper renames in the upper layer. The directories of the union are locked, so
// nobody else changes these two.
// copied is what is renamed, and other, if exchange, what it changes places with.
func renameUpper(ctx *vfs.Context, fs *FS, from *vfs.Inode, name string, copied, dest *vfs.Inode, newName string, other *vfs.Inode, exchange bool) error {
	from.Lock()
	if dest != from {
		dest.Lock()
		defer dest.Unlock()
	}
	defer from.Unlock()
	if err := linkCopy(ctx, from, name, copied); err != nil {
		return err
	}
	if exchange {
		if err := linkCopy(ctx, dest, newName, other); err != nil {
			return err
		}
	}
	source, err := from.Ops().Lookup(ctx, name)
	if err != nil {
		return err
	}
	defer source.DecRef()
	old, err := dest.Ops().Lookup(ctx, newName)
	if err != nil && err != unix.ENOENT {
		return err
	}
	if err == nil {
		defer old.DecRef()
		if isWhiteout(old) && !exchange {
			if err := dest.Ops().Unlink(ctx, newName, old); err != nil {
				return err
			}
			old = nil
		}
	}
	var flags uint32
	if exchange {
		flags = unix.RENAME_EXCHANGE
	}
	if err := from.Ops().Rename(ctx, name, source, dest, newName, old, flags); err != nil {
		return err
	}
	if old != nil && old.IsDir() && !exchange {
		fs.dropBelow(old)
	}
	return nil
}
