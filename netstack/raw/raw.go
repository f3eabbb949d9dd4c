// Package raw has raw IP sockets (raw(7)) and ICMP echo sockets, called ping
// sockets (icmp(7)).
//
// Locks: Protocol.mu guards the list of endpoints and is taken before
// Endpoint.mu.
package raw

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Protocol is the raw and ping sockets of one stack.
type Protocol struct {
	ip     *ip.Stack
	idents sock.Ports // of ping sockets

	mu   sync.RWMutex
	raw  []*Endpoint
	ping []*Endpoint
}

// New makes the protocol for a stack and registers it.
func New(s *ip.Stack) *Protocol {
	p := &Protocol{ip: s}
	s.SetRaw(p)
	s.SetEcho(p)
	return p
}

// Endpoint is a raw or ping socket.
type Endpoint struct {
	proto    *Protocol
	family   int
	protocol uint8
	isPing   bool
	opts     sock.Options
	notify   atomic.Pointer[func(uint32)]

	// ICMPFilter has a bit set for each ICMP type that is not received (ICMP_FILTER).
	icmpFilter atomic.Uint32

	mu      sync.Mutex // what follows
	queue   sock.Queue
	laddr   netip.Addr // invalid: any
	raddr   netip.Addr // invalid: not connected
	bind    sock.Binding
	bound   bool // ping: has an identifier
	hdrincl bool
	csum    int // IPV6_CHECKSUM: offset; -1: none
	filter6 [8]uint32
	shut    uint8
	closed  bool
	err     unix.Errno
}

// NewEndpoint makes a raw socket for a protocol number. Whether the caller may
// have one (CAP_NET_RAW) is the caller's to check.
func (p *Protocol) NewEndpoint(family int, protocol uint8) *Endpoint {
	e := p.newEndpoint(family, protocol)
	e.hdrincl = protocol == unix.IPPROTO_RAW
	if family == unix.AF_INET6 && protocol == unix.IPPROTO_ICMPV6 {
		e.csum = wire.ICMPChecksumOffset
	}
	p.mu.Lock()
	p.raw = append(slices.Clone(p.raw), e)
	p.mu.Unlock()
	return e
}

// NewPing makes a ping socket. Whether the caller's group may have one
// (ping_group_range) is the caller's to check.
func (p *Protocol) NewPing(family int) *Endpoint {
	proto := uint8(unix.IPPROTO_ICMP)
	if family == unix.AF_INET6 {
		proto = unix.IPPROTO_ICMPV6
	}
	e := p.newEndpoint(family, proto)
	e.isPing = true
	p.mu.Lock()
	p.ping = append(slices.Clone(p.ping), e)
	p.mu.Unlock()
	return e
}

func (p *Protocol) newEndpoint(family int, protocol uint8) *Endpoint {
	e := &Endpoint{proto: p, family: family, protocol: protocol, csum: -1}
	e.opts.Init(p.ip.Limits, p.ip.Limits.RmemDefault.Get(), p.ip.Limits.WmemDefault.Get())
	return e
}

// RawInput implements ip.RawHandler.
func (p *Protocol) RawInput(b *pkt.Packet) bool {
	p.mu.RLock()
	l := p.raw
	p.mu.RUnlock()
	taken := false
	for _, e := range l {
		if e.protocol != b.Proto || (e.family == unix.AF_INET) != b.Src.Is4() {
			continue
		}
		if e.offer(b, 0) {
			taken = true
		}
	}
	return taken
}

// EchoReply implements ip.EchoHandler.
func (p *Protocol) EchoReply(b *pkt.Packet) {
	h := b.Pull(int(b.NetLen) + wire.ICMPLen)
	if h == nil {
		return
	}
	id := wire.ICMP(h[b.NetLen:]).Ident()
	p.mu.RLock()
	l := p.ping
	p.mu.RUnlock()
	for _, e := range l {
		if (e.family == unix.AF_INET) == b.Src.Is4() {
			e.offer(b, id)
		}
	}
}

