package nft

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// An object is a counter, quota or limit that several rules share.
type object struct {
	typ      uint32 // NFT_OBJECT_*
	name     string
	handle   uint64
	userdata []byte
	expr     expr
}

// An objectKey names an object of a table.
type objectKey struct {
	typ  uint32
	name string
}

// objectExprs are the expressions that objects of a type are.
var objectExprs = map[uint32]string{unix.NFT_OBJECT_COUNTER: "counter", unix.NFT_OBJECT_QUOTA: "quota", unix.NFT_OBJECT_LIMIT: "limit"}

func (x *Transaction) newObject(m *message) error {
	t, err := x.tableOf(m, unix.NFTA_OBJ_TABLE)
	if err != nil {
		return err
	}
	name, err := m.name(unix.NFTA_OBJ_NAME)
	if err != nil {
		return err
	}
	o := &object{typ: m.be32(unix.NFTA_OBJ_TYPE), name: name, userdata: m.copied(attrObjUserdata)}
	parse := parsers[objectExprs[o.typ]]
	if parse == nil {
		return unix.EOPNOTSUPP
	}
	key := objectKey{o.typ, name}
	if x.objects(t)[key] != nil {
		if m.flags&unix.NLM_F_EXCL != 0 {
			return unix.EEXIST
		}
		return nil
	}
	p := parser{tx: x, table: t}
	if p.attrs, err = nlmsg.Attributes(m.attrs[unix.NFTA_OBJ_DATA]); err != nil {
		return err
	}
	if o.expr, err = parse(&p); err != nil {
		return err
	}
	o.handle = t.nextHandle()
	x.changeObjects(t)[key] = o
	x.event(unix.NFT_MSG_NEWOBJ, t.family, func(d *dumper) { d.object(x, t, o) })
	return nil
}

// deleteObject removes an object that nothing refers to. EBUSY.
func (x *Transaction) deleteObject(m *message) error {
	t, err := x.tableOf(m, unix.NFTA_OBJ_TABLE)
	if err != nil {
		return err
	}
	for key, o := range x.objects(t) {
		if key.typ != m.be32(unix.NFTA_OBJ_TYPE) || m.has(attrObjHandle) && o.handle != m.be64(attrObjHandle) ||
			!m.has(attrObjHandle) && key.name != m.string(unix.NFTA_OBJ_NAME) {
			continue
		}
		if x.references(o) > 0 {
			return unix.EBUSY
		}
		x.event(unix.NFT_MSG_DELOBJ, t.family, func(d *dumper) { d.object(x, t, o) })
		delete(x.changeObjects(t), key)
		return nil
	}
	return unix.ENOENT
}

func (d *dumper) object(x *Transaction, t *table, o *object) {
	d.AttrString(unix.NFTA_OBJ_TABLE, t.name)
	d.AttrString(unix.NFTA_OBJ_NAME, o.name)
	d.AttrBE64(attrObjHandle, o.handle)
	d.AttrBE32(unix.NFTA_OBJ_TYPE, o.typ)
	d.AttrBE32(unix.NFTA_OBJ_USE, uint32(x.references(o)))
	d.Nest(unix.NFTA_OBJ_DATA, func() { o.expr.dump(d) })
	if o.userdata != nil {
		d.Attr(attrObjUserdata, o.userdata)
	}
}
