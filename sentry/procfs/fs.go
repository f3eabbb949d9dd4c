// Package procfs is /proc: processes and the kernel's settings as files, proc(5).
//
// Objects are made when they are looked up and forgotten when nobody uses them; a
// file's text is made when it is read from its beginning. No lock of this package
// is held while the kernel's are taken.
package procfs

import (
	"maps"
	"slices"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// Options are what an instance shows that the kernel does not know.
type Options struct {
	// CPUInfo returns the text of /proc/cpuinfo. May be nil.
	CPUInfo func() string
	// Version is the text of /proc/version.
	Version string
	// CommandLine is the text of /proc/cmdline.
	CommandLine string
	// Net makes the text of the files of /proc/net for a network namespace, by
	// name. May be nil.
	Net map[string]func(ns *kernel.NetNamespace) string
	// Sysctl are the parameters of /proc/sys/net. May be nil.
	Sysctl *Sysctl
}

// A FileSystem is an instance of procfs. It shows the processes of one pid
// namespace.
type FileSystem struct {
	vfs.Superblock
	k    *kernel.Kernel
	pids *kernel.PIDNamespace
	net  *kernel.NetNamespace // whose parameters who is not a task sees
	opts Options
	root dir
	hide atomic.Pointer[hiding]

	netNames []string // of Options.Net, sorted
	bootID   string
}

// newFileSystem returns an instance for pids.
func newFileSystem(v *vfs.VFS, k *kernel.Kernel, pids *kernel.PIDNamespace, net *kernel.NetNamespace, source string, o Options, hide hiding) *FileSystem {
	fs := &FileSystem{k: k, pids: pids, net: net, opts: o, bootID: newUUID()}
	fs.netNames = slices.Sorted(maps.Keys(o.Net))
	fs.Type, fs.Magic, fs.Source = "proc", unix.PROC_SUPER_MAGIC, source
	fs.Flags = vfs.SBNoCache | vfs.SBNoNegative | vfs.SBNoDev | vfs.SBNoExec | vfs.SBUserMount
	fs.hide.Store(&hide)
	fs.ShowOptions = fs.options
	fs.Superblock.Init(v, fs)
	entries := rootEntries
	if o.Sysctl != nil {
		entries = entriesWith(o.Sysctl)
	}
	if hide.pidOnly {
		entries = pidEntries(entries)
	}
	fs.root.init(fs, &fs.root, 1, 0o555, entries)
	fs.root.more = &dynamic{lookup: lookupProcess, each: eachProcess}
	fs.SetRoot(&fs.root.Inode)
	return fs
}

// Statfs implements vfs.SuperblockOps.
func (fs *FileSystem) Statfs(_ *vfs.Context, st *unix.Statfs_t) error {
	*st = unix.Statfs_t{Type: fs.Magic, Bsize: 4096, Frsize: 4096, Namelen: 255}
	return nil
}

// Revalidate implements vfs.Revalidator: what is about a task goes with its number, and who is in
// another network namespace sees other parameters.
func (fs *FileSystem) Revalidate(ctx *vfs.Context, _ *vfs.Inode, _ string, child *vfs.Inode) bool {
	if child == nil {
		return false
	}
	o := child.Ops().(interface{ self() *object }).self()
	if o.entry != nil && o.entry.net != nil && o.entry.net != fs.netOf(ctx) {
		return false
	}
	return o.task == nil || fs.pids.Task(o.task.TIDIn(fs.pids)) == o.task
}

// Sync implements vfs.SuperblockOps.
func (fs *FileSystem) Sync(*vfs.Context) error { return nil }

// Remount implements vfs.SuperblockOps.
func (fs *FileSystem) Remount(_ *vfs.Context, _ uint32, data string) error {
	old := fs.hide.Load()
	h, err := old.parse(data)
	if err != nil {
		return err
	}
	if h.pidOnly != old.pidOnly {
		return unix.EINVAL
	}
	fs.hide.Store(&h)
	return nil
}

// Release implements vfs.SuperblockOps.
func (fs *FileSystem) Release() {}

// An entry describes a name in a directory. Exactly one of the functions is set.
type entry struct {
	name string
	mode uint32 // permissions
	// text makes the content of a regular file.
	text func(o *object, w *text)
	// store serves a write to a regular file (EACCES without it).
	store func(o *object, ctx *vfs.Context, data string) error
	// once: a write is of the whole content, at its beginning (EINVAL).
	once bool
	// link makes the target of a symbolic link.
	link func(o *object, ctx *vfs.Context) (string, error)
	// follow makes the link a magic one.
	follow func(o *object, ctx *vfs.Context) (vfs.Path, error)
	// entries are those of a directory.
	entries []entry
	// open makes a regular file with operations of its own.
	open func(o *object, ctx *vfs.Context, f *vfs.File) (vfs.FileOps, error)
	// list adds entries to a directory that come and go.
	list *dynamic
	// net is the network namespace that a parameter, or a directory of them, is of; nil for what
	// is of none.
	net *kernel.NetNamespace
	// checked entries are for those only who may trace the process (ptrace(2),
	// "Ptrace access mode checking").
	checked bool
}

// A dynamic list is what a directory holds besides its fixed entries.
type dynamic struct {
	lookup func(o *object, ctx *vfs.Context, name string) (*vfs.Inode, error)
	// each calls emit with names and types in a fixed order, from position pos on
	// (0 is the first), until it returns false.
	each func(o *object, ctx *vfs.Context, pos int64, emit func(name string, ino uint64, typ uint8, next int64) bool)
}

// An object is what all inodes here have: the task that it is about, nil for what
// is about the kernel.
type object struct {
	vfs.Inode
	vfs.NoXattr
	fs    *FileSystem
	task  *kernel.Task
	group bool // of a process, not of one of its threads
	entry *entry
}

// self is the object that all inodes here embed.
func (o *object) self() *object { return o }

// taskIno is the inode number of the first object about a task; each task has room
// for a thousand.
func taskIno(t *kernel.Task, pids *kernel.PIDNamespace, group bool) uint64 {
	n := uint64(t.TIDIn(pids))<<12 | 1<<44
	if group {
		n |= 1 << 11
	}
	return n
}

// init sets up an object. One about a task belongs to the task's effective user, a parameter of a
// network namespace to root there.
func (o *object) init(fs *FileSystem, ops vfs.InodeOps, ino uint64, mode uint32) {
	o.fs = fs
	var uid cred.UID
	var gid cred.GID
	if o.entry != nil && o.entry.net != nil {
		// The root of the namespace's owner, if there is one.
		if root, ok := o.entry.net.UserNS.ToUID(0); ok {
			uid = root
		}
		if root, ok := o.entry.net.UserNS.ToGID(0); ok {
			gid = root
		}
	}
	if o.task != nil {
		c := o.task.Credentials()
		uid, gid = c.EUID, c.EGID
	}
	o.Inode.Init(&fs.Superblock, ops, ino, mode, uid, gid)
}

// Setattr implements vfs.InodeOps: truncation to nothing is part of opening a
// file for writing, all else is refused.
func (o *object) Setattr(_ *vfs.Context, a *vfs.SetAttr) error {
	if a.Mask&^(vfs.AttrSize|vfs.AttrMtime|vfs.AttrAtime) != 0 {
		return unix.EPERM
	}
	return nil
}

// check enforces entry.checked.
func (o *object) check(ctx *vfs.Context) error {
	if o.entry == nil || !o.entry.checked || o.task == nil {
		return nil
	}
	if mayTrace(ctx, o.task) {
		return nil
	}
	return unix.EACCES
}

// make returns the inode of e, which is entry number i of a directory about o's
// task.
func (o *object) make(fs *FileSystem, e *entry, ino uint64) *vfs.Inode {
	switch {
	case e.entries != nil || e.list != nil:
		d := &dir{}
		d.about(o, e)
		d.init(fs, d, ino, e.mode, e.entries)
		d.more = e.list
		return &d.Inode
	case e.follow != nil:
		l := &magicLink{}
		l.about(o, e)
		l.object.init(fs, l, ino, unix.S_IFLNK|e.mode)
		return &l.Inode
	case e.link != nil:
		l := &link{}
		l.about(o, e)
		l.object.init(fs, l, ino, unix.S_IFLNK|e.mode)
		return &l.Inode
	}
	f := &file{}
	f.about(o, e)
	f.init(fs, f, ino, unix.S_IFREG|e.mode)
	return &f.Inode
}

// about makes o what e says in the directory parent.
func (o *object) about(parent *object, e *entry) {
	o.task, o.group, o.entry = parent.task, parent.group, e
}

// A dir is a directory.
type dir struct {
	object
	vfs.FixedDirectory
	vfs.NotSymlink
	entries []entry
	more    *dynamic
}

func (d *dir) init(fs *FileSystem, ops vfs.InodeOps, ino uint64, mode uint32, entries []entry) {
	d.entries = entries
	d.object.init(fs, ops, ino, unix.S_IFDIR|mode)
	for i := range entries {
		if entries[i].entries != nil || entries[i].list != nil {
			d.AddNlink(1)
		}
	}
}

// childIno is the inode number of the directory's i-th entry. It need only be
// unique among what is alive, and stable.
func (d *dir) childIno(i int) uint64 {
	return d.Ino()*64 + uint64(i) + 2
}

// Lookup implements vfs.InodeOps.
func (d *dir) Lookup(ctx *vfs.Context, name string) (*vfs.Inode, error) {
	if d.task != nil && d.task.ThreadGroup().Reaped() {
		if d.entry == nil && d.group {
			return nil, unix.ESRCH // /proc/PID itself, which nobody may search any more
		}
		return nil, unix.ENOENT
	}
	for i := range d.entries {
		if d.entries[i].name == name {
			return d.make(d.fs, &d.entries[i], d.childIno(i)), nil
		}
	}
	if d.more != nil {
		if err := d.check(ctx); err != nil {
			return nil, err
		}
		return d.more.lookup(&d.object, ctx, name)
	}
	return nil, unix.ENOENT
}

// Open implements vfs.InodeOps.
func (d *dir) Open(ctx *vfs.Context, _ *vfs.File) (vfs.FileOps, error) {
	if err := d.check(ctx); err != nil {
		return nil, err
	}
	return dirFile{d: d}, nil
}

type dirFile struct {
	vfs.DirectoryFile
	d *dir
}

// ReadDir implements vfs.FileOps.
func (f dirFile) ReadDir(ctx *vfs.Context, file *vfs.File, e *vfs.DirEmitter) error {
	d := f.d
	if d.task != nil && d.task.ThreadGroup().Reaped() {
		return unix.ENOENT
	}
	if !e.Dots(file) {
		return nil
	}
	for i := int(e.Pos - 2); i < len(d.entries); i++ {
		typ := uint8(unix.DT_REG)
		switch c := &d.entries[i]; {
		case c.entries != nil || c.list != nil:
			typ = unix.DT_DIR
		case c.link != nil || c.follow != nil:
			typ = unix.DT_LNK
		}
		if !e.Emit(d.entries[i].name, d.childIno(i), typ, int64(i)+3) {
			return nil
		}
	}
	if d.more != nil {
		base := int64(len(d.entries)) + 2
		d.more.each(&d.object, ctx, e.Pos-base, func(name string, ino uint64, typ uint8, next int64) bool {
			return e.Emit(name, ino, typ, next+base)
		})
	}
	return nil
}

// Seek implements vfs.FileOps.
func (f dirFile) Seek(_ *vfs.Context, file *vfs.File, off int64, whence int) (int64, error) {
	return vfs.SeekSized(file, off, whence, 0)
}

// Process implements kernel.ProcessDirectory.
func (f dirFile) Process() *kernel.Task {
	if f.d.entry != nil || !f.d.group {
		return nil
	}
	return f.d.task
}

// A link is a symbolic link.
type link struct {
	object
	vfs.NotDirectory
	vfs.NoOpen
}

// Readlink implements vfs.InodeOps.
func (l *link) Readlink(ctx *vfs.Context) (string, error) {
	if err := l.check(ctx); err != nil {
		return "", err
	}
	return l.entry.link(&l.object, ctx)
}

// A magicLink is a link that leads to an object without its name.
type magicLink struct{ link }

// FollowLink implements vfs.Follower.
func (l *magicLink) FollowLink(ctx *vfs.Context) (vfs.Path, error) {
	if err := l.check(ctx); err != nil {
		return vfs.Path{}, err
	}
	return l.entry.follow(&l.object, ctx)
}

// lookupProcess finds a process in the root directory. The number of a thread works
// too, but is not listed.
func lookupProcess(o *object, ctx *vfs.Context, name string) (*vfs.Inode, error) {
	id, ok := parseID(name)
	if !ok {
		return nil, unix.ENOENT
	}
	t := o.fs.pids.Task(id)
	if t == nil || o.fs.hide.Load().level == hidePtraceable && !mayTrace(ctx, t) {
		return nil, unix.ENOENT
	}
	d := &guardedDir{}
	d.initTask(o.fs, d, t, true)
	return &d.Inode, nil
}

// eachProcess lists the processes by number, which is also the position.
func eachProcess(o *object, ctx *vfs.Context, pos int64, emit func(string, uint64, uint8, int64) bool) {
	groups := o.fs.pids.ThreadGroups()
	ids := make([]int32, 0, len(groups))
	leaders := make(map[int32]*kernel.Task, len(groups))
	for _, tg := range groups {
		if id := tg.ID(o.fs.pids); (int64(id) > pos || id > 0 && pos == 0) && o.fs.permits(ctx, tg.Leader(), hideProcess) {
			ids = append(ids, id)
			leaders[id] = tg.Leader()
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		if !emit(strconv.Itoa(int(id)), taskIno(leaders[id], o.fs.pids, true), unix.DT_DIR, int64(id)) {
			return
		}
	}
}

// initTask sets up the directory of a process, or of one of its threads. ops is d or what
// embeds it.
func (d *dir) initTask(fs *FileSystem, ops vfs.InodeOps, t *kernel.Task, group bool) {
	d.task, d.group = t, group
	entries := threadEntries
	if group {
		entries = processEntries
	}
	d.init(fs, ops, taskIno(t, fs.pids, group), 0o555, entries)
}

func parseID(name string) (int32, bool) {
	n, err := strconv.ParseInt(name, 10, 32)
	return int32(n), err == nil && n > 0 && name[0] != '0' && name[0] != '+'
}