// offer puts a clone of b into the queue if the endpoint wants it.
func (e *Endpoint) offer(b *pkt.Packet, id uint16) bool {
	skip := 0
	v4 := b.Src.Is4()
	if e.isPing || !v4 {
		skip = int(b.NetLen)
	}
	if !e.isPing && (b.Proto == unix.IPPROTO_ICMP && v4 || b.Proto == unix.IPPROTO_ICMPV6 && !v4) {
		h := b.Pull(int(b.NetLen) + 1)
		if h == nil || e.filtered(h[b.NetLen], v4) {
			return false
		}
	}
	e.mu.Lock()
	if e.closed || e.shut&1 != 0 || e.laddr.IsValid() && e.laddr != b.Dst || e.raddr.IsValid() && e.raddr != b.Src ||
		e.isPing && (!e.bound || e.bind.Port != id) || e.opts.BoundDev.Load() != 0 && e.opts.BoundDev.Load() != b.InIf {
		e.mu.Unlock()
		return false
	}
	keep := e.opts.Filter(b, skip)
	if keep == 0 {
		e.mu.Unlock()
		return false
	}
	q := b.Clone()
	q.Truncate(skip + keep)
	q.TrimFront(skip)
	if e.opts.Timestamp.Load() && q.Time == 0 {
		q.Time = e.proto.ip.Wheel.Wall().UnixNano()
	}
	ok := e.queue.Put(q, e.opts.RcvBuf())
	e.mu.Unlock()
	if !ok {
		q.Free()
		return true
	}
	e.tell(unix.POLLIN | sock.POLLRDNORM)
	return true
}

