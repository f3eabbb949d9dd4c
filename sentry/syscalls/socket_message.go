package syscalls

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/vfs/cred"
)

// messages are Messages that are not in use: a call would otherwise allocate one, as
// it goes through an interface.
var messages = sync.Pool{New: func() any { return new(socket.Message) }}

func getMessage() *socket.Message { return messages.Get().(*socket.Message) }

func putMessage(m *socket.Message) {
	m.Reset()
	messages.Put(m)
}

// Sizes of struct msghdr, struct mmsghdr and struct cmsghdr, and offsets in them.
const (
	msghdrSize     = 56
	mmsghdrSize    = 64
	mmsgLenOff     = 56
	msgNamelenOff  = 8
	msgControlOff  = 40
	msgFlagsOff    = 48
	cmsghdrSize    = 16
	maxFilesPassed = 253 // SCM_MAX_FD
	ucredSize      = 12
)

// msgCompat is MSG_CMSG_COMPAT, which only the kernel may set.
const msgCompat = -1 << 31

// A msghdr is a struct msghdr.
type msghdr struct {
	name       uint64
	namelen    int32
	iov        uint64
	iovlen     uint64
	control    uint64
	controllen uint64
}

// getMsghdr reads a struct msghdr and its vector, into ctx.Seq. EFAULT, EINVAL,
// EMSGSIZE.
func getMsghdr(t *kernel.Task, addr uint64) (msghdr, error) {
	var b [msghdrSize]byte
	if err := copyIn(t, addr, b[:]); err != nil {
		return msghdr{}, err
	}
	h := msghdr{
		name: le.Uint64(b[0:]), namelen: int32(le.Uint32(b[8:])), iov: le.Uint64(b[16:]), iovlen: le.Uint64(b[24:]),
		control: le.Uint64(b[32:]), controllen: le.Uint64(b[40:]),
	}
	if h.name == 0 {
		h.namelen = 0
	}
	if h.namelen < 0 {
		return h, unix.EINVAL
	}
	h.namelen = min(h.namelen, socket.MaxAddr)
	if h.iovlen > maxIOV {
		return h, unix.EMSGSIZE
	}
	return h, setVector(t, h.iov, h.iovlen)
}

// cmsgAlign is CMSG_ALIGN.
func cmsgAlign(n uint64) uint64 { return (n + 7) &^ 7 }

// getControl reads control messages into c. For the families that pass files and
// credentials it resolves those. ENOBUFS, EFAULT, EINVAL, EBADF, EPERM, ESRCH.
func getControl(t *kernel.Task, family int, addr, length uint64, c *socket.Control) (err error) {
	if length > maxOption {
		return unix.ENOBUFS
	}
	if length == 0 {
		return nil
	}
	b := make([]byte, length)
	if err := copyIn(t, addr, b); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.Drop()
		}
	}()
	return eachItem(b, func(it socket.Item) error {
		if family != unix.AF_UNIX && family != unix.AF_NETLINK {
			c.Other = append(c.Other, it)
		} else if it.Level == unix.SOL_SOCKET {
			return getScm(t, family, it, c)
		}
		return nil
	})
}

// eachItem calls f with each control message of a buffer until it gives an error. EINVAL if one is
// malformed.
func eachItem(b []byte, f func(socket.Item) error) error {
	length := uint64(len(b))
	for off := uint64(0); off+cmsghdrSize <= length; {
		n := le.Uint64(b[off:])
		if n < cmsghdrSize || n > length-off {
			return unix.EINVAL
		}
		if err := f(socket.Item{Level: int32(le.Uint32(b[off+8:])), Type: int32(le.Uint32(b[off+12:])), Data: b[off+cmsghdrSize : off+n]}); err != nil {
			return err
		}
		off += cmsgAlign(n)
	}
	return nil
}

// getScm reads SCM_RIGHTS or SCM_CREDENTIALS.
func getScm(t *kernel.Task, family int, it socket.Item, c *socket.Control) error {
	switch it.Type {
	case unix.SCM_RIGHTS:
		if family != unix.AF_UNIX {
			return unix.EINVAL
		}
		n := len(it.Data) / 4
		if n == 0 {
			return nil
		}
		if n+len(c.Files) > maxFilesPassed {
			return unix.EINVAL
		}
		for i := range n {
			f := t.FDTable().GetPath(int32(le.Uint32(it.Data[4*i:])))
			if f == nil {
				return unix.EBADF
			}
			c.Files = append(c.Files, f)
		}
		return nil
	case unix.SCM_CREDENTIALS:
		if len(it.Data) != ucredSize {
			return unix.EINVAL
		}
		got, err := checkCredentials(t, int32(le.Uint32(it.Data)), le.Uint32(it.Data[4:]), le.Uint32(it.Data[8:]))
		c.Cred = got
		return err
	}
	return unix.EINVAL
}

