package tcp

import (
	"time"

	"casemate/netstack/sock"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
)

// timeWaitLen is how long TIME-WAIT lasts, as in Linux.
const timeWaitLen = 60 * time.Second

// timeWait is a connection in TIME-WAIT: what is left of an endpoint.
type timeWait struct {
	proto           *Protocol
	id              tuple
	sndNxt, rcvNxt  uint32
	window          uint16
	tsOK            bool
	tsRecent, tsOff uint32
	tsRecentAt      time.Duration
	since           time.Duration
	binding         *sock.Binding
	local           bool // both ends are on this host
	timer           wheel.Timer
	lastAck         time.Duration
}

// enterTimeWait puts a timeWait in the endpoint's place; the endpoint is closed.
func (e *Endpoint) enterTimeWait() {
	p := e.proto
	now := e.now()
	c := &p.ip.Counters.TCP
	if int(p.timeWaits.Add(1)) > p.Params.MaxTwBuckets.Get() {
		p.timeWaits.Add(-1)
		c.TCPTimeWaitOverflow.Inc()
		e.terminate()
		return
	}
	w := &timeWait{proto: p, id: e.id, sndNxt: e.snd.nxt, rcvNxt: e.rcv.nxt, tsOK: e.tsOK, tsRecent: e.tsRecent, tsOff: e.tsOff,
		window: uint16(min(uint32(max(e.recvWindow(), 0))>>e.rcv.wscale, 65535)), tsRecentAt: e.tsRecentAt, since: now, local: e.route.Iface != nil && e.route.Iface.IsLoopback()}
	c.TW.Inc()
	if e.binding == &e.bind {
		// The endpoint may be used again while its port is still taken.
		b := e.bind
		w.binding = p.ports.Share(b)
	} else {
		w.binding = e.binding
		e.binding, e.bound = nil, false
	}
	w.timer.Init(p.ip.Wheel, w.expire)
	if e.inTable && p.replace(&e.id, conn{ep: e}, conn{tw: w}) {
		e.inTable = false
		w.timer.Reset(now + timeWaitLen)
	} else {
		p.ports.Release(w.binding)
		p.timeWaits.Add(-1)
	}
	e.terminate()
}

// expire takes w out of the table, unless another one has done so.
func (w *timeWait) expire() {
	if w.proto.remove(&w.id, conn{tw: w}) {
		w.replaced()
	}
}

// replaced releases what w holds when it has left the table.
func (w *timeWait) replaced() {
	w.timer.Stop()
	w.proto.ports.Release(w.binding)
	w.proto.timeWaits.Add(-1)
}

// localReuse is how soon the port of a connection inside the host may be used
// again: nothing is under way there that could arrive late, but at the rate at
// which local connections are made a second would use up all ports.
const localReuse = 10 * time.Millisecond

// reusable reports whether a new connection may take w's place (tcp_tw_reuse,
// RFC 6191): timestamps tell old segments from new ones, and a second has passed.
func (w *timeWait) reusable() bool {
	switch w.proto.Params.TwReuse.Get() {
	case 0:
		return false
	case 2:
		if !w.local {
			return false
		}
	}
	delay := time.Duration(w.proto.Params.TwReuseDelay.Get()) * time.Millisecond
	if w.local {
		delay = localReuse
	}
	return w.tsOK && w.proto.ip.Wheel.Now()-w.since > delay
}

// receive takes a segment for the old connection (RFC 9293 section 3.10.7.4,
// RFC 6191, RFC 1337). It reports false if the segment has to be looked up again.
func (w *timeWait) receive(g *segment) bool {
	p := w.proto
	paws := w.tsOK && g.opt.HasTS && before(g.opt.TSVal, w.tsRecent) && p.ip.Wheel.Now()-w.tsRecentAt < 24*24*time.Hour
	if !paws && g.flags&wire.RST != 0 && g.seq == w.rcvNxt && g.len == 0 {
		if !p.Params.Rfc1337.Bool() {
			w.expire()
		}
		return true
	}
	if g.flags&wire.RST != 0 {
		return true
	}
	if g.flags&(wire.SYN|wire.ACK) == wire.SYN && !paws && (after(g.seq, w.rcvNxt) || w.tsOK && g.opt.HasTS && before(w.tsRecent, g.opt.TSVal)) {
		// A new incarnation: it goes to a listener, if there is one.
		if p.listener(g) != nil {
			p.ip.Counters.TCP.TWRecycled.Inc()
			w.expire()
			return false
		}
	}
	if paws {
		p.ip.Counters.TCP.PAWSEstab.Inc()
	}
	now := p.ip.Wheel.Now()
	if !paws && g.flags&wire.FIN != 0 {
		w.timer.Reset(now + timeWaitLen)
	}
	if g.seq == w.rcvNxt && g.len == 0 && g.flags&(wire.SYN|wire.FIN) == 0 {
		return true
	}
	if w.lastAck != 0 && now-w.lastAck < time.Duration(p.Params.InvalidRatelimit.Get())*time.Millisecond && g.flags&wire.FIN == 0 {
		return true
	}
	w.lastAck = now
	f := wire.TCPFields{Seq: w.sndNxt, Ack: w.rcvNxt, Flags: wire.ACK, Window: w.window}
	var ob [12]byte
	n := 0
	if w.tsOK {
		n = wire.PutTimestamps(ob[:], p.tsNow()+w.tsOff, w.tsRecent)
	}
	p.reply(g, &f, ob[:n])
	return true
}
