// Package netlink is the AF_NETLINK family, netlink(7), with the protocols NETLINK_ROUTE,
// rtnetlink(7): interfaces, addresses, routes, neighbours and rules of the network namespace;
// NETLINK_NETFILTER: nftables and connections; NETLINK_SOCK_DIAG, sock_diag(7): sockets; and
// NETLINK_GENERIC with the family of ethtool(8).
//
// Locks: Ports.mu before a Socket's mu. Wait queues are notified with neither held.
package netlink

import (
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/sentry/socket/inet"
	"casemate/sentry/socket/netdev"
	"casemate/sentry/socket/unixsocket"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// Ports are the netlink sockets of a network namespace.
type Ports struct {
	stack *netstack.Stack
	inet  *inet.Sockets
	names *unixsocket.Names
	of    func(*kernel.NetNamespace) *Ports // those of another namespace
	ids   nsids

	members atomic.Int32 // how many sockets are members of a group

	mu   sync.Mutex
	port map[portKey]*Socket
	next uint32 // the next port that the kernel chooses, if a process's number is taken
	open map[*Socket]struct{}
	// namers are those that know the namespace by a number.
	namers []weak.Pointer[Ports]
}

// A portKey names a socket: each protocol has ports of its own.
type portKey struct {
	protocol int
	port     uint32
}

// NewPorts returns an empty set for a namespace with those sockets of other families. It watches
// the namespace's stack. of returns the set of another namespace.
func NewPorts(inet *inet.Sockets, names *unixsocket.Names, of func(*kernel.NetNamespace) *Ports) *Ports {
	p := &Ports{stack: inet.Stack, inet: inet, names: names, of: of, port: map[portKey]*Socket{}, open: map[*Socket]struct{}{}, next: ^uint32(4096) + 1}
	p.stack.Owner = p
	p.stack.Watch(p)
	return p
}

// portsOf are those of the namespace that an interface is in.
func portsOf(i *ip.Interface) *Ports { return i.Stack().Owner.(*Ports) }

// A Socket is a netlink socket.
type Socket struct {
	vfs.FileDefaults
	common socket.Common
	ports  *Ports
	queue  wait.Queue

	mu      sync.Mutex
	bound   bool
	port    uint32
	groups  []uint32 // RTNLGRP_* that it is a member of, sorted
	dst     uint32   // port of the peer
	waiting []datagram
	bytes   int // in waiting
	dumping int // datagrams of a dump in waiting
	rcvbuf  int
	sndbuf  int
	options map[int]bool // of SOL_NETLINK
}

// A datagram is what one receive takes.
type datagram struct {
	data  []byte
	group uint32 // the group that it went to; 0 for a reply
	dump  bool
}

// defaultBuffer is net.core.rmem_default.
const defaultBuffer = 212992

// New makes a socket as socket(2) does. ESOCKTNOSUPPORT, EPROTONOSUPPORT.
func New(ports *Ports, typ, protocol int) (*Socket, error) {
	if typ != unix.SOCK_RAW && typ != unix.SOCK_DGRAM {
		return nil, unix.ESOCKTNOSUPPORT
	}
	switch protocol {
	case unix.NETLINK_ROUTE, unix.NETLINK_SOCK_DIAG, unix.NETLINK_NETFILTER, unix.NETLINK_GENERIC:
	default:
		return nil, unix.EPROTONOSUPPORT
	}
	s := &Socket{ports: ports, rcvbuf: defaultBuffer, sndbuf: defaultBuffer, options: map[int]bool{}}
	s.common.Family, s.common.Type, s.common.Protocol, s.common.Net = unix.AF_NETLINK, typ, protocol, ports.inet.Net
	ports.mu.Lock()
	ports.open[s] = struct{}{}
	ports.mu.Unlock()
	return s, nil
}

// Common implements socket.Socket.
func (s *Socket) Common() *socket.Common { return &s.common }

// Timeouts implements vfs.Timeouter.
func (s *Socket) Timeouts() (read, write int64) { return s.common.Timeouts() }

// sockaddr is a struct sockaddr_nl.
func sockaddr(p []byte, port, groups uint32) []byte {
	p = ne.AppendUint16(p, unix.AF_NETLINK)
	p = append(p, 0, 0)
	p = ne.AppendUint32(p, port)
	return ne.AppendUint32(p, groups)
}

// parse reads a struct sockaddr_nl. EINVAL.
func parse(p []byte) (port, groups uint32, err error) {
	if len(p) < unix.SizeofSockaddrNetlink || ne.Uint16(p) != unix.AF_NETLINK {
		return 0, 0, unix.EINVAL
	}
	return ne.Uint32(p[4:]), ne.Uint32(p[8:]), nil
}

// Bind implements socket.Socket.
func (s *Socket) Bind(ctx *vfs.Context, addr []byte) error {
	port, groups, err := parse(addr)
	if err != nil {
		return err
	}
	if err := s.bind(ctx, port); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// The address has the first 32 groups only.
	for g := range uint32(32) {
		if groups>>g&1 != 0 {
			s.join(g + 1)
		} else {
			s.leave(g + 1)
		}
	}
	return nil
}

// bind gives the socket a port; 0 lets the kernel choose. EADDRINUSE, EINVAL if it has
// another one.
func (s *Socket) bind(ctx *vfs.Context, port uint32) error {
	s.ports.mu.Lock()
	defer s.ports.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bound {
		if port != 0 && port != s.port {
			return unix.EINVAL
		}
		return nil
	}
	if port == 0 {
		if t, _ := ctx.Task.(*kernel.Task); t != nil {
			port = uint32(t.ThreadGroup().ID(t.PIDNamespace()))
		}
		for port == 0 || s.ports.port[s.key(port)] != nil {
			port = s.ports.next
			s.ports.next--
		}
	} else if s.ports.port[s.key(port)] != nil {
		return unix.EADDRINUSE
	}
	s.ports.port[s.key(port)] = s
	s.bound, s.port = true, port
	return nil
}

func (s *Socket) key(port uint32) portKey { return portKey{s.common.Protocol, port} }

// join makes the socket a member of a group. s.mu is held.
func (s *Socket) join(group uint32) {
	if i, found := slices.BinarySearch(s.groups, group); !found {
		if s.groups = slices.Insert(s.groups, i, group); len(s.groups) == 1 {
			s.ports.members.Add(1)
		}
	}
}

// leave undoes join. s.mu is held.
func (s *Socket) leave(group uint32) {
	if i, found := slices.BinarySearch(s.groups, group); found {
		if s.groups = slices.Delete(s.groups, i, i+1); len(s.groups) == 0 {
			s.ports.members.Add(-1)
		}
	}
}

// Connect implements socket.Socket: it sets where Send sends to.
func (s *Socket) Connect(ctx *vfs.Context, addr []byte) error {
	if len(addr) >= 2 && ne.Uint16(addr) == unix.AF_UNSPEC {
		s.mu.Lock()
		s.dst = 0
		s.mu.Unlock()
		return nil
	}
	port, _, err := parse(addr)
	if err != nil {
		return err
	}
	if err := s.bind(ctx, 0); err != nil {
		return err
	}
	s.mu.Lock()
	s.dst = port
	s.mu.Unlock()
	return nil
}

// Listen implements socket.Socket.
func (s *Socket) Listen(*vfs.Context, int) error { return unix.EOPNOTSUPP }

// Accept implements socket.Socket.
func (s *Socket) Accept(*vfs.Context) (socket.Socket, []byte, error) {
	return nil, nil, unix.EOPNOTSUPP
}

// Shutdown implements socket.Socket.
func (s *Socket) Shutdown(int) error { return unix.EOPNOTSUPP }

// LocalAddr implements socket.Socket.
func (s *Socket) LocalAddr() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	groups := uint32(0)
	for _, g := range s.groups {
		if g <= 32 {
			groups |= 1 << (g - 1)
		}
	}
	return sockaddr(nil, s.port, groups), nil
}

