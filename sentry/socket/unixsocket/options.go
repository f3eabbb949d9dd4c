package unixsocket

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/socket"
	"casemate/vfs"
	"casemate/vfs/wait"
)

// minBuffer is SOCK_MIN_SNDBUF, minReceive SOCK_MIN_RCVBUF.
const (
	minBuffer  = 4608
	minReceive = 2304
)

// GetOption implements socket.Socket.
func (s *Socket) GetOption(ctx *vfs.Context, level, name, length int) ([]byte, error) {
	if level != unix.SOL_SOCKET {
		return nil, unix.EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case unix.SO_ACCEPTCONN:
		return socket.Bool(s.state == listening), nil
	case unix.SO_PEERCRED:
		return s.peerCred.Ucred(ctx), nil
	case unix.SO_PEERGROUPS:
		return s.peerGroups(ctx, length)
	case unix.SO_SNDBUF:
		return socket.Int32(s.sndbuf), nil
	case unix.SO_RCVBUF:
		return socket.Int32(s.rcvbuf), nil
	}
	return s.common.GetKept(name, length)
}

// peerGroups is SO_PEERGROUPS. ENODATA without a peer, ERANGE if length is too short.
func (s *Socket) peerGroups(ctx *vfs.Context, length int) ([]byte, error) {
	if s.peerCred == nil {
		return nil, unix.ENODATA
	}
	if length < 4*len(s.peerCred.Groups) {
		return nil, unix.ERANGE
	}
	p := []byte{}
	for _, g := range s.peerCred.Groups {
		p = append(p, socket.Int32(int(ctx.Cred.UserNS.ShowGID(g)))...)
	}
	return p, nil
}

// SetOption implements socket.Socket.
func (s *Socket) SetOption(_ *vfs.Context, level, name int, value []byte) error {
	if level != unix.SOL_SOCKET {
		return unix.EOPNOTSUPP
	}
	v, _ := socket.ToInt(value)
	switch name {
	case unix.SO_SNDBUF, unix.SO_SNDBUFFORCE:
		s.mu.Lock()
		s.sndbuf = max(2*limit(v, name == unix.SO_SNDBUFFORCE), minBuffer)
		s.mu.Unlock()
		s.notify(wait.Out | wait.WrNorm)
		return nil
	case unix.SO_RCVBUF, unix.SO_RCVBUFFORCE:
		s.mu.Lock()
		s.rcvbuf = max(2*limit(v, name == unix.SO_RCVBUFFORCE), minReceive)
		s.mu.Unlock()
		return nil
	}
	return s.common.SetKept(name, value)
}

// maxForced bounds what SO_SNDBUFFORCE sets: the sandbox's memory is behind it.
const maxForced = 16 << 20

// limit bounds a buffer size by net.core.wmem_max, which rmem_max equals. Linux
// compares unsigned numbers.
func limit(v int, force bool) int {
	if force {
		return min(max(v, 0), maxForced)
	}
	if v < 0 || v > defaultBuffer {
		return defaultBuffer
	}
	return v
}
