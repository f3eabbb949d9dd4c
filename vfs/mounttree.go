package vfs

import (
	"maps"
	"slices"

	"casemate/vfs/cred"

	"golang.org/x/sys/unix"
)

// maxMounts is /proc/sys/fs/mount-max: how many mounts a namespace can have.
const maxMounts = 100000

// setMounts changes the table of what is mounted where. mountMu is held.
func (v *VFS) setMounts(change func(m map[mountAt]*Mount)) {
	n := maps.Clone(*v.mounts.Load())
	change(n)
	v.mounts.Store(&n)
}

// attach mounts m at a place, in the namespace of the parent. mountMu is held. The
// tree's reference is m's first one.
func (m *Mount) attach(parent *Mount, point *Dentry) {
	at := mountAt{parent, point}
	point.IncRef()
	point.mounted.Add(1)
	parent.children = append(parent.children, m)
	m.at.Store(&at)
	m.vfs.setMounts(func(t map[mountAt]*Mount) { t[at] = m })
	m.setNamespace(parent.ns)
}

// setNamespace puts the tree of m into a namespace, or out of any (nil).
func (m *Mount) setNamespace(ns *MountNamespace) {
	m.each(func(c *Mount) {
		if c.ns != nil {
			c.ns.count--
			c.ns.event.Add(1)
		}
		c.ns = ns
		if ns != nil {
			ns.count++
			ns.event.Add(1)
		}
	})
}

// detach takes m away from where it is mounted, with what is mounted below it. mountMu is held.
func (m *Mount) detach() {
	at := m.at.Load()
	if at == nil {
		return
	}
	m.at.Store(nil)
	m.vfs.setMounts(func(t map[mountAt]*Mount) { delete(t, *at) })
	at.point.mounted.Add(-1)
	at.parent.children = slices.DeleteFunc(at.parent.children, func(c *Mount) bool { return c == m })
	at.point.DecRef()
}

// each calls f for m and all mounts below it, parents first. mountMu is held.
func (m *Mount) each(f func(*Mount)) {
	f(m)
	for _, c := range m.children {
		c.each(f)
	}
}

// unmount takes the tree of m apart and returns its mounts, whose tree references
// the caller drops when it does not hold mountMu any more.
func (m *Mount) unmount() []*Mount {
	var all []*Mount
	m.setNamespace(nil)
	m.each(func(c *Mount) { all = append(all, c) })
	for i := len(all) - 1; i >= 0; i-- {
		all[i].detach()
		all[i].leavePeers()
		all[i].setMaster(nil)
	}
	return all
}

func dropAll(mounts []*Mount) {
	for _, m := range mounts {
		m.DecRef()
	}
}

// busy reports whether something is mounted on d in the namespace ns, so that the
// name cannot be removed there.
func (v *VFS) busy(ns *MountNamespace, d *Dentry) bool {
	for at, m := range *v.mounts.Load() {
		if at.point == d && m.ns == ns {
			return true
		}
	}
	return false
}

// detachAll unmounts what is mounted on d, whose name is gone, in other
// namespaces.
func (v *VFS) detachAll(d *Dentry) {
	v.mountMu.Lock()
	var gone []*Mount
	for at, m := range *v.mounts.Load() {
		if at.point == d {
			gone = append(gone, m.unmount()...)
		}
	}
	v.mountMu.Unlock()
	dropAll(gone)
}

// mayMount checks that ctx may change its mount namespace: EPERM.
func (ctx *Context) mayMount() error {
	if !ctx.Cred.HasCapIn(unix.CAP_SYS_ADMIN, ctx.MountNS.UserNS) {
		return unix.EPERM
	}
	return nil
}

// MountOptions say how something is mounted.
type MountOptions struct {
	// Flags are MS_* of MountFlags.
	Flags uint32
	// Options is shown by mountinfo in place of the flags' names, if not "".
	Options string
}

