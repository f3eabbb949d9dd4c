// Package udp is UDP (RFC 768, RFC 1122 section 4.1) with the socket behaviour
// of Linux's udp(7).
//
// Locks: Endpoint.mu guards an endpoint's state and queue; the table's lock
// (Protocol.mu) may be taken under it. Data is copied from and to the
// application under neither.
package udp

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Protocol is UDP on one stack.
type Protocol struct {
	ip    *ip.Stack
	ports sock.Ports

	mu    sync.RWMutex
	table map[uint16][]*Endpoint // by local port
}

// New makes UDP for a stack and registers it.
func New(s *ip.Stack) *Protocol {
	p := &Protocol{ip: s, table: make(map[uint16][]*Endpoint)}
	s.Register(unix.IPPROTO_UDP, p)
	return p
}

// Endpoint is a UDP socket.
type Endpoint struct {
	proto  *Protocol
	family int
	opts   sock.Options
	notify atomic.Pointer[func(uint32)]
	key    atomic.Pointer[key] // nil while closed
	gro    atomic.Bool         // UDP_GRO

	mu    sync.Mutex // what follows
	bind  sock.Binding
	bound bool     // has a port
	fixed struct { // what was given by Bind, and is left when the endpoint is disconnected
		addr netip.Addr
		port bool
	}
	laddr  netip.Addr
	raddr  netip.Addr
	rport  uint16
	conn   bool
	route  ip.Route // of the connection
	shut   uint8
	closed bool
	err    unix.Errno
	queue  sock.Queue
	errs   []queuedErr
	groups []group
	cork   *pkt.Packet // datagram being put together (UDP_CORK, MSG_MORE)
	corkTo destination
	corked bool
	gso    uint16 // UDP_SEGMENT

	stampKey uint32 // of the next datagram that has time stamps
	stamped  bool   // there is one that has not been told of
}

// Bits of Endpoint.shut.
const (
	shutRecv = 1
	shutSend = 2
)

// NewEndpoint makes an unbound socket of family AF_INET or AF_INET6.
func (p *Protocol) NewEndpoint(family int) *Endpoint {
	e := &Endpoint{proto: p, family: family}
	e.opts.Init(p.ip.Limits, p.ip.Limits.RmemDefault.Get(), p.ip.Limits.WmemDefault.Get())
	e.opts.V6Only.Store(family == unix.AF_INET6 && p.ip.Params.BindV6Only.Bool())
	return e
}

// SetNotify implements sock.Endpoint.
func (e *Endpoint) SetNotify(fn func(events uint32)) {
	if fn == nil {
		e.notify.Store(nil)
		return
	}
	e.notify.Store(&fn)
}

func (e *Endpoint) tell(ev uint32) {
	if fn := e.notify.Load(); fn != nil {
		(*fn)(ev)
	}
}

// Options implements sock.Endpoint.
func (e *Endpoint) Options() *sock.Options { return &e.opts }

// Type implements sock.Endpoint.
func (e *Endpoint) Type() int { return unix.SOCK_DGRAM }

// Family implements sock.Endpoint.
func (e *Endpoint) Family() int { return e.family }

// Protocol implements sock.Endpoint.
func (e *Endpoint) Protocol() int { return unix.IPPROTO_UDP }

// Listen implements sock.Endpoint: EOPNOTSUPP.
func (e *Endpoint) Listen(int) error { return unix.EOPNOTSUPP }

// Accept implements sock.Endpoint: EOPNOTSUPP.
func (e *Endpoint) Accept() (sock.Endpoint, sock.Addr, error) {
	return nil, sock.Addr{}, unix.EOPNOTSUPP
}

// publish makes the endpoint's addresses visible to input. e.mu is held.
func (e *Endpoint) publish() {
	if !e.bound || e.closed {
		e.proto.publish(e, nil)
		return
	}
	k := &key{laddr: e.laddr, lport: e.bind.Port, dev: e.opts.BoundDev.Load(), groups: e.groups}
	if e.conn {
		k.raddr, k.rport = e.raddr, e.rport
	}
	addr := e.laddr
	if e.conn {
		addr = e.raddr
	}
	switch {
	case e.family == unix.AF_INET || addr.Is4():
		k.v4 = true
	case addr.IsValid() || e.opts.V6Only.Load():
		k.v6 = true
	default:
		k.v4, k.v6 = true, true
	}
	e.proto.publish(e, k)
}

