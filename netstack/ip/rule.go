package ip

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Rule is a line of the routing policy database (ip-rule(8), rtnetlink(7)).
type Rule struct {
	V6       bool
	Priority uint32
	Src, Dst netip.Prefix // invalid: any
	IIF, OIF string       // names of interfaces; "": any. What this host sends comes in by lo.
	Mark     uint32       // of packets, under MarkMask
	MarkMask uint32       // 0: any mark
	TOS      uint8        // 0: any; nothing is routed by a type of service, so others match nothing
	Invert   bool         // FIB_RULE_INVERT: the rule is for what does not match
	Action   uint8        // FR_ACT_TO_TBL, FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE, FR_ACT_PROHIBIT, FR_ACT_NOP
	Table    uint32       // of FR_ACT_TO_TBL
	// SuppressPrefix has routes ignored whose prefix is shorter than it, so that 1 ignores
	// default routes: FRA_SUPPRESS_PREFIXLEN and one. 0: none.
	SuppressPrefix int
	Protocol       uint8 // RTPROT_*: who has added it
}

// defaultRules are those of a new network namespace.
func defaultRules(v6 bool) []Rule {
	rule := func(priority, table uint32) Rule {
		return Rule{V6: v6, Priority: priority, Action: unix.FR_ACT_TO_TBL, Table: table, Protocol: unix.RTPROT_KERNEL}
	}
	l := []Rule{rule(0, unix.RT_TABLE_LOCAL), rule(32766, unix.RT_TABLE_MAIN)}
	if !v6 {
		l = append(l, rule(32767, unix.RT_TABLE_DEFAULT))
	}
	return l
}

// flow is what a packet is routed by.
type flow struct {
	src, dst netip.Addr // src may be invalid
	iif      string
	oif      int32
	mark     uint32
}

// matches reports whether the rule is for f.
func (r *Rule) matches(c *config, f *flow) bool {
	return r.selects(c, f) != r.Invert
}

func (r *Rule) selects(c *config, f *flow) bool {
	switch {
	case r.IIF != "" && r.IIF != f.iif,
		r.MarkMask != 0 && (r.Mark^f.mark)&r.MarkMask != 0,
		r.TOS != 0,
		r.Dst.IsValid() && !r.Dst.Contains(f.dst),
		r.Src.IsValid() && r.Src.Bits() != 0 && !(f.src.IsValid() && r.Src.Contains(f.src)):
		return false
	case r.OIF != "":
		i := c.byIndex[f.oif]
		return i != nil && i.Name() == r.OIF
	}
	return true
}

// route finds the entry by which f goes, nil if none; an entry of the local table is not
// looked for but told by local. A rule that forbids gives its errno.
func (c *config) route(f *flow) (e *RouteEntry, local bool, err error) {
	k := 0
	if f.dst.Is6() {
		k = 1
	}
	if c.plain[k] {
		if i, _ := c.localIface(f.dst); i != nil {
			return nil, true, nil
		}
		if e = c.main.find(f); e == nil && k == 0 {
			e = c.def.find(f)
		}
		return e, false, nil
	}
	for n := range c.rules[k] {
		r := &c.rules[k][n]
		if !r.matches(c, f) {
			continue
		}
		switch r.Action {
		case unix.FR_ACT_TO_TBL:
		case unix.FR_ACT_BLACKHOLE:
			return nil, false, unix.EINVAL
		case unix.FR_ACT_UNREACHABLE:
			return nil, false, unix.ENETUNREACH
		case unix.FR_ACT_PROHIBIT:
			return nil, false, unix.EACCES
		default:
			continue
		}
		if r.Table == unix.RT_TABLE_LOCAL {
			if i, _ := c.localIface(f.dst); i != nil {
				return nil, true, nil
			}
		}
		t := c.tables[r.Table]
		if t == nil {
			continue
		}
		if e := t.find(f); e != nil && e.Type != unix.RTN_THROW && e.Dst.Bits() >= r.SuppressPrefix {
			return e, e.Type == unix.RTN_LOCAL, nil
		}
	}
	return nil, false, nil
}

// gateway is the entry by which r's gateway is reached: by r's own table, or else by the
// rules.
func (c *config) gateway(r *RouteEntry) *RouteEntry {
	f := &flow{dst: r.Gateway, iif: "lo", oif: r.OIF}
	if t := c.tables[r.Table]; t != nil {
		if e := t.find(f); e != nil {
			return e
		}
	}
	e, _, _ := c.route(f)
	return e
}

// Rules are the rules of IPv4, then those of IPv6, by priority.
func (s *Stack) Rules() []Rule {
	c := s.conf.Load()
	return slices.Concat(c.rules[0], c.rules[1])
}

// AddRule adds a rule behind those of its priority; priority 0 without an interface, an
// address or a mark stands for the next one before the first that is not the local
// table's, as in Linux. EEXIST if there is one like it, EINVAL, EOPNOTSUPP for an action
// that is not known.
func (s *Stack) AddRule(r Rule, automatic bool) error {
	k := 0
	if r.V6 {
		k = 1
	}
	for _, p := range []netip.Prefix{r.Src, r.Dst} {
		if p.IsValid() && p.Addr().Is6() != r.V6 {
			return unix.EINVAL
		}
	}
	switch r.Action {
	case unix.FR_ACT_TO_TBL:
		if r.Table == 0 {
			return unix.EINVAL
		}
	case unix.FR_ACT_BLACKHOLE, unix.FR_ACT_UNREACHABLE, unix.FR_ACT_PROHIBIT, unix.FR_ACT_NOP:
	default:
		return unix.EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.mu.rules[k]
	if automatic {
		if r.Priority = 0; len(l) > 1 && l[1].Priority > 0 {
			r.Priority = l[1].Priority - 1
		}
	}
	if slices.ContainsFunc(l, func(o Rule) bool { o.Protocol = r.Protocol; return o == r }) {
		return unix.EEXIST
	}
	at := slices.IndexFunc(l, func(o Rule) bool { return o.Priority > r.Priority })
	if at < 0 {
		at = len(l)
	}
	s.mu.rules[k] = slices.Insert(slices.Clone(l), at, r)
	s.rebuild()
	s.tell(Event{Rule: &r})
	return nil
}

// RemoveRule removes the first rule that match accepts: ENOENT if there is none.
func (s *Stack) RemoveRule(v6 bool, match func(*Rule) bool) error {
	k := 0
	if v6 {
		k = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := slices.Clone(s.mu.rules[k])
	at := slices.IndexFunc(l, func(r Rule) bool { return match(&r) })
	if at < 0 {
		return unix.ENOENT
	}
	old := l[at]
	s.mu.rules[k] = slices.Delete(l, at, at+1)
	s.rebuild()
	s.tell(Event{Rule: &old, Removed: true})
	return nil
}

// PlainRules reports whether the rules of a family are those of a new namespace.
func (s *Stack) PlainRules(v6 bool) bool {
	if v6 {
		return s.conf.Load().plain[1]
	}
	return s.conf.Load().plain[0]
}
