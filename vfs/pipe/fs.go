package pipe

import (
	"sync/atomic"

	"casemate/vfs"

	"golang.org/x/sys/unix"
)

const pipefsMagic = 0x50495045 // PIPEFS_MAGIC

// An FS is pipefs, the file system of pipes without names. There is one in a
// sandbox.
type FS struct {
	sb    vfs.Superblock
	mount *vfs.Mount
	ino   atomic.Uint64
}

// NewFS returns pipefs, and makes v open FIFOs.
func NewFS(v *vfs.VFS) *FS {
	fs := &FS{}
	fs.sb.Type = "pipefs"
	fs.sb.Source = "none"
	fs.sb.Magic = pipefsMagic
	fs.sb.Flags = vfs.SBKernel | vfs.SBNoExec
	fs.sb.Init(v, fs)
	root := &inode{}
	root.Init(&fs.sb, root, fs.ino.Add(1), unix.S_IFDIR|0o555, 0, 0)
	fs.sb.SetRoot(&root.Inode)
	fs.mount = v.NewKernelMount(&fs.sb)
	v.SetFIFO(openFIFO)
	return fs
}

// Statfs implements vfs.SuperblockOps.
func (fs *FS) Statfs(_ *vfs.Context, st *unix.Statfs_t) error {
	st.Bsize, st.Frsize, st.Namelen = pageSize, pageSize, 255
	return nil
}

// Sync implements vfs.SuperblockOps.
func (fs *FS) Sync(*vfs.Context) error { return nil }

// Remount implements vfs.SuperblockOps.
func (fs *FS) Remount(*vfs.Context, uint32, string) error { return unix.EINVAL }

// Release implements vfs.SuperblockOps.
func (fs *FS) Release() {}

// An inode is a pipe as stat(2) sees it.
type inode struct {
	vfs.Inode
	vfs.NotDirectory
	vfs.NotSymlink
	vfs.NoXattr
	vfs.NoOpen
}

// New makes a pipe, pipe2(2), and returns its ends. flags are of O_NONBLOCK and
// O_DIRECT.
func (fs *FS) New(ctx *vfs.Context, flags uint32) (r, w *vfs.File) {
	in := &inode{}
	in.Init(&fs.sb, in, fs.ino.Add(1), unix.S_IFIFO|0o600, ctx.Cred.FSUID, ctx.Cred.FSGID)
	p := newPipe()
	in.FIFO(func() any { return p })
	path := vfs.AnonymousPath(fs.mount, "pipe:", &in.Inode)
	path.IncRef()
	r = vfs.NewFile(ctx.Cred, path, unix.O_RDONLY|flags, p.open(true, false))
	w = vfs.NewFile(ctx.Cred, path, unix.O_WRONLY|flags, p.open(false, true))
	r.SetStream()
	w.SetStream()
	return r, w
}

// fifoEnd is an end that was opened by name, which can have to wait for the other.
type fifoEnd struct{ end }

// openFIFO opens f, which is a FIFO, or a pipe by way of /proc/PID/fd.
func openFIFO(_ *vfs.Context, f *vfs.File) (vfs.FileOps, error) {
	p := f.Inode().FIFO(func() any { return newPipe() }).(*Pipe)
	e := &fifoEnd{end{p: p, read: f.Readable(), write: f.Writable()}}
	if !e.read && !e.write {
		return nil, unix.EINVAL
	}
	f.SetStream()
	if _, unnamed := f.Inode().Ops().(*inode); unnamed {
		// Whoever had the other end may have gone: nobody waits for that.
		p.attach(&e.end)
		return &e.end, nil
	}
	if f.Nonblocking() {
		e.quiet = true
		p.mu.Lock()
		alone := p.readers == 0
		p.mu.Unlock()
		if e.write && !e.read && alone {
			return nil, unix.ENXIO
		}
	}
	p.attach(&e.end)
	p.queue.Notify(allEvents)
	return e, nil
}

// OpenDone implements vfs.OpenWaiter: a FIFO that is opened for one direction
// waits for somebody to open it for the other, unless it is not to block.
func (e *fifoEnd) OpenDone(f *vfs.File) bool {
	if f.Nonblocking() || e.read && e.write {
		return true
	}
	p := e.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.read {
		return p.writers > 0 || p.writerSeq != e.since
	}
	return p.readers > 0 || p.readerSeq != e.since
}
