package nft

import (
	"bytes"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// setOfElements finds the set that a message about elements names.
func (x *Transaction) setOfElements(m *message) (*table, *set, error) {
	t, err := x.tableOf(m, unix.NFTA_SET_ELEM_LIST_TABLE)
	if err != nil {
		return nil, nil, err
	}
	s, err := x.setOf(t, m.string(unix.NFTA_SET_ELEM_LIST_SET), m.attrs[unix.NFTA_SET_ELEM_LIST_SET_ID])
	return t, s, m.at(err, unix.NFTA_SET_ELEM_LIST_SET)
}

// maxElements bounds a set, whatever it says itself.
const maxElements = 1 << 20

func (x *Transaction) newElements(m *message) error {
	t, s, err := x.setOfElements(m)
	if err != nil {
		return err
	}
	list, err := nlmsg.List(m.attrs[unix.NFTA_SET_ELEM_LIST_ELEMENTS])
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return unix.EINVAL
	}
	all := x.changeElements(s)
	now := x.r.filter.Stack.Wheel.Now()
	var added []*element
	for _, a := range list {
		e, err := x.parseElement(t, s, a.Data)
		if err != nil {
			return nlmsg.At(err, a.Data)
		}
		if old := all.same(e); old != nil && !old.dead(now) {
			if m.flags&unix.NLM_F_EXCL != 0 || !bytes.Equal(old.data.value, e.data.value) || old.object != e.object ||
				(old.data.verdict == nil) != (e.data.verdict == nil) || old.data.verdict != nil && *old.data.verdict != *e.data.verdict {
				return nlmsg.At(unix.EEXIST, a.Data)
			}
			continue
		} else if old != nil {
			all.remove(old)
		}
		if n := all.size(); n >= maxElements || s.size != 0 && s.flags&unix.NFT_SET_INTERVAL == 0 && n >= int(s.size) {
			return unix.ENFILE
		}
		all.add(e)
		x.countElement(e, 1)
		added = append(added, e)
	}
	x.elementEvent(unix.NFT_MSG_NEWSETELEM, t, s, added)
	return nil
}

// parseElement reads an element of a set. EINVAL, ENOENT.
func (x *Transaction) parseElement(t *table, s *set, b []byte) (*element, error) {
	a, err := nlmsg.Attributes(b)
	if err != nil {
		return nil, err
	}
	e := &element{timeout: s.timeout, exprs: s.exprs}
	if f, ok := a[unix.NFTA_SET_ELEM_FLAGS]; ok {
		if e.flags, err = nlmsg.BE32(f); err != nil {
			return nil, err
		}
		if e.flags&^unix.NFT_SET_ELEM_INTERVAL_END != 0 {
			return nil, unix.EOPNOTSUPP
		}
		e.isEndMark = e.flags&unix.NFT_SET_ELEM_INTERVAL_END != 0
		if e.isEndMark && s.flags&unix.NFT_SET_INTERVAL == 0 {
			return nil, unix.EINVAL
		}
	}
	if e.key, err = x.keyOf(t, s, a[unix.NFTA_SET_ELEM_KEY]); err != nil {
		return nil, err
	}
	if b, ok := a[attrElemKeyEnd]; ok {
		if e.end, err = x.keyOf(t, s, b); err != nil {
			return nil, err
		}
	} else if s.flags&setConcat != 0 && s.flags&unix.NFT_SET_INTERVAL != 0 {
		e.end = e.key
	}
	if b, ok := a[unix.NFTA_SET_ELEM_DATA]; ok {
		if s.flags&unix.NFT_SET_MAP == 0 {
			return nil, unix.EINVAL
		}
		if e.data, err = x.data(t, b); err != nil {
			return nil, err
		}
		if (e.data.verdict != nil) != s.verdicts() || e.data.verdict == nil && len(e.data.value) != s.dataLen {
			return nil, unix.EINVAL
		}
	} else if s.flags&unix.NFT_SET_MAP != 0 && !e.isEndMark {
		return nil, unix.EINVAL
	}
	if b, ok := a[unix.NFTA_SET_ELEM_OBJREF]; ok {
		if e.object = x.objects(t)[objectKey{s.objType, nlmsg.String(b)}]; e.object == nil {
			return nil, unix.ENOENT
		}
	}
	if b, ok := a[unix.NFTA_SET_ELEM_TIMEOUT]; ok {
		ms, err := nlmsg.BE64(b)
		if err != nil || s.flags&unix.NFT_SET_TIMEOUT == 0 {
			return nil, unix.EINVAL
		}
		e.timeout = time.Duration(ms) * time.Millisecond
	}
	left := e.timeout
	if b, ok := a[unix.NFTA_SET_ELEM_EXPIRATION]; ok {
		ms, err := nlmsg.BE64(b)
		if err != nil {
			return nil, err
		}
		left = time.Duration(ms) * time.Millisecond
	}
	if e.timeout != 0 {
		e.expires.Store(int64(x.r.filter.Stack.Wheel.Now() + left))
	}
	if b, ok := a[unix.NFTA_SET_ELEM_USERDATA]; ok {
		e.userdata = append([]byte{}, b...)
	}
	return e, x.elementExprs(t, s, e, a)
}

