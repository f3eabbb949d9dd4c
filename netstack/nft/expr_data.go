package nft

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
)

// immediate loads data into a register, or gives a verdict.
type immediate struct {
	to   register
	data data
}

func parseImmediate(p *parser) (expr, error) {
	d, err := p.data(unix.NFTA_IMMEDIATE_DATA)
	if err != nil {
		return nil, err
	}
	e := &immediate{to: noRegister, data: d}
	if d.verdict == nil {
		e.to, err = p.register(unix.NFTA_IMMEDIATE_DREG, len(d.value))
	} else if p.be32(unix.NFTA_IMMEDIATE_DREG, 1) != unix.NFT_REG_VERDICT {
		err = unix.EINVAL
	}
	return e, err
}

func (e *immediate) eval(r *registers, _ *filter.Context) { e.data.set(r, int(e.to)) }

func (e *immediate) dump(d *dumper) {
	if e.to == noRegister {
		d.AttrBE32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
	} else {
		d.attrRegister(unix.NFTA_IMMEDIATE_DREG, e.to)
	}
	e.data.dump(d, unix.NFTA_IMMEDIATE_DATA)
}

func (e *immediate) references() []any { return e.data.references() }

// cmpExpr compares a register with a value; the rule ends if that does not hold.
type cmpExpr struct {
	from  register
	op    uint32
	value []byte
}

func parseCmp(p *parser) (expr, error) {
	d, err := p.data(unix.NFTA_CMP_DATA)
	if err != nil {
		return nil, err
	}
	e := &cmpExpr{op: p.be32(unix.NFTA_CMP_OP, 0), value: d.value}
	if d.verdict != nil || e.op > unix.NFT_CMP_GTE {
		return nil, unix.EINVAL
	}
	e.from, err = p.register(unix.NFTA_CMP_SREG, len(e.value))
	return e, err
}

func (e *cmpExpr) eval(r *registers, _ *filter.Context) {
	c := bytes.Compare(r.bytes(e.from, len(e.value)), e.value)
	ok := false
	switch e.op {
	case unix.NFT_CMP_EQ:
		ok = c == 0
	case unix.NFT_CMP_NEQ:
		ok = c != 0
	case unix.NFT_CMP_LT:
		ok = c < 0
	case unix.NFT_CMP_LTE:
		ok = c <= 0
	case unix.NFT_CMP_GT:
		ok = c > 0
	case unix.NFT_CMP_GTE:
		ok = c >= 0
	}
	if !ok {
		r.verdict = breakVerdict
	}
}

func (e *cmpExpr) dump(d *dumper) {
	d.attrRegister(unix.NFTA_CMP_SREG, e.from)
	d.AttrBE32(unix.NFTA_CMP_OP, e.op)
	(&data{value: e.value}).dump(d, unix.NFTA_CMP_DATA)
}

// rangeExpr is cmpExpr with two values.
type rangeExpr struct {
	from      register
	op        uint32
	low, high []byte
}

func parseRange(p *parser) (expr, error) {
	low, err := p.data(unix.NFTA_RANGE_FROM_DATA)
	if err != nil {
		return nil, err
	}
	high, err := p.data(unix.NFTA_RANGE_TO_DATA)
	if err != nil {
		return nil, err
	}
	e := &rangeExpr{op: p.be32(unix.NFTA_RANGE_OP, 0), low: low.value, high: high.value}
	if low.verdict != nil || high.verdict != nil || len(e.low) != len(e.high) || e.op > unix.NFT_RANGE_NEQ {
		return nil, unix.EINVAL
	}
	e.from, err = p.register(unix.NFTA_RANGE_SREG, len(e.low))
	return e, err
}

func (e *rangeExpr) eval(r *registers, _ *filter.Context) {
	v := r.bytes(e.from, len(e.low))
	in := bytes.Compare(v, e.low) >= 0 && bytes.Compare(v, e.high) <= 0
	if in != (e.op == unix.NFT_RANGE_EQ) {
		r.verdict = breakVerdict
	}
}

func (e *rangeExpr) dump(d *dumper) {
	d.attrRegister(unix.NFTA_RANGE_SREG, e.from)
	d.AttrBE32(unix.NFTA_RANGE_OP, e.op)
	(&data{value: e.low}).dump(d, unix.NFTA_RANGE_FROM_DATA)
	(&data{value: e.high}).dump(d, unix.NFTA_RANGE_TO_DATA)
}

// Attributes and operations of bitwise that x/sys does not name.
const (
	attrBitwiseOp     = 6 // NFTA_BITWISE_OP
	attrBitwiseData   = 7 // NFTA_BITWISE_DATA
	bitwiseMask       = 0 // NFT_BITWISE_MASK_XOR
	bitwiseLeft       = 1 // NFT_BITWISE_LSHIFT
	bitwiseRight      = 2 // NFT_BITWISE_RSHIFT
	bitwiseShiftLimit = 31
)

