// Package inet is the AF_INET and AF_INET6 families, ip(7), ipv6(7), tcp(7), udp(7),
// raw(7), icmp(7): the system calls' view of the endpoints of package netstack.
package inet

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/raw"
	"casemate/netstack/sock"
	"casemate/netstack/tcp"
	"casemate/netstack/udp"
	"casemate/sentry/clock"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/sentry/socket/netdev"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// Sockets are the open sockets of a network namespace.
type Sockets struct {
	Net   *kernel.NetNamespace
	Stack *netstack.Stack

	mu   sync.Mutex
	open map[*Socket]struct{}
}

// NewSockets returns an empty set for a namespace, whose stack is stack.
func NewSockets(ns *kernel.NetNamespace, stack *netstack.Stack) *Sockets {
	return &Sockets{Net: ns, Stack: stack, open: map[*Socket]struct{}{}}
}

// A Socket is a socket of AF_INET or AF_INET6.
type Socket struct {
	vfs.FileDefaults
	common socket.Common
	all    *Sockets
	stack  *netstack.Stack
	queue  wait.Queue

	ep  sock.Endpoint
	tcp *tcp.Endpoint // ep, if it is one
	udp *udp.Endpoint
	raw *raw.Endpoint

	// connecting: connect(2) has given EINPROGRESS and not yet told of the end.
	connecting atomic.Bool
	timestamps atomic.Uint32 // which of SO_TIMESTAMP and its like is set; 0: none
	// timestamping are the flags of SO_TIMESTAMPING, timestampingType the option that set them.
	timestamping, timestampingType atomic.Uint32
	lastStamp                      atomic.Int64 // SIOCGSTAMP in ns; -1: wanted, 0: never asked for
	completions                    completions  // of MSG_ZEROCOPY
}

// New makes a socket as socket(2) does. EAFNOSUPPORT, EINVAL,
// ESOCKTNOSUPPORT, EPROTONOSUPPORT, EPERM for raw sockets without CAP_NET_RAW, EACCES
// for ping sockets outside of net.ipv4.ping_group_range.
func New(ctx *vfs.Context, all *Sockets, family, typ, protocol int) (*Socket, error) {
	if typ == unix.SOCK_RAW && !all.Net.HasCap(ctx.Cred, unix.CAP_NET_RAW) {
		if protocol == 0 {
			return nil, unix.EPROTONOSUPPORT
		}
		return nil, unix.EPERM
	}
	ep, err := all.Stack.Socket(family, typ, protocol)
	if err != nil {
		return nil, err
	}
	if typ == unix.SOCK_DGRAM && (protocol == unix.IPPROTO_ICMP || protocol == unix.IPPROTO_ICMPV6) && !mayPing(ctx, all.Stack) {
		ep.Close()
		return nil, unix.EACCES
	}
	ep.Options().UID.Store(uint32(ctx.Cred.EUID))
	ep.Options().GID.Store(uint32(ctx.Cred.EGID))
	return wrap(all, ep), nil
}

// mayPing reports whether the caller may have ping sockets (icmp(7)).
func mayPing(ctx *vfs.Context, stack *netstack.Stack) bool {
	low, high := stack.Params.PingGroupRange.At(0), stack.Params.PingGroupRange.At(1)
	in := func(id uint32) bool { return int(id) >= low && int(id) <= high }
	if in(ctx.Cred.UserNS.ShowGID(ctx.Cred.EGID)) {
		return true
	}
	for _, g := range ctx.Cred.Groups {
		if in(ctx.Cred.UserNS.ShowGID(g)) {
			return true
		}
	}
	return false
}

// wrap makes the socket of an endpoint.
func wrap(all *Sockets, ep sock.Endpoint) *Socket {
	s := &Socket{all: all, stack: all.Stack, ep: ep}
	s.common.Family, s.common.Type, s.common.Protocol, s.common.Net = ep.Family(), ep.Type(), ep.Protocol(), all.Net
	switch e := ep.(type) {
	case *tcp.Endpoint:
		s.tcp = e
	case *udp.Endpoint:
		s.udp = e
	case *raw.Endpoint:
		s.raw = e
	}
	ep.SetNotify(func(events uint32) { s.queue.Notify(wait.Events(events)) })
	all.mu.Lock()
	all.open[s] = struct{}{}
	all.mu.Unlock()
	return s
}

// Common implements socket.Socket.
func (s *Socket) Common() *socket.Common { return &s.common }

// Timeouts implements vfs.Timeouter.
func (s *Socket) Timeouts() (read, write int64) { return s.common.Timeouts() }

// Bind implements socket.Socket.
func (s *Socket) Bind(ctx *vfs.Context, addr []byte) error {
	a, err := s.bindAddr(addr)
	if err != nil {
		return err
	}
	if s.raw == nil && a.Port != 0 && int(a.Port) < s.stack.Params.UnprivPort.Get() && !s.common.HasCap(ctx, unix.CAP_NET_BIND_SERVICE) {
		return unix.EACCES
	}
	return s.ep.Bind(a)
}

// Connect implements socket.Socket. For a stream it gives EINPROGRESS even if the
// connection was made, or refused, at once, as Linux does.
func (s *Socket) Connect(_ *vfs.Context, addr []byte) error {
	a, err := s.peerAddr(addr, true)
	if err != nil {
		return err
	}
	if s.tcp == nil || !a.Addr.IsValid() {
		s.connecting.Store(false)
		return s.ep.Connect(a)
	}
	if err := s.common.TakeError(); err != nil {
		s.connecting.Store(false)
		return err
	}
	switch err = s.ep.Connect(a); err {
	case nil, unix.EINPROGRESS:
		if err == nil && s.tcp.Deferred() {
			return nil
		}
		s.connecting.Store(true)
		return unix.EINPROGRESS
	case unix.EISCONN:
		if s.connecting.Swap(false) {
			return nil
		}
	case unix.ECONNREFUSED, unix.ECONNRESET:
		if !s.connecting.Swap(false) {
			s.common.Err.Store(int32(err.(unix.Errno)))
			return unix.EINPROGRESS
		}
	}
	return err
}

