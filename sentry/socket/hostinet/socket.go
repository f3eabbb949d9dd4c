// Package hostinet is the AF_INET and AF_INET6 families, and what of AF_NETLINK tells of
// interfaces and routes, by sockets of the host (--network=host). The host's socket has
// the state; this package sees to it that an application reaches nothing of the host
// but sockets of these families: no option or request that holds an address in memory,
// attaches a program or changes the host's network is passed on.
package hostinet

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/hostfd"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/vfs"
	"casemate/vfs/wait"
)

// A Host is the host's network.
type Host struct {
	// Net is the namespace inside whose sockets are the host's.
	Net *kernel.NetNamespace

	poller *hostfd.Poller
	files  map[string]*procFile
}

// New returns the host's network, the readiness of whose sockets poller watches.
func New(poller *hostfd.Poller) *Host { return &Host{poller: poller, files: map[string]*procFile{}} }

// A Socket is a socket of the host.
type Socket struct {
	vfs.FileDefaults
	common socket.Common
	host   *Host
	fd     int
	queue  wait.Queue
}

// Socket makes a socket as socket(2) does: streams, datagrams and, with CAP_NET_RAW, raw
// sockets, if the host gives them.
func (h *Host) Socket(ctx *vfs.Context, family, typ, protocol int) (*Socket, error) {
	switch {
	case family == unix.AF_NETLINK && typ != unix.SOCK_RAW && typ != unix.SOCK_DGRAM:
		return nil, unix.ESOCKTNOSUPPORT
	case family == unix.AF_NETLINK && protocol != unix.NETLINK_ROUTE:
		return nil, unix.EPROTONOSUPPORT
	case typ == unix.SOCK_RAW && family != unix.AF_NETLINK && !h.Net.HasCap(ctx.Cred, unix.CAP_NET_RAW):
		return nil, unix.EPERM
	case typ != unix.SOCK_STREAM && typ != unix.SOCK_DGRAM && typ != unix.SOCK_RAW:
		return nil, unix.ESOCKTNOSUPPORT
	}
	fd, err := unix.Socket(family, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, err
	}
	return h.wrap(fd, family, typ, protocol)
}

// wrap makes the socket of a descriptor, which it takes over.
func (h *Host) wrap(fd, family, typ, protocol int) (*Socket, error) {
	s := &Socket{host: h, fd: fd}
	s.common.Family, s.common.Type, s.common.Protocol, s.common.Net = family, typ, protocol, h.Net
	if p, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err == nil {
		s.common.Protocol = p
	}
	if err := h.poller.Add(fd, &s.queue); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

// Common implements socket.Socket.
func (s *Socket) Common() *socket.Common { return &s.common }

// Timeouts implements vfs.Timeouter.
func (s *Socket) Timeouts() (read, write int64) { return s.common.Timeouts() }

// Bind implements socket.Socket.
func (s *Socket) Bind(_ *vfs.Context, addr []byte) error { return hostBind(s.fd, addr) }

// Connect implements socket.Socket.
func (s *Socket) Connect(_ *vfs.Context, addr []byte) error { return hostConnect(s.fd, addr) }

// Listen implements socket.Socket.
func (s *Socket) Listen(_ *vfs.Context, backlog int) error { return unix.Listen(s.fd, backlog) }

// Accept implements socket.Socket.
func (s *Socket) Accept(*vfs.Context) (socket.Socket, []byte, error) {
	fd, peer, err := hostAccept(s.fd)
	if err != nil {
		return nil, nil, err
	}
	c, err := s.host.wrap(fd, s.common.Family, s.common.Type, s.common.Protocol)
	if err != nil {
		return nil, nil, err
	}
	c.common.ReceiveTimeout.Store(s.common.ReceiveTimeout.Load())
	c.common.SendTimeout.Store(s.common.SendTimeout.Load())
	return c, peer, nil
}

// Shutdown implements socket.Socket.
func (s *Socket) Shutdown(how int) error { return unix.Shutdown(s.fd, how) }

// LocalAddr implements socket.Socket.
func (s *Socket) LocalAddr() ([]byte, error) { return hostName(unix.SYS_GETSOCKNAME, s.fd) }

// PeerAddr implements socket.Socket.
func (s *Socket) PeerAddr() ([]byte, error) { return hostName(unix.SYS_GETPEERNAME, s.fd) }

// Readiness implements vfs.FileOps.
func (s *Socket) Readiness(mask wait.Events) wait.Events {
	return hostfd.Events(s.fd, mask) & (mask | wait.Err | wait.Hup)
}

// Register implements vfs.FileOps.
func (s *Socket) Register(e *wait.Entry, mask wait.Events) { s.queue.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (s *Socket) Unregister(e *wait.Entry) { s.queue.Unregister(e) }

// Release implements vfs.FileOps.
func (s *Socket) Release(*vfs.File) {
	s.host.poller.Remove(s.fd)
	unix.Close(s.fd)
}
