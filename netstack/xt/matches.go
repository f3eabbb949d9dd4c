package xt

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/conntrack"
	"casemate/netstack/filter"
	"casemate/netstack/ip"
	"casemate/netstack/wire"
)

var matches []definition

func init() {
	const (
		any = unix.NFPROTO_UNSPEC
		v4  = unix.NFPROTO_IPV4
		v6  = unix.NFPROTO_IPV6
	)
	matches = []definition{
		{name: "tcp", family: any, size: 12, match: parseTCP},
		{name: "udp", family: any, size: 10, match: parseUDP},
		{name: "icmp", family: v4, size: 4, match: parseICMP},
		{name: "icmp6", family: v6, size: 4, match: parseICMP6},
		{name: "comment", family: any, size: 256, match: parseComment},
		{name: "state", family: any, size: 4, match: parseState},
		{name: "conntrack", family: any, revision: 2, size: 156, match: parseConntrack2},
		{name: "conntrack", family: any, revision: 3, size: 164, match: parseConntrack3},
		{name: "multiport", family: any, revision: 1, size: 48, match: parseMultiport},
		{name: "owner", family: any, revision: 1, size: 20, match: parseOwner},
		{name: "addrtype", family: v4, revision: 0, size: 12, match: parseAddrtype0},
		{name: "addrtype", family: any, revision: 1, size: 8, match: parseAddrtype1},
		{name: "mark", family: any, revision: 1, size: 12, match: parseMark},
		{name: "connmark", family: any, revision: 1, size: 12, match: parseConnmark},
		{name: "limit", family: any, size: 40, match: parseLimit},
		{name: "statistic", family: any, size: 24, match: parseStatistic},
		{name: "iprange", family: any, revision: 1, size: 68, match: parseIPRange},
		{name: "length", family: any, size: 6, match: parseLength},
		{name: "pkttype", family: any, size: 8, match: parsePkttype},
		{name: "ttl", family: v4, size: 2, match: parseTTL},
		{name: "hl", family: v6, size: 2, match: parseTTL},
		{name: "dscp", family: any, size: 3, match: parseDSCP},
		{name: "tcpmss", family: any, size: 6, match: parseTCPMSS},
	}
}

// tcp is struct xt_tcp.
type tcp struct {
	src, dst                      [2]uint16
	option, mask, cmp             uint8
	invSrc, invDst, invOpt, invFl bool
}

func parseTCP(_ Use, b []byte) (Match, error) {
	inv := b[11]
	if inv&^0xf != 0 {
		return nil, unix.EINVAL
	}
	return &tcp{src: [2]uint16{ne.Uint16(b), ne.Uint16(b[2:])}, dst: [2]uint16{ne.Uint16(b[4:]), ne.Uint16(b[6:])}, option: b[8], mask: b[9], cmp: b[10],
		invSrc: inv&1 != 0, invDst: inv&2 != 0, invFl: inv&4 != 0, invOpt: inv&8 != 0}, nil
}

func (m *tcp) Matches(c *filter.Context) bool {
	h := wire.TCP(c.TransportHeader(unix.IPPROTO_TCP, wire.TCPMinLen))
	if h == nil || !inRange(h.SrcPort(), m.src[0], m.src[1], m.invSrc) || !inRange(h.DstPort(), m.dst[0], m.dst[1], m.invDst) ||
		(h.Flags()&m.mask == m.cmp) == m.invFl {
		return false
	}
	if m.option == 0 {
		return true
	}
	_, _, ok := c.TCPOption(m.option)
	return ok != m.invOpt
}

// udp is struct xt_udp.
type udp struct {
	src, dst       [2]uint16
	invSrc, invDst bool
}

func parseUDP(_ Use, b []byte) (Match, error) {
	return &udp{src: [2]uint16{ne.Uint16(b), ne.Uint16(b[2:])}, dst: [2]uint16{ne.Uint16(b[4:]), ne.Uint16(b[6:])}, invSrc: b[8]&1 != 0, invDst: b[8]&2 != 0}, nil
}

func (m *udp) Matches(c *filter.Context) bool {
	h := wire.UDP(c.TransportHeader(unix.IPPROTO_UDP, wire.UDPLen))
	return h != nil && inRange(h.SrcPort(), m.src[0], m.src[1], m.invSrc) && inRange(h.DstPort(), m.dst[0], m.dst[1], m.invDst)
}

