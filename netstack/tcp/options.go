package tcp

import (
	"time"

	"casemate/netstack/sock"
	"golang.org/x/sys/unix"
)

// SetNoDelay is TCP_NODELAY; setting it sends what Nagle's algorithm held back.
func (e *Endpoint) SetNoDelay(on bool) {
	e.lock()
	e.noDelay = on
	if on {
		e.output(true)
	}
	e.unlock()
	e.proto.ip.Run()
}

// NoDelay is TCP_NODELAY.
func (e *Endpoint) NoDelay() bool {
	e.lock()
	defer e.mu.Unlock()
	return e.noDelay
}

// SetCork is TCP_CORK; clearing it sends what was held back.
func (e *Endpoint) SetCork(on bool) {
	e.lock()
	e.cork = on
	if !on {
		e.output(true)
	}
	e.unlock()
	e.proto.ip.Run()
}

// Cork is TCP_CORK.
func (e *Endpoint) Cork() bool {
	e.lock()
	defer e.mu.Unlock()
	return e.cork
}

// SetQuickAck is TCP_QUICKACK.
func (e *Endpoint) SetQuickAck(on bool) {
	e.lock()
	e.quickAckMode = on
	if !on {
		e.rcv.pingpong = true
	} else {
		e.rcv.pingpong = false
		if e.rcv.ackDue && e.state != Close && e.state != Listen {
			e.sendACK()
		}
	}
	e.unlock()
	e.proto.ip.Run()
}

// QuickAck is TCP_QUICKACK.
func (e *Endpoint) QuickAck() bool {
	e.lock()
	defer e.mu.Unlock()
	return !e.rcv.pingpong
}

// SetKeepAlive is SO_KEEPALIVE.
func (e *Endpoint) SetKeepAlive(on bool) {
	e.lock()
	e.keepAlive = on
	e.restartKeepalive()
	e.unlock()
}

// KeepAlive is SO_KEEPALIVE.
func (e *Endpoint) KeepAlive() bool {
	e.lock()
	defer e.mu.Unlock()
	return e.keepAlive
}

func (e *Endpoint) restartKeepalive() {
	switch e.state {
	case Close, Listen, SynSent:
		return
	}
	if !e.keepAlive {
		e.timers.off(timerKeepalive)
		return
	}
	idle, _, _ := e.keepalive()
	e.timers.set(timerKeepalive, max(max(e.rcv.lastSeg, e.snd.lastAck)+idle, e.now()))
}

// SetKeepIdle is TCP_KEEPIDLE, in seconds: EINVAL outside 1..32767.
func (e *Endpoint) SetKeepIdle(s int) error { return e.setKeep(&e.keepIdle, s) }

// SetKeepInterval is TCP_KEEPINTVL, in seconds: EINVAL outside 1..32767.
func (e *Endpoint) SetKeepInterval(s int) error { return e.setKeep(&e.keepIntvl, s) }

func (e *Endpoint) setKeep(d *time.Duration, s int) error {
	if s < 1 || s > 32767 {
		return unix.EINVAL
	}
	e.lock()
	*d = time.Duration(s) * time.Second
	e.restartKeepalive()
	e.unlock()
	return nil
}

// SetKeepCount is TCP_KEEPCNT: EINVAL outside 1..127.
func (e *Endpoint) SetKeepCount(n int) error {
	if n < 1 || n > 127 {
		return unix.EINVAL
	}
	e.lock()
	e.keepCnt = n
	e.unlock()
	return nil
}

// Keep is TCP_KEEPIDLE and TCP_KEEPINTVL, in seconds, and TCP_KEEPCNT.
func (e *Endpoint) Keep() (idle, intvl, cnt int) {
	e.lock()
	defer e.mu.Unlock()
	i, v, c := e.keepalive()
	return int(i / time.Second), int(v / time.Second), c
}

// SetUserTimeout is TCP_USER_TIMEOUT, in milliseconds: EINVAL if negative.
func (e *Endpoint) SetUserTimeout(ms int) error {
	if ms < 0 {
		return unix.EINVAL
	}
	e.lock()
	e.userTimeout = time.Duration(ms) * time.Millisecond
	e.unlock()
	return nil
}

