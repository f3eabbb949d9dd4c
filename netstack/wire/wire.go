// Package wire has the packet formats: byte slices with accessors named after
// the RFCs' fields, the Internet checksum and parsers for options. A type such
// as TCP is a view of bytes; its accessors need the length that the type's
// Valid or Parse function has checked. All functions are pure; none keeps its
// argument.
package wire

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

var be = binary.BigEndian

// Sum adds b to the one's complement sum (RFC 1071). b counts as starting at
// an even offset. The result is folded to 16 bits, not inverted.
func Sum(b []byte, initial uint16) uint16 {
	var s, c uint64
	s = uint64(initial)
	for len(b) >= 32 {
		s, c = bits.Add64(s, be.Uint64(b), 0)
		s, c = bits.Add64(s, be.Uint64(b[8:]), c)
		s, c = bits.Add64(s, be.Uint64(b[16:]), c)
		s, c = bits.Add64(s, be.Uint64(b[24:]), c)
		s += c
		b = b[32:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, be.Uint64(b), 0)
		s += c
		b = b[8:]
	}
	var rest [8]byte
	copy(rest[:], b)
	s, c = bits.Add64(s, be.Uint64(rest[:]), 0)
	s += c
	return fold(s)
}

func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// Add combines two sums.
func Add(a, b uint16) uint16 { return fold(uint64(a) + uint64(b)) }

// Swap is the sum of bytes that start at an odd offset, given their Sum.
func Swap(a uint16) uint16 { return a<<8 | a>>8 }

// PseudoSum is the sum of the pseudo header of TCP, UDP and ICMPv6 (RFC 9293
// section 3.1, RFC 8200 section 8.1). src and dst are of one family.
func PseudoSum(src, dst netip.Addr, proto uint8, length int) uint16 {
	s := uint64(proto) + uint64(uint32(length)>>16) + uint64(length&0xffff)
	if src.Is4() {
		a, b := src.As4(), dst.As4()
		s += uint64(be.Uint32(a[:])) + uint64(be.Uint32(b[:]))
	} else {
		a, b := src.As16(), dst.As16()
		for i := 0; i < 16; i += 4 {
			s += uint64(be.Uint32(a[i:])) + uint64(be.Uint32(b[i:]))
		}
	}
	return fold(s)
}

// FlowHash is a hash of a flow that is the same for both directions.
func FlowHash(src, dst netip.Addr, sport, dport uint16) uint32 {
	var h uint32
	if src.Is4() {
		a, b := src.As4(), dst.As4()
		h = be.Uint32(a[:]) ^ be.Uint32(b[:])
	} else {
		a, b := src.As16(), dst.As16()
		for i := 0; i < 16; i += 4 {
			h = bits.RotateLeft32(h, 5) ^ be.Uint32(a[i:]) ^ be.Uint32(b[i:])
		}
	}
	h ^= uint32(sport^dport) * 0x85EBCA6B
	h ^= uint32(sport+dport) * 0xC2B2AE35
	h ^= h >> 15
	return h
}

// PacketHash is the FlowHash of an IP packet, of which b is the start. Fragments
// and unknown protocols are hashed by their addresses.
func PacketHash(b []byte) uint32 {
	if len(b) < IPv4MinLen {
		return 0
	}
	var src, dst netip.Addr
	var proto uint8
	switch b[0] >> 4 {
	case 4:
		h := IPv4(b)
		src, dst, proto = h.Src(), h.Dst(), h.Proto()
		if h.Frag()&^IPv4DF != 0 || len(b) < h.HeaderLen() {
			return FlowHash(src, dst, 0, 0)
		}
		b = b[h.HeaderLen():]
	case 6:
		if len(b) < IPv6Len {
			return 0
		}
		h := IPv6(b)
		src, dst, proto = h.Src(), h.Dst(), h.NextHeader()
		b = b[IPv6Len:]
	default:
		return 0
	}
	if (proto == 6 || proto == 17) && len(b) >= 4 {
		return FlowHash(src, dst, be.Uint16(b), be.Uint16(b[2:]))
	}
	return FlowHash(src, dst, 0, 0)
}