// icmp is struct ipt_icmp or ip6t_icmp; type 255 of IPv4 is any.
type icmp struct {
	proto, typ uint8
	code       [2]uint8
	inv        bool
}

func parseICMP(_ Use, b []byte) (Match, error) {
	return &icmp{unix.IPPROTO_ICMP, b[0], [2]uint8{b[1], b[2]}, b[3]&1 != 0}, nil
}

func parseICMP6(_ Use, b []byte) (Match, error) {
	return &icmp{unix.IPPROTO_ICMPV6, b[0], [2]uint8{b[1], b[2]}, b[3]&1 != 0}, nil
}

func (m *icmp) Matches(c *filter.Context) bool {
	h := wire.ICMP(c.TransportHeader(m.proto, wire.ICMPLen))
	if h == nil {
		return false
	}
	if m.proto == unix.IPPROTO_ICMP && m.typ == 255 {
		return !m.inv
	}
	return (h.Type() == m.typ && h.Code() >= m.code[0] && h.Code() <= m.code[1]) != m.inv
}

// always is a comment.
type always struct{}

func parseComment(Use, []byte) (Match, error) { return always{}, nil }

func (always) Matches(*filter.Context) bool { return true }

// Bits of struct xt_conntrack_mtinfo3.state_mask: those of conntrack.Info.State but that
// there is one more for each of SNAT and DNAT, and others for some.
const (
	stateInvalid   = 1 << 0
	stateSNAT      = 1 << 6
	stateDNAT      = 1 << 7
	stateUntracked = 1 << 8
)

// stateBits are the bits of a packet in XT_CONNTRACK_STATE_*, without those of NAT.
func stateBits(i conntrack.Info) uint16 {
	if i == conntrack.Untracked {
		return stateUntracked
	}
	return uint16(i.State())
}

// state is struct xt_state_info.
type state struct{ mask uint16 }

func parseState(_ Use, b []byte) (Match, error) {
	// Its bit for untracked packets is the one of conntrack's for SNAT.
	v := ne.Uint32(b)
	m := uint16(v & (stateSNAT - 1))
	if v&(1<<6) != 0 {
		m |= stateUntracked
	}
	return &state{m}, nil
}

func (m *state) Matches(c *filter.Context) bool { return stateBits(c.Info())&m.mask != 0 }

// Bits of struct xt_conntrack_mtinfo3.match_flags.
const (
	ctState = 1 << iota
	ctProto
	ctOrigSrc
	ctOrigDst
	ctReplSrc
	ctReplDst
	ctStatus
	ctExpires
	ctOrigSrcPort
	ctOrigDstPort
	ctReplSrcPort
	ctReplDstPort
	ctDirection
)

// connection is struct xt_conntrack_mtinfo2 or 3.
type connection struct {
	addrs          [8][]byte // four addresses with their masks
	expires        [2]uint32
	proto          uint16
	ports          [4][2]uint16
	flags, inverse uint16
	states, status uint16
}

func parseConntrack2(_ Use, b []byte) (Match, error) { return parseConnection(b, false) }

func parseConntrack3(_ Use, b []byte) (Match, error) { return parseConnection(b, true) }

func parseConnection(b []byte, ranges bool) (Match, error) {
	b = bytes.Clone(b)
	m := &connection{}
	for i := range m.addrs {
		m.addrs[i] = b[16*i : 16*i+16]
	}
	m.expires = [2]uint32{ne.Uint32(b[128:]), ne.Uint32(b[132:])}
	m.proto = ne.Uint16(b[136:])
	for i := range m.ports {
		v := ne.Uint16(b[138+2*i:])
		if !ranges {
			v = be.Uint16(b[138+2*i:])
		}
		m.ports[i] = [2]uint16{v, v}
		if ranges {
			m.ports[i][1] = ne.Uint16(b[154+2*i:])
		}
	}
	m.flags, m.inverse, m.states, m.status = ne.Uint16(b[146:]), ne.Uint16(b[148:]), ne.Uint16(b[150:]), ne.Uint16(b[152:])
	return m, nil
}

