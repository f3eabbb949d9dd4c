package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// A sendQueuer is a socket that waits elsewhere than on its own queue to send.
type sendQueuer interface {
	SendQueue(ctx *vfs.Context, addr []byte) *wait.Queue
}

// send sends ctx.Seq with m, waiting if it has to. It lets go of the files that m has
// and nobody took.
func send(t *kernel.Task, f *vfs.File, s socket.Socket, m *socket.Message, flags int) (int, error) {
	ctx := t.FSContext()
	block := flags&unix.MSG_DONTWAIT == 0 && !f.Nonblocking()
	if !block {
		flags |= unix.MSG_DONTWAIT
	}
	stream := s.Common().Type == unix.SOCK_STREAM
	n, err := s.Send(ctx, &ctx.Seq, m, flags)
	if err == nil {
		m.Control.Files = nil
	}
	if block && (err == unix.EAGAIN || err == nil && stream && ctx.Seq.Len() > 0) {
		n, err = sendRest(t, s, m, flags, n)
	}
	m.Control.Drop()
	if c, ok := s.(socket.Completer); ok && err == nil && flags&unix.MSG_ZEROCOPY != 0 {
		c.Sent(n)
	}
	if err == unix.EPIPE && stream && flags&unix.MSG_NOSIGNAL == 0 {
		t.SignalSelf(unix.SIGPIPE)
	}
	return n, err
}

// sendRest goes on with a send of which done bytes have gone, waiting for room.
func sendRest(t *kernel.Task, s socket.Socket, m *socket.Message, flags, done int) (int, error) {
	ctx := t.FSContext()
	timeout := s.Common().SendTimeout.Load()
	deadline := socketDeadline(timeout)
	stream := s.Common().Type == unix.SOCK_STREAM
	e := t.WaitEntry()
	if q, ok := s.(sendQueuer); ok && !stream {
		if queue := q.SendQueue(ctx, m.Addr); queue != nil {
			queue.Register(e, wait.Writable)
			defer queue.Unregister(e)
		}
	} else {
		s.Register(e, wait.Writable)
		defer s.Unregister(e)
	}
	for {
		n, err := s.Send(ctx, &ctx.Seq, m, flags)
		done += n
		if err == nil {
			m.Control.Files = nil
			if !stream || ctx.Seq.Len() == 0 {
				return done, nil
			}
			if n > 0 {
				continue
			}
		}
		if err == nil || err == unix.EAGAIN {
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

// sysSendto is sendto(2).
func sysSendto(t *kernel.Task, a kernel.Args) (uint64, error) {
	t.FSContext().Seq = usermem.Single(t.Memory(), a.Ptr(1), a.Size(2))
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	m := getMessage()
	defer putMessage(m)
	if p := a.Ptr(4); p != 0 {
		if m.Addr, err = getAddr(t, p, a.Int(5), &m.Name); err != nil {
			return 0, err
		}
		if len(m.Addr) == 0 {
			m.Addr = nil
		}
	}
	n, err := send(t, f, s, m, int(a.Int(3))&^msgCompat)
	if err == nil {
		t.LendRoom(a.Int(0), f, n)
	}
	return uint64(n), err
}

// sysSendmsg is sendmsg(2).
func sysSendmsg(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := int(a.Int(2))
	if flags&msgCompat != 0 {
		return 0, unix.EINVAL
	}
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	n, err := sendmsg(t, f, s, a.Ptr(1), flags)
	return uint64(n), err
}

// sendmsg sends the struct msghdr at addr.
func sendmsg(t *kernel.Task, f *vfs.File, s socket.Socket, addr uint64, flags int) (int, error) {
	h, err := getMsghdr(t, addr)
	if err != nil {
		return 0, err
	}
	m := getMessage()
	defer putMessage(m)
	if h.namelen > 0 {
		if m.Addr, err = getAddr(t, h.name, h.namelen, &m.Name); err != nil {
			return 0, err
		}
	}
	if err := getControl(t, s.Common().Family, h.control, h.controllen, &m.Control); err != nil {
		return 0, err
	}
	return send(t, f, s, m, flags)
}

// maxMessages is UIO_MAXIOV as the limit of sendmmsg(2) and recvmmsg(2).
const maxMessages = 1024

// sysSendmmsg is sendmmsg(2).
func sysSendmmsg(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := int(a.Int(3))
	if flags&msgCompat != 0 {
		return 0, unix.EINVAL
	}
	s, f, err := getSocket(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	count := min(uint64(a.Uint(2)), maxMessages)
	for i := range count {
		addr := a.Ptr(1) + i*mmsghdrSize
		n, err := sendmsg(t, f, s, addr, flags)
		if err == nil {
			err = putUint32(t, addr+mmsgLenOff, uint32(n))
		}
		if err != nil {
			if i > 0 {
				return i, nil
			}
			return 0, err
		}
		if t.Interrupted() && i+1 < count {
			return i + 1, nil
		}
	}
	return count, nil
}
