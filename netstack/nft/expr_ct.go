package nft

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/conntrack"
	"casemate/netstack/filter"
)

// ct loads something about the packet's connection, or sets its mark.
type ct struct {
	key    uint32
	dir    int // 0 original, 1 reply, -1: not said
	reg    register
	n      int
	store  bool
	family uint8
}

// ctDirections are the keys for which a direction is to be said.
func ctDirectional(key uint32) bool {
	switch key {
	case unix.NFT_CT_SRC, unix.NFT_CT_DST, unix.NFT_CT_PROTO_SRC, unix.NFT_CT_PROTO_DST, unix.NFT_CT_SRC_IP, unix.NFT_CT_DST_IP, unix.NFT_CT_SRC_IP6, unix.NFT_CT_DST_IP6:
		return true
	}
	return false
}

func parseCt(p *parser) (expr, error) {
	e := &ct{key: p.be32(unix.NFTA_CT_KEY, ^uint32(0)), dir: -1, family: p.table.family}
	if p.has(unix.NFTA_CT_DIRECTION) {
		if e.dir = int(p.be8(unix.NFTA_CT_DIRECTION)); e.dir > 1 {
			return nil, unix.EINVAL
		}
	}
	if ctDirectional(e.key) && e.dir < 0 {
		return nil, unix.EINVAL
	}
	switch e.key {
	case unix.NFT_CT_STATE, unix.NFT_CT_STATUS, unix.NFT_CT_MARK, unix.NFT_CT_EXPIRATION, unix.NFT_CT_SRC_IP, unix.NFT_CT_DST_IP, unix.NFT_CT_ID:
		e.n = 4
	case unix.NFT_CT_DIRECTION, unix.NFT_CT_L3PROTOCOL, unix.NFT_CT_PROTOCOL:
		e.n = 1
	case unix.NFT_CT_PROTO_SRC, unix.NFT_CT_PROTO_DST:
		e.n = 2
	case unix.NFT_CT_SRC_IP6, unix.NFT_CT_DST_IP6:
		e.n = 16
	case unix.NFT_CT_SRC, unix.NFT_CT_DST:
		switch e.family {
		case family4:
			e.n = 4
		case family6:
			e.n = 16
		default:
			return nil, unix.EAFNOSUPPORT
		}
	default:
		return nil, unix.EOPNOTSUPP
	}
	attr := uint16(unix.NFTA_CT_DREG)
	if p.has(unix.NFTA_CT_SREG) {
		attr, e.store = unix.NFTA_CT_SREG, true
		if e.key != unix.NFT_CT_MARK {
			return nil, unix.EOPNOTSUPP
		}
	}
	var err error
	e.reg, err = p.register(attr, e.n)
	return e, err
}

func (*ct) demands() demands { return demands{track: true} }

func (e *ct) eval(r *registers, c *filter.Context) {
	if e.key == unix.NFT_CT_STATE {
		r.put32(e.reg, c.Info().State())
		return
	}
	conn := c.Conn()
	if conn == nil {
		r.verdict = breakVerdict
		return
	}
	if e.store {
		conn.Mark.Store(r.get32(e.reg))
		return
	}
	tuple := &conn.Orig
	if e.dir == 1 {
		tuple = &conn.Reply
	}
	switch e.key {
	case unix.NFT_CT_STATUS:
		r.put32(e.reg, conn.Status())
	case unix.NFT_CT_MARK:
		r.put32(e.reg, conn.Mark.Load())
	case unix.NFT_CT_EXPIRATION:
		r.put32(e.reg, uint32(c.Filter.Conns.Remaining(conn).Milliseconds()))
	case unix.NFT_CT_ID:
		r.put32(e.reg, conn.ID)
	case unix.NFT_CT_DIRECTION:
		v := uint8(0)
		if c.Info().Reply() {
			v = 1
		}
		r.put8(e.reg, v)
	case unix.NFT_CT_L3PROTOCOL:
		r.put8(e.reg, c.Family)
	case unix.NFT_CT_PROTOCOL:
		r.put8(e.reg, tuple.Proto)
	case unix.NFT_CT_PROTO_SRC:
		r.put16(e.reg, tuple.SPort)
	case unix.NFT_CT_PROTO_DST:
		r.put16(e.reg, tuple.DPort)
	default:
		a := tuple.Src
		if e.key == unix.NFT_CT_DST || e.key == unix.NFT_CT_DST_IP || e.key == unix.NFT_CT_DST_IP6 {
			a = tuple.Dst
		}
		if a.BitLen() != e.n*8 {
			r.verdict = breakVerdict
			return
		}
		r.put(e.reg, a.AsSlice())
	}
}

