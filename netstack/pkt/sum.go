package pkt

import (
	"encoding/binary"

	"casemate/netstack/wire"
)

// SumFrom is the one's complement sum of the packet's bytes from off on, added
// to initial.
func (p *Packet) SumFrom(off int, initial uint16) uint16 {
	h := p.Header()
	s := initial
	odd := false
	add := func(b []byte) {
		if odd {
			s = wire.Add(s, wire.Swap(wire.Sum(b, 0)))
		} else {
			s = wire.Sum(b, s)
		}
		odd = odd != (len(b)%2 == 1)
	}
	if off < len(h) {
		add(h[off:])
		off = 0
	} else {
		off -= len(h)
	}
	for _, f := range p.Frags() {
		b := f.Bytes()
		if off >= len(b) {
			off -= len(b)
			continue
		}
		add(b[off:])
		off = 0
	}
	return s
}

// CompleteSum computes the checksum of a packet with CsumPartial, whose header
// area starts with the network header. A UDP checksum of zero is sent as ones.
func (p *Packet) CompleteSum() {
	start := int(p.CsumStart)
	sum := ^p.SumFrom(start, 0)
	if sum == 0 && p.Proto == 17 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(p.Header()[start+int(p.CsumOffset):], sum)
	p.Csum = CsumNone
}

// AdjustSum corrects the checksum at offset sum of the header area for bytes at offset at
// that have been old before (RFC 1624). Of a sum that is not complemented (partial), only
// the change is added.
func (p *Packet) AdjustSum(sum, at int, old []byte, partial bool) {
	h := p.Header()
	was, is := wire.Sum(old, 0), wire.Sum(h[at:at+len(old)], 0)
	if (at-sum)%2 != 0 {
		was, is = wire.Swap(was), wire.Swap(is)
	}
	v := binary.BigEndian.Uint16(h[sum:])
	if partial {
		v = wire.Add(wire.Add(v, ^was), is)
	} else {
		v = ^wire.Add(wire.Add(^v, ^was), is)
	}
	binary.BigEndian.PutUint16(h[sum:], v)
}
