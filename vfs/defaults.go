package vfs

import (
	"casemate/vfs/usermem"
	"casemate/vfs/wait"

	"golang.org/x/sys/unix"
)

// NotDirectory has the directory methods of InodeOps for objects that are none.
type NotDirectory struct{}

// Lookup implements InodeOps.
func (NotDirectory) Lookup(*Context, string) (*Inode, error) { return nil, unix.ENOTDIR }

// Create implements InodeOps.
func (NotDirectory) Create(*Context, string, uint32) (*Inode, error) { return nil, unix.ENOTDIR }

// Mkdir implements InodeOps.
func (NotDirectory) Mkdir(*Context, string, uint32) (*Inode, error) { return nil, unix.ENOTDIR }

// Mknod implements InodeOps.
func (NotDirectory) Mknod(*Context, string, uint32, Dev) (*Inode, error) { return nil, unix.ENOTDIR }

// Symlink implements InodeOps.
func (NotDirectory) Symlink(*Context, string, string) (*Inode, error) { return nil, unix.ENOTDIR }

// Link implements InodeOps.
func (NotDirectory) Link(*Context, string, *Inode) error { return unix.ENOTDIR }

// Unlink implements InodeOps.
func (NotDirectory) Unlink(*Context, string, *Inode) error { return unix.ENOTDIR }

// Rmdir implements InodeOps.
func (NotDirectory) Rmdir(*Context, string, *Inode) error { return unix.ENOTDIR }

// Rename implements InodeOps.
func (NotDirectory) Rename(*Context, string, *Inode, *Inode, string, *Inode, uint32) error {
	return unix.ENOTDIR
}

// Tmpfile implements InodeOps.
func (NotDirectory) Tmpfile(*Context, uint32) (*Inode, error) { return nil, unix.ENOTDIR }

// FixedDirectory has the methods of InodeOps that change a directory, for
// directories whose entries only the kernel makes.
type FixedDirectory struct{}

// Create implements InodeOps.
func (FixedDirectory) Create(*Context, string, uint32) (*Inode, error) { return nil, unix.EACCES }

// Mkdir implements InodeOps.
func (FixedDirectory) Mkdir(*Context, string, uint32) (*Inode, error) { return nil, unix.EPERM }

// Mknod implements InodeOps.
func (FixedDirectory) Mknod(*Context, string, uint32, Dev) (*Inode, error) { return nil, unix.EPERM }

// Symlink implements InodeOps.
func (FixedDirectory) Symlink(*Context, string, string) (*Inode, error) { return nil, unix.EPERM }

// Link implements InodeOps.
func (FixedDirectory) Link(*Context, string, *Inode) error { return unix.EPERM }

// Unlink implements InodeOps.
func (FixedDirectory) Unlink(*Context, string, *Inode) error { return unix.EPERM }

// Rmdir implements InodeOps.
func (FixedDirectory) Rmdir(*Context, string, *Inode) error { return unix.EPERM }

// Rename implements InodeOps.
func (FixedDirectory) Rename(*Context, string, *Inode, *Inode, string, *Inode, uint32) error {
	return unix.EPERM
}

// Tmpfile implements InodeOps.
func (FixedDirectory) Tmpfile(*Context, uint32) (*Inode, error) { return nil, unix.EOPNOTSUPP }

// NotSymlink has Readlink for objects that are no symbolic links.
type NotSymlink struct{}

// Readlink implements InodeOps.
func (NotSymlink) Readlink(*Context) (string, error) { return "", unix.EINVAL }

// NoXattr has the methods of InodeOps of a file system without extended
// attributes.
type NoXattr struct{}

// Getxattr implements InodeOps.
func (NoXattr) Getxattr(*Context, string) ([]byte, error) { return nil, unix.EOPNOTSUPP }

// Setxattr implements InodeOps.
func (NoXattr) Setxattr(*Context, string, []byte, int) error { return unix.EOPNOTSUPP }

// Listxattr implements InodeOps.
func (NoXattr) Listxattr(*Context) ([]string, error) { return nil, nil }

// Removexattr implements InodeOps.
func (NoXattr) Removexattr(*Context, string) error { return unix.EOPNOTSUPP }

// NoOpen has Open for objects that cannot be opened but with O_PATH.
type NoOpen struct{}

// Open implements InodeOps.
func (NoOpen) Open(*Context, *File) (FileOps, error) { return nil, unix.ENXIO }

// FileDefaults has all methods of FileOps as a file has them for which Linux's
// struct file_operations would be empty. It is always ready.
type FileDefaults struct{}

// Read implements FileOps.
func (FileDefaults) Read(*Context, *File, *usermem.Seq, int64, uint32) (int, error) {
	return 0, unix.EINVAL
}

// Write implements FileOps.
func (FileDefaults) Write(*Context, *File, *usermem.Seq, int64, uint32) (int, error) {
	return 0, unix.EINVAL
}

// ReadDir implements FileOps.
func (FileDefaults) ReadDir(*Context, *File, *DirEmitter) error { return unix.ENOTDIR }

// Seek implements FileOps.
func (FileDefaults) Seek(_ *Context, f *File, off int64, whence int) (int64, error) {
	return SeekSized(f, off, whence, 0)
}

// Readiness implements FileOps.
func (FileDefaults) Readiness(mask wait.Events) wait.Events {
	return mask & (wait.In | wait.Out | wait.RdNorm | wait.WrNorm)
}

// Register implements FileOps.
func (FileDefaults) Register(*wait.Entry, wait.Events) {}

// Unregister implements FileOps.
func (FileDefaults) Unregister(*wait.Entry) {}

// Ioctl implements FileOps.
func (FileDefaults) Ioctl(*Context, *File, uint32, uint64) (uint64, error) { return 0, unix.ENOTTY }

// Mmap implements FileOps.
func (FileDefaults) Mmap(*Context, *File, int, int) (Mappable, error) { return nil, unix.ENODEV }

// Fsync implements FileOps.
func (FileDefaults) Fsync(*Context, *File, bool) error { return unix.EINVAL }

// Fallocate implements FileOps.
func (FileDefaults) Fallocate(*Context, *File, uint32, int64, int64) error { return unix.EOPNOTSUPP }

// Release implements FileOps.
func (FileDefaults) Release(*File) {}

// DirectoryFile has the methods of FileOps of an open directory but for ReadDir.
type DirectoryFile struct{ FileDefaults }

// Read implements FileOps.
func (DirectoryFile) Read(*Context, *File, *usermem.Seq, int64, uint32) (int, error) {
	return 0, unix.EISDIR
}

// Write implements FileOps.
func (DirectoryFile) Write(*Context, *File, *usermem.Seq, int64, uint32) (int, error) {
	return 0, unix.EISDIR
}

// Fsync implements FileOps.
func (DirectoryFile) Fsync(*Context, *File, bool) error { return nil }

// pathFile is what a File opened with O_PATH does: nothing.
type pathFile struct{ FileDefaults }
