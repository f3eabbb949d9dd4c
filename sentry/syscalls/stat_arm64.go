package syscalls

import "golang.org/x/sys/unix"

// encodeStat writes st as struct stat of arm64 and returns its size.
func encodeStat(b []byte, st *unix.Statx_t) int {
	const size = 128
	clear(b[:size])
	le.PutUint64(b[0:], unix.Mkdev(st.Dev_major, st.Dev_minor))
	le.PutUint64(b[8:], st.Ino)
	le.PutUint32(b[16:], uint32(st.Mode))
	le.PutUint32(b[20:], st.Nlink)
	le.PutUint32(b[24:], st.Uid)
	le.PutUint32(b[28:], st.Gid)
	le.PutUint64(b[32:], unix.Mkdev(st.Rdev_major, st.Rdev_minor))
	le.PutUint64(b[48:], st.Size)
	le.PutUint32(b[56:], st.Blksize)
	le.PutUint64(b[64:], st.Blocks)
	for i, ts := range [...]*unix.StatxTimestamp{&st.Atime, &st.Mtime, &st.Ctime} {
		le.PutUint64(b[72+16*i:], uint64(ts.Sec))
		le.PutUint64(b[80+16*i:], uint64(ts.Nsec))
	}
	return size
}
