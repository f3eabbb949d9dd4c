// Package sysfs is /sys, sysfs(5): what programs look for there of CPUs, memory and
// network interfaces.
//
// Its directories are made when they are looked up and forgotten when nobody uses them;
// a file's text is made when it is opened.
package sysfs

import (
	"hash/fnv"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/usermem"
)

// A Type is sysfs as mount(2) knows it.
type Type struct{ Kernel *kernel.Kernel }

// Name implements vfs.FSType.
func (*Type) Name() string { return "sysfs" }

// Flags implements vfs.FSType.
func (*Type) Flags() uint32 { return vfs.SBUserMount }

// Mount implements vfs.FSType: an instance that shows the interfaces of the caller's
// network namespace, or the sandbox's if the caller is not a task. Options are ignored,
// as Linux does.
func (t *Type) Mount(ctx *vfs.Context, source string, _ uint32, _ string) (*vfs.Superblock, error) {
	net := t.Kernel.RootNamespaces().Net
	if task, _ := ctx.Task.(*kernel.Task); task != nil {
		net = task.Namespaces().Net
	}
	fs := &fileSystem{k: t.Kernel, net: net}
	fs.Type, fs.Magic, fs.Source = "sysfs", unix.SYSFS_MAGIC, source
	fs.Flags = vfs.SBNoCache | vfs.SBNoDev | vfs.SBNoExec | vfs.SBUserMount
	fs.Superblock.Init(t.Kernel.VFS(), fs)
	fs.SetRoot(fs.inode("/", &entry{mode: 0o555, list: fs.rootEntries}))
	return &fs.Superblock, nil
}

type fileSystem struct {
	vfs.Superblock
	k   *kernel.Kernel
	net *kernel.NetNamespace
}

// Statfs implements vfs.SuperblockOps.
func (fs *fileSystem) Statfs(_ *vfs.Context, st *unix.Statfs_t) error {
	*st = unix.Statfs_t{Type: fs.Magic, Bsize: 4096, Frsize: 4096, Namelen: 255}
	return nil
}

// Sync implements vfs.SuperblockOps.
func (*fileSystem) Sync(*vfs.Context) error { return nil }

// Remount implements vfs.SuperblockOps.
func (*fileSystem) Remount(*vfs.Context, uint32, string) error { return nil }

// Release implements vfs.SuperblockOps.
func (*fileSystem) Release() {}

// Revalidate implements vfs.Revalidator: interfaces come and go.
func (*fileSystem) Revalidate(_ *vfs.Context, dir *vfs.Inode, name string, child *vfs.Inode) bool {
	d, _ := dir.Ops().(*directory)
	return child != nil && d != nil && d.find(name) != nil
}

// An entry is a name in a directory: one of list, text and link is set.
type entry struct {
	name string
	mode uint32 // permissions
	list func() []entry
	text func() (string, error)
	link string
}

// dir is a directory with fixed entries.
func dir(name string, entries ...entry) entry {
	return entry{name: name, mode: 0o755, list: func() []entry { return entries }}
}

// file is a file with a fixed line.
func file(name, line string) entry {
	return entry{name: name, mode: 0o444, text: func() (string, error) { return line + "\n", nil }}
}

// link is a symbolic link.
func link(name, target string) entry { return entry{name: name, mode: 0o777, link: target} }

// fileSize is what all files say that they have.
const fileSize = 4096

// inode makes the inode of e, whose path is name. Numbers are those of the path.
func (fs *fileSystem) inode(name string, e *entry) *vfs.Inode {
	h := fnv.New64a()
	h.Write([]byte(name))
	ino := h.Sum64() >> 16
	switch {
	case e.list != nil:
		d := &directory{fs: fs, path: name, entries: e.list}
		d.Init(&fs.Superblock, d, ino, unix.S_IFDIR|e.mode, 0, 0)
		for _, child := range e.list() {
			if child.list != nil {
				d.AddNlink(1)
			}
		}
		return &d.Inode
	case e.text != nil:
		f := &regular{text: e.text}
		f.Init(&fs.Superblock, f, ino, unix.S_IFREG|e.mode, 0, 0)
		f.SetSize(fileSize)
		return &f.Inode
	}
	l := &symlink{target: e.link}
	l.Init(&fs.Superblock, l, ino, unix.S_IFLNK|e.mode, 0, 0)
	return &l.Inode
}

