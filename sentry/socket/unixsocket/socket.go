// Package unixsocket is the AF_UNIX family, unix(7).
//
// Locks: a socket's mu guards its state; of two sockets, a client's before the
// server's, which is only ever a listener. A queue's mu is taken last. Wait queues are
// notified with none of them held. In-flight files of SCM_RIGHTS are released with
// none held.
package unixsocket

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/sentry/socket"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// States of a connection-oriented socket.
const (
	unconnected = iota
	listening
	connected
)

// A Socket is an AF_UNIX socket.
type Socket struct {
	vfs.FileDefaults
	common socket.Common
	names  *Names
	queue  wait.Queue // who waits for the socket
	in     queue      // what was sent to it

	mu       sync.Mutex
	state    int
	closed   bool
	name     string     // bound name: a path, or NUL and an abstract name; "" for none
	inode    *vfs.Inode // of a bound path, with a reference
	peer     *Socket
	peerName string
	peerCred *socket.Credentials
	cred     *socket.Credentials // of who called listen or connect
	noWrite  bool                // shutdown(SHUT_WR)
	backlog  int
	pending  []*Socket  // connections to accept
	room     wait.Queue // who waits to connect
	sndbuf   int
}

// defaultBuffer is net.core.wmem_default.
const defaultBuffer = 212992

// New returns an unconnected socket. names is its network namespace's.
func New(names *Names, typ int) (*Socket, error) {
	if typ == unix.SOCK_RAW {
		typ = unix.SOCK_DGRAM
	}
	if typ != unix.SOCK_STREAM && typ != unix.SOCK_DGRAM && typ != unix.SOCK_SEQPACKET {
		return nil, unix.ESOCKTNOSUPPORT
	}
	s := &Socket{names: names, sndbuf: defaultBuffer}
	s.common.Family, s.common.Type = unix.AF_UNIX, typ
	s.in.init(typ == unix.SOCK_STREAM)
	return s, nil
}

// Pair returns two sockets that are connected to each other (socketpair(2)).
func Pair(ctx *vfs.Context, names *Names, typ int) (a, b *Socket, err error) {
	if a, err = New(names, typ); err != nil {
		return nil, nil, err
	}
	b, _ = New(names, typ)
	cred := socket.CredentialsOf(ctx)
	for _, s := range [...]*Socket{a, b} {
		s.state, s.cred, s.peerCred = connected, cred, cred
	}
	a.peer, b.peer = b, a
	return a, b, nil
}

// Common implements socket.Socket.
func (s *Socket) Common() *socket.Common { return &s.common }

func (s *Socket) datagram() bool { return s.common.Type == unix.SOCK_DGRAM }

// Listen implements socket.Socket.
func (s *Socket) Listen(ctx *vfs.Context, backlog int) error {
	if s.datagram() {
		return unix.EOPNOTSUPP
	}
	if backlog < 0 || backlog > somaxconn {
		backlog = somaxconn
	}
	s.mu.Lock()
	if s.name == "" || s.state == connected {
		s.mu.Unlock()
		return unix.EINVAL
	}
	s.state = listening
	s.backlog = backlog
	s.cred = socket.CredentialsOf(ctx)
	s.mu.Unlock()
	s.room.Notify(wait.Out)
	return nil
}

// somaxconn is net.core.somaxconn.
const somaxconn = 4096

// Connect implements socket.Socket.
func (s *Socket) Connect(ctx *vfs.Context, addr []byte) error {
	if s.datagram() && family(addr) == unix.AF_UNSPEC {
		s.setPeer(nil, "")
		return nil
	}
	to, name, err := s.names.find(ctx, addr, s.common.Type)
	if err != nil {
		return err
	}
	if s.datagram() {
		s.setPeer(to, name)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case connected:
		return unix.EISCONN
	case listening:
		return unix.EINVAL
	}
	if s == to {
		return unix.ECONNREFUSED
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	if to.state != listening || to.closed || to.in.unwanted() {
		return unix.ECONNREFUSED
	}
	if len(to.pending) > to.backlog {
		return unix.EAGAIN
	}
	other, err := New(s.names, s.common.Type)
	if err != nil {
		return err
	}
	s.cred = socket.CredentialsOf(ctx)
	s.peerCred, s.peerName = to.cred, to.name
	other.cred, other.peerCred, other.peerName = to.cred, s.cred, s.name
	other.name = to.name
	other.common.PassCred.Store(to.common.PassCred.Load())
	s.state, other.state = connected, connected
	s.peer, other.peer = other, s
	to.pending = append(to.pending, other)
	go to.notify(wait.In | wait.RdNorm) // the locks are held here
	return nil
}

func (s *Socket) notify(e wait.Events) { s.queue.Notify(e) }

// setPeer sets where a datagram socket sends to.
func (s *Socket) setPeer(to *Socket, name string) {
	s.mu.Lock()
	s.peer, s.peerName = to, name
	s.mu.Unlock()
}

// Accept implements socket.Socket.
func (s *Socket) Accept(*vfs.Context) (socket.Socket, []byte, error) {
	s.mu.Lock()
	if s.datagram() {
		s.mu.Unlock()
		return nil, nil, unix.EOPNOTSUPP
	}
	if s.state != listening {
		s.mu.Unlock()
		return nil, nil, unix.EINVAL
	}
	if len(s.pending) == 0 {
		shut := s.in.unwanted()
		s.mu.Unlock()
		if shut {
			return nil, nil, unix.EINVAL
		}
		return nil, nil, unix.EAGAIN
	}
	other := s.pending[0]
	s.pending = append(s.pending[:0], s.pending[1:]...)
	s.mu.Unlock()
	s.room.Notify(wait.Out)
	return other, sockaddr(other.peerName), nil
}

// Shutdown implements socket.Socket.
func (s *Socket) Shutdown(how int) error {
	if how < unix.SHUT_RD || how > unix.SHUT_RDWR {
		return unix.EINVAL
	}
	s.mu.Lock()
	peer := s.peer
	if s.state == unconnected && peer == nil {
		s.mu.Unlock()
		return unix.ENOTCONN
	}
	if how != unix.SHUT_RD {
		s.noWrite = true
	}
	s.mu.Unlock()
	if how != unix.SHUT_WR {
		s.in.shutReceive()
	}
	if peer != nil && !s.datagram() {
		if how != unix.SHUT_RD {
			peer.in.shutSend()
		}
		peer.notify(wait.In | wait.RdNorm | wait.RdHup | wait.Out | wait.WrNorm | wait.Hup)
	}
	s.notify(wait.In | wait.RdNorm | wait.RdHup | wait.Out | wait.WrNorm | wait.Hup)
	s.room.Notify(wait.Out)
	return nil
}

// LocalAddr implements socket.Socket.
func (s *Socket) LocalAddr() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sockaddr(s.name), nil
}

