package socket

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// An FS is sockfs, the file system of sockets. There is one in a sandbox.
type FS struct {
	sb    vfs.Superblock
	mount *vfs.Mount
	ino   atomic.Uint64
}

const sockfsMagic = 0x534f434b // SOCKFS_MAGIC

// NewFS returns sockfs.
func NewFS(v *vfs.VFS) *FS {
	fs := &FS{}
	fs.sb.Type, fs.sb.Source, fs.sb.Magic = "sockfs", "none", sockfsMagic
	fs.sb.Flags = vfs.SBKernel | vfs.SBNoExec
	fs.sb.Init(v, fs)
	root := &inode{}
	root.Init(&fs.sb, root, fs.ino.Add(1), unix.S_IFDIR|0o555, 0, 0)
	fs.sb.SetRoot(&root.Inode)
	fs.mount = v.NewKernelMount(&fs.sb)
	return fs
}

// Statfs implements vfs.SuperblockOps.
func (fs *FS) Statfs(_ *vfs.Context, st *unix.Statfs_t) error {
	*st = unix.Statfs_t{Type: sockfsMagic, Bsize: 4096, Frsize: 4096, Namelen: 255}
	return nil
}

// Sync implements vfs.SuperblockOps.
func (fs *FS) Sync(*vfs.Context) error { return nil }

// Remount implements vfs.SuperblockOps.
func (fs *FS) Remount(*vfs.Context, uint32, string) error { return unix.EINVAL }

// Release implements vfs.SuperblockOps.
func (fs *FS) Release() {}

// An inode is a socket as stat(2) sees it.
type inode struct {
	vfs.Inode
	vfs.NotDirectory
	vfs.NotSymlink
	vfs.NoXattr
	vfs.NoOpen
	net *kernel.NetNamespace // with a reference; nil for the root
}

// Evict implements vfs.InodeOps.
func (in *inode) Evict() {
	if in.net != nil {
		in.net.DecRef()
	}
}

// NewFile returns a file for s. flags are of O_NONBLOCK.
func (fs *FS) NewFile(ctx *vfs.Context, s Socket, flags uint32) *vfs.File {
	in := &inode{net: s.Common().Net}
	in.net.IncRef()
	ino := fs.ino.Add(1)
	s.Common().Inode.Store(ino)
	s.Common().Owner.Store(uint32(ctx.Cred.FSUID))
	in.Init(&fs.sb, in, ino, unix.S_IFSOCK|0o777, ctx.Cred.FSUID, ctx.Cred.FSGID)
	f := vfs.NewFile(ctx.Cred, vfs.AnonymousPath(fs.mount, "socket:", &in.Inode), unix.O_RDWR|flags, s)
	f.SetStream()
	return f
}

// Of returns the socket that f is. ENOTSOCK.
func Of(f *vfs.File) (Socket, error) {
	if s, ok := f.Ops().(Socket); ok {
		return s, nil
	}
	return nil, unix.ENOTSOCK
}
