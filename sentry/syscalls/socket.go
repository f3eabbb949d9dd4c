package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/sentry/socket/families"
	"casemate/sentry/socket/inet"
	"casemate/vfs"
	"casemate/vfs/wait"
)

// getSocket returns the socket of a descriptor and its file with a reference: EBADF,
// ENOTSOCK.
func getSocket(t *kernel.Task, fd int32) (socket.Socket, *vfs.File, error) {
	f, err := getFile(t, fd)
	if err != nil {
		return nil, nil, err
	}
	s, err := socket.Of(f)
	if err != nil {
		f.DecRef()
		return nil, nil, err
	}
	return s, f, nil
}

// socketFlags takes the flags out of the type argument of socket(2). EINVAL.
func socketFlags(typ int32) (kind int, flags uint32, cloexec bool, err error) {
	const kinds = 0xf // SOCK_TYPE_MASK
	if typ&^(kinds|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK) != 0 {
		return 0, 0, false, unix.EINVAL
	}
	return int(typ & kinds), uint32(typ & unix.SOCK_NONBLOCK), typ&unix.SOCK_CLOEXEC != 0, nil
}

// sysSocket is socket(2).
func sysSocket(t *kernel.Task, a kernel.Args) (uint64, error) {
	typ, flags, cloexec, err := socketFlags(a.Int(1))
	if err != nil {
		return 0, err
	}
	s, err := families.New(t, int(a.Int(0)), typ, int(a.Int(2)))
	if err != nil {
		return 0, err
	}
	return addFile(t, families.NewFile(t, s, flags), cloexec)
}

// sysSocketpair is socketpair(2).
func sysSocketpair(t *kernel.Task, a kernel.Args) (uint64, error) {
	typ, flags, cloexec, err := socketFlags(a.Int(1))
	if err != nil {
		return 0, err
	}
	fds := t.FDTable()
	var pair [2]int32
	for i := range pair {
		if pair[i], err = fds.Reserve(0, maxFDs(t)); err != nil {
			if i == 1 {
				fds.Unreserve(pair[0])
			}
			return 0, err
		}
	}
	var b [8]byte
	le.PutUint32(b[0:], uint32(pair[0]))
	le.PutUint32(b[4:], uint32(pair[1]))
	err = copyOut(t, a.Ptr(3), b[:])
	var ends [2]socket.Socket
	if err == nil {
		ends[0], ends[1], err = families.Pair(t, int(a.Int(0)), typ, int(a.Int(2)))
	}
	if err != nil {
		fds.Unreserve(pair[0])
		fds.Unreserve(pair[1])
		return 0, err
	}
	for i, s := range ends {
		fds.Install(pair[i], families.NewFile(t, s, flags), cloexec)
	}
	return 0, nil
}

// getAddr reads a socket address of length bytes into buf. EINVAL, EFAULT.
func getAddr(t *kernel.Task, addr uint64, length int32, buf *[socket.MaxAddr]byte) ([]byte, error) {
	if length < 0 || length > socket.MaxAddr {
		return nil, unix.EINVAL
	}
	p := buf[:length]
	if err := copyIn(t, addr, p); err != nil {
		return nil, err
	}
	return p, nil
}

// putAddr writes a socket address to a buffer at addr whose length is at lengthAddr,
// cut to that length; the length becomes the true one. EINVAL, EFAULT.
func putAddr(t *kernel.Task, addr, lengthAddr uint64, name []byte) error {
	length, err := getUint32(t, lengthAddr)
	if err != nil {
		return err
	}
	if int32(length) < 0 {
		return unix.EINVAL
	}
	if n := min(int(length), len(name)); n > 0 {
		if err := copyOut(t, addr, name[:n]); err != nil {
			return err
		}
	}
	return putUint32(t, lengthAddr, uint32(len(name)))
}

// sysBind is bind(2).
func sysBind(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	var buf [socket.MaxAddr]byte
	addr, err := getAddr(t, a.Ptr(1), a.Int(2), &buf)
	if err != nil {
		return 0, err
	}
	return 0, s.Bind(t.FSContext(), addr)
}

