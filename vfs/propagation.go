package vfs

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Propagation of mounts: mount_namespaces(7), "Shared subtrees". All of it is done
// with VFS.mountMu held.

// join puts m, which is in none, into the group.
func (g *peerGroup) join(m *Mount) {
	g.peers = append(g.peers, m)
	m.peers = g
}

// share puts m into a group of its own, if it is in none.
func (m *Mount) share() {
	if m.peers == nil {
		g := &peerGroup{id: m.vfs.peerGroups.get()}
		g.join(m)
	}
}

// leavePeers takes m out of its group. With the last peer the group's slaves go
// to the group's own masters, or become private.
func (m *Mount) leavePeers() {
	g := m.peers
	if g == nil {
		return
	}
	m.peers = nil
	g.peers = slices.DeleteFunc(g.peers, func(p *Mount) bool { return p == m })
	if len(g.peers) > 0 {
		return
	}
	for _, s := range slices.Clone(g.slaves) {
		s.setMaster(m.master)
	}
	m.vfs.peerGroups.put(g.id)
}

// setMaster makes m receive from g, or from nobody.
func (m *Mount) setMaster(g *peerGroup) {
	if m.master != nil {
		m.master.slaves = slices.DeleteFunc(m.master.slaves, func(s *Mount) bool { return s == m })
	}
	m.master = g
	if g != nil {
		g.slaves = append(g.slaves, m)
	}
}

// setPropagation changes how m propagates; typ is one of MS_SHARED, MS_PRIVATE,
// MS_SLAVE, MS_UNBINDABLE.
func (m *Mount) setPropagation(typ uint32) {
	m.unbindable = false
	switch typ {
	case unix.MS_SHARED:
		m.share()
	case unix.MS_SLAVE:
		if g := m.peers; g != nil && len(g.peers) > 1 {
			m.leavePeers()
			m.setMaster(g)
		} else if g != nil {
			m.leavePeers()
		}
	case unix.MS_PRIVATE, unix.MS_UNBINDABLE:
		m.leavePeers()
		m.setMaster(nil)
		m.unbindable = typ == unix.MS_UNBINDABLE
	}
}

// SetPropagation changes how the mount whose root p is, and with recursive all
// below it, propagates: mount(2), MS_SHARED and so on.
func (ctx *Context) SetPropagation(p Path, typ uint32, recursive bool) error {
	if err := ctx.mayMount(); err != nil {
		return err
	}
	m := p.Mount
	m.vfs.mountMu.Lock()
	defer m.vfs.mountMu.Unlock()
	if p.Dentry != m.root || m.ns != ctx.MountNS {
		return unix.EINVAL
	}
	if recursive {
		m.each(func(c *Mount) { c.setPropagation(typ) })
	} else {
		m.setPropagation(typ)
	}
	m.ns.event.Add(1)
	return nil
}

// SetPropagation is Context.SetPropagation as the sandbox's own doing.
func (m *Mount) SetPropagation(typ uint32, recursive bool) {
	m.vfs.mountMu.Lock()
	defer m.vfs.mountMu.Unlock()
	if recursive {
		m.each(func(c *Mount) { c.setPropagation(typ) })
	} else {
		m.setPropagation(typ)
	}
}

// propagateMount mounts copies of the tree of m wherever a mount at dst
// propagates to. It does not mount m itself.
func (v *VFS) propagateMount(m *Mount, dst Path) {
	g := dst.Mount.peers
	if g == nil {
		return
	}
	m.each((*Mount).share)
	v.propagateTo(g, dst.Mount, dst.Dentry, m)
}

// propagateTo mounts copies of m, which are its peers, on the peers of a group but
// for except, and copies that are its slaves on the group's slaves.
func (v *VFS) propagateTo(g *peerGroup, except *Mount, point *Dentry, m *Mount) {
	for _, p := range slices.Clone(g.peers) {
		if p == except || p.ns == nil || !point.Within(p.root) {
			continue
		}
		if c, err := v.copyTree(m, m.root, true); err == nil {
			v.place(c, p, point)
		}
	}
	done := make(map[*peerGroup]bool)
	for _, s := range slices.Clone(g.slaves) {
		if s.ns == nil || !point.Within(s.root) || s.peers != nil && done[s.peers] {
			continue
		}
		c, err := v.copyTree(m, m.root, true)
		if err != nil {
			continue
		}
		c.each(func(k *Mount) {
			group := k.peers
			k.leavePeers()
			k.setMaster(group)
			if s.peers != nil {
				k.share()
			}
		})
		v.place(c, s, point)
		if s.peers != nil {
			done[s.peers] = true
			v.propagateTo(s.peers, s, point, c)
		}
	}
}

// place mounts c on point of m, on top of what is there.
func (v *VFS) place(c, m *Mount, point *Dentry) {
	p := Path{m, point}
	followMounts(&p)
	c.attach(p.Mount, p.Dentry)
}

// propagateUnmount unmounts what is mounted where the unmounting of m propagates
// to, and returns it. Unless lazy, what is in use stays.
func (v *VFS) propagateUnmount(m *Mount, lazy bool) []*Mount {
	at := m.at.Load()
	if at.parent.peers == nil {
		return nil
	}
	var gone []*Mount
	var visit func(g *peerGroup, except *Mount)
	remove := func(p *Mount) {
		c := v.mountOn(Path{p, at.point})
		if c == nil || c == m || c.sb != m.sb || c.root != m.root || !lazy && (len(c.children) > 0 || c.refs.Load() > 1) {
			return
		}
		gone = append(gone, c.unmount()...)
	}
	visit = func(g *peerGroup, except *Mount) {
		for _, p := range slices.Clone(g.peers) {
			if p != except {
				remove(p)
			}
		}
		for _, s := range slices.Clone(g.slaves) {
			remove(s)
			if s.peers != nil {
				visit(s.peers, s)
			}
		}
	}
	visit(at.parent.peers, at.parent)
	return gone
}
