package wire

import "net/netip"

// IPv4 is an IPv4 header (RFC 791 section 3.1), options included, and possibly
// what follows it.
type IPv4 []byte

// Lengths of an IPv4 header in bytes.
const (
	IPv4MinLen = 20
	IPv4MaxLen = 60
)

// Fragmentation flags in the upper bits of the fragment field.
const (
	IPv4DF = 0x4000
	IPv4MF = 0x2000
)

// HeaderLen is IHL in bytes; it may be wrong before Valid.
func (h IPv4) HeaderLen() int { return int(h[0]&15) * 4 }

// TotalLen is the packet's length in bytes.
func (h IPv4) TotalLen() int { return int(be.Uint16(h[2:])) }

// TOS is the type of service field: DSCP and ECN.
func (h IPv4) TOS() uint8 { return h[1] }

// ID is the identification field.
func (h IPv4) ID() uint16 { return be.Uint16(h[4:]) }

// Frag is the flags and the fragment offset, in units of 8 bytes.
func (h IPv4) Frag() uint16 { return be.Uint16(h[6:]) }

// FragOffset is the fragment offset in bytes.
func (h IPv4) FragOffset() int { return int(be.Uint16(h[6:])&0x1fff) * 8 }

// TTL is the time to live.
func (h IPv4) TTL() uint8 { return h[8] }

// Proto is the protocol above.
func (h IPv4) Proto() uint8 { return h[9] }

// Src is the source address.
func (h IPv4) Src() netip.Addr { return netip.AddrFrom4([4]byte(h[12:16])) }

// Dst is the destination address.
func (h IPv4) Dst() netip.Addr { return netip.AddrFrom4([4]byte(h[16:20])) }

// Options are the option bytes.
func (h IPv4) Options() []byte { return h[IPv4MinLen:h.HeaderLen()] }

// SumOK reports whether the header checksum is right.
func (h IPv4) SumOK() bool { return Sum(h[:h.HeaderLen()], 0) == 0xffff }

// SetSum computes the header checksum.
func (h IPv4) SetSum() {
	be.PutUint16(h[10:], 0)
	be.PutUint16(h[10:], ^Sum(h[:h.HeaderLen()], 0))
}

// SetTotalLen sets the packet's length; the checksum becomes stale.
func (h IPv4) SetTotalLen(n int) { be.PutUint16(h[2:], uint16(n)) }

// SetID sets the identification; the checksum becomes stale.
func (h IPv4) SetID(id uint16) { be.PutUint16(h[4:], id) }

// SetFrag sets flags and fragment offset; the checksum becomes stale.
func (h IPv4) SetFrag(f uint16) { be.PutUint16(h[6:], f) }

// SetTTL sets the time to live; the checksum becomes stale.
func (h IPv4) SetTTL(t uint8) { h[8] = t }

// IPv4Fields are the fields of a header to be written.
type IPv4Fields struct {
	Src, Dst   netip.Addr
	TotalLen   int
	ID         uint16
	Frag       uint16
	TOS, TTL   uint8
	Proto      uint8
	OptionsLen int // multiple of 4; the option bytes themselves are the caller's
}

// Put writes f with its checksum into h, which is long enough and already
// holds the options.
func (h IPv4) Put(f *IPv4Fields) {
	h[0] = 4<<4 | uint8((IPv4MinLen+f.OptionsLen)/4)
	h[1] = f.TOS
	be.PutUint16(h[2:], uint16(f.TotalLen))
	be.PutUint16(h[4:], f.ID)
	be.PutUint16(h[6:], f.Frag)
	h[8], h[9] = f.TTL, f.Proto
	src, dst := f.Src.As4(), f.Dst.As4()
	copy(h[12:], src[:])
	copy(h[16:], dst[:])
	h.SetSum()
}
