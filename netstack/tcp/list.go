package tcp

import (
	"net/netip"

	"casemate/netstack/sock"
	"golang.org/x/sys/unix"
)

// Sockets are all listeners and connections, those in SYN-RECEIVED and TIME-WAIT
// included.
func (p *Protocol) Sockets() []sock.Info {
	var eps []*Endpoint
	var list []sock.Info
	p.lmu.RLock()
	for _, l := range p.listeners {
		eps = append(eps, l...)
	}
	p.lmu.RUnlock()
	now := p.ip.Wheel.Now()
	addr := func(a [16]byte, port uint16, v4 bool) sock.Addr {
		ad := netip.AddrFrom16(a)
		if v4 {
			ad = ad.Unmap()
		}
		return sock.Addr{Addr: ad, Port: port}
	}
	for k := range p.conns {
		s := &p.conns[k]
		s.mu.RLock()
		for id, c := range s.m {
			switch {
			case c.ep != nil:
				eps = append(eps, c.ep)
			case c.req != nil:
				f := c.req.listener.family
				list = append(list, sock.Info{Family: f, Protocol: unix.IPPROTO_TCP, State: uint8(SynRecv), Timer: 1,
					Local: addr(id.laddr, id.lport, f == unix.AF_INET), Remote: addr(id.raddr, id.rport, f == unix.AF_INET)})
			case c.tw != nil:
				i := sock.Info{Family: unix.AF_INET6, Protocol: unix.IPPROTO_TCP, State: uint8(TimeWait), Timer: 3, Expires: c.tw.since + timeWaitLen - now}
				if netip.AddrFrom16(id.laddr).Is4In6() {
					i.Family = unix.AF_INET
				}
				i.Local, i.Remote = addr(id.laddr, id.lport, i.Family == unix.AF_INET), addr(id.raddr, id.rport, i.Family == unix.AF_INET)
				list = append(list, i)
			}
		}
		s.mu.RUnlock()
	}
	for _, e := range eps {
		if i, ok := e.listing(); ok {
			list = append(list, i)
		}
	}
	return list
}

// listing is the endpoint's line; false if it has been closed meanwhile.
func (e *Endpoint) listing() (sock.Info, bool) {
	local := e.LocalAddr()
	now := e.now()
	e.lock()
	defer e.mu.Unlock()
	i := sock.Info{Endpoint: e, Family: e.family, Protocol: unix.IPPROTO_TCP, State: uint8(e.state), Local: local, UID: e.opts.UID.Load(),
		Inode: e.opts.Inode.Load(), Dev: e.opts.BoundDev.Load(), Remote: sock.Addr{Addr: sock.View(e.family, netip.Addr{})}}
	switch e.state {
	case Close:
		return i, false
	case Listen:
		e.lq.mu.Lock()
		i.RecvQueue, i.SendQueue = e.lq.accept.len(), e.lq.backlog
		e.lq.mu.Unlock()
		return i, true
	}
	i.Remote = sock.Addr{Addr: sock.Mapped(e.family, e.raddr), Port: e.rport}
	i.RecvQueue, i.SendQueue, i.Retransmits = e.rcv.q.size, e.snd.q.size, e.rec.retries
	if e.dead {
		i.Inode = 0
	}
	switch at := e.timers.at; {
	case at[timerRetransmit] != 0 && e.rec.sent.len() > 0:
		i.Timer, i.Expires = 1, at[timerRetransmit]-now
	case at[timerRetransmit] != 0:
		i.Timer, i.Expires = 4, at[timerRetransmit]-now
	case at[timerKeepalive] != 0:
		i.Timer, i.Expires = 2, at[timerKeepalive]-now
	}
	return i, true
}
