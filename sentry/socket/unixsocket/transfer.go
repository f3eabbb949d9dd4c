package unixsocket

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/socket"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// Send implements socket.Socket.
func (s *Socket) Send(ctx *vfs.Context, src *usermem.Seq, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	if err := s.common.TakeError(); err != nil && !s.datagram() {
		return 0, err
	}
	s.mu.Lock()
	to, state, noWrite, sndbuf, name, cred := s.peer, s.state, s.noWrite, s.sndbuf, s.name, s.cred
	s.mu.Unlock()
	k := mark{cred: m.Control.Cred}
	if len(m.Control.Files) > 0 {
		k.file = &filesInFlight{socket.Control{Files: m.Control.Files}}
	}
	if s.datagram() {
		if m.Addr != nil {
			var err error
			if to, _, err = s.names.find(ctx, m.Addr, s.common.Type); err != nil {
				return 0, err
			}
			to.mu.Lock()
			foreign := to.peer != nil && to.peer != s
			to.mu.Unlock()
			if foreign {
				return 0, unix.EPERM
			}
		}
		if to == nil {
			return 0, unix.ENOTCONN
		}
		if name == "" && s.common.PassCred.Load() {
			s.Bind(ctx, sockaddr(""))
			s.mu.Lock()
			name = s.name
			s.mu.Unlock()
		}
		k.name = name
	} else {
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
	}
	if k.cred == nil {
		// The one that connected is mostly the one that sends: no allocation then.
		if k.cred = cred; cred == nil || !cred.Is(ctx) {
			k.cred = socket.CredentialsOf(ctx)
			if !s.datagram() {
				s.mu.Lock()
				s.cred = k.cred
				s.mu.Unlock()
			}
		}
	}
	if noWrite {
		return 0, unix.EPIPE
	}
	n, err := to.in.send(src, k, sndbuf)
	if err != nil {
		if err == unix.ECONNREFUSED && m.Addr == nil {
			s.setPeer(nil, "")
		}
		return 0, err
	}
	to.notify(wait.In | wait.RdNorm)
	return n, nil
}

// Receive implements socket.Socket.
func (s *Socket) Receive(_ *vfs.Context, dst *usermem.Seq, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_OOB != 0 {
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
	n, full, err := s.in.receive(dst, m, flags&unix.MSG_PEEK != 0, s.common.PassCred.Load())
	if err == unix.EAGAIN {
		if e := s.common.TakeError(); e != nil {
			return 0, e
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
	if s.common.Type == unix.SOCK_SEQPACKET && full > 0 {
		m.Flags |= unix.MSG_EOR
	}
	if flags&unix.MSG_PEEK == 0 {
		if s.datagram() {
			s.in.senders.Notify(wait.Out | wait.WrNorm)
		}
		if peer != nil {
			peer.notify(wait.Out | wait.WrNorm)
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
		n = s.in.size()
	case unix.SIOCOUTQ:
		s.mu.Lock()
		peer := s.peer
		s.mu.Unlock()
		if peer != nil && !s.datagram() {
			n = peer.in.size()
		}
	default:
		return 0, unix.ENOTTY
	}
	_, err := ctx.Mem.CopyOut(arg, socket.Int32(n))
	return 0, err
}
