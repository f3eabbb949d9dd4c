package nft

import (
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
	"casemate/netstack/nlmsg"
)

// lookup looks a register up in a set; of a map it loads the data.
type lookup struct {
	set  *set
	from register
	to   register
	inv  bool
	// load says that the set is a map whose data goes to a register, or becomes the verdict.
	load bool
}

// attrLookupFlags is NFTA_LOOKUP_FLAGS.
const attrLookupFlags = unix.NFTA_LOOKUP_FLAGS

func parseLookup(p *parser) (expr, error) {
	s, err := p.tx.setOf(p.table, nlmsg.String(p.attrs[unix.NFTA_LOOKUP_SET]), p.attrs[unix.NFTA_LOOKUP_SET_ID])
	if err != nil {
		return nil, err
	}
	e := &lookup{set: s, to: noRegister, inv: p.be32(attrLookupFlags, 0)&unix.NFT_LOOKUP_F_INV != 0, load: p.has(unix.NFTA_LOOKUP_DREG)}
	if e.from, err = p.register(unix.NFTA_LOOKUP_SREG, s.keyLen); err != nil {
		return nil, err
	}
	switch {
	case e.load && (s.flags&unix.NFT_SET_MAP == 0 || e.inv):
		return nil, unix.EINVAL
	case !e.load && s.flags&unix.NFT_SET_MAP != 0:
		return nil, unix.EINVAL
	case e.load && s.verdicts():
		if p.be32(unix.NFTA_LOOKUP_DREG, 1) != unix.NFT_REG_VERDICT {
			return nil, unix.EINVAL
		}
	case e.load:
		e.to, err = p.register(unix.NFTA_LOOKUP_DREG, s.dataLen)
	}
	return e, err
}

func (e *lookup) eval(r *registers, c *filter.Context) {
	x := e.set.lookup(r.bytes(e.from, e.set.keyLen), c.Filter.Stack.Wheel.Now())
	if (x != nil) == e.inv {
		r.verdict = breakVerdict
		return
	}
	if x == nil {
		return
	}
	if e.load {
		x.data.set(r, int(e.to))
		if e.to == noRegister && r.verdict != continueVerdict {
			return
		}
	}
	if len(x.exprs) > 0 {
		x.run(r, c)
	}
}

func (e *lookup) dump(d *dumper) {
	d.AttrString(unix.NFTA_LOOKUP_SET, e.set.name)
	d.attrRegister(unix.NFTA_LOOKUP_SREG, e.from)
	if e.load {
		if e.to == noRegister {
			d.AttrBE32(unix.NFTA_LOOKUP_DREG, unix.NFT_REG_VERDICT)
		} else {
			d.attrRegister(unix.NFTA_LOOKUP_DREG, e.to)
		}
	}
	flags := uint32(0)
	if e.inv {
		flags = unix.NFT_LOOKUP_F_INV
	}
	d.AttrBE32(attrLookupFlags, flags)
}

func (e *lookup) references() []any { return []any{e.set} }

// Attributes and operations of dynset that x/sys does not name.
const (
	dynsetDelete    = 2  // NFT_DYNSET_OP_DELETE
	attrDynsetExprs = 10 // NFTA_DYNSET_EXPRESSIONS
	dynsetFlagExpr  = 2  // NFT_DYNSET_F_EXPR
)

// dynset adds an element to a set, updates its time-out, or removes it.
type dynset struct {
	set      *set
	op       uint32
	key, val register
	timeout  time.Duration
	inv      bool
	flags    uint32
	exprs    []expression
	parse    func() ([]expression, error)
}

func parseDynset(p *parser) (expr, error) {
	s, err := p.tx.setOf(p.table, nlmsg.String(p.attrs[unix.NFTA_DYNSET_SET_NAME]), p.attrs[unix.NFTA_DYNSET_SET_ID])
	if err != nil {
		return nil, err
	}
	e := &dynset{set: s, op: p.be32(unix.NFTA_DYNSET_OP, ^uint32(0)), val: noRegister, flags: p.be32(unix.NFTA_DYNSET_FLAGS, 0),
		timeout: time.Duration(p.be64(unix.NFTA_DYNSET_TIMEOUT)) * time.Millisecond}
	e.inv = e.flags&unix.NFT_DYNSET_F_INV != 0
	switch {
	case e.op > dynsetDelete || s.flags&unix.NFT_SET_INTERVAL != 0:
		return nil, unix.EOPNOTSUPP
	case e.op == unix.NFT_DYNSET_OP_UPDATE && s.flags&unix.NFT_SET_TIMEOUT == 0, p.has(unix.NFTA_DYNSET_TIMEOUT) && s.flags&unix.NFT_SET_TIMEOUT == 0:
		return nil, unix.EOPNOTSUPP
	case s.flags&unix.NFT_SET_CONSTANT != 0:
		return nil, unix.EBUSY
	}
	if e.key, err = p.register(unix.NFTA_DYNSET_SREG_KEY, s.keyLen); err != nil {
		return nil, err
	}
	if p.has(unix.NFTA_DYNSET_SREG_DATA) {
		if s.flags&unix.NFT_SET_MAP == 0 || s.verdicts() {
			return nil, unix.EOPNOTSUPP
		}
		if e.val, err = p.register(unix.NFTA_DYNSET_SREG_DATA, s.dataLen); err != nil {
			return nil, err
		}
	} else if s.flags&unix.NFT_SET_MAP != 0 {
		return nil, unix.EINVAL
	}
	var list []nlmsg.Attribute
	if b, ok := p.attrs[unix.NFTA_DYNSET_EXPR]; ok {
		list = []nlmsg.Attribute{{Data: b}}
	} else if b, ok := p.attrs[attrDynsetExprs]; ok {
		if list, err = nlmsg.List(b); err != nil {
			return nil, err
		}
	}
	list = cloneAttributes(list)
	q := *p
	e.parse = func() ([]expression, error) { return q.expressions(list) }
	if e.exprs, err = e.parse(); err != nil {
		return nil, err
	}
	if len(e.exprs) == 0 && len(s.exprs) > 0 {
		e.parse = s.parse
	}
	return e, nil
}

