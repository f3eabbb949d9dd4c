package nft

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// Attributes that x/sys does not name.
const (
	attrSetDescConcat  = 2  // NFTA_SET_DESC_CONCAT
	attrSetFieldLen    = 1  // NFTA_SET_FIELD_LEN
	attrSetHandle      = 16 // NFTA_SET_HANDLE
	attrSetExpr        = 17 // NFTA_SET_EXPR
	attrSetExpressions = 18 // NFTA_SET_EXPRESSIONS
	attrElemKeyEnd     = 10 // NFTA_SET_ELEM_KEY_END
	attrElemExprs      = 11 // NFTA_SET_ELEM_EXPRESSIONS
)

// setOf finds a set by name, or by the number that this batch gives it. ENOENT.
func (x *Transaction) setOf(t *table, name string, id []byte) (*set, error) {
	if s, ok := x.sets(t).get(name); ok {
		return s, nil
	}
	if n, err := nlmsg.BE32(id); err == nil {
		if s := x.setIDs[n]; s != nil {
			if own, ok := x.sets(t).get(s.name); ok && own == s {
				return s, nil
			}
		}
	}
	return nil, unix.ENOENT
}

// setName gives a set its name; one with %d gets the first number that is free.
func (x *Transaction) setName(t *table, name string) (string, error) {
	if !strings.Contains(name, "%d") {
		return name, nil
	}
	for n := range 1 << 16 {
		s := strings.Replace(name, "%d", fmt.Sprint(n), 1)
		if _, taken := x.sets(t).get(s); !taken {
			return s, nil
		}
	}
	return "", unix.ENFILE
}

func (x *Transaction) newSet(m *message) error {
	t, err := x.tableOf(m, unix.NFTA_SET_TABLE)
	if err != nil {
		return err
	}
	name, err := m.name(unix.NFTA_SET_NAME)
	if err != nil {
		return err
	}
	if s, there := x.sets(t).get(name); there {
		if m.flags&unix.NLM_F_EXCL != 0 {
			return m.at(unix.EEXIST, unix.NFTA_SET_NAME)
		}
		if m.has(unix.NFTA_SET_ID) {
			x.setIDs[m.be32(unix.NFTA_SET_ID)] = s
		}
		return nil
	}
	s, err := x.parseSet(m, t)
	if err != nil {
		return err
	}
	if s.name, err = x.setName(t, name); err != nil {
		return err
	}
	s.handle = t.nextHandle()
	s.elements.Store(newElements(s))
	if m.has(unix.NFTA_SET_ID) {
		x.setIDs[m.be32(unix.NFTA_SET_ID)] = s
	}
	x.changeSets(t).add(s)
	x.event(unix.NFT_MSG_NEWSET, t.family, func(d *dumper) { d.set(t, s) })
	return nil
}

// parseSet reads what a set is. EINVAL, EOPNOTSUPP.
func (x *Transaction) parseSet(m *message, t *table) (*set, error) {
	s := &set{flags: m.be32(unix.NFTA_SET_FLAGS), keyType: m.be32(unix.NFTA_SET_KEY_TYPE), keyLen: int(m.be32(unix.NFTA_SET_KEY_LEN)),
		dataType: m.be32(unix.NFTA_SET_DATA_TYPE), objType: m.be32(unix.NFTA_SET_OBJ_TYPE), policy: m.be32(unix.NFTA_SET_POLICY),
		hasPol: m.has(unix.NFTA_SET_POLICY), gc: m.be32(unix.NFTA_SET_GC_INTERVAL), timeout: time.Duration(m.be64(unix.NFTA_SET_TIMEOUT)) * time.Millisecond,
		userdata: m.copied(unix.NFTA_SET_USERDATA)}
	switch {
	case s.flags&^setFlags != 0:
		return nil, unix.EOPNOTSUPP
	case s.keyLen <= 0 || s.keyLen > unix.NFT_DATA_VALUE_MAXLEN:
		return nil, unix.EINVAL
	case s.flags&unix.NFT_SET_MAP != 0 && s.flags&unix.NFT_SET_OBJECT != 0:
		return nil, unix.EOPNOTSUPP
	}
	if s.flags&unix.NFT_SET_MAP != 0 {
		s.dataLen = int(m.be32(unix.NFTA_SET_DATA_LEN))
		if s.dataType != verdictType && (s.dataLen <= 0 || s.dataLen > unix.NFT_DATA_VALUE_MAXLEN) {
			return nil, unix.EINVAL
		}
	}
	if err := s.parseDesc(m); err != nil {
		return nil, err
	}
	p := parser{tx: x, table: t}
	var list []nlmsg.Attribute
	var err error
	if b, ok := m.attrs[attrSetExpr]; ok {
		list = []nlmsg.Attribute{{Data: b}}
	} else if b, ok := m.attrs[attrSetExpressions]; ok {
		if list, err = nlmsg.List(b); err != nil {
			return nil, err
		}
	}
	// Each element has its own counters, so the expressions are kept as they come.
	s.parse = func() ([]expression, error) { return p.expressions(list) }
	if s.exprs, err = s.parse(); err != nil {
		return nil, err
	}
	list = cloneAttributes(list)
	return s, nil
}

func cloneAttributes(l []nlmsg.Attribute) []nlmsg.Attribute {
	for i := range l {
		l[i].Data = append([]byte(nil), l[i].Data...)
	}
	return l
}

