package wire

import "net/netip"

// IPv6 is an IPv6 header (RFC 8200 section 3) and possibly what follows it.
type IPv6 []byte

// IPv6Len is the length of the fixed header in bytes.
const IPv6Len = 40

// IPv6MinMTU is the MTU that every IPv6 link has at least.
const IPv6MinMTU = 1280

// TrafficClass is DSCP and ECN.
func (h IPv6) TrafficClass() uint8 { return h[0]<<4 | h[1]>>4 }

// FlowLabel is the flow label, 20 bits.
func (h IPv6) FlowLabel() uint32 { return be.Uint32(h) & 0xfffff }

// PayloadLen is the length behind the fixed header in bytes.
func (h IPv6) PayloadLen() int { return int(be.Uint16(h[4:])) }

// NextHeader is the protocol that follows the fixed header.
func (h IPv6) NextHeader() uint8 { return h[6] }

// HopLimit is the hop limit.
func (h IPv6) HopLimit() uint8 { return h[7] }

// Src is the source address.
func (h IPv6) Src() netip.Addr { return netip.AddrFrom16([16]byte(h[8:24])) }

// Dst is the destination address.
func (h IPv6) Dst() netip.Addr { return netip.AddrFrom16([16]byte(h[24:40])) }

// SetPayloadLen sets the length behind the fixed header.
func (h IPv6) SetPayloadLen(n int) { be.PutUint16(h[4:], uint16(n)) }

// SetHopLimit sets the hop limit.
func (h IPv6) SetHopLimit(n uint8) { h[7] = n }

// IPv6Fields are the fields of a header to be written.
type IPv6Fields struct {
	Src, Dst     netip.Addr
	PayloadLen   int
	FlowLabel    uint32
	TrafficClass uint8
	NextHeader   uint8
	HopLimit     uint8
}

// Put writes f into h.
func (h IPv6) Put(f *IPv6Fields) {
	be.PutUint32(h, 6<<28|uint32(f.TrafficClass)<<20|f.FlowLabel&0xfffff)
	be.PutUint16(h[4:], uint16(f.PayloadLen))
	h[6], h[7] = f.NextHeader, f.HopLimit
	src, dst := f.Src.As16(), f.Dst.As16()
	copy(h[8:], src[:])
	copy(h[24:], dst[:])
}

// Extension headers (RFC 8200 section 4.1).
const (
	ExtHopByHop    = 0
	ExtRouting     = 43
	ExtFragment    = 44
	ExtNone        = 59
	ExtDestination = 60
)
