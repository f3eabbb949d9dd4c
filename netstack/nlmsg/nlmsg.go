// Package nlmsg has the form of netlink messages and their attributes (netlink(7)), in native
// byte order but where a name says otherwise.
package nlmsg

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

var ne = binary.NativeEndian

// A Request is a netlink message that a program has sent.
type Request struct {
	Type  uint16
	Flags uint16
	Seq   uint32
	Body  []byte // behind struct nlmsghdr
	Whole []byte
}

// Next takes the first message off p; ok is false if there is none.
func Next(p []byte) (r Request, rest []byte, ok bool) {
	if len(p) < unix.SizeofNlMsghdr {
		return r, nil, false
	}
	n := int(ne.Uint32(p))
	if n < unix.SizeofNlMsghdr || n > len(p) {
		return r, nil, false
	}
	r = Request{Type: ne.Uint16(p[4:]), Flags: ne.Uint16(p[6:]), Seq: ne.Uint32(p[8:]), Body: p[unix.SizeofNlMsghdr:n], Whole: p[:n]}
	return r, p[min(align(n), len(p)):], true
}

// align is NLMSG_ALIGN and RTA_ALIGN.
func align(n int) int { return (n + 3) &^ 3 }

// typeMask takes the flags off an attribute's type (NLA_TYPE_MASK).
const typeMask = 0x3fff

// Attributes are the struct rtattr of a message by type; of equal ones the last. EINVAL
// if they are malformed.
func Attributes(p []byte) (map[uint16][]byte, error) {
	m := map[uint16][]byte{}
	for len(p) >= unix.SizeofRtAttr {
		n := int(ne.Uint16(p))
		if n < unix.SizeofRtAttr || n > len(p) {
			return nil, unix.EINVAL
		}
		m[ne.Uint16(p[2:])&typeMask] = p[unix.SizeofRtAttr:n]
		p = p[min(align(n), len(p)):]
	}
	return m, nil
}

// Uint32 reads an attribute that is a number. EINVAL if it is too short.
func Uint32(p []byte) (uint32, error) {
	if len(p) < 4 {
		return 0, unix.EINVAL
	}
	return ne.Uint32(p), nil
}

// Addr reads an attribute that is an address of a family. EINVAL.
func Addr(family uint8, p []byte) (netip.Addr, error) {
	switch {
	case family == unix.AF_INET && len(p) == 4:
		return netip.AddrFrom4([4]byte(p)), nil
	case family == unix.AF_INET6 && len(p) == 16:
		return netip.AddrFrom16([16]byte(p)), nil
	}
	return netip.Addr{}, unix.EINVAL
}

// Family is the AF_* of an address.
func Family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// A Builder puts messages together.
type Builder struct {
	B     []byte
	start int
}

// Begin begins a message with the bytes of its own header.
func (b *Builder) Begin(typ, flags uint16, seq, port uint32, header ...byte) {
	b.start = len(b.B)
	b.B = append(b.B, 0, 0, 0, 0)
	b.B = ne.AppendUint16(b.B, typ)
	b.B = ne.AppendUint16(b.B, flags)
	b.B = ne.AppendUint32(b.B, seq)
	b.B = ne.AppendUint32(b.B, port)
	b.B = append(b.B, header...)
}

// End ends the message that Begin has begun.
func (b *Builder) End() {
	ne.PutUint32(b.B[b.start:], uint32(len(b.B)-b.start))
	for len(b.B)&3 != 0 {
		b.B = append(b.B, 0)
	}
}

// Attr appends an attribute.
func (b *Builder) Attr(typ uint16, p []byte) {
	b.B = ne.AppendUint16(b.B, uint16(unix.SizeofRtAttr+len(p)))
	b.B = ne.AppendUint16(b.B, typ)
	b.B = append(b.B, p...)
	for len(b.B)&3 != 0 {
		b.B = append(b.B, 0)
	}
}

// Attr8 appends an attribute that is a byte.
func (b *Builder) Attr8(typ uint16, v uint8) { b.Attr(typ, []byte{v}) }

// Attr32 appends an attribute that is a number.
func (b *Builder) Attr32(typ uint16, v uint32) { b.Attr(typ, ne.AppendUint32(nil, v)) }

// AttrString appends an attribute that is a string with its NUL.
func (b *Builder) AttrString(typ uint16, s string) { b.Attr(typ, append([]byte(s), 0)) }

// AttrAddr appends an attribute that is an address.
func (b *Builder) AttrAddr(typ uint16, a netip.Addr) { b.Attr(typ, a.AsSlice()) }

// An Attribute is one of a list in which types come more than once.
type Attribute struct {
	Type uint16
	Data []byte
}

// List are the attributes in order. EINVAL if they are malformed.
func List(p []byte) ([]Attribute, error) {
	var l []Attribute
	for len(p) >= unix.SizeofRtAttr {
		n := int(ne.Uint16(p))
		if n < unix.SizeofRtAttr || n > len(p) {
			return nil, unix.EINVAL
		}
		l = append(l, Attribute{ne.Uint16(p[2:]) & typeMask, p[unix.SizeofRtAttr:n]})
		p = p[min(align(n), len(p)):]
	}
	return l, nil
}

// String is an attribute that is a string, without its NUL.
func String(p []byte) string {
	s, _, _ := strings.Cut(string(p), "\x00")
	return s
}

// BE32 reads an attribute that is a number in network byte order. EINVAL if it is too short.
func BE32(p []byte) (uint32, error) {
	if len(p) < 4 {
		return 0, unix.EINVAL
	}
	return binary.BigEndian.Uint32(p), nil
}

// BE64 reads an attribute that is a long number in network byte order. EINVAL.
func BE64(p []byte) (uint64, error) {
	if len(p) < 8 {
		return 0, unix.EINVAL
	}
	return binary.BigEndian.Uint64(p), nil
}

// AttrBE16 appends an attribute that is a short number in network byte order.
func (b *Builder) AttrBE16(typ uint16, v uint16) { b.Attr(typ, binary.BigEndian.AppendUint16(nil, v)) }

// AttrBE32 appends an attribute that is a number in network byte order.
func (b *Builder) AttrBE32(typ uint16, v uint32) { b.Attr(typ, binary.BigEndian.AppendUint32(nil, v)) }

// AttrBE64 appends an attribute that is a long number in network byte order.
func (b *Builder) AttrBE64(typ uint16, v uint64) { b.Attr(typ, binary.BigEndian.AppendUint64(nil, v)) }

// Nest appends an attribute that consists of those that fill appends.
func (b *Builder) Nest(typ uint16, fill func()) {
	at := len(b.B)
	b.Attr(typ|unix.NLA_F_NESTED, nil)
	fill()
	ne.PutUint16(b.B[at:], uint16(len(b.B)-at))
}
