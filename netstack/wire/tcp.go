package wire

// TCP is a TCP header (RFC 9293 section 3.1), options included, and possibly
// what follows it.
type TCP []byte

// Lengths of a TCP header in bytes.
const (
	TCPMinLen = 20
	TCPMaxLen = 60
)

// TCP flags.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// SrcPort is the source port.
func (h TCP) SrcPort() uint16 { return be.Uint16(h) }

// DstPort is the destination port.
func (h TCP) DstPort() uint16 { return be.Uint16(h[2:]) }

// Seq is SEG.SEQ.
func (h TCP) Seq() uint32 { return be.Uint32(h[4:]) }

// Ack is SEG.ACK.
func (h TCP) Ack() uint32 { return be.Uint32(h[8:]) }

// HeaderLen is the data offset in bytes; it may be wrong before a check.
func (h TCP) HeaderLen() int { return int(h[12]>>4) * 4 }

// Flags are the eight flags.
func (h TCP) Flags() uint8 { return h[13] }

// Window is SEG.WND as transmitted, unscaled.
func (h TCP) Window() uint16 { return be.Uint16(h[14:]) }

// Checksum is the checksum field.
func (h TCP) Checksum() uint16 { return be.Uint16(h[16:]) }

// UrgPtr is SEG.UP.
func (h TCP) UrgPtr() uint16 { return be.Uint16(h[18:]) }

// SetChecksum sets the checksum field.
func (h TCP) SetChecksum(c uint16) { be.PutUint16(h[16:], c) }

// SetPorts sets both ports.
func (h TCP) SetPorts(src, dst uint16) { be.PutUint16(h, src); be.PutUint16(h[2:], dst) }

// SetSeq sets SEG.SEQ.
func (h TCP) SetSeq(s uint32) { be.PutUint32(h[4:], s) }

// SetFlags sets the eight flags.
func (h TCP) SetFlags(f uint8) { h[13] = f }

// TCPChecksumOffset is where the checksum stands in the header.
const TCPChecksumOffset = 16

// TCPFields are the fields of a header to be written.
type TCPFields struct {
	SrcPort, DstPort uint16
	Seq, Ack         uint32
	Flags            uint8
	Window           uint16
	UrgPtr           uint16
	HeaderLen        int
}

// Put writes f into h with a zero checksum; options are the caller's.
func (h TCP) Put(f *TCPFields) {
	be.PutUint16(h, f.SrcPort)
	be.PutUint16(h[2:], f.DstPort)
	be.PutUint32(h[4:], f.Seq)
	be.PutUint32(h[8:], f.Ack)
	h[12], h[13] = uint8(f.HeaderLen/4)<<4, f.Flags
	be.PutUint16(h[14:], f.Window)
	be.PutUint16(h[16:], 0)
	be.PutUint16(h[18:], f.UrgPtr)
}

// TCP option kinds (IANA, TCP parameters).
const (
	OptEnd           = 0
	OptNop           = 1
	OptMSS           = 2
	OptWindowScale   = 3
	OptSACKPermitted = 4
	OptSACK          = 5
	OptTimestamps    = 8
	OptFastOpen      = 34
)

// SACKBlock is a range of sequence numbers, End exclusive (RFC 2018).
type SACKBlock struct{ Start, End uint32 }

// MaxWindowScale is the largest shift count (RFC 7323 section 2.3).
const MaxWindowScale = 14

// TCPOptions are the parsed options of a segment.
type TCPOptions struct {
	MSS           uint16 // 0 if absent
	WindowScale   int8   // -1 if absent
	SACKPermitted bool
	HasTS         bool
	TSVal, TSEcr  uint32
	HasFastOpen   bool
	FastOpen      []byte // cookie; empty for a request
	NSACK         int
	SACK          [4]SACKBlock
}