// unmap takes an address as the application gave it: EAFNOSUPPORT, EINVAL or
// ENETUNREACH if the endpoint cannot use it.
func (e *Endpoint) unmap(a netip.Addr) (netip.Addr, error) {
	switch {
	case !a.IsValid():
		return a, unix.EINVAL
	case e.family == unix.AF_INET:
		if !a.Is4() {
			return a, unix.EAFNOSUPPORT
		}
	case a.Is4In6():
		if e.opts.V6Only.Load() {
			return a, unix.ENETUNREACH
		}
		return a.Unmap(), nil
	case a.Is4():
		// sendto with an AF_INET address on an AF_INET6 socket is allowed (udpv6_sendmsg).
		if e.opts.V6Only.Load() {
			return a, unix.ENETUNREACH
		}
	}
	return a, nil
}

// Bind implements sock.Endpoint (bind(2)): EINVAL if bound already,
// EADDRNOTAVAIL, EADDRINUSE. Multicast and broadcast addresses are allowed.
func (e *Endpoint) Bind(a sock.Addr) error {
	if e.family == unix.AF_INET6 && (a.Addr.Is4() || a.Addr.Is4In6() && e.opts.V6Only.Load()) {
		if a.Addr.Is4() {
			return unix.EAFNOSUPPORT
		}
		return unix.EINVAL
	}
	addr, err := e.unmap(a.Addr)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bound {
		return unix.EINVAL
	}
	b := e.binding(a.Port)
	if !addr.IsUnspecified() {
		s := e.proto.ip
		if addr.Is6() && (addr.IsLinkLocalUnicast() || addr.IsLinkLocalMulticast()) && b.Dev == 0 {
			if a.Scope == 0 {
				return unix.EINVAL
			}
			b.Dev = int32(a.Scope)
			e.opts.BoundDev.Store(b.Dev)
		}
		if !s.Bindable(addr) && !addr.IsMulticast() && !(addr.Is4() && s.IsBroadcast(addr)) &&
			!e.opts.FreeBind.Load() && !e.opts.Transparent.Load() {
			return unix.EADDRNOTAVAIL
		}
		b.Addr = addr
	}
	b.V6 = e.family == unix.AF_INET6 && !addr.Is4()
	if b.V6 && b.Addr.IsValid() {
		e.opts.V6Only.Store(true)
	}
	if a.Port != 0 || !e.opts.BindNoPort.Load() {
		if err := e.claim(b); err != nil {
			return err
		}
	}
	e.fixed.addr, e.fixed.port = b.Addr, a.Port != 0
	e.laddr = b.Addr
	e.publish()
	return nil
}

func (e *Endpoint) binding(port uint16) sock.Binding {
	return sock.Binding{V6: e.family == unix.AF_INET6, V6Only: e.opts.V6Only.Load(), Port: port,
		ReuseAddr: e.opts.ReuseAddr.Load(), ReusePort: e.opts.ReusePort.Load(), Dev: e.opts.BoundDev.Load(), UID: e.opts.UID.Load()}
}

// claim takes b's port, or any if it is 0. e.mu is held.
func (e *Endpoint) claim(b sock.Binding) error {
	e.bind = b
	var err error
	if b.Port == 0 {
		lo, hi := e.proto.ip.PortRange()
		err = e.proto.ports.BindAny(&e.bind, lo, hi)
	} else {
		err = e.proto.ports.Bind(&e.bind)
	}
	if err != nil {
		e.bind = sock.Binding{}
		return err
	}
	e.bound = true
	return nil
}

// autobind gives an unbound endpoint a port: EAGAIN if none is free. e.mu is held.
func (e *Endpoint) autobind() error {
	if e.bound {
		return nil
	}
	b := e.binding(0)
	b.Addr, b.V6 = e.fixed.addr, b.V6 && !e.fixed.addr.Is4()
	if e.claim(b) != nil {
		return unix.EAGAIN
	}
	e.publish()
	return nil
}

// Connect implements sock.Endpoint (connect(2), udp(7)).
func (e *Endpoint) Connect(a sock.Addr) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !a.Addr.IsValid() {
		e.disconnect()
		return nil
	}
	dst, err := e.unmap(a.Addr)
	if err != nil {
		return err
	}
	if own := e.source(); own.IsValid() && own.Is4() != dst.Is4() {
		return unix.ENETUNREACH
	}
	d := destination{addr: dst, port: a.Port, scope: a.Scope}
	r, err := e.lookup(&d, netip.Addr{})
	if err != nil {
		return err
	}
	if r.Type == unix.RTN_BROADCAST && !e.opts.Broadcast.Load() {
		return unix.EACCES
	}
	if err := e.autobind(); err != nil {
		return err
	}
	e.route = r
	if !e.laddr.IsValid() || !e.fixed.port && !e.fixed.addr.IsValid() {
		e.laddr = r.Src
	}
	e.raddr, e.rport, e.conn = r.Dst, a.Port, true
	if dst.Is6() && dst.IsLinkLocalUnicast() && a.Scope != 0 {
		e.opts.BoundDev.Store(int32(a.Scope))
	}
	e.err = 0
	e.publish()
	return nil
}

