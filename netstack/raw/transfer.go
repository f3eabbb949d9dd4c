package raw

import (
	"io"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Recv implements sock.Endpoint. An IPv4 raw socket gets the IP header as well.
func (e *Endpoint) Recv(w io.Writer, n int, m *sock.Msg) (int, error) {
	m.OutFlags = 0
	m.Addr = sock.Addr{}
	m.Control.Has = 0
	if m.Flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	if m.Flags&unix.MSG_ERRQUEUE != 0 {
		return 0, unix.EAGAIN
	}
	e.mu.Lock()
	if err := e.err; err != 0 {
		e.err = 0
		e.mu.Unlock()
		return 0, err
	}
	b := e.queue.Take(m.Flags&unix.MSG_PEEK != 0)
	shut, drops := e.shut&1 != 0, e.queue.Drops()
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
		return 0, err
	}
	if size > n {
		m.OutFlags |= unix.MSG_TRUNC
	}
	m.Addr = sock.Addr{Addr: b.Src}
	if b.Src.Is6() && b.Src.IsLinkLocalUnicast() {
		m.Addr.Scope = uint32(b.InIf)
	}
	if e.opts.Timestamp.Load() && b.Time == 0 {
		b.Time = e.proto.ip.Wheel.Wall().UnixNano()
	}
	sock.FillControl(&e.opts, e.family, b, m, drops)
	if m.Flags&unix.MSG_TRUNC != 0 {
		return size, nil
	}
	return min(n, size), nil
}

// Send implements sock.Endpoint.
func (e *Endpoint) Send(r io.Reader, n int, m *sock.Msg) (int, error) {
	if n > ip.MaxIPv4 {
		return 0, unix.EMSGSIZE
	}
	if m.Flags&unix.MSG_OOB != 0 {
		return 0, unix.EOPNOTSUPP
	}
	e.mu.Lock()
	defer e.proto.ip.Run()
	defer e.mu.Unlock()
	if e.shut&2 != 0 {
		return 0, unix.EPIPE
	}
	if err := e.err; err != 0 {
		e.err = 0
		return 0, err
	}
	dst, scope := e.raddr, uint32(0)
	if m.Addr.Addr.IsValid() {
		if err := e.check(m.Addr.Addr); err != nil {
			return 0, err
		}
		dst, scope = m.Addr.Addr, m.Addr.Scope
	}
	if !dst.IsValid() {
		return 0, unix.EDESTADDRREQ
	}
	rt, err := e.lookup(dst, scope)
	if err != nil {
		return 0, err
	}
	if rt.Type == unix.RTN_BROADCAST && !e.opts.Broadcast.Load() {
		return 0, unix.EACCES
	}
	if e.isPing && !e.bound {
		if e.ident(0) != nil {
			return 0, unix.EAGAIN
		}
	}
	// The copy may wait for a page: not under the lock.
	hdrincl, csum, id := e.hdrincl, e.csum, e.bind.Port
	e.mu.Unlock()
	p := pkt.New()
	err = sock.Fill(p, r, n)
	if err == nil {
		err = e.output(p, &rt, n, hdrincl, csum, id, m)
	} else {
		p.Free()
	}
	e.mu.Lock()
	if err != nil {
		return 0, err
	}
	return n, nil
}

// output sends what has been copied into p; p is used up.
func (e *Endpoint) output(p *pkt.Packet, rt *ip.Route, n int, hdrincl bool, csum int, id uint16, m *sock.Msg) error {
	s := e.proto.ip
	v4 := e.family == unix.AF_INET
	p.Src, p.Dst, p.Proto, p.Mark = rt.Src, rt.Dst, e.protocol, e.opts.Mark.Load()
	p.Owned, p.UID, p.GID = true, e.opts.UID.Load(), e.opts.GID.Load()
	if hdrincl {
		return s.OutputHeader(p, rt)
	}
	if e.isPing {
		h := wire.ICMP(p.Pull(wire.ICMPLen))
		req := uint8(wire.ICMPEcho)
		if !v4 {
			req = wire.ICMPv6Echo
		}
		if h == nil || h.Type() != req || h.Code() != 0 {
			p.Free()
			return unix.EINVAL
		}
		h.Put(req, 0, uint32(id)<<16|h.Rest()&0xffff)
		sum := uint16(0)
		if !v4 {
			sum = wire.PseudoSum(p.Src, p.Dst, p.Proto, n)
		}
		h.SetChecksum(^p.SumFrom(0, sum))
	} else if !v4 && csum >= 0 {
		h := p.Pull(csum + 2)
		if h == nil {
			p.Free()
			return unix.EINVAL
		}
		h[csum], h[csum+1] = 0, 0
		c := ^p.SumFrom(0, wire.PseudoSum(p.Src, p.Dst, p.Proto, n))
		h[csum], h[csum+1] = byte(c>>8), byte(c)
	}
	ttl := e.opts.TTL.Load()
	p.TOS = uint8(e.opts.TOS.Load())
	multicast := p.Dst.IsMulticast()
	loop := multicast && e.opts.MulticastLoop.Load()
	if v4 {
		if multicast {
			ttl = e.opts.MulticastTTL.Load()
		}
		pmtud := e.opts.MTUDiscover.Load()
		if p.DF = pmtud == unix.IP_PMTUDISC_DO || pmtud == unix.IP_PMTUDISC_PROBE; !p.DF {
			p.ID = s.NextID()
		}
	} else {
		ttl = e.opts.HopLimit.Load()
		p.TOS = uint8(e.opts.TClass.Load())
		if multicast {
			ttl = e.opts.MulticastHops.Load()
			loop = e.opts.MulticastLoop6.Load()
		}
		p.DF = e.opts.DontFrag6.Load()
	}
	if m.Control.Has&sock.HasTTL != 0 {
		ttl = int32(m.Control.TTL)
	}
	if m.Control.Has&sock.HasTOS != 0 {
		p.TOS = m.Control.TOS
	}
	p.TTL = s.SelectTTL(p.Dst, ttl)
	return s.OutputMulticast(p, rt, loop)
}
