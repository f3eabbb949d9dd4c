package xdp

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// trust marks a packet whose checksum is left to a device: what comes from this host by a veth,
// say. XDP does not tell, but the field holds the pseudo header's sum then, which a whole
// checksum is in one packet of 65,536. b is the packet's start, from the network header on.
func trust(p *pkt.Packet, b []byte) {
	proto, at, size := transport(b)
	field := at
	switch proto {
	case unix.IPPROTO_TCP:
		field += 16
	case unix.IPPROTO_UDP:
		field += 6
	default:
		return
	}
	if len(b) < field+2 {
		return
	}
	var sum uint16
	if b[0]>>4 == 4 {
		h := wire.IPv4(b)
		sum = wire.PseudoSum(h.Src(), h.Dst(), proto, size)
	} else {
		h := wire.IPv6(b)
		sum = wire.PseudoSum(h.Src(), h.Dst(), proto, size)
	}
	if binary.BigEndian.Uint16(b[field:]) == sum {
		p.Csum, p.CsumStart, p.CsumOffset = pkt.CsumPartial, uint16(at), uint16(field-at)
	}
}

// transport finds the header behind the network header of a whole packet: its protocol, where
// it starts, and how many bytes it and what follows have. Protocol 0: none is found.
func transport(b []byte) (proto uint8, at, size int) {
	switch {
	case len(b) >= wire.IPv4MinLen && b[0]>>4 == 4:
		h := wire.IPv4(b)
		if h.Frag()&^wire.IPv4DF != 0 || h.HeaderLen() < wire.IPv4MinLen {
			return 0, 0, 0
		}
		return h.Proto(), h.HeaderLen(), h.TotalLen() - h.HeaderLen()
	case len(b) >= wire.IPv6Len && b[0]>>4 == 6:
		h := wire.IPv6(b)
		return h.NextHeader(), wire.IPv6Len, h.PayloadLen()
	}
	return 0, 0, 0
}