// disconnect is connect(2) with AF_UNSPEC. e.mu is held.
func (e *Endpoint) disconnect() {
	e.conn = false
	e.raddr, e.rport = netip.Addr{}, 0
	e.route = ip.Route{}
	e.laddr = e.fixed.addr
	if e.bound && !e.fixed.port {
		e.proto.ports.Release(&e.bind)
		e.bound = false
	}
	e.publish()
}

// Abort disconnects a socket as an administrator has it done (sock_diag(7), SOCK_DESTROY): who has it gets
// ECONNABORTED. ENOENT if it is closed.
func (e *Endpoint) Abort() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return unix.ENOENT
	}
	e.err = unix.ECONNABORTED
	e.disconnect()
	e.mu.Unlock()
	e.tell(unix.POLLERR)
	return nil
}

// Shutdown implements sock.Endpoint: ENOTCONN unless connected.
func (e *Endpoint) Shutdown(how int) error {
	if how < unix.SHUT_RD || how > unix.SHUT_RDWR {
		return unix.EINVAL
	}
	e.mu.Lock()
	if !e.conn {
		e.mu.Unlock()
		return unix.ENOTCONN
	}
	e.shut |= uint8(how + 1)
	e.mu.Unlock()
	e.tell(unix.POLLIN | sock.POLLRDNORM | unix.POLLRDHUP | unix.POLLHUP | unix.POLLOUT)
	return nil
}

// Close implements sock.Endpoint.
func (e *Endpoint) Close() {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	e.closed = true
	e.shut = shutRecv | shutSend
	groups := e.groups
	e.groups = nil
	e.publish()
	if e.bound {
		e.proto.ports.Release(&e.bind)
		e.bound = false
	}
	e.queue.Clear()
	e.errs = nil
	if e.cork != nil {
		e.cork.Free()
		e.cork = nil
	}
	e.mu.Unlock()
	for _, g := range groups {
		e.proto.ip.LeaveGroup(g.ifindex, g.addr)
	}
}

// LocalAddr implements sock.Endpoint.
func (e *Endpoint) LocalAddr() sock.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := sock.Addr{Addr: sock.View(e.family, e.laddr)}
	if e.bound {
		a.Port = e.bind.Port
	}
	if a.Addr.Is6() && a.Addr.IsLinkLocalUnicast() {
		a.Scope = uint32(e.opts.BoundDev.Load())
	}
	return a
}

// RemoteAddr implements sock.Endpoint.
func (e *Endpoint) RemoteAddr() (sock.Addr, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.conn {
		return sock.Addr{}, unix.ENOTCONN
	}
	return sock.Addr{Addr: sock.Mapped(e.family, e.raddr), Port: e.rport}, nil
}

// TakeError implements sock.Endpoint.
func (e *Endpoint) TakeError() unix.Errno {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.err
	e.err = 0
	return err
}

// Readiness implements sock.Endpoint with the rules of Linux's datagram_poll.
func (e *Endpoint) Readiness() uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var m uint32
	if e.err != 0 || len(e.errs) > 0 {
		m |= unix.POLLERR
	}
	if e.shut&shutRecv != 0 {
		m |= unix.POLLRDHUP | unix.POLLIN | sock.POLLRDNORM
	}
	if e.shut == shutRecv|shutSend {
		m |= unix.POLLHUP
	}
	if e.queue.First() != nil {
		m |= unix.POLLIN | sock.POLLRDNORM
	}
	return m | unix.POLLOUT | sock.POLLWRNORM
}

// Available implements sock.Endpoint: the size of the next datagram.
func (e *Endpoint) Available() (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.queue.First(); p != nil {
		return p.Len(), nil
	}
	return 0, nil
}

// Unsent implements sock.Endpoint: datagrams are never kept.
func (e *Endpoint) Unsent() (int, error) { return 0, nil }

