package nft

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// A getter collects the answers to a question.
type getter struct {
	x     *Transaction
	flags uint16
	seq   uint32
	port  uint32
	out   [][]byte
}

func (g *getter) add(typ uint16, family uint8, fill func(d *dumper)) {
	var d dumper
	d.begin(typ, g.flags, g.seq, g.port, family, g.x.r.mu.gen)
	fill(&d)
	d.End()
	g.out = append(g.out, d.B)
}

// Get answers a question: with one message, or if it asks for all (NLM_F_DUMP) with
// several. ENOENT, EOPNOTSUPP, EINVAL.
func (r *Ruleset) Get(q *nlmsg.Request, port uint32) ([][]byte, error) {
	m, err := parse(q)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	g := &getter{x: r.view(), seq: m.seq, port: port}
	all := m.flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP
	if all {
		g.flags = unix.NLM_F_MULTI
	}
	switch m.typ {
	case unix.NFT_MSG_GETTABLE:
		err = g.tables(&m, all)
	case unix.NFT_MSG_GETCHAIN:
		err = g.chains(&m, all)
	case unix.NFT_MSG_GETRULE, unix.NFT_MSG_GETRULE_RESET:
		err = g.rules(&m, all)
	case unix.NFT_MSG_GETSET:
		err = g.sets(&m, all)
	case unix.NFT_MSG_GETSETELEM:
		err = g.elements(&m, all)
	case unix.NFT_MSG_GETOBJ, unix.NFT_MSG_GETOBJ_RESET:
		err = g.objects(&m, all)
	case unix.NFT_MSG_GETFLOWTABLE:
		if !all {
			err = unix.ENOENT
		} // there are none
	default:
		err = unix.EOPNOTSUPP
	}
	return g.out, err
}

// each calls f for the tables that a question for all is about.
func (g *getter) each(m *message, tableAttr uint16, f func(t *table)) {
	name := m.string(tableAttr)
	for _, t := range g.x.tables {
		if (m.family == unix.AF_UNSPEC || m.family == t.family) && (name == "" || name == t.name) {
			f(t)
		}
	}
}

func (g *getter) tables(m *message, all bool) error {
	put := func(t *table) {
		g.add(unix.NFT_MSG_NEWTABLE, t.family, func(d *dumper) { d.table(g.x, t) })
	}
	if all {
		g.each(m, 0, put)
		return nil
	}
	t, err := g.x.tableOf(m, unix.NFTA_TABLE_NAME)
	if err == nil {
		put(t)
	}
	return err
}

func (g *getter) chains(m *message, all bool) error {
	put := func(c *chain) {
		g.add(unix.NFT_MSG_NEWCHAIN, c.table.family, func(d *dumper) { d.chain(g.x, c) })
	}
	if all {
		g.each(m, unix.NFTA_CHAIN_TABLE, func(t *table) {
			for _, c := range t.chains.list {
				put(c)
			}
		})
		return nil
	}
	t, err := g.x.tableOf(m, unix.NFTA_CHAIN_TABLE)
	if err != nil {
		return err
	}
	c, ok := t.chains.get(m.string(unix.NFTA_CHAIN_NAME))
	if !ok {
		return m.at(unix.ENOENT, unix.NFTA_CHAIN_NAME)
	}
	put(c)
	return nil
}

func (g *getter) rules(m *message, all bool) error {
	reset := m.typ == unix.NFT_MSG_GETRULE_RESET
	put := func(c *chain, u, before *rule) {
		g.add(unix.NFT_MSG_NEWRULE, c.table.family, func(d *dumper) { d.rule(c, u, before) })
		if reset {
			for i := range u.exprs {
				if e, ok := u.exprs[i].expr.(interface{ reset() }); ok {
					e.reset()
				}
			}
		}
	}
	if all {
		name := m.string(unix.NFTA_RULE_CHAIN)
		g.each(m, unix.NFTA_RULE_TABLE, func(t *table) {
			for _, c := range t.chains.list {
				if name != "" && name != c.name {
					continue
				}
				var before *rule
				for _, u := range c.current() {
					put(c, u, before)
					before = u
				}
			}
		})
		return nil
	}
	t, err := g.x.tableOf(m, unix.NFTA_RULE_TABLE)
	if err != nil {
		return err
	}
	c, err := g.x.chainOf(m, t)
	if err != nil {
		return err
	}
	i := find(c.current(), m.be64(unix.NFTA_RULE_HANDLE))
	if i < 0 {
		return m.at(unix.ENOENT, unix.NFTA_RULE_HANDLE)
	}
	put(c, c.current()[i], nil)
	return nil
}

func (g *getter) sets(m *message, all bool) error {
	put := func(t *table, s *set) {
		g.add(unix.NFT_MSG_NEWSET, t.family, func(d *dumper) { d.set(t, s) })
	}
	if all {
		g.each(m, unix.NFTA_SET_TABLE, func(t *table) {
			for _, s := range t.sets.list {
				put(t, s)
			}
		})
		return nil
	}
	t, err := g.x.tableOf(m, unix.NFTA_SET_TABLE)
	if err != nil {
		return err
	}
	s, err := g.x.setOf(t, m.string(unix.NFTA_SET_NAME), nil)
	if err == nil {
		put(t, s)
	}
	return m.at(err, unix.NFTA_SET_NAME)
}

// elements answers with all elements of a set, or with those that a message names.
func (g *getter) elements(m *message, all bool) error {
	t, s, err := g.x.setOfElements(m)
	if err != nil {
		return err
	}
	l := s.elements.Load().list()
	if !all {
		var found []*element
		list, err := nlmsg.List(m.attrs[unix.NFTA_SET_ELEM_LIST_ELEMENTS])
		if err != nil {
			return err
		}
		for _, a := range list {
			attrs, err := nlmsg.Attributes(a.Data)
			if err != nil {
				return err
			}
			key, err := g.x.keyOf(t, s, attrs[unix.NFTA_SET_ELEM_KEY])
			if err != nil {
				return err
			}
			e := s.lookup(key, g.x.r.filter.Stack.Wheel.Now())
			if e == nil {
				return nlmsg.At(unix.ENOENT, a.Data)
			}
			found = append(found, e)
		}
		l = found
	}
	for part := range slices.Chunk(l, perMessage) {
		g.add(unix.NFT_MSG_NEWSETELEM, t.family, func(d *dumper) { d.elements(g.x, t, s, part) })
	}
	return nil
}

func (g *getter) objects(m *message, all bool) error {
	reset := m.typ == unix.NFT_MSG_GETOBJ_RESET
	typ := m.be32(unix.NFTA_OBJ_TYPE)
	found := false
	put := func(t *table) {
		var l []*object
		for key, o := range t.objects {
			if (typ == unix.NFT_OBJECT_UNSPEC || typ == key.typ) && (all || key.name == m.string(unix.NFTA_OBJ_NAME)) {
				l = append(l, o)
			}
		}
		slices.SortFunc(l, func(a, b *object) int { return cmp.Compare(a.handle, b.handle) })
		for _, o := range l {
			found = true
			g.add(unix.NFT_MSG_NEWOBJ, t.family, func(d *dumper) { d.object(g.x, t, o) })
			if e, ok := o.expr.(interface{ reset() }); reset && ok {
				e.reset()
			}
		}
	}
	if all {
		g.each(m, unix.NFTA_OBJ_TABLE, put)
		return nil
	}
	t, err := g.x.tableOf(m, unix.NFTA_OBJ_TABLE)
	if err != nil {
		return err
	}
	if put(t); !found {
		return unix.ENOENT
	}
	return nil
}
