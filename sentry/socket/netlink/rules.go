package netlink

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
)

// Layout and attributes of rules that x/sys does not name.
const (
	ruleHeaderLen     = 12 // sizeof(struct fib_rule_hdr)
	fraDst            = 1  // FRA_DST
	fraSrc            = 2
	fraIIFName        = 3
	fraPriority       = 6
	fraFwMark         = 10
	fraSuppressPrefix = 14
	fraTable          = 15
	fraFwMask         = 16
	fraOIFName        = 17
	fraProtocol       = 21
	ruleInvert        = 2 // FIB_RULE_INVERT
)

// ruleHeader is the struct fib_rule_hdr of a rule.
func ruleHeader(r *ip.Rule) []byte {
	family, flags, table := uint8(unix.AF_INET), uint32(0), uint8(0)
	if r.V6 {
		family = unix.AF_INET6
	}
	if r.Invert {
		flags = ruleInvert
	}
	if r.Action == unix.FR_ACT_TO_TBL {
		if table = unix.RT_TABLE_COMPAT; r.Table < 256 {
			table = uint8(r.Table)
		}
	}
	bits := func(p netip.Prefix) uint8 { return uint8(max(p.Bits(), 0)) }
	return ne.AppendUint32([]byte{family, bits(r.Dst), bits(r.Src), r.TOS, table, 0, 0, r.Action}, flags)
}

// putRule appends the attributes of a rule.
func putRule(m *nlmsg.Builder, r *ip.Rule) {
	table := r.Table
	if r.Action != unix.FR_ACT_TO_TBL {
		table = 0
	}
	m.Attr32(fraTable, table)
	m.Attr32(fraSuppressPrefix, uint32(r.SuppressPrefix-1))
	m.Attr8(fraProtocol, r.Protocol)
	if r.Priority != 0 {
		m.Attr32(fraPriority, r.Priority)
	}
	if r.IIF != "" {
		m.AttrString(fraIIFName, r.IIF)
	}
	if r.OIF != "" {
		m.AttrString(fraOIFName, r.OIF)
	}
	if r.Mark != 0 {
		m.Attr32(fraFwMark, r.Mark)
	}
	if r.Mark != 0 || r.MarkMask != 0 {
		m.Attr32(fraFwMask, r.MarkMask)
	}
	for attr, p := range map[uint16]netip.Prefix{fraDst: r.Dst, fraSrc: r.Src} {
		if p.IsValid() && p.Bits() > 0 {
			m.AttrAddr(attr, p.Addr())
		}
	}
}

func (s *Socket) dumpRules(d *dumper) error {
	for _, r := range s.ports.stack.Rules() {
		if f := d.r.Body[0]; f != unix.AF_UNSPEC && (f == unix.AF_INET6) != r.V6 {
			continue
		}
		d.next(unix.RTM_NEWRULE, ruleHeader(&r)...)
		putRule(&d.Builder, &r)
		d.End()
	}
	return nil
}

// A ruleRequest is a rule as a program describes it; has says which attributes it gives.
type ruleRequest struct {
	ip.Rule
	has map[uint16][]byte
}

// parseRule reads a struct fib_rule_hdr with its attributes. EINVAL, EAFNOSUPPORT; EOPNOTSUPP
// for conditions that rules do not have.
func parseRule(r *nlmsg.Request) (q ruleRequest, err error) {
	if len(r.Body) < ruleHeaderLen {
		return q, unix.EINVAL
	}
	h := r.Body
	family := h[0]
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return q, unix.EAFNOSUPPORT
	}
	q.Rule = ip.Rule{V6: family == unix.AF_INET6, TOS: h[3], Table: uint32(h[4]), Action: h[7], Invert: ne.Uint32(h[8:])&ruleInvert != 0}
	if q.has, err = nlmsg.Attributes(h[ruleHeaderLen:]); err != nil {
		return q, err
	}
	for attr, p := range q.has {
		switch attr {
		case fraDst, fraSrc:
			a, err := nlmsg.Addr(family, p)
			if err != nil {
				return q, err
			}
			bits, to := int(h[1]), &q.Dst
			if attr == fraSrc {
				bits, to = int(h[2]), &q.Src
			}
			if bits > a.BitLen() {
				return q, unix.EINVAL
			}
			*to = netip.PrefixFrom(a, bits)
		case fraIIFName:
			q.IIF = nlmsg.String(p)
		case fraOIFName:
			q.OIF = nlmsg.String(p)
		case fraProtocol:
			if len(p) > 0 {
				q.Protocol = p[0]
			}
		case fraPriority, fraFwMark, fraFwMask, fraTable, fraSuppressPrefix:
			v, err := nlmsg.Uint32(p)
			if err != nil {
				return q, err
			}
			switch attr {
			case fraPriority:
				q.Priority = v
			case fraFwMark:
				q.Mark = v
			case fraFwMask:
				q.MarkMask = v
			case fraTable:
				q.Table = v
			default:
				q.SuppressPrefix = int(int32(v)) + 1
			}
		default:
			return q, nlmsg.At(unix.EOPNOTSUPP, p)
		}
	}
	if _, ok := q.has[fraFwMask]; !ok && q.Mark != 0 {
		q.MarkMask = ^uint32(0)
	}
	return q, nil
}

// changeRule adds or removes a rule.
func (s *Socket) changeRule(r *nlmsg.Request) error {
	q, err := parseRule(r)
	if err != nil {
		return err
	}
	stack := s.ports.stack
	if r.Type == unix.RTM_NEWRULE {
		_, given := q.has[fraPriority]
		err = stack.AddRule(q.Rule, !given)
		if err == unix.EEXIST && r.Flags&unix.NLM_F_EXCL == 0 {
			err = nil
		}
	} else {
		err = stack.RemoveRule(q.V6, q.like)
	}
	return err
}

// like reports whether a rule is what a request to remove one describes: it has all that the
// request gives.
func (q *ruleRequest) like(o *ip.Rule) bool {
	given := func(attr uint16) bool { _, ok := q.has[attr]; return ok }
	return (q.Action == 0 || q.Action == o.Action) && (q.Table == 0 || q.Table == o.Table) && q.TOS == o.TOS && (!given(fraPriority) || q.Priority == o.Priority) &&
		q.Src == o.Src && q.Dst == o.Dst && (!given(fraIIFName) || q.IIF == o.IIF) && (!given(fraOIFName) || q.OIF == o.OIF) &&
		(!given(fraFwMark) || q.Mark == o.Mark) && (!given(fraFwMask) || q.MarkMask == o.MarkMask) && (!given(fraProtocol) || q.Protocol == unix.RTPROT_UNSPEC || q.Protocol == o.Protocol)
}
