package ip

import (
	"net/netip"
	"sync"
	"time"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Error is an ICMP error about a packet that this host sent.
type Error struct {
	Errno      unix.Errno
	Hard       bool // ends a connection attempt (RFC 1122 section 4.2.3.9)
	Type, Code uint8
	MTU        int        // of packet too big, fragmentation needed; else 0
	Src, Dst   netip.Addr // of the packet in question
	Proto      uint8
	Header     []byte     // the start of its transport header, at least 8 bytes
	Offender   netip.Addr // who sent the error
	InIf       int32
}

// errno maps ICMP unreachable codes as Linux's icmp_err_convert does.
var unreachErrno = [...]struct {
	errno unix.Errno
	hard  bool
}{
	{unix.ENETUNREACH, false},
	{unix.EHOSTUNREACH, false},
	{unix.ENOPROTOOPT, true},
	{unix.ECONNREFUSED, true},
	{unix.EMSGSIZE, false},
	{unix.EOPNOTSUPP, false},
	{unix.ENETUNREACH, true},
	{unix.EHOSTDOWN, true},
	{unix.ENONET, true},
	{unix.ENETUNREACH, true},
	{unix.EHOSTUNREACH, true},
	{unix.ENETUNREACH, false},
	{unix.EHOSTUNREACH, false},
	{unix.EHOSTUNREACH, true},
	{unix.EHOSTUNREACH, true},
	{unix.EHOSTUNREACH, true},
}

// icmpInput takes an ICMP message (RFC 792, RFC 1122 section 3.2.2).
func (s *Stack) icmpInput(i *Interface, p *pkt.Packet) {
	defer func() { p.Free() }()
	c := &s.Counters.ICMP
	c.InMsgs.Inc()
	nl := int(p.NetLen)
	b := p.Pull(nl + wire.ICMPLen)
	if b == nil {
		c.InErrors.Inc()
		return
	}
	if p.Csum == pkt.CsumNone && p.SumFrom(nl, 0) != 0xffff {
		c.InCsumErrors.Inc()
		c.InErrors.Inc()
		return
	}
	h := wire.ICMP(b[nl:])
	c.InType[h.Type()].Inc()
	switch h.Type() {
	case wire.ICMPEcho:
		if s.Params.EchoIgnoreAll.Bool() || p.Type != pkt.ToHost && s.Params.EchoIgnoreBroadcasts.Bool() {
			return
		}
		s.echoReply(p, h, wire.ICMPEchoReply)
	case wire.ICMPEchoReply:
		s.pingInput(p)
	case wire.ICMPUnreachable, wire.ICMPTimeExceeded, wire.ICMPParamProblem, wire.ICMPSourceQuench:
		e := Error{Type: h.Type(), Code: h.Code(), Offender: p.Src, InIf: i.index}
		rest := h.Rest()
		at := nl + wire.ICMPLen
		in := wire.IPv4(p.Pull(at + wire.IPv4MinLen))
		if in == nil {
			c.InErrors.Inc()
			return
		}
		in = in[at:]
		hl := in.HeaderLen()
		b := p.Pull(at + hl + 8)
		if in[0]>>4 != 4 || hl < wire.IPv4MinLen || b == nil {
			c.InErrors.Inc()
			return
		}
		in = wire.IPv4(b[at:])
		e.Src, e.Dst, e.Proto, e.Header = in.Src(), in.Dst(), in.Proto(), quoted(p, at+hl)
		switch e.Type {
		case wire.ICMPUnreachable:
			if int(e.Code) >= len(unreachErrno) {
				return
			}
			e.Errno, e.Hard = unreachErrno[e.Code].errno, unreachErrno[e.Code].hard
			if e.Code == wire.ICMPFragNeeded {
				if e.MTU = int(rest & 0xffff); e.MTU == 0 {
					e.MTU = in.TotalLen() / 2
				}
				if s.IsLocal(e.Src) {
					s.UpdatePMTU(e.Dst, e.MTU)
				}
			}
		case wire.ICMPTimeExceeded:
			e.Errno = unix.EHOSTUNREACH
		case wire.ICMPParamProblem:
			e.Errno, e.Hard = unix.EPROTO, true
		default:
			return
		}
		s.errorInput(&e)
	}
}

// icmp6Input takes an ICMPv6 message (RFC 4443).
func (s *Stack) icmp6Input(i *Interface, p *pkt.Packet) {
	defer func() { p.Free() }()
	c := &s.Counters.ICMP6
	c.InMsgs.Inc()
	nl := int(p.NetLen)
	b := p.Pull(nl + wire.ICMPLen)
	if b == nil {
		c.InErrors.Inc()
		return
	}
	if p.Csum == pkt.CsumNone {
		if p.SumFrom(nl, wire.PseudoSum(p.Src, p.Dst, unix.IPPROTO_ICMPV6, p.Len()-nl)) != 0xffff {
			c.InCsumErrors.Inc()
			c.InErrors.Inc()
			return
		}
	}
	h := wire.ICMP(b[nl:])
	c.InType[h.Type()].Inc()
	switch h.Type() {
	case wire.ICMPv6Echo:
		if s.Params.EchoIgnoreAll.Bool() {
			return
		}
		s.echoReply(p, h, wire.ICMPv6EchoReply)
	case wire.ICMPv6EchoReply:
		s.pingInput(p)
	case wire.ICMPv6Unreachable, wire.ICMPv6PacketTooBig, wire.ICMPv6TimeExceeded, wire.ICMPv6ParamProblem:
		e := Error{Type: h.Type(), Code: h.Code(), Offender: p.Src, InIf: i.index}
		rest := h.Rest()
		at := nl + wire.ICMPLen
		b := p.Pull(at + wire.IPv6Len)
		if b == nil || b[at]>>4 != 6 {
			c.InErrors.Inc()
			return
		}
		in := wire.IPv6(b[at:])
		e.Src, e.Dst, e.Proto = in.Src(), in.Dst(), in.NextHeader()
		at += wire.IPv6Len
		for e.Proto == wire.ExtHopByHop || e.Proto == wire.ExtDestination || e.Proto == wire.ExtRouting || e.Proto == wire.ExtFragment {
			b := p.Pull(at + 8)
			if b == nil {
				return
			}
			n := 8
			if e.Proto != wire.ExtFragment {
				n += int(b[at+1]) * 8
			}
			e.Proto = b[at]
			at += n
		}
		if b = p.Pull(at + 8); b == nil {
			c.InErrors.Inc()
			return
		}
		e.Header = quoted(p, at)
		switch e.Type {
		case wire.ICMPv6Unreachable:
			switch e.Code {
			case wire.ICMPv6NoRoute:
				e.Errno = unix.ENETUNREACH
			case wire.ICMPv6AdminProhibited, 5, 6:
				e.Errno, e.Hard = unix.EACCES, true
			case wire.ICMPv6PortUnreachable:
				e.Errno, e.Hard = unix.ECONNREFUSED, true
			default:
				e.Errno = unix.EHOSTUNREACH
			}
		case wire.ICMPv6PacketTooBig:
			e.Errno, e.MTU = unix.EMSGSIZE, int(min(rest, 1<<16))
			if s.IsLocal(e.Src) {
				s.UpdatePMTU(e.Dst, e.MTU)
			}
		case wire.ICMPv6TimeExceeded:
			e.Errno = unix.EHOSTUNREACH
		case wire.ICMPv6ParamProblem:
			e.Errno, e.Hard = unix.EPROTO, true
		}
		s.errorInput(&e)
	default:
		s.ndpInput(i, p, h)
	}
}

// quoted is a copy of what an ICMP error quotes from off on.
func quoted(p *pkt.Packet, off int) []byte {
	b := make([]byte, p.Len()-off)
	p.CopyOut(off, b)
	return b
}

// errorInput tells the transport protocol, and raw sockets, of an error.
func (s *Stack) errorInput(e *Error) {
	if t := s.proto[e.Proto]; t != nil {
		t.Error(e)
	}
	s.rawError(e)
}

// echoReply answers an echo request with its own data.
func (s *Stack) echoReply(p *pkt.Packet, h wire.ICMP, typ uint8) {
	src := p.Dst
	if p.Type != pkt.ToHost {
		src = netip.Addr{}
	}
	oif := int32(0)
	if p.Src.IsLinkLocalUnicast() {
		oif = p.InIf
	}
	r, err := s.Lookup(src, p.Src, oif, 0)
	if err != nil {
		return
	}
	q := pkt.New()
	wire.ICMP(q.Append(wire.ICMPLen)).Put(typ, 0, h.Rest())
	off := int(p.NetLen) + wire.ICMPLen
	p.TrimFront(off)
	if rest := p.Header(); len(rest) > 0 {
		copy(q.Append(len(rest)), rest)
	}
	for _, f := range p.Frags() {
		f.Buf.Ref()
		q.AddFrag(f)
	}
	q.Src, q.Dst, q.TOS = r.Src, r.Dst, p.TOS
	s.sendICMP(q, &r)
}

// sendICMP completes the checksum of a message and sends it.
func (s *Stack) sendICMP(q *pkt.Packet, r *Route) {
	h := wire.ICMP(q.Header())
	c := &s.Counters.ICMP
	q.TTL = s.SelectTTL(q.Dst, -1)
	h.SetChecksum(0)
	if q.Dst.Is4() {
		q.Proto = unix.IPPROTO_ICMP
		h.SetChecksum(^q.SumFrom(0, 0))
		q.ID = s.NextID()
	} else {
		c = &s.Counters.ICMP6
		q.Proto = unix.IPPROTO_ICMPV6
		h.SetChecksum(^q.SumFrom(0, wire.PseudoSum(q.Src, q.Dst, q.Proto, q.Len())))
	}
	c.OutMsgs.Inc()
	c.OutType[h.Type()].Inc()
	s.Output(q, r)
}

// SendError answers p, which starts with its network header, with an ICMP or
// ICMPv6 error, unless the rules forbid it (RFC 1122 section 3.2.2, RFC 4443
// section 2.4) or too many have been sent. p stays the caller's.
func (s *Stack) SendError(p *pkt.Packet, typ, code uint8, rest uint32) {
	if p.Type != pkt.ToHost || !p.Src.IsValid() || p.Src.IsUnspecified() || p.Src.IsMulticast() || s.IsBroadcast(p.Src) {
		return
	}
	is4 := p.Src.Is4()
	h := p.Header()
	if is4 {
		if wire.IPv4(h).FragOffset() != 0 {
			return
		}
		if p.Proto == unix.IPPROTO_ICMP {
			if b := p.Pull(int(p.NetLen) + 1); b == nil || isErrorType(b[p.NetLen]) {
				return
			}
		}
	} else if p.Proto == unix.IPPROTO_ICMPV6 {
		if b := p.Pull(int(p.NetLen) + 1); b == nil || b[p.NetLen] < 128 || b[p.NetLen] == wire.ICMPv6Redirect {
			return
		}
	}
	if !s.limiter.allow(s, p.Src) {
		s.Counters.ICMP.OutRateLimited.Inc()
		return
	}
	src := p.Dst
	if !s.IsLocal(src) {
		src = netip.Addr{}
	}
	oif := int32(0)
	if p.Src.IsLinkLocalUnicast() {
		oif = p.InIf
	}
	r, err := s.Lookup(src, p.Src, oif, 0)
	if err != nil {
		return
	}
	q := pkt.New()
	wire.ICMP(q.Append(wire.ICMPLen)).Put(typ, code, rest)
	room := 576 - wire.IPv4MinLen - wire.ICMPLen
	if !is4 {
		room = wire.IPv6MinMTU - wire.IPv6Len - wire.ICMPLen
	}
	n := min(room, p.Len())
	buf := pkt.Alloc(n)
	p.CopyOut(0, buf.Bytes()[:n])
	q.AddFrag(pkt.Frag{Buf: buf, Len: uint32(n)})
	q.Src, q.Dst = r.Src, r.Dst
	q.Conn, q.ConnInfo, q.Answers = p.Conn, p.ConnInfo, p.Conn != nil
	if is4 {
		q.TOS = p.TOS&0x1e | 0xc0 // precedence 6 (RFC 1812 section 4.3.2.5)
	}
	s.sendICMP(q, &r)
}

func isErrorType(t uint8) bool {
	switch t {
	case wire.ICMPUnreachable, wire.ICMPSourceQuench, wire.ICMPRedirect, wire.ICMPTimeExceeded, wire.ICMPParamProblem:
		return true
	}
	return false
}

// icmpLimiter bounds the errors sent: per peer by icmp_ratelimit with a burst
// of six, as Linux does, and in all. The table of peers is of fixed size.
type icmpLimiter struct {
	mu     sync.Mutex
	global bucket
	peers  [256]struct {
		addr netip.Addr
		bucket
	}
}

// bucket is a token bucket counted in time.
type bucket struct{ full time.Duration }

func (b *bucket) take(now, per time.Duration, burst int) bool {
	if b.full < now-per*time.Duration(burst) {
		b.full = now - per*time.Duration(burst)
	}
	if b.full+per > now {
		return false
	}
	b.full += per
	return true
}

func (l *icmpLimiter) allow(s *Stack, a netip.Addr) bool {
	limit := s.Params.ICMPRateLimit
	if a.Is6() {
		limit = s.Params.ICMPRateLimit6
	}
	per := time.Duration(limit.Get()) * time.Millisecond
	if per == 0 || a.IsLoopback() || s.IsLocal(a) {
		return true
	}
	now := s.Wheel.Now()
	h := uint32(0)
	if a.Is4() {
		v := a.As4()
		h = uint32(v[3]) ^ uint32(v[2])*31 ^ uint32(v[1])*17
	} else {
		v := a.As16()
		for _, x := range v {
			h = h*31 + uint32(x)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &l.peers[h%uint32(len(l.peers))]
	if e.addr != a {
		e.addr, e.bucket = a, bucket{}
	}
	all := s.Params.ICMPMsgs.Get()
	return e.take(now, per, 6) && all > 0 && l.global.take(now, time.Second/time.Duration(all), max(s.Params.ICMPBurst.Get(), 1))
}
