package wire

// ICMP is an ICMP (RFC 792) or ICMPv6 (RFC 4443) message: type, code,
// checksum, four bytes that depend on the type, and data.
type ICMP []byte

// ICMPLen is the length of the fixed part in bytes.
const ICMPLen = 8

// ICMPChecksumOffset is where the checksum stands in the header.
const ICMPChecksumOffset = 2

// Type is the message type.
func (h ICMP) Type() uint8 { return h[0] }

// Code is the message code.
func (h ICMP) Code() uint8 { return h[1] }

// Rest is the four bytes that depend on the type: identifier and sequence of
// an echo, MTU, pointer.
func (h ICMP) Rest() uint32 { return be.Uint32(h[4:]) }

// Ident is the identifier of an echo message.
func (h ICMP) Ident() uint16 { return be.Uint16(h[4:]) }

// Put writes a header with a zero checksum.
func (h ICMP) Put(typ, code uint8, rest uint32) {
	h[0], h[1], h[2], h[3] = typ, code, 0, 0
	be.PutUint32(h[4:], rest)
}

// SetChecksum sets the checksum field.
func (h ICMP) SetChecksum(c uint16) { be.PutUint16(h[2:], c) }

// ICMP types and codes (IANA, ICMP parameters).
const (
	ICMPEchoReply    = 0
	ICMPUnreachable  = 3
	ICMPSourceQuench = 4
	ICMPRedirect     = 5
	ICMPEcho         = 8
	ICMPTimeExceeded = 11
	ICMPParamProblem = 12
	ICMPTimestamp    = 13

	ICMPNetUnreachable   = 0
	ICMPHostUnreachable  = 1
	ICMPProtoUnreachable = 2
	ICMPPortUnreachable  = 3
	ICMPFragNeeded       = 4
	ICMPAdminProhibited  = 13

	ICMPTTLExceeded        = 0
	ICMPReassemblyExceeded = 1
)

// ICMPv6 types and codes (IANA, ICMPv6 parameters).
const (
	ICMPv6Unreachable        = 1
	ICMPv6PacketTooBig       = 2
	ICMPv6TimeExceeded       = 3
	ICMPv6ParamProblem       = 4
	ICMPv6Echo               = 128
	ICMPv6EchoReply          = 129
	ICMPv6MLDQuery           = 130
	ICMPv6MLDReport          = 131
	ICMPv6MLDDone            = 132
	ICMPv6RouterSolicit      = 133
	ICMPv6RouterAdvert       = 134
	ICMPv6NeighborSolicit    = 135
	ICMPv6NeighborAdvert     = 136
	ICMPv6Redirect           = 137
	ICMPv6MLDv2Report        = 143
	ICMPv6NoRoute            = 0
	ICMPv6AdminProhibited    = 1
	ICMPv6AddrUnreachable    = 3
	ICMPv6PortUnreachable    = 4
	ICMPv6BadHeader          = 0
	ICMPv6UnknownNextHeader  = 1
	ICMPv6UnknownOption      = 2
	ICMPv6HopLimitExceeded   = 0
	ICMPv6ReassemblyExceeded = 1
)
