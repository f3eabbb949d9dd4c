package wire

import "net/netip"

// IGMP is an IGMP message (RFC 2236, RFC 3376): type, maximum response code, checksum,
// group, and more in version 3.
type IGMP []byte

// IGMPLen is the length of a message of version 1 or 2 in bytes; a query of version 3 has
// IGMPv3QueryLen at least.
const (
	IGMPLen        = 8
	IGMPv3QueryLen = 12
)

// IGMP types.
const (
	IGMPQuery    = 0x11
	IGMPv1Report = 0x12
	IGMPv2Report = 0x16
	IGMPv2Leave  = 0x17
	IGMPv3Report = 0x22
)

// Types of a group record (RFC 3376 section 4.2.12, RFC 3810 section 5.2.12).
const (
	ModeIsExclude   = 2
	ChangeToInclude = 3
	ChangeToExclude = 4
)

// Type is the message type.
func (h IGMP) Type() uint8 { return h[0] }

// MaxResp is the maximum response code.
func (h IGMP) MaxResp() uint8 { return h[1] }

// Group is the group address.
func (h IGMP) Group() netip.Addr { return netip.AddrFrom4([4]byte(h[4:8])) }

// Put writes a message of version 2 with its checksum.
func (h IGMP) Put(typ uint8, group netip.Addr) {
	g := group.As4()
	h[0], h[1], h[2], h[3] = typ, 0, 0, 0
	copy(h[4:8], g[:])
	be.PutUint16(h[2:], ^Sum(h[:IGMPLen], 0))
}

// GroupRecord is a record of a report of IGMPv3 or MLDv2, without sources.
type GroupRecord struct {
	Type  uint8
	Group netip.Addr
}

// PutRecords writes the number of records and the records, as IGMPv3 and MLDv2 reports
// have them from offset 6 on, and returns the length of the report.
func PutRecords(report []byte, records []GroupRecord) int {
	be.PutUint16(report[6:], uint16(len(records)))
	n := 8
	for _, r := range records {
		report[n], report[n+1], report[n+2], report[n+3] = r.Type, 0, 0, 0
		n += 4 + copy(report[n+4:], r.Group.AsSlice())
	}
	return n
}

// RecordLen is the length of a record of a group in bytes.
func RecordLen(group netip.Addr) int { return 4 + group.BitLen()/8 }

// FloatCode is the value of an 8 bit code of IGMPv3 queries: from 128 on a mantissa of 4
// and an exponent of 3 bits (RFC 3376 section 4.1.1).
func FloatCode(c uint8) int {
	if c < 128 {
		return int(c)
	}
	return int(c&0xf|0x10) << (c>>4&7 + 3)
}

// FloatCode16 is the value of a 16 bit code of MLDv2 queries (RFC 3810 section 5.1.3).
func FloatCode16(c uint16) int {
	if c < 1<<15 {
		return int(c)
	}
	return int(c&0xfff|0x1000) << (c>>12&7 + 3)
}
