package hostfd

import (
	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/usermem"
)

// A regular is a host descriptor of a regular file or block device, such as
// standard output redirected to a file. Its position is the host's, which is shared
// with whoever else has the description: another descriptor of the container, or the
// shell that has redirected it.
type regular struct {
	vfs.FileDefaults
	in *inode
	fd int
}

// Read implements vfs.FileOps.
func (r *regular) Read(_ *vfs.Context, f *vfs.File, dst *usermem.Seq, off int64, _ uint32) (int, error) {
	sequential := off == f.Pos()
	return moved(dst.Blocks(true, func(blocks [][]byte) (int, error) {
		if sequential {
			return unix.Readv(r.fd, blocks)
		}
		n, err := unix.Preadv(r.fd, blocks, off)
		off += int64(max(n, 0))
		return n, err
	}))
}

// Write implements vfs.FileOps. If the host's description is O_APPEND the host
// writes at the end.
func (r *regular) Write(_ *vfs.Context, f *vfs.File, src *usermem.Seq, off int64, _ uint32) (int, error) {
	sequential := off == f.Pos()
	return moved(src.Blocks(false, func(blocks [][]byte) (int, error) {
		if sequential {
			return unix.Writev(r.fd, blocks)
		}
		n, err := unix.Pwritev(r.fd, blocks, off)
		off += int64(max(n, 0))
		return n, err
	}))
}

// Seek implements vfs.FileOps.
func (r *regular) Seek(_ *vfs.Context, _ *vfs.File, off int64, whence int) (int64, error) {
	return unix.Seek(r.fd, off, whence)
}

// Fsync implements vfs.FileOps.
func (r *regular) Fsync(_ *vfs.Context, _ *vfs.File, dataOnly bool) error {
	if dataOnly {
		return unix.Fdatasync(r.fd)
	}
	return unix.Fsync(r.fd)
}

// Release implements vfs.FileOps.
func (r *regular) Release(*vfs.File) {
	if r.in.closed() {
		unix.Close(r.fd)
	}
}
