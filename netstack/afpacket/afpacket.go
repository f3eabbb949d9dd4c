// Package afpacket has packet sockets (packet(7)): they see and send frames of
// a stack's interfaces. Rings in application memory are a Sink of the caller's.
//
// Endpoint.mu is a leaf but for the interfaces' list of taps.
package afpacket

import (
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"

	"casemate/netstack/bpf"
	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Addr is struct sockaddr_ll.
type Addr struct {
	Protocol uint16 // host byte order
	Index    int32
	HAType   uint16 // ARPHRD_*
	PktType  uint8  // PACKET_*
	HALen    uint8
	HWAddr   [8]byte
}

// Stats is struct tpacket_stats.
type Stats struct{ Packets, Drops uint32 }

// Endpoint is a packet socket.
type Endpoint struct {
	ip     *ip.Stack
	cooked bool // SOCK_DGRAM: without the link header
	opts   sock.Options
	notify atomic.Pointer[func(uint32)]
	filter atomic.Pointer[bpf.Program]
	sink   atomic.Pointer[Sink]

	mu       sync.Mutex // what follows
	queue    sock.Queue
	protocol uint16 // 0: nothing is received
	index    int32  // 0: all interfaces
	tapped   []*ip.Interface
	ignore   bool // PACKET_IGNORE_OUTGOING
	stats    Stats
	closed   bool
	err      unix.Errno
}

// New makes a packet socket of type SOCK_RAW or SOCK_DGRAM that receives the
// protocol (ETH_P_*, host byte order; 0: nothing) of all interfaces. Whether the
// caller may have one (CAP_NET_RAW) is the caller's to check.
func New(s *ip.Stack, typ int, protocol uint16) *Endpoint {
	e := &Endpoint{ip: s, cooked: typ == unix.SOCK_DGRAM, protocol: protocol}
	e.opts.Init(s.Limits, s.Limits.RmemDefault.Get(), s.Limits.WmemDefault.Get())
	e.mu.Lock()
	e.retap()
	e.mu.Unlock()
	return e
}

// retap attaches to the interfaces that the endpoint is bound to. e.mu is held.
func (e *Endpoint) retap() {
	for _, i := range e.tapped {
		i.RemoveTap(e)
	}
	e.tapped = nil
	if e.closed || e.protocol == 0 {
		return
	}
	for _, i := range e.ip.Interfaces() {
		if e.index == 0 || e.index == i.Index() {
			i.AddTap(e)
			e.tapped = append(e.tapped, i)
		}
	}
}

// Bind sets protocol and interface: ENODEV. Protocol 0 keeps the one in force.
func (e *Endpoint) Bind(a Addr) error {
	if a.Index != 0 && e.ip.Interface(a.Index) == nil {
		return unix.ENODEV
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if a.Protocol != 0 {
		e.protocol = a.Protocol
	}
	e.index = a.Index
	e.retap()
	return nil
}

// LocalAddr is getsockname(2).
func (e *Endpoint) LocalAddr() Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := Addr{Protocol: e.protocol, Index: e.index}
	if i := e.ip.Interface(e.index); i != nil {
		info := i.Info()
		a.HAType, a.HALen = info.Type, 6
		copy(a.HWAddr[:], info.HWAddr[:])
	}
	return a
}

// SetFilter sets what decides how many bytes of a frame are kept (SO_ATTACH_FILTER);
// nil keeps all. It has been checked.
func (e *Endpoint) SetFilter(f bpf.Program) {
	if f == nil {
		e.filter.Store(nil)
		return
	}
	e.filter.Store(&f)
}

// A Sink takes frames in place of the queue, as a ring in memory does (packet(7),
// PACKET_RX_RING). size is the frame's length, of which p may hold less. It must not keep
// p, and reports whether there was room.
type Sink func(p *pkt.Packet, size int, from Addr) bool

// SetSink sets what takes frames; nil: the queue does.
func (e *Endpoint) SetSink(f Sink) {
	if f == nil {
		e.sink.Store(nil)
		return
	}
	e.sink.Store(&f)
}

// SetIgnoreOutgoing is PACKET_IGNORE_OUTGOING.
func (e *Endpoint) SetIgnoreOutgoing(on bool) {
	e.mu.Lock()
	e.ignore = on
	e.mu.Unlock()
}

// TakeStats is PACKET_STATISTICS, which resets the counts.
func (e *Endpoint) TakeStats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	e.stats = Stats{}
	return s
}

