package xt

import (
	"bytes"
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/conntrack"
	"casemate/netstack/filter"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

var targets []definition

func init() {
	const (
		any = unix.NFPROTO_UNSPEC
		v4  = unix.NFPROTO_IPV4
		v6  = unix.NFPROTO_IPV6
	)
	targets = []definition{
		{name: "REJECT", family: any, size: 4, target: parseReject},
		{name: "DNAT", family: v4, size: 20, target: natTarget4(conntrack.Destination)},
		{name: "DNAT", family: v6, revision: 1, size: 40, target: natTarget6(conntrack.Destination)},
		{name: "DNAT", family: any, revision: 2, size: 44, target: natTarget6(conntrack.Destination)},
		{name: "SNAT", family: v4, size: 20, target: natTarget4(conntrack.Source)},
		{name: "SNAT", family: v6, revision: 1, size: 40, target: natTarget6(conntrack.Source)},
		{name: "MASQUERADE", family: v4, size: 20, target: localTarget(parseRange4, (*filter.Context).Masquerade)},
		{name: "MASQUERADE", family: v6, size: 40, target: localTarget(parseRange6, (*filter.Context).Masquerade)},
		{name: "REDIRECT", family: v4, size: 20, target: localTarget(parseRange4, (*filter.Context).Redirect)},
		{name: "REDIRECT", family: v6, size: 40, target: localTarget(parseRange6, (*filter.Context).Redirect)},
		{name: "MARK", family: any, revision: 2, size: 8, target: parseMarkTarget},
		{name: "CONNMARK", family: any, revision: 1, size: 16, target: parseConnmarkTarget},
		{name: "LOG", family: any, size: 32, target: parseLog},
		{name: "TCPMSS", family: any, size: 2, target: parseTCPMSSTarget},
		{name: "NOTRACK", family: any, size: 0, target: parseNotrack},
		{name: "CT", family: any, size: 40, target: parseCT},
		{name: "CT", family: any, revision: 1, size: 72, target: parseCT},
		{name: "CT", family: any, revision: 2, size: 72, target: parseCT},
	}
}

// reject is struct ipt_reject_info or ip6t_reject_info.
type reject struct {
	reset bool
	code  [2]uint8 // of IPv4, of IPv6
}

// Codes of REJECT for each family, by enum ipt_reject_with and ip6t_reject_with.
var (
	rejectCodes4 = map[uint32]uint8{0: wire.ICMPNetUnreachable, 1: wire.ICMPHostUnreachable, 2: wire.ICMPProtoUnreachable, 3: wire.ICMPPortUnreachable, 5: 9, 6: 10, 8: wire.ICMPAdminProhibited}
	rejectCodes6 = map[uint32]uint8{0: wire.ICMPv6NoRoute, 1: wire.ICMPv6AdminProhibited, 2: 2, 3: wire.ICMPv6AddrUnreachable, 4: wire.ICMPv6PortUnreachable, 7: 5, 8: 6}
)

func parseReject(u Use, b []byte) (Target, error) {
	with := ne.Uint32(b)
	t := &reject{}
	var ok bool
	if u.Family == unix.NFPROTO_IPV6 {
		t.reset = with == 6
		t.code[1], ok = rejectCodes6[with]
	} else {
		t.reset = with == 7
		t.code[0], ok = rejectCodes4[with]
	}
	if !ok && !t.reset {
		return nil, unix.EINVAL
	}
	return t, nil
}

func (t *reject) Apply(c *filter.Context) Verdict {
	switch {
	case t.reset:
		c.RejectReset()
	case c.Family == unix.AF_INET:
		c.RejectUnreachable(t.code[0])
	default:
		c.RejectUnreachable(t.code[1])
	}
	return Drop
}

// parseRange4 reads a struct nf_nat_ipv4_multi_range_compat, which has one range. Ports are in
// network byte order.
func parseRange4(b []byte) (r conntrack.Range, err error) {
	if ne.Uint32(b) != 1 {
		return r, unix.EINVAL
	}
	r.Flags = ne.Uint32(b[4:])
	r.MinAddr, r.MaxAddr = netip.AddrFrom4([4]byte(b[8:])), netip.AddrFrom4([4]byte(b[12:]))
	r.MinPort, r.MaxPort = be.Uint16(b[16:]), be.Uint16(b[18:])
	return checked(r)
}

// parseRange6 reads a struct nf_nat_range or nf_nat_range2.
func parseRange6(b []byte) (r conntrack.Range, err error) {
	r.Flags = ne.Uint32(b)
	r.MinAddr, r.MaxAddr = netip.AddrFrom16([16]byte(b[4:])), netip.AddrFrom16([16]byte(b[20:]))
	r.MinPort, r.MaxPort = be.Uint16(b[36:]), be.Uint16(b[38:])
	if len(b) >= 44 {
		r.BasePort = be.Uint16(b[40:])
	}
	return checked(r)
}

func checked(r conntrack.Range) (conntrack.Range, error) {
	if r.Flags&^uint32(unix.NF_NAT_RANGE_MASK) != 0 {
		return r, unix.EINVAL
	}
	return r, nil
}

// nat is DNAT or SNAT.
type nat struct {
	manip conntrack.Manip
	r     conntrack.Range
}

func natTarget4(m conntrack.Manip) func(Use, []byte) (Target, error) {
	return func(_ Use, b []byte) (Target, error) {
		r, err := parseRange4(b)
		return &nat{m, r}, err
	}
}

func natTarget6(m conntrack.Manip) func(Use, []byte) (Target, error) {
	return func(u Use, b []byte) (Target, error) {
		r, err := parseRange6(b)
		if u.Family == unix.NFPROTO_IPV4 { // the union's address of IPv4 is its beginning
			r.MinAddr, r.MaxAddr = netip.AddrFrom4([4]byte(b[4:])), netip.AddrFrom4([4]byte(b[20:]))
		}
		return &nat{m, r}, err
	}
}

func (t *nat) Apply(c *filter.Context) Verdict { return Verdict(c.Replace(t.manip, &t.r)) }

// local is MASQUERADE or REDIRECT.
type local struct {
	r  conntrack.Range
	do func(*filter.Context, conntrack.Range) filter.Verdict
}

func localTarget(parse func([]byte) (conntrack.Range, error), do func(*filter.Context, conntrack.Range) filter.Verdict) func(Use, []byte) (Target, error) {
	return func(_ Use, b []byte) (Target, error) {
		r, err := parse(b)
		return &local{r, do}, err
	}
}

func (t *local) Apply(c *filter.Context) Verdict { return Verdict(t.do(c, t.r)) }

// markTarget is struct xt_mark_tginfo2.
type markTarget struct{ mark, mask uint32 }

func parseMarkTarget(_ Use, b []byte) (Target, error) {
	return &markTarget{ne.Uint32(b), ne.Uint32(b[4:])}, nil
}

func (t *markTarget) Apply(c *filter.Context) Verdict {
	c.Packet.Mark = c.Packet.Mark&^t.mask ^ t.mark
	return Continue
}

// connmarkTarget is struct xt_connmark_tginfo1.
type connmarkTarget struct {
	ctmark, ctmask, nfmask uint32
	mode                   uint8 // 0 set, 1 save, 2 restore
}

func parseConnmarkTarget(_ Use, b []byte) (Target, error) {
	if b[12] > 2 {
		return nil, unix.EINVAL
	}
	return &connmarkTarget{ne.Uint32(b), ne.Uint32(b[4:]), ne.Uint32(b[8:]), b[12]}, nil
}

func (t *connmarkTarget) Apply(c *filter.Context) Verdict {
	conn := c.Conn()
	if conn == nil {
		return Continue
	}
	switch t.mode {
	case 0:
		conn.Mark.Store(conn.Mark.Load()&^t.ctmask ^ t.ctmark)
	case 1:
		conn.Mark.Store(conn.Mark.Load()&^t.ctmask ^ c.Packet.Mark&t.nfmask)
	default:
		c.Packet.Mark = c.Packet.Mark&^t.nfmask ^ conn.Mark.Load()&t.ctmask
	}
	return Continue
}

// log is struct xt_log_info.
type log struct {
	flags  uint8
	prefix string
}

func parseLog(_ Use, b []byte) (Target, error) {
	if b[0] >= 8 || b[31] != 0 {
		return nil, unix.EINVAL
	}
	prefix, _, _ := bytes.Cut(b[2:32], []byte{0})
	return &log{b[1], string(prefix)}, nil
}

func (t *log) Apply(c *filter.Context) Verdict {
	c.LogPacket(t.prefix, t.flags)
	return Continue
}

// clampToPMTU is XT_TCPMSS_CLAMP_PMTU.
const clampToPMTU = 0xffff

// setMSS is struct xt_tcpmss_info.
type setMSS struct{ mss uint16 }

func parseTCPMSSTarget(_ Use, b []byte) (Target, error) { return &setMSS{ne.Uint16(b)}, nil }

func (t *setMSS) Apply(c *filter.Context) Verdict {
	at, n, ok := c.TCPOption(wire.OptMSS)
	if !ok || n != 4 {
		return Continue
	}
	mss := t.mss
	b := c.Packet.Header()[at+2 : at+4]
	if mss == clampToPMTU {
		if c.Out == nil {
			return Continue
		}
		way, err := c.Filter.Stack.Lookup(netip.Addr{}, c.Packet.Dst, c.Out.Index(), 0)
		if err != nil {
			return Continue
		}
		mss = uint16(c.ClampedMSS(min(way.MTU, c.Out.MTU())))
	}
	if be.Uint16(b) <= mss {
		return Continue // it is never raised
	}
	old := bytes.Clone(b)
	be.PutUint16(b, mss)
	if c.Packet.Csum != pkt.CsumPartial {
		tat, _, _ := c.Transport()
		c.Packet.AdjustSum(tat+wire.TCPChecksumOffset, at+2, old, false)
	}
	return Continue
}

// notrack is NOTRACK, or CT with that option.
type notrack struct{}

func parseNotrack(Use, []byte) (Target, error) { return notrack{}, nil }

// parseCT reads a struct xt_ct_target_info, of which only the exemption from tracking is known.
// EOPNOTSUPP for zones, events and helpers.
func parseCT(_ Use, b []byte) (Target, error) {
	const noTrack, alias = 1, 2 // XT_CT_NOTRACK, XT_CT_NOTRACK_ALIAS: it was called NOTRACK
	if ne.Uint16(b)&^alias != noTrack {
		return nil, unix.EOPNOTSUPP
	}
	return notrack{}, nil
}

func (notrack) Apply(c *filter.Context) Verdict {
	if c.Info() == conntrack.None {
		c.Packet.ConnInfo = uint8(conntrack.Untracked)
	}
	return Continue
}