// elementExprs gives an element the expressions that it comes with, or new ones of its set's.
func (x *Transaction) elementExprs(t *table, s *set, e *element, a map[uint16][]byte) (err error) {
	p := parser{tx: x, table: t}
	if b, ok := a[unix.NFTA_SET_ELEM_EXPR]; ok {
		e.exprs, err = p.expressions([]nlmsg.Attribute{{Data: b}})
		return err
	}
	if b, ok := a[attrElemExprs]; ok {
		list, err := nlmsg.List(b)
		if err != nil {
			return err
		}
		e.exprs, err = p.expressions(list)
		return err
	}
	if len(s.exprs) > 0 && !e.isEndMark {
		e.exprs, err = s.parse()
	} else {
		e.exprs = nil
	}
	return err
}

// keyOf reads a key. EINVAL if it has not the length of the set's.
func (x *Transaction) keyOf(t *table, s *set, b []byte) ([]byte, error) {
	d, err := x.data(t, b)
	if err != nil {
		return nil, err
	}
	if d.verdict != nil || len(d.value) != s.keyLen {
		return nil, unix.EINVAL
	}
	return d.value, nil
}

// deleteElements removes elements, or all of a set.
func (x *Transaction) deleteElements(m *message) error {
	t, s, err := x.setOfElements(m)
	if err != nil {
		return err
	}
	all := x.changeElements(s)
	list, err := nlmsg.List(m.attrs[unix.NFTA_SET_ELEM_LIST_ELEMENTS])
	if err != nil {
		return err
	}
	var removed []*element
	if len(list) == 0 {
		removed = all.list()
	}
	for _, a := range list {
		attrs, err := nlmsg.Attributes(a.Data)
		if err != nil {
			return err
		}
		e := &element{}
		if b, ok := attrs[unix.NFTA_SET_ELEM_FLAGS]; ok {
			flags, _ := nlmsg.BE32(b)
			e.isEndMark = flags&unix.NFT_SET_ELEM_INTERVAL_END != 0
		}
		if e.key, err = x.keyOf(t, s, attrs[unix.NFTA_SET_ELEM_KEY]); err != nil {
			return err
		}
		if b, ok := attrs[attrElemKeyEnd]; ok {
			if e.end, err = x.keyOf(t, s, b); err != nil {
				return err
			}
		} else if s.flags&setConcat != 0 && s.flags&unix.NFT_SET_INTERVAL != 0 {
			e.end = e.key
		}
		old := all.same(e)
		if old == nil {
			return nlmsg.At(unix.ENOENT, a.Data)
		}
		removed = append(removed, old)
	}
	for _, e := range removed {
		all.remove(e)
		x.countElement(e, -1)
	}
	x.elementEvent(unix.NFT_MSG_DELSETELEM, t, s, removed)
	return nil
}

// perMessage is how many elements go into one message.
const perMessage = 64

func (x *Transaction) elementEvent(typ uint16, t *table, s *set, l []*element) {
	for part := range slices.Chunk(l, perMessage) {
		x.event(typ, t.family, func(d *dumper) { d.elements(x, t, s, part) })
	}
}

// elements appends elements of a set.
func (d *dumper) elements(x *Transaction, t *table, s *set, l []*element) {
	d.AttrString(unix.NFTA_SET_ELEM_LIST_TABLE, t.name)
	d.AttrString(unix.NFTA_SET_ELEM_LIST_SET, s.name)
	d.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
		now := x.r.filter.Stack.Wheel.Now()
		for _, e := range l {
			if !e.dead(now) {
				d.Nest(unix.NFTA_LIST_ELEM, func() { d.element(s, e, now) })
			}
		}
	})
}

func (d *dumper) element(s *set, e *element, now time.Duration) {
	d.Nest(unix.NFTA_SET_ELEM_KEY, func() { d.Attr(unix.NFTA_DATA_VALUE, e.key) })
	if e.end != nil {
		d.Nest(attrElemKeyEnd, func() { d.Attr(unix.NFTA_DATA_VALUE, e.end) })
	}
	if e.data.value != nil || e.data.verdict != nil {
		e.data.dump(d, unix.NFTA_SET_ELEM_DATA)
	}
	d.exprs(unix.NFTA_SET_ELEM_EXPR, attrElemExprs, e.exprs)
	if e.object != nil {
		d.AttrString(unix.NFTA_SET_ELEM_OBJREF, e.object.name)
	}
	if e.flags != 0 {
		d.AttrBE32(unix.NFTA_SET_ELEM_FLAGS, e.flags)
	}
	if e.timeout != 0 {
		if e.timeout != s.timeout {
			d.AttrBE64(unix.NFTA_SET_ELEM_TIMEOUT, uint64(e.timeout/time.Millisecond))
		}
		left := time.Duration(e.expires.Load()) - now
		d.AttrBE64(unix.NFTA_SET_ELEM_EXPIRATION, uint64(max(left, 0)/time.Millisecond))
	}
	if e.userdata != nil {
		d.Attr(unix.NFTA_SET_ELEM_USERDATA, e.userdata)
	}
}
