package tcp

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"casemate/netstack/ip"
	"casemate/netstack/sock"
	"golang.org/x/sys/unix"
)

// State is a connection's state, numbered as in Linux's TCP_INFO.
type State uint8

// The states of RFC 9293 section 3.3.2.
const (
	Established State = iota + 1
	SynSent
	SynRecv
	FinWait1
	FinWait2
	TimeWait
	Close
	CloseWait
	LastAck
	Listen
	Closing
)

// Bits of Endpoint.shut.
const (
	shutRecv = 1
	shutSend = 2
)

// Endpoint is a TCP socket.
type Endpoint struct {
	proto  *Protocol
	family int
	opts   sock.Options
	notify atomic.Pointer[func(uint32)]

	rmu sync.Mutex // one reader at a time
	wmu sync.Mutex // one writer at a time

	mu    sync.Mutex // all that follows, unless it says otherwise
	state State
	shut  uint8
	done  bool       // a FIN has been received in order (SOCK_DONE)
	dead  bool       // Close has been called
	err   unix.Errno // pending error
	soft  unix.Errno // what to report when the connection times out
	pend  uint32     // events to announce at unlock
	told  uint32     // events announced and not looked at since

	bind    sock.Binding
	binding *sock.Binding // &bind, or shared with others for accepted connections; nil while unbound
	bound   bool          // by Bind with a port, not by Connect
	laddr   netip.Addr    // unmapped; invalid while unbound or for the wildcard
	raddr   netip.Addr
	lport   uint16
	rport   uint16
	id      tuple
	inTable bool
	v4      bool // the connection is over IPv4
	route   ip.Route
	hash    uint32
	ipid    uint16
	noSpace bool // someone has found no room to write

	borrower Borrower // reads and writes without calls; nil if nobody does
	lentOut  bool     // what it has written has gone out since Settle

	// Options with effects.
	noDelay, cork       bool
	quickAckMode        bool // TCP_QUICKACK has forced quick ACKs
	keepAlive           bool
	keepIdle, keepIntvl time.Duration // 0: the stack's default
	keepCnt             int
	userTimeout         time.Duration
	synCnt              int
	linger2             time.Duration // TCP_LINGER2; 0: default, negative: none
	deferAccept         int           // seconds
	windowClamp         int
	userMSS             int
	notsentLowat        int // -1: the stack's default
	ccName              string

	snd    sender
	rcv    receiver
	rtt    rttState
	rec    recovery
	cc     congestion
	rate   rate
	pacing pacing
	timers timers
	lq     *listenQueue // while listening
	stamps *stamps      // nil until some are asked for
	// stampBase is the byte from which they count.
	stampBase uint32

	// Negotiated.
	tsOK, sackOK, wscaleOK bool
	ecn                    ecn
	tfo                    fastOpen
	tsOff                  uint32
	tsRecent               uint32
	tsRecentAt             time.Duration
	info                   counters
}

// counters are what TCP_INFO reports.
type counters struct {
	bytesAcked, bytesReceived, bytesSent, bytesRetrans uint64
	segsOut, segsIn, dataSegsOut, dataSegsIn           uint32
	totalRetrans, dsackDups, reordSeen, rcvOOO         uint32
	delivered                                          uint32
}

// NewEndpoint makes a closed socket of family AF_INET or AF_INET6.
func (p *Protocol) NewEndpoint(family int) *Endpoint {
	e := &Endpoint{proto: p, family: family, state: Close, notsentLowat: -1, ccName: p.Params.Congestion()}
	e.opts.Init(p.ip.Limits, p.Params.Rmem.At(1), p.Params.Wmem.At(1))
	e.opts.V6Only.Store(family == unix.AF_INET6 && p.ip.Params.BindV6Only.Bool())
	e.timers.t.Init(p.ip.Wheel, e.timer)
	e.cc = newCC(e.ccName, e.now())
	return e
}

// lock takes mu, and account of what a borrower has done.
func (e *Endpoint) lock() {
	e.mu.Lock()
	if e.borrower != nil {
		e.settle()
	}
}

