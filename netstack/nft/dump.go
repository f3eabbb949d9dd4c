package nft

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// A dumper puts a message about something together.
type dumper struct {
	nlmsg.Builder
}

// attrRegister appends a register, if there is one.
func (d *dumper) attrRegister(attr uint16, r register) {
	if r != noRegister {
		d.AttrBE32(attr, r.number())
	}
}

// Attributes that x/sys does not name.
const (
	attrTableHandle   = 4  // NFTA_TABLE_HANDLE
	attrTableUserdata = 6  // NFTA_TABLE_USERDATA
	attrTableOwner    = 7  // NFTA_TABLE_OWNER
	attrChainFlags    = 10 // NFTA_CHAIN_FLAGS
	attrChainID       = 11 // NFTA_CHAIN_ID
	attrChainUserdata = 12 // NFTA_CHAIN_USERDATA
	attrRulePosID     = 10 // NFTA_RULE_POSITION_ID
	attrRuleChainID   = 11 // NFTA_RULE_CHAIN_ID
	attrObjHandle     = 6  // NFTA_OBJ_HANDLE
	attrObjUserdata   = 8  // NFTA_OBJ_USERDATA
)

// begin begins a message of the subsystem.
func (d *dumper) begin(typ uint16, flags uint16, seq, port uint32, family uint8, gen uint32) {
	d.Begin(unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags, seq, port, family, unix.NFNETLINK_V0, byte(gen>>8), byte(gen))
}

func (d *dumper) table(x *Transaction, t *table) {
	d.AttrString(unix.NFTA_TABLE_NAME, t.name)
	d.AttrBE32(unix.NFTA_TABLE_USE, uint32(len(x.chains(t).list)+len(x.sets(t).list)+len(x.objects(t))))
	d.AttrBE64(attrTableHandle, t.handle)
	d.AttrBE32(unix.NFTA_TABLE_FLAGS, x.flagsOf(t))
	if t.userdata != nil {
		d.Attr(attrTableUserdata, t.userdata)
	}
}

func (d *dumper) chain(x *Transaction, c *chain) {
	d.AttrString(unix.NFTA_CHAIN_TABLE, c.table.name)
	d.AttrString(unix.NFTA_CHAIN_NAME, x.nameOf(c))
	d.AttrBE64(unix.NFTA_CHAIN_HANDLE, c.handle)
	if b := c.base; b != nil {
		d.Nest(unix.NFTA_CHAIN_HOOK, func() {
			d.AttrBE32(unix.NFTA_HOOK_HOOKNUM, uint32(b.hook))
			d.AttrBE32(unix.NFTA_HOOK_PRIORITY, uint32(b.priority))
		})
		d.AttrBE32(unix.NFTA_CHAIN_POLICY, uint32(x.policyOf(c)))
		d.AttrString(unix.NFTA_CHAIN_TYPE, b.typ)
		if b.counter != nil {
			d.Nest(unix.NFTA_CHAIN_COUNTERS, func() {
				d.AttrBE64(unix.NFTA_COUNTER_PACKETS, b.counter.Packets.Load())
				d.AttrBE64(unix.NFTA_COUNTER_BYTES, b.counter.Bytes.Load())
			})
		}
	}
	if c.flags != 0 {
		d.AttrBE32(attrChainFlags, c.flags)
	}
	d.AttrBE32(unix.NFTA_CHAIN_USE, uint32(len(x.rulesOf(c))+x.references(c)))
	if c.userdata != nil {
		d.Attr(attrChainUserdata, c.userdata)
	}
}

// rule appends a rule; before is the one in front of it, or nil.
func (d *dumper) rule(c *chain, u, before *rule) {
	d.AttrString(unix.NFTA_RULE_TABLE, c.table.name)
	d.AttrString(unix.NFTA_RULE_CHAIN, c.name)
	d.AttrBE64(unix.NFTA_RULE_HANDLE, u.handle)
	if before != nil {
		d.AttrBE64(unix.NFTA_RULE_POSITION, before.handle)
	}
	d.Nest(unix.NFTA_RULE_EXPRESSIONS, func() {
		for i := range u.exprs {
			d.expression(unix.NFTA_LIST_ELEM, &u.exprs[i])
		}
	})
	if u.userdata != nil {
		d.Attr(unix.NFTA_RULE_USERDATA, u.userdata)
	}
}

func (d *dumper) expression(attr uint16, e *expression) {
	d.Nest(attr, func() {
		d.AttrString(unix.NFTA_EXPR_NAME, e.name)
		d.Nest(unix.NFTA_EXPR_DATA, func() { e.expr.dump(d) })
	})
}
