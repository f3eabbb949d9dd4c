package boot

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/platform/memfile"
	"casemate/runsc/bundle"
	"casemate/sentry/procfs"
	"casemate/sentry/tty"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/goferfs"
	"casemate/vfs/overlay"
	"casemate/vfs/tmpfs"
)

// maxOpen is how many host files of one tree are kept open that nobody uses.
const maxOpen = 512

// assemble mounts everything that the spec asks for, in its order.
func (s *container) assemble() error {
	root, err := s.rootSuperblock()
	if err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	rootFlags := s.inherited(0)
	s.mounts = s.vfs.NewNamespace(s.userNS, root, rootFlags)
	owner, err := superuser(s.userNS)
	if err != nil {
		return err
	}
	s.ctx = vfs.NewContext(owner, s.mounts)
	for i := range s.Spec.Mounts {
		m := &s.Spec.Mounts[i]
		if err := s.mount(i, m); err != nil {
			return fmt.Errorf("error mounting %q to rootfs at %q: %w", m.Source, m.Destination, err)
		}
	}
	if err := s.makeDevices(); err != nil {
		return fmt.Errorf("making the devices: %w", err)
	}
	if s.Spec.Root.Readonly {
		p := s.mounts.Root()
		p.Mount.SetOptions(vfs.MountOptions{Flags: unix.MS_RDONLY | rootFlags}, false)
		p.DecRef()
	}
	return s.hidePaths()
}

// rootSuperblock is the root file system: the gofer's first tree, below an overlay
// if there is to be one.
func (s *container) rootSuperblock() (*vfs.Superblock, error) {
	tree, err := s.tree(0, nil)
	if err != nil {
		return nil, err
	}
	if overlay, _ := s.Config.Overlay(true, ""); !overlay {
		return tree, nil
	}
	return s.overlay(0, tree, "overlay")
}

// inherited are the flags that a bind mount of a tree has from the host's mount, as
// mount(2) has it for MS_BIND.
func (s *container) inherited(tree int) uint32 {
	flags := parseMountOptions(strings.Split(s.Mounts[tree].Options, ",")).flags
	return flags &^ unix.MS_STRICTATIME
}

// tree mounts a tree of the gofer, whose owners ids maps if it is not nil.
func (s *container) tree(i int, ids *cred.UserNamespace) (*vfs.Superblock, error) {
	m := &s.Mounts[i]
	fs, err := goferfs.New(s.vfs, s.gofer, i, goferfs.Options{
		Type: m.Type, Source: m.Source, Root: m.Root, Super: m.Super, Shared: s.Shared[i], IDs: ids, MaxOpen: maxOpen,
	})
	if err != nil {
		return nil, err
	}
	return &fs.Superblock, nil
}

// overlay puts a layer over lower, a tree of the gofer: in memory, or in the tree's
// file store.
func (s *container) overlay(tree int, lower *vfs.Superblock, source string) (*vfs.Superblock, error) {
	mem, size := s.memory, s.kernel.TotalMemory()
	if i := slices.Index(s.Stores, tree); i >= 0 {
		fd := s.storeFDs[i]
		var disk unix.Statfs_t
		err := unix.Fstatfs(fd, &disk)
		if err == nil {
			mem, err = memfile.Over(fd)
		}
		if err != nil {
			return nil, fmt.Errorf("file store of the overlay: %w", err)
		}
		size = disk.Bavail * uint64(disk.Bsize)
	}
	root := lower.Root().Inode()
	upper := overlay.Whole(tmpfs.New(s.vfs, mem, tmpfs.Options{
		Mode: root.Mode() & 0o7777, UID: root.UID(), GID: root.GID(), Size: size,
	}).Superblock())
	fs, err := overlay.New(s.vfs, overlay.Options{
		Upper: &upper, Lower: []overlay.Layer{overlay.Whole(lower)}, Source: source,
	})
	if err != nil {
		return nil, err
	}
	return fs.Superblock(), nil
}

// mountFlags are the options that stand for flags, and those that clear them
// (mount(8), runtime-spec config.md "Mounts").
var mountFlags = map[string]struct {
	flag  uint32
	clear bool
}{
	"ro": {unix.MS_RDONLY, false}, "rw": {unix.MS_RDONLY, true},
	"nosuid": {unix.MS_NOSUID, false}, "suid": {unix.MS_NOSUID, true},
	"nodev": {unix.MS_NODEV, false}, "dev": {unix.MS_NODEV, true},
	"noexec": {unix.MS_NOEXEC, false}, "exec": {unix.MS_NOEXEC, true},
	"noatime": {unix.MS_NOATIME, false}, "atime": {unix.MS_NOATIME, true},
	"nodiratime": {unix.MS_NODIRATIME, false}, "diratime": {unix.MS_NODIRATIME, true},
	"relatime": {unix.MS_RELATIME, false}, "norelatime": {unix.MS_RELATIME, true},
	"strictatime": {unix.MS_STRICTATIME, false}, "nostrictatime": {unix.MS_STRICTATIME, true},
	"sync": {unix.MS_SYNCHRONOUS, false}, "async": {unix.MS_SYNCHRONOUS, true},
	"dirsync": {unix.MS_DIRSYNC, false}, "mand": {unix.MS_MANDLOCK, false}, "nomand": {unix.MS_MANDLOCK, true},
	"nosymfollow": {unix.MS_NOSYMFOLLOW, false}, "symfollow": {unix.MS_NOSYMFOLLOW, true},
	"silent": {unix.MS_SILENT, false}, "loud": {unix.MS_SILENT, true},
	"iversion": {unix.MS_I_VERSION, false}, "noiversion": {unix.MS_I_VERSION, true},
	"defaults": {}, "bind": {}, "rbind": {}, "acl": {unix.MS_POSIXACL, false}, "noacl": {unix.MS_POSIXACL, true},
}

