package tcp

import (
	"sync"
	"time"

	"casemate/netstack/ip"
	"casemate/netstack/sock"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// listenQueue is a listener's queues.
type listenQueue struct {
	mu       sync.Mutex
	backlog  int
	accept   ring[*Endpoint] // established, not accepted
	requests map[*request]struct{}
	closed   bool
	fast     int           // connections accepted by Fast Open whose handshake is not over
	cookies  time.Duration // when a cookie was last sent
}

func (q *listenQueue) ready() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.accept.len() > 0
}

// Listen implements sock.Endpoint (listen(2)): an unbound socket gets a port;
// EADDRINUSE if another one listens there.
func (e *Endpoint) Listen(backlog int) error {
	e.lock()
	defer e.unlock()
	limit := e.proto.ip.Limits.Somaxconn.Get()
	if uint(backlog) > uint(limit) {
		backlog = limit
	}
	switch e.state {
	case Listen:
		e.lq.mu.Lock()
		e.lq.backlog = backlog
		e.lq.mu.Unlock()
		return nil
	case Close:
	default:
		return unix.EINVAL
	}
	p := e.proto
	if e.binding == nil {
		e.bind.V6 = e.family == unix.AF_INET6 && !e.bind.Addr.Is4()
		e.bind.V6Only = e.opts.V6Only.Load()
		e.bind.ReuseAddr, e.bind.ReusePort = e.opts.ReuseAddr.Load(), e.opts.ReusePort.Load()
		lo, hi := p.ip.PortRange()
		if err := p.ports.BindAny(&e.bind, lo, hi); err != nil {
			return err
		}
		e.binding, e.lport, e.laddr = &e.bind, e.bind.Port, e.bind.Addr
	}
	if e.binding != &e.bind {
		return unix.EINVAL
	}
	p.ports.Update(&e.bind, func() {
		e.bind.ReuseAddr, e.bind.ReusePort = e.opts.ReuseAddr.Load(), e.opts.ReusePort.Load()
		e.bind.Auto = false
	})
	if err := p.ports.SetListening(&e.bind); err != nil {
		return err
	}
	e.err, e.shut, e.done = 0, 0, false
	e.lq = &listenQueue{backlog: backlog, requests: make(map[*request]struct{})}
	e.setState(Listen)
	p.lmu.Lock()
	p.listeners[e.lport] = append(p.listeners[e.lport], e)
	p.lmu.Unlock()
	return nil
}

// stopListening closes the listener's queues: what is in them is reset. mu is
// not held.
func (e *Endpoint) stopListening() {
	p := e.proto
	e.lock()
	if e.state != Listen {
		e.unlock()
		return
	}
	q := e.lq
	e.setState(Close)
	p.lmu.Lock()
	l := p.listeners[e.lport]
	for i := range l {
		if l[i] == e {
			p.listeners[e.lport] = append(l[:i:i], l[i+1:]...)
			break
		}
	}
	if len(p.listeners[e.lport]) == 0 {
		delete(p.listeners, e.lport)
	}
	p.lmu.Unlock()
	p.ports.ClearListening(&e.bind)
	e.pend |= unix.POLLIN | sock.POLLRDNORM | unix.POLLHUP
	e.unlock()

	q.mu.Lock()
	q.closed = true
	for r := range q.requests {
		p.remove(&r.id, conn{req: r})
		r.timer.Stop()
	}
	q.requests = nil
	accept := q.accept
	q.accept = ring[*Endpoint]{}
	q.mu.Unlock()
	for i := range accept.len() {
		c := *accept.at(i)
		c.lock()
		c.dead = true
		c.abort(true)
		c.finished()
		c.unlock()
	}
	p.ip.Run()
}

// Accept implements sock.Endpoint (accept(2)): EINVAL unless listening, EAGAIN
// when no connection is waiting.
func (e *Endpoint) Accept() (sock.Endpoint, sock.Addr, error) {
	c, a, err := e.AcceptTCP()
	if err != nil {
		return nil, a, err
	}
	return c, a, nil
}

// AcceptTCP is Accept with the endpoint's own type.
func (e *Endpoint) AcceptTCP() (*Endpoint, sock.Addr, error) {
	e.lock()
	if e.state != Listen {
		e.unlock()
		return nil, sock.Addr{}, unix.EINVAL
	}
	q := e.lq
	e.mu.Unlock()
	q.mu.Lock()
	if q.accept.len() == 0 {
		q.mu.Unlock()
		return nil, sock.Addr{}, unix.EAGAIN
	}
	c := q.accept.pop()
	q.mu.Unlock()
	c.lock()
	a := sock.Addr{Addr: sock.Mapped(c.family, c.raddr), Port: c.rport, Scope: c.scope(c.raddr)}
	c.unlock()
	return c, a, nil
}

