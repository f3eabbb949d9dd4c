package tcp

import (
	"math"
	"time"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// sender is the send sequence space (RFC 9293 section 3.3.1) and queue.
type sender struct {
	q        dataQueue // data from base on: unacknowledged, then unsent
	base     uint32    // sequence number of q's first byte
	iss      uint32
	una, nxt uint32
	end      uint32 // behind the last byte of q
	fin      bool   // a FIN follows end
	wnd      uint32 // SND.WND, bytes
	wl1, wl2 uint32
	maxWnd   uint32
	wscale   uint8
	peerMSS  int    // the peer's MSS option, or the default
	mss      int    // data bytes per segment, options deducted
	small    uint32 // end of the last segment sent shorter than mss (Minshall's variant of Nagle)
	up       uint32 // SND.UP: behind the last urgent byte
	urgent   bool
	reuse    uint32        // initial sequence number after a reused TIME-WAIT
	lastSend time.Duration // of data
	lastAck  time.Duration // when una last moved
}

func (s *sender) init(iss uint32) {
	s.iss, s.una, s.nxt = iss, iss, iss
	s.base, s.end = iss+1, iss+1
	s.fin, s.urgent = false, false
	s.wnd, s.maxWnd, s.small, s.wscale = 0, 0, iss, 0
	s.peerMSS = defaultMSS
}

// What is assumed of a peer that sends no MSS option (RFC 9293 section 3.7.1).
const (
	defaultMSS  = 536
	defaultMSS6 = 1220
)

func (e *Endpoint) defaultMSS() int {
	if e.v4 {
		return defaultMSS
	}
	return defaultMSS6
}

// unsent is how many bytes have not been sent once.
func (s *sender) unsent() int {
	if n := int32(s.end - s.nxt); n > 0 && s.nxt != s.iss {
		return int(n)
	}
	if s.nxt == s.iss {
		return s.q.size
	}
	return 0
}

// before reports whether a precedes b in sequence space.
func before(a, b uint32) bool { return int32(a-b) < 0 }

// after reports whether a follows b.
func after(a, b uint32) bool { return int32(a-b) > 0 }

// headerLen is the length of IP and TCP headers without options.
func headerLen(v4 bool) int {
	if v4 {
		return wire.IPv4MinLen + wire.TCPMinLen
	}
	return wire.IPv6Len + wire.TCPMinLen
}

// pathMSS is the data that one segment along r can carry, without options.
func pathMSS(r *ip.Route, v4 bool) int {
	if v4 {
		return min(r.MTU, ip.MaxIPv4) - headerLen(true)
	}
	return min(r.MTU-headerLen(false), ip.MaxIPv4)
}

// syncMSS sets the segment size from the path MTU and the peer's MSS.
func (e *Endpoint) syncMSS() {
	m := min(pathMSS(&e.route, e.v4), e.snd.peerMSS)
	if e.userMSS != 0 {
		m = min(m, e.userMSS)
	}
	if e.tsOK {
		m -= 12
	}
	e.snd.mss = max(m, e.proto.Params.MinSndMSS.Get()-12)
}

// advMSS is what our MSS option says.
func (e *Endpoint) advMSS() int {
	m := pathMSS(&e.route, e.v4)
	if e.userMSS != 0 {
		m = min(m, e.userMSS)
	}
	return m
}

// refreshRoute looks the route up again when it has gone stale.
func (e *Endpoint) refreshRoute() {
	if e.route.Fresh() {
		return
	}
	r, err := e.proto.ip.Lookup(e.laddr, e.raddr, e.opts.BoundDev.Load(), e.opts.Mark.Load())
	if err != nil {
		return
	}
	e.route = r
	if e.state != SynSent && e.state != SynRecv {
		e.syncMSS()
	}
}

// build makes a segment with n data bytes from seq on, now, and hands it to IP. It
// returns how many data bytes it took, which may be fewer.
func (e *Endpoint) build(now time.Duration, seq uint32, n int, flags uint8, opts []byte) int {
	s := &e.snd
	p := e.proto
	e.refreshRoute()
	q := pkt.New()
	if n > 0 {
		off := int(seq - s.base)
		if flags&wire.SYN != 0 {
			off = 0 // data follows the SYN
		}
		if got := s.q.addTo(q, off, n); got < n {
			flags &^= wire.FIN
			if got > s.mss {
				cut := got % s.mss
				q.Truncate(got - cut)
				got -= cut
			}
			n = got
		}
		if seq+uint32(n) == s.end && flags&wire.SYN == 0 {
			flags |= wire.PSH
		}
		e.info.dataSegsOut += uint32((n + s.mss - 1) / s.mss)
	}
	var ob [40]byte
	if opts == nil {
		k := 0
		if e.tsOK {
			k = wire.PutTimestamps(ob[:], e.tsAt(now), e.tsRecent)
		}
		if e.sackOK && n == 0 && flags&(wire.SYN|wire.RST) == 0 {
			k += e.rcv.putSACK(ob[k:])
		}
		opts = ob[:k]
	}
	hl := wire.TCPMinLen + len(opts)
	h := wire.TCP(q.Append(hl))
	f := wire.TCPFields{SrcPort: e.lport, DstPort: e.rport, Seq: seq, Flags: flags, HeaderLen: hl}
	if flags&wire.ACK != 0 {
		f.Ack = e.rcv.nxt
		if flags&wire.SYN != 0 {
			f.Window = uint16(min(e.rcv.firstWindow(e), 65535))
		} else {
			f.Window = uint16(min(e.selectWindow()>>e.rcv.wscale, 65535))
		}
		e.ackSent()
	} else if flags&wire.SYN != 0 {
		f.Window = uint16(min(e.rcv.firstWindow(e), 65535))
	}
	if s.urgent && flags&wire.SYN == 0 && after(s.up, seq) {
		if d := s.up - seq; d <= math.MaxUint16 {
			f.Flags |= wire.URG
			f.UrgPtr = uint16(d)
		}
	}
	tos := e.ecnOutput(&f, n)
	h.Put(&f)
	copy(h[wire.TCPMinLen:], opts)
	q.Src, q.Dst, q.Proto = e.laddr, e.raddr, unix.IPPROTO_TCP
	q.Mark, q.Hash = e.opts.Mark.Load(), e.hash
	q.Owned, q.UID, q.GID = true, e.opts.UID.Load(), e.opts.GID.Load()
	if e.v4 {
		q.TTL, q.TOS = p.ip.SelectTTL(e.raddr, e.opts.TTL.Load()), uint8(e.opts.TOS.Load())|tos
		q.DF = e.opts.MTUDiscover.Load() != unix.IP_PMTUDISC_DONT
		q.ID = e.ipid
		e.ipid += uint16(1 + n/max(s.mss, 1))
	} else {
		q.TTL, q.TOS, q.DF = p.ip.SelectTTL(e.raddr, e.opts.HopLimit.Load()), uint8(e.opts.TClass.Load())|tos, true
	}
	if n > s.mss && n > 0 {
		q.GSOSize = uint16(s.mss)
	}
	p.finish(q, h, hl+n)
	segs := uint64(1)
	if n > s.mss {
		segs = uint64((n + s.mss - 1) / s.mss)
	}
	p.ip.Counters.TCP.OutSegs.Add(segs)
	e.info.segsOut += uint32(segs)
	e.info.bytesSent += uint64(n)
	if err := p.ip.Output(q, &e.route); err == unix.EMSGSIZE {
		e.route = ip.Route{} // the path MTU has shrunk: look it up for the next attempt
	}
	return n
}

// sendSYN sends our SYN, or SYN-ACK in SYN-RECEIVED, and arms the timer.
func (e *Endpoint) sendSYN() {
	p := e.proto
	s := &e.snd
	e.refreshRoute()
	now := e.now()
	o := wire.SYNOptions{MSS: uint16(e.advMSS()), WindowScale: -1}
	fl := uint8(wire.SYN)
	if e.state == SynRecv || e.tfo.passive {
		fl |= wire.ACK
	}
	if e.tfo.passive {
		o.HasTS, o.SACKPermitted = e.tsOK, e.sackOK
		if e.wscaleOK {
			o.WindowScale = int8(e.rcv.wscale)
		}
	} else {
		// In a simultaneous open as well this is what was offered before.
		o.HasTS, o.SACKPermitted = p.Params.Timestamps.Bool(), p.Params.SACK.Bool()
		if p.Params.WindowScaling.Bool() {
			e.rcv.wscale = e.rcv.chooseScale(e)
			o.WindowScale = int8(e.rcv.wscale)
		}
	}
	o.TSVal, o.TSEcr = p.tsNow()+e.tsOff, e.tsRecent
	fl |= e.ecnSYN(s.nxt != s.iss)
	var ob [40]byte
	s.mss = max(s.mss, 1)
	n := 0
	if s.nxt == s.iss {
		s.nxt = s.iss + 1
		e.push(&sent{seq: s.iss, end: s.nxt, n: 1}, now)
		if n = e.tfoSYN(&o); n > 0 {
			s.nxt += uint32(n)
			e.push(&sent{seq: s.iss + 1, end: s.nxt, n: 1}, now)
		}
	} else if e.rec.sent.len() > 0 {
		e.rec.sent.at(0).flags |= sentEver
	}
	e.build(now, s.iss, n, fl, ob[:o.Put(ob[:])])
	if !e.timers.on(timerRetransmit) {
		e.timers.set(timerRetransmit, now+e.rtt.timeout())
	}
}

// sendACK sends an ACK without data.
func (e *Endpoint) sendACK() {
	switch e.state {
	case Close, Listen, SynSent:
		return
	}
	e.build(e.now(), e.snd.nxt, 0, wire.ACK, nil)
}

// sendProbe sends a segment that makes the peer send an ACK: without data, with
// a sequence number just below the window.
func (e *Endpoint) sendProbe() { e.build(e.now(), e.snd.una-1, 0, wire.ACK, nil) }

// sendRST sends a RST for a synchronised connection.
func (e *Endpoint) sendRST() {
	e.proto.ip.Counters.TCP.OutRsts.Inc()
	e.build(e.now(), e.snd.nxt, 0, wire.RST|wire.ACK, nil)
}

// output sends what windows, congestion control and Nagle's algorithm allow.
// With push, a last segment shorter than mss is not held back. mu is held.
func (e *Endpoint) output(push bool) {
	switch e.state {
	case Established, CloseWait, FinWait1, Closing, LastAck:
	case SynRecv:
		if !e.tfo.passive {
			return
		}
	default:
		return
	}
	s := &e.snd
	var now time.Duration
	var pace float64
	sentAny, held := false, false
	for {
		avail := int(int32(s.end - s.nxt))
		if avail < 0 || avail == 0 && !s.fin {
			break // all sent, the FIN as well
		}
		if now == 0 {
			now = e.now()
			e.restartIdle(now)
			pace = e.pacingRate()
		}
		room := int(int32(s.una + s.wnd - s.nxt))
		if room <= 0 {
			break
		}
		quota := e.rec.quota(&e.cc)
		if quota <= 0 && !(avail == 0 && s.fin) {
			break
		}
		most := e.maxBurst()
		if pace != 0 && avail > 0 {
			if held = e.hold(now, push); held {
				break
			}
			most = min(most, e.paceQuantum(pace))
		}
		n := e.fitting(max(min(avail, quota*s.mss, most), 0), room)
		if n == 0 && !(avail == 0 && s.fin) {
			break
		}
		if tail := n % s.mss; tail != 0 && e.holdBack(push) {
			if n -= tail; n == 0 {
				break
			}
		}
		fl := uint8(wire.ACK)
		fin := s.fin && n == avail
		if fin {
			fl |= wire.FIN
		}
		seq := s.nxt
		got := e.build(now, seq, n, fl, nil)
		fin = fin && got == n
		s.nxt += uint32(got)
		if got%s.mss != 0 {
			s.small = s.nxt
		}
		pk := uint32((got + s.mss - 1) / s.mss)
		if fin {
			s.nxt++
			pk = max(pk, 1)
		}
		e.push(&sent{seq: seq, end: s.nxt, n: pk, fin: fin}, now)
		if pace != 0 {
			e.paced(got, pace, now)
		}
		s.lastSend = now
		sentAny = true
	}
	if !held {
		e.pacing.released()
	}
	if sentAny {
		if !e.timers.on(timerRetransmit) || e.rec.sent.len() == 1 {
			e.rearm(now)
		}
		e.armProbe(now)
	} else if !held && e.rec.sent.len() == 0 && (s.unsent() > 0 || s.fin && s.nxt == s.end) && !e.timers.on(timerRetransmit) {
		// The window is closed, or too small, or the application holds the data back: not for ever.
		e.rec.probes = 0
		e.timers.set(timerRetransmit, e.now()+e.rtt.timeout())
	}
}

// fitting is how much of n bytes may be sent into a window with room bytes. What is not a
// full segment, nor all that there is, waits for the window to open, or for the timer,
// unless the peer has never offered twice as much (RFC 9293 section 3.8.6.2.1).
func (e *Endpoint) fitting(n, room int) int {
	s := &e.snd
	switch {
	case n <= room:
		return n
	case room >= s.mss:
		return room
	case room >= int(s.maxWnd/2):
		return room
	}
	return 0
}

// wakeup sends one segment of what is held back, as far as the window allows.
func (e *Endpoint) wakeup(now time.Duration) {
	s := &e.snd
	n := min(s.unsent(), s.mss, int(int32(s.una+s.wnd-s.nxt)))
	if n <= 0 {
		e.output(true) // a FIN
		return
	}
	seq := s.nxt
	got := e.build(now, seq, n, wire.ACK, nil)
	s.nxt += uint32(got)
	s.small = s.nxt
	e.push(&sent{seq: seq, end: s.nxt, n: 1}, now)
	s.lastSend = now
	e.rearm(now)
}

// holdBack is Nagle's algorithm (RFC 9293 section 3.7.4) with Minshall's
// change, and TCP_CORK.
func (e *Endpoint) holdBack(push bool) bool {
	s := &e.snd
	if s.fin || s.urgent {
		return false
	}
	if e.cork {
		return !push
	}
	if e.noDelay {
		return false
	}
	return e.rec.sent.len() > 0 && after(s.small, s.una) && !after(s.small, s.nxt)
}

// maxBurst is the most data, in bytes, that one packet to IP carries: what one
// IP packet holds.
func (e *Endpoint) maxBurst() int {
	n := ip.MaxIPv4 - headerLen(e.v4) - 40
	if n > e.snd.mss {
		n -= n % e.snd.mss
	}
	return max(n, e.snd.mss)
}

// restartIdle starts slow again after an idle time (RFC 5681 section 4.1).
func (e *Endpoint) restartIdle(now time.Duration) {
	s := &e.snd
	if b := e.cc.bbr; b != nil {
		if e.rec.inFlight() <= 0 && e.rate.appLimited != 0 {
			e.cc.cwnd = b.Restart(now, s.mss, e.cc.cwnd)
		}
		return
	}
	if q := &e.cc.cubic; q.epoch != 0 && e.rec.sent.len() == 0 {
		q.epoch += now - s.lastSend // RFC 9438 section 4.2: not while the application had nothing to send
	}
	if e.rec.sent.len() == 0 && s.lastSend != 0 && now-s.lastSend > e.rtt.rto && e.proto.Params.SlowStartAfterIdle.Bool() && !e.route.Iface.IsLoopback() {
		for d := now - s.lastSend; d > e.rtt.rto && e.cc.cwnd > initialWindow; d -= e.rtt.rto {
			e.cc.cwnd = max(e.cc.cwnd/2, initialWindow)
		}
	}
}

// retransmit sends again what is marked lost, as far as the congestion window
// allows.
func (e *Endpoint) retransmit(now time.Duration) {
	r := &e.rec
	if r.lostOut <= r.retransOut && r.lostOut == 0 {
		return
	}
	pace := e.pacingRate()
	for i := 0; i < r.sent.len(); i++ {
		f := r.sent.at(i)
		if f.flags&sentLost == 0 || f.flags&(sentSacked|sentRetrans) != 0 {
			continue
		}
		q := r.quota(&e.cc)
		if q <= 0 {
			return
		}
		if pace != 0 {
			if e.hold(now, false) {
				return
			}
			q = min(q, max(e.paceQuantum(pace)/e.snd.mss, 1))
		}
		if int(f.n) > q && f.n > 1 {
			r.split(i, f.seq+uint32(q*e.snd.mss), e.snd.mss)
		}
		e.resend(i, now)
		if e.state == Close {
			return
		}
	}
}

// resend sends record i again.
func (e *Endpoint) resend(i int, now time.Duration) {
	r := &e.rec
	s := &e.snd
	f := r.sent.at(i)
	if before(f.seq, s.una) {
		f.seq = s.una // its front has been acknowledged
	}
	switch {
	case f.seq == s.iss:
		e.sendSYN()
	default:
		n := int(f.end - f.seq)
		fl := uint8(wire.ACK)
		if f.fin {
			fl |= wire.FIN
			n--
		}
		// Never beyond the window, except what a probe may carry.
		if n > 0 {
			if max := e.maxBurst(); n > max {
				r.split(i, f.seq+uint32(max), s.mss)
				f = r.sent.at(i)
				n, fl = max, fl&^wire.FIN
			}
			if got := e.build(now, f.seq, n, fl, nil); got < n {
				r.split(i, f.seq+uint32(got), s.mss)
			}
		} else {
			e.build(now, f.seq, 0, fl, nil)
		}
	}
	f = r.sent.at(i)
	if f.flags&sentRetrans == 0 {
		f.flags |= sentRetrans
		r.retransOut += f.n
	}
	r.countOut(f.n)
	f.flags |= sentEver
	e.stamp(f, now)
	if pace := e.pacingRate(); pace != 0 {
		e.paced(int(f.end-f.seq), pace, now)
	}
	c := &e.proto.ip.Counters.TCP
	c.RetransSegs.Add(uint64(f.n))
	e.info.totalRetrans += f.n
	e.info.bytesRetrans += uint64(f.end - f.seq)
	if r.undo == 0 {
		r.retransAt = e.proto.tsNow() + e.tsOff
	}
	r.undo += int(f.n)
	s.lastSend = now
}
