package vfs

import (
	"strings"

	"golang.org/x/sys/unix"
)

const (
	nameMax    = 255 // NAME_MAX
	maxLinks   = 40  // symbolic links in one walk
	maxRetries = 1000

	resolveCached = 0x20 // RESOLVE_CACHED of openat2(2)
)

// Flags of walks.
const (
	// WalkFollow follows a symbolic link at the end.
	WalkFollow = 1 << iota
	// WalkEmpty takes the empty path for the start (AT_EMPTY_PATH).
	WalkEmpty
	// WalkDirectory gives ENOTDIR for anything but a directory.
	WalkDirectory
	// WalkNoAutomount is accepted and does nothing: there are no automounts.
	WalkNoAutomount
)

// How the last component of a walk to a parent looks.
const (
	lastNorm   = iota
	lastDot    // "."
	lastDotDot // ".."
	lastRoot   // there is none: "/"
)

// A walker is the state of a path walk. cur is not held.
type walker struct {
	ctx     *Context
	root    Path
	start   Path
	cur     Path
	resolve uint64 // RESOLVE_* of openat2(2)
	links   int
	depth   int
	rest    [maxLinks]string // what follows a symbolic link, for those that are being followed

	// The last component, after a walk to the parent.
	last     string
	lastHash uint32
	lastType int
	slash    bool // it had a slash behind it

	// What the walk must hold while it goes on: where a magic link led, and the
	// last dentry of a file system that caches nothing.
	jumped Path
	held   *Dentry
}

// errRetry says that the walk went through something that has left the cache.
const errRetry = unix.Errno(601)

// A Start is where relative paths begin.
type Start struct {
	// Path is the directory; the zero Path is the working directory.
	Path Path
	// Resolve are RESOLVE_* flags of openat2(2).
	Resolve uint64
}

// begin sets w to the start of path and returns the path without leading slashes.
func (w *walker) begin(ctx *Context, at Start, path string) (string, error) {
	root, cwd := ctx.FS.peek()
	w.ctx = ctx
	w.root = root
	w.resolve = at.Resolve
	w.links, w.depth = 0, 0
	w.start = at.Path
	if at.Path.IsZero() {
		w.start = cwd
	}
	if at.Resolve&(unix.RESOLVE_BENEATH|unix.RESOLVE_IN_ROOT) != 0 {
		w.root = w.start
	}
	w.cur = w.start
	if len(path) > 0 && path[0] == '/' {
		if at.Resolve&unix.RESOLVE_BENEATH != 0 {
			return "", unix.EXDEV
		}
		w.cur = w.root
		path = skipSlashes(path)
	}
	if w.cur.IsZero() {
		return "", unix.ENOENT
	}
	return path, nil
}

func skipSlashes(s string) string {
	for len(s) > 0 && s[0] == '/' {
		s = s[1:]
	}
	return s
}

// walkParent walks to the directory that has the last component of path, and
// leaves that in w.last.
func (w *walker) walkParent(path string) error {
	for {
		if path == "" {
			// Only at the very beginning ("/"), or at the end of a link's target.
			if w.depth == 0 {
				w.lastType, w.last, w.slash = lastRoot, "", false
				return nil
			}
			w.depth--
			path = w.rest[w.depth]
			continue
		}
		in := w.cur.Dentry.Inode()
		if in == nil {
			return errRetry
		}
		if !in.IsDir() {
			return unix.ENOTDIR
		}
		if err := in.Permission(w.ctx, MayExec); err != nil {
			return err
		}
		// The next component, its hash, and what follows it.
		hash := uint32(2166136261)
		n := 0
		for n < len(path) && path[n] != '/' {
			hash = (hash ^ uint32(path[n])) * 16777619
			n++
		}
		name := path[:n]
		slash := n < len(path)
		path = skipSlashes(path[n:])
		kind := lastNorm
		if name == "." {
			kind = lastDot
		} else if name == ".." {
			kind = lastDotDot
		} else if n > nameMax {
			return unix.ENAMETOOLONG
		}
		if path == "" && w.depth == 0 {
			w.last, w.lastHash, w.lastType, w.slash = name, hash, kind, slash
			return nil
		}
		switch kind {
		case lastDot:
			continue
		case lastDotDot:
			if err := w.dotdot(); err != nil {
				return err
			}
			continue
		}
		next, link, err := w.step(name, hash, true)
		if err != nil {
			return err
		}
		if !link {
			w.cur = next
			continue
		}
		target, err := w.link(next)
		if err != nil {
			return err
		}
		if target == "" {
			continue
		}
		w.rest[w.depth] = path
		w.depth++
		path = target
	}
}

