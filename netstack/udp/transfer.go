package udp

import (
	"io"
	"net/netip"
	"slices"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// maxData is the most data of one datagram in bytes.
func maxData(v4 bool) int {
	if v4 {
		return ip.MaxIPv4 - wire.IPv4MinLen - wire.UDPLen
	}
	return ip.MaxIPv4 - wire.UDPLen
}

// Send implements sock.Endpoint (sendmsg(2), udp(7)): EDESTADDRREQ, EMSGSIZE,
// EACCES for a broadcast address without SO_BROADCAST, EPIPE after shutdown. A
// pending error of a connected socket is returned first.
func (e *Endpoint) Send(r io.Reader, n int, m *sock.Msg) (int, error) {
	if n > 65535 {
		return 0, unix.EMSGSIZE
	}
	if m.Flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	e.mu.Lock()
	d, rt, gso, err := e.prepare(n, m)
	e.mu.Unlock()
	if err != nil {
		return 0, err
	}
	// The copy is made without a lock.
	p := pkt.New()
	if err := sock.Fill(p, r, n); err != nil {
		p.Free()
		return 0, err
	}
	e.mu.Lock()
	hash := wire.FlowHash(rt.Src, d.addr, e.bind.Port, d.port)
	if more := m.Flags&unix.MSG_MORE != 0 || e.corked; more || e.cork != nil {
		err = e.append(p, d, more)
	} else {
		err = e.transmit(p, &d, &rt, gso, m)
	}
	stamped := e.stamped
	e.mu.Unlock()
	e.proto.ip.Flush(hash)
	if stamped {
		e.tellStamps()
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// prepare finds the destination and the way there. e.mu is held.
func (e *Endpoint) prepare(n int, m *sock.Msg) (d destination, r ip.Route, gso uint16, err error) {
	if err = e.autobind(); err != nil {
		return
	}
	var from netip.Addr
	if m.Control.Has&sock.HasPktInfo != 0 {
		from = m.Control.Dst.Unmap()
		if from.IsValid() && from.IsUnspecified() {
			from = netip.Addr{}
		}
		if from.IsValid() && !e.proto.ip.IsLocal(from) && !e.opts.FreeBind.Load() && !e.opts.Transparent.Load() {
			return d, r, 0, unix.EINVAL
		}
	}
	switch {
	case m.Addr.Addr.IsValid():
		if d.addr, err = e.unmap(m.Addr.Addr); err != nil {
			return
		}
		if m.Addr.Port == 0 {
			return d, r, 0, unix.EINVAL
		}
		d.port, d.scope = m.Addr.Port, m.Addr.Scope
		if e.family == unix.AF_INET6 && d.addr.Is4() && e.fixed.addr.Is6() {
			return d, r, 0, unix.ENETUNREACH
		}
		if m.Control.Has&sock.HasPktInfo != 0 && m.Control.IfIndex != 0 && d.scope == 0 {
			d.scope = uint32(m.Control.IfIndex)
		}
		r, err = e.lookup(&d, from)
	case e.conn:
		d = destination{addr: e.raddr, port: e.rport, scope: uint32(e.opts.BoundDev.Load())}
		if !from.IsValid() && e.route.Fresh() {
			r = e.route
		} else if r, err = e.lookup(&d, from); err == nil && !from.IsValid() {
			e.route = r
		}
	case e.cork != nil:
		d = e.corkTo
		r, err = e.lookup(&d, from)
	default:
		err = unix.EDESTADDRREQ
	}
	if err != nil {
		return
	}
	if e.err != 0 {
		err, e.err = e.err, 0
		return
	}
	if e.shut&shutSend != 0 {
		return d, r, 0, unix.EPIPE
	}
	d.addr = r.Dst
	if own := e.source(); e.conn && !m.Addr.Addr.IsValid() && own.IsValid() && !from.IsValid() {
		r.Src = own
	}
	if r.Type == unix.RTN_BROADCAST && !e.opts.Broadcast.Load() {
		return d, r, 0, unix.EACCES
	}
	if n > maxData(d.addr.Is4()) {
		return d, r, 0, unix.EMSGSIZE
	}
	gso = e.gso
	if m.Control.Has&sock.HasSegment != 0 {
		gso = m.Control.Segment
	}
	return
}

// append adds p's data to the datagram being put together and sends it if no
// more is to come. e.mu is held; p is used up.
func (e *Endpoint) append(p *pkt.Packet, d destination, more bool) error {
	if e.cork == nil {
		e.cork, e.corkTo = p, d
	} else {
		if e.cork.DataLen()+p.DataLen() > maxData(d.addr.Is4()) {
			p.Free()
			return unix.EMSGSIZE
		}
		ok := true
		for _, f := range p.Frags() {
			ok = ok && e.cork.AddBytes(f.Bytes())
		}
		p.Free()
		if !ok {
			return unix.ENOBUFS
		}
	}
	if more {
		return nil
	}
	return e.push()
}

// push sends the datagram that has been put together. e.mu is held.
func (e *Endpoint) push() error {
	p := e.cork
	if p == nil {
		return nil
	}
	e.cork = nil
	d := e.corkTo
	r, err := e.lookup(&d, netip.Addr{})
	if err != nil {
		p.Free()
		return err
	}
	return e.transmit(p, &d, &r, e.gso, &sock.Msg{})
}

// transmit sends p, which has the data only. e.mu is held.
func (e *Endpoint) transmit(p *pkt.Packet, d *destination, r *ip.Route, gso uint16, m *sock.Msg) error {
	s := e.proto.ip
	v4 := d.addr.Is4()
	c := e.proto.counters(v4)
	n := p.DataLen() + wire.UDPLen
	p.Src, p.Dst, p.Proto, p.Mark = r.Src, d.addr, unix.IPPROTO_UDP, e.opts.Mark.Load()
	p.Owned, p.UID, p.GID = true, e.opts.UID.Load(), e.opts.GID.Load()
	p.Hash = wire.FlowHash(p.Src, p.Dst, e.bind.Port, d.port)
	ttl := e.opts.TTL.Load()
	var pmtud int32
	if v4 {
		p.TOS = uint8(e.opts.TOS.Load())
		if d.addr.IsMulticast() {
			ttl = e.opts.MulticastTTL.Load()
		}
		pmtud = e.opts.MTUDiscover.Load()
	} else {
		p.TOS = uint8(e.opts.TClass.Load())
		ttl = e.opts.HopLimit.Load()
		if d.addr.IsMulticast() {
			ttl = e.opts.MulticastHops.Load()
		}
		pmtud = e.opts.MTUDiscover6.Load()
	}
	if m.Control.Has&sock.HasTTL != 0 {
		ttl = int32(m.Control.TTL)
	}
	if m.Control.Has&sock.HasTOS != 0 {
		p.TOS = m.Control.TOS
	}
	if m.Control.Has&sock.HasMark != 0 {
		p.Mark = m.Control.Mark
	}
	p.TTL = s.SelectTTL(d.addr, ttl)
	total := n + wire.IPv4MinLen
	if !v4 {
		total = n + wire.IPv6Len
	}
	if gso != 0 && p.DataLen() > int(gso) {
		if total-p.DataLen()+int(gso) > r.MTU || p.DataLen() > 128*int(gso) {
			p.Free()
			return unix.EINVAL
		}
		p.GSOSize = gso
	}
	switch pmtud {
	case unix.IP_PMTUDISC_DO, unix.IP_PMTUDISC_PROBE:
		p.DF = true
		mtu := r.MTU
		if pmtud == unix.IP_PMTUDISC_PROBE {
			mtu = r.Iface.MTU()
		}
		if total > mtu && p.GSOSize == 0 {
			e.localError(d, mtu, v4)
			p.Free()
			return unix.EMSGSIZE
		}
	case unix.IP_PMTUDISC_WANT:
		p.DF = v4 && total <= r.MTU
	}
	if !v4 && e.opts.DontFrag6.Load() && total > r.MTU {
		e.localError(d, r.MTU, v4)
		p.Free()
		return unix.EMSGSIZE
	}
	if v4 && !p.DF {
		p.ID = s.NextID()
	}
	h := wire.UDP(p.Prepend(wire.UDPLen))
	h.Put(e.bind.Port, d.port, n, 0)
	if !v4 || !e.opts.NoCheck.Load() {
		h.Put(e.bind.Port, d.port, n, wire.PseudoSum(p.Src, p.Dst, unix.IPPROTO_UDP, n))
		p.Csum, p.CsumOffset, p.CsumStart = pkt.CsumPartial, wire.UDPChecksumOffset, wire.IPv4MinLen
		if !v4 {
			p.CsumStart = wire.IPv6Len
		}
	}
	stamps := e.prepareStamps(p, m)
	loop := d.addr.IsMulticast() && (v4 && e.opts.MulticastLoop.Load() || !v4 && e.opts.MulticastLoop6.Load())
	e.stamp(&stamps, unix.SOF_TIMESTAMPING_TX_SCHED, sock.StampQueue)
	err := s.OutputMulticast(p, r, loop)
	if err == nil {
		e.stamp(&stamps, unix.SOF_TIMESTAMPING_TX_SOFTWARE, sock.StampOut)
		c.OutDatagrams.Inc()
	} else {
		c.SndbufErrors.Inc()
	}
	return err
}

// Recv implements sock.Endpoint (recvmsg(2), udp(7)). MSG_PEEK, MSG_TRUNC and
// MSG_ERRQUEUE are obeyed.
func (e *Endpoint) Recv(w io.Writer, n int, m *sock.Msg) (int, error) {
	m.OutFlags = 0
	m.Addr = sock.Addr{}
	m.Control.Has = 0
	if m.Flags&unix.MSG_ERRQUEUE != 0 {
		return e.recvError(w, n, m)
	}
	if m.Flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	peek := m.Flags&unix.MSG_PEEK != 0
	e.mu.Lock()
	if e.err != 0 {
		err := e.err
		e.err = 0
		e.mu.Unlock()
		return 0, err
	}
	b := e.queue.Take(peek)
	shut, drops := e.shut&shutRecv != 0, e.queue.Drops()
	e.mu.Unlock()
	if b == nil {
		if shut {
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	defer b.Free()

	size := b.Len()
	if err := sock.CopyTo(w, b, min(n, size)); err != nil {
		// As in Linux, the datagram is lost when the copy faults.
		return 0, err
	}
	if size > n {
		m.OutFlags |= unix.MSG_TRUNC
	}
	m.Addr = sock.Addr{Addr: sock.Mapped(e.family, b.Src), Port: uint16(b.Hash)}
	if b.Src.Is6() && b.Src.IsLinkLocalUnicast() {
		m.Addr.Scope = uint32(b.InIf)
	}
	e.control(b, m, drops)
	if m.Flags&unix.MSG_TRUNC != 0 {
		return size, nil
	}
	return min(n, size), nil
}

// control fills in the ancillary data that options ask for.
func (e *Endpoint) control(b *pkt.Packet, m *sock.Msg, drops uint32) {
	o, c := &e.opts, &m.Control
	if o.Timestamp.Load() && b.Time == 0 {
		b.Time = e.proto.ip.Wheel.Wall().UnixNano()
	}
	sock.FillControl(o, e.family, b, m, drops)
	if c.Has&sock.HasPktInfo != 0 && b.Type != pkt.ToHost {
		if r, err := e.proto.ip.Lookup(netip.Addr{}, b.Src, b.InIf, 0); err == nil {
			c.SpecDst = sock.Mapped(e.family, r.Src)
		}
	}
	if o.RecvOrigDst.Load() {
		c.Has |= sock.HasOrigDst
		c.OrigDst = sock.Addr{Addr: sock.Mapped(e.family, b.Dst), Port: e.bind.Port}
	}
	if b.GSOSize != 0 {
		c.Has |= sock.HasSegment
		c.Segment = b.GSOSize
	}
}

// queuedErr is an entry of the error queue.
type queuedErr struct {
	err  sock.ExtendedErr
	to   sock.Addr
	data []byte
	v4   bool
	at   int64 // of a time stamp, in ns since the epoch
}

// icmp reports whether the entry is of an ICMP error, of which SO_ERROR tells as well.
func (q *queuedErr) icmp() bool {
	return q.err.Origin == unix.SO_EE_ORIGIN_ICMP || q.err.Origin == unix.SO_EE_ORIGIN_ICMP6
}

// maxErrs bounds the error queue.
const maxErrs = 64

// icmpError takes an ICMP error about a datagram to port.
func (e *Endpoint) icmpError(x *ip.Error, port uint16) {
	v4 := x.Src.Is4()
	e.mu.Lock()
	recvErr := v4 && e.opts.RecvErr.Load() || !v4 && e.opts.RecvErr6.Load()
	if x.MTU != 0 {
		pm := e.opts.MTUDiscover.Load()
		if !v4 {
			pm = e.opts.MTUDiscover6.Load()
		}
		if pm == unix.IP_PMTUDISC_DONT {
			e.mu.Unlock()
			return
		}
	}
	if !recvErr && (!x.Hard || !e.conn) {
		e.mu.Unlock()
		return
	}
	if recvErr && len(e.errs) < maxErrs {
		q := queuedErr{v4: v4, to: sock.Addr{Addr: sock.Mapped(e.family, x.Dst), Port: port}, data: slices.Clone(x.Header[wire.UDPLen:])}
		q.err = sock.ExtendedErr{Errno: x.Errno, Origin: unix.SO_EE_ORIGIN_ICMP, Type: x.Type, Code: x.Code, Info: uint32(x.MTU),
			Offender: sock.Addr{Addr: sock.Mapped(e.family, x.Offender)}}
		if !v4 {
			q.err.Origin = unix.SO_EE_ORIGIN_ICMP6
		}
		e.errs = append(e.errs, q)
	}
	if !recvErr || e.conn || len(e.errs) > 0 {
		e.err = x.Errno
	}
	e.mu.Unlock()
	e.tell(unix.POLLERR)
}

// localError queues EMSGSIZE of our own making. e.mu is held.
func (e *Endpoint) localError(d *destination, mtu int, v4 bool) {
	if v4 && !e.opts.RecvErr.Load() || !v4 && !e.opts.RecvErr6.Load() || len(e.errs) >= maxErrs {
		return
	}
	q := queuedErr{v4: v4, to: sock.Addr{Addr: sock.Mapped(e.family, d.addr), Port: d.port}}
	q.err = sock.ExtendedErr{Errno: unix.EMSGSIZE, Origin: unix.SO_EE_ORIGIN_LOCAL, Info: uint32(mtu)}
	e.errs = append(e.errs, q)
}

// recvError is recvmsg(2) with MSG_ERRQUEUE: EAGAIN if the queue is empty.
func (e *Endpoint) recvError(w io.Writer, n int, m *sock.Msg) (int, error) {
	e.mu.Lock()
	if len(e.errs) == 0 {
		e.mu.Unlock()
		return 0, unix.EAGAIN
	}
	q := e.errs[0]
	e.errs = slices.Delete(e.errs, 0, 1)
	// What is reported next by SO_ERROR is the next entry.
	if len(e.errs) > 0 && e.errs[0].icmp() {
		e.err = e.errs[0].err.Errno
	} else if q.icmp() {
		e.err = 0
	}
	e.mu.Unlock()
	k := min(n, len(q.data))
	if c, err := w.Write(q.data[:k]); c < k {
		return 0, sock.Fault(err)
	}
	m.OutFlags |= unix.MSG_ERRQUEUE
	if k < len(q.data) {
		m.OutFlags |= unix.MSG_TRUNC
	}
	m.Addr = q.to
	m.Control.Has |= sock.HasError
	m.Control.Err = q.err
	if q.at != 0 {
		m.Control.Has |= sock.HasTimestamp
		m.Control.Time = q.at
	}
	return k, nil
}

// SetCork is UDP_CORK; clearing it sends what has been put together.
func (e *Endpoint) SetCork(on bool) error {
	e.mu.Lock()
	e.corked = on
	var err error
	if !on {
		err = e.push()
	}
	e.mu.Unlock()
	e.proto.ip.Run()
	e.tellStamps()
	return err
}

// Cork is UDP_CORK.
func (e *Endpoint) Cork() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.corked
}

// SetSegment is UDP_SEGMENT, in bytes: EINVAL if out of range.
func (e *Endpoint) SetSegment(n int) error {
	if n < 0 || n > 65535 {
		return unix.EINVAL
	}
	e.mu.Lock()
	e.gso = uint16(n)
	e.mu.Unlock()
	return nil
}

// Segment is UDP_SEGMENT, in bytes.
func (e *Endpoint) Segment() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return int(e.gso)
}
