package tcp

import (
	"net/netip"

	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Connect implements sock.Endpoint (connect(2)): EINPROGRESS when the first SYN
// has been sent, EALREADY and EISCONN later, ECONNREFUSED and other errors when
// the attempt has failed.
func (e *Endpoint) Connect(a sock.Addr) error {
	err := e.connect(a, nil)
	// On loopback each packet of the handshake is queued when the one before is delivered,
	// perhaps by another goroutine.
	for range 3 {
		e.proto.ip.Flush(e.hash)
	}
	if err != nil {
		return err
	}
	// On loopback the handshake may be over already.
	e.lock()
	defer e.unlock()
	switch e.state {
	case SynSent, SynRecv:
		if e.tfo.deferred {
			return nil
		}
		return unix.EINPROGRESS
	case Close:
		return e.connectFailed()
	}
	return nil
}

// connectFailed is the error of an attempt that is over. mu is held.
func (e *Endpoint) connectFailed() error {
	err := e.takeErr()
	e.shut, e.done = 0, false
	if err == nil {
		err = unix.ECONNABORTED
	}
	return err
}

// connect sends the SYN. first, if not nil, is the data of Send with MSG_FASTOPEN; its
// reference is used up.
func (e *Endpoint) connect(a sock.Addr, first *pkt.Frag) (err error) {
	if first != nil {
		defer func() {
			if err != nil && first.Buf != nil {
				first.Buf.Unref()
			}
		}()
	}
	if !a.Addr.IsValid() {
		return e.disconnect()
	}
	var dst netip.Addr
	dst, err = e.checkFamily(a.Addr)
	if err != nil {
		return err
	}
	p := e.proto
	e.lock()
	defer e.unlock()
	switch e.state {
	case Close:
		if err := e.takeErr(); err != nil {
			e.shut, e.done = 0, false
			return err
		}
	case SynSent, SynRecv:
		return unix.EALREADY
	default:
		return unix.EISCONN
	}
	if dst.IsMulticast() || dst.Is4() && p.ip.IsBroadcast(dst) {
		return unix.ENETUNREACH
	}
	oif := e.opts.BoundDev.Load()
	if dst.Is6() && dst.IsLinkLocalUnicast() && oif == 0 {
		if a.Scope == 0 {
			return unix.EINVAL
		}
		oif = int32(a.Scope)
		e.opts.BoundDev.Store(oif)
	}
	src := e.bind.Addr
	if src.IsValid() && src.Is4() != dst.Is4() {
		return unix.EINVAL
	}
	if e.route, err = p.ip.Lookup(src, dst, oif, e.opts.Mark.Load()); err != nil {
		return err
	}
	dst = e.route.Dst
	e.v4 = dst.Is4()
	e.raddr, e.rport = dst, a.Port
	src = e.route.Src
	id := tuple{laddr: src.As16(), raddr: dst.As16(), rport: a.Port}
	if e.binding != nil {
		id.lport = e.bind.Port
		var old *timeWait
		if !p.claim(&id, e, &old) {
			e.raddr, e.rport = netip.Addr{}, 0
			return unix.EADDRNOTAVAIL
		}
		if old != nil {
			old.replaced()
		}
	} else {
		e.bind = sock.Binding{Addr: e.bind.Addr, V6: !e.v4, V6Only: e.opts.V6Only.Load(), Dev: oif, ReuseAddr: e.opts.ReuseAddr.Load(),
			ReusePort: e.opts.ReusePort.Load(), UID: e.opts.UID.Load()}
		if !e.bind.Addr.IsValid() {
			e.bind.Addr = src
		}
		lo, hi := p.ip.PortRange()
		// RFC 6056: a keyed hash of the destination and a counter that grows by chance.
		off := int(uint32(p.ip.Secret.Sum(id.bytes(nil)))+p.portCounter.Add(1+uint32(p.ip.Wheel.Now()>>10)&7)) % (hi - lo + 1)
		var old *timeWait
		err = p.ports.BindConnect(&e.bind, lo, hi, off, func(port uint16) bool {
			id.lport = port
			return p.claim(&id, e, &old)
		})
		if old != nil {
			old.replaced()
		}
		if err != nil {
			e.bind = sock.Binding{}
			e.raddr, e.rport = netip.Addr{}, 0
			return err
		}
		e.binding = &e.bind
	}
	e.laddr, e.lport, e.id, e.inTable = src, id.lport, id, true
	e.hash = wire.FlowHash(src, dst, e.lport, e.rport)
	e.err, e.soft, e.shut, e.done = 0, 0, 0, false
	e.initConnection()
	iss := p.isn(&id)
	if e.snd.reuse != 0 {
		iss, e.snd.reuse = e.snd.reuse, 0
	}
	e.snd.init(iss)
	e.rec.fack = iss
	e.setState(SynSent)
	p.ip.Counters.TCP.ActiveOpens.Inc()
	switch {
	case first != nil:
		e.tfo.started = true
		e.takeFirst(*first)
	case e.tfo.connect:
		if _, e.tfo.deferred = e.cookieFor(id.raddr); e.tfo.deferred {
			return nil // the SYN goes with the first data
		}
		e.tfo.asked = true
	}
	e.sendSYN()
	return nil
}

// claim enters e into the table under id; a connection in TIME-WAIT gives way
// if that is safe (RFC 6191), and is returned in old.
func (p *Protocol) claim(id *tuple, e *Endpoint, old **timeWait) bool {
	if p.insert(id, conn{ep: e}) {
		return true
	}
	c := p.lookup(id)
	if c.tw == nil || !c.tw.reusable() || !p.replace(id, c, conn{ep: e}) {
		return false
	}
	*old = c.tw
	e.snd.reuse = c.tw.sndNxt + 65535 + 2
	e.tsRecent, e.tsRecentAt = c.tw.tsRecent, c.tw.tsRecentAt
	return true
}

// initConnection sets what every new connection starts with. mu is held.
func (e *Endpoint) initConnection() {
	e.tsOff = e.proto.tsOffset(&e.id)
	e.rtt.init(&e.proto.Params)
	e.rec.init()
	e.timers.clear()
	e.cc = newCC(e.ccName, e.now())
	e.info = counters{}
	e.rate, e.pacing = rate{}, pacing{}
	e.ecn = ecn{}
	e.tfo = fastOpen{connect: e.tfo.connect, noCookie: e.tfo.noCookie, qlen: e.tfo.qlen}
}

// disconnect is connect(2) with AF_UNSPEC: the connection is reset and the
// socket can be used again.
func (e *Endpoint) disconnect() error {
	e.lock()
	switch e.state {
	case Listen:
		e.unlock()
		e.stopListening()
		e.lock()
	case Close:
	default:
		e.abort(e.state != SynSent)
	}
	e.drop()
	bound := e.bound
	if !bound {
		e.unbind()
		e.laddr, e.lport = netip.Addr{}, 0
	}
	e.raddr, e.rport = netip.Addr{}, 0
	e.err, e.soft, e.shut, e.done = 0, 0, 0, false
	e.unlock()
	return nil
}