// Attach mounts sb at dst, which is the sandbox's own doing and not checked for permission. EBUSY if
// it is there already, ENOTDIR if one is a directory and the other is not.
func (v *VFS) Attach(sb *Superblock, dst Path, o MountOptions) (*Mount, error) {
	v.mountMu.Lock()
	m := v.newMount(sb, sb.root, o.Flags)
	m.options = o.Options
	err := v.graft(m, dst)
	v.mountMu.Unlock()
	if err != nil {
		m.DecRef()
		return nil, err
	}
	return m, nil
}

// graft mounts the tree of m at dst and wherever that propagates to. mountMu is held.
func (v *VFS) graft(m *Mount, dst Path) error {
	followMounts(&dst)
	if dst.Dentry.Inode() == nil || dst.Dentry.Unlinked() {
		return unix.ENOENT
	}
	if dst.Dentry.Inode().IsDir() != m.root.Inode().IsDir() {
		return unix.ENOTDIR
	}
	if dst.Mount.ns == nil {
		return unix.EINVAL
	}
	n := dst.Mount.ns.count
	m.each(func(*Mount) { n++ })
	if n > maxMounts {
		return unix.ENOSPC
	}
	v.propagateMount(m, dst)
	m.attach(dst.Mount, dst.Dentry)
	return nil
}

// NewMount mounts a file system by the name of its type: mount(2) without the
// flags that say otherwise.
func (ctx *Context) NewMount(source string, dst Path, fstype string, flags uint32, data string) error {
	if err := ctx.mayMount(); err != nil {
		return err
	}
	v := ctx.MountNS.vfs
	t, err := v.Type(fstype)
	if err != nil {
		return err
	}
	if t.Flags()&SBKernel != 0 {
		return unix.EINVAL
	}
	if t.Flags()&SBUserMount == 0 && !ctx.Cred.HasCapIn(unix.CAP_SYS_ADMIN, v.UserNS) {
		return unix.EPERM
	}
	sb, err := t.Mount(ctx, source, flags, data)
	if err != nil {
		return err
	}
	if ctx.Cred.UserNS != v.UserNS && sb.Flags&SBOwnDevices == 0 {
		flags |= unix.MS_NODEV
	}
	_, err = v.Attach(sb, dst, MountOptions{Flags: defaultAtime(flags)})
	return err
}

// defaultAtime adds MS_RELATIME, the default, to flags that say nothing of access
// times.
func defaultAtime(flags uint32) uint32 {
	if flags&unix.MS_STRICTATIME != 0 {
		return flags &^ (unix.MS_RELATIME | unix.MS_NOATIME)
	}
	if flags&unix.MS_NOATIME == 0 {
		flags |= unix.MS_RELATIME
	}
	return flags
}

// copyTree copies m, seen from root on, and with recursive what is mounted below
// there and not unbindable. Copies are in the peer group of what they are copies
// of, and slaves of the same master. mountMu is held. EINVAL if m is
// unbindable.
func (v *VFS) copyTree(m *Mount, root *Dentry, recursive bool) (*Mount, error) {
	if m.unbindable && m.root == root {
		return nil, unix.EINVAL
	}
	n := v.newMount(m.sb, root, m.flags.Load())
	n.options = m.options
	if m.peers != nil {
		m.peers.join(n)
	}
	n.setMaster(m.master)
	if recursive {
		for _, c := range m.children {
			at := c.at.Load()
			if c.unbindable || !at.point.Within(root) {
				continue
			}
			k, err := v.copyTree(c, c.root, true)
			if err != nil {
				continue
			}
			k.attach(n, at.point)
		}
	}
	return n, nil
}

// Bind mounts what is at src at dst too: mount(2), MS_BIND.
func (ctx *Context) Bind(src, dst Path, recursive bool) error {
	if err := ctx.mayMount(); err != nil {
		return err
	}
	if b, ok := src.Inode().ops.(Binder); ok {
		if err := b.MayBind(ctx); err != nil {
			return err
		}
	}
	v := ctx.MountNS.vfs
	_, err := v.Bind(src, dst, recursive, nil)
	return err
}

