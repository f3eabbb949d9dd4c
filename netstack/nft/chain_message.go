package nft

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
	"casemate/netstack/nlmsg"
)

// chainBinding is NFT_CHAIN_BINDING: the chain belongs to the rule that jumps to it.
const chainBinding = 1 << 2

// chainBase is NFT_CHAIN_BASE, which says nothing that the hook does not.
const chainBase = 1 << 0

// chainHooks are the hooks of each type of chain.
var chainHooks = map[string]uint{
	"filter": 1<<unix.NF_INET_NUMHOOKS - 1,
	"nat":    1<<unix.NF_INET_PRE_ROUTING | 1<<unix.NF_INET_LOCAL_IN | 1<<unix.NF_INET_LOCAL_OUT | 1<<unix.NF_INET_POST_ROUTING,
	"route":  1 << unix.NF_INET_LOCAL_OUT,
}

// parseBase reads NFTA_CHAIN_HOOK and what goes with it. EINVAL, ENOENT, EOPNOTSUPP.
func (m *message) parseBase() (*base, error) {
	a, err := nlmsg.Attributes(m.attrs[unix.NFTA_CHAIN_HOOK])
	if err != nil {
		return nil, err
	}
	hook, err := nlmsg.BE32(a[unix.NFTA_HOOK_HOOKNUM])
	if err != nil {
		return nil, err
	}
	priority, err := nlmsg.BE32(a[unix.NFTA_HOOK_PRIORITY])
	if err != nil {
		return nil, err
	}
	b := &base{hook: int(hook), priority: int32(priority), typ: "filter"}
	if m.has(unix.NFTA_CHAIN_TYPE) {
		b.typ = m.string(unix.NFTA_CHAIN_TYPE)
	}
	hooks, ok := chainHooks[b.typ]
	if !ok {
		return nil, unix.ENOENT
	}
	if hook >= unix.NF_INET_NUMHOOKS || hooks&(1<<hook) == 0 || b.typ == "nat" && b.priority <= filter.PriTrack {
		return nil, unix.EOPNOTSUPP
	}
	b.policy.Store(acceptVerdict)
	if m.has(unix.NFTA_CHAIN_COUNTERS) {
		b.counter = &filter.Counter{}
	}
	return b, nil
}

// parsePolicy reads NFTA_CHAIN_POLICY, for c. EINVAL, EOPNOTSUPP if c is no base chain.
func (m *message) parsePolicy(c *chain) (int32, error) {
	if c.base == nil {
		return 0, unix.EOPNOTSUPP
	}
	p := int32(m.be32(unix.NFTA_CHAIN_POLICY))
	if p != dropVerdict && p != acceptVerdict {
		return 0, unix.EINVAL
	}
	return p, nil
}

func (x *Transaction) newChain(m *message) error {
	t, err := x.tableOf(m, unix.NFTA_CHAIN_TABLE)
	if err != nil {
		return err
	}
	flags := m.be32(attrChainFlags) &^ chainBase
	if flags&^chainBinding != 0 {
		return unix.EOPNOTSUPP // hardware offload
	}
	var name string
	switch {
	case m.has(unix.NFTA_CHAIN_NAME):
		if name, err = m.name(unix.NFTA_CHAIN_NAME); err != nil {
			return err
		}
	case m.has(unix.NFTA_CHAIN_HANDLE):
	case flags&chainBinding != 0:
		name = fmt.Sprintf("__chain%d", t.last+1)
	default:
		return unix.EINVAL
	}
	c, ok := x.chains(t).get(name)
	if m.has(unix.NFTA_CHAIN_HANDLE) {
		if c = x.chainByHandle(t, m.be64(unix.NFTA_CHAIN_HANDLE)); c == nil {
			return m.at(unix.ENOENT, unix.NFTA_CHAIN_HANDLE)
		}
		ok = true
		if name != "" && name != x.nameOf(c) {
			return x.renameChain(c, name)
		}
	}
	if ok {
		if m.flags&unix.NLM_F_EXCL != 0 {
			return m.at(unix.EEXIST, unix.NFTA_CHAIN_NAME)
		}
		return x.updateChain(m, c)
	}
	c = &chain{table: t, name: name, flags: flags, userdata: m.copied(attrChainUserdata)}
	if m.has(unix.NFTA_CHAIN_HOOK) {
		if c.base, err = m.parseBase(); err != nil {
			return err
		}
	}
	if m.has(unix.NFTA_CHAIN_POLICY) {
		p, err := m.parsePolicy(c)
		if err != nil {
			return err
		}
		c.base.policy.Store(p)
	}
	c.handle = t.nextHandle()
	if m.has(attrChainID) {
		x.chainIDs[m.be32(attrChainID)] = c
	}
	x.changeChains(t).add(c)
	x.event(unix.NFT_MSG_NEWCHAIN, t.family, func(d *dumper) { d.chain(x, c) })
	return nil
}