// BindToDevice is SO_BINDTODEVICE by interface index, 0 for any: ENODEV.
func (e *Endpoint) BindToDevice(index int32) error {
	if index != 0 && e.proto.ip.Interface(index) == nil {
		return unix.ENODEV
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opts.BoundDev.Store(index)
	if e.bound {
		e.proto.ports.Update(&e.bind, func() { e.bind.Dev = index })
	}
	e.route = ip.Route{}
	e.publish()
	return nil
}

// Sockets are all endpoints that have a port.
func (p *Protocol) Sockets() []sock.Info {
	p.mu.RLock()
	var all []*Endpoint
	for _, l := range p.table {
		all = append(all, l...)
	}
	p.mu.RUnlock()
	var list []sock.Info
	for _, e := range all {
		local := e.LocalAddr()
		e.mu.Lock()
		i := sock.Info{Endpoint: e, Family: e.family, Protocol: unix.IPPROTO_UDP, State: 7, Local: local, Remote: sock.Addr{Addr: sock.View(e.family, e.raddr)},
			RecvQueue: e.queue.Charged(), UID: e.opts.UID.Load(), Inode: e.opts.Inode.Load(), Drops: e.queue.Drops(), Dev: e.opts.BoundDev.Load()}
		if e.conn {
			i.State, i.Remote.Port = 1, e.rport
		}
		open := !e.closed
		e.mu.Unlock()
		if open {
			list = append(list, i)
		}
	}
	return list
}

// enqueue takes a datagram for the endpoint; b starts with its network header.
func (e *Endpoint) enqueue(b *pkt.Packet, sport uint16) {
	c := e.proto.counters(b.Src.Is4())
	keep := e.opts.Filter(b, int(b.NetLen))
	if keep == 0 {
		c.InErrors.Inc()
		b.Free()
		return
	}
	b.Truncate(int(b.NetLen) + max(keep, wire.UDPLen))
	b.TrimFront(int(b.NetLen) + wire.UDPLen)
	b.Hash = uint32(sport) // of no use any more as a hash
	e.mu.Lock()
	if e.opts.Timestamp.Load() && b.Time == 0 {
		b.Time = e.proto.ip.Wheel.Wall().UnixNano()
	}
	if e.closed || !e.queue.Put(b, e.opts.RcvBuf()) {
		e.mu.Unlock()
		c.RcvbufErrors.Inc()
		c.InErrors.Inc()
		b.Free()
		return
	}
	e.mu.Unlock()
	c.InDatagrams.Inc()
	e.tell(unix.POLLIN | sock.POLLRDNORM)
}

// notSource reports whether an address that the endpoint may be bound to cannot be the
// source of what it sends.
func (e *Endpoint) notSource(a netip.Addr) bool {
	return a.IsValid() && (a.IsMulticast() || a.Is4() && e.proto.ip.IsBroadcast(a))
}

// source is the address that the endpoint sends from; invalid if it is to be chosen. e.mu
// is held.
func (e *Endpoint) source() netip.Addr {
	if e.notSource(e.laddr) {
		return netip.Addr{}
	}
	return e.laddr
}

// destination is where a datagram goes.
type destination struct {
	addr  netip.Addr // unmapped
	port  uint16
	scope uint32
}

// lookup finds the way to d; from overrides the source if valid. e.mu is held.
func (e *Endpoint) lookup(d *destination, from netip.Addr) (ip.Route, error) {
	oif := e.opts.BoundDev.Load()
	src := e.fixed.addr
	if e.notSource(src) {
		src = netip.Addr{}
	}
	if from.IsValid() {
		src = from
	}
	if d.addr.Is6() && oif == 0 {
		if d.addr.IsLinkLocalUnicast() || d.addr.IsLinkLocalMulticast() {
			oif = int32(d.scope)
		}
		if oif == 0 {
			oif = e.opts.PktInfoDev6.Load()
		}
		if oif == 0 && d.addr.IsLinkLocalUnicast() {
			return ip.Route{}, unix.EINVAL
		}
	}
	if d.addr.IsMulticast() {
		if d.addr.Is4() {
			m := e.opts.MulticastIf()
			if oif == 0 {
				oif = m.Index
			}
			if !src.IsValid() && m.Addr.IsValid() && !m.Addr.IsUnspecified() {
				src = m.Addr
			}
		} else if oif == 0 {
			oif = e.opts.MulticastIf6.Load()
		}
	}
	if src.IsValid() && src.Is4() != d.addr.Is4() {
		return ip.Route{}, unix.ENETUNREACH
	}
	return e.proto.ip.Lookup(src, d.addr, oif, e.opts.Mark.Load())
}

var _ sock.Endpoint = (*Endpoint)(nil)
