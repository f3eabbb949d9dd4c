package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/cred"
)

// A Namespace is a namespace of any kind, as a file of nsfs stands for it (namespaces(7)). Who has
// one got by Task.Namespace has a reference to it.
type Namespace interface {
	// Kind is its CLONE_NEW*.
	Kind() uint64
	// Number is its inode number.
	Number() uint64
	// Owner is the user namespace that it belongs to; nil for the initial user namespace itself.
	Owner() *cred.UserNamespace
	// Release gives the reference back.
	Release()
	// install makes it the caller's in s, or says why that may not be: setns(2).
	install(t *Task, s *nsset) error
}

// Flags of namespaces that x/sys does not name.
const cloneNewTime = 0x80 // CLONE_NEWTIME

// nsNames are the names of files in /proc/PID/ns by their kinds.
var nsNames = map[uint64]string{
	unix.CLONE_NEWCGROUP: "cgroup", unix.CLONE_NEWIPC: "ipc", unix.CLONE_NEWNS: "mnt", unix.CLONE_NEWNET: "net",
	unix.CLONE_NEWPID: "pid", cloneNewTime: "time", unix.CLONE_NEWUSER: "user", unix.CLONE_NEWUTS: "uts",
}

// The kinds that need nothing but their own type.

// Kind implements Namespace.
func (*UTSNamespace) Kind() uint64 { return unix.CLONE_NEWUTS }

// Number implements Namespace.
func (ns *UTSNamespace) Number() uint64 { return ns.ID }

// Owner implements Namespace.
func (ns *UTSNamespace) Owner() *cred.UserNamespace { return ns.UserNS }

// Release implements Namespace.
func (*UTSNamespace) Release() {}

// Kind implements Namespace.
func (*IPCNamespace) Kind() uint64 { return unix.CLONE_NEWIPC }

// Number implements Namespace.
func (ns *IPCNamespace) Number() uint64 { return ns.ID }

// Owner implements Namespace.
func (ns *IPCNamespace) Owner() *cred.UserNamespace { return ns.UserNS }

// Release implements Namespace.
func (*IPCNamespace) Release() {}

// Kind implements Namespace.
func (*CgroupNamespace) Kind() uint64 { return unix.CLONE_NEWCGROUP }

// Number implements Namespace.
func (ns *CgroupNamespace) Number() uint64 { return ns.ID }

// Owner implements Namespace.
func (ns *CgroupNamespace) Owner() *cred.UserNamespace { return ns.UserNS }

// Release implements Namespace.
func (*CgroupNamespace) Release() {}

// Kind implements Namespace.
func (*PIDNamespace) Kind() uint64 { return unix.CLONE_NEWPID }

// Number implements Namespace.
func (ns *PIDNamespace) Number() uint64 { return ns.ID }

// Owner implements Namespace.
func (ns *PIDNamespace) Owner() *cred.UserNamespace { return ns.UserNS }

// Release implements Namespace.
func (*PIDNamespace) Release() {}

// Kind implements Namespace.
func (*NetNamespace) Kind() uint64 { return unix.CLONE_NEWNET }

// Number implements Namespace.
func (ns *NetNamespace) Number() uint64 { return ns.ID }

// Owner implements Namespace.
func (ns *NetNamespace) Owner() *cred.UserNamespace { return ns.UserNS }

// Release implements Namespace.
func (ns *NetNamespace) Release() { ns.DecRef() }

// timeNamespace is the one time namespace that there is.
type timeNamespace struct{ user *cred.UserNamespace }

// timeNumber is its number (PROC_TIME_INIT_INO).
const timeNumber = 0xeffffffa

// Kind implements Namespace.
func (timeNamespace) Kind() uint64 { return cloneNewTime }

// Number implements Namespace.
func (timeNamespace) Number() uint64 { return timeNumber }

// Owner implements Namespace.
func (ns timeNamespace) Owner() *cred.UserNamespace { return ns.user }

// Release implements Namespace.
func (timeNamespace) Release() {}