// Parse reads the options in b. Malformed options end the list, as they do in
// Linux. Options that only a SYN may carry are returned whatever the segment.
func (o *TCPOptions) Parse(b []byte) {
	*o = TCPOptions{WindowScale: -1}
	// By far the most frequent form: NOP, NOP, timestamps.
	if len(b) == 12 && be.Uint32(b) == OptNop<<24|OptNop<<16|OptTimestamps<<8|10 {
		o.HasTS, o.TSVal, o.TSEcr = true, be.Uint32(b[4:]), be.Uint32(b[8:])
		return
	}
	for len(b) > 0 {
		kind := b[0]
		if kind == OptEnd {
			return
		}
		if kind == OptNop {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return
		}
		v := b[2:b[1]]
		switch kind {
		case OptMSS:
			if len(v) == 2 {
				o.MSS = be.Uint16(v)
			}
		case OptWindowScale:
			if len(v) == 1 {
				o.WindowScale = int8(min(v[0], MaxWindowScale))
			}
		case OptSACKPermitted:
			o.SACKPermitted = len(v) == 0
		case OptTimestamps:
			if len(v) == 8 {
				o.HasTS, o.TSVal, o.TSEcr = true, be.Uint32(v), be.Uint32(v[4:])
			}
		case OptSACK:
			if len(v) >= 8 && len(v)%8 == 0 {
				for o.NSACK = 0; o.NSACK < len(o.SACK) && len(v) >= 8; v = v[8:] {
					o.SACK[o.NSACK] = SACKBlock{be.Uint32(v), be.Uint32(v[4:])}
					o.NSACK++
				}
			}
		case OptFastOpen:
			o.HasFastOpen, o.FastOpen = true, v
		}
		b = b[b[1]:]
	}
}

// PutTimestamps writes the 12 bytes of two NOPs and a timestamps option.
func PutTimestamps(b []byte, val, ecr uint32) int {
	be.PutUint32(b, OptNop<<24|OptNop<<16|OptTimestamps<<8|10)
	be.PutUint32(b[4:], val)
	be.PutUint32(b[8:], ecr)
	return 12
}

// PutSACK writes two NOPs and a SACK option of the blocks, 4+8n bytes.
func PutSACK(b []byte, blocks []SACKBlock) int {
	b[0], b[1], b[2], b[3] = OptNop, OptNop, OptSACK, uint8(2+8*len(blocks))
	n := 4
	for _, s := range blocks {
		be.PutUint32(b[n:], s.Start)
		be.PutUint32(b[n+4:], s.End)
		n += 8
	}
	return n
}

// SYNOptions are the options of a SYN to be written.
type SYNOptions struct {
	MSS           uint16
	WindowScale   int8 // -1: none
	SACKPermitted bool
	HasTS         bool
	TSVal, TSEcr  uint32
	FastOpen      []byte // nil: none
}

// Put writes o in the order in which Linux does, padded to a multiple of 4,
// and returns the length, at most 40.
func (o *SYNOptions) Put(b []byte) int {
	b[0], b[1] = OptMSS, 4
	be.PutUint16(b[2:], o.MSS)
	n := 4
	if o.HasTS {
		if o.SACKPermitted {
			b[n], b[n+1] = OptSACKPermitted, 2
		} else {
			b[n], b[n+1] = OptNop, OptNop
		}
		b[n+2], b[n+3] = OptTimestamps, 10
		be.PutUint32(b[n+4:], o.TSVal)
		be.PutUint32(b[n+8:], o.TSEcr)
		n += 12
	} else if o.SACKPermitted {
		b[n], b[n+1], b[n+2], b[n+3] = OptNop, OptNop, OptSACKPermitted, 2
		n += 4
	}
	if o.WindowScale >= 0 {
		b[n], b[n+1], b[n+2], b[n+3] = OptNop, OptWindowScale, 3, uint8(o.WindowScale)
		n += 4
	}
	if o.FastOpen != nil && n+2+len(o.FastOpen) <= 40 {
		b[n], b[n+1] = OptFastOpen, uint8(2+len(o.FastOpen))
		n += 2 + copy(b[n+2:], o.FastOpen)
		for n%4 != 0 {
			b[n] = OptNop
			n++
		}
	}
	return n
}