// Bind is Context.Bind as the sandbox's own doing. o, if not nil, replaces the flags and options of
// the topmost mount.
func (v *VFS) Bind(src, dst Path, recursive bool, o *MountOptions) (*Mount, error) {
	v.mountMu.Lock()
	if src.Mount.ns == nil && src.Mount.sb.Flags&(SBKernel|SBBindable) == SBKernel {
		v.mountMu.Unlock()
		return nil, unix.EINVAL
	}
	m, err := v.copyTree(src.Mount, src.Dentry, recursive)
	if err == nil {
		if o != nil {
			m.flags.Store(o.Flags & MountFlags)
			m.options = o.Options
		}
		err = v.graft(m, dst)
	}
	var gone []*Mount
	if err != nil && m != nil {
		gone = m.unmount()
	}
	v.mountMu.Unlock()
	dropAll(gone)
	return m, err
}

// Move moves the mount whose root src is to dst: mount(2), MS_MOVE.
func (ctx *Context) Move(src, dst Path) error {
	if err := ctx.mayMount(); err != nil {
		return err
	}
	v := ctx.MountNS.vfs
	v.mountMu.Lock()
	defer v.mountMu.Unlock()
	m := src.Mount
	at := m.at.Load()
	if src.Dentry != m.root || m.ns != ctx.MountNS || at == nil || m.locked || at.parent.peers != nil {
		return unix.EINVAL
	}
	followMounts(&dst)
	if dst.Mount.ns != ctx.MountNS {
		return unix.EINVAL
	}
	if dst.Dentry.Inode().IsDir() != m.root.Inode().IsDir() {
		return unix.EINVAL
	}
	for p := dst.Mount; p != nil; {
		if p == m {
			return unix.ELOOP
		}
		up := p.at.Load()
		if up == nil {
			break
		}
		p = up.parent
	}
	if dst.Mount.peers != nil {
		unbindable := false
		m.each(func(c *Mount) { unbindable = unbindable || c.unbindable })
		if unbindable {
			return unix.EINVAL
		}
	}
	m.detach()
	return v.graft(m, dst)
}

// Remount changes the flags of the mount whose root p is and, unless bind, the
// options of its file system: mount(2), MS_REMOUNT.
func (ctx *Context) Remount(p Path, flags uint32, data string, bind bool) error {
	if err := ctx.mayMount(); err != nil {
		return err
	}
	m := p.Mount
	if p.Dentry != m.root || m.ns != ctx.MountNS {
		return unix.EINVAL
	}
	v := m.vfs
	v.mountMu.Lock()
	defer v.mountMu.Unlock()
	old := m.flags.Load()
	if flags&(unix.MS_NOATIME|unix.MS_RELATIME|unix.MS_STRICTATIME|unix.MS_NODIRATIME) == 0 {
		// Nothing said: the access time settings stay.
		flags |= old & (unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME | unix.MS_NODIRATIME)
	}
	flags = defaultAtime(flags)
	if m.locked && old&^flags&(unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC) != 0 {
		return unix.EPERM
	}
	if !bind {
		if !ctx.Cred.HasCapIn(unix.CAP_SYS_ADMIN, m.sb.UserNS) {
			return unix.EPERM
		}
		if flags&unix.MS_RDONLY != 0 && !m.sb.ReadOnly() && m.sb.writers.Load() > 0 {
			return unix.EBUSY
		}
		if err := m.sb.ops.Remount(ctx, flags, data); err != nil {
			return err
		}
		m.sb.readOnly.Store(flags&unix.MS_RDONLY != 0)
	}
	if err := m.setFlags(flags & MountFlags); err != nil {
		return err
	}
	m.options = ""
	m.ns.event.Add(1)
	return nil
}

