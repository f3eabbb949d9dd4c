package ip

import (
	"encoding/binary"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Segment cuts a packet with GSOSize, which starts with its network header,
// into segments of that size and gives each to send, as a network card with
// TSO would. p is used up.
func (s *Stack) Segment(p *pkt.Packet, send func(*pkt.Packet)) {
	nl := int(p.NetLen)
	hl := nl + wire.UDPLen
	if p.Proto == unix.IPPROTO_TCP {
		hl = nl + wire.TCP(p.Header()[nl:]).HeaderLen()
	}
	h := p.Pull(hl)
	if h == nil || len(p.Header()) != hl {
		p.Free()
		return
	}
	size, total := int(p.GSOSize), p.DataLen()
	frags := p.Frags()
	fi, fo := 0, uint32(0)
	for off := 0; off < total; off += size {
		n := min(size, total-off)
		q := pkt.New()
		q.Src, q.Dst, q.TTL, q.TOS, q.Proto, q.DF = p.Src, p.Dst, p.TTL, p.TOS, p.Proto, p.DF
		q.Hash, q.Mark, q.InIf, q.OutIf, q.Type = p.Hash, p.Mark, p.InIf, p.OutIf, p.Type
		q.Conn, q.ConnInfo, q.Owned, q.UID, q.GID = p.Conn, p.ConnInfo, p.Owned, p.UID, p.GID
		q.EtherType, q.NetLen = p.EtherType, p.NetLen
		q.Csum, q.CsumStart, q.CsumOffset = p.Csum, p.CsumStart, p.CsumOffset
		qh := q.Append(hl)
		copy(qh, h)
		for left := uint32(n); left > 0; {
			f := frags[fi]
			f.Off += fo
			f.Len = min(f.Len-fo, left)
			f.Buf.Ref()
			q.AddFrag(f) // a part of p's frags, so there is room
			left -= f.Len
			if fo += f.Len; fo == frags[fi].Len {
				fi, fo = fi+1, 0
			}
		}
		if p.Proto == unix.IPPROTO_TCP {
			t := wire.TCP(qh[nl:])
			t.SetSeq(t.Seq() + uint32(off))
			fl := t.Flags()
			if off > 0 {
				fl &^= wire.CWR
			}
			if off+n < total {
				fl &^= wire.FIN | wire.PSH
			}
			t.SetFlags(fl)
		} else {
			binary.BigEndian.PutUint16(qh[nl+4:], uint16(hl-nl+n))
		}
		if qh[0]>>4 == 4 {
			v4 := wire.IPv4(qh)
			v4.SetTotalLen(hl + n)
			v4.SetID(p.ID + uint16(off/size))
			v4.SetSum()
		} else {
			wire.IPv6(qh).SetPayloadLen(hl - wire.IPv6Len + n)
		}
		if q.Csum == pkt.CsumPartial {
			binary.BigEndian.PutUint16(qh[nl+int(q.CsumOffset):], wire.PseudoSum(q.Src, q.Dst, q.Proto, hl-nl+n))
		}
		send(q)
	}
	p.Free()
}
