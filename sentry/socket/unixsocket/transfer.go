package unixsocket

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/sentry/socket/netdev"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// Send implements socket.Socket.
func (s *Socket) Send(ctx *vfs.Context, src *usermem.Seq, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	if s.datagram() {
		return s.sendDatagram(ctx, src, m)
	}
	s.mu.Lock()
	to, state, noWrite, sndbuf := s.peer, s.state, s.noWrite, s.sndbuf
	k := mark{cred: m.Control.Cred}
	if k.cred == nil {
		k.cred = s.senderLocked(ctx)
	}
	s.mu.Unlock()
	if m.Addr != nil && s.common.Type == unix.SOCK_STREAM {
		if state == connected {
			return 0, unix.EISCONN
		}
		return 0, unix.EOPNOTSUPP
	}
	if state != connected {
		return 0, unix.ENOTCONN
	}
	if noWrite || to == nil {
		return 0, unix.EPIPE
	}
	if err := s.common.TakeError(); err != nil {
		return 0, err
	}
	if err := k.attach(ctx, s.names, m); err != nil {
		return 0, err
	}
	return k.put(to, src, sndbuf, true)
}

// attach gives the mark the message's files. ETOOMANYREFS if the user has too many on
// their way.
func (k *mark) attach(ctx *vfs.Context, names *Names, m *socket.Message) error {
	if len(m.Control.Files) == 0 {
		return nil
	}
	user := names.inFlight(ctx.Cred.RUID)
	if t, _ := ctx.Task.(*kernel.Task); t != nil && !ctx.Cred.HasCap(unix.CAP_SYS_RESOURCE) && !ctx.Cred.HasCap(unix.CAP_SYS_ADMIN) &&
		uint64(user.Load()) > t.ThreadGroup().Limits().Get(unix.RLIMIT_NOFILE).Cur {
		return unix.ETOOMANYREFS
	}
	user.Add(int64(len(m.Control.Files)))
	k.file = &filesInFlight{socket.Control{Files: m.Control.Files}, user}
	garbage.takeOff(m.Control.Files)
	return nil
}

// put sends the message to a queue.
func (k *mark) put(to *Socket, src *usermem.Seq, limit int, mutual bool) (int, error) {
	n, err := to.in.send(src, *k, limit, mutual)
	if err != nil {
		if k.file != nil {
			k.file.landed()
		}
		return 0, err
	}
	to.notify(wait.In | wait.RdNorm)
	return n, nil
}

// senderLocked is who sends. The one that has sent last is mostly the one that sends:
// no allocation then. s.mu is held.
func (s *Socket) senderLocked(ctx *vfs.Context) *socket.Credentials {
	if s.sender == nil || !s.sender.Sent(ctx) {
		s.sender = socket.SenderOf(ctx)
	}
	return s.sender
}

// sendDatagram is Send of a datagram.
func (s *Socket) sendDatagram(ctx *vfs.Context, src *usermem.Seq, m *socket.Message) (int, error) {
	s.autobind(ctx)
	s.mu.Lock()
	to, noWrite, sndbuf := s.peer, s.noWrite, s.sndbuf
	k := mark{cred: m.Control.Cred, name: s.name}
	if k.cred == nil {
		k.cred = s.senderLocked(ctx)
	}
	s.mu.Unlock()
	if m.Addr != nil {
		var err error
		if to, _, err = s.names.find(ctx, m.Addr, s.common.Type); err != nil {
			return 0, err
		}
	}
	if to == nil {
		return 0, unix.ENOTCONN
	}
	if src.Len() > uint64(sndbuf-32) {
		return 0, unix.EMSGSIZE
	}
	if err := s.common.TakeError(); err != nil {
		return 0, err
	}
	if noWrite {
		return 0, unix.EPIPE
	}
	to.mu.Lock()
	foreign, mutual := to.peer != nil && to.peer != s, to.peer == s
	to.mu.Unlock()
	if foreign {
		return 0, unix.EPERM
	}
	if err := k.attach(ctx, s.names, m); err != nil {
		return 0, err
	}
	n, err := k.put(to, src, sndbuf, mutual || to == s)
	if err == unix.ECONNREFUSED && m.Addr == nil {
		s.setPeer(nil, "")
	}
	return n, err
}

// Receive implements socket.Socket.
func (s *Socket) Receive(_ *vfs.Context, dst *usermem.Seq, m *socket.Message, flags int) (int, error) {
	if flags&(unix.MSG_OOB|unix.MSG_ERRQUEUE) != 0 {
		return 0, unix.EOPNOTSUPP
	}
	s.mu.Lock()
	state, peer := s.state, s.peer
	s.mu.Unlock()
	if !s.datagram() && state != connected {
		if s.common.Type == unix.SOCK_STREAM {
			return 0, unix.EINVAL
		}
		return 0, unix.ENOTCONN
	}
	cred := s.common.PassCred.Load()
	n, full, took, err := s.in.receive(dst, m, flags&unix.MSG_PEEK != 0, cred)
	if !took {
		if e := s.common.TakeError(); e != nil {
			return 0, e
		}
		if s.datagram() && flags&unix.MSG_DONTWAIT != 0 {
			return 0, unix.EAGAIN // even after shutdown(2)
		}
		if err == nil && cred && s.common.Type == unix.SOCK_STREAM {
			m.Control.Cred = &socket.Credentials{UID: ^uint32(0), GID: ^uint32(0)}
		}
	}
	if err != nil {
		return 0, err
	}
	if full > n {
		m.Flags |= unix.MSG_TRUNC
		if flags&unix.MSG_TRUNC != 0 {
			n = full
		}
	}
	if took && flags&unix.MSG_PEEK == 0 {
		if s.datagram() {
			s.in.relieve()
		}
		if peer != nil {
			peer.notify(wait.Out | wait.WrNorm | wait.WrBand)
		}
	}
	return n, nil
}

// SendQueue is where a task waits whose Send to addr gave EAGAIN: for a datagram the
// receiver's, else the socket's own.
func (s *Socket) SendQueue(ctx *vfs.Context, addr []byte) *wait.Queue {
	if !s.datagram() {
		return &s.queue
	}
	to := s
	if addr != nil {
		var err error
		if to, _, err = s.names.find(ctx, addr, s.common.Type); err != nil {
			return nil
		}
	} else {
		s.mu.Lock()
		to = s.peer
		s.mu.Unlock()
		if to == nil {
			return nil
		}
	}
	return &to.in.senders
}

// Ioctl implements vfs.FileOps.
func (s *Socket) Ioctl(ctx *vfs.Context, _ *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	n := 0
	switch cmd {
	case unix.SIOCINQ:
		s.mu.Lock()
		state := s.state
		s.mu.Unlock()
		if state == listening {
			return 0, unix.EINVAL
		}
		n = s.in.size(s.datagram())
	case unix.SIOCOUTQ:
		s.mu.Lock()
		peer := s.peer
		s.mu.Unlock()
		if peer != nil && !s.datagram() {
			n = peer.in.size(false)
		}
	default:
		if serve := s.names.Devices; serve != nil {
			return serve(ctx, cmd, arg)
		}
		return netdev.Ioctl(ctx, s.common.Net, s.names.stack, unix.AF_UNIX, cmd, arg)
	}
	_, err := ctx.Mem.CopyOut(arg, socket.Int32(n))
	return 0, err
}
