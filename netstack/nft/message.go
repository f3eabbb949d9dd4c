package nft

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// Messages that x/sys does not name.
const (
	msgDestroyTable   = 26
	msgDestroyChain   = 27
	msgDestroyRule    = 28
	msgDestroySet     = 29
	msgDestroySetElem = 30
	msgDestroyObj     = 31
)

// nfgenmsgLen is the length of struct nfgenmsg.
const nfgenmsgLen = 4

// A message is a request without its headers.
type message struct {
	typ    uint16 // NFT_MSG_*
	flags  uint16
	seq    uint32
	family uint8
	attrs  map[uint16][]byte
}

// parse reads a request. EINVAL.
func parse(q *nlmsg.Request) (m message, err error) {
	if len(q.Body) < nfgenmsgLen {
		return m, unix.EINVAL
	}
	m = message{typ: q.Type & 0xff, flags: q.Flags, seq: q.Seq, family: q.Body[0]}
	m.attrs, err = nlmsg.Attributes(q.Body[nfgenmsgLen:])
	return m, err
}

func (m *message) string(attr uint16) string { return nlmsg.String(m.attrs[attr]) }

func (m *message) has(attr uint16) bool {
	_, ok := m.attrs[attr]
	return ok
}

func (m *message) be32(attr uint16) uint32 {
	v, _ := nlmsg.BE32(m.attrs[attr])
	return v
}

func (m *message) be64(attr uint16) uint64 {
	v, _ := nlmsg.BE64(m.attrs[attr])
	return v
}

// Do carries out a message that changes something. ENOENT, EEXIST, EBUSY, EINVAL,
// EOPNOTSUPP and others as nf_tables gives them.
func (x *Transaction) Do(q *nlmsg.Request) error {
	m, err := parse(q)
	if err != nil {
		return err
	}
	x.changed = true
	switch m.typ {
	case unix.NFT_MSG_NEWTABLE:
		return x.newTable(&m)
	case unix.NFT_MSG_DELTABLE, msgDestroyTable:
		return gone(&m, msgDestroyTable, x.deleteTables(&m))
	case unix.NFT_MSG_NEWCHAIN:
		return x.newChain(&m)
	case unix.NFT_MSG_DELCHAIN, msgDestroyChain:
		return gone(&m, msgDestroyChain, x.deleteChain(&m))
	case unix.NFT_MSG_NEWRULE:
		return x.newRule(&m)
	case unix.NFT_MSG_DELRULE, msgDestroyRule:
		return gone(&m, msgDestroyRule, x.deleteRules(&m))
	case unix.NFT_MSG_NEWSET:
		return x.newSet(&m)
	case unix.NFT_MSG_DELSET, msgDestroySet:
		return gone(&m, msgDestroySet, x.deleteSet(&m))
	case unix.NFT_MSG_NEWSETELEM:
		return x.newElements(&m)
	case unix.NFT_MSG_DELSETELEM, msgDestroySetElem:
		return gone(&m, msgDestroySetElem, x.deleteElements(&m))
	case unix.NFT_MSG_NEWOBJ:
		return x.newObject(&m)
	case unix.NFT_MSG_DELOBJ, msgDestroyObj:
		return gone(&m, msgDestroyObj, x.deleteObject(&m))
	}
	return unix.EOPNOTSUPP
}

