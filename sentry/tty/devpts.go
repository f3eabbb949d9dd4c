package tty

import (
	"fmt"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// Major numbers of terminals (Documentation/admin-guide/devices.txt).
const (
	majorTTY  = 5   // minor 0: the controlling terminal, 2: ptmx
	majorPTS  = 136 // /dev/pts/N
	minorPtmx = 2
)

// maxTerminals is how many terminals an instance of devpts can have.
const maxTerminals = 4096

// Options are the mount options of devpts.
type Options struct {
	UID      cred.UID
	GID      cred.GID
	SetUID   bool // UID was given: terminals have that owner, not their opener
	SetGID   bool // GID was given: terminals have that group, not their opener's
	Mode     uint32
	PtmxMode uint32
	Max      uint32 // how many terminals there can be; 0: as many as devpts can have
}

// A FileSystem is an instance of devpts: a directory of terminals.
type FileSystem struct {
	vfs.Superblock
	k     *kernel.Kernel
	opts  Options
	root  rootDir
	mount *vfs.Mount // for terminals whose master end was opened by no mount of fs

	mu        sync.Mutex
	terminals map[uint32]*node
}

// New returns an empty instance.
func New(v *vfs.VFS, k *kernel.Kernel, source string, o Options) *FileSystem {
	fs := &FileSystem{k: k, opts: o, terminals: map[uint32]*node{}}
	fs.Type, fs.Magic, fs.Source = "devpts", unix.DEVPTS_SUPER_MAGIC, source
	fs.Flags = vfs.SBNoCache | vfs.SBOwnDevices
	fs.ShowOptions = fs.options
	fs.Superblock.Init(v, fs)
	fs.root.fs = fs
	fs.root.Inode.Init(&fs.Superblock, &fs.root, 1, unix.S_IFDIR|0o755, 0, 0)
	fs.SetRoot(&fs.root.Inode)
	fs.mount = v.NewKernelMount(&fs.Superblock)
	return fs
}

// options are the instance's options as mountinfo shows them.
func (fs *FileSystem) options() string {
	s := "rw,"
	if fs.opts.SetUID {
		s += fmt.Sprintf("uid=%d,", fs.opts.UID)
	}
	if fs.opts.SetGID {
		s += fmt.Sprintf("gid=%d,", fs.opts.GID)
	}
	s += fmt.Sprintf("mode=%03o,ptmxmode=%03o", fs.opts.Mode, fs.opts.PtmxMode)
	if fs.opts.Max != 0 {
		s += fmt.Sprintf(",max=%d", fs.opts.Max)
	}
	return s
}

// Statfs implements vfs.SuperblockOps.
func (fs *FileSystem) Statfs(_ *vfs.Context, st *unix.Statfs_t) error {
	*st = unix.Statfs_t{Type: fs.Magic, Bsize: 4096, Frsize: 4096, Namelen: 255}
	return nil
}

// Sync implements vfs.SuperblockOps.
func (fs *FileSystem) Sync(*vfs.Context) error { return nil }

// Remount implements vfs.SuperblockOps.
func (fs *FileSystem) Remount(_ *vfs.Context, _ uint32, data string) error {
	if data != "" {
		return unix.EINVAL
	}
	return nil
}

// Release implements vfs.SuperblockOps.
func (fs *FileSystem) Release() {}

// NewTerminal makes a terminal owned by the given ids, whose master end the caller
// has opened. ENOSPC.
func (fs *FileSystem) NewTerminal(uid cred.UID, gid cred.GID) (*Terminal, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	limit := uint32(maxTerminals)
	if fs.opts.Max != 0 {
		limit = fs.opts.Max
	}
	if len(fs.terminals) >= int(limit) {
		return nil, unix.ENOSPC
	}
	index := uint32(0)
	for fs.terminals[index] != nil {
		index++
	}
	n := &node{fs: fs}
	n.term = newTerminal(fs.k, index, func() { fs.remove(index) })
	n.term.OpenMaster()
	if fs.opts.SetUID {
		uid = fs.opts.UID
	}
	if fs.opts.SetGID {
		gid = fs.opts.GID
	}
	n.Inode.Init(&fs.Superblock, n, uint64(index)+3, unix.S_IFCHR|fs.opts.Mode, uid, gid)
	n.SetRdev(vfs.MakeDev(majorPTS, index))
	fs.terminals[index] = n
	return n.term, nil
}

func (fs *FileSystem) remove(index uint32) {
	fs.mu.Lock()
	n := fs.terminals[index]
	delete(fs.terminals, index)
	fs.mu.Unlock()
	n.DecRef()
}

// lookup returns the terminal of that number, with a reference; nil if there is none
// or its master end has been closed.
func (fs *FileSystem) lookup(index uint32) *node {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.terminals[index]
	if n == nil || n.term.isHungUp() {
		return nil
	}
	n.IncRef()
	return n
}

// Revalidate implements vfs.Revalidator: a terminal loses its name when its master
// end is closed.
func (fs *FileSystem) Revalidate(_ *vfs.Context, _ *vfs.Inode, _ string, child *vfs.Inode) bool {
	if child == nil {
		return false
	}
	n, ok := child.Ops().(*node)
	return !ok || !n.term.isHungUp()
}

// openPeer serves TIOCGPTPEER on master, the open master end of t: it opens t below the mount
// by which master was opened, whatever is mounted at its name now.
func (fs *FileSystem) openPeer(ctx *vfs.Context, task *kernel.Task, master *vfs.File, t *Terminal, flags uint32) (uint64, error) {
	root := vfs.Path{Mount: master.Path().Mount, Dentry: fs.mount.Root()}
	if root.Mount.Superblock() != &fs.Superblock {
		root.Mount = fs.mount // by a device file outside
	}
	p, err := ctx.Walk(vfs.Start{Path: root}, strconv.Itoa(int(t.index)), 0)
	if err != nil {
		return 0, err
	}
	f, err := ctx.OpenAt(p, flags|unix.O_NOCTTY)
	if err != nil {
		return 0, err
	}
	fd, err := task.FDTable().Add(f, 0, flags&unix.O_CLOEXEC != 0, task.ThreadGroup().Limits().Get(unix.RLIMIT_NOFILE).Cur)
	if err != nil {
		f.DecRef()
		return 0, err
	}
	return uint64(fd), nil
}

// A rootDir is the root of devpts.
type rootDir struct {
	vfs.Inode
	vfs.FixedDirectory
	vfs.NotSymlink
	vfs.NoXattr
	fs *FileSystem
}

// Lookup implements vfs.InodeOps.
func (d *rootDir) Lookup(_ *vfs.Context, name string) (*vfs.Inode, error) {
	if name == "ptmx" {
		p := &ptmx{fs: d.fs}
		p.Inode.Init(&d.fs.Superblock, p, 2, unix.S_IFCHR|d.fs.opts.PtmxMode, 0, 0)
		p.SetRdev(vfs.MakeDev(majorTTY, minorPtmx))
		return &p.Inode, nil
	}
	index, err := strconv.ParseUint(name, 10, 32)
	if err != nil || strconv.FormatUint(index, 10) != name {
		return nil, unix.ENOENT
	}
	n := d.fs.lookup(uint32(index))
	if n == nil {
		return nil, unix.ENOENT
	}
	return &n.Inode, nil
}

// Open implements vfs.InodeOps.
func (d *rootDir) Open(*vfs.Context, *vfs.File) (vfs.FileOps, error) { return rootFile{fs: d.fs}, nil }

type rootFile struct {
	vfs.DirectoryFile
	fs *FileSystem
}

// ReadDir implements vfs.FileOps. Position 2 is ptmx, 3+N terminal N.
func (r rootFile) ReadDir(_ *vfs.Context, f *vfs.File, e *vfs.DirEmitter) error {
	if !e.Dots(f) {
		return nil
	}
	if e.Pos == 2 && !e.Emit("ptmx", 2, unix.DT_CHR, 3) {
		return nil
	}
	r.fs.mu.Lock()
	defer r.fs.mu.Unlock()
	for index := uint32(e.Pos - 3); index < maxTerminals; index++ {
		if n := r.fs.terminals[index]; n != nil && !n.term.isHungUp() && !e.Emit(strconv.Itoa(int(index)), n.Ino(), unix.DT_CHR, int64(index)+4) {
			return nil
		}
	}
	return nil
}

// Seek implements vfs.FileOps.
func (r rootFile) Seek(_ *vfs.Context, f *vfs.File, off int64, whence int) (int64, error) {
	return vfs.SeekSized(f, off, whence, 0)
}

// A node is a terminal's device file.
type node struct {
	vfs.Inode
	vfs.NotDirectory
	vfs.NotSymlink
	vfs.NoXattr
	vfs.NoOpen
	fs   *FileSystem
	term *Terminal
}

// OpenDevice implements vfs.Driver, for the terminals and for ptmx. A device file
// that is not in a devpts leads nowhere, but for /dev/ptmx, which belongs to fs.
func (fs *FileSystem) OpenDevice(ctx *vfs.Context, f *vfs.File, dev vfs.Dev) (vfs.FileOps, error) {
	switch in := f.Inode().Ops().(type) {
	case *node:
		return in.open(ctx, f)
	case *ptmx:
		return in.fs.openMaster(ctx, f)
	}
	if dev == vfs.MakeDev(majorTTY, minorPtmx) {
		return fs.openMaster(ctx, f)
	}
	return nil, unix.EIO
}

// Register makes fs the driver of terminals and of the controlling terminal.
func (fs *FileSystem) Register(v *vfs.VFS) {
	v.RegisterDriver(unix.S_IFCHR, majorPTS, 0, maxTerminals-1, fs)
	v.RegisterDriver(unix.S_IFCHR, majorTTY, minorPtmx, minorPtmx, fs)
	v.RegisterDriver(unix.S_IFCHR, majorTTY, 0, 0, controlling{})
}

// open opens the terminal. Without O_NOCTTY it becomes the controlling one of a
// session leader that has none.
func (n *node) open(ctx *vfs.Context, f *vfs.File) (vfs.FileOps, error) {
	if err := n.term.open(); err != nil {
		return nil, err
	}
	f.SetStream()
	if task, _ := ctx.Task.(*kernel.Task); task != nil && f.Flags()&unix.O_NOCTTY == 0 && f.Readable() {
		n.term.Job.Acquire(task, n.term, false) // EPERM: it stays as it was
	}
	return terminalFile{Terminal: n.term}, nil
}

// A ptmx is the file that makes a terminal when it is opened.
type ptmx struct {
	vfs.Inode
	vfs.NotDirectory
	vfs.NotSymlink
	vfs.NoXattr
	vfs.NoOpen
	fs *FileSystem
}

// openMaster makes a terminal whose master end f is: what opening ptmx does.
func (fs *FileSystem) openMaster(ctx *vfs.Context, f *vfs.File) (vfs.FileOps, error) {
	t, err := fs.NewTerminal(ctx.Cred.FSUID, ctx.Cred.FSGID)
	if err != nil {
		return nil, err
	}
	f.SetStream()
	return masterFile{Terminal: t, fs: fs}, nil
}

// controlling is the driver of /dev/tty, the caller's controlling terminal.
type controlling struct{}

// OpenDevice implements vfs.Driver. ENXIO if the caller has none.
func (controlling) OpenDevice(ctx *vfs.Context, f *vfs.File, _ vfs.Dev) (vfs.FileOps, error) {
	task, _ := ctx.Task.(*kernel.Task)
	if task == nil {
		return nil, unix.ENXIO
	}
	t, _ := task.ControllingTerminal().(*Terminal)
	if t == nil {
		return nil, unix.ENXIO
	}
	if err := t.open(); err != nil {
		return nil, err
	}
	f.SetStream()
	return terminalFile{Terminal: t}, nil
}

// Disassociated implements kernel.TTY.
func (t *Terminal) Disassociated(s *kernel.Session) { t.Job.Disassociated(s) }