// bitwise masks and inverts bits, or shifts.
type bitwise struct {
	from, to  register
	n         int
	op        uint32
	mask, xor []byte
	shift     uint32
}

func parseBitwise(p *parser) (expr, error) {
	e := &bitwise{n: int(p.be32(unix.NFTA_BITWISE_LEN, 0)), op: p.be32(attrBitwiseOp, bitwiseMask)}
	if e.n > dataSize {
		return nil, unix.EINVAL
	}
	var err error
	if e.from, err = p.register(unix.NFTA_BITWISE_SREG, e.n); err != nil {
		return nil, err
	}
	if e.to, err = p.register(unix.NFTA_BITWISE_DREG, e.n); err != nil {
		return nil, err
	}
	switch e.op {
	case bitwiseMask:
		mask, err := p.data(unix.NFTA_BITWISE_MASK)
		if err != nil {
			return nil, err
		}
		xor, err := p.data(unix.NFTA_BITWISE_XOR)
		if err != nil {
			return nil, err
		}
		if e.mask, e.xor = mask.value, xor.value; len(e.mask) != e.n || len(e.xor) != e.n {
			return nil, unix.EINVAL
		}
	case bitwiseLeft, bitwiseRight:
		d, err := p.data(attrBitwiseData)
		if err != nil {
			return nil, err
		}
		if len(d.value) != 4 {
			return nil, unix.EINVAL
		}
		if e.shift = binary.NativeEndian.Uint32(d.value); e.shift > bitwiseShiftLimit {
			return nil, unix.EINVAL
		}
	default:
		return nil, unix.EOPNOTSUPP
	}
	return e, nil
}

func (e *bitwise) eval(r *registers, _ *filter.Context) {
	from, to := r.bytes(e.from, e.n), r.bytes(e.to, e.n)
	if e.op == bitwiseMask {
		for i := range to {
			to[i] = from[i]&e.mask[i] ^ e.xor[i]
		}
		return
	}
	// Words in native order, the first of which has the highest bits.
	words := (e.n + 3) / 4
	carry := uint32(0)
	for i := range words {
		if e.op == bitwiseLeft {
			i = words - 1 - i
		}
		at := register(i * 4)
		v := r.get32(e.from + at)
		if e.op == bitwiseLeft {
			r.put32(e.to+at, v<<e.shift|carry)
			carry = uint32(uint64(v) >> (32 - e.shift))
		} else {
			r.put32(e.to+at, v>>e.shift|carry)
			carry = uint32(uint64(v) << (32 - e.shift))
		}
	}
}

func (e *bitwise) dump(d *dumper) {
	d.attrRegister(unix.NFTA_BITWISE_SREG, e.from)
	d.attrRegister(unix.NFTA_BITWISE_DREG, e.to)
	d.AttrBE32(unix.NFTA_BITWISE_LEN, uint32(e.n))
	d.AttrBE32(attrBitwiseOp, e.op)
	if e.op == bitwiseMask {
		(&data{value: e.mask}).dump(d, unix.NFTA_BITWISE_MASK)
		(&data{value: e.xor}).dump(d, unix.NFTA_BITWISE_XOR)
	} else {
		(&data{value: binary.NativeEndian.AppendUint32(nil, e.shift)}).dump(d, attrBitwiseData)
	}
}

// byteorder changes the order of bytes of numbers.
type byteorder struct {
	from, to register
	op       uint32
	n, size  int
}

func parseByteorder(p *parser) (expr, error) {
	e := &byteorder{op: p.be32(unix.NFTA_BYTEORDER_OP, 0), n: int(p.be32(unix.NFTA_BYTEORDER_LEN, 0)), size: int(p.be32(unix.NFTA_BYTEORDER_SIZE, 0))}
	if e.op > unix.NFT_BYTEORDER_HTON || e.n > dataSize || e.size != 2 && e.size != 4 && e.size != 8 {
		return nil, unix.EINVAL
	}
	var err error
	if e.from, err = p.register(unix.NFTA_BYTEORDER_SREG, e.n); err != nil {
		return nil, err
	}
	e.to, err = p.register(unix.NFTA_BYTEORDER_DREG, e.n)
	return e, err
}

func (e *byteorder) eval(r *registers, _ *filter.Context) {
	if hostIsBig {
		copy(r.bytes(e.to, e.n), r.bytes(e.from, e.n))
		return
	}
	for i := 0; i+e.size <= e.n; i += e.size {
		from, to := r.bytes(e.from+register(i), e.size), r.bytes(e.to+register(i), e.size)
		switch e.size {
		case 2:
			binary.NativeEndian.PutUint16(to, bits.ReverseBytes16(binary.NativeEndian.Uint16(from)))
		case 4:
			binary.NativeEndian.PutUint32(to, bits.ReverseBytes32(binary.NativeEndian.Uint32(from)))
		case 8:
			binary.NativeEndian.PutUint64(to, bits.ReverseBytes64(binary.NativeEndian.Uint64(from)))
		}
	}
}

