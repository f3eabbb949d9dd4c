package gofer

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const (
	direntName = 19  // offset of d_name in struct linux_dirent64 (getdents(2))
	direntMax  = 280 // bytes of the longest one

	// An entry of the reply takes 133 bytes and its name, the shortest
	// linux_dirent64 24 bytes for a name of up to 4: so whatever getdents64
	// puts into a sixth of the room that is left fits the reply.
	readdirRatio = 6
)

// readdir: dir, cookie uint64, max uint32 -> next cookie uint64, end uint32,
// count uint32, count times (ino uint64, cookie uint64, type uint8, has attr
// uint8, attr, name).
func (w *worker) readdir(d *decoder) (int, unix.Errno) {
	h := d.u64()
	cookie := d.u64()
	limit := int(d.u32())
	if !d.ok() {
		return -1, unix.EPROTO
	}
	n, e := w.directory(h)
	if e != 0 {
		return -1, e
	}
	defer w.s.nodes.put(n)
	st := &n.stream
	st.Lock()
	defer st.Unlock()
	if st.fd < 0 {
		if st.fd, e = openat(n.fd, dot, unix.O_RDONLY|unix.O_DIRECTORY, 0); e != 0 {
			return -1, e
		}
		st.cookie = 0
	}
	if st.cookie != cookie {
		if e = lseek(st.fd, cookie); e != 0 {
			return -1, e
		}
		st.cookie = cookie
	}

	limit = min(max(limit, 2*readdirRatio*direntMax), replyArea) - replyHeader
	head := w.rep.room(16)
	count, end := 0, uint32(0)
	for {
		size := min((limit-(w.rep.n-replyHeader))/readdirRatio, len(w.dir))
		if size < direntMax {
			break
		}
		got, e := getdents(st.fd, w.dir[:size])
		if e != 0 {
			// The position is lost; what was read so far is good.
			closeFD(st.fd)
			st.fd = -1
			if count > 0 {
				break
			}
			return -1, e
		}
		if got == 0 {
			end = 1
			closeFD(st.fd)
			st.fd = -1
			break
		}
		count += w.putDirents(n.fd, w.dir[:got], &st.cookie)
	}
	binary.LittleEndian.PutUint64(head[0:], st.cookie)
	binary.LittleEndian.PutUint32(head[8:], end)
	binary.LittleEndian.PutUint32(head[12:], uint32(count))
	return -1, 0
}

var dot = []byte(".\x00")

// putDirents encodes what getdents64 returned, with the attributes of each
// entry, leaves out "." and "..", and returns how many there were.
func (w *worker) putDirents(dir int, b []byte, cookie *uint64) (count int) {
	for len(b) >= direntName {
		ino := binary.LittleEndian.Uint64(b)
		off := binary.LittleEndian.Uint64(b[8:])
		reclen := int(binary.LittleEndian.Uint16(b[16:]))
		typ := b[18]
		name := b[direntName:reclen]
		b = b[reclen:]
		*cookie = off
		n := 0
		for name[n] != 0 {
			n++
		}
		if !validName(name[:n]) {
			continue
		}
		has := uint8(1)
		switch statx(dir, name[:n+1], unix.AT_SYMLINK_NOFOLLOW, &w.st) {
		case 0:
		case unix.ENOENT:
			continue // removed meanwhile
		default:
			has = 0
			w.st = unix.Statx_t{}
		}
		w.rep.u64(ino)
		w.rep.u64(off)
		w.rep.u8(typ)
		w.rep.u8(has)
		w.rep.putStatx(&w.st)
		putString(&w.rep, name[:n])
		count++
	}
	return count
}
