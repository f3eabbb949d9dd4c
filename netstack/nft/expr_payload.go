package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// payload loads bytes of the packet, or stores them.
type payload struct {
	base    uint32
	off, n  int
	reg     register
	store   bool
	sumType uint32
	sumOff  int
	sumFlag uint32
}

func parsePayload(p *parser) (expr, error) {
	e := &payload{base: p.be32(unix.NFTA_PAYLOAD_BASE, 0), off: int(p.be32(unix.NFTA_PAYLOAD_OFFSET, 0)), n: int(p.be32(unix.NFTA_PAYLOAD_LEN, 0)),
		sumType: p.be32(unix.NFTA_PAYLOAD_CSUM_TYPE, 0), sumOff: int(p.be32(unix.NFTA_PAYLOAD_CSUM_OFFSET, 0)), sumFlag: p.be32(unix.NFTA_PAYLOAD_CSUM_FLAGS, 0)}
	switch e.base {
	case unix.NFT_PAYLOAD_LL_HEADER, unix.NFT_PAYLOAD_NETWORK_HEADER, unix.NFT_PAYLOAD_TRANSPORT_HEADER, unix.NFT_PAYLOAD_INNER_HEADER:
	default:
		return nil, unix.EOPNOTSUPP
	}
	if e.off > 1<<16 || e.n > dataSize || e.sumOff > 1<<16 {
		return nil, unix.EINVAL
	}
	attr := uint16(unix.NFTA_PAYLOAD_DREG)
	if p.has(unix.NFTA_PAYLOAD_SREG) {
		attr, e.store = unix.NFTA_PAYLOAD_SREG, true
		if p.has(unix.NFTA_PAYLOAD_DREG) {
			return nil, unix.EINVAL
		}
		if e.base == unix.NFT_PAYLOAD_LL_HEADER || e.base == unix.NFT_PAYLOAD_INNER_HEADER || e.sumType > unix.NFT_PAYLOAD_CSUM_INET {
			return nil, unix.EOPNOTSUPP
		}
	}
	var err error
	e.reg, err = p.register(attr, e.n)
	return e, err
}

// start is the offset of the base in the packet; false if the packet has none.
func (e *payload) start(c *filter.Context) (int, bool) {
	at, proto, frag := c.Transport()
	switch e.base {
	case unix.NFT_PAYLOAD_NETWORK_HEADER:
		return 0, true
	case unix.NFT_PAYLOAD_TRANSPORT_HEADER:
		return at, frag == 0
	case unix.NFT_PAYLOAD_INNER_HEADER:
		switch proto {
		case unix.IPPROTO_UDP:
			return at + wire.UDPLen, frag == 0
		case unix.IPPROTO_TCP:
			if h := wire.TCP(c.TransportHeader(proto, wire.TCPMinLen)); h != nil {
				return at + h.HeaderLen(), true
			}
		}
	}
	return 0, false // the link header is gone when a packet gets here
}

func (e *payload) eval(r *registers, c *filter.Context) {
	at, ok := e.start(c)
	at += e.off
	if !ok || at+e.n > c.Packet.Len() {
		r.verdict = breakVerdict
		return
	}
	if e.store {
		e.put(r, c, at)
		return
	}
	b := r.bytes(e.reg, e.n)
	if n := e.n; n&3 != 0 {
		clear(r.data[int(e.reg)+n : (int(e.reg)+n+3)&^3])
	}
	c.Packet.CopyOut(at, b)
}

// put stores the register in the packet and corrects checksums.
func (e *payload) put(r *registers, c *filter.Context, at int) {
	p := c.Packet
	h := p.Pull(at + e.n)
	if h == nil {
		r.verdict = breakVerdict
		return
	}
	old := append([]byte(nil), h[at:at+e.n]...)
	copy(h[at:], r.bytes(e.reg, e.n))
	start, _ := e.start(c)
	if e.sumType == unix.NFT_PAYLOAD_CSUM_INET {
		p.AdjustSum(start+e.sumOff, at, old, false)
	}
	if e.base == unix.NFT_PAYLOAD_NETWORK_HEADER {
		refresh(c)
		if e.sumFlag&unix.NFT_PAYLOAD_L4CSUM_PSEUDOHDR != 0 {
			tat, proto, frag := c.Transport()
			if off := checksumOffset(proto); off >= 0 && frag == 0 && p.Pull(tat+off+2) != nil {
				if proto != unix.IPPROTO_UDP || p.Csum == pkt.CsumPartial || binary.BigEndian.Uint16(p.Header()[tat+off:]) != 0 {
					p.AdjustSum(tat+off, at, old, p.Csum == pkt.CsumPartial)
				}
			}
		}
	}
}

// checksumOffset is where a protocol has a checksum over addresses, or -1.
func checksumOffset(proto uint8) int {
	switch proto {
	case unix.IPPROTO_TCP:
		return wire.TCPChecksumOffset
	case unix.IPPROTO_UDP:
		return wire.UDPChecksumOffset
	case unix.IPPROTO_ICMPV6:
		return wire.ICMPChecksumOffset
	}
	return -1
}

