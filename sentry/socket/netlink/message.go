package netlink

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

var ne = binary.NativeEndian

// A request is a netlink message that a program has sent (netlink(7)).
type request struct {
	typ   uint16
	flags uint16
	seq   uint32
	body  []byte // behind struct nlmsghdr
	whole []byte
}

// nextRequest takes the first message off p; ok is false if there is none.
func nextRequest(p []byte) (r request, rest []byte, ok bool) {
	if len(p) < unix.SizeofNlMsghdr {
		return r, nil, false
	}
	n := int(ne.Uint32(p))
	if n < unix.SizeofNlMsghdr || n > len(p) {
		return r, nil, false
	}
	r = request{typ: ne.Uint16(p[4:]), flags: ne.Uint16(p[6:]), seq: ne.Uint32(p[8:]), body: p[unix.SizeofNlMsghdr:n], whole: p[:n]}
	return r, p[min(align(n), len(p)):], true
}

// align is NLMSG_ALIGN and RTA_ALIGN.
func align(n int) int { return (n + 3) &^ 3 }

// typeMask takes the flags off an attribute's type (NLA_TYPE_MASK).
const typeMask = 0x3fff

// attributes are the struct rtattr of a message by type; of equal ones the last. EINVAL
// if they are malformed.
func attributes(p []byte) (map[uint16][]byte, error) {
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

// uint32Of reads an attribute that is a number. EINVAL if it is too short.
func uint32Of(p []byte) (uint32, error) {
	if len(p) < 4 {
		return 0, unix.EINVAL
	}
	return ne.Uint32(p), nil
}

// addrOf reads an attribute that is an address of a family. EINVAL.
func addrOf(family uint8, p []byte) (netip.Addr, error) {
	switch {
	case family == unix.AF_INET && len(p) == 4:
		return netip.AddrFrom4([4]byte(p)), nil
	case family == unix.AF_INET6 && len(p) == 16:
		return netip.AddrFrom16([16]byte(p)), nil
	}
	return netip.Addr{}, unix.EINVAL
}

// familyOf is the AF_* of an address.
func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// A reply puts messages together.
type reply struct {
	b     []byte
	start int
}

// begin begins a message with the bytes of its own header.
func (r *reply) begin(typ, flags uint16, seq, port uint32, header ...byte) {
	r.start = len(r.b)
	r.b = append(r.b, 0, 0, 0, 0)
	r.b = ne.AppendUint16(r.b, typ)
	r.b = ne.AppendUint16(r.b, flags)
	r.b = ne.AppendUint32(r.b, seq)
	r.b = ne.AppendUint32(r.b, port)
	r.b = append(r.b, header...)
}

// end ends the message that begin has begun.
func (r *reply) end() {
	ne.PutUint32(r.b[r.start:], uint32(len(r.b)-r.start))
	for len(r.b)&3 != 0 {
		r.b = append(r.b, 0)
	}
}

// attr appends an attribute.
func (r *reply) attr(typ uint16, p []byte) {
	r.b = ne.AppendUint16(r.b, uint16(unix.SizeofRtAttr+len(p)))
	r.b = ne.AppendUint16(r.b, typ)
	r.b = append(r.b, p...)
	for len(r.b)&3 != 0 {
		r.b = append(r.b, 0)
	}
}

// attr8 appends an attribute that is a byte.
func (r *reply) attr8(typ uint16, v uint8) { r.attr(typ, []byte{v}) }

// attr32 appends an attribute that is a number.
func (r *reply) attr32(typ uint16, v uint32) { r.attr(typ, ne.AppendUint32(nil, v)) }

// attrString appends an attribute that is a string with its NUL.
func (r *reply) attrString(typ uint16, s string) { r.attr(typ, append([]byte(s), 0)) }

// attrAddr appends an attribute that is an address.
func (r *reply) attrAddr(typ uint16, a netip.Addr) { r.attr(typ, a.AsSlice()) }