// propagations are the options that stand for propagation types.
var propagations = map[string]uint32{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
	"slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
	"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
}

// A mountRequest is a mount's options, sorted.
type mountRequest struct {
	flags       uint32
	propagation []uint32
	data        []string // the file system's own
	atime       bool     // some option is about access times
	copyUp      bool     // fill a tmpfs with what it is mounted over
}

// parseMountOptions sorts options; those that start with r are for all mounts below
// too, of which a tree of the gofer has none.
func parseMountOptions(options []string) (r mountRequest) {
	for _, o := range options {
		switch o {
		case "tmpcopyup", "notmpcopyup":
			r.copyUp = o == "tmpcopyup"
			continue
		case "idmap", "ridmap": // see mountIDs
			continue
		}
		if f, ok := mountFlags[o]; ok {
			if f.clear {
				r.flags &^= f.flag
			} else {
				r.flags |= f.flag
			}
			continue
		}
		if p, ok := propagations[o]; ok {
			r.propagation = append(r.propagation, p)
			continue
		}
		if f, ok := mountFlags[strings.TrimPrefix(o, "r")]; ok {
			if f.clear {
				r.flags &^= f.flag
			} else {
				r.flags |= f.flag
			}
			continue
		}
		r.data = append(r.data, o)
	}
	r.atime = r.flags&atimeFlags != 0
	if r.flags&(unix.MS_NOATIME|unix.MS_STRICTATIME) == 0 {
		r.flags |= unix.MS_RELATIME
	}
	return r
}

const atimeFlags = unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME | unix.MS_STRICTATIME

// bind makes r one of a bind mount: it has the host's flags as long as no others are
// asked for, and the host's of access times as long as none of these are (mount(2),
// "Remounting an existing mount").
func (r *mountRequest) bind(host uint32) {
	const silent = unix.MS_SILENT | unix.MS_I_VERSION | unix.MS_POSIXACL
	switch {
	case r.flags&^(silent|unix.MS_RELATIME) == 0 && !r.atime:
		r.flags = host
	case !r.atime:
		r.flags = r.flags&^atimeFlags | host&atimeFlags
	}
}

// mount makes one mount of the spec.
func (s *container) mount(i int, m *specs.Mount) error {
	r := parseMountOptions(m.Options)
	if bundle.IsBind(m) {
		r.bind(s.inherited(s.BindTrees[i]))
	}
	if m.Type == "cgroup" && s.legacyCgroups() {
		return s.mountLegacyCgroups(m, &r)
	}
	sb, err := s.superblock(i, m, &r)
	if err != nil {
		return err
	}
	if r.copyUp {
		if m.Type != "tmpfs" {
			return errors.New("tmpcopyup is an option of tmpfs only")
		}
		if err := s.copyInto(sb, m.Destination); err != nil {
			return err
		}
	}
	over, err := s.ctx.Walk(vfs.Start{}, path.Clean("/"+m.Destination), vfs.WalkFollow)
	if err == nil {
		mode := over.Inode().Mode() & 0o7777
		over.DecRef()
		if m.Type == "tmpfs" && !hasOption(r.data, "mode") {
			// runc gives it the permissions of what it is mounted over.
			root := sb.Root().Inode()
			root.SetMode(root.Type() | mode)
		}
	}
	dst, err := s.mountPoint(m.Destination, sb.Root().Inode().IsDir())
	if err != nil {
		return err
	}
	defer dst.DecRef()
	options := vfs.MountOptions{Flags: r.flags}
	var mount *vfs.Mount
	if s.overlaid(m, &r) && !sb.Root().Inode().IsDir() {
		mount, err = s.attachCopy(sb, dst, options)
	} else {
		mount, err = s.vfs.Attach(sb, dst, options)
	}
	if err != nil {
		return err
	}
	for _, p := range r.propagation {
		mount.SetPropagation(p&^unix.MS_REC, p&unix.MS_REC != 0)
	}
	return nil
}

// hasOption reports whether options give a value to name.
func hasOption(options []string, name string) bool {
	return slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, name+"=") })
}

// overlaid reports whether m is a bind mount that gets an overlay.
func (s *container) overlaid(m *specs.Mount, r *mountRequest) bool {
	all, _ := s.Config.Overlay(false, "")
	return all && bundle.IsBind(m) && r.flags&unix.MS_RDONLY == 0
}