// sysListen is listen(2).
func sysListen(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	return 0, s.Listen(t.FSContext(), int(a.Int(1)))
}

// A connectQueuer is a socket whose Connect may have to wait for the listener.
type connectQueuer interface {
	ConnectQueue(ctx *vfs.Context, addr []byte) *wait.Queue
}

// sysConnect is connect(2).
func sysConnect(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	var buf [socket.MaxAddr]byte
	addr, err := getAddr(t, a.Ptr(1), a.Int(2), &buf)
	if err != nil {
		return 0, err
	}
	err = s.Connect(t.FSContext(), addr)
	if f.Nonblocking() {
		return 0, err
	}
	timeout := s.Common().SendTimeout.Load()
	switch err {
	case unix.EAGAIN:
		if q, ok := s.(connectQueuer); ok {
			return 0, waitConnectQueue(t, s, q, addr, timeout)
		}
	case unix.EINPROGRESS, unix.EALREADY:
		return 0, waitConnected(t, s, timeout, err)
	}
	return 0, err
}

// waitConnectQueue calls Connect until the listener has room.
func waitConnectQueue(t *kernel.Task, s socket.Socket, c connectQueuer, addr []byte, timeout int64) error {
	deadline := socketDeadline(timeout)
	for {
		q := c.ConnectQueue(t.FSContext(), addr)
		if q != nil {
			q.Register(t.WaitEntry(), wait.Out)
		}
		err := s.Connect(t.FSContext(), addr)
		wait := err == unix.EAGAIN && q != nil
		if wait {
			err = blockSocket(t, deadline, timeout)
		}
		if q != nil {
			q.Unregister(t.WaitEntry())
		}
		if !wait || err != nil {
			return err
		}
	}
}

// waitConnected waits for the end of a connect(2) that gave pending.
func waitConnected(t *kernel.Task, s socket.Socket, timeout int64, pending error) error {
	deadline := socketDeadline(timeout)
	e := t.WaitEntry()
	s.Register(e, wait.Writable)
	defer s.Unregister(e)
	for s.Readiness(wait.Writable) == 0 {
		if err := blockSocket(t, deadline, timeout); err != nil {
			if err == unix.EAGAIN {
				return pending
			}
			return err
		}
	}
	if err := takeError(t, s); err != nil {
		return err
	}
	if c, ok := s.(connectEnder); ok {
		c.Connected()
	}
	return nil
}

// A connectEnder is a socket that must know that a blocking connect(2) has succeeded.
type connectEnder interface{ Connected() }

// socketDeadline is the deadline of a wait that begins now; 0 is no time-out.
func socketDeadline(timeout int64) int64 {
	if timeout == 0 {
		return clock.Never
	}
	return clock.After(timeout)
}

// blockSocket blocks the task. EAGAIN when the time is over; if a signal came, EINTR
// with a time-out, else a restart code.
func blockSocket(t *kernel.Task, deadline, timeout int64) error {
	err := t.Block(deadline)
	switch {
	case err == unix.ETIMEDOUT:
		return unix.EAGAIN
	case err == kernel.ErrRestartSys && timeout != 0:
		return unix.EINTR
	}
	return err
}

// sysAccept is accept(2).
func sysAccept(t *kernel.Task, a kernel.Args) (uint64, error) {
	return accept(t, a.Int(0), a.Ptr(1), a.Ptr(2), 0)
}

// sysAccept4 is accept4(2).
func sysAccept4(t *kernel.Task, a kernel.Args) (uint64, error) {
	return accept(t, a.Int(0), a.Ptr(1), a.Ptr(2), a.Int(3))
}