// userNamespace is a user namespace.
type userNamespace struct{ *cred.UserNamespace }

// Kind implements Namespace.
func (userNamespace) Kind() uint64 { return unix.CLONE_NEWUSER }

// Number implements Namespace.
func (ns userNamespace) Number() uint64 { return ns.ID }

// Owner implements Namespace: a user namespace belongs to its parent.
func (ns userNamespace) Owner() *cred.UserNamespace { return ns.Parent() }

// Release implements Namespace.
func (userNamespace) Release() {}

// mountNamespace is a mount namespace.
type mountNamespace struct{ *vfs.MountNamespace }

// Kind implements Namespace.
func (mountNamespace) Kind() uint64 { return unix.CLONE_NEWNS }

// Number implements Namespace.
func (ns mountNamespace) Number() uint64 { return ns.Ino }

// Owner implements Namespace.
func (ns mountNamespace) Owner() *cred.UserNamespace { return ns.UserNS }

// Release implements Namespace. The last reference may be that of a file that goes while the
// mounts are being changed: nothing waits for the end of the namespace's own.
func (ns mountNamespace) Release() { go ns.DecRef() }

// Namespace returns the namespace that the link of that name in /proc/PID/ns leads to, with a
// reference; nil if the task has exited.
func (t *Task) Namespace(link string) Namespace {
	n := t.ns.Load()
	if n == nil {
		return nil
	}
	switch link {
	case "cgroup":
		return n.Cgroup
	case "ipc":
		return n.IPC
	case "uts":
		return n.UTS
	case "pid":
		return t.PIDNamespace()
	case "pid_for_children":
		if n.PIDForChildren.Init() != nil { // there is none to be seen before its first process
			return n.PIDForChildren
		}
	case "time", "time_for_children":
		return timeNamespace{t.k.userNS}
	case "user":
		return userNamespace{t.Credentials().UserNS}
	case "net":
		if n.Net.TryIncRef() {
			return n.Net
		}
	case "mnt":
		if m := t.MountNamespace(); m.TryIncRef() {
			return mountNamespace{m}
		}
	}
	return nil
}

// nsFS is nsfs, the file system of the files that stand for namespaces.
type nsFS struct {
	sb    vfs.Superblock
	mount *vfs.Mount
}

// An nsInode is such a file. It has a reference to the namespace.
type nsInode struct {
	vfs.Inode
	vfs.NotDirectory
	vfs.NotSymlink
	vfs.NoXattr
	k  *Kernel
	ns Namespace
}

// A mountNSInode is that of a mount namespace.
type mountNSInode struct{ nsInode }

// nsRoot is the root directory, which nobody sees.
type nsRoot struct {
	vfs.Inode
	vfs.FixedDirectory
	vfs.NotSymlink
	vfs.NoXattr
	vfs.NoOpen
}

// Lookup implements vfs.InodeOps.
func (*nsRoot) Lookup(*vfs.Context, string) (*vfs.Inode, error) { return nil, unix.ENOENT }

// Statfs implements vfs.SuperblockOps.
func (*nsFS) Statfs(_ *vfs.Context, st *unix.Statfs_t) error {
	*st = unix.Statfs_t{Type: unix.NSFS_MAGIC, Bsize: 4096, Frsize: 4096, Namelen: 255}
	return nil
}

// Sync implements vfs.SuperblockOps.
func (*nsFS) Sync(*vfs.Context) error { return nil }

// Remount implements vfs.SuperblockOps.
func (*nsFS) Remount(*vfs.Context, uint32, string) error { return unix.EINVAL }

// Release implements vfs.SuperblockOps.
func (*nsFS) Release() {}