// PeerAddr implements socket.Socket.
func (s *Socket) PeerAddr() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer == nil && s.state != connected {
		return nil, unix.ENOTCONN
	}
	return sockaddr(s.peerName), nil
}

// Read implements vfs.FileOps.
func (s *Socket) Read(ctx *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	var m socket.Message
	n, err := s.Receive(ctx, dst, &m, 0)
	m.Control.Drop()
	return n, err
}

// Write implements vfs.FileOps.
func (s *Socket) Write(ctx *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	var m socket.Message
	return s.Send(ctx, src, &m, 0)
}

// Readiness implements vfs.FileOps.
func (s *Socket) Readiness(mask wait.Events) (e wait.Events) {
	s.mu.Lock()
	state, peer, noWrite, pending := s.state, s.peer, s.noWrite, len(s.pending)
	sndbuf := s.sndbuf
	s.mu.Unlock()
	if state == listening {
		if pending > 0 {
			e |= wait.In | wait.RdNorm
		}
		return e & mask
	}
	readable, sendShut, receiveShut := s.in.status()
	if readable || sendShut || receiveShut {
		e |= wait.In | wait.RdNorm
	}
	if sendShut || receiveShut {
		e |= wait.RdHup
	}
	if (sendShut || receiveShut) && noWrite {
		e |= wait.Hup
	}
	switch {
	case s.datagram():
		if peer == nil || peer == s || peer.in.room(sndbuf) {
			e |= wait.Out | wait.WrNorm | wait.WrBand
		}
	case state == unconnected:
		e |= wait.Out | wait.WrNorm | wait.WrBand | wait.Hup
	case peer == nil || noWrite || peer.in.room(sndbuf):
		e |= wait.Out | wait.WrNorm | wait.WrBand
	}
	if s.common.Err.Load() != 0 {
		e |= wait.Err
	}
	return e & (mask | wait.Err | wait.Hup)
}

// Register implements vfs.FileOps.
func (s *Socket) Register(e *wait.Entry, mask wait.Events) { s.queue.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (s *Socket) Unregister(e *wait.Entry) { s.queue.Unregister(e) }

// ConnectQueue is where a task waits whose Connect gave EAGAIN, because the
// listener at addr has too many connections that were not accepted.
func (s *Socket) ConnectQueue(ctx *vfs.Context, addr []byte) *wait.Queue {
	to, _, err := s.names.find(ctx, addr, s.common.Type)
	if err != nil {
		return nil
	}
	return &to.room
}

// Release implements vfs.FileOps.
func (s *Socket) Release(*vfs.File) { s.close() }

func (s *Socket) close() {
	s.mu.Lock()
	s.closed = true
	peer, pending, inode, name := s.peer, s.pending, s.inode, s.name
	s.peer, s.pending, s.inode = nil, nil, nil
	wasListening := s.state == listening
	s.state = unconnected
	s.mu.Unlock()
	s.names.forget(s, name, inode)
	left := s.in.close()
	for _, other := range pending {
		other.close()
	}
	if peer != nil && !s.datagram() {
		peer.mu.Lock()
		peer.noWrite = true
		peer.peer = nil
		peer.mu.Unlock()
		peer.in.shutSend()
		if left && peer.state == connected {
			peer.common.Err.Store(int32(unix.ECONNRESET))
		}
		peer.notify(wait.In | wait.RdNorm | wait.RdHup | wait.Out | wait.WrNorm | wait.Hup | wait.Err)
	}
	if wasListening {
		s.room.Notify(wait.Out)
	}
	// Datagram senders that wait for room learn that nobody is there.
	s.in.senders.Notify(wait.Out | wait.WrNorm)
}
