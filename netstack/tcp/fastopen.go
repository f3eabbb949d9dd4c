package tcp

import (
	"encoding/binary"
	"io"
	"sync"

	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Bits of net.ipv4.tcp_fastopen.
const (
	tfoClient         = 0x1
	tfoServer         = 0x2
	tfoClientNoCookie = 0x4
	tfoServerNoCookie = 0x200
	tfoAllListeners   = 0x400
)

// tfoCookieLen is the length of our cookies (RFC 7413 section 4.1.1 allows 4 to 16 bytes).
const tfoCookieLen = 8

// fastOpen is TCP Fast Open of an endpoint (RFC 7413).
type fastOpen struct {
	qlen     int  // TCP_FASTOPEN: requests of a listener that may be pending; 0: off
	connect  bool // TCP_FASTOPEN_CONNECT
	noCookie bool // TCP_FASTOPEN_NO_COOKIE

	started  bool // by Send with MSG_FASTOPEN, whose caller comes again with the same flag and the rest
	deferred bool // connect(2) is over, the SYN goes with the first data
	asked    bool // our SYN has the option
	data     bool // our SYN has data
	dataACK  bool // and its data was acknowledged with it
	// pending, of a connection accepted before its handshake was over, is where it counts.
	pending *listenQueue
	passive bool // accepted so
}

// cookieCache has the cookies that servers gave us. It is bounded; when it is full a
// random one goes.
type cookieCache struct {
	mu sync.Mutex
	m  map[[16]byte]serverCookie
}

type serverCookie struct {
	cookie [16]byte
	n      uint8
	mss    uint16
}

const cookieCacheMax = 1024

func (c *cookieCache) get(a [16]byte) (serverCookie, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.m[a]
	return k, ok
}

func (c *cookieCache) put(a [16]byte, cookie []byte, mss uint16) {
	if len(cookie) < 4 || len(cookie) > 16 || len(cookie)%2 != 0 {
		return
	}
	k := serverCookie{n: uint8(len(cookie)), mss: mss}
	copy(k.cookie[:], cookie)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = make(map[[16]byte]serverCookie)
	}
	if _, ok := c.m[a]; !ok && len(c.m) >= cookieCacheMax {
		for old := range c.m {
			delete(c.m, old)
			break
		}
	}
	c.m[a] = k
}

// tfoCookie is the cookie for a client that sends to t.laddr.
func (p *Protocol) tfoCookie(t *tuple) []byte {
	b := append(append([]byte("fastopen"), t.raddr[:]...), t.laddr[:]...)
	return binary.BigEndian.AppendUint64(nil, p.ip.Secret.Sum(b))
}

// SetFastOpen is TCP_FASTOPEN: how many requests with data may be pending at a listener.
// EINVAL if negative or connected.
func (e *Endpoint) SetFastOpen(n int) error {
	return e.setTFO(n >= 0, Listen, func() { e.tfo.qlen = n })
}

// FastOpen is TCP_FASTOPEN.
func (e *Endpoint) FastOpen() int {
	e.lock()
	defer e.mu.Unlock()
	return e.tfo.qlen
}

// SetFastOpenConnect is TCP_FASTOPEN_CONNECT: EINVAL if it is neither 0 nor 1 or the
// socket is in use, EOPNOTSUPP if tcp_fastopen forbids it.
func (e *Endpoint) SetFastOpenConnect(v int) error {
	if v>>1 == 0 && e.proto.Params.FastOpen.Get()&tfoClient == 0 {
		return unix.EOPNOTSUPP
	}
	return e.setTFO(v>>1 == 0, Close, func() { e.tfo.connect = v != 0 })
}

// FastOpenConnect is TCP_FASTOPEN_CONNECT.
func (e *Endpoint) FastOpenConnect() bool {
	e.lock()
	defer e.mu.Unlock()
	return e.tfo.connect
}

// SetFastOpenNoCookie is TCP_FASTOPEN_NO_COOKIE: EINVAL if it is neither 0 nor 1 or the
// socket is connected.
func (e *Endpoint) SetFastOpenNoCookie(v int) error {
	return e.setTFO(v>>1 == 0, Listen, func() { e.tfo.noCookie = v != 0 })
}

// FastOpenNoCookie is TCP_FASTOPEN_NO_COOKIE.
func (e *Endpoint) FastOpenNoCookie() bool {
	e.lock()
	defer e.mu.Unlock()
	return e.tfo.noCookie
}

// setTFO runs set if the value is valid and the endpoint is closed or in state too.
func (e *Endpoint) setTFO(valid bool, too State, set func()) error {
	e.lock()
	defer e.unlock()
	if !valid || e.state != Close && e.state != too {
		return unix.EINVAL
	}
	set()
	return nil
}

// cookieFor is what a SYN to addr carries in its option: ok is false if it may have no
// data. mu is held.
func (e *Endpoint) cookieFor(addr [16]byte) (k serverCookie, ok bool) {
	mode := e.proto.Params.FastOpen.Get()
	if k, ok = e.proto.cookies.get(addr); ok {
		return k, true
	}
	return k, e.tfo.noCookie || mode&tfoClientNoCookie != 0
}

