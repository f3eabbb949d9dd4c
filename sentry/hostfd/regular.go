package hostfd

import (
	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/usermem"
)

// A regular is a host descriptor of a regular file or block device, such as
// standard output redirected to a file. Its host position, which is shared with
// whoever else has the description, follows the File's.
type regular struct {
	vfs.FileDefaults
	fd int
}

// Read implements vfs.FileOps.
func (r *regular) Read(_ *vfs.Context, f *vfs.File, dst *usermem.Seq, off int64, _ uint32) (int, error) {
	at := off
	n, err := moved(dst.Blocks(true, func(blocks [][]byte) (int, error) {
		n, err := unix.Preadv(r.fd, blocks, at)
		at += int64(max(n, 0))
		return n, err
	}))
	r.follow(f, off, n)
	return n, err
}

// Write implements vfs.FileOps. If the host's description is O_APPEND the host
// writes at the end.
func (r *regular) Write(_ *vfs.Context, f *vfs.File, src *usermem.Seq, off int64, _ uint32) (int, error) {
	at := off
	n, err := moved(src.Blocks(false, func(blocks [][]byte) (int, error) {
		n, err := unix.Pwritev(r.fd, blocks, at)
		at += int64(max(n, 0))
		return n, err
	}))
	r.follow(f, off, n)
	return n, err
}

// follow moves the host's position after n bytes have moved at off, if that was f's
// position.
func (r *regular) follow(f *vfs.File, off int64, n int) {
	if n > 0 && off == f.Pos() {
		unix.Seek(r.fd, off+int64(n), unix.SEEK_SET)
	}
}

// Seek implements vfs.FileOps.
func (r *regular) Seek(_ *vfs.Context, f *vfs.File, off int64, whence int) (int64, error) {
	if whence == unix.SEEK_CUR {
		off, whence = off+f.Pos(), unix.SEEK_SET
	}
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
func (r *regular) Release(*vfs.File) { unix.Close(r.fd) }