// hasHeader reports whether an interface's frames have an Ethernet header as
// programs see them: lo's do, though nothing is sent there.
func hasHeader(i *ip.Interface) bool {
	t := i.Info().Type
	return t == unix.ARPHRD_ETHER || t == unix.ARPHRD_LOOPBACK
}

// Tap implements ip.Tap.
func (e *Endpoint) Tap(i *ip.Interface, p *pkt.Packet) {
	e.mu.Lock()
	protocol := e.protocol
	skip := e.closed || e.ignore && p.Type == pkt.Outgoing || protocol != unix.ETH_P_ALL && (protocol != p.EtherType || p.Type == pkt.Outgoing || wire.IsTag(protocol))
	e.mu.Unlock()
	if skip {
		return
	}
	q := p.Clone()
	q.InIf = i.Index()
	q.Type = p.Type
	if q.Tag.Type != 0 && protocol != unix.ETH_P_ALL {
		// Who asks for a protocol sees frames when they have found their VLAN.
		if q.Tag.VLAN() != 0 && !i.HasVLAN(q.Tag) {
			q.Type = pkt.OtherHost
		}
		q.Tag = pkt.Tag{}
	}
	if q.Time == 0 {
		q.Time = e.ip.Wheel.Wall().UnixNano()
	}
	switch i.Info().Type {
	case unix.ARPHRD_ETHER:
		if e.cooked {
			q.TrimFront(wire.EthernetLen)
		}
	case unix.ARPHRD_LOOPBACK:
		if !e.cooked {
			wire.Ethernet(q.Prepend(wire.EthernetLen)).Put(wire.MAC{}, wire.MAC{}, q.EtherType)
		}
	}
	size := q.Len()
	if f := e.filter.Load(); f != nil {
		n := e.run(*f, i, q)
		if n == 0 {
			q.Free()
			return
		}
		if int64(n) < int64(size) {
			q.Truncate(int(n))
		}
	}
	if sink := e.sink.Load(); sink != nil {
		ok := (*sink)(q, size, e.source(q))
		q.Free()
		e.count(ok)
		if fn := e.notify.Load(); ok && fn != nil {
			(*fn)(unix.POLLIN | sock.POLLRDNORM)
		}
		return
	}
	e.mu.Lock()
	ok := !e.closed && e.queue.Put(q, e.opts.RcvBuf())
	e.mu.Unlock()
	e.count(ok)
	if !ok {
		q.Free()
		return
	}
	if fn := e.notify.Load(); fn != nil {
		(*fn)(unix.POLLIN | sock.POLLRDNORM)
	}
}

// innermost is the protocol of what is in a frame without its header, behind further tags.
func innermost(q *pkt.Packet) uint16 {
	protocol := q.EtherType
	for at := 0; wire.IsTag(protocol); at += 4 {
		var tag [4]byte // what is left of it: TCI, protocol
		if q.CopyOut(at, tag[:]) < len(tag) {
			break
		}
		protocol = binary.BigEndian.Uint16(tag[2:])
	}
	return protocol
}

// count counts a frame for TakeStats.
func (e *Endpoint) count(taken bool) {
	e.mu.Lock()
	e.stats.Packets++
	if !taken {
		e.stats.Drops++
	}
	e.mu.Unlock()
}

// run runs a filter over a frame.
func (e *Endpoint) run(f bpf.Program, i *ip.Interface, q *pkt.Packet) uint32 {
	b := make([]byte, q.Len())
	q.CopyOut(0, b)
	p := bpf.Packet{Data: b, Len: len(b), Protocol: q.EtherType, PktType: q.Type, IfIndex: uint32(q.InIf), Mark: q.Mark, HAType: i.Info().Type,
		TagType: q.Tag.Type, Tag: q.Tag.TCI}
	if !e.cooked && hasHeader(i) {
		p.Network = wire.EthernetLen
	}
	return f.Run(&p)
}

// source is a frame's link-level address.
func (e *Endpoint) source(q *pkt.Packet) Addr {
	a := Addr{Protocol: q.EtherType, Index: q.InIf, PktType: q.Type}
	if i := e.ip.Interface(q.InIf); i != nil {
		a.HAType = i.Info().Type
		if hasHeader(i) {
			a.HALen = 6
			if e.cooked {
				a.Protocol = innermost(q)
			} else {
				if h := q.Pull(wire.EthernetLen); h != nil {
					s := wire.Ethernet(h).Src()
					copy(a.HWAddr[:], s[:])
				}
			}
		}
	}
	return a
}

