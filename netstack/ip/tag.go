package ip

import (
	"encoding/binary"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// tagLen is the length of a VLAN tag in a frame.
const tagLen = 4

// addressesLen is what stands before the tag.
const addressesLen = wire.EthernetLen - 2

// pullTag takes the tag out of a frame that starts with one behind its addresses. It reports false if
// the frame ends there.
func pullTag(p *pkt.Packet) bool {
	h := p.Pull(wire.EthernetLen + tagLen)
	if h == nil {
		return false
	}
	p.Tag = pkt.Tag{Type: p.EtherType, TCI: binary.BigEndian.Uint16(h[wire.EthernetLen:])}
	copy(h[tagLen:], h[:addressesLen])
	p.TrimFront(tagLen)
	p.EtherType = wire.Ethernet(p.Header()).Type()
	p.CsumStart -= min(p.CsumStart, tagLen)
	return true
}

// PushTag puts a frame's tag, if it has one, where it is in a frame on a wire. EtherType stays that of
// what is in the frame.
func PushTag(p *pkt.Packet) {
	if p.Tag.Type == 0 || p.Pull(wire.EthernetLen) == nil {
		return
	}
	p.Prepend(tagLen)
	h := p.Header()
	copy(h, h[tagLen:][:addressesLen])
	binary.BigEndian.PutUint16(h[addressesLen:], p.Tag.Type)
	binary.BigEndian.PutUint16(h[wire.EthernetLen:], p.Tag.TCI)
	p.CsumStart += tagLen
	p.Tag = pkt.Tag{}
}
