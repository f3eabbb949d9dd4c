package nft

import (
	"slices"

	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// maxExprs is the longest rule (NFT_RULE_MAXEXPRS).
const maxExprs = 128

// chainOf finds the chain that a message about rules names. ENOENT.
func (x *Transaction) chainOf(m *message, t *table) (*chain, error) {
	if m.has(unix.NFTA_RULE_CHAIN) {
		if c, ok := x.chains(t).get(m.string(unix.NFTA_RULE_CHAIN)); ok {
			return c, nil
		}
		return nil, m.at(unix.ENOENT, unix.NFTA_RULE_CHAIN)
	}
	if m.has(attrRuleChainID) {
		if c := x.chainIDs[m.be32(attrRuleChainID)]; c != nil && c.table == t {
			return c, nil
		}
		return nil, unix.ENOENT
	}
	return nil, unix.EINVAL
}

// find is the index of a rule, -1 if it is not in the list.
func find(l []*rule, handle uint64) int {
	return slices.IndexFunc(l, func(u *rule) bool { return u.handle == handle })
}

func (x *Transaction) newRule(m *message) error {
	t, err := x.tableOf(m, unix.NFTA_RULE_TABLE)
	if err != nil {
		return err
	}
	c, err := x.chainOf(m, t)
	if err != nil {
		return err
	}
	l := x.rulesOf(c)
	at, replace := -1, false
	switch {
	case m.has(unix.NFTA_RULE_HANDLE):
		if at = find(l, m.be64(unix.NFTA_RULE_HANDLE)); at < 0 {
			return m.at(unix.ENOENT, unix.NFTA_RULE_HANDLE)
		}
		if m.flags&unix.NLM_F_EXCL != 0 {
			return unix.EEXIST
		}
		if replace = m.flags&unix.NLM_F_REPLACE != 0; !replace {
			return unix.EOPNOTSUPP
		}
	case m.flags&unix.NLM_F_CREATE == 0 || m.flags&unix.NLM_F_REPLACE != 0:
		return unix.EINVAL
	case m.has(unix.NFTA_RULE_POSITION):
		if at = find(l, m.be64(unix.NFTA_RULE_POSITION)); at < 0 {
			return m.at(unix.ENOENT, unix.NFTA_RULE_POSITION)
		}
	case m.has(attrRulePosID):
		if u := x.ruleIDs[m.be32(attrRulePosID)]; u != nil {
			at = slices.Index(l, u)
		}
		if at < 0 {
			return unix.ENOENT
		}
	}
	u, err := x.parseRule(m, c)
	if err != nil {
		return err
	}
	u.handle = t.nextHandle()
	switch {
	case replace:
		x.event(unix.NFT_MSG_DELRULE, t.family, func(d *dumper) { d.rule(c, l[at], nil) })
		x.addRule(c, at+1, u)
		x.removeRule(c, at)
	case m.flags&unix.NLM_F_APPEND != 0 && at < 0:
		x.addRule(c, len(l), u)
	case m.flags&unix.NLM_F_APPEND != 0:
		x.addRule(c, at+1, u)
	default:
		x.addRule(c, max(at, 0), u)
	}
	if m.has(unix.NFTA_RULE_ID) {
		x.ruleIDs[m.be32(unix.NFTA_RULE_ID)] = u
	}
	x.event(unix.NFT_MSG_NEWRULE, t.family, func(d *dumper) { d.rule(c, u, nil) })
	return nil
}

// parseRule reads what a rule consists of.
func (x *Transaction) parseRule(m *message, c *chain) (*rule, error) {
	list, err := nlmsg.List(m.attrs[unix.NFTA_RULE_EXPRESSIONS])
	if err != nil {
		return nil, err
	}
	if len(list) > maxExprs {
		return nil, unix.EINVAL
	}
	u := &rule{userdata: m.copied(unix.NFTA_RULE_USERDATA)}
	p := parser{tx: x, table: c.table, chain: c}
	if b, ok := m.attrs[unix.NFTA_RULE_COMPAT]; ok {
		a, err := nlmsg.Attributes(b)
		if err != nil {
			return nil, err
		}
		proto, err := nlmsg.BE32(a[unix.NFTA_RULE_COMPAT_PROTO])
		if err != nil {
			return nil, err
		}
		flags, err := nlmsg.BE32(a[unix.NFTA_RULE_COMPAT_FLAGS])
		if err != nil {
			return nil, err
		}
		p.proto, p.inverse = uint16(proto), flags&unix.NFT_RULE_COMPAT_F_INV != 0
	}
	for _, a := range list {
		e, err := p.expression(a.Data)
		if err != nil {
			return nil, nlmsg.At(err, a.Data)
		}
		u.exprs = append(u.exprs, e)
	}
	return u, nil
}

// deleteRules removes a rule, all of a chain, or all of a table.
func (x *Transaction) deleteRules(m *message) error {
	t, err := x.tableOf(m, unix.NFTA_RULE_TABLE)
	if err != nil {
		return err
	}
	chains := x.chains(t).list
	if m.has(unix.NFTA_RULE_CHAIN) || m.has(attrRuleChainID) {
		c, err := x.chainOf(m, t)
		if err != nil {
			return err
		}
		chains = []*chain{c}
		at := -1
		switch {
		case m.has(unix.NFTA_RULE_HANDLE):
			at = find(x.rulesOf(c), m.be64(unix.NFTA_RULE_HANDLE))
		case m.has(unix.NFTA_RULE_ID):
			if u := x.ruleIDs[m.be32(unix.NFTA_RULE_ID)]; u != nil {
				at = slices.Index(x.rulesOf(c), u)
			}
		default:
			at = -2
		}
		if at == -1 {
			return m.at(unix.ENOENT, unix.NFTA_RULE_HANDLE)
		}
		if at >= 0 {
			x.deleteRule(c, at)
			return nil
		}
	}
	for _, c := range slices.Clone(chains) {
		for len(x.rulesOf(c)) > 0 {
			x.deleteRule(c, len(x.rulesOf(c))-1)
		}
	}
	return nil
}

func (x *Transaction) deleteRule(c *chain, at int) {
	u := x.rulesOf(c)[at]
	x.event(unix.NFT_MSG_DELRULE, c.table.family, func(d *dumper) { d.rule(c, u, nil) })
	x.removeRule(c, at)
}