func (x *Transaction) chainByHandle(t *table, handle uint64) *chain {
	for _, c := range x.chains(t).list {
		if c.handle == handle {
			return c
		}
	}
	return nil
}

// renameChain gives a chain another name. EEXIST.
func (x *Transaction) renameChain(c *chain, name string) error {
	n := x.changeChains(c.table)
	if _, taken := n.get(name); taken {
		return unix.EEXIST
	}
	delete(n.byName, x.nameOf(c))
	n.byName[name] = c
	x.names[c] = name
	x.event(unix.NFT_MSG_NEWCHAIN, c.table.family, func(d *dumper) { d.chain(x, c) })
	return nil
}

// updateChain changes the policy of a chain. EEXIST, EBUSY for what cannot be changed.
func (x *Transaction) updateChain(m *message, c *chain) error {
	if m.has(unix.NFTA_CHAIN_HOOK) {
		b, err := m.parseBase()
		if err != nil {
			return err
		}
		if c.base == nil || b.hook != c.base.hook || b.priority != c.base.priority || b.typ != c.base.typ {
			return unix.EEXIST
		}
	}
	if m.has(unix.NFTA_CHAIN_POLICY) {
		p, err := m.parsePolicy(c)
		if err != nil {
			return err
		}
		x.policies[c] = p
	}
	x.event(unix.NFT_MSG_NEWCHAIN, c.table.family, func(d *dumper) { d.chain(x, c) })
	return nil
}

// deleteChain removes a chain with its rules, or all chains of a table that nothing jumps to.
func (x *Transaction) deleteChain(m *message) error {
	t, err := x.tableOf(m, unix.NFTA_CHAIN_TABLE)
	if err != nil {
		return err
	}
	var c *chain
	attr := uint16(unix.NFTA_CHAIN_NAME)
	switch {
	case m.has(unix.NFTA_CHAIN_HANDLE):
		attr = unix.NFTA_CHAIN_HANDLE
		c = x.chainByHandle(t, m.be64(attr))
	case m.has(unix.NFTA_CHAIN_NAME):
		c, _ = x.chains(t).get(m.string(unix.NFTA_CHAIN_NAME))
	default:
		for _, c := range slices.Clone(x.chains(t).list) {
			if x.references(c) == 0 {
				if err := x.dropChain(m, c); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if c == nil {
		return m.at(unix.ENOENT, attr)
	}
	return x.dropChain(m, c)
}

func (x *Transaction) dropChain(m *message, c *chain) error {
	if m.flags&unix.NLM_F_NONREC != 0 && len(x.rulesOf(c)) > 0 || x.references(c) > 0 {
		return m.at(unix.EBUSY, unix.NFTA_CHAIN_NAME)
	}
	x.event(unix.NFT_MSG_DELCHAIN, c.table.family, func(d *dumper) { d.chain(x, c) })
	x.removeChain(c)
	return nil
}