func (e *ct) dump(d *dumper) {
	if e.store {
		d.AttrBE32(unix.NFTA_CT_KEY, e.key)
		d.attrRegister(unix.NFTA_CT_SREG, e.reg)
		return
	}
	d.attrRegister(unix.NFTA_CT_DREG, e.reg)
	d.AttrBE32(unix.NFTA_CT_KEY, e.key)
	if e.dir >= 0 {
		d.Attr8(unix.NFTA_CT_DIRECTION, uint8(e.dir))
	}
}

// notrack exempts the packet from connection tracking.
type notrack struct{}

func parseNotrack(*parser) (expr, error) { return notrack{}, nil }

func (notrack) eval(_ *registers, c *filter.Context) {
	if c.Info() == conntrack.None {
		c.Packet.ConnInfo = uint8(conntrack.Untracked)
	}
}

func (notrack) dump(*dumper) {}

// natExpr replaces an end of the connection.
type natExpr struct {
	manip              conntrack.Manip
	family             uint8
	addrMin, addrMax   register
	protoMin, protoMax register
	flags              uint32
}

func parseNat(p *parser) (expr, error) {
	e := &natExpr{family: uint8(p.be32(unix.NFTA_NAT_FAMILY, 0)), flags: p.be32(unix.NFTA_NAT_FLAGS, 0), addrMin: noRegister, addrMax: noRegister, protoMin: noRegister, protoMax: noRegister}
	switch p.be32(unix.NFTA_NAT_TYPE, ^uint32(0)) {
	case unix.NFT_NAT_SNAT:
		e.manip = conntrack.Source
	case unix.NFT_NAT_DNAT:
		e.manip = conntrack.Destination
	default:
		return nil, unix.EOPNOTSUPP
	}
	n := 4
	switch {
	case e.family != family4 && e.family != family6:
		return nil, unix.EAFNOSUPPORT
	case p.table.family != familyInet && p.table.family != e.family:
		return nil, unix.EOPNOTSUPP
	case e.family == family6:
		n = 16
	}
	if e.flags&^natFlags != 0 {
		return nil, unix.EOPNOTSUPP
	}
	var err error
	if e.addrMin, e.addrMax, err = p.registerRange(unix.NFTA_NAT_REG_ADDR_MIN, unix.NFTA_NAT_REG_ADDR_MAX, n); err != nil {
		return nil, err
	}
	e.protoMin, e.protoMax, err = p.registerRange(unix.NFTA_NAT_REG_PROTO_MIN, unix.NFTA_NAT_REG_PROTO_MAX, 2)
	return e, err
}

// natFlags are the NF_NAT_RANGE_* that rules can have.
const natFlags = unix.NF_NAT_RANGE_MASK

// registerRange reads two registers, of which the second may be left out: then it is the
// first.
func (p *parser) registerRange(minAttr, maxAttr uint16, n int) (low, high register, err error) {
	if low, err = p.optional(minAttr, n); err != nil || low == noRegister {
		return noRegister, noRegister, err
	}
	if high, err = p.optional(maxAttr, n); err == nil && high == noRegister {
		high = low
	}
	return low, high, err
}

func (e *natExpr) demands() demands {
	hooks := uint(1<<unix.NF_INET_PRE_ROUTING | 1<<unix.NF_INET_LOCAL_OUT)
	if e.manip == conntrack.Source {
		hooks = 1<<unix.NF_INET_POST_ROUTING | 1<<unix.NF_INET_LOCAL_IN
	}
	return demands{track: true, nat: true, hooks: hooks}
}