// superblock is the file system that m asks for.
func (s *container) superblock(i int, m *specs.Mount, r *mountRequest) (*vfs.Superblock, error) {
	if bundle.IsBind(m) {
		ids, err := s.mountIDs(m)
		if err != nil {
			return nil, err
		}
		sb, err := s.tree(s.BindTrees[i], ids)
		if err == nil && s.overlaid(m, r) && sb.Root().Inode().IsDir() {
			return s.overlay(s.BindTrees[i], sb, m.Source)
		}
		return sb, err
	}
	data := strings.Join(r.data, ",")
	switch m.Type {
	case "cgroup", "cgroup2":
		return s.cgroupType("cgroup2").Mount(s.ctx, m.Source, r.flags&unix.MS_RDONLY, data)
	case "mqueue":
		t := tmpfs.Type{TypeName: m.Type, Mem: s.memory}
		sb, err := t.Mount(s.ctx, m.Source, r.flags&unix.MS_RDONLY, "mode=1777")
		if err == nil {
			sb.ShowOptions = nil // the mode is not an option that anybody gave
		}
		return sb, err
	}
	t, err := s.vfs.Type(m.Type)
	if err != nil {
		return nil, fmt.Errorf("file system type %q is not supported", m.Type)
	}
	if proc, ok := t.(*procfs.Type); ok {
		t = proc.Of(&s.namespaces)
	}
	sb, err := t.Mount(s.ctx, m.Source, r.flags&unix.MS_RDONLY, data)
	if err != nil {
		return nil, fmt.Errorf("options %q of a %s: %w", data, m.Type, err)
	}
	if m.Type == "sysfs" {
		sb.ShowOptions = nil
		sb.SetReadOnly(r.flags&unix.MS_RDONLY != 0)
	}
	if pts, ok := sb.Ops().(*tty.FileSystem); ok && s.devpts == nil {
		s.devpts = pts
		if s.registered.CompareAndSwap(false, true) {
			pts.Register(s.vfs)
		}
	}
	return sb, nil
}

// mountPoint returns the place of name, which it makes if it is not there: the
// directories on the way, and a directory or a file to mount on.
func (s *container) mountPoint(name string, dir bool) (vfs.Path, error) {
	name = path.Clean("/" + name)
	p, err := s.ctx.Walk(vfs.Start{}, name, vfs.WalkFollow)
	if err != unix.ENOENT {
		return p, err
	}
	at := ""
	parts := strings.Split(strings.Trim(name, "/"), "/")
	for i, part := range parts {
		at += "/" + part
		if i == len(parts)-1 && !dir {
			f, err := s.ctx.Open(vfs.Start{}, at, unix.O_CREAT|unix.O_WRONLY|unix.O_NOFOLLOW, 0o755)
			if err != nil {
				return vfs.Path{}, err
			}
			f.DecRef()
			break
		}
		if err := s.ctx.Mkdir(vfs.Start{}, at, 0o755); err != nil && err != unix.EEXIST {
			return vfs.Path{}, err
		}
	}
	return s.ctx.Walk(vfs.Start{}, name, vfs.WalkFollow)
}

// hidePaths makes the spec's masked paths empty and its read-only paths read-only.
func (s *container) hidePaths() error {
	l := s.Spec.Linux
	if l == nil {
		return nil
	}
	for _, name := range l.ReadonlyPaths {
		p, err := s.ctx.Walk(vfs.Start{}, name, vfs.WalkFollow)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return fmt.Errorf("read-only path %s: %w", name, err)
		}
		flags := p.Mount.Flags() | unix.MS_RDONLY
		_, err = s.vfs.Bind(p, p, true, &vfs.MountOptions{Flags: flags})
		p.DecRef()
		if err != nil {
			return fmt.Errorf("read-only path %s: %w", name, err)
		}
	}
	for _, name := range l.MaskedPaths {
		if err := s.mask(name); err != nil {
			return fmt.Errorf("masked path %s: %w", name, err)
		}
	}
	return nil
}

// mask hides a directory below an empty one, and anything else below /dev/null.
func (s *container) mask(name string) error {
	p, err := s.ctx.Walk(vfs.Start{}, name, vfs.WalkFollow)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.DecRef()
	if p.Inode().IsDir() {
		empty := tmpfs.New(s.vfs, s.memory, tmpfs.Options{Mode: 0o1777, Size: 4096, ReadOnly: true}).Superblock()
		empty.ShowOptions = nil
		_, err = s.vfs.Attach(empty, p, vfs.MountOptions{Flags: unix.MS_RDONLY | unix.MS_RELATIME})
		return err
	}
	null, err := s.ctx.Walk(vfs.Start{}, "/dev/null", vfs.WalkFollow)
	if err != nil {
		return err
	}
	defer null.DecRef()
	_, err = s.vfs.Bind(null, p, false, nil)
	return err
}

// MountOptions are all options of mounts that this runtime knows.
func MountOptions() []string {
	names := slices.Collect(maps.Keys(mountFlags))
	names = slices.AppendSeq(names, maps.Keys(propagations))
	slices.Sort(names)
	return names
}