// request is a connection in SYN-RECEIVED that a listener has answered.
type request struct {
	proto     *Protocol
	listener  *Endpoint
	id        tuple
	route     ip.Route
	irs, iss  uint32
	opt       wire.TCPOptions
	wnd       uint32
	mss       int // ours
	wscale    uint8
	tsOff     uint32
	tsRecent  uint32
	sentAt    time.Duration
	born      time.Duration
	rcvWnd    uint32
	tos       uint8
	v4        bool
	ecn       bool   // the connection does ECN
	cookieOut []byte // what the SYN-ACK has in its Fast Open option; nil: none

	mu      sync.Mutex // what follows
	timer   wheel.Timer
	retries int
	acked   bool // the handshake is over but TCP_DEFER_ACCEPT waits for data
	gone    bool
}

// listenInput takes a segment for a listener (RFC 9293 section 3.10.7.2).
func (e *Endpoint) listenInput(g *segment) {
	p := e.proto
	switch {
	case g.flags&wire.RST != 0:
		return
	case g.flags&wire.ACK != 0:
		if g.flags&wire.SYN == 0 && e.cookieInput(g) {
			return
		}
		p.reset(g)
		return
	case g.flags&wire.SYN == 0 || g.flags&wire.FIN != 0:
		return
	}
	if p.ip.IsBroadcast(g.p.Src) || g.p.Src.IsMulticast() || g.p.Src.IsUnspecified() {
		return
	}
	c := &p.ip.Counters.TCP
	oif := int32(0)
	if g.p.Src.IsLinkLocalUnicast() {
		oif = g.p.InIf
	}
	r := &request{proto: p, listener: e, id: g.t, irs: g.seq, opt: g.opt, wnd: g.wnd, v4: g.p.Dst.Is4(), tsRecent: g.opt.TSVal}
	r.opt.FastOpen = nil // it lies in the packet
	var err error
	if r.route, err = p.ip.Lookup(g.p.Dst, g.p.Src, oif, e.opts.Mark.Load()); err != nil {
		return
	}
	q := e.lq
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		p.reset(g)
		return
	}
	if q.accept.len() > q.backlog {
		q.mu.Unlock()
		c.ListenOverflows.Inc()
		c.ListenDrops.Inc()
		return
	}
	full := len(q.requests) >= max(q.backlog, 8) || len(q.requests) >= p.Params.MaxSynBacklog.Get()
	cookie := p.Params.SynCookies.Get() == 2 || full && p.Params.SynCookies.Get() == 1
	if full && !cookie {
		q.mu.Unlock()
		c.TCPReqQFullDrop.Inc()
		c.ListenDrops.Inc()
		return
	}
	r.prepare(g)
	if cookie {
		q.cookies = p.ip.Wheel.Now()
		q.mu.Unlock()
		c.TCPReqQFullDoCookies.Inc()
		c.SyncookiesSent.Inc()
		r.cookie()
		r.sendSYNACK()
		return
	}
	r.iss = p.isn(&r.id)
	if e.fastAccept(g, r) {
		ok := r.open(g, q)
		q.mu.Unlock()
		if ok {
			e.announce()
		}
		return
	}
	r.timer.Init(p.ip.Wheel, r.expired)
	if !p.insert(&r.id, conn{req: r}) {
		q.mu.Unlock()
		return
	}
	q.requests[r] = struct{}{}
	q.mu.Unlock()
	r.mu.Lock()
	now := p.ip.Wheel.Now()
	r.sentAt, r.born = now, now
	r.sendSYNACK()
	r.timer.Reset(now + initialRTO)
	r.mu.Unlock()
}

// prepare decides what our SYN-ACK offers.
func (r *request) prepare(g *segment) {
	e, p := r.listener, r.proto
	pm := &p.Params
	if !pm.Timestamps.Bool() {
		r.opt.HasTS = false
	}
	if !pm.SACK.Bool() {
		r.opt.SACKPermitted = false
	}
	r.mss = pathMSS(&r.route, r.v4)
	if e.userMSS != 0 {
		r.mss = min(r.mss, e.userMSS)
	}
	n := min(e.opts.RcvBuf()/2, 65535)
	if e.windowClamp != 0 {
		n = min(n, e.windowClamp)
	}
	unit := r.mss
	if r.opt.HasTS {
		unit -= 12
	}
	if n > unit {
		n -= n % unit
	}
	r.rcvWnd = uint32(n)
	r.ecn = r.ecn || g.flags&(wire.SYN|wire.ECE|wire.CWR) == wire.SYN|wire.ECE|wire.CWR && g.p.TOS&ecnMask == 0 && pm.ECN.Get() != 0
	if !pm.WindowScaling.Bool() {
		r.opt.WindowScale = -1
	}
	if r.opt.WindowScale >= 0 {
		r.wscale = e.rcv.chooseScale(e)
	}
	r.tsOff = p.tsOffset(&r.id)
	r.tos = uint8(e.opts.TOS.Load())
	if !r.v4 {
		r.tos = uint8(e.opts.TClass.Load())
	}
}

