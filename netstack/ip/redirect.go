package ip

import (
	"encoding/binary"
	"net/netip"

	"casemate/netstack/pkt"
	"golang.org/x/sys/unix"
)

// A redirect has what is sent on lo to a port of a local address arrive at another port of
// it, and the answers seem to come from the first.
type redirect struct {
	addr     netip.Addr
	from, to uint16
}

// Redirect has TCP and UDP packets on lo to addr and port from arrive at port to, and
// the other way round, as a REDIRECT rule of a packet filter would. There can be one; it
// is set before the first packet.
func (s *Stack) Redirect(addr netip.Addr, from, to uint16) {
	s.redirect.Store(&redirect{addr, from, to})
}

// apply changes the ports of a packet on lo.
func (r *redirect) apply(p *pkt.Packet) {
	toward := p.Dst == r.addr
	if !toward && p.Src != r.addr || p.Proto != unix.IPPROTO_TCP && p.Proto != unix.IPPROTO_UDP {
		return
	}
	// Packets on lo have their transport header whole: its MTU is that of IP.
	h := p.Pull(int(p.NetLen) + 4)
	if h == nil {
		return
	}
	ports := h[p.NetLen:]
	// The checksum of a packet on lo is never looked at: CsumPartial and CsumValid.
	if p.Csum == pkt.CsumNone {
		return
	}
	if toward && binary.BigEndian.Uint16(ports[2:]) == r.from {
		binary.BigEndian.PutUint16(ports[2:], r.to)
	} else if p.Src == r.addr && binary.BigEndian.Uint16(ports) == r.to {
		binary.BigEndian.PutUint16(ports, r.from)
	}
}
