// Package unixsocket is the AF_UNIX family, unix(7).
//
// Locks: a socket's bindMu is held while it gets a name, and is taken first. Its mu
// guards its state; those of two sockets are taken in the order of their numbers
// (lockPair). A queue's mu and Names' mu are taken last. Wait queues are notified, and
// in-flight files of SCM_RIGHTS released, with none of them held. The garbage collector's is
// taken first of all.
package unixsocket

import (
	"sync"
	"sync/atomic"

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

	number   uint64 // for the order of locks
	bindMu   sync.Mutex
	mu       sync.Mutex
	state    int
	closed   bool
	name     string     // bound name: a path, or NUL and an abstract name; "" for none
	inode    *vfs.Inode // of a bound path, with a reference
	peer     *Socket
	peerName string
	peerCred *socket.Credentials
	cred     *socket.Credentials // of who called listen or connect
	sender   *socket.Credentials // of who has sent last
	noWrite  bool                // shutdown(SHUT_WR)
	backlog  int
	pending  []*Socket  // connections to accept
	room     wait.Queue // who waits to connect
	sndbuf   int
	rcvbuf   int
}

// numbers counts Socket.number up.
var numbers atomic.Uint64

// lockPair locks two different sockets.
func lockPair(a, b *Socket) {
	if a.number > b.number {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
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
	s := &Socket{names: names, sndbuf: defaultBuffer, rcvbuf: defaultBuffer, number: numbers.Add(1)}
	s.common.Family, s.common.Type, s.common.Net = unix.AF_UNIX, typ, names.net
	s.in.init(typ == unix.SOCK_STREAM)
	names.mu.Lock()
	names.all[s] = struct{}{}
	names.mu.Unlock()
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
	if s.datagram() {
		return s.connectDatagram(ctx, addr)
	}
	if len(addr) < 2 {
		return unix.EINVAL
	}
	to, _, err := s.names.find(ctx, addr, s.common.Type)
	if err != nil {
		return err
	}
	s.autobind(ctx)
	if s == to {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.state == listening {
			return unix.EINVAL
		}
		return unix.ECONNREFUSED
	}
	cred := socket.CredentialsOf(ctx)
	lockPair(s, to)
	err = s.connect(to, cred)
	s.mu.Unlock()
	to.mu.Unlock()
	if err == nil {
		to.notify(wait.In | wait.RdNorm)
		s.notify(wait.Out | wait.WrNorm)
	}
	return err
}

// connect makes the other end of a connection and puts it before the listener. Both
// are locked.
func (s *Socket) connect(to *Socket, cred *socket.Credentials) error {
	if to.state != listening || to.closed || to.in.unwanted() {
		return unix.ECONNREFUSED
	}
	switch s.state {
	case connected:
		return unix.EISCONN
	case listening:
		return unix.EINVAL
	}
	if len(to.pending) > to.backlog {
		return unix.EAGAIN
	}
	other, err := New(to.names, s.common.Type)
	if err != nil {
		return err
	}
	s.cred, s.peerCred, s.peerName = cred, to.cred, to.name
	other.cred, other.peerCred, other.peerName = to.cred, cred, s.name
	other.name = to.name
	other.sndbuf, other.rcvbuf = defaultBuffer, defaultBuffer
	other.common.PassCred.Store(to.common.PassCred.Load())
	s.state, other.state = connected, connected
	s.peer, other.peer = other, s
	to.pending = append(to.pending, other)
	return nil
}

// connectDatagram sets where a datagram socket sends to, and from whom alone it
// receives.
func (s *Socket) connectDatagram(ctx *vfs.Context, addr []byte) error {
	if len(addr) < 2 {
		return unix.EINVAL
	}
	if family(addr) == unix.AF_UNSPEC {
		s.setPeer(nil, "")
		return nil
	}
	s.autobind(ctx)
	to, name, err := s.names.find(ctx, addr, s.common.Type)
	if err != nil {
		return err
	}
	if !to.takesFrom(s) {
		return unix.EPERM
	}
	s.setPeer(to, name)
	return nil
}

// takesFrom reports whether s takes datagrams from a sender.
func (s *Socket) takesFrom(sender *Socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer == nil || s.peer == sender
}

func (s *Socket) notify(e wait.Events) { s.queue.Notify(e) }

// setPeer sets where a datagram socket sends to. A former peer that was connected to
// it gets an error, and what came from it is thrown away.
func (s *Socket) setPeer(to *Socket, name string) {
	s.mu.Lock()
	old := s.peer
	s.peer, s.peerName = to, name
	s.mu.Unlock()
	if old == nil || old == to {
		return
	}
	s.in.purge()
	s.in.relieve()
	old.mu.Lock()
	mutual := old.peer == s
	old.mu.Unlock()
	if mutual {
		old.common.Err.Store(int32(unix.ECONNRESET))
		old.notify(wait.Err)
	}
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
	if how != unix.SHUT_RD {
		s.noWrite = true
	}
	s.mu.Unlock()
	if how != unix.SHUT_WR {
		s.in.shutReceive()
	}
	const all = wait.In | wait.RdNorm | wait.RdHup | wait.Out | wait.WrNorm | wait.WrBand | wait.Hup
	if peer != nil && !s.datagram() {
		if how != unix.SHUT_RD {
			peer.in.shutSend()
		}
		if how != unix.SHUT_WR {
			peer.mu.Lock()
			peer.noWrite = true
			peer.mu.Unlock()
		}
		peer.notify(all)
	}
	s.notify(all)
	s.in.relieve()
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

// Timeouts implements vfs.Timeouter.
func (s *Socket) Timeouts() (read, write int64) { return s.common.Timeouts() }

// Read implements vfs.FileOps.
func (s *Socket) Read(ctx *vfs.Context, f *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	if dst.Len() == 0 {
		return 0, nil
	}
	flags := 0
	if f.Nonblocking() {
		flags = unix.MSG_DONTWAIT
	}
	var m socket.Message
	n, err := s.Receive(ctx, dst, &m, flags)
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
	const out = wait.Out | wait.WrNorm | wait.WrBand
	s.mu.Lock()
	state, peer, noWrite, pending, sndbuf := s.state, s.peer, s.noWrite, len(s.pending), s.sndbuf
	s.mu.Unlock()
	if s.common.Err.Load() != 0 {
		e |= wait.Err
	}
	readable, sendShut, receiveShut := s.in.status()
	if sendShut || receiveShut {
		e |= wait.RdHup | wait.In | wait.RdNorm
		if noWrite {
			e |= wait.Hup
		}
	}
	if readable || state == listening && pending > 0 {
		e |= wait.In | wait.RdNorm
	}
	mask |= wait.Err | wait.Hup
	switch {
	case s.datagram():
		if mask&out == 0 || peer == nil || peer.in.takes(s, sndbuf, peer == s || peer.connectedTo(s)) {
			e |= out
		}
	case state == listening:
	case state == unconnected:
		e |= out | wait.Hup
	case peer == nil || noWrite || peer.in.room(sndbuf):
		e |= out
	}
	return e & mask
}

// connectedTo reports whether a datagram socket is connected to other.
func (s *Socket) connectedTo(other *Socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer == other
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
func (s *Socket) Release(*vfs.File) { s.close(false) }

// Discard closes a socket that no file has been made for.
func (s *Socket) Discard() { s.close(false) }

// close closes the socket; refused says that it is a connection that nobody has
// accepted.
func (s *Socket) close(refused bool) {
	s.mu.Lock()
	s.closed = true
	peer, pending, inode, name := s.peer, s.pending, s.inode, s.name
	wasListening := s.state == listening
	s.peer, s.pending, s.inode, s.state = nil, nil, nil, unconnected
	s.mu.Unlock()
	s.names.forget(s, name, inode)
	left := s.in.close()
	for _, other := range pending {
		other.close(true)
	}
	if peer != nil && !s.datagram() {
		peer.in.shutSend()
		if left || refused {
			peer.common.Err.Store(int32(unix.ECONNRESET))
		}
		peer.mu.Lock()
		peer.noWrite, peer.peer = true, nil
		peer.mu.Unlock()
		peer.notify(wait.In | wait.RdNorm | wait.RdHup | wait.Out | wait.WrNorm | wait.WrBand | wait.Hup | wait.Err)
	}
	if wasListening {
		s.room.Notify(wait.Out)
	}
	s.in.relieve() // senders learn that nobody is there
	garbage.run()
}