func (e *Endpoint) filtered(typ uint8, v4 bool) bool {
	if v4 {
		return typ < 32 && e.icmpFilter.Load()>>typ&1 != 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.filter6[typ>>5]>>(typ&31)&1 != 0
}

// RawError implements ip.RawHandler.
func (p *Protocol) RawError(x *ip.Error) {
	p.mu.RLock()
	l := p.raw
	if x.Proto == unix.IPPROTO_ICMP || x.Proto == unix.IPPROTO_ICMPV6 {
		l = append(slices.Clone(l), p.ping...)
	}
	p.mu.RUnlock()
	for _, e := range l {
		if e.protocol != x.Proto || (e.family == unix.AF_INET) != x.Src.Is4() {
			continue
		}
		e.mu.Lock()
		recvErr := e.opts.RecvErr.Load() || e.opts.RecvErr6.Load()
		mine := e.raddr == x.Dst || e.isPing && e.bound && len(x.Header) >= 6 && wire.ICMP(x.Header).Ident() == e.bind.Port
		if mine && (recvErr || x.Hard && e.raddr.IsValid()) {
			e.err = x.Errno
		} else {
			mine = false
		}
		e.mu.Unlock()
		if mine {
			e.tell(unix.POLLERR)
		}
	}
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
func (e *Endpoint) Type() int {
	if e.isPing {
		return unix.SOCK_DGRAM
	}
	return unix.SOCK_RAW
}

// Family implements sock.Endpoint.
func (e *Endpoint) Family() int { return e.family }

// Protocol implements sock.Endpoint.
func (e *Endpoint) Protocol() int { return int(e.protocol) }

// Listen implements sock.Endpoint: EOPNOTSUPP.
func (e *Endpoint) Listen(int) error { return unix.EOPNOTSUPP }

// Accept implements sock.Endpoint: EOPNOTSUPP.
func (e *Endpoint) Accept() (sock.Endpoint, sock.Addr, error) {
	return nil, sock.Addr{}, unix.EOPNOTSUPP
}

func (e *Endpoint) check(a netip.Addr) error {
	if e.family == unix.AF_INET && !a.Is4() || e.family == unix.AF_INET6 && (!a.Is6() || a.Is4In6()) {
		if a.Is4In6() {
			return unix.EINVAL
		}
		return unix.EAFNOSUPPORT
	}
	return nil
}

// Bind implements sock.Endpoint: EADDRNOTAVAIL. For a ping socket the port is
// the identifier: EADDRINUSE.
func (e *Endpoint) Bind(a sock.Addr) error {
	if err := e.check(a.Addr); err != nil {
		return err
	}
	s := e.proto.ip
	if !a.Addr.IsUnspecified() && !s.Bindable(a.Addr) && !a.Addr.IsMulticast() && !(a.Addr.Is4() && s.IsBroadcast(a.Addr)) && !e.opts.FreeBind.Load() {
		return unix.EADDRNOTAVAIL
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isPing {
		if e.bound {
			return unix.EINVAL
		}
		if err := e.ident(a.Port); err != nil {
			return err
		}
	}
	e.laddr = netip.Addr{}
	if !a.Addr.IsUnspecified() {
		e.laddr = a.Addr
	}
	return nil
}

// ident gives a ping socket its identifier. e.mu is held.
func (e *Endpoint) ident(id uint16) error {
	e.bind = sock.Binding{Port: id, V6: e.family == unix.AF_INET6, V6Only: true, ReuseAddr: e.opts.ReuseAddr.Load()}
	var err error
	if id == 0 {
		err = e.proto.idents.BindAny(&e.bind, 1, 65535)
	} else {
		err = e.proto.idents.Bind(&e.bind)
	}
	e.bound = err == nil
	return err
}

// Connect implements sock.Endpoint.
func (e *Endpoint) Connect(a sock.Addr) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !a.Addr.IsValid() {
		e.raddr = netip.Addr{}
		return nil
	}
	if err := e.check(a.Addr); err != nil {
		return err
	}
	r, err := e.lookup(a.Addr, a.Scope)
	if err != nil {
		return err
	}
	if r.Type == unix.RTN_BROADCAST && !e.opts.Broadcast.Load() {
		return unix.EACCES
	}
	if e.isPing && !e.bound {
		if err := e.ident(0); err != nil {
			return unix.EAGAIN
		}
	}
	e.raddr = r.Dst
	if !e.laddr.IsValid() {
		e.laddr = r.Src
	}
	return nil
}

func (e *Endpoint) lookup(dst netip.Addr, scope uint32) (ip.Route, error) {
	oif := e.opts.BoundDev.Load()
	if oif == 0 && dst.Is6() && (dst.IsLinkLocalUnicast() || dst.IsLinkLocalMulticast()) {
		oif = int32(scope)
	}
	if oif == 0 && dst.Is6() {
		oif = e.opts.PktInfoDev6.Load()
	}
	if oif == 0 && dst.IsMulticast() && dst.Is4() {
		oif = e.opts.MulticastIf().Index
	}
	src := e.laddr
	if src.IsValid() && !e.proto.ip.IsLocal(src) {
		src = netip.Addr{}
	}
	return e.proto.ip.Lookup(src, dst, oif, e.opts.Mark.Load())
}

// Abort disconnects a socket as an administrator has it done (sock_diag(7), SOCK_DESTROY): who has it gets
// ECONNABORTED.
func (e *Endpoint) Abort() error {
	e.mu.Lock()
	e.err, e.raddr = unix.ECONNABORTED, netip.Addr{}
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
	if !e.raddr.IsValid() {
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
	p := e.proto
	p.mu.Lock()
	l := &p.raw
	if e.isPing {
		l = &p.ping
	}
	*l = slices.DeleteFunc(slices.Clone(*l), func(x *Endpoint) bool { return x == e })
	p.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bound {
		p.idents.Release(&e.bind)
		e.bound = false
	}
	e.closed = true
	e.queue.Clear()
}

// LocalAddr implements sock.Endpoint.
func (e *Endpoint) LocalAddr() sock.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := sock.Addr{Addr: sock.View(e.family, e.laddr), Port: uint16(e.protocol)}
	if e.isPing {
		a.Port = e.bind.Port
	}
	return a
}

// RemoteAddr implements sock.Endpoint.
func (e *Endpoint) RemoteAddr() (sock.Addr, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.raddr.IsValid() {
		return sock.Addr{}, unix.ENOTCONN
	}
	return sock.Addr{Addr: e.raddr}, nil
}

// Available implements sock.Endpoint.
func (e *Endpoint) Available() (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.queue.First(); p != nil {
		return p.Len(), nil
	}
	return 0, nil
}

// Unsent implements sock.Endpoint.
func (e *Endpoint) Unsent() (int, error) { return 0, nil }

// Readiness implements sock.Endpoint.
func (e *Endpoint) Readiness() uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := uint32(unix.POLLOUT | sock.POLLWRNORM)
	if e.err != 0 {
		m |= unix.POLLERR
	}
	if e.shut&1 != 0 {
		m |= unix.POLLRDHUP | unix.POLLIN | sock.POLLRDNORM
	}
	if e.shut == 3 {
		m |= unix.POLLHUP
	}
	if e.queue.First() != nil {
		m |= unix.POLLIN | sock.POLLRDNORM
	}
	return m
}

// TakeError implements sock.Endpoint.
func (e *Endpoint) TakeError() unix.Errno {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.err
	e.err = 0
	return err
}

// Sockets are all raw sockets, or all ping sockets.
func (p *Protocol) Sockets(ping bool) []sock.Info {
	p.mu.RLock()
	l := p.raw
	if ping {
		l = p.ping
	}
	p.mu.RUnlock()
	var list []sock.Info
	for _, e := range l {
		local := e.LocalAddr()
		e.mu.Lock()
		i := sock.Info{Endpoint: e, Family: e.family, Protocol: int(e.protocol), State: 7, Local: local, Remote: sock.Addr{Addr: sock.View(e.family, e.raddr)},
			RecvQueue: e.queue.Charged(), UID: e.opts.UID.Load(), Inode: e.opts.Inode.Load(), Drops: e.queue.Drops(), Dev: e.opts.BoundDev.Load()}
		if e.raddr.IsValid() {
			i.State = 1
		}
		e.mu.Unlock()
		list = append(list, i)
	}
	return list
}

// SetHeaderIncluded is IP_HDRINCL and IPV6_HDRINCL.
func (e *Endpoint) SetHeaderIncluded(on bool) {
	e.mu.Lock()
	e.hdrincl = on
	e.mu.Unlock()
}

// HeaderIncluded is IP_HDRINCL and IPV6_HDRINCL.
func (e *Endpoint) HeaderIncluded() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hdrincl
}

