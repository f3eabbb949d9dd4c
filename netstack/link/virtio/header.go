// Package virtio has links over a descriptor that carries frames with a
// virtio-net header in front (struct virtio_net_hdr, virtio 1.2 section
// 5.1.6): packet sockets with PACKET_VNET_HDR and TUN/TAP with IFF_VNET_HDR. The
// header lets packets of 64 KiB cross with one call and without a checksum.
package virtio

import (
	"encoding/binary"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// HeaderLen is the length of the header in bytes.
const HeaderLen = 10

// Flags and GSO types.
const (
	needsCsum = 1
	dataValid = 2

	gsoNone  = 0
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoUDPL4 = 5
	gsoECN   = 0x80
)

// put writes the header for p, in front of whose network header stand l bytes of
// link header.
func put(b []byte, p *pkt.Packet, l int) {
	clear(b[:HeaderLen])
	if p.Csum == pkt.CsumPartial {
		b[0] = needsCsum
		binary.LittleEndian.PutUint16(b[6:], uint16(l)+p.CsumStart)
		binary.LittleEndian.PutUint16(b[8:], p.CsumOffset)
	}
	if p.GSOSize == 0 {
		return
	}
	hl := l + int(p.CsumStart)
	switch {
	case p.Proto == unix.IPPROTO_UDP:
		b[1] = gsoUDPL4
		hl += wire.UDPLen
	case p.EtherType == unix.ETH_P_IP:
		b[1] = gsoTCPv4
	default:
		b[1] = gsoTCPv6
	}
	if p.Proto == unix.IPPROTO_TCP {
		t := wire.TCP(p.Header()[hl:])
		if t.Flags()&wire.CWR != 0 {
			b[1] |= gsoECN // on the first segment only
		}
		hl += t.HeaderLen()
	}
	binary.LittleEndian.PutUint16(b[2:], uint16(hl))
	binary.LittleEndian.PutUint16(b[4:], p.GSOSize)
}

// Parse sets in p what the header says; l is the length of the link header. It
// reports false for a header that cannot be right: the other side is not trusted.
func Parse(b []byte, p *pkt.Packet, l int) bool {
	switch {
	case b[0]&needsCsum != 0:
		start, off := int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:]))
		if start < l || start+off+2 > p.Len() || start > 255 || off > 255 {
			return false
		}
		p.Csum, p.CsumStart, p.CsumOffset = pkt.CsumPartial, uint16(start-l), uint16(off)
	case b[0]&dataValid != 0:
		p.Csum = pkt.CsumValid
	}
	switch b[1] &^ gsoECN {
	case gsoNone:
	case gsoTCPv4, gsoTCPv6, gsoUDPL4:
		if p.GSOSize = binary.LittleEndian.Uint16(b[4:]); p.GSOSize == 0 {
			return false
		}
	default:
		return false
	}
	return true
}
