package udp

import (
	"net/netip"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// key is what datagrams are matched against; an endpoint publishes it without
// its lock being needed.
type key struct {
	laddr  netip.Addr // invalid: any
	raddr  netip.Addr // invalid: not connected
	lport  uint16
	rport  uint16
	v6     bool // takes IPv6
	v4     bool // takes IPv4
	dev    int32
	groups []group
}

// score tells how well an endpoint matches a datagram; negative: not at all.
func (k *key) score(src, dst netip.Addr, sport uint16, in int32) int {
	n := 0
	if dst.Is4() {
		if !k.v4 {
			return -1
		}
		if !k.v6 {
			n++
		}
	} else if !k.v6 {
		return -1
	}
	if k.laddr.IsValid() {
		if k.laddr != dst {
			return -1
		}
		n += 4
	}
	if k.raddr.IsValid() {
		if k.raddr != src || k.rport != sport {
			return -1
		}
		n += 8
	}
	if k.dev != 0 {
		if k.dev != in {
			return -1
		}
		n += 4
	}
	return n
}

// Input implements ip.Transport.
func (p *Protocol) Input(b *pkt.Packet) {
	c := p.counters(b.Src.Is4())
	nl := int(b.NetLen)
	hb := b.Pull(nl + wire.UDPLen)
	if hb == nil {
		c.InErrors.Inc()
		b.Free()
		return
	}
	h := wire.UDP(hb[nl:])
	n := h.Length()
	if n < wire.UDPLen || n > b.Len()-nl {
		c.InErrors.Inc()
		b.Free()
		return
	}
	b.Truncate(nl + n)
	if b.Csum == pkt.CsumNone {
		switch {
		case h.Checksum() != 0:
			if b.SumFrom(nl, wire.PseudoSum(b.Src, b.Dst, unix.IPPROTO_UDP, n)) != 0xffff {
				c.InCsumErrors.Inc()
				c.InErrors.Inc()
				b.Free()
				return
			}
			b.Csum = pkt.CsumValid
		case b.Src.Is6(): // RFC 8200 section 8.1
			c.InCsumErrors.Inc()
			c.InErrors.Inc()
			b.Free()
			return
		}
	}
	sport, dport := h.SrcPort(), h.DstPort()
	if b.Type == pkt.Multicast || b.Type == pkt.Broadcast {
		p.deliverAll(b, sport, dport)
		return
	}
	e := p.find(b.Src, b.Dst, sport, dport, b.InIf)
	if e == nil {
		c.NoPorts.Inc()
		if b.Src.Is4() {
			p.ip.SendError(b, wire.ICMPUnreachable, wire.ICMPPortUnreachable, 0)
		} else {
			p.ip.SendError(b, wire.ICMPv6Unreachable, wire.ICMPv6PortUnreachable, 0)
		}
		b.Free()
		return
	}
	if b.GSOSize != 0 && !e.gro.Load() {
		p.ip.Segment(b, func(q *pkt.Packet) { e.enqueue(q, sport) })
		return
	}
	e.enqueue(b, sport)
}

func (p *Protocol) counters(v4 bool) *ip.UDPCounters {
	if v4 {
		return &p.ip.Counters.UDP
	}
	return &p.ip.Counters.UDP6
}

// find is the endpoint that matches best; among equals with SO_REUSEPORT one is
// chosen by the flow's hash, otherwise the one bound last.
func (p *Protocol) find(src, dst netip.Addr, sport, dport uint16, in int32) *Endpoint {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var best *Endpoint
	score, n := -1, 0
	hash := uint32(0)
	for _, e := range p.table[dport] {
		k := e.key.Load()
		s := k.score(src, dst, sport, in)
		switch {
		case s < 0 || s < score:
		case s > score:
			best, score, n = e, s, 1
		case best.opts.ReusePort.Load() && !k.raddr.IsValid():
			if hash == 0 {
				hash = wire.FlowHash(src, dst, sport, dport) * 0x9E3779B1
			}
			n++
			if (hash>>3)%uint32(n) == 0 {
				best = e
			}
		default:
			best = e
		}
	}
	return best
}

// deliverAll gives a copy of a multicast or broadcast datagram to all who match.
func (p *Protocol) deliverAll(b *pkt.Packet, sport, dport uint16) {
	p.mu.RLock()
	var to []*Endpoint
	for _, e := range p.table[dport] {
		k := e.key.Load()
		if k.score(b.Src, b.Dst, sport, b.InIf) < 0 || b.Type == pkt.Multicast && !e.inGroup(k, b.Src, b.Dst, b.InIf) {
			continue
		}
		to = append(to, e)
	}
	p.mu.RUnlock()
	for i, e := range to {
		q := b
		if i < len(to)-1 {
			q = b.Clone()
		}
		e.enqueue(q, sport)
	}
	if len(to) == 0 {
		b.Free()
	}
}

// Error implements ip.Transport.
func (p *Protocol) Error(x *ip.Error) {
	h := wire.UDP(x.Header)
	if e := p.find(x.Dst, x.Src, h.DstPort(), h.SrcPort(), x.InIf); e != nil {
		e.icmpError(x, h.DstPort())
	}
}

// publish updates the table after e.mu-guarded state has changed. e.mu is held.
func (p *Protocol) publish(e *Endpoint, k *key) {
	old := e.key.Swap(k)
	var was, is uint16
	if old != nil {
		was = old.lport
	}
	if k != nil {
		is = k.lport
	}
	if was == is {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if was != 0 {
		l := p.table[was]
		for i := range l {
			if l[i] == e {
				l = append(l[:i:i], l[i+1:]...)
				break
			}
		}
		if len(l) == 0 {
			delete(p.table, was)
		} else {
			p.table[was] = l
		}
	}
	if is != 0 {
		p.table[is] = append(p.table[is], e)
	}
}
