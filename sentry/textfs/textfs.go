// Package textfs is a file system of a fixed shape whose files are texts that the kernel
// makes: what sysfs(5) and the files of cgroups(7) have in common.
//
// Its directories are made when they are looked up and forgotten when nobody uses them;
// a file's text is made when it is read.
package textfs

import (
	"hash/fnv"

	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/usermem"
)

// New returns an instance whose root directory holds what list returns.
func New(v *vfs.VFS, typ string, magic int64, source string, list func() []Entry) *vfs.Superblock {
	fs := &fileSystem{}
	fs.Type, fs.Magic, fs.Source = typ, magic, source
	fs.Flags = vfs.SBNoCache | vfs.SBNoDev | vfs.SBNoExec | vfs.SBUserMount
	fs.Superblock.Init(v, fs)
	fs.SetRoot(fs.inode("/", &Entry{Mode: 0o555, List: list}))
	return &fs.Superblock
}

type fileSystem struct{ vfs.Superblock }

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

// An Entry is a name in a directory: one of List, Text and Link is set. The functions
// may be called at any time, concurrently.
type Entry struct {
	Name string
	Mode uint32 // permissions
	// List returns what is in a directory.
	List func() []Entry
	// Text returns what is in a file, for who uses ctx.
	Text func(ctx *vfs.Context) (string, error)
	// Link is the target of a symbolic link.
	Link string
}

// Dir is a directory with fixed entries.
func Dir(name string, entries ...Entry) Entry {
	return Entry{Name: name, Mode: 0o755, List: func() []Entry { return entries }}
}

// File is a file with a fixed line.
func File(name, line string) Entry {
	return Entry{Name: name, Mode: 0o444, Text: func(*vfs.Context) (string, error) { return line + "\n", nil }}
}

// Link is a symbolic link.
func Link(name, target string) Entry { return Entry{Name: name, Mode: 0o777, Link: target} }

// fileSize is what all files say that they have.
const fileSize = 4096

// inode makes the inode of e, whose path is name. Numbers are those of the path.
func (fs *fileSystem) inode(name string, e *Entry) *vfs.Inode {
	h := fnv.New64a()
	h.Write([]byte(name))
	ino := h.Sum64() >> 16
	switch {
	case e.List != nil:
		d := &directory{fs: fs, path: name, entries: e.List}
		d.Init(&fs.Superblock, d, ino, unix.S_IFDIR|e.Mode, 0, 0)
		for _, child := range e.List() {
			if child.List != nil {
				d.AddNlink(1)
			}
		}
		return &d.Inode
	case e.Text != nil:
		f := &regular{text: e.Text}
		f.Init(&fs.Superblock, f, ino, unix.S_IFREG|e.Mode, 0, 0)
		f.SetSize(fileSize)
		return &f.Inode
	}
	l := &symlink{target: e.Link}
	l.Init(&fs.Superblock, l, ino, unix.S_IFLNK|e.Mode, 0, 0)
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
	entries func() []Entry
}

func (d *directory) find(name string) *Entry {
	list := d.entries()
	for i := range list {
		if list[i].Name == name {
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
	list []Entry
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
		case c.List != nil:
			typ = unix.DT_DIR
		case c.Text != nil:
			typ = unix.DT_REG
		}
		h := fnv.New64a()
		h.Write([]byte(f.d.path + "/" + c.Name))
		if !e.Emit(c.Name, h.Sum64()>>16, typ, int64(i)+3) {
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
	text func(*vfs.Context) (string, error)
}

// Open implements vfs.InodeOps.
func (r *regular) Open(*vfs.Context, *vfs.File) (vfs.FileOps, error) {
	return openFile{text: r.text}, nil
}

type openFile struct {
	vfs.FileDefaults
	text func(*vfs.Context) (string, error)
}

// Read implements vfs.FileOps.
func (f openFile) Read(ctx *vfs.Context, _ *vfs.File, dst *usermem.Seq, off int64, _ uint32) (int, error) {
	text, err := f.text(ctx)
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
