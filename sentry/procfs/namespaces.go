package procfs

import (
	"bufio"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/cred"
)

// nsNames are the names in /proc/PID/ns.
var nsNames = []string{"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"}

// nsLink is a link in /proc/PID/ns.
func nsLink(name string) *entry {
	e := &entry{name: name, mode: 0o777, checked: true}
	e.follow = func(o *object, _ *vfs.Context) (vfs.Path, error) {
		ns := o.task.Namespace(name)
		if ns == nil {
			return vfs.Path{}, unix.ENOENT
		}
		return o.fs.k.NamespacePath(ns), nil
	}
	e.link = func(o *object, ctx *vfs.Context) (string, error) { return o.linkTo(ctx, e.follow) }
	return e
}

func lookupNS(o *object, _ *vfs.Context, name string) (*vfs.Inode, error) {
	i := slices.Index(nsNames, name)
	if i < 0 {
		return nil, unix.ENOENT
	}
	return o.make(o.fs, nsLink(name), o.Ino()*64+uint64(i)+2), nil
}

func eachNS(o *object, _ *vfs.Context, pos int64, emit func(string, uint64, uint8, int64) bool) {
	for i := pos; i < int64(len(nsNames)); i++ {
		if !emit(nsNames[i], o.Ino()*64+uint64(i)+2, unix.DT_LNK, i+1) {
			return
		}
	}
}

// lookupNet and eachNet are /proc/PID/net.
func lookupNet(o *object, _ *vfs.Context, name string) (*vfs.Inode, error) {
	show := o.fs.opts.Net[name]
	if show == nil {
		return nil, unix.ENOENT
	}
	e := &entry{name: name, mode: 0o444, text: func(o *object, w *text) {
		if n := o.task.Namespaces(); n != nil {
			w.add(show(n.Net))
		}
	}}
	return o.make(o.fs, e, o.Ino()*64+uint64(slices.Index(o.fs.netNames, name))+2), nil
}

func eachNet(o *object, _ *vfs.Context, pos int64, emit func(string, uint64, uint8, int64) bool) {
	for i := pos; i < int64(len(o.fs.netNames)); i++ {
		if !emit(o.fs.netNames[i], o.Ino()*64+uint64(i)+2, unix.DT_REG, i+1) {
			return
		}
	}
}

func showIDMap(w *text, lines []cred.IDMapExtent) {
	for _, l := range lines {
		w.printf("%10d %10d %10d\n", l.First, l.ParentFirst, l.Count)
	}
}

func showUIDMap(o *object, w *text) { showIDMap(w, o.task.Credentials().UserNS.UIDMap()) }
func showGIDMap(o *object, w *text) { showIDMap(w, o.task.Credentials().UserNS.GIDMap()) }

func storeUIDMap(o *object, ctx *vfs.Context, data string) error {
	ns := o.task.Credentials().UserNS
	lines, err := parseIDMap(data)
	if err != nil {
		return err
	}
	one := len(lines) == 1 && lines[0].Count == 1 && ns.Parent() != nil
	if own, ok := parentID(ns, uint32(ctx.Cred.EUID)); !one || !ok || own != lines[0].ParentFirst {
		if ns.Parent() == nil || !ctx.Cred.HasCapIn(unix.CAP_SETUID, ns.Parent()) {
			return unix.EPERM
		}
	}
	return ns.SetUIDMap(lines)
}

func storeGIDMap(o *object, ctx *vfs.Context, data string) error {
	ns := o.task.Credentials().UserNS
	lines, err := parseIDMap(data)
	if err != nil {
		return err
	}
	one := len(lines) == 1 && lines[0].Count == 1 && ns.Parent() != nil && !ns.SetgroupsState()
	if own, ok := parentGroup(ns, uint32(ctx.Cred.EGID)); !one || !ok || own != lines[0].ParentFirst {
		if ns.Parent() == nil || !ctx.Cred.HasCapIn(unix.CAP_SETGID, ns.Parent()) {
			return unix.EPERM
		}
	}
	return ns.SetGIDMap(lines)
}

// parentID is a kernel id as ns's parent shows it.
func parentID(ns *cred.UserNamespace, id uint32) (uint32, bool) {
	if ns.Parent() == nil {
		return 0, false
	}
	return ns.Parent().FromUID(cred.UID(id))
}

func parentGroup(ns *cred.UserNamespace, id uint32) (uint32, bool) {
	if ns.Parent() == nil {
		return 0, false
	}
	return ns.Parent().FromGID(cred.GID(id))
}

// parseIDMap reads the lines of uid_map or gid_map (user_namespaces(7)).
func parseIDMap(data string) ([]cred.IDMapExtent, error) {
	var lines []cred.IDMapExtent
	data, _, _ = strings.Cut(data, "\x00")
	s := bufio.NewScanner(strings.NewReader(data))
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) != 3 {
			return nil, unix.EINVAL
		}
		var n [3]uint32
		for i, f := range fields {
			v, err := strconv.ParseUint(f, 10, 32)
			if err != nil || v == math.MaxUint32 && i < 2 {
				return nil, unix.EINVAL
			}
			n[i] = uint32(v)
		}
		lines = append(lines, cred.IDMapExtent{First: n[0], ParentFirst: n[1], Count: n[2]})
	}
	if len(lines) == 0 || len(lines) > cred.MaxIDMapExtents {
		return nil, unix.EINVAL
	}
	return lines, nil
}

func showSetgroups(o *object, w *text) {
	if o.task.Credentials().UserNS.SetgroupsState() {
		w.add("allow\n")
	} else {
		w.add("deny\n")
	}
}

func storeSetgroups(o *object, ctx *vfs.Context, data string) error {
	ns := o.task.Credentials().UserNS
	if !ctx.Cred.HasCapIn(unix.CAP_SYS_ADMIN, ns) {
		return unix.EPERM
	}
	switch strings.TrimSpace(data) {
	case "allow":
		return ns.SetSetgroups(true)
	case "deny":
		return ns.SetSetgroups(false)
	}
	return unix.EINVAL
}