// expressions reads those that elements of a set can have: they keep something.
func (p *parser) expressions(list []nlmsg.Attribute) ([]expression, error) {
	var l []expression
	for _, a := range list {
		e, err := p.expression(a.Data)
		if err != nil {
			return nil, err
		}
		switch e.name {
		case "counter", "limit", "quota", "last":
		default:
			return nil, unix.EOPNOTSUPP
		}
		l = append(l, e)
	}
	return l, nil
}

// parseDesc reads NFTA_SET_DESC: the largest size, and the parts of a concatenation.
func (s *set) parseDesc(m *message) error {
	a, err := nlmsg.Attributes(m.attrs[unix.NFTA_SET_DESC])
	if err != nil {
		return err
	}
	if b, ok := a[unix.NFTA_SET_DESC_SIZE]; ok {
		if s.size, err = nlmsg.BE32(b); err != nil {
			return err
		}
	}
	fields, err := nlmsg.List(a[attrSetDescConcat])
	if err != nil {
		return err
	}
	total := 0
	for _, f := range fields {
		fa, err := nlmsg.Attributes(f.Data)
		if err != nil {
			return err
		}
		n, err := nlmsg.BE32(fa[attrSetFieldLen])
		if err != nil || n == 0 || n > unix.NFT_DATA_VALUE_MAXLEN {
			return unix.EINVAL
		}
		s.fields = append(s.fields, int(n))
		total += int(n+3) &^ 3
	}
	if len(s.fields) > 0 && total != (s.keyLen+3)&^3 {
		return unix.EINVAL
	}
	if len(s.fields) == 0 {
		s.fields = []int{s.keyLen}
	}
	return nil
}

// deleteSet removes a set that no rule uses, or all of them. EBUSY.
func (x *Transaction) deleteSet(m *message) error {
	t, err := x.tableOf(m, unix.NFTA_SET_TABLE)
	if err != nil {
		return err
	}
	var list []*set
	switch {
	case m.has(attrSetHandle):
		for _, s := range x.sets(t).list {
			if s.handle == m.be64(attrSetHandle) {
				list = append(list, s)
			}
		}
	case m.has(unix.NFTA_SET_NAME):
		if s, ok := x.sets(t).get(m.string(unix.NFTA_SET_NAME)); ok {
			list = append(list, s)
		}
	default:
		for _, s := range x.sets(t).list {
			if x.references(s) == 0 {
				list = append(list, s)
			}
		}
		if len(list) == 0 {
			return nil
		}
	}
	if len(list) == 0 {
		return m.at(unix.ENOENT, unix.NFTA_SET_NAME)
	}
	for _, s := range list {
		if x.references(s) > 0 {
			return m.at(unix.EBUSY, unix.NFTA_SET_NAME)
		}
		x.event(unix.NFT_MSG_DELSET, t.family, func(d *dumper) { d.set(t, s) })
		x.removeSet(t, s)
	}
	return nil
}

// set appends what a set is.
func (d *dumper) set(t *table, s *set) {
	d.AttrString(unix.NFTA_SET_TABLE, t.name)
	d.AttrString(unix.NFTA_SET_NAME, s.name)
	d.AttrBE64(attrSetHandle, s.handle)
	if s.flags != 0 {
		d.AttrBE32(unix.NFTA_SET_FLAGS, s.flags)
	}
	d.AttrBE32(unix.NFTA_SET_KEY_TYPE, s.keyType)
	d.AttrBE32(unix.NFTA_SET_KEY_LEN, uint32(s.keyLen))
	if s.flags&unix.NFT_SET_MAP != 0 {
		d.AttrBE32(unix.NFTA_SET_DATA_TYPE, s.dataType)
		d.AttrBE32(unix.NFTA_SET_DATA_LEN, uint32(s.dataLen))
	}
	if s.flags&unix.NFT_SET_OBJECT != 0 {
		d.AttrBE32(unix.NFTA_SET_OBJ_TYPE, s.objType)
	}
	if s.timeout != 0 {
		d.AttrBE64(unix.NFTA_SET_TIMEOUT, uint64(s.timeout/time.Millisecond))
	}
	if s.gc != 0 {
		d.AttrBE32(unix.NFTA_SET_GC_INTERVAL, s.gc)
	}
	if s.hasPol && s.policy != unix.NFT_SET_POL_PERFORMANCE {
		d.AttrBE32(unix.NFTA_SET_POLICY, s.policy)
	}
	if s.userdata != nil {
		d.Attr(unix.NFTA_SET_USERDATA, s.userdata)
	}
	d.Nest(unix.NFTA_SET_DESC, func() {
		if s.size != 0 {
			d.AttrBE32(unix.NFTA_SET_DESC_SIZE, s.size)
		}
		if len(s.fields) > 1 {
			d.Nest(attrSetDescConcat, func() {
				for _, n := range s.fields {
					d.Nest(unix.NFTA_LIST_ELEM, func() { d.AttrBE32(attrSetFieldLen, uint32(n)) })
				}
			})
		}
	})
	d.exprs(attrSetExpr, attrSetExpressions, s.exprs)
}

// exprs appends expressions: one by itself, or several.
func (d *dumper) exprs(one, many uint16, l []expression) {
	switch {
	case len(l) == 1:
		d.expression(one, &l[0])
	case len(l) > 1:
		d.Nest(many, func() {
			for i := range l {
				d.expression(unix.NFTA_LIST_ELEM, &l[i])
			}
		})
	}
}
