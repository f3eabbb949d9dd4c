package wire

// UDP is a UDP header (RFC 768).
type UDP []byte

// UDPLen is the length of a UDP header in bytes.
const UDPLen = 8

// UDPChecksumOffset is where the checksum stands in the header.
const UDPChecksumOffset = 6

// SrcPort is the source port.
func (h UDP) SrcPort() uint16 { return be.Uint16(h) }

// DstPort is the destination port.
func (h UDP) DstPort() uint16 { return be.Uint16(h[2:]) }

// Length is the length of header and data in bytes.
func (h UDP) Length() int { return int(be.Uint16(h[4:])) }

// Checksum is the checksum field; 0 means none.
func (h UDP) Checksum() uint16 { return be.Uint16(h[6:]) }

// Put writes the header.
func (h UDP) Put(src, dst uint16, length int, sum uint16) {
	be.PutUint16(h, src)
	be.PutUint16(h[2:], dst)
	be.PutUint16(h[4:], uint16(length))
	be.PutUint16(h[6:], sum)
}