// sendSYNACK sends or repeats the SYN-ACK.
func (r *request) sendSYNACK() {
	p := r.proto
	o := wire.SYNOptions{MSS: uint16(r.mss), WindowScale: -1, SACKPermitted: r.opt.SACKPermitted, HasTS: r.opt.HasTS,
		TSVal: p.tsNow() + r.tsOff, TSEcr: r.tsRecent, FastOpen: r.cookieOut}
	if r.opt.WindowScale >= 0 {
		o.WindowScale = int8(r.wscale)
	}
	var ob [40]byte
	f := wire.TCPFields{Seq: r.iss, Ack: r.irs + 1, Flags: wire.SYN | wire.ACK, Window: uint16(r.rcvWnd)}
	if r.ecn {
		f.Flags |= wire.ECE
	}
	p.send(&r.route, r.route.Src, r.route.Dst, r.id.lport, r.id.rport, &f, ob[:o.Put(ob[:])], r.listener.opts.Mark.Load(), r.tos)
}

// expired is the SYN-ACK's retransmission timer.
func (r *request) expired() {
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		return
	}
	limit := r.proto.Params.SynackRetries.Get()
	if r.listener.synCnt != 0 {
		limit = r.listener.synCnt
	}
	now := r.proto.ip.Wheel.Now()
	deferred := time.Duration(r.listener.deferAccept) * time.Second
	if r.retries >= limit && !(r.acked && now-r.born < deferred) {
		r.gone = true
		r.mu.Unlock()
		r.leave()
		r.proto.remove(&r.id, conn{req: r})
		return
	}
	r.retries++
	if !r.acked || now-r.born >= deferred {
		r.proto.ip.Counters.TCP.RetransSegs.Inc()
		r.sendSYNACK()
	}
	r.timer.Reset(now + min(initialRTO<<r.retries, maxRTO))
	r.mu.Unlock()
	r.proto.ip.Run()
}

// leave takes r out of its listener's queue.
func (r *request) leave() {
	q := r.listener.lq
	q.mu.Lock()
	delete(q.requests, r)
	q.mu.Unlock()
	r.timer.Stop()
}

// icmpError takes an ICMP error about our SYN-ACK: a hard one ends the request.
func (r *request) icmpError(x *ip.Error, seq uint32) {
	if x.Hard && seq == r.iss && r.drop() {
		r.proto.ip.Counters.TCP.ListenDrops.Inc()
	}
}

// drop ends the request; false if it has ended.
func (r *request) drop() bool {
	r.mu.Lock()
	gone := r.gone
	r.gone = true
	r.mu.Unlock()
	if !gone {
		r.leave()
		r.proto.remove(&r.id, conn{req: r})
	}
	return !gone
}

