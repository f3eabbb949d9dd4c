package ip

import (
	"encoding/binary"
	"math/rand/v2"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// fragment4 sends p, a complete IPv4 packet that is larger than r's MTU, in
// fragments (RFC 791 section 3.2). Options are copied to the first only.
func (s *Stack) fragment4(p *pkt.Packet, r *Route) error {
	c := &s.Counters.IP
	if p.Csum == pkt.CsumPartial {
		p.CompleteSum()
	}
	h := wire.IPv4(p.Header())
	hl := h.HeaderLen()
	f := wire.IPv4Fields{Src: p.Src, Dst: p.Dst, ID: h.ID(), TOS: h.TOS(), TTL: h.TTL(), Proto: h.Proto()}
	if f.ID == 0 {
		f.ID = s.NextID()
	}
	more, base := h.Frag()&wire.IPv4MF, h.FragOffset()
	total := p.Len() - hl
	step := (r.MTU - wire.IPv4MinLen) &^ 7
	if step < 8 {
		c.FragFails.Inc()
		p.Free()
		return unix.EMSGSIZE
	}
	for off := 0; off < total; off += step {
		n := min(step, total-off)
		q := s.piece(p, hl+off, n)
		f.TotalLen = wire.IPv4MinLen + n
		f.Frag = uint16((base + off) / 8)
		if off+n < total || more != 0 {
			f.Frag |= wire.IPv4MF
		}
		wire.IPv4(q.Prepend(wire.IPv4MinLen)).Put(&f)
		q.EtherType, q.NetLen = unix.ETH_P_IP, wire.IPv4MinLen
		c.FragCreates.Inc()
		s.transmitOne(q, r)
	}
	c.FragOKs.Inc()
	p.Free()
	return nil
}

// fragment6 is fragment4 for IPv6 (RFC 8200 section 4.5); p has no extension
// headers.
func (s *Stack) fragment6(p *pkt.Packet, r *Route) error {
	c := &s.Counters.IP6
	if p.Csum == pkt.CsumPartial {
		p.CompleteSum()
	}
	h := wire.IPv6(p.Header())
	f := wire.IPv6Fields{Src: p.Src, Dst: p.Dst, TrafficClass: h.TrafficClass(), FlowLabel: h.FlowLabel(),
		NextHeader: wire.ExtFragment, HopLimit: h.HopLimit()}
	id := rand.Uint32()
	total := p.Len() - wire.IPv6Len
	step := (max(r.MTU, wire.IPv6MinMTU) - wire.IPv6Len - 8) &^ 7
	for off := 0; off < total; off += step {
		n := min(step, total-off)
		q := s.piece(p, wire.IPv6Len+off, n)
		fh := q.Prepend(8)
		fh[0], fh[1] = h.NextHeader(), 0
		o := uint16(off)
		if off+n < total {
			o |= 1
		}
		binary.BigEndian.PutUint16(fh[2:], o)
		binary.BigEndian.PutUint32(fh[4:], id)
		f.PayloadLen = 8 + n
		wire.IPv6(q.Prepend(wire.IPv6Len)).Put(&f)
		q.EtherType, q.NetLen = unix.ETH_P_IPV6, wire.IPv6Len
		c.FragCreates.Inc()
		s.transmitOne(q, r)
	}
	c.FragOKs.Inc()
	p.Free()
	return nil
}

// piece is a packet with a copy of n of p's bytes from off on.
func (s *Stack) piece(p *pkt.Packet, off, n int) *pkt.Packet {
	q := pkt.New()
	q.Src, q.Dst, q.TTL, q.TOS, q.Proto = p.Src, p.Dst, p.TTL, p.TOS, p.Proto
	q.Hash, q.Mark, q.OutIf = p.Hash, p.Mark, p.OutIf
	q.Conn, q.ConnInfo, q.Owned, q.UID, q.GID = p.Conn, p.ConnInfo, p.Owned, p.UID, p.GID
	buf := pkt.Alloc(n)
	p.CopyOut(off, buf.Bytes()[:n])
	q.AddFrag(pkt.Frag{Buf: buf, Len: uint32(n)})
	return q
}