// sendFirst is Send with MSG_FASTOPEN on an unconnected endpoint, or the first Send after
// a deferred connect: it sends the SYN with what of the data fits. Without a cookie the
// SYN asks for one, nothing is taken and it gives EINPROGRESS: the caller waits for the
// connection and sends then. wmu is held.
func (e *Endpoint) sendFirst(src io.Reader, n int, m *sock.Msg) (int, error) {
	e.lock()
	deferred := e.tfo.deferred
	dst := e.id.raddr
	if !deferred {
		addr := m.Addr.Addr
		switch {
		case e.proto.Params.FastOpen.Get()&tfoClient == 0:
			e.unlock()
			return 0, unix.EOPNOTSUPP
		case !addr.IsValid():
			e.unlock()
			return 0, unix.EINVAL
		}
		dst = addr.As16()
	}
	k, ok := e.cookieFor(dst)
	e.unlock()
	var f pkt.Frag
	if ok && n > 0 {
		f.Buf = pkt.Alloc(n)
		b := f.Buf.Bytes()
		b = b[:min(len(b), n, max(int(k.mss), defaultMSS))]
		got, err := io.ReadFull(src, b)
		if got <= 0 {
			f.Buf.Unref()
			return 0, sock.Fault(err)
		}
		f.Len = uint32(got)
	}
	var err error
	if deferred {
		e.lock()
		if e.tfo.deferred {
			e.tfo.deferred = false
			e.takeFirst(f)
			e.sendSYN()
		} else if f.Buf != nil {
			f.Buf.Unref()
			err = unix.EPIPE // it was closed meanwhile
		}
		e.unlock()
	} else {
		err = e.connect(m.Addr, &f)
	}
	e.proto.ip.Flush(e.hash)
	switch {
	case err != nil:
		return 0, err
	case f.Len == 0:
		return 0, unix.EINPROGRESS
	case int(f.Len) == n:
		e.lock()
		e.tfo.started = false
		e.unlock()
	}
	return int(f.Len), nil
}

// takeFirst puts the data of the SYN into the queue. mu is held.
func (e *Endpoint) takeFirst(f pkt.Frag) {
	e.tfo.asked = true
	if f.Buf == nil {
		return
	}
	n := int(f.Len)
	was := e.snd.q.cost
	e.snd.q.add(f)
	e.charge(e.snd.q.cost - was)
	e.snd.end += uint32(n)
}

// tfoSYN adds the option to our SYN and returns how much data the segment carries.
func (e *Endpoint) tfoSYN(o *wire.SYNOptions) int {
	if !e.tfo.asked {
		return 0
	}
	k, ok := e.cookieFor(e.id.raddr)
	o.FastOpen = k.cookie[:k.n]
	if !ok || e.snd.q.size == 0 {
		return 0
	}
	e.tfo.data = true
	e.proto.ip.Counters.TCP.TCPFastOpenActive.Inc()
	e.snd.mss = max(pathMSS(&e.route, e.v4)-40, 1) // until the peer has said its own
	return min(e.snd.q.size, e.snd.mss)
}

// tfoSYNACK takes the answer to our SYN: a new cookie, and whether the data has come
// across. What has not is sent again at once (RFC 7413 section 4.2).
func (e *Endpoint) tfoSYNACK(g *segment) {
	if e.tfo.asked && len(g.opt.FastOpen) > 0 {
		e.proto.cookies.put(e.id.raddr, g.opt.FastOpen, g.opt.MSS)
	}
	if !e.tfo.data {
		return
	}
	e.tfo.dataACK = after(g.ack, e.snd.iss+1)
	r := &e.rec
	for i := range r.sent.len() {
		r.markLost(r.sent.at(i))
	}
}

// fastAccept looks at the option of a SYN to a listener and decides whether the connection
// is accepted before the handshake is over; if the client is to have a cookie, it is put
// into r.cookieOut. q.mu is held.
func (e *Endpoint) fastAccept(g *segment, r *request) bool {
	mode, q := e.proto.Params.FastOpen.Get(), e.lq
	qlen := e.tfo.qlen
	if qlen == 0 && mode&tfoAllListeners != 0 {
		qlen = q.backlog
	}
	if mode&tfoServer == 0 || g.len == 0 && !g.opt.HasFastOpen || q.fast >= qlen {
		return false
	}
	if e.tfo.noCookie || mode&tfoServerNoCookie != 0 {
		return g.len > 0
	}
	if !g.opt.HasFastOpen {
		return false
	}
	cookie := e.proto.tfoCookie(&g.t)
	if string(cookie) == string(g.opt.FastOpen) {
		return true
	}
	r.cookieOut = cookie
	return false
}

// open makes r's connection at once and answers the SYN, data included (RFC 7413 section
// 4.2). It reports false if there is a connection already. q.mu is held.
func (r *request) open(g *segment, q *listenQueue) bool {
	p := r.proto
	child := r.child(g, 0)
	child.lock()
	defer child.unlock()
	if child.inTable = p.insert(&r.id, conn{ep: child}); !child.inTable {
		child.dead = true
		child.terminate()
		return false
	}
	q.fast++
	child.tfo.pending, child.tfo.passive = q, true
	child.snd.nxt = child.snd.iss // so that the SYN counts as in flight
	now := child.now()
	child.rcv.lastSeg = now
	g.seq++
	g.flags &^= wire.SYN
	if g.len > 0 {
		child.acceptData(g, now)
	}
	child.sendSYN()
	q.accept.push(child)
	p.ip.Counters.TCP.TCPFastOpenPassive.Inc()
	p.ip.Counters.TCP.PassiveOpens.Inc()
	return true
}

// Deferred reports whether Connect has left the SYN to the first Send
// (TCP_FASTOPEN_CONNECT).
func (e *Endpoint) Deferred() bool {
	e.lock()
	defer e.mu.Unlock()
	return e.tfo.deferred
}

// tfoDone ends what is pending of Fast Open, when the handshake is over or has failed. mu
// is held.
func (e *Endpoint) tfoDone() {
	e.tfo.deferred = false
	if q := e.tfo.pending; q != nil {
		e.tfo.pending = nil
		q.mu.Lock()
		q.fast--
		q.mu.Unlock()
	}
}