// refresh sets the packet's fields to what its network header says.
func refresh(c *filter.Context) {
	p := c.Packet
	if c.Family == unix.AF_INET {
		h := wire.IPv4(p.Header())
		p.Src, p.Dst, p.TTL, p.TOS = h.Src(), h.Dst(), h.TTL(), h.TOS()
		return
	}
	h := wire.IPv6(p.Header())
	p.Src, p.Dst, p.TTL, p.TOS = h.Src(), h.Dst(), h.HopLimit(), h.TrafficClass()
}

func (e *payload) dump(d *dumper) {
	if e.store {
		d.attrRegister(unix.NFTA_PAYLOAD_SREG, e.reg)
	} else {
		d.attrRegister(unix.NFTA_PAYLOAD_DREG, e.reg)
	}
	d.AttrBE32(unix.NFTA_PAYLOAD_BASE, e.base)
	d.AttrBE32(unix.NFTA_PAYLOAD_OFFSET, uint32(e.off))
	d.AttrBE32(unix.NFTA_PAYLOAD_LEN, uint32(e.n))
	if e.store {
		d.AttrBE32(unix.NFTA_PAYLOAD_CSUM_TYPE, e.sumType)
		d.AttrBE32(unix.NFTA_PAYLOAD_CSUM_OFFSET, uint32(e.sumOff))
		d.AttrBE32(unix.NFTA_PAYLOAD_CSUM_FLAGS, e.sumFlag)
	}
}

// exthdr loads a TCP option or an IPv6 extension header, or finds out whether it is there,
// or stores into a TCP option.
type exthdr struct {
	op, typ uint8
	off, n  int
	flags   uint32
	reg     register
	store   bool
}

func parseExthdr(p *parser) (expr, error) {
	e := &exthdr{op: uint8(p.be32(unix.NFTA_EXTHDR_OP, 0)), off: int(p.be32(unix.NFTA_EXTHDR_OFFSET, 0)), n: int(p.be32(unix.NFTA_EXTHDR_LEN, 0)), flags: p.be32(unix.NFTA_EXTHDR_FLAGS, 0)}
	e.typ = p.be8(unix.NFTA_EXTHDR_TYPE)
	if e.op > unix.NFT_EXTHDR_OP_TCPOPT || e.flags&^unix.NFT_EXTHDR_F_PRESENT != 0 || e.off > 255 || e.n > 255 || e.n > dataSize {
		return nil, unix.EOPNOTSUPP
	}
	attr := uint16(unix.NFTA_EXTHDR_DREG)
	if p.has(unix.NFTA_EXTHDR_SREG) {
		attr, e.store = unix.NFTA_EXTHDR_SREG, true
		if e.op != unix.NFT_EXTHDR_OP_TCPOPT || e.n != 2 && e.n != 4 || e.off < 2 {
			return nil, unix.EOPNOTSUPP
		}
	}
	var err error
	e.reg, err = p.register(attr, max(e.n, 1))
	return e, err
}

// find is the offset of the header or option in the packet and its length; false if it is not there.
func (e *exthdr) find(c *filter.Context) (at, n int, ok bool) {
	if e.op == unix.NFT_EXTHDR_OP_TCPOPT {
		return c.TCPOption(e.typ)
	}
	if c.Family != unix.AF_INET6 {
		return 0, 0, false
	}
	return c.ExtensionHeader(e.typ)
}

func (e *exthdr) eval(r *registers, c *filter.Context) {
	at, n, ok := e.find(c)
	if e.flags&unix.NFT_EXTHDR_F_PRESENT != 0 {
		v := uint8(0)
		if ok {
			v = 1
		}
		r.put8(e.reg, v)
		return
	}
	if !ok || e.off+e.n > n {
		r.verdict = breakVerdict
		return
	}
	h := c.Packet.Pull(at + n)
	if h == nil {
		r.verdict = breakVerdict
		return
	}
	b := h[at+e.off : at+e.off+e.n]
	if !e.store {
		r.put(e.reg, b)
		return
	}
	if e.typ == wire.OptMSS && binary.BigEndian.Uint16(b) <= binary.BigEndian.Uint16(r.bytes(e.reg, 2)) {
		return // it is only ever made smaller
	}
	old := append([]byte(nil), b...)
	copy(b, r.bytes(e.reg, e.n))
	if c.Packet.Csum != pkt.CsumPartial {
		tat, _, _ := c.Transport()
		c.Packet.AdjustSum(tat+wire.TCPChecksumOffset, at+e.off, old, false)
	}
}

func (e *exthdr) dump(d *dumper) {
	if e.store {
		d.attrRegister(unix.NFTA_EXTHDR_SREG, e.reg)
	} else {
		d.attrRegister(unix.NFTA_EXTHDR_DREG, e.reg)
	}
	d.Attr8(unix.NFTA_EXTHDR_TYPE, e.typ)
	d.AttrBE32(unix.NFTA_EXTHDR_OFFSET, uint32(e.off))
	d.AttrBE32(unix.NFTA_EXTHDR_LEN, uint32(e.n))
	d.AttrBE32(unix.NFTA_EXTHDR_FLAGS, e.flags)
	d.AttrBE32(unix.NFTA_EXTHDR_OP, uint32(e.op))
}