// Recv is recvmsg(2): EAGAIN if no frame waits. MSG_PEEK and MSG_TRUNC are
// obeyed. It returns the frame's link-level address and its tag.
func (e *Endpoint) Recv(w io.Writer, n int, m *sock.Msg) (int, Addr, pkt.Tag, error) {
	m.OutFlags, m.Control.Has = 0, 0
	e.mu.Lock()
	if err := e.err; err != 0 {
		e.err = 0
		e.mu.Unlock()
		return 0, Addr{}, pkt.Tag{}, err
	}
	q := e.queue.Take(m.Flags&unix.MSG_PEEK != 0)
	e.mu.Unlock()
	if q == nil {
		return 0, Addr{}, pkt.Tag{}, unix.EAGAIN
	}
	defer q.Free()
	a := e.source(q)
	size := q.Len()
	if err := sock.CopyTo(w, q, min(n, size)); err != nil {
		return 0, a, q.Tag, err
	}
	if size > n {
		m.OutFlags |= unix.MSG_TRUNC
	}
	if e.opts.Timestamp.Load() {
		m.Control.Has |= sock.HasTimestamp
		m.Control.Time = q.Time
	}
	if m.Flags&unix.MSG_TRUNC != 0 {
		return size, a, q.Tag, nil
	}
	return min(n, size), a, q.Tag, nil
}

// Send is sendmsg(2): a SOCK_RAW frame goes as it is by the interface that to,
// or else the binding, names; SOCK_DGRAM gets its header from to. ENXIO without
// an interface, ENETDOWN, EMSGSIZE, EINVAL for a frame without a whole header.
func (e *Endpoint) Send(r io.Reader, n int, to *Addr) (int, error) {
	local := e.LocalAddr()
	nobody := to == nil
	if nobody {
		to = &local
	}
	index, proto := to.Index, to.Protocol
	if index == 0 {
		index = local.Index
	}
	if proto == 0 {
		proto = local.Protocol
	}
	i := e.ip.Interface(index)
	if i == nil {
		return 0, unix.ENXIO
	}
	hl := 0
	if hasHeader(i) {
		hl = wire.EthernetLen
	}
	switch {
	case i.Flags()&unix.IFF_UP == 0:
		return 0, unix.ENETDOWN
	case !e.cooked && n < hl, e.cooked && nobody && i.Info().Type == unix.ARPHRD_ETHER:
		return 0, unix.EINVAL
	case e.cooked && n > i.MTU() || !e.cooked && n > i.MTU()+hl+4:
		return 0, unix.EMSGSIZE
	}
	p := pkt.New()
	if err := sock.Fill(p, r, n); err != nil {
		p.Free()
		return 0, err
	}
	p.EtherType = proto
	if e.cooked {
		if hl > 0 {
			wire.Ethernet(p.Prepend(hl)).Put(wire.MAC(to.HWAddr[:6]), i.Info().HWAddr, proto)
		}
	} else if hl > 0 {
		p.EtherType = wire.Ethernet(p.Pull(hl)).Type()
	}
	i.SendFrame(p)
	e.ip.Run()
	return n, nil
}

// Readiness is the poll(2) events that hold now.
func (e *Endpoint) Readiness() uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := uint32(unix.POLLOUT | sock.POLLWRNORM)
	if e.queue.First() != nil {
		m |= unix.POLLIN | sock.POLLRDNORM
	}
	if e.err != 0 {
		m |= unix.POLLERR
	}
	return m
}

// SetNotify sets what is called when events may have begun to hold; see
// sock.Endpoint.
func (e *Endpoint) SetNotify(fn func(events uint32)) {
	if fn == nil {
		e.notify.Store(nil)
		return
	}
	e.notify.Store(&fn)
}

// Available is the size of the next frame in bytes.
func (e *Endpoint) Available() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.queue.First(); p != nil {
		return p.Len()
	}
	return 0
}

// Options are the options that all sockets share.
func (e *Endpoint) Options() *sock.Options { return &e.opts }

// Close gives up the endpoint.
func (e *Endpoint) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.retap()
	e.queue.Clear()
}