// fixed is what all inodes here have: nobody changes their attributes.
type fixed struct {
	vfs.Inode
	vfs.NoXattr
}

// Setattr implements vfs.InodeOps.
func (*fixed) Setattr(*vfs.Context, *vfs.SetAttr) error { return unix.EPERM }

type directory struct {
	fixed
	vfs.FixedDirectory
	vfs.NotSymlink
	fs      *fileSystem
	path    string
	entries func() []entry
}

func (d *directory) find(name string) *entry {
	list := d.entries()
	for i := range list {
		if list[i].name == name {
			return &list[i]
		}
	}
	return nil
}

// Lookup implements vfs.InodeOps.
func (d *directory) Lookup(_ *vfs.Context, name string) (*vfs.Inode, error) {
	e := d.find(name)
	if e == nil {
		return nil, unix.ENOENT
	}
	return d.fs.inode(d.path+"/"+name, e), nil
}

// Open implements vfs.InodeOps.
func (d *directory) Open(*vfs.Context, *vfs.File) (vfs.FileOps, error) {
	return openDirectory{d: d, list: d.entries()}, nil
}

type openDirectory struct {
	vfs.DirectoryFile
	d    *directory
	list []entry
}

// ReadDir implements vfs.FileOps.
func (f openDirectory) ReadDir(_ *vfs.Context, file *vfs.File, e *vfs.DirEmitter) error {
	if !e.Dots(file) {
		return nil
	}
	for i := int(e.Pos - 2); i < len(f.list); i++ {
		c := &f.list[i]
		typ := uint8(unix.DT_LNK)
		switch {
		case c.list != nil:
			typ = unix.DT_DIR
		case c.text != nil:
			typ = unix.DT_REG
		}
		h := fnv.New64a()
		h.Write([]byte(f.d.path + "/" + c.name))
		if !e.Emit(c.name, h.Sum64()>>16, typ, int64(i)+3) {
			return nil
		}
	}
	return nil
}

// Seek implements vfs.FileOps.
func (openDirectory) Seek(_ *vfs.Context, file *vfs.File, off int64, whence int) (int64, error) {
	return vfs.SeekSized(file, off, whence, 0)
}

type symlink struct {
	fixed
	vfs.NotDirectory
	vfs.NoOpen
	target string
}

// Readlink implements vfs.InodeOps.
func (l *symlink) Readlink(*vfs.Context) (string, error) { return l.target, nil }

type regular struct {
	fixed
	vfs.NotDirectory
	vfs.NotSymlink
	text func() (string, error)
}

// Open implements vfs.InodeOps.
func (r *regular) Open(*vfs.Context, *vfs.File) (vfs.FileOps, error) {
	return openFile{text: r.text}, nil
}

type openFile struct {
	vfs.FileDefaults
	text func() (string, error)
}

// Read implements vfs.FileOps.
func (f openFile) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, off int64, _ uint32) (int, error) {
	text, err := f.text()
	if err != nil || off >= int64(len(text)) {
		return 0, err
	}
	n, err := dst.CopyOut([]byte(text[off:]))
	if n > 0 {
		err = nil
	}
	return n, err
}

// Write implements vfs.FileOps: nothing here can be set.
func (openFile) Write(*vfs.Context, *vfs.File, *usermem.Seq, int64, uint32) (int, error) {
	return 0, unix.EPERM
}

// Seek implements vfs.FileOps.
func (openFile) Seek(_ *vfs.Context, file *vfs.File, off int64, whence int) (int64, error) {
	return vfs.SeekSized(file, off, whence, fileSize)
}