func (e *dynset) eval(r *registers, c *filter.Context) {
	now := c.Filter.Stack.Wheel.Now()
	key := r.bytes(e.key, e.set.keyLen)
	if e.op == dynsetDelete {
		e.set.discard(key)
		return
	}
	timeout := e.timeout
	if timeout == 0 {
		timeout = e.set.timeout
	}
	x, isNew := e.set.insert(key, now, func() *element {
		x := &element{key: append([]byte(nil), key...), timeout: timeout}
		if e.val != noRegister {
			x.data.value = append([]byte(nil), r.bytes(e.val, e.set.dataLen)...)
		}
		x.exprs, _ = e.parse() // it has been parsed before
		x.expires.Store(int64(now + timeout))
		return x
	})
	if x == nil {
		if !e.inv {
			r.verdict = breakVerdict
		}
		return
	}
	if !isNew && e.op == unix.NFT_DYNSET_OP_UPDATE {
		x.expires.Store(int64(now + x.timeout))
	}
	x.run(r, c)
	if e.inv && r.verdict == continueVerdict {
		r.verdict = breakVerdict
	} else if e.inv && r.verdict == breakVerdict {
		r.verdict = continueVerdict
	}
}

func (e *dynset) dump(d *dumper) {
	d.attrRegister(unix.NFTA_DYNSET_SREG_KEY, e.key)
	d.attrRegister(unix.NFTA_DYNSET_SREG_DATA, e.val)
	d.AttrBE32(unix.NFTA_DYNSET_OP, e.op)
	d.AttrString(unix.NFTA_DYNSET_SET_NAME, e.set.name)
	if e.timeout != 0 {
		d.AttrBE64(unix.NFTA_DYNSET_TIMEOUT, uint64(e.timeout/time.Millisecond))
	}
	if len(e.exprs) > 0 {
		d.exprs(unix.NFTA_DYNSET_EXPR, attrDynsetExprs, e.exprs)
	}
	d.AttrBE32(unix.NFTA_DYNSET_FLAGS, e.flags)
}

func (e *dynset) references() []any { return []any{e.set} }

// objref does what an object does: one that is named, or one that a map has for a register.
type objref struct {
	object *object
	set    *set
	key    register
}

func parseObjref(p *parser) (expr, error) {
	if p.has(unix.NFTA_OBJREF_SET_SREG) {
		s, err := p.tx.setOf(p.table, nlmsg.String(p.attrs[unix.NFTA_OBJREF_SET_NAME]), p.attrs[unix.NFTA_OBJREF_SET_ID])
		if err != nil {
			return nil, err
		}
		if s.flags&unix.NFT_SET_OBJECT == 0 {
			return nil, unix.EINVAL
		}
		e := &objref{set: s}
		e.key, err = p.register(unix.NFTA_OBJREF_SET_SREG, s.keyLen)
		return e, err
	}
	o := p.tx.objects(p.table)[objectKey{p.be32(unix.NFTA_OBJREF_IMM_TYPE, 0), nlmsg.String(p.attrs[unix.NFTA_OBJREF_IMM_NAME])}]
	if o == nil {
		return nil, unix.ENOENT
	}
	return &objref{object: o}, nil
}

func (e *objref) eval(r *registers, c *filter.Context) {
	o := e.object
	if e.set != nil {
		x := e.set.lookup(r.bytes(e.key, e.set.keyLen), c.Filter.Stack.Wheel.Now())
		if x == nil || x.object == nil {
			r.verdict = breakVerdict
			return
		}
		o = x.object
	}
	o.expr.eval(r, c)
}

func (e *objref) dump(d *dumper) {
	if e.set != nil {
		d.attrRegister(unix.NFTA_OBJREF_SET_SREG, e.key)
		d.AttrString(unix.NFTA_OBJREF_SET_NAME, e.set.name)
		return
	}
	d.AttrBE32(unix.NFTA_OBJREF_IMM_TYPE, e.object.typ)
	d.AttrString(unix.NFTA_OBJREF_IMM_NAME, e.object.name)
}

func (e *objref) references() []any {
	if e.set != nil {
		return []any{e.set}
	}
	return []any{e.object}
}