// ports adds the ports of two registers to what a connection gets.
func (r *registers) ports(n *conntrack.Range, low, high register) {
	if low != noRegister {
		n.MinPort, n.MaxPort = r.get16(low), r.get16(high)
		n.Flags |= unix.NF_NAT_RANGE_PROTO_SPECIFIED
	}
}

func (e *natExpr) eval(r *registers, c *filter.Context) {
	if c.Family != e.family {
		r.verdict = breakVerdict
		return
	}
	n := conntrack.Range{Flags: e.flags}
	if e.addrMin != noRegister {
		n.MinAddr, n.MaxAddr = r.addr(e.addrMin, e.family), r.addr(e.addrMax, e.family)
		n.Flags |= unix.NF_NAT_RANGE_MAP_IPS
	}
	r.ports(&n, e.protoMin, e.protoMax)
	r.verdict = int32(c.Replace(e.manip, &n))
}

func (e *natExpr) dump(d *dumper) {
	typ := uint32(unix.NFT_NAT_SNAT)
	if e.manip == conntrack.Destination {
		typ = unix.NFT_NAT_DNAT
	}
	d.AttrBE32(unix.NFTA_NAT_TYPE, typ)
	d.AttrBE32(unix.NFTA_NAT_FAMILY, uint32(e.family))
	d.attrRegister(unix.NFTA_NAT_REG_ADDR_MIN, e.addrMin)
	d.attrRegister(unix.NFTA_NAT_REG_ADDR_MAX, e.addrMax)
	d.attrRegister(unix.NFTA_NAT_REG_PROTO_MIN, e.protoMin)
	d.attrRegister(unix.NFTA_NAT_REG_PROTO_MAX, e.protoMax)
	if e.flags != 0 {
		d.AttrBE32(unix.NFTA_NAT_FLAGS, e.flags)
	}
}

// local is masquerade or redirect.
type local struct {
	redirect           bool
	flags              uint32
	protoMin, protoMax register
}

func parseMasq(p *parser) (expr, error) {
	e := &local{flags: p.be32(unix.NFTA_MASQ_FLAGS, 0)}
	if e.flags&^natFlags != 0 {
		return nil, unix.EINVAL
	}
	var err error
	e.protoMin, e.protoMax, err = p.registerRange(unix.NFTA_MASQ_REG_PROTO_MIN, unix.NFTA_MASQ_REG_PROTO_MAX, 2)
	return e, err
}

func parseRedir(p *parser) (expr, error) {
	e := &local{redirect: true, flags: p.be32(unix.NFTA_REDIR_FLAGS, 0)}
	if e.flags&^natFlags != 0 {
		return nil, unix.EINVAL
	}
	var err error
	e.protoMin, e.protoMax, err = p.registerRange(unix.NFTA_REDIR_REG_PROTO_MIN, unix.NFTA_REDIR_REG_PROTO_MAX, 2)
	return e, err
}

func (e *local) demands() demands {
	if e.redirect {
		return demands{track: true, nat: true, hooks: 1<<unix.NF_INET_PRE_ROUTING | 1<<unix.NF_INET_LOCAL_OUT}
	}
	return demands{track: true, nat: true, hooks: 1 << unix.NF_INET_POST_ROUTING}
}

func (e *local) eval(r *registers, c *filter.Context) {
	n := conntrack.Range{Flags: e.flags}
	r.ports(&n, e.protoMin, e.protoMax)
	if e.redirect {
		r.verdict = int32(c.Redirect(n))
	} else {
		r.verdict = int32(c.Masquerade(n))
	}
}

func (e *local) dump(d *dumper) {
	flags, low, high := uint16(unix.NFTA_MASQ_FLAGS), uint16(unix.NFTA_MASQ_REG_PROTO_MIN), uint16(unix.NFTA_MASQ_REG_PROTO_MAX)
	if e.redirect {
		flags, low, high = unix.NFTA_REDIR_FLAGS, unix.NFTA_REDIR_REG_PROTO_MIN, unix.NFTA_REDIR_REG_PROTO_MAX
	}
	if e.flags != 0 {
		d.AttrBE32(flags, e.flags)
	}
	d.attrRegister(low, e.protoMin)
	d.attrRegister(high, e.protoMax)
}
