package tcp

import (
	"crypto/subtle"
	"time"

	"casemate/netstack/wire"
)

// cookieMSS are the MSS values that a cookie can carry.
var cookieMSS = [...]uint16{536, 1300, 1440, 1460, 8960, 65483, 65495, 216}

// cookiePeriod is how long the counter in a cookie lasts.
const cookiePeriod = time.Minute

// cookieHash is the 21 bits of a cookie that prove that we made it.
func (p *Protocol) cookieHash(t *tuple, irs, count, data uint32) uint32 {
	b := t.bytes(nil)
	for _, v := range []uint32{irs, count, data} {
		b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	return uint32(p.ip.Secret.Sum(b)) & (1<<21 - 1)
}

// cookie makes the SYN-ACK carry all that is needed to do without a request
// (RFC 4987 section 3.6): in the sequence number a hash, the low bits of a
// minute counter and the MSS; in the timestamp the window scale, SACK and ECN.
func (r *request) cookie() {
	p := r.proto
	k := uint32(0)
	for i, m := range cookieMSS {
		if m <= r.opt.MSS && (m > cookieMSS[k] || cookieMSS[k] > r.opt.MSS) {
			k = uint32(i)
		}
	}
	count := uint32(p.ip.Wheel.Now() / cookiePeriod)
	r.iss = p.cookieHash(&r.id, r.irs, count, k)<<11 | count&0xff<<3 | k
	if r.opt.HasTS {
		// The low six bits of the timestamp.
		v := uint32(15)
		if r.opt.WindowScale >= 0 {
			v = uint32(r.opt.WindowScale)
		}
		if r.opt.SACKPermitted {
			v |= 16
		}
		if r.ecn {
			v |= 32
		}
		now := p.tsNow() + r.tsOff
		ts := now&^63 | v
		if after(ts, now) {
			ts -= 64
		}
		r.tsOff += ts - now
	} else {
		r.opt.WindowScale, r.opt.SACKPermitted, r.ecn = -1, false, false
	}
}

// cookieInput takes an ACK that may answer a cookie and reports whether it did.
func (e *Endpoint) cookieInput(g *segment) bool {
	p := e.proto
	q := e.lq
	if p.Params.SynCookies.Get() == 0 {
		return false
	}
	now := p.ip.Wheel.Now()
	q.mu.Lock()
	recent := q.cookies != 0 && now-q.cookies < 2*cookiePeriod
	overflow := q.accept.len() > q.backlog
	closed := q.closed
	q.mu.Unlock()
	if !recent || closed {
		return false
	}
	iss, irs := g.ack-1, g.seq-1
	k := iss & 7
	count := uint32(now / cookiePeriod)
	count -= (count - iss>>3) & 0xff
	c := &p.ip.Counters.TCP
	if uint32(now/cookiePeriod)-count >= 2 ||
		subtle.ConstantTimeEq(int32(p.cookieHash(&g.t, irs, count, k)), int32(iss>>11)) != 1 {
		c.SyncookiesFailed.Inc()
		return false
	}
	if overflow {
		c.ListenOverflows.Inc()
		c.ListenDrops.Inc()
		return true
	}
	r := &request{proto: p, listener: e, id: g.t, irs: irs, iss: iss, wnd: g.wnd, v4: g.p.Dst.Is4(), tsRecent: g.opt.TSVal, born: now}
	r.opt = wire.TCPOptions{MSS: cookieMSS[k], WindowScale: -1, HasTS: g.opt.HasTS, TSVal: g.opt.TSVal}
	if g.opt.HasTS {
		v := g.opt.TSEcr & 63
		r.opt.SACKPermitted = v&16 != 0
		r.ecn = v&32 != 0 && p.Params.ECN.Get() != 0
		if v&15 != 15 {
			r.opt.WindowScale = int8(min(v&15, wire.MaxWindowScale))
		}
	}
	oif := int32(0)
	if g.p.Src.IsLinkLocalUnicast() {
		oif = g.p.InIf
	}
	var err error
	if r.route, err = p.ip.Lookup(g.p.Dst, g.p.Src, oif, e.opts.Mark.Load()); err != nil {
		return true
	}
	r.prepare(g)
	r.timer.Init(p.ip.Wheel, r.expired)
	q.mu.Lock()
	if q.closed || !p.insert(&r.id, conn{req: r}) {
		q.mu.Unlock()
		return true
	}
	q.requests[r] = struct{}{}
	q.mu.Unlock()
	c.SyncookiesRecv.Inc()
	r.retries = 1 // no RTT sample
	return r.receive(g)
}
