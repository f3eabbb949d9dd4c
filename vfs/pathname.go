package vfs

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// PathName returns the absolute path of p as seen from root. reachable is false
// if p is not below root: the path is then from the top of its tree. The name of
// something removed ends with " (deleted)". Files without a name have names like
// "pipe:[123]".
func PathName(p, root Path) (name string, reachable bool) {
	d, m := p.Dentry, p.Mount
	if m.sb.Flags&SBKernel != 0 && d.Parent() == nil && d != m.root {
		return d.anonymousName(), true
	}
	if d.Parent() == nil && d != m.root {
		return "/" + d.Name() + " (deleted)", true // memfd
	}
	var parts []string
	size := 0
	add := func(s string) {
		parts = append(parts, s)
		size += len(s) + 1
	}
	for {
		if m == root.Mount && d == root.Dentry {
			reachable = true
			break
		}
		if d == m.root {
			at := m.at.Load()
			if at == nil {
				break
			}
			m, d = at.parent, at.point
			continue
		}
		at := d.at.Load()
		if at.parent == nil {
			break
		}
		add(at.name)
		d = at.parent
	}
	if len(parts) == 0 {
		name = "/"
	} else {
		var b strings.Builder
		b.Grow(size + len(" (deleted)"))
		for i := len(parts) - 1; i >= 0; i-- {
			b.WriteByte('/')
			b.WriteString(parts[i])
		}
		name = b.String()
	}
	if p.Dentry.unhashed.Load() {
		name += " (deleted)"
	}
	return name, reachable
}

// anonymousName is the name of a file without a place in a file system.
func (d *Dentry) anonymousName() string {
	name := d.Name()
	if strings.HasSuffix(name, ":") {
		name += "[" + strconv.FormatUint(d.Inode().ino, 10) + "]"
	}
	return name
}

// Getcwd returns the working directory's path: getcwd(2). ENOENT if it was removed.
func (ctx *Context) Getcwd() (string, error) {
	root, cwd := ctx.FS.Root(), ctx.FS.Cwd()
	defer root.DecRef()
	defer cwd.DecRef()
	if cwd.Dentry.Unlinked() {
		return "", unix.ENOENT
	}
	name, ok := PathName(cwd, root)
	if !ok {
		name = "(unreachable)" + name
	}
	return name, nil
}

// dentryPath is the path of d in its own file system.
func dentryPath(d *Dentry) string {
	var parts []string
	for at := d.at.Load(); at.parent != nil; at = at.parent.at.Load() {
		parts = append(parts, at.name)
	}
	if len(parts) == 0 {
		return "/"
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(parts[i])
	}
	if d.unhashed.Load() {
		b.WriteString("//deleted")
	}
	return b.String()
}

// A MountInfo is a line of /proc/PID/mountinfo, not escaped.
type MountInfo struct {
	ID, ParentID int
	Dev          Dev
	Root         string // of the mount, in its file system
	Point        string // where it is mounted, seen from the reader's root
	Options      string
	Shared       int // peer group; 0 for none
	Master       int // peer group of the master
	Unbindable   bool
	Type, Source string
	SuperOptions string
	Mount        *Mount
}

// Mounts returns what is mounted in n below root, in mountinfo's order, which is that
// of mounting.
func (n *MountNamespace) Mounts(root Path) []MountInfo {
	n.vfs.mountMu.Lock()
	defer n.vfs.mountMu.Unlock()
	var list []MountInfo
	n.root.each(func(m *Mount) {
		point, ok := PathName(Path{m, m.root}, root)
		if !ok {
			return
		}
		shown := path.Join(m.sb.RootPath, dentryPath(m.root))
		if m.sb.Flags&SBBindable != 0 {
			shown = m.root.anonymousName()
		}
		i := MountInfo{
			ID: m.id, ParentID: m.id, Dev: m.sb.Dev, Root: shown, Point: point,
			Options: m.options, Unbindable: m.unbindable, Type: m.sb.Type, Source: m.sb.Source, Mount: m,
		}
		if at := m.at.Load(); at != nil {
			i.ParentID = at.parent.id
		}
		if i.Options == "" {
			i.Options = FlagNames(m.flags.Load())
		}
		if m.peers != nil {
			i.Shared = m.peers.id
		}
		if m.master != nil {
			i.Master = m.master.id
		}
		if m.sb.ShowOptions != nil {
			i.SuperOptions = m.sb.ShowOptions()
		} else if m.sb.ReadOnly() {
			i.SuperOptions = "ro"
		} else {
			i.SuperOptions = "rw"
		}
		list = append(list, i)
	})
	slices.SortFunc(list, func(a, b MountInfo) int { return a.ID - b.ID })
	return list
}

// FlagNames returns a mount's flags as mountinfo shows them.
func FlagNames(flags uint32) string {
	s := "rw"
	if flags&unix.MS_RDONLY != 0 {
		s = "ro"
	}
	for _, f := range []struct {
		bit  uint32
		name string
	}{
		{unix.MS_NOSUID, ",nosuid"}, {unix.MS_NODEV, ",nodev"}, {unix.MS_NOEXEC, ",noexec"},
		{unix.MS_NOATIME, ",noatime"}, {unix.MS_NODIRATIME, ",nodiratime"}, {unix.MS_RELATIME, ",relatime"},
		{unix.MS_NOSYMFOLLOW, ",nosymfollow"},
	} {
		if flags&f.bit != 0 {
			s += f.name
		}
	}
	return s
}

// Superblocks returns the file systems that are mounted in n, each once.
func (n *MountNamespace) Superblocks() []*Superblock {
	n.vfs.mountMu.Lock()
	defer n.vfs.mountMu.Unlock()
	var list []*Superblock
	seen := make(map[*Superblock]bool)
	n.root.each(func(m *Mount) {
		if !seen[m.sb] {
			seen[m.sb] = true
			list = append(list, m.sb)
		}
	})
	return list
}