// receive takes a segment for a connection in SYN-RECEIVED. It reports false if
// the segment has to be looked up again.
func (r *request) receive(g *segment) bool {
	p := r.proto
	c := &p.ip.Counters.TCP
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		return p.lookup(&g.t).req == r // still there for a moment: drop
	}
	paws := r.opt.HasTS && g.opt.HasTS && before(g.opt.TSVal, r.tsRecent)
	if g.flags&(wire.SYN|wire.ACK|wire.RST) == wire.SYN && g.seq == r.irs && !paws {
		// The peer's SYN again: repeat ours.
		r.sendSYNACK()
		r.mu.Unlock()
		return true
	}
	if nxt := r.irs + 1; paws || g.seq != nxt && !(after(g.end(), nxt) && before(g.seq, nxt+r.rcvWnd)) && !(g.seq == nxt+r.rcvWnd && g.end() == g.seq) {
		if paws {
			c.PAWSEstab.Inc()
		}
		if g.flags&wire.RST == 0 {
			r.ack(g)
		}
		r.mu.Unlock()
		return true
	}
	if g.flags&(wire.RST|wire.SYN) != 0 {
		if g.flags&wire.RST != 0 && g.seq != r.irs+1 {
			r.ack(g) // RFC 5961
			r.mu.Unlock()
			return true
		}
		r.gone = true
		r.mu.Unlock()
		r.leave()
		p.remove(&r.id, conn{req: r})
		c.AttemptFails.Inc()
		p.reset(g)
		return true
	}
	if g.flags&wire.ACK == 0 {
		r.mu.Unlock()
		return true
	}
	if g.ack != r.iss+1 {
		r.mu.Unlock()
		p.reset(g)
		return true
	}
	e := r.listener
	if e.deferAccept > 0 && g.len == 0 && g.flags&wire.FIN == 0 && p.ip.Wheel.Now()-r.born < time.Duration(e.deferAccept)*time.Second {
		r.acked = true
		r.mu.Unlock()
		return true
	}
	q := e.lq
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		r.mu.Unlock()
		return true
	}
	if q.accept.len() > q.backlog {
		q.mu.Unlock()
		c.ListenOverflows.Inc()
		c.ListenDrops.Inc()
		if p.Params.AbortOnOverflow.Bool() {
			r.gone = true
			r.mu.Unlock()
			r.leave()
			p.remove(&r.id, conn{req: r})
			p.reset(g)
			return true
		}
		r.acked = true
		r.mu.Unlock()
		return true
	}
	r.gone = true
	var rtt time.Duration
	if r.retries == 0 {
		rtt = p.ip.Wheel.Now() - r.sentAt
	} else if r.opt.HasTS && g.opt.HasTS {
		rtt = sinceStamp(g.opt.TSEcr, p.tsNow()+r.tsOff)
	}
	child := r.child(g, rtt)
	child.lock()
	child.inTable = p.replace(&r.id, conn{req: r}, conn{ep: child})
	q.accept.push(child)
	delete(q.requests, r)
	q.mu.Unlock()
	r.mu.Unlock()
	r.timer.Stop()
	c.PassiveOpens.Inc()
	child.info.segsIn++
	child.input(g)
	child.unlock()
	e.announce()
	return true
}

// announce tells that the accept queue has a new connection.
func (e *Endpoint) announce() {
	e.lock()
	e.told = 0 // accept(2) does not look at it, so each connection is announced
	e.pend |= unix.POLLIN | sock.POLLRDNORM
	e.unlock()
}

// ack answers with an ACK from SYN-RECEIVED.
func (r *request) ack(g *segment) {
	var ob [12]byte
	n := 0
	if r.opt.HasTS {
		n = wire.PutTimestamps(ob[:], r.proto.tsNow()+r.tsOff, r.tsRecent)
	}
	f := wire.TCPFields{Seq: r.iss + 1, Ack: r.irs + 1, Flags: wire.ACK, Window: uint16(r.rcvWnd >> r.wscale)}
	r.proto.reply(g, &f, ob[:n])
}

// child makes the endpoint of a finished handshake, in SYN-RECEIVED so that the
// last segment is processed as any other.
func (r *request) child(g *segment, rtt time.Duration) *Endpoint {
	p, l := r.proto, r.listener
	e := &Endpoint{proto: p, family: l.family, state: SynRecv, notsentLowat: l.notsentLowat, ccName: l.ccName}
	e.opts.Init(p.ip.Limits, p.Params.Rmem.At(1), p.Params.Wmem.At(1))
	e.opts.Inherit(&l.opts)
	e.timers.t.Init(p.ip.Wheel, e.timer)
	e.id, e.route, e.v4 = r.id, r.route, r.v4
	e.laddr, e.raddr, e.lport, e.rport = g.p.Dst, g.p.Src, r.id.lport, r.id.rport
	e.hash = wire.FlowHash(e.laddr, e.raddr, e.lport, e.rport)
	b := l.bind
	b.Addr = e.laddr
	e.binding = p.ports.Share(b)
	e.noDelay, e.cork, e.keepAlive, e.keepIdle, e.keepIntvl, e.keepCnt = l.noDelay, l.cork, l.keepAlive, l.keepIdle, l.keepIntvl, l.keepCnt
	e.userTimeout, e.synCnt, e.linger2, e.windowClamp, e.userMSS = l.userTimeout, l.synCnt, l.linger2, l.windowClamp, l.userMSS
	e.quickAckMode = l.quickAckMode
	e.initConnection()
	e.tsOff = r.tsOff
	e.snd.init(r.iss)
	e.rec.fack = r.iss
	e.snd.nxt = r.iss + 1
	e.snd.wnd, e.snd.wl1 = r.wnd, r.irs
	syn := segment{opt: r.opt, seq: r.irs}
	e.negotiate(&syn)
	if e.wscaleOK {
		e.rcv.wscale = r.wscale
	}
	e.tsRecent = r.tsRecent
	e.ecn.ok = r.ecn
	e.rcv.init(r.irs)
	e.rcv.adv = e.rcv.nxt + r.rcvWnd
	if rtt > 0 {
		e.rtt.sample(rtt, p.ip.Wheel.Now())
	}
	return e
}
