package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/cred"
)

// anonFS is the file system of files that have no other: eventfd, epoll, pidfd and
// the like (anon_inodefs). They all share one Inode.
type anonFS struct {
	vfs   *vfs.VFS
	sb    vfs.Superblock
	mount *vfs.Mount
	inode *anonInode
}

// anonMagic is ANON_INODE_FS_MAGIC.
const anonMagic = 0x09041934

// anonInode is the object behind all of them.
type anonInode struct {
	vfs.Inode
	vfs.NotDirectory
	vfs.NotSymlink
	vfs.NoXattr
	vfs.NoOpen
}

// anonRoot is the root directory, which nobody sees.
type anonRoot struct {
	vfs.Inode
	vfs.FixedDirectory
	vfs.NotSymlink
	vfs.NoXattr
	vfs.NoOpen
}

// Lookup implements vfs.InodeOps.
func (*anonRoot) Lookup(*vfs.Context, string) (*vfs.Inode, error) { return nil, unix.ENOENT }

// Statfs implements vfs.SuperblockOps.
func (a *anonFS) Statfs(_ *vfs.Context, st *unix.Statfs_t) error {
	st.Type, st.Bsize, st.Frsize, st.Namelen = anonMagic, 4096, 4096, unix.NAME_MAX
	return nil
}

// Sync implements vfs.SuperblockOps.
func (a *anonFS) Sync(*vfs.Context) error { return nil }

// Remount implements vfs.SuperblockOps.
func (a *anonFS) Remount(*vfs.Context, uint32, string) error { return unix.EINVAL }

// Release implements vfs.SuperblockOps.
func (a *anonFS) Release() {}

func newAnonFS(v *vfs.VFS) *anonFS {
	a := &anonFS{vfs: v}
	a.sb.Type, a.sb.Source, a.sb.Magic, a.sb.Flags = "anon_inodefs", "anon_inodefs", anonMagic, vfs.SBKernel
	a.sb.Init(v, a)
	root := &anonRoot{}
	root.Init(&a.sb, root, 1, unix.S_IFDIR|0o555, cred.RootUID, cred.RootGID)
	a.sb.SetRoot(&root.Inode)
	a.inode = &anonInode{}
	a.inode.Init(&a.sb, a.inode, 2, 0o600, cred.RootUID, cred.RootGID)
	a.mount = v.NewKernelMount(&a.sb)
	return a
}

// NewAnonFile returns an open file without a place in a file system, which
// /proc/PID/fd shows as anon_inode:name.
func (k *Kernel) NewAnonFile(c *cred.Credentials, name string, flags uint32, ops vfs.FileOps) *vfs.File {
	a := k.anon
	a.inode.IncRef()
	f := vfs.NewFile(c, vfs.AnonymousPath(a.mount, "anon_inode:"+name, &a.inode.Inode), flags, ops)
	f.SetStream()
	return f
}

// AddAnonFile makes a file of NewAnonFile and a descriptor for it. EMFILE.
func (t *Task) AddAnonFile(name string, flags uint32, cloexec bool, ops vfs.FileOps) (uint64, error) {
	f := t.k.NewAnonFile(t.Credentials(), name, flags, ops)
	fd, err := t.FDTable().Add(f, 0, cloexec, t.tg.limits.Get(unix.RLIMIT_NOFILE).Cur)
	if err != nil {
		f.DecRef()
		return 0, err
	}
	return uint64(fd), nil
}
