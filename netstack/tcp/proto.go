// Package tcp is TCP (RFC 9293) with window scaling, timestamps and PAWS (RFC
// 7323), selective acknowledgements (RFC 2018, 2883, 6675), RACK-TLP (RFC
// 8985), F-RTO (RFC 5682), CUBIC (RFC 9438), NewReno and BBR, pacing, ECN (RFC
// 3168), Fast Open (RFC 7413), challenge ACKs (RFC 5961), SYN cookies and the
// socket behaviour of Linux's tcp(7).
//
// # Locks
//
// Each Endpoint has three locks, taken in this order: rmu (one reader at a
// time), wmu (one writer at a time), mu (the connection's state). Data is copied
// from and to the application under rmu or wmu only, so a copy that waits for a
// page does not hold up the protocol. mu is held for a short time, never while
// another endpoint's mu is wanted: what is sent goes into the stack's backlog
// and is delivered when mu has been released. Under mu come the locks of the
// connection table's shards, of a listener's queues (Endpoint.lq), of the port
// table and of the wheel, which are leaves.
package tcp

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/sysctl"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Params are the parameters net.ipv4.tcp_*.
type Params struct {
	Rmem, Wmem, Mem                                              *sysctl.Int
	Timestamps, SACK, DSACK, WindowScaling, SynCookies           *sysctl.Int
	SynRetries, SynackRetries, Retries2, OrphanRetries           *sysctl.Int
	KeepaliveTime, KeepaliveIntvl, KeepaliveProbes               *sysctl.Int
	FinTimeout, TwReuse, MaxTwBuckets, MaxSynBacklog             *sysctl.Int
	AbortOnOverflow, Rfc1337, ModerateRcvbuf, SlowStartAfterIdle *sysctl.Int
	ChallengeAckLimit, InvalidRatelimit                          *sysctl.Int
	NotsentLowat, MinSndMSS                                      *sysctl.Int
	ECN, ECNFallback, FastOpen, EarlyRetrans, FRTO               *sysctl.Int
	SynLinear, TwReuseDelay, RTOMin, RTOMax                      *sysctl.Int

	mu         sync.Mutex
	congestion string
}

// Congestion is net.ipv4.tcp_congestion_control.
func (p *Params) Congestion() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.congestion
}

// registerCongestion makes the parameters that name algorithms.
func (p *Params) registerCongestion(t *sysctl.Table) {
	all := func() string { return strings.Join(Algorithms(), " ") }
	t.Text("net.ipv4.tcp_congestion_control", p.Congestion, p.SetCongestion)
	t.Text("net.ipv4.tcp_available_congestion_control", all, nil)
	t.Text("net.ipv4.tcp_allowed_congestion_control", all, nil)
}

// SetCongestion sets the default algorithm: ENOENT if it is unknown.
func (p *Params) SetCongestion(name string) error {
	if !slices.Contains(Algorithms(), name) {
		return unix.ENOENT
	}
	p.mu.Lock()
	p.congestion = name
	p.mu.Unlock()
	return nil
}

func (p *Params) init(t *sysctl.Table) {
	const big = 1<<31 - 1
	n := func(name string, min, max int64, v ...int64) *sysctl.Int {
		return t.New("net.ipv4.tcp_"+name, min, max, v...)
	}
	p.Rmem = n("rmem", 1, big, 4096, 131072, 6291456)
	p.Wmem = n("wmem", 1, big, 4096, 16384, 4194304)
	p.Mem = n("mem", 0, big, 16384, 32768, 65536) // pages
	p.Timestamps = n("timestamps", 0, 2, 1)
	p.SACK = n("sack", 0, 1, 1)
	p.DSACK = n("dsack", 0, 1, 1)
	p.WindowScaling = n("window_scaling", 0, 1, 1)
	p.SynCookies = n("syncookies", 0, 2, 1)
	p.SynRetries = n("syn_retries", 1, 127, 6)
	p.SynackRetries = n("synack_retries", 0, 255, 5)
	p.Retries2 = n("retries2", 0, 255, 15)
	p.OrphanRetries = n("orphan_retries", 0, 255, 0)
	p.KeepaliveTime = n("keepalive_time", 0, big, 7200)
	p.KeepaliveIntvl = n("keepalive_intvl", 0, big, 75)
	p.KeepaliveProbes = n("keepalive_probes", 0, 255, 9)
	p.FinTimeout = n("fin_timeout", 0, big, 60)
	p.TwReuse = n("tw_reuse", 0, 2, 2)
	p.MaxTwBuckets = n("max_tw_buckets", 0, big, 65536)
	p.MaxSynBacklog = n("max_syn_backlog", 0, big, 1024)
	p.AbortOnOverflow = n("abort_on_overflow", 0, 1, 0)
	p.Rfc1337 = n("rfc1337", 0, 1, 0)
	p.ModerateRcvbuf = n("moderate_rcvbuf", 0, 1, 1)
	p.SlowStartAfterIdle = n("slow_start_after_idle", 0, 1, 1)
	p.ChallengeAckLimit = n("challenge_ack_limit", 0, big, big)
	p.InvalidRatelimit = n("invalid_ratelimit", 0, big, 500)
	p.NotsentLowat = n("notsent_lowat", 0, 1<<32-1, 1<<32-1)
	p.MinSndMSS = n("min_snd_mss", 48, 65535, 48)
	p.ECN = n("ecn", 0, 2, 2)
	p.ECNFallback = n("ecn_fallback", 0, 1, 1)
	p.EarlyRetrans = n("early_retrans", 0, 4, 3)
	p.FRTO = n("frto", 0, 2, 2)
	p.FastOpen = n("fastopen", 0, 0x7fffffff, tfoClient)
	p.SynLinear = n("syn_linear_timeouts", 0, 127, 4)
	p.TwReuseDelay = n("tw_reuse_delay", 1, 60000, 1000)
	p.RTOMin = n("rto_min_us", 1, big, int64(minRTO/time.Microsecond))
	p.RTOMax = n("rto_max_ms", 1000, int64(maxRTO/time.Millisecond), int64(maxRTO/time.Millisecond))
	p.congestion = "cubic"
	p.registerCongestion(t)
}

