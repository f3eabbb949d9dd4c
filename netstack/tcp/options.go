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
	c := newCC(name, e.now())
	if c.algo == nil {
		return unix.ENOENT
	}
	e.lock()
	e.ccName = name
	if e.cc.algo != c.algo {
		e.cc.algo, e.cc.cubic, e.cc.bbr = c.algo, c.cubic, c.bbr
		e.startBBR()
	}
	e.unlock()
	return nil
}

// Congestion is TCP_CONGESTION.
func (e *Endpoint) Congestion() string {
	e.lock()
	defer e.mu.Unlock()
	return e.cc.algo.name()
}
