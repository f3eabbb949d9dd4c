package gofer

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Node is the handle of a file, valid on the connection that it came from
// until it is released. It stays valid when the file is renamed or unlinked.
// The zero Node names nothing.
type Node uint64

// Timestamp is a point in time since the epoch.
type Timestamp struct {
	Sec  int64
	Nsec uint32 // in SetAttr also unix.UTIME_NOW or unix.UTIME_OMIT
}

// Attr holds the attributes of a file with the meaning that statx(2) gives
// them. Btime is zero where the host's file system has none.
type Attr struct {
	Ino                  uint64
	DevMajor, DevMinor   uint32
	Mode                 uint32 // S_IFMT and permission bits
	Nlink                uint32
	UID, GID             uint32
	RdevMajor, RdevMinor uint32
	Size                 uint64
	Blocks               uint64 // of 512 bytes
	Blksize              uint32
	Atime, Mtime         Timestamp
	Ctime, Btime         Timestamp
}

// IsDir reports whether the file is a directory.
func (a *Attr) IsDir() bool { return a.Mode&unix.S_IFMT == unix.S_IFDIR }

// IsSymlink reports whether the file is a symbolic link.
func (a *Attr) IsSymlink() bool { return a.Mode&unix.S_IFMT == unix.S_IFLNK }

// IsRegular reports whether the file is a regular file.
func (a *Attr) IsRegular() bool { return a.Mode&unix.S_IFMT == unix.S_IFREG }

// The attributes that a SetAttr changes.
const (
	SetMode = 1 << iota
	SetUID
	SetGID
	SetSize
	SetAtime
	SetMtime

	setAll = SetMode | SetUID | SetGID | SetSize | SetAtime | SetMtime
)

// SetAttr says which attributes to change (Valid, an or of SetMode and so on)
// and to what. The permission bits of Mode count, its type does not.
type SetAttr struct {
	Valid        uint32
	Mode         uint32
	UID, GID     uint32
	Size         uint64
	Atime, Mtime Timestamp
}

// putStatx encodes the answer of statx(2) as an Attr.
func (e *encoder) putStatx(st *unix.Statx_t) { e.putWatched(st, 0) }

// putWatched is putStatx of a directory that comes with a handle and is watched.
func (e *encoder) putWatched(st *unix.Statx_t, watch WatchID) {
	p := e.room(attrSize)
	if p == nil {
		return
	}
	le := binary.LittleEndian
	le.PutUint64(p[0:], st.Ino)
	le.PutUint32(p[8:], st.Dev_major)
	le.PutUint32(p[12:], st.Dev_minor)
	le.PutUint32(p[16:], uint32(st.Mode))
	le.PutUint32(p[20:], st.Nlink)
	le.PutUint32(p[24:], st.Uid)
	le.PutUint32(p[28:], st.Gid)
	le.PutUint32(p[32:], st.Rdev_major)
	le.PutUint32(p[36:], st.Rdev_minor)
	le.PutUint64(p[40:], st.Size)
	le.PutUint64(p[48:], st.Blocks)
	le.PutUint32(p[56:], st.Blksize)
	putTime(p[60:], &st.Atime)
	putTime(p[72:], &st.Mtime)
	putTime(p[84:], &st.Ctime)
	var btime unix.StatxTimestamp
	if st.Mask&unix.STATX_BTIME != 0 {
		btime = st.Btime
	}
	putTime(p[96:], &btime)
	le.PutUint32(p[108:], uint32(watch))
}

func putTime(p []byte, t *unix.StatxTimestamp) {
	binary.LittleEndian.PutUint64(p, uint64(t.Sec))
	binary.LittleEndian.PutUint32(p[8:], t.Nsec)
}

// attr takes an Attr, and returns the watch of a directory that has come with a handle.
func (d *decoder) attr(a *Attr) WatchID {
	p := d.take(attrSize)
	if p == nil {
		return 0
	}
	le := binary.LittleEndian
	a.Ino = le.Uint64(p[0:])
	a.DevMajor = le.Uint32(p[8:])
	a.DevMinor = le.Uint32(p[12:])
	a.Mode = le.Uint32(p[16:])
	a.Nlink = le.Uint32(p[20:])
	a.UID = le.Uint32(p[24:])
	a.GID = le.Uint32(p[28:])
	a.RdevMajor = le.Uint32(p[32:])
	a.RdevMinor = le.Uint32(p[36:])
	a.Size = le.Uint64(p[40:])
	a.Blocks = le.Uint64(p[48:])
	a.Blksize = le.Uint32(p[56:])
	a.Atime = getTime(p[60:])
	a.Mtime = getTime(p[72:])
	a.Ctime = getTime(p[84:])
	a.Btime = getTime(p[96:])
	return WatchID(le.Uint32(p[108:]))
}

func getTime(p []byte) Timestamp {
	return Timestamp{
		Sec:  int64(binary.LittleEndian.Uint64(p)),
		Nsec: binary.LittleEndian.Uint32(p[8:]),
	}
}

func (e *encoder) putSetAttr(a *SetAttr) {
	e.u32(a.Valid)
	e.u32(a.Mode)
	e.u32(a.UID)
	e.u32(a.GID)
	e.u64(a.Size)
	e.u64(uint64(a.Atime.Sec))
	e.u32(a.Atime.Nsec)
	e.u64(uint64(a.Mtime.Sec))
	e.u32(a.Mtime.Nsec)
}

func (d *decoder) setAttr(a *SetAttr) {
	a.Valid = d.u32()
	a.Mode = d.u32()
	a.UID = d.u32()
	a.GID = d.u32()
	a.Size = d.u64()
	a.Atime.Sec = int64(d.u64())
	a.Atime.Nsec = d.u32()
	a.Mtime.Sec = int64(d.u64())
	a.Mtime.Nsec = d.u32()
}
