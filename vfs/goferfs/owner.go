package goferfs

import (
	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/cred"
)

// owner returns the owners whom a file of the host has in this tree. One whose id Options.IDs
// does not map is nobody's.
func (fs *FS) owner(uid, gid uint32) (cred.UID, cred.GID) {
	if fs.ids == nil {
		return cred.UID(uid), cred.GID(gid)
	}
	u, ok := fs.ids.ToUID(uid)
	if !ok {
		u = cred.NoUID
	}
	g, ok := fs.ids.ToGID(gid)
	if !ok {
		g = cred.NoGID
	}
	return u, g
}

// hostOwner is the reverse of owner: EOVERFLOW for ids to which nothing is mapped, as Linux
// has it for idmapped mounts.
func (fs *FS) hostOwner(uid cred.UID, gid cred.GID) (u, g uint32, err error) {
	if fs.ids == nil {
		return uint32(uid), uint32(gid), nil
	}
	u, known := fs.ids.FromUID(uid)
	g, ok := fs.ids.FromGID(gid)
	if !known || !ok {
		return 0, 0, unix.EOVERFLOW
	}
	return u, g, nil
}

// newOwner is vfs.InitOwner for what ctx makes in the directory n, with the host's ids.
func (n *node) newOwner(ctx *vfs.Context, mode uint32) (uid, gid, newMode uint32, err error) {
	u, g, newMode := vfs.InitOwner(ctx, &n.Inode, mode)
	uid, gid, err = n.fs.hostOwner(u, g)
	return uid, gid, newMode, err
}
