package kernel

import (
	"casemate/platform/memfile"
	"casemate/vfs"
	"casemate/vfs/pipe"
	"casemate/vfs/tmpfs"
)

// shm is the file system of memfds and of shared memory without a name.
type shm struct {
	fs    *tmpfs.FS
	mount *vfs.Mount
}

func newShm(v *vfs.VFS, mem *memfile.File) shm {
	fs := tmpfs.New(v, mem, tmpfs.Options{Mode: 0o1777})
	s := shm{fs, v.NewKernelMount(fs.Superblock())}
	v.SetShared(func(ctx *vfs.Context, name string, size int64) (*vfs.File, error) {
		return s.fs.NewSized(ctx, s.mount, name, size)
	})
	return s
}

// Pipes returns the file system of pipes.
func (k *Kernel) Pipes() *pipe.FS { return k.pipes }

// NewMemfd returns a file in memory without a place in a file system, which
// /proc/PID/fd shows as "/name (deleted)", open for reading and writing. Errors
// are open(2)'s.
func (k *Kernel) NewMemfd(ctx *vfs.Context, name string, mode uint32, sealable bool) (*vfs.File, error) {
	return k.shm.fs.NewFile(ctx, k.shm.mount, name, mode, sealable)
}
