// Package conntrack follows the connections that packets belong to, and gives them other
// addresses (NAT). It has the terms of Linux's connection tracking: a connection is known by
// two tuples, that of its original direction and that of the replies to expect; it is new
// until a packet of the other direction has been seen, and confirmed (found by later
// packets) once its first packet has got through.
//
// # Locks
//
// A shard of the Table, of two the one with the lower number first; Conn.mu is taken with
// none held.
package conntrack

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/wire"
)

// A Tuple names one direction of a connection.
type Tuple struct {
	Src, Dst netip.Addr
	// SPort and DPort are the ports of TCP, UDP, SCTP and DCCP. Of ICMP, SPort is the identifier and DPort has type and code.
	SPort, DPort uint16
	Proto        uint8
}

// icmpAnswers has the ICMP queries with their answers, both ways; the key is the protocol
// and the type.
var icmpAnswers = map[[2]uint8]uint8{
	{unix.IPPROTO_ICMP, 8}: 0, {unix.IPPROTO_ICMP, 0}: 8, {unix.IPPROTO_ICMP, 13}: 14, {unix.IPPROTO_ICMP, 14}: 13,
	{unix.IPPROTO_ICMP, 15}: 16, {unix.IPPROTO_ICMP, 16}: 15, {unix.IPPROTO_ICMP, 17}: 18, {unix.IPPROTO_ICMP, 18}: 17,
	{unix.IPPROTO_ICMPV6, 128}: 129, {unix.IPPROTO_ICMPV6, 129}: 128,
}

// isICMPQuery reports whether an ICMP type asks for an answer.
func isICMPQuery(proto, typ uint8) bool {
	if proto == unix.IPPROTO_ICMP {
		return typ == 8 || typ == 13 || typ == 15 || typ == 17
	}
	return typ == wire.ICMPv6Echo
}

// Reverse is the tuple of the other direction.
func (t Tuple) Reverse() Tuple {
	t.Src, t.Dst = t.Dst, t.Src
	if t.isICMP() {
		if a, ok := icmpAnswers[[2]uint8{t.Proto, uint8(t.DPort >> 8)}]; ok {
			t.DPort = uint16(a)<<8 | t.DPort&0xff
		}
		return t
	}
	t.SPort, t.DPort = t.DPort, t.SPort
	return t
}

func (t *Tuple) isICMP() bool {
	return t.Proto == unix.IPPROTO_ICMP || t.Proto == unix.IPPROTO_ICMPV6
}

// hasPorts reports whether a protocol's header begins with two ports.
func hasPorts(proto uint8) bool {
	switch proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP:
		return true
	}
	return false
}

// transport fills in ports or the like from the start of a transport header; false if it is
// too short.
func (t *Tuple) transport(h []byte) bool {
	switch {
	case hasPorts(t.Proto):
		if len(h) < 4 {
			return false
		}
		t.SPort, t.DPort = uint16(h[0])<<8|uint16(h[1]), uint16(h[2])<<8|uint16(h[3])
	case t.isICMP():
		if len(h) < wire.ICMPLen {
			return false
		}
		t.SPort, t.DPort = wire.ICMP(h).Ident(), uint16(h[0])<<8|uint16(h[1])
	}
	return true
}