func (m *connection) Matches(c *filter.Context) bool {
	inv := func(bit uint16) bool { return m.inverse&bit != 0 }
	conn := c.Conn()
	if m.flags&ctState != 0 {
		bits := stateBits(c.Info())
		if conn != nil {
			if conn.Status()&conntrack.SNAT != 0 {
				bits |= stateSNAT
			}
			if conn.Status()&conntrack.DNAT != 0 {
				bits |= stateDNAT
			}
		}
		if (bits&m.states != 0) == inv(ctState) {
			return false
		}
	}
	if conn == nil {
		return m.flags&^ctState == 0
	}
	if m.flags&ctDirection != 0 && c.Info().Reply() == !inv(ctDirection) {
		return false
	}
	for i, x := range [...]struct {
		bit  uint16
		addr netip.Addr
	}{{ctOrigSrc, conn.Orig.Src}, {ctOrigDst, conn.Orig.Dst}, {ctReplSrc, conn.Reply.Src}, {ctReplDst, conn.Reply.Dst}} {
		if m.flags&x.bit != 0 && masked(x.addr, m.addrs[2*i], m.addrs[2*i+1]) == inv(x.bit) {
			return false
		}
	}
	if m.flags&ctProto != 0 && (uint16(conn.Orig.Proto) == m.proto) == inv(ctProto) {
		return false
	}
	for i, x := range [...]struct {
		bit  uint16
		port uint16
	}{{ctOrigSrcPort, conn.Orig.SPort}, {ctOrigDstPort, conn.Orig.DPort}, {ctReplSrcPort, conn.Reply.SPort}, {ctReplDstPort, conn.Reply.DPort}} {
		if m.flags&x.bit != 0 && !inRange(x.port, m.ports[i][0], m.ports[i][1], inv(x.bit)) {
			return false
		}
	}
	if m.flags&ctStatus != 0 && (uint32(m.status)&conn.Status() != 0 || m.status == 0 && conn.Status()&0x3f == 0) == inv(ctStatus) {
		return false
	}
	if m.flags&ctExpires != 0 {
		left := uint32(c.Filter.Conns.Remaining(conn) / time.Second)
		if !inRange(left, m.expires[0], m.expires[1], inv(ctExpires)) {
			return false
		}
	}
	return true
}

// multiport is struct xt_multiport_v1.
type multiport struct {
	which  uint8 // 0 source, 1 destination, 2 either
	ranges [][2]uint16
	inv    bool
}

func parseMultiport(_ Use, b []byte) (Match, error) {
	m := &multiport{which: b[0], inv: b[47] != 0}
	n := int(b[1])
	if m.which > 2 || n > 15 {
		return nil, unix.EINVAL
	}
	for i := 0; i < n; i++ {
		p := ne.Uint16(b[2+2*i:])
		r := [2]uint16{p, p}
		if b[32+i] != 0 && i+1 < n { // the first of a range
			i++
			r[1] = ne.Uint16(b[2+2*i:])
		}
		m.ranges = append(m.ranges, r)
	}
	return m, nil
}

func (m *multiport) Matches(c *filter.Context) bool {
	src, dst, ok := c.Ports()
	if !ok {
		return false
	}
	for _, r := range m.ranges {
		if m.which != 1 && src >= r[0] && src <= r[1] || m.which != 0 && dst >= r[0] && dst <= r[1] {
			return !m.inv
		}
	}
	return m.inv
}

// Bits of struct xt_owner_match_info.
const (
	ownerUID    = 1
	ownerGID    = 2
	ownerSocket = 4
)

// owner is struct xt_owner_match_info.
type owner struct {
	uid, gid       [2]uint32
	match, inverse uint8
}

func parseOwner(_ Use, b []byte) (Match, error) {
	m := &owner{uid: [2]uint32{ne.Uint32(b), ne.Uint32(b[4:])}, gid: [2]uint32{ne.Uint32(b[8:]), ne.Uint32(b[12:])}, match: b[16], inverse: b[17]}
	if m.match&^(ownerUID|ownerGID|ownerSocket) != 0 {
		return nil, unix.EINVAL
	}
	return m, nil
}