// unlock releases mu and announces what has happened under it.
func (e *Endpoint) unlock() {
	if e.stamps != nil && len(e.stamps.asked) > 0 {
		e.makeStamps()
	}
	ev := e.pend
	e.pend = 0
	// Data that is waiting and has been announced is not announced again, unless
	// someone has looked in between.
	if ev&e.told == ev && ev&^uint32(unix.POLLIN|sock.POLLRDNORM) == 0 {
		ev = 0
	}
	e.told |= ev & (unix.POLLIN | sock.POLLRDNORM)
	e.mu.Unlock()
	if ev != 0 {
		if fn := e.notify.Load(); fn != nil {
			(*fn)(ev)
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

// Options implements sock.Endpoint.
func (e *Endpoint) Options() *sock.Options { return &e.opts }

// Type implements sock.Endpoint.
func (e *Endpoint) Type() int { return unix.SOCK_STREAM }

// Family implements sock.Endpoint.
func (e *Endpoint) Family() int { return e.family }

// Protocol implements sock.Endpoint.
func (e *Endpoint) Protocol() int { return unix.IPPROTO_TCP }

// State is the connection's state.
func (e *Endpoint) State() State {
	e.lock()
	defer e.mu.Unlock()
	return e.state
}

// synchronized reports whether data may be exchanged, or has been: with Fast Open an
// accepted connection begins in SYN-RECEIVED.
func (e *Endpoint) synchronized() bool {
	return e.state != SynSent && (e.state != SynRecv || e.tfo.passive)
}

// now is the time of the stack's clock.
func (e *Endpoint) now() time.Duration { return e.proto.ip.Wheel.Now() }

func (e *Endpoint) setState(s State) {
	if e.state == s {
		return
	}
	c := &e.proto.ip.Counters.TCP
	if s == Established || s == CloseWait {
		if e.state != Established && e.state != CloseWait {
			c.CurrEstab.Inc()
		}
	} else if e.state == Established || e.state == CloseWait {
		c.CurrEstab.Dec()
	}
	e.state = s
}

// checkFamily takes an address as the application gave it and returns it
// unmapped: EAFNOSUPPORT or ENETUNREACH if the endpoint cannot use it.
func (e *Endpoint) checkFamily(a netip.Addr) (netip.Addr, error) {
	switch {
	case !a.IsValid():
		return a, unix.EINVAL
	case e.family == unix.AF_INET:
		if !a.Is4() {
			return a, unix.EAFNOSUPPORT
		}
	case a.Is4():
		return a, unix.EAFNOSUPPORT
	case a.Is4In6():
		if e.opts.V6Only.Load() {
			return a, unix.ENETUNREACH
		}
		return a.Unmap(), nil
	case e.bind.Addr.Is4():
		return a, unix.ENETUNREACH
	}
	return a, nil
}

// Bind implements sock.Endpoint (bind(2), tcp(7)): EINVAL if bound already or
// connected, EADDRNOTAVAIL if the address is not local, EADDRINUSE.
func (e *Endpoint) Bind(a sock.Addr) error {
	addr := a.Addr
	if e.family == unix.AF_INET6 && addr.Is4In6() && e.opts.V6Only.Load() {
		return unix.EINVAL
	}
	addr, err := e.checkFamily(addr)
	if err != nil {
		return err
	}
	e.lock()
	defer e.unlock()
	if e.state != Close || e.binding != nil {
		return unix.EINVAL
	}
	b := sock.Binding{V6: e.family == unix.AF_INET6 && !addr.Is4(), V6Only: e.opts.V6Only.Load(), Port: a.Port,
		ReuseAddr: e.opts.ReuseAddr.Load(), ReusePort: e.opts.ReusePort.Load(), Dev: e.opts.BoundDev.Load(), UID: e.opts.UID.Load()}
	if !addr.IsUnspecified() {
		if addr.IsLinkLocalUnicast() && addr.Is6() && b.Dev == 0 {
			if a.Scope == 0 {
				return unix.EINVAL
			}
			e.opts.BoundDev.Store(int32(a.Scope))
			b.Dev = int32(a.Scope)
		}
		if !e.proto.ip.Bindable(addr) && !e.opts.FreeBind.Load() && !e.opts.Transparent.Load() {
			return unix.EADDRNOTAVAIL
		}
		b.Addr = addr
	}
	if a.Port == 0 && e.opts.BindNoPort.Load() {
		e.bind, e.laddr = b, b.Addr
		return nil
	}
	e.bind = b
	if a.Port == 0 {
		lo, hi := e.proto.ip.PortRange()
		err = e.proto.ports.BindAny(&e.bind, lo, hi)
	} else {
		err = e.proto.ports.Bind(&e.bind)
	}
	if err != nil {
		e.bind = sock.Binding{}
		return err
	}
	if b.V6 && b.Addr.IsValid() {
		e.opts.V6Only.Store(true)
	}
	e.binding, e.bound = &e.bind, true
	e.laddr, e.lport = e.bind.Addr, e.bind.Port
	return nil
}

// LocalAddr implements sock.Endpoint.
func (e *Endpoint) LocalAddr() sock.Addr {
	e.lock()
	defer e.mu.Unlock()
	if e.laddr.Is4() {
		return sock.Addr{Addr: sock.Mapped(e.family, e.laddr), Port: e.lport}
	}
	return sock.Addr{Addr: sock.View(e.family, e.laddr), Port: e.lport, Scope: e.scope(e.laddr)}
}

// scope is the interface index to be shown with a link-local address.
func (e *Endpoint) scope(a netip.Addr) uint32 {
	if a.Is6() && a.IsLinkLocalUnicast() {
		if d := e.opts.BoundDev.Load(); d != 0 {
			return uint32(d)
		}
		if e.route.Iface != nil {
			return uint32(e.route.Iface.Index())
		}
	}
	return 0
}

// RemoteAddr implements sock.Endpoint.
func (e *Endpoint) RemoteAddr() (sock.Addr, error) {
	e.lock()
	defer e.mu.Unlock()
	if e.rport == 0 || e.state == Close || e.state == SynSent || e.state == Listen {
		return sock.Addr{}, unix.ENOTCONN
	}
	return sock.Addr{Addr: sock.Mapped(e.family, e.raddr), Port: e.rport, Scope: e.scope(e.raddr)}, nil
}

// TakeError implements sock.Endpoint.
func (e *Endpoint) TakeError() unix.Errno {
	e.lock()
	defer e.unlock()
	err := e.err
	if err == 0 {
		err = e.soft
	}
	e.err, e.soft = 0, 0
	return err
}

// takeErr returns and clears the pending error. mu is held.
func (e *Endpoint) takeErr() error {
	if err := e.err; err != 0 {
		e.err = 0
		return err
	}
	return nil
}

// unbind gives the port back. mu is held.
func (e *Endpoint) unbind() {
	if e.binding != nil {
		e.proto.ports.Release(e.binding)
		e.binding, e.bound = nil, false
		e.bind = sock.Binding{}
	}
}

// drop forgets all queued data. mu and, unless nobody reads, rmu are held.
func (e *Endpoint) drop() {
	e.charge(-e.rcv.q.cost - e.rcv.oooCost)
	e.rcv.q.clear()
	e.rcv.dropOOO()
	e.purgeSend()
}

// purgeSend forgets what has not been sent or acknowledged. mu is held.
func (e *Endpoint) purgeSend() {
	e.charge(-e.snd.q.cost)
	e.snd.q.clear()
	e.rec.sent = ring[sent]{}
	e.rec.sackedOut, e.rec.lostOut, e.rec.retransOut = 0, 0, 0
}

// charge accounts n bytes of queue memory to the stack.
func (e *Endpoint) charge(n int) {
	if n != 0 {
		e.proto.memory.Add(int64(n))
	}
}

// Shutdown implements sock.Endpoint (shutdown(2)): ENOTCONN unless connected or
// listening.
func (e *Endpoint) Shutdown(how int) error {
	if how < unix.SHUT_RD || how > unix.SHUT_RDWR {
		return unix.EINVAL
	}
	e.lock()
	e.endLoan()
	err := error(nil)
	listening := false
	switch e.state {
	case Close:
		err = unix.ENOTCONN
	case Listen:
		listening = how != unix.SHUT_WR
	case SynSent:
		if how != unix.SHUT_WR {
			e.abort(false)
			e.shut = shutRecv | shutSend
		}
		e.shut |= uint8(how + 1)
	default:
		e.shut |= uint8(how + 1)
		if how != unix.SHUT_RD {
			e.sendFIN()
		}
	}
	if err == nil {
		e.pend |= unix.POLLIN | sock.POLLRDNORM | unix.POLLRDHUP | unix.POLLHUP | unix.POLLOUT
	}
	e.unlock()
	if listening {
		e.stopListening()
	}
	e.proto.ip.Flush(e.hash)
	return err
}

// sendFIN closes our direction (RFC 9293 section 3.10.4). mu is held.
func (e *Endpoint) sendFIN() {
	switch e.state {
	case Established, SynRecv:
		e.setState(FinWait1)
	case CloseWait:
		e.setState(LastAck)
	default:
		return
	}
	e.snd.fin = true
	e.output(true)
}

// Close implements sock.Endpoint (close(2), RFC 9293 section 3.10.4). Unread
// data, or SO_LINGER with time zero, resets the connection.
func (e *Endpoint) Close() {
	e.rmu.Lock()
	e.wmu.Lock()
	e.lock()
	if e.dead {
		e.unlock()
		e.wmu.Unlock()
		e.rmu.Unlock()
		return
	}
	e.endLoan()
	e.dead = true
	e.shut = shutRecv | shutSend
	c := &e.proto.ip.Counters.TCP
	listening := e.state == Listen
	switch {
	case listening:
	case e.state == Close:
		e.finished()
	case e.state == SynSent:
		e.abort(false)
		e.finished()
	default:
		on, d := e.opts.Linger()
		switch {
		case e.rcv.unread() > 0:
			c.TCPAbortOnClose.Inc()
			e.abort(true)
			e.finished()
		case on && d == 0:
			c.TCPAbortOnData.Inc()
			e.abort(true)
			e.finished()
		default:
			e.sendFIN()
			switch {
			case e.state == FinWait2 && e.linger2 < 0:
				c.TCPAbortOnLinger.Inc()
				e.abort(true)
				e.finished()
			case e.state == FinWait2:
				e.orphanFinWait2()
			case e.proto.tooMuchMemory():
				c.TCPAbortOnMemory.Inc()
				e.abort(true)
				e.finished()
			}
		}
	}
	e.charge(-e.rcv.q.cost - e.rcv.oooCost)
	e.rcv.q.clear()
	e.rcv.dropOOO()
	e.unlock()
	e.wmu.Unlock()
	e.rmu.Unlock()
	if listening {
		e.stopListening()
		e.lock()
		e.finished()
		e.unlock()
	}
	e.proto.ip.Flush(e.hash)
}

// Lingering reports whether a closed endpoint still has data or a FIN of its
// own that the peer has not acknowledged: what close(2) with SO_LINGER waits for.
func (e *Endpoint) Lingering() bool {
	e.lock()
	defer e.mu.Unlock()
	return e.state == FinWait1 || e.state == Closing || e.state == LastAck
}

// orphanFinWait2 bounds how long a closed endpoint waits for the peer's FIN.
// mu is held.
func (e *Endpoint) orphanFinWait2() {
	d := e.linger2
	if d == 0 {
		d = time.Duration(e.proto.Params.FinTimeout.Get()) * time.Second
	}
	e.timers.set(timerFinWait2, e.now()+d)
}

// abort ends the connection without ceremony, with a RST if one is due (RFC
// 9293 section 3.10.5). mu is held.
func (e *Endpoint) abort(rst bool) {
	if rst {
		switch e.state {
		case SynRecv, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck:
			e.sendRST()
		}
	}
	e.terminate()
}

// terminate enters CLOSED: out of the table, timers off, unsent data gone. What
// has been received can still be read. mu is held.
func (e *Endpoint) terminate() {
	e.endLoan()
	e.timers.clear()
	e.tfoDone()
	if e.inTable {
		e.proto.remove(&e.id, conn{ep: e})
		e.inTable = false
	}
	if e.state == SynSent || e.state == SynRecv {
		e.proto.ip.Counters.TCP.AttemptFails.Inc()
	}
	e.setState(Close)
	e.shut = shutRecv | shutSend
	e.snd.fin = false
	e.purgeSend()
	e.pend |= unix.POLLIN | sock.POLLRDNORM | unix.POLLOUT | sock.POLLWRNORM | unix.POLLHUP | unix.POLLRDHUP
	if !e.bound || e.dead {
		e.unbind()
	}
	if e.dead {
		e.finished()
	}
}

// fail is terminate with an error for the application. mu is held.
func (e *Endpoint) fail(err unix.Errno) {
	e.err = err
	e.pend |= unix.POLLERR
	e.terminate()
}

// finished releases what a closed endpoint that nobody refers to still has. mu
// is held.
func (e *Endpoint) finished() {
	e.unbind()
	e.timers.stop()
	e.drop()
}

// tooMuchMemory reports whether all queues together exceed tcp_mem's limit.
func (p *Protocol) tooMuchMemory() bool {
	return p.memory.Load() > int64(p.Params.Mem.At(2))*4096
}

// Readiness implements sock.Endpoint with the rules of Linux's tcp_poll.
func (e *Endpoint) Readiness() uint32 {
	e.lock()
	defer e.mu.Unlock()
	e.told = 0
	if e.state == Listen {
		if e.lq.ready() {
			return unix.POLLIN | sock.POLLRDNORM
		}
		return 0
	}
	var m uint32
	if e.shut == shutRecv|shutSend || e.state == Close {
		m |= unix.POLLHUP
	}
	if e.shut&shutRecv != 0 {
		m |= unix.POLLIN | sock.POLLRDNORM | unix.POLLRDHUP
	}
	if e.tfo.deferred {
		m |= unix.POLLOUT | sock.POLLWRNORM
	}
	if e.synchronized() {
		if e.readable() {
			m |= unix.POLLIN | sock.POLLRDNORM
		}
		if e.shut&shutSend != 0 || e.writable() {
			m |= unix.POLLOUT | sock.POLLWRNORM
		} else {
			e.noSpace = true
		}
		if e.rcv.urg == urgValid {
			m |= unix.POLLPRI
		}
	}
	if e.err != 0 || e.stamped() {
		m |= unix.POLLERR
	}
	return m
}

// Available implements sock.Endpoint: EINVAL while listening.
func (e *Endpoint) Available() (int, error) {
	e.lock()
	defer e.mu.Unlock()
	switch e.state {
	case Listen:
		return 0, unix.EINVAL
	case SynSent:
		return 0, nil
	}
	return e.rcv.availableTo(e), nil
}

// Unsent implements sock.Endpoint: SIOCOUTQ, bytes that are not acknowledged.
func (e *Endpoint) Unsent() (int, error) {
	e.lock()
	defer e.mu.Unlock()
	if e.state == Listen {
		return 0, unix.EINVAL
	}
	return e.snd.q.size, nil
}

// NotSent is SIOCOUTQNSD: bytes that have not been sent once.
func (e *Endpoint) NotSent() (int, error) {
	e.lock()
	defer e.mu.Unlock()
	if e.state == Listen {
		return 0, unix.EINVAL
	}
	return e.snd.unsent(), nil
}

var _ sock.Endpoint = (*Endpoint)(nil)
