// Package hostfd makes files of descriptors of the host that a container starts with:
// its standard input, output and error.
package hostfd

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/refs"
)

// An FS is the file system of such files. There is one in a sandbox.
type FS struct {
	sb     vfs.Superblock
	mount  *vfs.Mount
	poller *Poller
}

// New returns an empty FS, whose files' readiness poller watches.
func New(v *vfs.VFS, poller *Poller) *FS {
	fs := &FS{poller: poller}
	fs.sb.Type, fs.sb.Source, fs.sb.Magic = "hostfs", "none", unix.PIPEFS_MAGIC
	fs.sb.Flags = vfs.SBKernel | vfs.SBNoExec | vfs.SBOwnOpen
	fs.sb.Init(v, fs)
	root := &inode{}
	root.Init(&fs.sb, root, 1, unix.S_IFDIR|0o555, 0, 0)
	fs.sb.SetRoot(&root.Inode)
	fs.mount = v.NewKernelMount(&fs.sb)
	return fs
}

// Statfs implements vfs.SuperblockOps.
func (fs *FS) Statfs(_ *vfs.Context, st *unix.Statfs_t) error {
	*st = unix.Statfs_t{Type: fs.sb.Magic, Bsize: 4096, Frsize: 4096, Namelen: 255}
	return nil
}

// Sync implements vfs.SuperblockOps.
func (fs *FS) Sync(*vfs.Context) error { return nil }

// Remount implements vfs.SuperblockOps.
func (fs *FS) Remount(*vfs.Context, uint32, string) error { return unix.EINVAL }

// Release implements vfs.SuperblockOps.
func (fs *FS) Release() {}

// An inode is a host file as stat(2) sees it.
type inode struct {
	vfs.Inode
	vfs.NotDirectory
	vfs.NotSymlink
	vfs.NoXattr
	fd     int
	access uint32      // O_ACCMODE of the host's description
	ops    vfs.FileOps // of all files: they share the description
	files  atomic.Int64
}

// Open implements vfs.InodeOps, for /proc/PID/fd/N and with it /dev/stdout: another
// file on the same host description, so it shares the position and is never
// truncated. EACCES if the description does not allow the access.
func (in *inode) Open(_ *vfs.Context, f *vfs.File) (vfs.FileOps, error) {
	if in.ops == nil {
		return nil, unix.ENXIO
	}
	if want := f.Flags() & unix.O_ACCMODE; in.access != unix.O_RDWR && want != in.access {
		return nil, unix.EACCES
	}
	if !refs.TryInc(&in.files) {
		return nil, unix.ENXIO // closed; only an O_PATH descriptor is left
	}
	if _, ok := in.ops.(*stream); ok {
		f.SetStream()
	}
	return in.ops, nil
}

// closed counts a file out and reports whether it was the last one.
func (in *inode) closed() bool { return in.files.Add(-1) == 0 }

// Getattr implements vfs.InodeOps. Size and times are the host's.
func (in *inode) Getattr(_ *vfs.Context, _, _ uint32, st *unix.Statx_t) error {
	var h unix.Stat_t
	if err := unix.Fstat(in.fd, &h); err == nil {
		in.SetSize(h.Size)
		in.SetTimes(h.Atim.Nano(), h.Mtim.Nano(), h.Ctim.Nano())
	}
	in.FillStat(st)
	return nil
}

// Import makes a file of the host descriptor fd, which it takes over.
func (fs *FS) Import(ctx *vfs.Context, fd int) (*vfs.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	in := &inode{fd: fd, access: uint32(flags) & unix.O_ACCMODE}
	in.files.Store(1)
	in.Init(&fs.sb, in, st.Ino, st.Mode, ctx.Cred.FSUID, ctx.Cred.FSGID)
	in.SetRdev(vfs.Dev(st.Rdev))
	name := "pipe:"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		name = "socket:"
	case unix.S_IFREG:
		name = "file:"
	case unix.S_IFCHR:
		name = "device:"
	}
	path := vfs.AnonymousPath(fs.mount, name, &in.Inode)
	kept := uint32(flags) & (unix.O_ACCMODE | unix.O_APPEND)
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		in.ops = &regular{in: in, fd: fd}
		return vfs.NewFile(ctx.Cred, path, kept, in.ops), nil
	}
	s := &stream{in: in, fd: fd, poll: fs.poller}
	in.ops = s
	if err := fs.poller.Add(fd, &s.queue); err != nil && err != unix.EPERM {
		path.DecRef()
		return nil, fmt.Errorf("watching descriptor %d: %w", fd, err)
	}
	f := vfs.NewFile(ctx.Cred, path, kept, s)
	f.SetStream()
	return f, nil
}
