package tmpfs

import (
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// sealsAll are the seals that F_ADD_SEALS takes.
const sealsAll = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_FUTURE_WRITE | SealExec

// SealExec is F_SEAL_EXEC: the execute bits of the mode do not change any more.
const SealExec = 0x20

// NewFile returns a file without a name in fs, as memfd_create(2) and shmget(2)
// make it, with one reference. mount is a mount of fs; label is how /proc shows the file
// ("/memfd:name"). It has no seals, and cannot be sealed unless sealable.
func (fs *FS) NewFile(ctx *vfs.Context, mount *vfs.Mount, label string, mode uint32, sealable bool) (*vfs.File, error) {
	r, err := fs.newRegular(ctx, nil, unix.S_IFREG|mode)
	if err != nil {
		return nil, err
	}
	r.SetNlink(0)
	if sealable {
		r.seals = 0
	}
	// That it can be written to does not keep it from being executed, as with files that are opened.
	return vfs.NewFile(ctx.Cred, vfs.AnonymousPath(mount, label, &r.Inode), unix.O_RDWR, r), nil
}

// NewSized is NewFile for a file of size bytes, which RLIMIT_FSIZE does not
// limit.
func (fs *FS) NewSized(ctx *vfs.Context, mount *vfs.Mount, label string, size int64) (*vfs.File, error) {
	f, err := fs.NewFile(ctx, mount, label, 0o600, false)
	if err == nil {
		f.Inode().SetSize(size)
	}
	return f, err
}

// Seals returns the seals of a file of any tmpfs: F_GET_SEALS of fcntl(2). EINVAL for others.
func Seals(in *vfs.Inode) (uint32, error) {
	r, ok := in.Ops().(*regular)
	if !ok {
		return 0, unix.EINVAL
	}
	r.data.RLock()
	defer r.data.RUnlock()
	return r.seals, nil
}

// AddSeals adds seals to f: F_ADD_SEALS of fcntl(2).
func AddSeals(f *vfs.File, seals uint32) error {
	r, ok := f.Inode().Ops().(*regular)
	if !ok || seals&^sealsAll != 0 {
		return unix.EINVAL
	}
	if !f.Writable() {
		return unix.EPERM
	}
	r.Lock()
	defer r.Unlock()
	r.data.Lock()
	defer r.data.Unlock()
	if r.seals&unix.F_SEAL_SEAL != 0 {
		return unix.EPERM
	}
	if seals&unix.F_SEAL_WRITE != 0 && r.seals&unix.F_SEAL_WRITE == 0 && r.maps.Writable() {
		return unix.EBUSY
	}
	if seals&SealExec != 0 && r.Mode()&0o111 != 0 {
		seals |= unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_FUTURE_WRITE
	}
	r.seals |= seals
	return nil
}