// PeerAddr implements socket.Socket.
func (s *Socket) PeerAddr() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sockaddr(nil, s.dst, 0), nil
}

// Send implements socket.Socket: it carries out the requests at once. EMSGSIZE,
// ECONNREFUSED for any receiver but the kernel.
func (s *Socket) Send(ctx *vfs.Context, src *usermem.Seq, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	s.mu.Lock()
	dst, sndbuf := s.dst, s.sndbuf
	s.mu.Unlock()
	if m.Addr != nil {
		port, groups, err := parse(m.Addr)
		if err != nil {
			return 0, err
		}
		if (port != 0 || groups != 0) && !s.common.HasCap(ctx, unix.CAP_NET_ADMIN) {
			return 0, unix.EPERM
		}
		dst = port
	}
	if err := s.bind(ctx, 0); err != nil {
		return 0, err
	}
	if src.Len() > uint64(sndbuf-32) {
		return 0, unix.EMSGSIZE
	}
	p := make([]byte, src.Len())
	if _, err := src.CopyIn(p); err != nil {
		return 0, err
	}
	if dst != 0 {
		return 0, unix.ECONNREFUSED
	}
	if s.common.Protocol == unix.NETLINK_NETFILTER && isBatch(p) {
		s.batch(ctx, p)
		return len(p), nil
	}
	for rest := p; ; {
		r, more, ok := nlmsg.Next(rest)
		if !ok {
			return len(p), nil
		}
		s.serve(ctx, &r)
		rest = more
	}
}