// UserTimeout is TCP_USER_TIMEOUT, in milliseconds.
func (e *Endpoint) UserTimeout() int {
	e.lock()
	defer e.mu.Unlock()
	return int(e.userTimeout / time.Millisecond)
}

// SetSynCount is TCP_SYNCNT: EINVAL outside 1..127.
func (e *Endpoint) SetSynCount(n int) error {
	if n < 1 || n > 127 {
		return unix.EINVAL
	}
	e.lock()
	e.synCnt = n
	e.unlock()
	return nil
}

// SynCount is TCP_SYNCNT.
func (e *Endpoint) SynCount() int {
	e.lock()
	defer e.mu.Unlock()
	if e.synCnt != 0 {
		return e.synCnt
	}
	return e.proto.Params.SynRetries.Get()
}

// SetLinger2 is TCP_LINGER2, in seconds: negative for none, 0 for the default.
func (e *Endpoint) SetLinger2(s int) {
	e.lock()
	switch {
	case s < 0:
		e.linger2 = -time.Second
	case s > 120:
		e.linger2 = 120 * time.Second
	default:
		e.linger2 = time.Duration(s) * time.Second
	}
	e.unlock()
}

// Linger2 is TCP_LINGER2, in seconds.
func (e *Endpoint) Linger2() int {
	e.lock()
	defer e.mu.Unlock()
	switch {
	case e.linger2 < 0:
		return -1
	case e.linger2 == 0:
		return e.proto.Params.FinTimeout.Get()
	}
	return int(e.linger2 / time.Second)
}

// SetDeferAccept is TCP_DEFER_ACCEPT, in seconds, rounded up to the time of a
// number of SYN-ACK retransmissions, as Linux does.
func (e *Endpoint) SetDeferAccept(s int) {
	e.lock()
	e.deferAccept = 0
	for t := 1; s > 0; t = min(t*2, 120) {
		e.deferAccept += t
		s -= t
	}
	e.unlock()
}

// DeferAccept is TCP_DEFER_ACCEPT, in seconds.
func (e *Endpoint) DeferAccept() int {
	e.lock()
	defer e.mu.Unlock()
	return e.deferAccept
}

// SetMaxSeg is TCP_MAXSEG: EINVAL outside 88..32767; 0 for the path's own.
func (e *Endpoint) SetMaxSeg(n int) error {
	if n != 0 && (n < 88 || n > 32767) {
		return unix.EINVAL
	}
	e.lock()
	e.userMSS = n
	e.unlock()
	return nil
}

// MaxSeg is TCP_MAXSEG: the segment size in force.
func (e *Endpoint) MaxSeg() int {
	e.lock()
	defer e.mu.Unlock()
	if (e.state == Close || e.state == Listen) && e.userMSS != 0 {
		return e.userMSS
	}
	if e.snd.mss == 0 {
		return defaultMSS
	}
	return e.snd.mss
}

// SetWindowClamp is TCP_WINDOW_CLAMP, in bytes: EINVAL for 0 when connected.
func (e *Endpoint) SetWindowClamp(n int) error {
	e.lock()
	defer e.unlock()
	if n == 0 && e.state != Close {
		return unix.EINVAL
	}
	if n != 0 {
		n = max(n, 1152) // SOCK_MIN_RCVBUF / 2
	}
	e.windowClamp = n
	return nil
}

// WindowClamp is TCP_WINDOW_CLAMP, in bytes.
func (e *Endpoint) WindowClamp() int {
	e.lock()
	defer e.mu.Unlock()
	return e.windowClamp
}

// SetNotsentLowat is TCP_NOTSENT_LOWAT, in bytes.
func (e *Endpoint) SetNotsentLowat(n uint32) {
	e.lock()
	e.notsentLowat = int(n)
	if e.writable() {
		e.pend |= unix.POLLOUT | sock.POLLWRNORM
	}
	e.unlock()
}

// NotsentLowat is TCP_NOTSENT_LOWAT, in bytes.
func (e *Endpoint) NotsentLowat() uint32 {
	e.lock()
	defer e.mu.Unlock()
	if e.notsentLowat < 0 {
		return 0
	}
	return uint32(e.notsentLowat)
}

