package conntrack

import (
	"encoding/binary"
	"net/netip"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Rewrite gives an end of a packet the address and port that its connection has there. at is
// the offset of the transport header, proto its protocol. False: the packet cannot be
// rewritten and is to be dropped.
func (t *Table) Rewrite(p *pkt.Packet, at int, proto uint8, m Manip) bool {
	c, ok := p.Conn.(*Conn)
	if !ok {
		return true
	}
	info := Info(p.ConnInfo)
	bit := m.status()
	// What replies are rewritten to at one end undoes what was done at the other.
	opposite, want := c.Reply, c.Reply.Reverse()
	if info.Reply() {
		bit ^= natMask
		opposite, want = c.Orig, c.Orig.Reverse()
	}
	if c.status.Load()&bit == 0 {
		return true
	}
	if info == Related || info == RelatedReply {
		if !rewriteQuoted(p, at, proto, &opposite, m) {
			return false
		}
		// The error itself has no ports.
		want.SPort, want.DPort = 0, 0
	}
	return rewrite(p, at, proto, &want, m, info == Related || info == RelatedReply)
}

// rewrite changes an end of p's headers to that of k.
func rewrite(p *pkt.Packet, at int, proto uint8, k *Tuple, m Manip, addressOnly bool) bool {
	old, port := &p.Src, k.SPort
	addr, portAt := k.Src, 0
	if m == Destination {
		old, addr, port, portAt = &p.Dst, k.Dst, k.DPort, 2
	}
	n := at
	if sum := checksumAt(proto); sum >= 0 {
		n = at + sum + 2
	}
	if hasPorts(proto) {
		n = max(n, at+4)
	} else if proto == unix.IPPROTO_ICMP || proto == unix.IPPROTO_ICMPV6 {
		n = at + wire.ICMPLen
	}
	h := p.Pull(n)
	if h == nil {
		return false
	}
	d := delta{}
	d.addr(*old, addr)
	partial := d // the part that a pseudo-header has
	switch {
	case addressOnly:
	case hasPorts(proto):
		d.word(h[at+portAt:], port)
	case (proto == unix.IPPROTO_ICMP || proto == unix.IPPROTO_ICMPV6) && m == Source && isICMPQuery(proto, h[at]):
		if proto == unix.IPPROTO_ICMP {
			d = delta{} // its sum has no addresses
		}
		d.word(h[at+4:], k.SPort)
	case (proto == unix.IPPROTO_ICMP || proto == unix.IPPROTO_ICMPV6) && m == Destination:
		// Answers come to the identifier that the query had.
		if proto == unix.IPPROTO_ICMP {
			d = delta{}
		}
		if !isICMPQuery(proto, h[at]) {
			d.word(h[at+4:], k.SPort)
		}
	case proto == unix.IPPROTO_ICMP:
		d = delta{}
	}
	if proto == unix.IPPROTO_ICMP && addressOnly {
		d = delta{} // rewriteQuoted has computed its sum
	}
	*old = addr
	setAddr(h, addr, m)
	if sum := checksumAt(proto); sum >= 0 && !(proto == unix.IPPROTO_ICMPV6 && addressOnly) {
		f := h[at+sum:]
		v := binary.BigEndian.Uint16(f)
		switch {
		case proto == unix.IPPROTO_UDP && v == 0 && p.Csum != pkt.CsumPartial:
		case p.Csum == pkt.CsumPartial:
			binary.BigEndian.PutUint16(f, wire.Add(v, partial.sum))
		default:
			if v = ^wire.Add(^v, d.sum); v == 0 && proto == unix.IPPROTO_UDP {
				v = 0xffff
			}
			binary.BigEndian.PutUint16(f, v)
		}
	} else if proto == unix.IPPROTO_ICMPV6 && addressOnly {
		sumICMPv6(p, at)
	}
	return true
}

// checksumAt is where a protocol's checksum stands in its header, or -1.
func checksumAt(proto uint8) int {
	switch proto {
	case unix.IPPROTO_TCP:
		return wire.TCPChecksumOffset
	case unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE, unix.IPPROTO_DCCP:
		return wire.UDPChecksumOffset
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		return wire.ICMPChecksumOffset
	}
	return -1
}

// setAddr writes an address into a network header and corrects that one's checksum.
func setAddr(h []byte, a netip.Addr, m Manip) {
	if a.Is4() {
		b := a.As4()
		copy(h[12+4*int(m):], b[:])
		wire.IPv4(h).SetSum()
		return
	}
	b := a.As16()
	copy(h[8+16*int(m):], b[:])
}

// rewriteQuoted changes the packet that an ICMP error quotes back into the one that its
// sender knows, and computes the error's checksum. The quoted packet went the other way, so
// it is its other end that is that of k.
func rewriteQuoted(p *pkt.Packet, at int, proto uint8, k *Tuple, m Manip) bool {
	off := at + wire.ICMPLen
	in, tat, ok := quoted(p, off)
	if !ok {
		return false
	}
	h := p.Header()
	other, addr, port, portAt := Destination, k.Dst, k.DPort, 2
	if m == Destination {
		other, addr, port, portAt = Source, k.Src, k.SPort, 0
	}
	setAddr(h[off:], addr, other)
	switch {
	case hasPorts(in.Proto):
		binary.BigEndian.PutUint16(h[tat+portAt:], port)
	case in.isICMP():
		binary.BigEndian.PutUint16(h[tat+4:], k.SPort)
	}
	if proto == unix.IPPROTO_ICMP {
		msg := wire.ICMP(h[at:])
		msg.SetChecksum(0)
		msg.SetChecksum(^p.SumFrom(at, 0))
	}
	return true
}

// sumICMPv6 computes the checksum of an ICMPv6 message.
func sumICMPv6(p *pkt.Packet, at int) {
	msg := wire.ICMP(p.Header()[at:])
	msg.SetChecksum(0)
	msg.SetChecksum(^p.SumFrom(at, wire.PseudoSum(p.Src, p.Dst, unix.IPPROTO_ICMPV6, p.Len()-at)))
}

// delta is what is added to a one's complement sum when words change (RFC 1624).
type delta struct{ sum uint16 }

// word replaces the word at b.
func (d *delta) word(b []byte, v uint16) {
	d.sum = wire.Add(wire.Add(d.sum, ^binary.BigEndian.Uint16(b)), v)
	binary.BigEndian.PutUint16(b, v)
}

// addr counts an address that is replaced by another.
func (d *delta) addr(old, new netip.Addr) {
	d.sum = wire.Add(wire.Add(d.sum, ^wire.Sum(old.AsSlice(), 0)), wire.Sum(new.AsSlice(), 0))
}