// Protocol is TCP on one stack.
type Protocol struct {
	Params Params

	ip    *ip.Stack
	ports sock.Ports
	conns [tableShards]shard

	lmu       sync.RWMutex
	listeners map[uint16][]*Endpoint

	// memory is what the queues of all endpoints are charged for, in bytes.
	memory      atomic.Int64
	timeWaits   atomic.Int32
	challenge   challengeLimiter
	portCounter atomic.Uint32
	cookies     cookieCache
}

const tableShards = 64

// tuple is a connection as the local side sees it. IPv4 addresses are mapped.
type tuple struct {
	laddr, raddr [16]byte
	lport, rport uint16
}

// conn is what a connection is in the table; one field is set.
type conn struct {
	ep  *Endpoint
	req *request
	tw  *timeWait
}

type shard struct {
	mu sync.RWMutex
	m  map[tuple]conn
	_  [32]byte
}

func (p *Protocol) shard(t *tuple) *shard {
	h := uint32(t.lport^t.rport)*0x9E3779B1 ^ uint32(t.laddr[15]^t.raddr[15])*0x85EBCA6B
	return &p.conns[h>>26]
}

func (p *Protocol) lookup(t *tuple) conn {
	s := p.shard(t)
	s.mu.RLock()
	c := s.m[*t]
	s.mu.RUnlock()
	return c
}

