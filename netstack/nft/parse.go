package nft

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// A parser reads the attributes of an expression.
type parser struct {
	tx    *Transaction
	table *table
	chain *chain // nil outside of rules
	attrs map[uint16][]byte
	// proto is the transport protocol that NFTA_RULE_COMPAT says; inverse says that it is all others.
	proto   uint16
	inverse bool
}

// parsers makes the expressions by name. They give EINVAL for attributes that make no
// sense, EOPNOTSUPP for what does not exist.
var parsers map[string]func(p *parser) (expr, error)

func init() {
	parsers = map[string]func(p *parser) (expr, error){
		"bitwise": parseBitwise, "byteorder": parseByteorder, "cmp": parseCmp, "counter": parseCounter, "ct": parseCt,
		"dynset": parseDynset, "exthdr": parseExthdr, "fib": parseFib, "hash": parseHash, "immediate": parseImmediate,
		"last": parseLast, "limit": parseLimit, "log": parseLog, "lookup": parseLookup, "masq": parseMasq, "match": parseMatch, "meta": parseMeta,
		"nat": parseNat, "notrack": parseNotrack, "numgen": parseNumgen, "objref": parseObjref, "payload": parsePayload,
		"quota": parseQuota, "range": parseRange, "redir": parseRedir, "reject": parseReject, "rt": parseRt, "target": parseTarget,
	}
}

// expression reads NFTA_EXPR_*. ENOENT for an expression that is not known.
func (p *parser) expression(b []byte) (e expression, err error) {
	a, err := nlmsg.Attributes(b)
	if err != nil {
		return e, err
	}
	e.name = nlmsg.String(a[unix.NFTA_EXPR_NAME])
	parse := parsers[e.name]
	if parse == nil {
		return e, unix.ENOENT
	}
	q := *p
	if q.attrs, err = nlmsg.Attributes(a[unix.NFTA_EXPR_DATA]); err != nil {
		return e, err
	}
	e.expr, err = parse(&q)
	return e, err
}

func (p *parser) has(attr uint16) bool {
	_, ok := p.attrs[attr]
	return ok
}

// be32 reads a number; def if it is not there.
func (p *parser) be32(attr uint16, def uint32) uint32 {
	if b := p.attrs[attr]; len(b) >= 4 {
		return binary.BigEndian.Uint32(b)
	}
	return def
}

func (p *parser) be64(attr uint16) uint64 {
	if b := p.attrs[attr]; len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// be16 reads a short number.
func (p *parser) be16(attr uint16) uint16 {
	if b := p.attrs[attr]; len(b) >= 2 {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (p *parser) be8(attr uint16) uint8 {
	if b := p.attrs[attr]; len(b) >= 1 {
		return b[0]
	}
	return 0
}

// A register is the offset of one in registers.data.
type register int

// noRegister stands for one that an expression does not use.
const noRegister register = -1

// register reads a register that n bytes are to be in. ERANGE, EINVAL.
func (p *parser) register(attr uint16, n int) (register, error) {
	b := p.attrs[attr]
	if len(b) < 4 || n <= 0 {
		return 0, unix.EINVAL
	}
	var off int
	switch v := binary.BigEndian.Uint32(b); {
	case v >= unix.NFT_REG_1 && v <= unix.NFT_REG_4:
		off = int(v-unix.NFT_REG_1) * unix.NFT_REG_SIZE
	case v >= unix.NFT_REG32_00 && v <= unix.NFT_REG32_15:
		off = int(v-unix.NFT_REG32_00) * unix.NFT_REG32_SIZE
	default:
		return 0, unix.EINVAL
	}
	if off+(n+3)&^3 > dataSize {
		return 0, unix.ERANGE
	}
	return register(off), nil
}

// optional is register for one that need not be there.
func (p *parser) optional(attr uint16, n int) (register, error) {
	if !p.has(attr) {
		return noRegister, nil
	}
	return p.register(attr, n)
}

// number is how a register is named in messages.
func (r register) number() uint32 {
	if r%unix.NFT_REG_SIZE == 0 {
		return uint32(r/unix.NFT_REG_SIZE) + unix.NFT_REG_1
	}
	return uint32(r/unix.NFT_REG32_SIZE) + unix.NFT_REG32_00
}

// bytes are n bytes of a register.
func (r *registers) bytes(at register, n int) []byte { return r.data[int(at) : int(at)+n] }

// put32 stores a number in native byte order.
func (r *registers) put32(at register, v uint32) { binary.NativeEndian.PutUint32(r.data[at:], v) }

// get32 reads a number in native byte order.
func (r *registers) get32(at register) uint32 { return binary.NativeEndian.Uint32(r.data[at:]) }

// put stores bytes, and zeros up to the next word.
func (r *registers) put(at register, b []byte) {
	n := copy(r.data[at:], b)
	for ; n&3 != 0; n++ {
		r.data[int(at)+n] = 0
	}
}

// put8 stores a byte in a word of its own.
func (r *registers) put8(at register, v uint8) { r.put32(at, 0); r.data[at] = v }

// put16 stores a short number in network byte order in a word of its own.
func (r *registers) put16(at register, v uint16) {
	r.put32(at, 0)
	binary.BigEndian.PutUint16(r.data[at:], v)
}

// get16 reads a short number in network byte order.
func (r *registers) get16(at register) uint16 { return binary.BigEndian.Uint16(r.data[at:]) }

// addr reads an address of a family.
func (r *registers) addr(at register, family uint8) netip.Addr {
	if family == family4 {
		return netip.AddrFrom4([4]byte(r.bytes(at, 4)))
	}
	return netip.AddrFrom16([16]byte(r.bytes(at, 16)))
}