// Connected is called when a task has waited for the end of Connect and told of it.
func (s *Socket) Connected() { s.connecting.Store(false) }

// Listen implements socket.Socket.
func (s *Socket) Listen(_ *vfs.Context, backlog int) error {
	limit := s.stack.Limits.Somaxconn.Get()
	if backlog < 0 || backlog > limit {
		backlog = limit
	}
	return s.ep.Listen(backlog)
}

// Accept implements socket.Socket.
func (s *Socket) Accept(*vfs.Context) (socket.Socket, []byte, error) {
	ep, from, err := s.ep.Accept()
	if err != nil {
		return nil, nil, err
	}
	c := wrap(s.all, ep)
	c.common.ReceiveTimeout.Store(s.common.ReceiveTimeout.Load())
	c.common.SendTimeout.Store(s.common.SendTimeout.Load())
	c.timestamps.Store(s.timestamps.Load())
	c.timestamping.Store(s.timestamping.Load())
	c.timestampingType.Store(s.timestampingType.Load())
	return c, appendSockaddr(nil, s.common.Family, from), nil
}

// Shutdown implements socket.Socket.
func (s *Socket) Shutdown(how int) error {
	if how < unix.SHUT_RD || how > unix.SHUT_RDWR {
		return unix.EINVAL
	}
	return s.ep.Shutdown(how)
}

// LocalAddr implements socket.Socket.
func (s *Socket) LocalAddr() ([]byte, error) {
	return appendSockaddr(nil, s.common.Family, s.ep.LocalAddr()), nil
}

// PeerAddr implements socket.Socket.
func (s *Socket) PeerAddr() ([]byte, error) {
	a, err := s.ep.RemoteAddr()
	if err != nil {
		return nil, err
	}
	return appendSockaddr(nil, s.common.Family, a), nil
}

// Read implements vfs.FileOps.
func (s *Socket) Read(ctx *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	if dst.Len() == 0 {
		return 0, nil
	}
	t := getTransfer()
	defer t.put()
	return s.receive(ctx, t, dst, 0)
}

// Write implements vfs.FileOps.
func (s *Socket) Write(ctx *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	t := getTransfer()
	defer t.put()
	return s.send(ctx, t, src, 0)
}

// Readiness implements vfs.FileOps.
func (s *Socket) Readiness(mask wait.Events) wait.Events {
	e := wait.Events(s.ep.Readiness())
	if s.common.Err.Load() != 0 || s.completions.waiting.Load() {
		e |= wait.Err
	}
	return e & (mask | wait.Err | wait.Hup)
}

// Register implements vfs.FileOps.
func (s *Socket) Register(e *wait.Entry, mask wait.Events) { s.queue.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (s *Socket) Unregister(e *wait.Entry) { s.queue.Unregister(e) }

// Release implements vfs.FileOps.
func (s *Socket) Release(*vfs.File) {
	s.all.mu.Lock()
	delete(s.all.open, s)
	s.all.mu.Unlock()
	s.ep.Close()
	if s.tcp != nil && s.tcp.Lingering() {
		s.linger()
	}
}

// linger keeps the network namespace, whose last process and file may be gone, until the peer has
// acknowledged what the closed connection still sends.
func (s *Socket) linger() {
	if !s.all.Net.TryIncRef() {
		return
	}
	var once sync.Once
	over := func(uint32) {
		if !s.tcp.Lingering() {
			once.Do(s.all.Net.DecRef)
			s.queue.Notify(wait.Hup)
		}
	}
	s.tcp.SetNotify(over)
	over(0)
}

// Linger implements vfs.Lingerer: with SO_LINGER and a time the last close(2) waits until the peer
// has acknowledged all, on sockets that do not block otherwise too.
func (s *Socket) Linger(ctx *vfs.Context) {
	t, _ := ctx.Task.(*kernel.Task)
	if s.tcp == nil || t == nil || t.Exiting() {
		return
	}
	on, d := s.ep.Options().Linger()
	if !on || d == 0 {
		return
	}
	e, deadline := t.WaitEntry(), clock.After(int64(d))
	s.queue.Register(e, wait.Hup)
	defer s.queue.Unregister(e)
	for s.tcp.Lingering() {
		if t.Block(deadline) != nil {
			return
		}
	}
}

// Ioctl implements vfs.FileOps.
func (s *Socket) Ioctl(ctx *vfs.Context, _ *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	n := 0
	var err error
	switch {
	case cmd == unix.SIOCINQ:
		n, err = s.ep.Available()
	case cmd == unix.SIOCOUTQ:
		n, err = s.ep.Unsent()
	case cmd == unix.SIOCOUTQNSD && s.tcp != nil:
		n, err = s.tcp.NotSent()
	case cmd == netdev.SIOCATMARK && s.tcp != nil:
		if s.tcp.AtMark() {
			n = 1
		}
	case cmd == unix.SIOCGSTAMP_OLD || cmd == unix.SIOCGSTAMPNS_OLD || cmd == unix.SIOCGSTAMP_NEW || cmd == unix.SIOCGSTAMPNS_NEW:
		return 0, s.stamp(ctx, cmd, arg)
	default:
		return netdev.Ioctl(ctx, s.common.Net, s.stack, s.common.Family, cmd, arg)
	}
	if err != nil {
		return 0, err
	}
	_, err = ctx.Mem.CopyOut(arg, socket.Int32(n))
	return 0, err
}