// insert adds a connection: false if there is one with the tuple.
func (p *Protocol) insert(t *tuple, c conn) bool {
	s := p.shard(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.m[*t]; ok {
		return false
	}
	if s.m == nil {
		s.m = make(map[tuple]conn)
	}
	s.m[*t] = c
	return true
}

// replace puts c in the place of old: false if old is no longer there.
func (p *Protocol) replace(t *tuple, old, c conn) bool {
	s := p.shard(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[*t] != old {
		return false
	}
	s.m[*t] = c
	return true
}

// remove takes c out of the table: false if it is no longer there.
func (p *Protocol) remove(t *tuple, c conn) bool {
	s := p.shard(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[*t] != c {
		return false
	}
	delete(s.m, *t)
	return true
}

// Close ends what goes on after sockets have been closed: connections in TIME-WAIT, and those
// that still send, or wait for the peer's FIN.
func (p *Protocol) Close() {
	for k := range p.conns {
		s := &p.conns[k]
		s.mu.RLock()
		left := slices.Collect(maps.Values(s.m))
		s.mu.RUnlock()
		for _, c := range left {
			switch {
			case c.tw != nil:
				c.tw.expire()
			case c.ep != nil:
				c.ep.lock()
				if c.ep.dead && c.ep.state != Close {
					c.ep.terminate()
				}
				c.ep.unlock()
			}
		}
	}
}

// New makes TCP for a stack and registers it.
func New(s *ip.Stack) *Protocol {
	p := &Protocol{ip: s, listeners: make(map[uint16][]*Endpoint)}
	p.Params.init(&s.Sysctl)
	s.Register(unix.IPPROTO_TCP, p)
	return p
}

// segment is a received segment as parsed.
type segment struct {
	p     *pkt.Packet
	t     tuple
	seq   uint32
	ack   uint32
	wnd   uint32 // as transmitted
	len   uint32 // of data, bytes
	flags uint8
	urg   uint16
	opt   wire.TCPOptions
	hl    int // bytes of p in front of the data
}

// end is the sequence number behind the segment, SYN and FIN counted.
func (g *segment) end() uint32 {
	n := g.seq + g.len
	if g.flags&wire.SYN != 0 {
		n++
	}
	if g.flags&wire.FIN != 0 {
		n++
	}
	return n
}

// Input implements ip.Transport.
func (p *Protocol) Input(b *pkt.Packet) {
	c := &p.ip.Counters.TCP
	c.InSegs.Inc()
	nl := int(b.NetLen)
	h := b.Pull(nl + wire.TCPMinLen)
	if h == nil || b.Type != pkt.ToHost {
		c.InErrs.Inc()
		b.Free()
		return
	}
	hl := wire.TCP(h[nl:]).HeaderLen()
	if h = b.Pull(nl + hl); hl < wire.TCPMinLen || h == nil {
		c.InErrs.Inc()
		b.Free()
		return
	}
	if b.Csum == pkt.CsumNone && b.SumFrom(nl, wire.PseudoSum(b.Src, b.Dst, unix.IPPROTO_TCP, b.Len()-nl)) != 0xffff {
		c.InCsumErrors.Inc()
		c.InErrs.Inc()
		b.Free()
		return
	}
	t := wire.TCP(h[nl:])
	g := segment{p: b, seq: t.Seq(), ack: t.Ack(), wnd: uint32(t.Window()), flags: t.Flags(), urg: t.UrgPtr(),
		t: tuple{laddr: b.Dst.As16(), raddr: b.Src.As16(), lport: t.DstPort(), rport: t.SrcPort()}}
	g.opt.Parse(t[wire.TCPMinLen:])
	g.len = uint32(b.Len() - nl - hl)
	g.hl = nl + hl
	p.dispatch(&g)
	b.Free()
}

// wanted reports whether a socket with these options takes the segment: its filter
// (SO_ATTACH_FILTER) and the least time to live of its packets (IP_MINTTL, RFC 5082)
// decide. The segment then begins with its data.
func (g *segment) wanted(o *sock.Options) bool {
	if g.hl == 0 {
		return true // it has been asked before
	}
	least := o.MinTTL.Load()
	if g.p.Dst.Is6() {
		least = o.MinHopCount.Load()
	}
	if int32(g.p.TTL) < least || o.Filter(g.p, int(g.p.NetLen)) == 0 {
		return false
	}
	g.p.TrimFront(g.hl)
	g.hl = 0
	return true
}

// dispatch finds whom a segment is for. It takes the segment's Frags or leaves
// them.
func (p *Protocol) dispatch(g *segment) {
	for range 8 { // until the table does not change under us
		c := p.lookup(&g.t)
		switch {
		case c.ep != nil:
			if g.wanted(&c.ep.opts) {
				c.ep.receive(g)
			}
			return
		case c.req != nil:
			if !g.wanted(&c.req.listener.opts) || c.req.receive(g) {
				return
			}
			continue
		case c.tw != nil:
			if c.tw.receive(g) {
				return
			}
			continue
		}
		if l := p.listener(g); l != nil {
			if g.wanted(&l.opts) {
				l.listenInput(g)
			}
			return
		}
		p.reset(g)
		return
	}
}

// listener finds the best listening endpoint for a segment: a bound address
// before the wildcard, a bound device before none, IPv4 before dual-stack; among
// several with SO_REUSEPORT by a hash of the connection.
func (p *Protocol) listener(g *segment) *Endpoint {
	p.lmu.RLock()
	defer p.lmu.RUnlock()
	var best *Endpoint
	score, n := -1, 0
	for _, l := range p.listeners[g.t.lport] {
		b := &l.bind
		s := 0
		dev := l.opts.BoundDev.Load()
		if dev != 0 {
			if dev != g.p.InIf {
				continue
			}
			s += 4
		}
		switch {
		case b.Addr.IsValid():
			if b.Addr != g.p.Dst {
				continue
			}
			s += 2
		case g.p.Dst.Is4():
			if b.V6 {
				if b.V6Only {
					continue
				}
			} else {
				s++
			}
		case !b.V6:
			continue
		}
		switch {
		case s > score:
			best, score, n = l, s, 1
		case s == score && best.opts.ReusePort.Load():
			// Reservoir sampling by the flow's hash.
			n++
			if flowHash32(&g.t)%uint32(n) == 0 {
				best = l
			}
		}
	}
	return best
}

func flowHash32(t *tuple) uint32 {
	h := uint32(t.rport)*0x9E3779B1 ^ uint32(t.lport)
	for _, b := range t.raddr {
		h = (h ^ uint32(b)) * 0x01000193
	}
	return h ^ h>>15
}

// reset answers a segment that belongs to no connection (RFC 9293 section
// 3.10.7.1).
func (p *Protocol) reset(g *segment) {
	if g.flags&wire.RST != 0 {
		return
	}
	f := wire.TCPFields{Flags: wire.RST}
	if g.flags&wire.ACK != 0 {
		f.Seq = g.ack
	} else {
		f.Flags |= wire.ACK
		f.Ack = g.end()
	}
	p.ip.Counters.TCP.OutRsts.Inc()
	p.reply(g, &f, nil)
}

// reply sends a segment without data that answers g and needs no connection.
func (p *Protocol) reply(g *segment, f *wire.TCPFields, opts []byte) {
	oif := int32(0)
	if g.p.Src.IsLinkLocalUnicast() {
		oif = g.p.InIf
	}
	r, err := p.ip.Lookup(g.p.Dst, g.p.Src, oif, g.p.Mark)
	if err != nil {
		return
	}
	p.send(&r, g.p.Dst, g.p.Src, g.t.lport, g.t.rport, f, opts, g.p.Mark, 0)
}

// send sends a segment without data.
func (p *Protocol) send(r *ip.Route, src, dst netip.Addr, sport, dport uint16, f *wire.TCPFields, opts []byte, mark uint32, tos uint8) {
	q := pkt.New()
	n := wire.TCPMinLen + len(opts)
	h := wire.TCP(q.Append(n))
	f.SrcPort, f.DstPort, f.HeaderLen = sport, dport, n
	h.Put(f)
	copy(h[wire.TCPMinLen:], opts)
	q.Src, q.Dst, q.Proto = src, dst, unix.IPPROTO_TCP
	q.TTL, q.TOS, q.DF, q.Mark = p.ip.SelectTTL(dst, -1), tos, true, mark
	q.Hash = wire.FlowHash(src, dst, sport, dport)
	p.finish(q, h, n)
	p.ip.Counters.TCP.OutSegs.Inc()
	p.ip.Output(q, r)
}

// finish prepares the checksum of a segment of n bytes.
func (p *Protocol) finish(q *pkt.Packet, h wire.TCP, n int) {
	h.SetChecksum(wire.PseudoSum(q.Src, q.Dst, unix.IPPROTO_TCP, n))
	q.Csum, q.CsumOffset = pkt.CsumPartial, wire.TCPChecksumOffset
	q.CsumStart = wire.IPv4MinLen
	if q.Dst.Is6() {
		q.CsumStart = wire.IPv6Len
	}
}

// isn is an initial sequence number (RFC 6528): a keyed hash of the connection
// plus a clock of 64 ns.
func (p *Protocol) isn(t *tuple) uint32 {
	return uint32(p.ip.Secret.Sum(t.bytes(nil))) + uint32(p.ip.Wheel.Now()>>6)
}

// tsOffset is what is added to the clock in timestamps towards a peer.
func (p *Protocol) tsOffset(t *tuple) uint32 {
	b := append(t.laddr[:], t.raddr[:]...)
	return uint32(p.ip.Secret.Sum(b) >> 32)
}

func (t *tuple) bytes(b []byte) []byte {
	b = append(b, t.laddr[:]...)
	b = append(b, t.raddr[:]...)
	return append(b, byte(t.lport), byte(t.lport>>8), byte(t.rport), byte(t.rport>>8))
}

// tsNow is the timestamp clock: milliseconds.
func (p *Protocol) tsNow() uint32 { return uint32(p.ip.Wheel.Now() / time.Millisecond) }

// Error implements ip.Transport: an ICMP error about a segment of ours.
func (p *Protocol) Error(e *ip.Error) {
	h := wire.TCP(e.Header)
	t := tuple{laddr: e.Src.As16(), raddr: e.Dst.As16(), lport: h.SrcPort(), rport: h.DstPort()}
	switch c := p.lookup(&t); {
	case c.ep != nil:
		c.ep.icmpError(e, h.Seq())
	case c.req != nil:
		c.req.icmpError(e, h.Seq())
	}
}

// challengeLimiter bounds challenge ACKs (RFC 5961 section 7) in all.
type challengeLimiter struct {
	mu    sync.Mutex
	since time.Duration
	n     int
}

func (l *challengeLimiter) allow(now time.Duration, limit int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now-l.since >= time.Second {
		l.since, l.n = now, 0
	}
	l.n++
	return l.n <= limit
}