func (m *owner) Matches(c *filter.Context) bool {
	p := c.Packet
	has := p.Owned && c.In == nil
	if !has {
		return m.match&^m.inverse == 0
	}
	return !(m.match&m.inverse&ownerSocket != 0 ||
		m.match&ownerUID != 0 && !inRange(p.UID, m.uid[0], m.uid[1], m.inverse&ownerUID != 0) ||
		m.match&ownerGID != 0 && !inRange(p.GID, m.gid[0], m.gid[1], m.inverse&ownerGID != 0))
}

// Bits of struct xt_addrtype_info_v1.flags.
const (
	addrtypeInvSrc   = 1
	addrtypeInvDst   = 2
	addrtypeLimitIn  = 4
	addrtypeLimitOut = 8
)

// addrtype is struct xt_addrtype_info_v1.
type addrtype struct {
	src, dst uint16
	flags    uint32
}

func parseAddrtype0(_ Use, b []byte) (Match, error) {
	m := &addrtype{src: ne.Uint16(b), dst: ne.Uint16(b[2:])}
	if ne.Uint32(b[4:]) != 0 {
		m.flags |= addrtypeInvSrc
	}
	if ne.Uint32(b[8:]) != 0 {
		m.flags |= addrtypeInvDst
	}
	return m, nil
}

func parseAddrtype1(_ Use, b []byte) (Match, error) {
	m := &addrtype{src: ne.Uint16(b), dst: ne.Uint16(b[2:]), flags: ne.Uint32(b[4:])}
	if m.flags&(addrtypeLimitIn|addrtypeLimitOut) == addrtypeLimitIn|addrtypeLimitOut {
		return nil, unix.EINVAL
	}
	return m, nil
}

func (m *addrtype) Matches(c *filter.Context) bool {
	var dev *ip.Interface
	switch {
	case m.flags&addrtypeLimitIn != 0:
		dev = c.In
	case m.flags&addrtypeLimitOut != 0:
		dev = c.Out
	}
	is := func(a netip.Addr, types uint16) bool {
		if a.IsUnspecified() {
			return types&(1<<unix.RTN_UNSPEC) != 0
		}
		return types&(1<<c.Filter.Stack.AddrType(a, dev)) != 0
	}
	return (m.src == 0 || is(c.Packet.Src, m.src) != (m.flags&addrtypeInvSrc != 0)) && (m.dst == 0 || is(c.Packet.Dst, m.dst) != (m.flags&addrtypeInvDst != 0))
}

// mark is struct xt_mark_mtinfo1, of packets or of connections.
type mark struct {
	mark, mask uint32
	inv        bool
}

func parseMark(_ Use, b []byte) (Match, error) {
	return &mark{ne.Uint32(b), ne.Uint32(b[4:]), b[8] != 0}, nil
}

func (m *mark) Matches(c *filter.Context) bool { return (c.Packet.Mark&m.mask == m.mark) != m.inv }

type connmark struct{ mark }

func parseConnmark(_ Use, b []byte) (Match, error) {
	return &connmark{mark{ne.Uint32(b), ne.Uint32(b[4:]), b[8] != 0}}, nil
}

func (m *connmark) Matches(c *filter.Context) bool {
	conn := c.Conn()
	return conn != nil && (conn.Mark.Load()&m.mask == m.mark.mark) != m.inv
}

// limit is struct xt_rateinfo: avg is the time for a packet, in 1/10000 s.
type limit struct{ rate *filter.Rate }

func parseLimit(_ Use, b []byte) (Match, error) {
	avg, burst := ne.Uint32(b), ne.Uint32(b[4:])
	if burst == 0 || uint64(avg)*uint64(burst) > 1<<32-1 {
		return nil, unix.ERANGE
	}
	return &limit{filter.NewRate(1, time.Duration(avg)*(time.Second/10000), uint64(burst))}, nil
}

func (m *limit) Matches(c *filter.Context) bool { return m.rate.Take(c, 1) }

// statistic is struct xt_statistic_info.
type statistic struct {
	nth, inv           bool
	probability, every uint32
	next               atomic.Uint32
}

func parseStatistic(_ Use, b []byte) (Match, error) {
	m := &statistic{nth: ne.Uint16(b) == 1, inv: ne.Uint16(b[2:])&1 != 0}
	if ne.Uint16(b) > 1 || ne.Uint16(b[2:])&^1 != 0 {
		return nil, unix.EINVAL
	}
	if m.nth {
		m.every = ne.Uint32(b[4:]) // one less than n
		m.next.Store(ne.Uint32(b[8:]))
	} else {
		m.probability = ne.Uint32(b[4:])
	}
	return m, nil
}

