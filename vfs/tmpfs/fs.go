// Package tmpfs is the file system in memory, tmpfs(5): used for /tmp, /dev,
// /dev/shm, memfds, and as the upper layer of overlays. File data is in pages of
// the sandbox's memory file.
//
// Locking order: vfs.Inode.mu, then regular.io, then regular.data, then
// memfile's. Directories are guarded by their vfs.Inode.mu alone. While
// application memory is copied only Inode.mu and, for reading, regular.io are
// held; a fault on a mapping of the very file takes regular.data only.
package tmpfs

import (
	"strconv"
	"strings"
	"sync/atomic"

	"casemate/platform/memfile"
	"casemate/vfs"
	"casemate/vfs/cred"

	"golang.org/x/sys/unix"
)

const (
	pageSize  = 4096
	pageShift = 12
	nameMax   = 255
)

// Options are the options of one instance.
type Options struct {
	// Size is the limit in bytes, 0 for none. Inodes is the limit of their
	// number, 0 for none.
	Size   uint64
	Inodes uint64
	// HideSize and HideInodes keep the limits, which are defaults, out of
	// mountinfo.
	HideSize, HideInodes bool
	// Mode, UID and GID are the root directory's.
	Mode uint32
	UID  cred.UID
	GID  cred.GID
	// Name is the type's name, "tmpfs" if empty; Source is for mountinfo.
	Name, Source string
	// ReadOnly makes the instance read-only.
	ReadOnly bool
}

// An FS is one instance.
type FS struct {
	sb  vfs.Superblock
	mem *memfile.File
	opt Options

	maxPages  atomic.Uint64 // 0 for no limit but hostPages
	hostPages uint64        // as many as the machine has memory for
	maxInodes atomic.Uint64
	pages     atomic.Uint64 // in use
	inodes    atomic.Uint64
	nextIno   atomic.Uint64

	dirFile dirFile
}

// New returns an instance with an empty root directory.
func New(v *vfs.VFS, mem *memfile.File, o Options) *FS {
	fs := &FS{mem: mem, opt: o, hostPages: 1 << 40}
	if n, err := hostMemory(); err == nil {
		fs.hostPages = n / pageSize
	}
	fs.maxPages.Store((o.Size + pageSize - 1) / pageSize)
	fs.maxInodes.Store(o.Inodes)
	fs.sb.Type = o.Name
	if o.Name == "" {
		fs.sb.Type = "tmpfs"
	}
	fs.sb.Source = o.Source
	if fs.sb.Source == "" {
		fs.sb.Source = fs.sb.Type
	}
	fs.sb.Magic = unix.TMPFS_MAGIC
	fs.sb.MaxSize = 1<<63 - 1
	fs.sb.ShowOptions = fs.showOptions
	fs.sb.Init(v, fs)
	fs.sb.SetReadOnly(o.ReadOnly)
	root := fs.newDir(unix.S_IFDIR|o.Mode&0o7777, o.UID, o.GID)
	fs.sb.SetRoot(&root.Inode)
	return fs
}

// Superblock is the instance as the core sees it.
func (fs *FS) Superblock() *vfs.Superblock { return &fs.sb }

// Statfs implements vfs.SuperblockOps.
func (fs *FS) Statfs(_ *vfs.Context, st *unix.Statfs_t) error {
	st.Bsize, st.Frsize = pageSize, pageSize
	st.Namelen = nameMax
	if limit := fs.maxPages.Load(); limit != 0 {
		st.Blocks = limit
		st.Bfree = limit - min(limit, fs.pages.Load())
		st.Bavail = st.Bfree
	}
	if limit := fs.maxInodes.Load(); limit != 0 {
		st.Files = limit
		st.Ffree = limit - min(limit, fs.inodes.Load())
	}
	return nil
}

// Sync implements vfs.SuperblockOps.
func (fs *FS) Sync(*vfs.Context) error { return nil }

// Remount implements vfs.SuperblockOps.
func (fs *FS) Remount(ctx *vfs.Context, flags uint32, data string) error {
	o, set, err := parseOptions(ctx, fs.opt, data)
	if err != nil {
		return err
	}
	if set.size {
		limit := (o.Size + pageSize - 1) / pageSize
		if limit != 0 && limit < fs.pages.Load() {
			return unix.EINVAL
		}
		fs.maxPages.Store(limit)
	}
	if set.inodes {
		if o.Inodes != 0 && o.Inodes < fs.inodes.Load() {
			return unix.EINVAL
		}
		fs.maxInodes.Store(o.Inodes)
	}
	return nil
}

// Release implements vfs.SuperblockOps: everything is freed.
func (fs *FS) Release() {
	root, ok := fs.sb.Root().Inode().Ops().(*dir)
	if ok {
		root.releaseTree()
	}
}

// limit is how many pages there may be.
func (fs *FS) limit() uint64 {
	if n := fs.maxPages.Load(); n != 0 {
		return n
	}
	return fs.hostPages
}

// addPages accounts for n more pages: ENOSPC.
func (fs *FS) addPages(n uint64) error {
	if used := fs.pages.Add(n); used > fs.limit() {
		fs.pages.Add(-n)
		return unix.ENOSPC
	}
	return nil
}

func (fs *FS) freePages(n uint64) { fs.pages.Add(-n) }

// addInode accounts for one more inode, and returns its number: ENOSPC.
func (fs *FS) addInode() error {
	limit := fs.maxInodes.Load()
	if used := fs.inodes.Add(1); limit != 0 && used > limit {
		fs.inodes.Add(^uint64(0))
		return unix.ENOSPC
	}
	return nil
}

func (fs *FS) showOptions() string {
	var b []string
	if fs.sb.ReadOnly() {
		b = append(b, "ro")
	} else {
		b = append(b, "rw")
	}
	if n := fs.maxPages.Load(); n != 0 && !fs.opt.HideSize {
		b = append(b, "size="+strconv.FormatUint(n*pageSize/1024, 10)+"k")
	}
	if n := fs.maxInodes.Load(); n != 0 && !fs.opt.HideInodes {
		b = append(b, "nr_inodes="+strconv.FormatUint(n, 10))
	}
	if fs.opt.Mode != 0o1777 {
		b = append(b, "mode="+strconv.FormatUint(uint64(fs.opt.Mode), 8))
	}
	if fs.opt.UID != 0 {
		b = append(b, "uid="+strconv.FormatUint(uint64(fs.opt.UID), 10))
	}
	if fs.opt.GID != 0 {
		b = append(b, "gid="+strconv.FormatUint(uint64(fs.opt.GID), 10))
	}
	return strings.Join(b, ",")
}

// node is what all objects have.
type node struct {
	vfs.Inode
	fs    *FS
	xattr xattrs
}

func (n *node) init(fs *FS, ops vfs.InodeOps, mode uint32, uid cred.UID, gid cred.GID) {
	n.fs = fs
	n.Inode.Init(&fs.sb, ops, fs.nextIno.Add(1), mode, uid, gid)
}