// SetCongestion is TCP_CONGESTION: ENOENT for an unknown algorithm.
func (e *Endpoint) SetCongestion(name string) error {
	c := newCC(name)
	if c.algo == nil {
		return unix.ENOENT
	}
	e.lock()
	e.ccName = name
	e.cc.algo, e.cc.cubic = c.algo, cubic{}
	e.unlock()
	return nil
}

// Congestion is TCP_CONGESTION.
func (e *Endpoint) Congestion() string {
	e.lock()
	defer e.mu.Unlock()
	return e.cc.algo.name()
}

// Info is TCP_INFO.
func (e *Endpoint) Info() unix.TCPInfo {
	e.lock()
	defer e.mu.Unlock()
	now := e.now()
	us := func(d time.Duration) uint32 { return uint32(d / time.Microsecond) }
	ms := func(at time.Duration) uint32 {
		if at == 0 {
			return 0
		}
		return uint32((now - at) / time.Millisecond)
	}
	r, s := &e.rec, &e.snd
	i := unix.TCPInfo{State: uint8(e.state)}
	if e.state == Listen {
		e.lq.mu.Lock()
		i.Unacked, i.Sacked = uint32(e.lq.accept.len()), uint32(e.lq.backlog)
		e.lq.mu.Unlock()
		return i
	}
	if e.tsOK {
		i.Options |= 1 // TCPI_OPT_TIMESTAMPS
	}
	if e.sackOK {
		i.Options |= 2 // TCPI_OPT_SACK
	}
	if e.wscaleOK {
		i.Options |= 4 // TCPI_OPT_WSCALE
	}
	if e.ecn.ok {
		i.Options |= 8 // TCPI_OPT_ECN
	}
	if e.ecn.seen {
		i.Options |= 16 // TCPI_OPT_ECN_SEEN
	}
	if e.tfo.dataACK || e.tfo.passive {
		i.Options |= 32 // TCPI_OPT_SYN_DATA
	}
	i.Ca_state, i.Retransmits, i.Probes, i.Backoff = r.ca, uint8(min(r.retries, 255)), uint8(min(r.probes, 255)), e.rtt.backoff
	i.Rto, i.Ato = us(e.rtt.timeout()), us(e.rcv.ato)
	i.Snd_mss, i.Rcv_mss = uint32(max(s.mss, 0)), uint32(e.rcv.mss)
	i.Unacked, i.Sacked, i.Lost, i.Retrans = r.packetsOut, r.sackedOut, r.lostOut, r.retransOut
	i.Last_data_sent, i.Last_data_recv, i.Last_ack_recv = ms(s.lastSend), ms(e.rcv.lastData), ms(s.lastAck)
	i.Pmtu = uint32(e.route.MTU)
	i.Rcv_ssthresh = uint32(e.opts.RcvBuf() / 2)
	i.Rtt, i.Rttvar, i.Min_rtt = us(e.rtt.srtt), us(e.rtt.rttvar), us(e.rtt.min)
	i.Snd_ssthresh, i.Snd_cwnd = uint32(e.cc.ssthresh), uint32(e.cc.cwnd)
	if e.route.Iface != nil {
		i.Advmss = uint32(e.advMSS())
	}
	i.Reordering = 3
	i.Rcv_rtt, i.Rcv_space = us(e.rcv.rtt), uint32(e.rcv.tuneSpace)
	n := &e.info
	i.Total_retrans = n.totalRetrans
	i.Bytes_acked, i.Bytes_received, i.Bytes_sent, i.Bytes_retrans = n.bytesAcked, n.bytesReceived, n.bytesSent, n.bytesRetrans
	i.Segs_out, i.Segs_in, i.Data_segs_in, i.Data_segs_out = n.segsOut, n.segsIn, n.dataSegsIn, n.dataSegsOut
	i.Notsent_bytes, i.Delivered, i.Dsack_dups, i.Reord_seen, i.Rcv_ooopack = uint32(s.unsent()), n.delivered, n.dsackDups, n.reordSeen, n.rcvOOO
	i.Snd_wnd = s.wnd
	return i
}