func newNSFS(v *vfs.VFS) *nsFS {
	fs := &nsFS{}
	fs.sb.Type, fs.sb.Source, fs.sb.Magic, fs.sb.Flags = "nsfs", "nsfs", unix.NSFS_MAGIC, vfs.SBKernel|vfs.SBBindable
	fs.sb.Init(v, fs)
	root := &nsRoot{}
	root.Init(&fs.sb, root, 1, unix.S_IFDIR|0o555, cred.RootUID, cred.RootGID)
	fs.sb.SetRoot(&root.Inode)
	fs.mount = v.NewKernelMount(&fs.sb)
	return fs
}

// NamespacePath returns the file that stands for ns, whose reference it takes over.
func (k *Kernel) NamespacePath(ns Namespace) vfs.Path {
	in := &nsInode{k: k, ns: ns}
	var ops vfs.InodeOps = in
	if ns.Kind() == unix.CLONE_NEWNS {
		m := &mountNSInode{nsInode{k: k, ns: ns}}
		in, ops = &m.nsInode, m
	}
	in.Init(&k.nsfs.sb, ops, ns.Number(), unix.S_IFREG|0o444, cred.RootUID, cred.RootGID)
	return vfs.AnonymousPath(k.nsfs.mount, nsNames[ns.Kind()]+":", &in.Inode)
}

// Evict implements vfs.InodeOps.
func (in *nsInode) Evict() { in.ns.Release() }

// Open implements vfs.InodeOps.
func (in *nsInode) Open(*vfs.Context, *vfs.File) (vfs.FileOps, error) {
	return &nsFile{k: in.k, ns: in.ns}, nil
}

// MayBind implements vfs.Binder: a mount namespace can be mounted only in an older one, lest it
// hold itself.
func (in *mountNSInode) MayBind(ctx *vfs.Context) error {
	if ctx.MountNS.Ino >= in.ns.Number() {
		return unix.EINVAL
	}
	return nil
}

// An nsFile is an open file of nsfs. The inode, which it keeps, has the reference.
type nsFile struct {
	vfs.FileDefaults
	k  *Kernel
	ns Namespace
}

// OpenNamespace returns a descriptor, closed on exec, of the file that stands for ns, whose
// reference it takes over. EMFILE.
func (t *Task) OpenNamespace(ns Namespace) (uint64, error) {
	f, err := t.fs.OpenAt(t.k.NamespacePath(ns), unix.O_RDONLY)
	if err != nil {
		return 0, err
	}
	fd, err := t.FDTable().Add(f, 0, true, t.tg.limits.Get(unix.RLIMIT_NOFILE).Cur)
	if err != nil {
		f.DecRef()
		return 0, err
	}
	return uint64(fd), nil
}

// Ioctl implements vfs.FileOps: ioctl_ns(2). EPERM for what is outside of the caller's own
// namespaces.
func (f *nsFile) Ioctl(ctx *vfs.Context, _ *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	t, _ := ctx.Task.(*Task)
	if t == nil {
		return 0, unix.ENOTTY
	}
	switch cmd {
	case unix.NS_GET_NSTYPE:
		return f.ns.Kind(), nil
	case unix.NS_GET_USERNS:
		owner := f.ns.Owner()
		if owner == nil || !owner.Within(t.Credentials().UserNS) {
			return 0, unix.EPERM
		}
		return t.OpenNamespace(userNamespace{owner})
	case unix.NS_GET_PARENT:
		switch ns := f.ns.(type) {
		case userNamespace:
			return f.Ioctl(ctx, nil, unix.NS_GET_USERNS, arg)
		case *PIDNamespace:
			if p := ns.parent; p != nil && p.Within(t.PIDNamespace()) {
				return t.OpenNamespace(p)
			}
			return 0, unix.EPERM
		}
		return 0, unix.EINVAL
	case unix.NS_GET_OWNER_UID:
		ns, ok := f.ns.(userNamespace)
		if !ok {
			return 0, unix.EINVAL
		}
		uid := t.Credentials().UserNS.ShowUID(ns.UserNamespace.Owner())
		_, err := ctx.Mem.CopyOut(arg, binary.NativeEndian.AppendUint32(nil, uid))
		return 0, err
	}
	return 0, unix.ENOTTY
}