// setFlags changes m's flags: EBUSY if it is to be read-only and is being written.
func (m *Mount) setFlags(flags uint32) error {
	if flags&unix.MS_RDONLY != 0 && m.flags.Load()&unix.MS_RDONLY == 0 {
		if m.writers.Add(writersBarred) != writersBarred {
			m.writers.Add(-writersBarred)
			return unix.EBUSY
		}
		m.flags.Store(flags)
		m.writers.Add(-writersBarred)
		return nil
	}
	m.flags.Store(flags)
	return nil
}

// SetOptions changes the flags, and what mountinfo shows, of a mount and with
// recursive of all below it, as the sandbox's own doing.
func (m *Mount) SetOptions(o MountOptions, recursive bool) {
	m.vfs.mountMu.Lock()
	defer m.vfs.mountMu.Unlock()
	m.flags.Store(o.Flags & MountFlags)
	m.options = o.Options
	if recursive {
		m.each(func(c *Mount) { c.flags.Store(c.flags.Load() | o.Flags&MountFlags) })
	}
}

// Unmount unmounts the mount whose root p is, whose reference it takes over: umount2(2). flags are MNT_*.
func (ctx *Context) Unmount(p Path, flags int) error {
	m := p.Mount
	p.Dentry.DecRef()
	defer m.DecRef()
	if p.Dentry != m.root {
		return unix.EINVAL
	}
	if err := ctx.mayMount(); err != nil {
		return err
	}
	if flags&unix.MNT_FORCE != 0 && !ctx.Cred.HasCapIn(unix.CAP_SYS_ADMIN, m.vfs.UserNS) {
		return unix.EPERM
	}
	gone, err := ctx.unmount(m, flags)
	dropAll(gone)
	return err
}

func (ctx *Context) unmount(m *Mount, flags int) ([]*Mount, error) {
	v := m.vfs
	v.mountMu.Lock()
	defer v.mountMu.Unlock()
	if m.ns != ctx.MountNS || m.at.Load() == nil || m.locked {
		return nil, unix.EINVAL
	}
	if flags&unix.MNT_EXPIRE != 0 {
		if flags&(unix.MNT_FORCE|unix.MNT_DETACH) != 0 {
			return nil, unix.EINVAL
		}
		if m.refs.Load() != 2 || len(m.children) > 0 {
			return nil, unix.EBUSY
		}
		if !m.expiring.Swap(true) {
			return nil, unix.EAGAIN
		}
	}
	if flags&unix.MNT_DETACH == 0 {
		// The tree and the caller have a reference each.
		if len(m.children) > 0 || m.refs.Load() > 2 {
			return nil, unix.EBUSY
		}
	}
	gone := v.propagateUnmount(m, flags&unix.MNT_DETACH != 0)
	return append(gone, m.unmount()...), nil
}

// PivotRoot makes the mount whose root newRoot is the root mount, and moves the
// old one to putOld: pivot_root(2). All processes that had the old root as root or
// working directory get the new one.
func (ctx *Context) PivotRoot(newRoot, putOld Path) error {
	if err := ctx.mayMount(); err != nil {
		return err
	}
	oldRoot := ctx.FS.Root()
	defer oldRoot.DecRef()
	v := ctx.MountNS.vfs
	if err := ctx.pivot(oldRoot, newRoot, putOld); err != nil {
		return err
	}
	v.states.replace(oldRoot, newRoot)
	return nil
}