// gone is what a message of deletion gives: those that destroy do not mind what is not there.
func gone(m *message, destroy uint16, err error) error {
	if m.typ == destroy && errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// event notes a message for those who watch.
func (x *Transaction) event(typ uint16, family uint8, fill func(d *dumper)) {
	var d dumper
	d.begin(typ, 0, 0, 0, family, x.r.mu.gen+1)
	fill(&d)
	d.End()
	x.events = append(x.events, d.B)
}

// table finds the table that a message names. EOPNOTSUPP for a family that is not there,
// ENOENT.
func (x *Transaction) table(family uint8, name string) (*table, error) {
	switch family {
	case familyInet, family4, family6:
	default:
		return nil, unix.EOPNOTSUPP
	}
	for _, t := range x.tables {
		if t.family == family && t.name == name {
			return t, nil
		}
	}
	return nil, unix.ENOENT
}

// tableOf finds the table that an attribute of a message names.
func (x *Transaction) tableOf(m *message, attr uint16) (*table, error) {
	t, err := x.table(m.family, m.string(attr))
	if err != nil {
		return nil, m.at(err, attr)
	}
	return t, nil
}

// at says that an error is about an attribute.
func (m *message) at(err error, attr uint16) error { return nlmsg.At(err, m.attrs[attr]) }

// name reads a name that is to be given. EINVAL, ENAMETOOLONG.
func (m *message) name(attr uint16) (string, error) {
	s := m.string(attr)
	if s == "" {
		return "", unix.EINVAL
	}
	if len(s) >= unix.NFT_NAME_MAXLEN {
		return "", unix.ENAMETOOLONG
	}
	return s, nil
}

func (m *message) copied(attr uint16) []byte {
	if b, ok := m.attrs[attr]; ok {
		return append([]byte{}, b...)
	}
	return nil
}

func (x *Transaction) newTable(m *message) error {
	name, err := m.name(unix.NFTA_TABLE_NAME)
	if err != nil {
		return err
	}
	flags := m.be32(unix.NFTA_TABLE_FLAGS)
	if flags&^unix.NFT_TABLE_F_DORMANT != 0 {
		return unix.EOPNOTSUPP
	}
	t, err := x.table(m.family, name)
	switch {
	case err == nil:
		if m.flags&unix.NLM_F_EXCL != 0 {
			return m.at(unix.EEXIST, unix.NFTA_TABLE_NAME)
		}
		if m.has(unix.NFTA_TABLE_FLAGS) {
			x.flags[t] = flags
		}
	case err != unix.ENOENT:
		return err
	default:
		x.r.mu.handle++
		t = &table{family: m.family, name: name, handle: x.r.mu.handle, flags: flags, userdata: m.copied(attrTableUserdata)}
		t.chains.byName, t.sets.byName = map[string]*chain{}, map[string]*set{}
		x.tables = append(x.tables, t)
	}
	x.event(unix.NFT_MSG_NEWTABLE, t.family, func(d *dumper) { d.table(x, t) })
	return nil
}

// deleteTables removes a table, or all of a family.
func (x *Transaction) deleteTables(m *message) error {
	var list []*table
	switch {
	case m.has(unix.NFTA_TABLE_NAME):
		t, err := x.tableOf(m, unix.NFTA_TABLE_NAME)
		if err != nil {
			return err
		}
		list = []*table{t}
	case m.has(attrTableHandle):
		for _, t := range x.tables {
			if t.handle == m.be64(attrTableHandle) && (m.family == unix.AF_UNSPEC || m.family == t.family) {
				list = append(list, t)
			}
		}
		if len(list) == 0 {
			return unix.ENOENT
		}
	default:
		for _, t := range x.tables {
			if m.family == unix.AF_UNSPEC || m.family == t.family {
				list = append(list, t)
			}
		}
	}
	for _, t := range list {
		x.event(unix.NFT_MSG_DELTABLE, t.family, func(d *dumper) { d.table(x, t) })
		x.tables = slices.DeleteFunc(x.tables, func(o *table) bool { return o == t })
		x.uses = nil
	}
	return nil
}

// Generation is the answer to NFT_MSG_GETGEN; pid and name are the asking process's.
func (r *Ruleset) Generation(seq, port uint32, pid int32, name string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.generation(seq, port, pid, name)
}

func (r *Ruleset) generation(seq, port uint32, pid int32, name string) []byte {
	var d dumper
	d.begin(unix.NFT_MSG_NEWGEN, 0, seq, port, unix.AF_UNSPEC, r.mu.gen)
	d.AttrBE32(unix.NFTA_GEN_ID, r.mu.gen)
	d.AttrBE32(unix.NFTA_GEN_PROC_PID, uint32(pid))
	d.AttrString(unix.NFTA_GEN_PROC_NAME, name)
	d.End()
	return d.B
}

// Current reports whether gen, which a batch says it was made for, is the generation; 0
// is always.
func (x *Transaction) Current(gen uint32) bool { return gen == 0 || gen == x.r.mu.gen }