// dotdot goes to the parent directory.
func (w *walker) dotdot() error {
	for {
		if w.cur == w.root {
			if w.resolve&unix.RESOLVE_BENEATH != 0 {
				return unix.EXDEV
			}
			break
		}
		if w.cur.Dentry != w.cur.Mount.root {
			p := w.cur.Dentry.Parent()
			if p == nil {
				break
			}
			if w.cur.Mount.root != w.cur.Mount.sb.root && !p.Within(w.cur.Mount.root) {
				return unix.ENOENT // moved out of a bind mount
			}
			w.cur.Dentry = p
			break
		}
		at := w.cur.Mount.at.Load()
		if at == nil {
			break
		}
		if w.resolve&unix.RESOLVE_NO_XDEV != 0 {
			return unix.EXDEV
		}
		w.cur = Path{at.parent, at.point}
	}
	if w.resolve&unix.RESOLVE_NO_XDEV != 0 && w.cur.Dentry.mounted.Load() > 0 && w.cur.Mount.vfs.mountOn(w.cur) != nil {
		return unix.EXDEV
	}
	followMounts(&w.cur)
	return nil
}

// step finds name in w.cur and crosses mounts; link says that it is a symbolic
// link, which the caller follows. ENOENT if there is no such name. follow says
// that a link is going to be followed.
func (w *walker) step(name string, hash uint32, follow bool) (next Path, link bool, err error) {
	d, err := w.lookup(name, hash)
	if err != nil {
		return Path{}, false, err
	}
	in := d.Inode()
	if in == nil {
		return Path{}, false, unix.ENOENT
	}
	next = Path{w.cur.Mount, d}
	if d.mounted.Load() > 0 {
		followMounts(&next)
		if next.Mount != w.cur.Mount {
			if w.resolve&unix.RESOLVE_NO_XDEV != 0 {
				return Path{}, false, unix.EXDEV
			}
			in = next.Inode()
		}
	}
	return next, follow && in.IsSymlink(), nil
}

// lookup finds name in w.cur, in the cache or by asking the file system. The
// dentry may be negative; it is not held.
func (w *walker) lookup(name string, hash uint32) (*Dentry, error) {
	dir := w.cur.Dentry
	if d := dir.child(name, hash); d != nil {
		if dir.sb.reval == nil || dir.sb.reval.Revalidate(w.ctx, dir.Inode(), d.Name(), d.Inode()) {
			return d, nil
		}
		if d.tryIncRef() {
			if d.mounted.Load() == 0 {
				d.Drop()
				d.unhash()
			}
			d.DecRef()
		}
	}
	if w.resolve&resolveCached != 0 {
		return nil, unix.EAGAIN
	}
	if !dir.tryIncRef() {
		return nil, errRetry
	}
	in := dir.Inode()
	in.mu.Lock()
	d, err := lookupLocked(w.ctx, dir, name, hash)
	in.mu.Unlock()
	dir.DecRef()
	if err != nil {
		return nil, err
	}
	// Let go of it: the walk goes on without references, as from the cache. For
	// a file system that caches nothing the dentry is dead by that, so it is
	// held until the walk is over.
	if d.sb.Flags&SBNoCache != 0 {
		w.hold(d)
		return d, nil
	}
	d.DecRef()
	return d, nil
}

// hold takes over the reference to d until the walk has gone on.
func (w *walker) hold(d *Dentry) {
	old := w.held
	w.held = d
	if old != nil {
		old.DecRef()
	}
}

// end lets go of what the walk has held.
func (w *walker) end() {
	if w.held != nil {
		w.hold(nil)
	}
	if !w.jumped.IsZero() {
		p := w.jumped
		w.jumped = Path{}
		p.DecRef()
	}
	for i := range w.rest[:min(w.links, maxLinks)] {
		w.rest[i] = ""
	}
	w.cur, w.start, w.root = Path{}, Path{}, Path{}
	w.last = ""
}

