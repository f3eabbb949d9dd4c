package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// receive receives into ctx.Seq and m, waiting if it has to.
func receive(t *kernel.Task, f *vfs.File, s socket.Socket, m *socket.Message, flags int) (int, error) {
	ctx := t.FSContext()
	block := flags&(unix.MSG_DONTWAIT|unix.MSG_ERRQUEUE|unix.MSG_OOB) == 0 && !f.Nonblocking()
	if !block {
		flags |= unix.MSG_DONTWAIT
	}
	n, err := s.Receive(ctx, &ctx.Seq, m, flags)
	if block && (err == unix.EAGAIN || err == nil && wantsMore(t, s, m, flags, n)) {
		return receiveRest(t, s, m, flags, n)
	}
	return n, err
}

// wantsMore reports whether a receive goes on although n bytes have come
// (MSG_WAITALL).
func wantsMore(t *kernel.Task, s socket.Socket, m *socket.Message, flags, n int) bool {
	return flags&(unix.MSG_WAITALL|unix.MSG_PEEK) == unix.MSG_WAITALL && s.Common().Type == unix.SOCK_STREAM &&
		n > 0 && t.FSContext().Seq.Len() > 0 && m.Control.Files == nil && m.Flags&unix.MSG_OOB == 0
}

// receiveRest goes on with a receive, waiting for data.
func receiveRest(t *kernel.Task, s socket.Socket, m *socket.Message, flags, done int) (int, error) {
	ctx := t.FSContext()
	timeout := s.Common().ReceiveTimeout.Load()
	deadline := socketDeadline(timeout)
	e := t.WaitEntry()
	s.Register(e, wait.Readable)
	defer s.Unregister(e)
	for {
		n, err := s.Receive(ctx, &ctx.Seq, m, flags)
		done += n
		if err == nil && !wantsMore(t, s, m, flags, n) {
			return done, nil
		}
		if err == nil {
			continue
		}
		if err == unix.EAGAIN {
			err = blockSocket(t, deadline, timeout)
		}
		if err != nil {
			if done > 0 {
				return done, nil
			}
			return 0, err
		}
	}
}

// sysRecvfrom is recvfrom(2).
func sysRecvfrom(t *kernel.Task, a kernel.Args) (uint64, error) {
	t.FSContext().Seq = usermem.Single(t.Memory(), a.Ptr(1), a.Size(2))
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	m := getMessage()
	defer putMessage(m)
	n, err := receive(t, f, s, m, int(a.Int(3))&^msgCompat)
	m.Control.Drop()
	if err != nil {
		return 0, err
	}
	if p := a.Ptr(4); p != 0 {
		if err := putAddr(t, p, a.Ptr(5), m.Addr); err != nil {
			return 0, err
		}
	}
	return uint64(n), nil
}

// sysRecvmsg is recvmsg(2).
func sysRecvmsg(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := int(a.Int(2))
	if flags&msgCompat != 0 {
		return 0, unix.EINVAL
	}
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	n, _, err := recvmsg(t, f, s, a.Ptr(1), flags)
	return uint64(n), err
}

// recvmsg receives into the struct msghdr at addr. out are the flags that it got.
func recvmsg(t *kernel.Task, f *vfs.File, s socket.Socket, addr uint64, flags int) (n, out int, err error) {
	h, err := getMsghdr(t, addr)
	if err != nil {
		return 0, 0, err
	}
	m := getMessage()
	defer putMessage(m)
	n, err = receive(t, f, s, m, flags)
	if err != nil {
		m.Control.Drop()
		return 0, 0, err
	}
	length, truncated, err := putControl(t, s, m, h.control, h.controllen, flags)
	if err != nil {
		return 0, 0, err
	}
	if truncated {
		m.Flags |= unix.MSG_CTRUNC
	}
	if h.name != 0 {
		if k := min(int(h.namelen), len(m.Addr)); k > 0 {
			if err := copyOut(t, h.name, m.Addr[:k]); err != nil {
				return 0, 0, err
			}
		}
		if err := putUint32(t, addr+msgNamelenOff, uint32(len(m.Addr))); err != nil {
			return 0, 0, err
		}
	}
	out = m.Flags | flags&unix.MSG_CMSG_CLOEXEC
	if err := putUint32(t, addr+msgFlagsOff, uint32(out)); err != nil {
		return 0, 0, err
	}
	return n, out, putUint64(t, addr+msgControlOff, length)
}

// sysRecvmmsg is recvmmsg(2).
func sysRecvmmsg(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := int(a.Int(3))
	if flags&msgCompat != 0 {
		return 0, unix.EINVAL
	}
	deadline := int64(clock.Never)
	timeout := a.Ptr(4)
	if timeout != 0 {
		ns, err := getTimespec(t, timeout)
		if err != nil {
			return 0, err
		}
		if ns != clock.Never {
			deadline = clock.After(ns)
		}
	}
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	if err := takeError(t, s); err != nil {
		return 0, err
	}
	done, err := receiveMany(t, f, s, a.Ptr(1), uint64(a.Uint(2)), flags, deadline)
	if done == 0 {
		return 0, err
	}
	if timeout != 0 && deadline != clock.Never {
		if err := putTimespec(t, timeout, max(deadline-clock.Monotonic(), 0)); err != nil {
			return 0, err
		}
	}
	return done, nil
}

// takeError returns the socket's pending error and clears it.
func takeError(t *kernel.Task, s socket.Socket) error {
	v, err := socket.Get(t.FSContext(), s, unix.SOL_SOCKET, unix.SO_ERROR, 4)
	if err != nil {
		return err
	}
	if e := le.Uint32(v); e != 0 {
		return unix.Errno(e)
	}
	return nil
}

// receiveMany receives up to count messages until the deadline, which it looks at
// after each.
func receiveMany(t *kernel.Task, f *vfs.File, s socket.Socket, addr, count uint64, flags int, deadline int64) (done uint64, err error) {
	for ; done < min(count, maxMessages); done++ {
		n, out, err := recvmsg(t, f, s, addr+done*mmsghdrSize, flags&^unix.MSG_WAITFORONE)
		if err == nil {
			err = putUint32(t, addr+done*mmsghdrSize+mmsgLenOff, uint32(n))
		}
		if err != nil {
			if e, ok := err.(unix.Errno); ok && done > 0 && e != unix.EAGAIN && e < kernel.ErrRestartSys {
				s.Common().Err.Store(int32(e))
			}
			return done, err
		}
		if flags&unix.MSG_WAITFORONE != 0 {
			flags |= unix.MSG_DONTWAIT
		}
		if out&unix.MSG_OOB != 0 || clock.Monotonic() >= deadline {
			return done + 1, nil
		}
	}
	return done, nil
}
