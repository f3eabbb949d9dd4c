package nft

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// A verdict is what NFTA_DATA_VERDICT says.
type verdict struct {
	code  int32
	chain *chain // of jump and goto
}

// data is NFTA_DATA_*: a value or a verdict.
type data struct {
	value   []byte
	verdict *verdict
}

// data reads an attribute that is data. EINVAL; ENOENT for a chain that is not there.
func (p *parser) data(attr uint16) (d data, err error) {
	return p.tx.data(p.table, p.attrs[attr])
}

// attrVerdictChainID is NFTA_VERDICT_CHAIN_ID.
const attrVerdictChainID = 3

func (x *Transaction) data(t *table, b []byte) (d data, err error) {
	a, err := nlmsg.Attributes(b)
	if err != nil {
		return d, err
	}
	if v, ok := a[unix.NFTA_DATA_VALUE]; ok {
		if len(v) == 0 || len(v) > unix.NFT_DATA_VALUE_MAXLEN {
			return d, unix.EINVAL
		}
		d.value = append([]byte(nil), v...)
		return d, nil
	}
	v, err := nlmsg.Attributes(a[unix.NFTA_DATA_VERDICT])
	if err != nil {
		return d, err
	}
	code, err := nlmsg.BE32(v[unix.NFTA_VERDICT_CODE])
	if err != nil {
		return d, err
	}
	d.verdict = &verdict{code: int32(code)}
	switch d.verdict.code {
	case acceptVerdict, dropVerdict, continueVerdict, breakVerdict, returnVerdict:
	case jumpVerdict, gotoVerdict:
		if name, ok := v[unix.NFTA_VERDICT_CHAIN]; ok {
			if d.verdict.chain, ok = x.chains(t).get(nlmsg.String(name)); !ok {
				return d, unix.ENOENT
			}
		} else {
			id, err := nlmsg.BE32(v[attrVerdictChainID])
			if err != nil {
				return d, unix.EINVAL
			}
			if d.verdict.chain = x.chainIDs[id]; d.verdict.chain == nil || d.verdict.chain.table != t {
				return d, unix.ENOENT
			}
		}
		if d.verdict.chain.base != nil {
			return d, unix.EOPNOTSUPP
		}
	default:
		return d, unix.EINVAL
	}
	return d, nil
}

// dump appends d as an attribute.
func (d *data) dump(b *dumper, attr uint16) {
	b.Nest(attr, func() {
		if d.verdict == nil {
			b.Attr(unix.NFTA_DATA_VALUE, d.value)
			return
		}
		b.Nest(unix.NFTA_DATA_VERDICT, func() {
			b.AttrBE32(unix.NFTA_VERDICT_CODE, uint32(d.verdict.code))
			if d.verdict.chain != nil {
				b.AttrString(unix.NFTA_VERDICT_CHAIN, d.verdict.chain.name)
			}
		})
	})
}

// references implements referrer for what has data.
func (d *data) references() []any {
	if d.verdict != nil && d.verdict.chain != nil {
		return []any{d.verdict.chain}
	}
	return nil
}

// set makes the registers hold d: the verdict, or the value at an offset.
func (d *data) set(r *registers, off int) {
	if d.verdict != nil {
		r.verdict, r.chain = d.verdict.code, d.verdict.chain
		return
	}
	n := copy(r.data[off:], d.value)
	for n&3 != 0 {
		r.data[off+n] = 0
		n++
	}
}