// checkCredentials returns the credentials that a task passes, if they are its own or
// it may lie. EINVAL, EPERM, ESRCH.
func checkCredentials(t *kernel.Task, pid int32, uid, gid uint32) (*socket.Credentials, error) {
	own := t.Credentials()
	u, ok := own.UserNS.ToUID(uid)
	g, okG := own.UserNS.ToGID(gid)
	if !ok || !okG {
		return nil, unix.EINVAL
	}
	tg := t.ThreadGroup()
	if pid != tg.ID(t.PIDNamespace()) {
		if !own.HasCap(unix.CAP_SYS_ADMIN) {
			return nil, unix.EPERM
		}
		if tg = t.PIDNamespace().ThreadGroup(pid); tg == nil {
			return nil, unix.ESRCH
		}
	}
	if u != own.RUID && u != own.EUID && u != own.SUID && !own.HasCap(unix.CAP_SETUID) {
		return nil, unix.EPERM
	}
	if g != own.RGID && g != own.EGID && g != own.SGID && !own.HasCap(unix.CAP_SETGID) {
		return nil, unix.EPERM
	}
	return &socket.Credentials{Process: tg, UID: uint32(u), GID: uint32(g), Groups: []cred.GID{}}, nil
}

// A controlWriter makes the control messages of recvmsg(2) in memory.
type controlWriter struct {
	b         []byte
	room      uint64 // what the buffer has room for
	truncated bool   // MSG_CTRUNC
}

// put appends a control message, cut to the room that there is (put_cmsg).
func (w *controlWriter) put(level, typ int32, data []byte) {
	if w.room < cmsghdrSize {
		w.truncated = true
		return
	}
	n := uint64(cmsghdrSize + len(data))
	if n > w.room {
		w.truncated = true
		n = w.room
		data = data[:n-cmsghdrSize]
	}
	w.b = le.AppendUint64(w.b, n)
	w.b = le.AppendUint32(w.b, uint32(level))
	w.b = le.AppendUint32(w.b, uint32(typ))
	w.b = append(w.b, data...)
	space := min(cmsgAlign(n), w.room)
	w.b = append(w.b, make([]byte, space-n)...)
	w.room -= space
}

// putFiles makes descriptors for files and appends them; what does not fit is let go
// of.
func (w *controlWriter) putFiles(t *kernel.Task, c *socket.Control, cloexec bool) {
	fit := 0
	if w.room > cmsghdrSize {
		fit = int(min((w.room-cmsghdrSize)/4, maxFilesPassed))
	}
	var fds []byte
	for len(fds)/4 < min(fit, len(c.Files)) {
		fd, err := t.FDTable().Add(c.Files[len(fds)/4], 0, cloexec, maxFDs(t))
		if err != nil {
			break
		}
		fds = le.AppendUint32(fds, uint32(fd))
	}
	taken := len(fds) / 4
	if taken > 0 {
		w.put(unix.SOL_SOCKET, unix.SCM_RIGHTS, fds)
	}
	if taken < len(c.Files) {
		w.truncated = true
	}
	c.Files = c.Files[taken:]
	c.Drop()
}

// putControl writes what came with a message to the caller's buffer, and returns how
// much of it that took and whether it did not fit.
func putControl(t *kernel.Task, s socket.Socket, m *socket.Message, addr, room uint64, flags int) (length uint64, truncated bool, err error) {
	c := &m.Control
	if c.Cred == nil && len(c.Files) == 0 && len(c.Other) == 0 {
		return 0, false, nil
	}
	if addr == 0 {
		room = 0
	}
	w := controlWriter{room: room}
	for _, it := range c.Other {
		w.put(it.Level, it.Type, it.Data)
	}
	if c.Cred != nil && s.Common().PassCred.Load() {
		w.put(unix.SOL_SOCKET, unix.SCM_CREDENTIALS, c.Cred.Ucred(t.FSContext()))
	}
	if len(c.Files) > 0 {
		w.putFiles(t, c, flags&unix.MSG_CMSG_CLOEXEC != 0)
	}
	if len(w.b) > 0 {
		err = copyOut(t, addr, w.b)
	}
	return uint64(len(w.b)), w.truncated, err
}
