package tcp

import (
	"time"

	"casemate/netstack/ip"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// receive takes a segment of the endpoint's connection.
func (e *Endpoint) receive(g *segment) {
	e.lock()
	e.info.segsIn++
	switch e.state {
	case Close, Listen:
		// It has just been closed: as if it did not exist.
		e.unlock()
		e.proto.reset(g)
		return
	case SynSent:
		e.inputSynSent(g)
	default:
		e.input(g)
	}
	e.unlock()
}

// inputSynSent is RFC 9293 section 3.10.7.3.
func (e *Endpoint) inputSynSent(g *segment) {
	s, r := &e.snd, &e.rcv
	if g.flags&wire.ACK != 0 {
		if !after(g.ack, s.iss) || after(g.ack, s.nxt) {
			e.proto.reset(g)
			return
		}
		if e.tsSent() && g.opt.HasTS && g.opt.TSEcr != 0 && after(g.opt.TSEcr, e.proto.tsNow()+e.tsOff) {
			e.proto.ip.Counters.TCP.PAWSActive.Inc()
			e.proto.reset(g)
			return
		}
	}
	if g.flags&wire.RST != 0 {
		if g.flags&wire.ACK != 0 {
			e.fail(unix.ECONNREFUSED)
		}
		return
	}
	if g.flags&wire.SYN == 0 {
		return
	}
	e.negotiate(g)
	e.ecn.synAck(g.flags)
	r.init(g.seq)
	r.adv = r.nxt + r.firstWindow(e)
	now := e.now()
	r.lastSeg = now
	if g.flags&wire.ACK == 0 {
		// Simultaneous open.
		s.nxt = s.iss
		e.rec.sent = ring[sent]{}
		e.rec.packetsOut, e.rec.lostOut, e.rec.retransOut = 0, 0, 0
		s.wnd, s.wl1, s.wl2, s.maxWnd = g.wnd, g.seq, s.iss, g.wnd
		e.setState(SynRecv)
		e.timers.off(timerRetransmit)
		e.sendSYN()
		return
	}
	s.wnd, s.wl1, s.wl2, s.maxWnd = g.wnd, g.seq, g.ack, g.wnd
	var a ackResult
	e.echo(g, &a)
	e.cumulativeACK(g.ack, now, &a)
	if a.rtt == 0 {
		a.rtt = e.echoRTT(&a)
	}
	if a.rtt > 0 {
		e.rtt.sample(a.rtt, now)
	}
	e.timers.off(timerRetransmit)
	e.rec.since, e.rec.retries = 0, 0
	e.rtt.backoff = 0
	e.tfoSYNACK(g)
	e.established(now)
	e.pend |= unix.POLLOUT | sock.POLLWRNORM
	e.retransmit(now)
	e.rearm(now)
	// Data and a FIN that come with the SYN-ACK have to come again, as in Linux.
	e.sendACK()
	e.output(false)
}

// tsSent reports whether our SYN has had timestamps.
func (e *Endpoint) tsSent() bool { return e.proto.Params.Timestamps.Bool() }

// negotiate takes the options of the peer's SYN.
func (e *Endpoint) negotiate(g *segment) {
	p := &e.proto.Params
	o := &g.opt
	s := &e.snd
	if o.MSS != 0 {
		s.peerMSS = max(int(o.MSS), p.MinSndMSS.Get())
	} else {
		s.peerMSS = e.defaultMSS()
	}
	e.tsOK = o.HasTS && p.Timestamps.Bool()
	e.sackOK = o.SACKPermitted && p.SACK.Bool()
	e.wscaleOK = o.WindowScale >= 0 && p.WindowScaling.Bool()
	if e.tsOK {
		e.tsRecent, e.tsRecentAt = o.TSVal, e.now()
	}
	if e.wscaleOK {
		s.wscale = uint8(o.WindowScale)
	} else {
		s.wscale, e.rcv.wscale = 0, 0
	}
	e.syncMSS()
}

// established enters ESTABLISHED.
func (e *Endpoint) established(now time.Duration) {
	e.setState(Established)
	e.tfoDone()
	e.syncMSS()
	e.rcv.mss = max(min(e.advMSS(), e.snd.mss, e.recvWindow()/2, defaultMSS), 88)
	if e.rec.ca != caOpen {
		// A lost SYN says little of the path, unless it was lost again (RFC 5681 section 3.1).
		again := e.info.totalRetrans > 1
		e.rec = recovery{sent: e.rec.sent, packetsOut: e.rec.packetsOut, sackedOut: e.rec.sackedOut, lostOut: e.rec.lostOut,
			retransOut: e.rec.retransOut, reoSteps: 1, fack: e.snd.una}
		e.cc = newCC(e.ccName, e.now())
		if again {
			e.cc.cwnd = 1
		}
	}
	e.startBBR()
	if e.rtt.srtt == 0 {
		e.rtt.rto = fallbackRTO
	}
	if e.route.Type == unix.RTN_LOCAL {
		// No path is shorter: start with a buffer that does not hold up large segments.
		e.opts.TuneRcvBuf(min(max(e.opts.RcvBuf(), localRcvBuf), e.proto.Params.Rmem.At(2)))
	}
	e.tuneSndBuf()
	e.rcv.tuneAt, e.rcv.tuneSeq = now, e.rcv.read
	e.rcv.lastSeg = now
	e.snd.lastAck = now
	if e.keepAlive {
		idle, _, _ := e.keepalive()
		e.timers.set(timerKeepalive, now+idle)
	}
}

// localRcvBuf is the first receive buffer of a connection inside the host.
const localRcvBuf = 1 << 20

// input processes a segment in all states but CLOSED, LISTEN and SYN-SENT (RFC
// 9293 section 3.10.7.4).
func (e *Endpoint) input(g *segment) {
	s, r := &e.snd, &e.rcv
	now := e.now()
	c := &e.proto.ip.Counters.TCP

	// PAWS (RFC 7323 section 5).
	if e.tsOK && g.opt.HasTS && before(g.opt.TSVal, e.tsRecent) && g.flags&wire.RST == 0 && now-e.tsRecentAt < 24*24*time.Hour {
		c.PAWSEstab.Inc()
		if !(e.state == SynRecv && g.flags&wire.SYN != 0) {
			e.outOfWindow(g, now)
			return
		}
	}
	// First: is the sequence number acceptable?
	if before(g.end(), r.wup) || after(g.seq, r.nxt+uint32(max(e.recvWindow(), 0))) {
		if g.flags&wire.RST != 0 {
			return
		}
		if e.state == SynRecv && g.flags&wire.SYN != 0 && g.seq == r.irs {
			// The peer has not got our SYN-ACK; or, in a simultaneous open, this is it.
			if g.flags&wire.ACK != 0 && g.ack == s.nxt {
				e.skipSYN(g)
			} else {
				e.sendSYN()
				return
			}
		} else if g.flags&wire.SYN != 0 {
			e.challengeACK()
			return
		} else {
			e.outOfWindow(g, now)
			return
		}
	} else if e.state == SynRecv && g.flags&wire.SYN != 0 && g.seq == r.irs {
		if g.flags&wire.ACK == 0 {
			e.sendSYN()
			return
		}
		e.skipSYN(g)
	}
	// Second: RST (RFC 5961 section 3).
	if g.flags&wire.RST != 0 {
		if g.seq == r.nxt || len(r.ooo) > 0 && g.seq == r.ooo[len(r.ooo)-1].end {
			e.gotReset()
		} else {
			e.challengeACK()
		}
		return
	}
	// Fourth: SYN (RFC 5961 section 4).
	if g.flags&wire.SYN != 0 {
		c.TCPSYNChallenge.Inc()
		e.challengeACK()
		return
	}
	// Fifth: ACK.
	if g.flags&wire.ACK == 0 {
		return
	}
	r.lastSeg = now
	if e.tsOK && g.opt.HasTS && !after(g.seq, r.wup) && !before(g.opt.TSVal, e.tsRecent) {
		e.tsRecent, e.tsRecentAt = g.opt.TSVal, now
	}
	if e.state == SynRecv {
		if !after(g.ack, s.una) || after(g.ack, s.nxt) {
			e.proto.reset(g)
			return
		}
		s.wnd, s.wl1, s.wl2 = g.wnd<<s.wscale, g.seq, g.ack
		s.maxWnd = max(s.maxWnd, s.wnd)
		fin := s.fin
		e.established(now)
		if fin {
			e.setState(FinWait1)
		}
		e.pend |= unix.POLLOUT | sock.POLLWRNORM
	}
	e.ecnPeerReduced(g)
	if !e.ackInput(g, now) {
		return
	}
	switch e.state {
	case FinWait1, Closing, LastAck:
		if s.fin && s.una == s.end+1 {
			e.finAcked(g, now)
		}
	}
	if e.state == Close || e.state == TimeWait {
		return
	}
	// Sixth: urgent data.
	if g.flags&wire.URG != 0 {
		e.urgent(g)
	} else if r.urg == urgNotYet {
		e.urgentByte(g)
	}
	// Seventh and eighth: data and FIN.
	if g.len > 0 || g.flags&wire.FIN != 0 {
		switch e.state {
		case Established, FinWait1, FinWait2:
			if e.shut&shutRecv != 0 && e.dead && after(g.seq+g.len, r.nxt) {
				// Nobody will ever read it (RFC 9293 section 3.6.1).
				c.TCPAbortOnData.Inc()
				e.proto.reset(g)
				e.terminate()
				return
			}
			e.acceptData(g, now)
		default:
			// The peer has closed: a retransmission.
			if before(g.seq, r.nxt) {
				e.quickMode(2)
				r.ackNow = true
			}
		}
	}
	if e.state == Close || e.state == TimeWait {
		return
	}
	e.output(false)
	e.ackCheck(g, now)
}

// skipSYN takes the SYN off the SYN-ACK of a simultaneous open, which has been seen before.
func (e *Endpoint) skipSYN(g *segment) {
	e.dsack(g.seq, g.seq+1)
	e.rcv.ackNow = true
	g.seq++
	g.flags &^= wire.SYN
}

// finAcked is the acknowledgement of our FIN.
func (e *Endpoint) finAcked(g *segment, now time.Duration) {
	switch e.state {
	case FinWait1:
		e.setState(FinWait2)
		e.shut |= shutSend
		e.pend |= unix.POLLOUT | unix.POLLHUP
		if !e.dead {
			return
		}
		if e.linger2 < 0 {
			e.terminate()
			return
		}
		e.orphanFinWait2()
	case Closing:
		e.enterTimeWait()
	case LastAck:
		e.terminate()
	}
}

// gotReset ends the connection on a RST.
func (e *Endpoint) gotReset() {
	err := unix.Errno(unix.ECONNRESET)
	switch e.state {
	case CloseWait:
		err = unix.EPIPE
	}
	if e.state == Established || e.state == CloseWait {
		e.proto.ip.Counters.TCP.EstabResets.Inc()
	}
	e.fail(err)
}

// outOfWindow answers a segment that is not acceptable with an ACK, at most one
// in tcp_invalid_ratelimit, and a DSACK if it is old data.
func (e *Endpoint) outOfWindow(g *segment, now time.Duration) {
	r := &e.rcv
	if before(g.seq, r.nxt) && g.len > 0 {
		e.dsack(g.seq, minSeq(g.seq+g.len, r.nxt))
		e.quickMode(2)
		e.sendACK()
		return
	}
	if d := time.Duration(e.proto.Params.InvalidRatelimit.Get()) * time.Millisecond; g.len == 0 && r.challenged != 0 && now-r.challenged < d {
		return
	}
	r.challenged = now
	e.sendACK()
}

func maxSeq(a, b uint32) uint32 {
	if after(a, b) {
		return a
	}
	return b
}

func minSeq(a, b uint32) uint32 {
	if before(a, b) {
		return a
	}
	return b
}

// challengeACK asks the peer to show that it knows the connection (RFC 5961).
func (e *Endpoint) challengeACK() {
	now := e.now()
	d := time.Duration(e.proto.Params.InvalidRatelimit.Get()) * time.Millisecond
	if e.rcv.challenged != 0 && now-e.rcv.challenged < d {
		return
	}
	if !e.proto.challenge.allow(now, e.proto.Params.ChallengeAckLimit.Get()) {
		return
	}
	e.rcv.challenged = now
	e.proto.ip.Counters.TCP.TCPChallengeACK.Inc()
	e.sendACK()
}

// urgent takes the urgent pointer, which points, as in Linux, behind the urgent
// byte (RFC 6093 section 3).
func (e *Endpoint) urgent(g *segment) {
	r := &e.rcv
	at := g.seq + uint32(max(g.urg, 1)) - 1
	if after(r.read, at) {
		return // already read
	}
	if after(r.nxt, at) {
		return // arrived as ordinary data
	}
	if (r.urg == urgValid || r.urg == urgNotYet) && !after(at, r.urgSeq) {
		e.urgentByte(g)
		return
	}
	e.endData()
	// A second urgent byte: the first becomes ordinary unless it was read.
	r.urg, r.urgSeq = urgNotYet, at
	e.pend |= unix.POLLPRI
	e.urgentByte(g)
}

// urgentByte takes the urgent byte if it is in g.
func (e *Endpoint) urgentByte(g *segment) {
	r := &e.rcv
	if r.urg != urgNotYet {
		return
	}
	if off := r.urgSeq - g.seq; off < g.len {
		var b [1]byte
		g.p.CopyOut(int(off), b[:])
		r.urg, r.urgByte = urgValid, b[0]
		e.pend |= unix.POLLPRI
	}
}

// icmpError takes an ICMP error about a segment of this connection (RFC 5927).
func (e *Endpoint) icmpError(x *ip.Error, seq uint32) {
	e.lock()
	defer e.unlock()
	s := &e.snd
	if e.state == Close || e.state == Listen || before(seq, s.una) || after(seq, s.nxt) {
		return
	}
	if x.MTU != 0 {
		was := s.mss
		e.refreshRoute()
		if e.state != SynSent && s.mss < was && e.rec.sent.len() > 0 {
			e.shrink(was)
		}
		return
	}
	recvErr := e.opts.RecvErr.Load() && e.v4 || e.opts.RecvErr6.Load() && !e.v4
	switch {
	case e.state == SynSent || e.state == SynRecv:
		e.fail(x.Errno)
	case recvErr:
		e.endRoom()
		e.err = x.Errno
		e.pend |= unix.POLLERR
	default:
		e.soft = x.Errno
	}
}

// shrink sends again, in smaller segments, what was in flight when the path MTU
// shrank (RFC 1191 section 6.3).
func (e *Endpoint) shrink(was int) {
	r := &e.rec
	now := e.now()
	for i := 0; i < r.sent.len(); i++ {
		f := r.sent.at(i)
		if f.n > 1 && int(f.end-f.seq) > was {
			// As in Linux each of the old segments is cut, so that nothing is joined.
			r.split(i, f.seq+uint32(was), was)
			f = r.sent.at(i)
		}
		if f.flags&sentSacked != 0 || int(f.end-f.seq) <= e.snd.mss && f.n == 1 {
			continue
		}
		n := (f.end - f.seq + uint32(e.snd.mss) - 1) / uint32(e.snd.mss)
		r.packetsOut += n - f.n
		if f.flags&sentLost != 0 {
			r.lostOut += n - f.n
		}
		if f.flags&sentRetrans != 0 {
			r.retransOut += n - f.n
		}
		f.n = n
		r.markLost(f)
	}
	e.retransmit(now)
	e.rearm(now)
}