var hostIsBig = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

func (e *byteorder) dump(d *dumper) {
	d.attrRegister(unix.NFTA_BYTEORDER_SREG, e.from)
	d.attrRegister(unix.NFTA_BYTEORDER_DREG, e.to)
	d.AttrBE32(unix.NFTA_BYTEORDER_OP, e.op)
	d.AttrBE32(unix.NFTA_BYTEORDER_LEN, uint32(e.n))
	d.AttrBE32(unix.NFTA_BYTEORDER_SIZE, uint32(e.size))
}

// numgen gives numbers: one after the other, or random ones.
type numgen struct {
	to              register
	modulus, offset uint32
	typ             uint32
	next            atomic.Uint32
}

func parseNumgen(p *parser) (expr, error) {
	e := &numgen{modulus: p.be32(unix.NFTA_NG_MODULUS, 0), offset: p.be32(unix.NFTA_NG_OFFSET, 0), typ: p.be32(unix.NFTA_NG_TYPE, 0)}
	if e.modulus == 0 || e.typ > unix.NFT_NG_RANDOM {
		return nil, unix.EINVAL
	}
	if e.offset+e.modulus-1 < e.offset {
		return nil, unix.EOVERFLOW
	}
	var err error
	e.to, err = p.register(unix.NFTA_NG_DREG, 4)
	return e, err
}

func (e *numgen) eval(r *registers, _ *filter.Context) {
	if e.typ == unix.NFT_NG_RANDOM {
		r.put32(e.to, e.offset+rand.Uint32N(e.modulus))
		return
	}
	r.put32(e.to, e.offset+(e.next.Add(1)-1)%e.modulus)
}

func (e *numgen) dump(d *dumper) {
	d.attrRegister(unix.NFTA_NG_DREG, e.to)
	d.AttrBE32(unix.NFTA_NG_MODULUS, e.modulus)
	d.AttrBE32(unix.NFTA_NG_TYPE, e.typ)
	d.AttrBE32(unix.NFTA_NG_OFFSET, e.offset)
}

// hash gives a hash of a register, or (NFT_HASH_SYM) of the packet's flow, the same both
// ways. What the hash function is nobody can tell.
type hash struct {
	from, to        register
	n               int
	modulus, offset uint32
	seed            uint32
	hasSeed         bool
	typ             uint32
}

func parseHash(p *parser) (expr, error) {
	e := &hash{from: noRegister, n: int(p.be32(unix.NFTA_HASH_LEN, 0)), modulus: p.be32(unix.NFTA_HASH_MODULUS, 0), offset: p.be32(unix.NFTA_HASH_OFFSET, 0),
		seed: p.be32(unix.NFTA_HASH_SEED, 0), hasSeed: p.has(unix.NFTA_HASH_SEED), typ: p.be32(unix.NFTA_HASH_TYPE, 0)}
	if e.modulus == 0 || e.typ > unix.NFT_HASH_SYM || e.n > dataSize {
		return nil, unix.EINVAL
	}
	var err error
	if e.typ == unix.NFT_HASH_JENKINS {
		if e.from, err = p.register(unix.NFTA_HASH_SREG, e.n); err != nil {
			return nil, err
		}
	}
	if !e.hasSeed {
		e.seed = rand.Uint32()
	}
	e.to, err = p.register(unix.NFTA_HASH_DREG, 4)
	return e, err
}

var hashSeed = maphash.MakeSeed()

func (e *hash) eval(r *registers, c *filter.Context) {
	h := uint64(c.Packet.Hash)
	if e.typ == unix.NFT_HASH_JENKINS {
		h = maphash.Bytes(hashSeed, r.bytes(e.from, e.n)) ^ uint64(e.seed)
	}
	r.put32(e.to, e.offset+uint32(h%uint64(e.modulus)))
}

func (e *hash) dump(d *dumper) {
	d.attrRegister(unix.NFTA_HASH_SREG, e.from)
	d.attrRegister(unix.NFTA_HASH_DREG, e.to)
	if e.typ == unix.NFT_HASH_JENKINS {
		d.AttrBE32(unix.NFTA_HASH_LEN, uint32(e.n))
	}
	d.AttrBE32(unix.NFTA_HASH_MODULUS, e.modulus)
	if e.hasSeed {
		d.AttrBE32(unix.NFTA_HASH_SEED, e.seed)
	}
	if e.offset != 0 {
		d.AttrBE32(unix.NFTA_HASH_OFFSET, e.offset)
	}
	d.AttrBE32(unix.NFTA_HASH_TYPE, e.typ)
}