// deliver puts a datagram into the queue; ENOBUFS becomes the socket's error if it is
// full.
func (s *Socket) deliver(d datagram) {
	s.mu.Lock()
	full := s.bytes > s.rcvbuf && !d.dump
	if !full {
		s.waiting = append(s.waiting, d)
		s.bytes += len(d.data)
		if d.dump {
			s.dumping++
		}
	}
	lossless := s.options[unix.NETLINK_NO_ENOBUFS]
	s.mu.Unlock()
	if full {
		if lossless {
			return
		}
		s.common.Err.Store(int32(unix.ENOBUFS))
	}
	s.queue.Notify(wait.In | wait.RdNorm | wait.Err)
}

// publish sends a message to the members of a group of NETLINK_ROUTE.
func (p *Ports) publish(group uint32, data []byte) { p.publishTo(unix.NETLINK_ROUTE, group, data) }

// publishTo is publish for a protocol.
func (p *Ports) publishTo(protocol int, group uint32, data []byte) {
	if !p.Watching() {
		return
	}
	p.mu.Lock()
	var members []*Socket
	for s := range p.open {
		s.mu.Lock()
		if _, member := slices.BinarySearch(s.groups, group); member && s.common.Protocol == protocol {
			members = append(members, s)
		}
		s.mu.Unlock()
	}
	p.mu.Unlock()
	for _, s := range members {
		s.deliver(datagram{data: data, group: group})
	}
}

// Receive implements socket.Socket.
func (s *Socket) Receive(_ *vfs.Context, dst *usermem.Seq, m *socket.Message, flags int) (int, error) {
	if flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	if err := s.common.TakeError(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	if len(s.waiting) == 0 {
		s.mu.Unlock()
		return 0, unix.EAGAIN
	}
	d := s.waiting[0]
	if flags&unix.MSG_PEEK == 0 {
		s.waiting[0] = datagram{}
		if s.waiting = s.waiting[1:]; len(s.waiting) == 0 {
			s.waiting = nil
		}
		s.bytes -= len(d.data)
		if d.dump {
			s.dumping--
		}
	}
	info := s.options[unix.NETLINK_PKTINFO]
	s.mu.Unlock()
	n, err := dst.CopyOut(d.data)
	if err != nil {
		return 0, err
	}
	groups := uint32(0)
	if d.group > 0 && d.group <= 32 {
		groups = 1 << (d.group - 1)
	}
	m.Addr = sockaddr(m.Name[:0], 0, groups)
	if s.common.PassCred.Load() {
		m.Control.Cred = &socket.Credentials{}
	}
	if info {
		m.Control.Other = append(m.Control.Other, socket.Item{Level: unix.SOL_NETLINK, Type: unix.NETLINK_PKTINFO, Data: socket.Int32(int(d.group))})
	}
	if n < len(d.data) {
		m.Flags |= unix.MSG_TRUNC
		if flags&unix.MSG_TRUNC != 0 {
			n = len(d.data)
		}
	}
	return n, nil
}

// Read implements vfs.FileOps.
func (s *Socket) Read(ctx *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	if dst.Len() == 0 {
		return 0, nil
	}
	var m socket.Message
	return s.Receive(ctx, dst, &m, 0)
}

// Write implements vfs.FileOps.
func (s *Socket) Write(ctx *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	var m socket.Message
	return s.Send(ctx, src, &m, 0)
}

// Readiness implements vfs.FileOps.
func (s *Socket) Readiness(mask wait.Events) wait.Events {
	e := wait.Out | wait.WrNorm | wait.WrBand
	s.mu.Lock()
	if len(s.waiting) > 0 {
		e |= wait.In | wait.RdNorm
	}
	s.mu.Unlock()
	if s.common.Err.Load() != 0 {
		e |= wait.Err
	}
	return e & (mask | wait.Err | wait.Hup)
}

// Register implements vfs.FileOps.
func (s *Socket) Register(e *wait.Entry, mask wait.Events) { s.queue.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (s *Socket) Unregister(e *wait.Entry) { s.queue.Unregister(e) }

// Ioctl implements vfs.FileOps.
func (s *Socket) Ioctl(ctx *vfs.Context, _ *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	return netdev.Ioctl(ctx, s.common.Net, s.ports.stack, unix.AF_NETLINK, cmd, arg)
}

// Release implements vfs.FileOps.
func (s *Socket) Release(*vfs.File) {
	s.mu.Lock()
	for len(s.groups) > 0 {
		s.leave(s.groups[0])
	}
	s.mu.Unlock()
	s.ports.mu.Lock()
	defer s.ports.mu.Unlock()
	delete(s.ports.open, s)
	if s.bound {
		delete(s.ports.port, s.key(s.port))
	}
}