// SetICMPFilter is ICMP_FILTER: a bit for each type that is not wanted.
func (e *Endpoint) SetICMPFilter(mask uint32) { e.icmpFilter.Store(mask) }

// ICMPFilter is ICMP_FILTER.
func (e *Endpoint) ICMPFilter() uint32 { return e.icmpFilter.Load() }

// SetICMP6Filter is ICMP6_FILTER: a bit for each type that is not wanted (RFC
// 3542 section 3.2).
func (e *Endpoint) SetICMP6Filter(mask [8]uint32) {
	e.mu.Lock()
	e.filter6 = mask
	e.mu.Unlock()
}

// ICMP6Filter is ICMP6_FILTER.
func (e *Endpoint) ICMP6Filter() [8]uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.filter6
}

// SetChecksum is IPV6_CHECKSUM: the offset of the checksum, -1 for none. EINVAL
// if it is odd, or for an ICMPv6 socket.
func (e *Endpoint) SetChecksum(off int) error {
	if off > 0 && off%2 != 0 || e.protocol == unix.IPPROTO_ICMPV6 && off != wire.ICMPChecksumOffset || off > 64 {
		return unix.EINVAL
	}
	e.mu.Lock()
	e.csum = max(off, -1)
	e.mu.Unlock()
	return nil
}

var _ sock.Endpoint = (*Endpoint)(nil)
