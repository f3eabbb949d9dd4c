package netlink

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/conntrack"
	"casemate/netstack/nlmsg"
)

// Attributes of connections (CTA_*).
const (
	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaStatus     = 3
	ctaProtoInfo  = 4
	ctaTimeout    = 7
	ctaMark       = 8
	ctaUse        = 11
	ctaID         = 12
	ctaMarkMask   = 21

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaIPv4Src = 1
	ctaIPv4Dst = 2
	ctaIPv6Src = 3
	ctaIPv6Dst = 4

	ctaProtoNum      = 1
	ctaProtoSrcPort  = 2
	ctaProtoDstPort  = 3
	ctaProtoICMPID   = 4
	ctaProtoICMPType = 5
	ctaProtoICMPCode = 6
	ctaProtoICMP6    = 3 // how far those of ICMPv6 are behind those of ICMP

	ctaProtoInfoTCP      = 1
	ctaProtoInfoTCPState = 1
)

// conntrack serves requests about connections: all, one, or those to be forgotten.
// EOPNOTSUPP for what makes or changes one, ENOENT, EINVAL.
func (s *Socket) conntrack(r *nlmsg.Request) (answered bool, err error) {
	attrs, err := nlmsg.Attributes(r.Body[nfgenmsgLen:])
	if err != nil {
		return false, err
	}
	family := r.Body[0]
	conns := s.ports.stack.Filter.Conns
	typ := r.Type & msgMask
	if typ == ctGet && r.Flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP {
		match := filterOf(family, attrs)
		return true, s.dumpWith(r, func(d *dumper) error {
			for _, c := range conns.All() {
				if match(c) {
					d.next(unix.NFNL_SUBSYS_CTNETLINK<<subsysShift|ctNew, familyOfConn(c), unix.NFNETLINK_V0, 0, 0)
					putConn(&d.Builder, conns, c)
					d.End()
				}
			}
			return nil
		})
	}
	if typ != ctGet && typ != ctDelete {
		return false, unix.EOPNOTSUPP
	}
	tuple, ok := attrs[ctaTupleOrig]
	if !ok {
		tuple, ok = attrs[ctaTupleReply]
	}
	if !ok {
		if typ == ctGet {
			return false, unix.EINVAL
		}
		conns.Remove(filterOf(family, attrs))
		return false, nil
	}
	k, err := parseTuple(tuple)
	if err != nil {
		return false, err
	}
	c := conns.Find(k)
	if c == nil {
		return false, unix.ENOENT
	}
	if typ == ctDelete {
		conns.Remove(func(o *conntrack.Conn) bool { return o == c })
		return false, nil
	}
	var m nlmsg.Builder
	m.Begin(unix.NFNL_SUBSYS_CTNETLINK<<subsysShift|ctNew, 0, r.Seq, s.localPort(), familyOfConn(c), unix.NFNETLINK_V0, 0, 0)
	putConn(&m, conns, c)
	m.End()
	s.deliver(datagram{data: m.B})
	return false, nil
}

func familyOfConn(c *conntrack.Conn) uint8 { return nlmsg.Family(c.Orig.Src) }

// filterOf is the condition of a request for several: family and mark.
func filterOf(family uint8, attrs map[uint16][]byte) func(*conntrack.Conn) bool {
	mark, err := nlmsg.BE32(attrs[ctaMark])
	mask, err2 := nlmsg.BE32(attrs[ctaMarkMask])
	if err2 != nil {
		mask = ^uint32(0)
	}
	return func(c *conntrack.Conn) bool {
		return (family == unix.AF_UNSPEC || family == familyOfConn(c)) && (err != nil || c.Mark.Load()&mask == mark)
	}
}

// putConn appends the attributes of a connection.
func putConn(m *nlmsg.Builder, t *conntrack.Table, c *conntrack.Conn) {
	putTuple(m, ctaTupleOrig, &c.Orig)
	putTuple(m, ctaTupleReply, &c.Reply)
	m.AttrBE32(ctaStatus, c.Status())
	m.AttrBE32(ctaTimeout, uint32(t.Remaining(c)/time.Second))
	if c.Orig.Proto == unix.IPPROTO_TCP {
		m.Nest(ctaProtoInfo, func() {
			m.Nest(ctaProtoInfoTCP, func() { m.Attr8(ctaProtoInfoTCPState, uint8(c.TCP())) })
		})
	}
	m.AttrBE32(ctaMark, c.Mark.Load())
	m.AttrBE32(ctaID, c.ID)
	m.AttrBE32(ctaUse, 1)
}

func putTuple(m *nlmsg.Builder, attr uint16, k *conntrack.Tuple) {
	m.Nest(attr, func() {
		m.Nest(ctaTupleIP, func() {
			src, dst := uint16(ctaIPv4Src), uint16(ctaIPv4Dst)
			if k.Src.Is6() {
				src, dst = ctaIPv6Src, ctaIPv6Dst
			}
			m.AttrAddr(src, k.Src)
			m.AttrAddr(dst, k.Dst)
		})
		m.Nest(ctaTupleProto, func() {
			m.Attr8(ctaProtoNum, k.Proto)
			switch off := uint16(0); k.Proto {
			case unix.IPPROTO_ICMPV6:
				off = ctaProtoICMP6
				fallthrough
			case unix.IPPROTO_ICMP:
				m.AttrBE16(ctaProtoICMPID+off, k.SPort)
				m.Attr8(ctaProtoICMPType+off, uint8(k.DPort>>8))
				m.Attr8(ctaProtoICMPCode+off, uint8(k.DPort))
			default:
				m.AttrBE16(ctaProtoSrcPort, k.SPort)
				m.AttrBE16(ctaProtoDstPort, k.DPort)
			}
		})
	})
}

// parseTuple reads a tuple. EINVAL.
func parseTuple(b []byte) (k conntrack.Tuple, err error) {
	a, err := nlmsg.Attributes(b)
	if err != nil {
		return k, err
	}
	ip, err := nlmsg.Attributes(a[ctaTupleIP])
	if err != nil {
		return k, err
	}
	for attr, to := range map[uint16]*netip.Addr{ctaIPv4Src: &k.Src, ctaIPv4Dst: &k.Dst, ctaIPv6Src: &k.Src, ctaIPv6Dst: &k.Dst} {
		if v, ok := ip[attr]; ok {
			if *to, ok = netip.AddrFromSlice(v); !ok {
				return k, unix.EINVAL
			}
		}
	}
	p, err := nlmsg.Attributes(a[ctaTupleProto])
	if err != nil {
		return k, err
	}
	if len(p[ctaProtoNum]) < 1 || !k.Src.IsValid() || !k.Dst.IsValid() {
		return k, unix.EINVAL
	}
	k.Proto = p[ctaProtoNum][0]
	short := func(attr uint16) uint16 {
		if v := p[attr]; len(v) >= 2 {
			return uint16(v[0])<<8 | uint16(v[1])
		}
		return 0
	}
	byteOf := func(attr uint16) uint16 {
		if v := p[attr]; len(v) >= 1 {
			return uint16(v[0])
		}
		return 0
	}
	switch off := uint16(0); k.Proto {
	case unix.IPPROTO_ICMPV6:
		off = ctaProtoICMP6
		fallthrough
	case unix.IPPROTO_ICMP:
		k.SPort, k.DPort = short(ctaProtoICMPID+off), byteOf(ctaProtoICMPType+off)<<8|byteOf(ctaProtoICMPCode+off)
	default:
		k.SPort, k.DPort = short(ctaProtoSrcPort), short(ctaProtoDstPort)
	}
	return k, nil
}