// link follows the symbolic link p: it returns the path at which the walk goes on,
// after setting w.cur if that is absolute. "" says that the link led to w.cur.
func (w *walker) link(p Path) (string, error) {
	if w.links >= maxLinks {
		return "", unix.ELOOP
	}
	w.links++
	if w.resolve&unix.RESOLVE_NO_SYMLINKS != 0 || p.Mount.flags.Load()&unix.MS_NOSYMFOLLOW != 0 {
		return "", unix.ELOOP
	}
	if !p.Dentry.tryIncRef() {
		return "", errRetry
	}
	defer p.Dentry.DecRef()
	in := p.Inode()
	if in.magic != nil {
		if w.resolve&unix.RESOLVE_NO_MAGICLINKS != 0 {
			return "", unix.ELOOP
		}
		if w.resolve&(unix.RESOLVE_BENEATH|unix.RESOLVE_IN_ROOT) != 0 {
			return "", unix.EXDEV
		}
		to, err := in.magic.FollowLink(w.ctx)
		if err != nil {
			return "", err
		}
		if w.resolve&unix.RESOLVE_NO_XDEV != 0 && to.Mount != w.cur.Mount {
			to.DecRef()
			return "", unix.EXDEV
		}
		old := w.jumped
		w.jumped, w.cur = to, to
		old.DecRef()
		return "", nil
	}
	p.Mount.touchAtime(in)
	target, err := in.ops.Readlink(w.ctx)
	if err != nil {
		return "", err
	}
	if target == "" {
		return "", unix.ENOENT
	}
	if target[0] == '/' {
		if w.resolve&unix.RESOLVE_BENEATH != 0 {
			return "", unix.EXDEV
		}
		if w.resolve&unix.RESOLVE_NO_XDEV != 0 && w.root.Mount != w.cur.Mount {
			return "", unix.EXDEV
		}
		w.cur = w.root
		target = skipSlashes(target)
	}
	return target, nil
}

// walk walks all of path and leaves the end in w.cur, not held.
func (w *walker) walk(ctx *Context, at Start, path string, flags uint32) error {
	if path == "" {
		if flags&WalkEmpty == 0 {
			return unix.ENOENT
		}
		if _, err := w.begin(ctx, at, "."); err != nil {
			return err
		}
	} else {
		rest, err := w.begin(ctx, at, path)
		if err != nil {
			return err
		}
		if flags, err = w.walkAll(rest, flags); err != nil {
			return err
		}
	}
	if flags&WalkDirectory != 0 {
		in := w.cur.Inode()
		if in == nil {
			return errRetry
		}
		if !in.IsDir() {
			return unix.ENOTDIR
		}
	}
	return nil
}

// walkAll walks path from w.cur on. It returns flags with WalkDirectory if a slash
// at the end asked for that.
func (w *walker) walkAll(path string, flags uint32) (uint32, error) {
	for {
		if err := w.walkParent(path); err != nil {
			return flags, err
		}
		switch w.lastType {
		case lastDotDot:
			return flags, w.dotdot()
		case lastDot, lastRoot:
			return flags, nil
		}
		if w.slash {
			flags |= WalkDirectory
		}
		next, link, err := w.step(w.last, w.lastHash, flags&WalkFollow != 0 || w.slash)
		if err != nil {
			return flags, err
		}
		if !link {
			w.cur = next
			return flags, nil
		}
		if path, err = w.link(next); err != nil {
			return flags, err
		}
		if path == "" {
			return flags, nil
		}
	}
}

// Walk returns where path leads, with references. flags are Walk*.
func (ctx *Context) Walk(at Start, path string, flags uint32) (Path, error) {
	w := &ctx.walk
	for range maxRetries {
		err := w.walk(ctx, at, path, flags)
		if err == nil {
			if p := w.cur; p.tryIncRef() {
				w.end()
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

// lookupLocked finds name in dir, whose Inode is locked for writing. The dentry has a
// reference and may be negative.
func lookupLocked(ctx *Context, dir *Dentry, name string, hash uint32) (*Dentry, error) {
	in := dir.Inode()
	if d := dir.pinChild(name, hash); d != nil {
		if dir.sb.reval == nil || dir.sb.reval.Revalidate(ctx, in, d.Name(), d.Inode()) || d.mounted.Load() > 0 {
			return d, nil
		}
		d.Drop()
		d.unhash()
		d.DecRef()
	}
	if in.dead.Load() {
		return nil, unix.ENOENT
	}
	name = strings.Clone(name)
	child, err := in.ops.Lookup(ctx, name)
	if err != nil && (err != unix.ENOENT || dir.sb.Flags&SBNoNegative != 0) {
		return nil, err
	}
	return dir.newChild(name, hash, child), nil
}