func (m *statistic) Matches(c *filter.Context) bool {
	if !m.nth {
		return (rand.Uint32()&0x7fffffff < m.probability) != m.inv
	}
	for {
		n := m.next.Load()
		next := n + 1
		if n >= m.every {
			next = 0
		}
		if m.next.CompareAndSwap(n, next) {
			return (next == 0) != m.inv
		}
	}
}

// ipRange is struct xt_iprange_mtinfo.
type ipRange struct {
	addrs [4][]byte // source from, to; destination from, to
	flags uint8
}

func parseIPRange(_ Use, b []byte) (Match, error) {
	b = bytes.Clone(b)
	m := &ipRange{flags: b[64]}
	for i := range m.addrs {
		m.addrs[i] = b[16*i : 16*i+16]
	}
	return m, nil
}

func (m *ipRange) Matches(c *filter.Context) bool {
	in := func(a netip.Addr, low, high []byte) bool {
		return a.Compare(addr(low, c.Family)) >= 0 && a.Compare(addr(high, c.Family)) <= 0
	}
	const src, dst, invSrc, invDst = 1, 2, 16, 32
	return (m.flags&src == 0 || in(c.Packet.Src, m.addrs[0], m.addrs[1]) != (m.flags&invSrc != 0)) &&
		(m.flags&dst == 0 || in(c.Packet.Dst, m.addrs[2], m.addrs[3]) != (m.flags&invDst != 0))
}

// length is struct xt_length_info: of the packet, of IPv6 without its header.
type length struct {
	low, high uint16
	inv       bool
}

func parseLength(_ Use, b []byte) (Match, error) {
	return &length{ne.Uint16(b), ne.Uint16(b[2:]), b[4] != 0}, nil
}

func (m *length) Matches(c *filter.Context) bool {
	n := c.Packet.Len()
	if c.Family == unix.AF_INET6 {
		n -= wire.IPv6Len
	}
	return inRange(uint32(n), uint32(m.low), uint32(m.high), m.inv)
}

// pkttype is struct xt_pkttype_info.
type pkttype struct {
	typ uint32
	inv bool
}

func parsePkttype(_ Use, b []byte) (Match, error) {
	return &pkttype{ne.Uint32(b), ne.Uint32(b[4:]) != 0}, nil
}

func (m *pkttype) Matches(c *filter.Context) bool {
	return (uint32(c.Packet.Type) == m.typ) != m.inv
}

// ttl is struct ipt_ttl_info and ip6t_hl_info: 0 equal, 1 not equal, 2 less, 3 greater.
type ttl struct{ mode, ttl uint8 }

func parseTTL(_ Use, b []byte) (Match, error) {
	if b[0] > 3 {
		return nil, unix.EINVAL
	}
	return &ttl{b[0], b[1]}, nil
}

func (m *ttl) Matches(c *filter.Context) bool {
	switch v := c.Packet.TTL; m.mode {
	case 0:
		return v == m.ttl
	case 1:
		return v != m.ttl
	case 2:
		return v < m.ttl
	default:
		return v > m.ttl
	}
}

// dscp is struct xt_dscp_info.
type dscp struct {
	value uint8
	inv   bool
}

func parseDSCP(_ Use, b []byte) (Match, error) {
	if b[0] > 63 {
		return nil, unix.ERANGE
	}
	return &dscp{b[0], b[1] != 0}, nil
}

func (m *dscp) Matches(c *filter.Context) bool { return (c.Packet.TOS>>2 == m.value) != m.inv }

// tcpMSS is struct xt_tcpmss_match_info.
type tcpMSS struct {
	low, high uint16
	inv       bool
}

func parseTCPMSS(_ Use, b []byte) (Match, error) {
	return &tcpMSS{ne.Uint16(b), ne.Uint16(b[2:]), b[4] != 0}, nil
}

func (m *tcpMSS) Matches(c *filter.Context) bool {
	at, n, ok := c.TCPOption(wire.OptMSS)
	if !ok || n != 4 {
		return m.inv
	}
	return inRange(be.Uint16(c.Packet.Header()[at+2:]), m.low, m.high, m.inv)
}