func (ctx *Context) pivot(oldRoot, newRoot, putOld Path) error {
	v := ctx.MountNS.vfs
	v.mountMu.Lock()
	defer v.mountMu.Unlock()
	n, o := newRoot.Mount, oldRoot.Mount
	if n.ns != ctx.MountNS || o.ns != ctx.MountNS || putOld.Mount.ns != ctx.MountNS {
		return unix.EINVAL
	}
	if newRoot.Dentry.Unlinked() {
		return unix.ENOENT
	}
	if n == o || putOld.Mount == o {
		return unix.EBUSY
	}
	if oldRoot.Dentry != o.root || newRoot.Dentry != n.root {
		return unix.EINVAL
	}
	at, oldAt := n.at.Load(), o.at.Load()
	if at == nil || n.locked || at.parent.peers != nil || putOld.Mount.peers != nil || oldAt != nil && oldAt.parent.peers != nil {
		return unix.EINVAL
	}
	if !reaches(putOld, newRoot) || !reaches(newRoot, oldRoot) {
		return unix.EINVAL
	}
	n.detach()
	if oldAt == nil {
		// The old root was the namespace's own; the new one becomes that.
		ctx.MountNS.root = n
	} else {
		parent, point := oldAt.parent, oldAt.point
		point.IncRef()
		o.detach()
		n.attach(parent, point)
		point.DecRef()
	}
	followMounts(&putOld)
	o.attach(putOld.Mount, putOld.Dentry)
	return nil
}

// reaches reports whether p is at or below top. mountMu is held.
func reaches(p, top Path) bool {
	for p.Mount != top.Mount {
		at := p.Mount.at.Load()
		if at == nil {
			return false
		}
		p = Path{at.parent, at.point}
	}
	return p.Dentry.Within(top.Dentry)
}

// Clone returns a copy of n owned by ns, with one reference, and moves fs, which
// is not shared, into it: clone(2), CLONE_NEWNS.
func (n *MountNamespace) Clone(ns *cred.UserNamespace, fs *FSState) *MountNamespace {
	v := n.vfs
	v.mountMu.Lock()
	c := &MountNamespace{vfs: v, UserNS: ns, Ino: cred.NextNamespaceID()}
	c.refs.Store(1)
	less := ns != n.UserNS
	twins := make(map[*Mount]*Mount)
	root := v.cloneTree(n.root, twins, less)
	root.setNamespace(c)
	c.root = root
	v.mountMu.Unlock()

	move := func(p Path) Path {
		if t := twins[p.Mount]; t != nil {
			return Path{t, p.Dentry}
		}
		return p
	}
	r, w := fs.peek()
	fs.SetRoot(move(r))
	fs.SetCwd(move(w))
	return c
}

// cloneTree copies a whole tree, unbindable mounts too. less says that the copies
// are for a less privileged user namespace, which cannot take them apart and
// cannot send them events.
func (v *VFS) cloneTree(m *Mount, twins map[*Mount]*Mount, less bool) *Mount {
	c := v.newMount(m.sb, m.root, m.flags.Load())
	c.options, c.unbindable = m.options, m.unbindable
	c.locked = m.locked || less && m.at.Load() != nil
	twins[m] = c
	switch {
	case m.peers != nil && less:
		c.setMaster(m.peers)
	case m.peers != nil:
		m.peers.join(c)
		c.setMaster(m.master)
	default:
		c.setMaster(m.master)
	}
	for _, k := range m.children {
		if _, ok := k.root.Inode().ops.(Binder); ok {
			continue // a mount namespace would hold itself
		}
		v.cloneTree(k, twins, less).attach(c, k.at.Load().point)
	}
	return c
}

// DecRef gives a reference to n back; with the last all is unmounted.
func (n *MountNamespace) DecRef() {
	if n.refs.Add(-1) != 0 {
		return
	}
	n.vfs.mountMu.Lock()
	gone := n.root.unmount()
	n.vfs.mountMu.Unlock()
	dropAll(gone)
}

// Contains reports whether m is mounted in n.
func (n *MountNamespace) Contains(m *Mount) bool {
	n.vfs.mountMu.Lock()
	defer n.vfs.mountMu.Unlock()
	return m.ns == n
}

// Event counts the changes of n: /proc/PID/mountinfo is readable by poll(2) when it
// has changed.
func (n *MountNamespace) Event() uint64 { return n.event.Load() }