func accept(t *kernel.Task, fd int32, addr, length uint64, flags int32) (uint64, error) {
	f, err := getFile(t, fd)
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	if flags&^(unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK) != 0 {
		return 0, unix.EINVAL
	}
	s, err := socket.Of(f)
	if err != nil {
		return 0, err
	}
	newfd, err := t.FDTable().Reserve(0, maxFDs(t))
	if err != nil {
		return 0, err
	}
	other, peer, err := s.Accept(t.FSContext())
	if err == unix.EAGAIN && !f.Nonblocking() {
		other, peer, err = waitAccept(t, s)
	}
	if err != nil {
		t.FDTable().Unreserve(newfd)
		return 0, err
	}
	file := families.NewFile(t, other, uint32(flags&unix.SOCK_NONBLOCK))
	if addr != 0 {
		if err := putAddr(t, addr, length, peer); err != nil {
			t.FDTable().Unreserve(newfd)
			file.DecRef()
			return 0, err
		}
	}
	t.FDTable().Install(newfd, file, flags&unix.SOCK_CLOEXEC != 0)
	return uint64(newfd), nil
}

// waitAccept waits for a connection.
func waitAccept(t *kernel.Task, s socket.Socket) (socket.Socket, []byte, error) {
	timeout := s.Common().ReceiveTimeout.Load()
	deadline := socketDeadline(timeout)
	e := t.WaitEntry()
	s.Register(e, wait.Readable)
	defer s.Unregister(e)
	for {
		other, peer, err := s.Accept(t.FSContext())
		if err != unix.EAGAIN {
			return other, peer, err
		}
		if err := blockSocket(t, deadline, timeout); err != nil {
			return nil, nil, err
		}
	}
}

// sysGetsockname is getsockname(2).
func sysGetsockname(t *kernel.Task, a kernel.Args) (uint64, error) {
	return socketName(t, a, socket.Socket.LocalAddr)
}

// sysGetpeername is getpeername(2).
func sysGetpeername(t *kernel.Task, a kernel.Args) (uint64, error) {
	return socketName(t, a, socket.Socket.PeerAddr)
}

func socketName(t *kernel.Task, a kernel.Args, get func(socket.Socket) ([]byte, error)) (uint64, error) {
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	name, err := get(s)
	if err != nil {
		return 0, err
	}
	return 0, putAddr(t, a.Ptr(1), a.Ptr(2), name)
}

// sysShutdown is shutdown(2).
func sysShutdown(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	return 0, s.Shutdown(int(a.Int(1)))
}

// maxOption is the longest option value that is read (net.core.optmem_max).
const maxOption = 131072

// sysSetsockopt is setsockopt(2).
func sysSetsockopt(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	length := a.Int(4)
	if length < 0 {
		return 0, unix.EINVAL
	}
	if length > maxOption && !(inet.IsTable(int(a.Int(1)), int(a.Int(2))) && t.FSContext().Cred.HasCap(unix.CAP_NET_ADMIN) && length <= inet.MaxTable) {
		return 0, unix.ENOBUFS
	}
	value := make([]byte, length)
	if err := copyIn(t, a.Ptr(3), value); err != nil {
		return 0, err
	}
	return 0, socket.Set(t.FSContext(), s, int(a.Int(1)), int(a.Int(2)), value)
}

// getOption gets an option for which the caller has length bytes at addr.
func getOption(t *kernel.Task, s socket.Socket, level, name int, addr uint64, length int) ([]byte, error) {
	if a, ok := s.(socket.Asker); ok && length >= 4 {
		var room [socket.MaxAsked]byte
		value := room[:min(length, len(room))]
		if err := copyIn(t, addr, value); err != nil {
			return nil, err
		}
		if answer, asked, err := a.Ask(t.FSContext(), level, name, value, length); asked {
			return answer, err
		}
	}
	return socket.Get(t.FSContext(), s, level, name, length)
}

// sysGetsockopt is getsockopt(2).
func sysGetsockopt(t *kernel.Task, a kernel.Args) (uint64, error) {
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	n, err := getUint32(t, a.Ptr(4))
	if err != nil {
		return 0, err
	}
	length := int(int32(n))
	if length < 0 {
		return 0, unix.EINVAL
	}
	value, err := getOption(t, s, int(a.Int(1)), int(a.Int(2)), a.Ptr(3), length)
	if err != nil {
		return 0, err
	}
	value = value[:min(len(value), length)]
	if err := copyOut(t, a.Ptr(3), value); err != nil {
		return 0, err
	}
	return 0, putUint32(t, a.Ptr(4), uint32(len(value)))
}
