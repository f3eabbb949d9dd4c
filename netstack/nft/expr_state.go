package nft

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
	"casemate/netstack/wire"
)

// counter counts packets.
type counter struct{ filter.Counter }

func parseCounter(p *parser) (expr, error) {
	e := &counter{}
	e.Packets.Store(p.be64(unix.NFTA_COUNTER_PACKETS))
	e.Bytes.Store(p.be64(unix.NFTA_COUNTER_BYTES))
	return e, nil
}

func (e *counter) eval(_ *registers, c *filter.Context) { e.Count(c) }

func (e *counter) reset() {
	e.Packets.Store(0)
	e.Bytes.Store(0)
}

func (e *counter) dump(d *dumper) {
	d.AttrBE64(unix.NFTA_COUNTER_BYTES, e.Bytes.Load())
	d.AttrBE64(unix.NFTA_COUNTER_PACKETS, e.Packets.Load())
}

// limit ends the rule when there are more packets or bytes than a rate.
type limit struct {
	rate       *filter.Rate
	units, per uint64 // of the rate; seconds
	burst      uint32
	bytes, inv bool
}

// limitBurst is the burst of packets that a rule gets that gives none.
const limitBurst = 5

func parseLimit(p *parser) (expr, error) {
	e := &limit{units: p.be64(unix.NFTA_LIMIT_RATE), per: p.be64(unix.NFTA_LIMIT_UNIT), burst: p.be32(unix.NFTA_LIMIT_BURST, 0),
		bytes: p.be32(unix.NFTA_LIMIT_TYPE, 0) == unix.NFT_LIMIT_PKT_BYTES, inv: p.be32(unix.NFTA_LIMIT_FLAGS, 0)&unix.NFT_LIMIT_F_INV != 0}
	if e.units == 0 || e.per == 0 || e.per > 1<<31 {
		return nil, unix.EOVERFLOW
	}
	if !e.bytes && e.burst == 0 {
		e.burst = limitBurst
	}
	full := uint64(e.burst)
	if e.bytes {
		full += e.units
	}
	e.rate = filter.NewRate(e.units, time.Duration(e.per)*time.Second, full)
	return e, nil
}

func (e *limit) eval(r *registers, c *filter.Context) {
	n := uint64(1)
	if e.bytes {
		n = uint64(c.Packet.Len())
	}
	if e.rate.Take(c, n) == e.inv {
		r.verdict = breakVerdict
	}
}

func (e *limit) dump(d *dumper) {
	d.AttrBE64(unix.NFTA_LIMIT_RATE, e.units)
	d.AttrBE64(unix.NFTA_LIMIT_UNIT, e.per)
	d.AttrBE32(unix.NFTA_LIMIT_BURST, e.burst)
	typ, flags := uint32(unix.NFT_LIMIT_PKTS), uint32(0)
	if e.bytes {
		typ = unix.NFT_LIMIT_PKT_BYTES
	}
	if e.inv {
		flags = unix.NFT_LIMIT_F_INV
	}
	d.AttrBE32(unix.NFTA_LIMIT_TYPE, typ)
	d.AttrBE32(unix.NFTA_LIMIT_FLAGS, flags)
}

// quota holds until so many bytes have been seen, or (over) from then on.
type quota struct {
	bytes    uint64
	over     bool
	consumed atomic.Uint64
}

func parseQuota(p *parser) (expr, error) {
	e := &quota{bytes: p.be64(unix.NFTA_QUOTA_BYTES), over: p.be32(unix.NFTA_QUOTA_FLAGS, 0)&unix.NFT_QUOTA_F_INV != 0}
	e.consumed.Store(p.be64(unix.NFTA_QUOTA_CONSUMED))
	if int64(e.bytes) < 0 {
		return nil, unix.EOVERFLOW
	}
	return e, nil
}

func (e *quota) eval(r *registers, c *filter.Context) {
	if n := e.consumed.Add(uint64(c.Packet.Len())); (n > e.bytes) != e.over {
		r.verdict = breakVerdict
	}
}

func (e *quota) reset() { e.consumed.Store(0) }

func (e *quota) dump(d *dumper) {
	flags := uint32(0)
	if e.over {
		flags = unix.NFT_QUOTA_F_INV
	}
	d.AttrBE64(unix.NFTA_QUOTA_BYTES, e.bytes)
	d.AttrBE64(unix.NFTA_QUOTA_CONSUMED, min(e.consumed.Load(), e.bytes))
	d.AttrBE32(unix.NFTA_QUOTA_FLAGS, flags)
}

// Attributes of last that x/sys does not name.
const (
	attrLastSet   = 1 // NFTA_LAST_SET
	attrLastMsecs = 2 // NFTA_LAST_MSECS
)

// last notes when a packet was seen last.
type last struct {
	now func() time.Duration
	at  atomic.Int64 // 0: never
}

func parseLast(p *parser) (expr, error) {
	w := p.tx.r.filter.Stack.Wheel
	e := &last{now: w.Now}
	if p.be32(attrLastSet, 0) != 0 {
		e.at.Store(int64(w.Now() - time.Duration(p.be64(attrLastMsecs))*time.Millisecond))
	}
	return e, nil
}

func (e *last) eval(*registers, *filter.Context) { e.at.Store(int64(e.now())) }

func (e *last) dump(d *dumper) {
	at := e.at.Load()
	set, ms := uint32(0), uint64(0)
	if at != 0 {
		set, ms = 1, uint64((e.now()-time.Duration(at))/time.Millisecond)
	}
	d.AttrBE32(attrLastSet, set)
	d.AttrBE64(attrLastMsecs, ms)
}

// log writes a line to the kernel's log. With a group it would be for a program that listens
// by nfnetlink_log; there can be none, so nothing happens then, as in Linux.
type log struct {
	prefix     string
	level      uint32
	flags      uint32
	group      uint16
	hasGroup   bool
	snaplen    uint32
	qthreshold uint16
	hasSnaplen bool
}

// Bounds of log.
const (
	logLevelWarning = 4
	maxLogPrefix    = 127 // NF_LOG_PREFIXLEN with its NUL: 128
)

func parseLog(p *parser) (expr, error) {
	e := &log{prefix: string(p.attrs[unix.NFTA_LOG_PREFIX]), level: p.be32(unix.NFTA_LOG_LEVEL, logLevelWarning), flags: p.be32(unix.NFTA_LOG_FLAGS, 0),
		hasGroup: p.has(unix.NFTA_LOG_GROUP), group: p.be16(unix.NFTA_LOG_GROUP), hasSnaplen: p.has(unix.NFTA_LOG_SNAPLEN),
		snaplen: p.be32(unix.NFTA_LOG_SNAPLEN, 0), qthreshold: p.be16(unix.NFTA_LOG_QTHRESHOLD)}
	for len(e.prefix) > 0 && e.prefix[len(e.prefix)-1] == 0 {
		e.prefix = e.prefix[:len(e.prefix)-1]
	}
	if len(e.prefix) > maxLogPrefix || e.hasGroup && (p.has(unix.NFTA_LOG_LEVEL) || p.has(unix.NFTA_LOG_FLAGS)) {
		return nil, unix.EINVAL
	}
	if e.level > unix.NFT_LOGLEVEL_MAX {
		return nil, unix.EINVAL
	}
	return e, nil
}

func (e *log) eval(_ *registers, c *filter.Context) {
	if !e.hasGroup && e.level < unix.NFT_LOGLEVEL_MAX {
		c.LogPacket(e.prefix, uint8(e.flags))
	}
}

func (e *log) dump(d *dumper) {
	if e.prefix != "" {
		d.AttrString(unix.NFTA_LOG_PREFIX, e.prefix)
	}
	if e.hasGroup {
		d.AttrBE16(unix.NFTA_LOG_GROUP, e.group)
		if e.hasSnaplen {
			d.AttrBE32(unix.NFTA_LOG_SNAPLEN, e.snaplen)
		}
		if e.qthreshold != 0 {
			d.AttrBE16(unix.NFTA_LOG_QTHRESHOLD, e.qthreshold)
		}
		return
	}
	d.AttrBE32(unix.NFTA_LOG_LEVEL, e.level)
	if e.flags != 0 {
		d.AttrBE32(unix.NFTA_LOG_FLAGS, e.flags)
	}
}

// reject drops the packet and tells its sender.
type reject struct {
	typ  uint32
	code uint8
}

// rejectICMPX is NFT_REJECT_ICMPX_UNREACH: a code that stands for one of each family.
const rejectICMPX = 2

func parseReject(p *parser) (expr, error) {
	e := &reject{typ: p.be32(unix.NFTA_REJECT_TYPE, ^uint32(0)), code: p.be8(unix.NFTA_REJECT_ICMP_CODE)}
	switch e.typ {
	case unix.NFT_REJECT_TCP_RST:
	case unix.NFT_REJECT_ICMP_UNREACH:
		if !p.has(unix.NFTA_REJECT_ICMP_CODE) {
			return nil, unix.EINVAL
		}
	case rejectICMPX:
		if !p.has(unix.NFTA_REJECT_ICMP_CODE) || e.code > unix.NFT_REJECT_ICMPX_MAX {
			return nil, unix.EINVAL
		}
	default:
		return nil, unix.EINVAL
	}
	return e, nil
}

func (*reject) demands() demands {
	return demands{hooks: 1<<unix.NF_INET_LOCAL_IN | 1<<unix.NF_INET_FORWARD | 1<<unix.NF_INET_LOCAL_OUT | 1<<unix.NF_INET_PRE_ROUTING}
}

// icmpx are the codes that those of NFT_REJECT_ICMPX_* stand for.
var icmpx = map[uint8][2]uint8{
	unix.NFT_REJECT_ICMPX_NO_ROUTE:         {wire.ICMPNetUnreachable, wire.ICMPv6NoRoute},
	unix.NFT_REJECT_ICMPX_PORT_UNREACH:     {wire.ICMPPortUnreachable, wire.ICMPv6PortUnreachable},
	unix.NFT_REJECT_ICMPX_HOST_UNREACH:     {wire.ICMPHostUnreachable, wire.ICMPv6AddrUnreachable},
	unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED: {wire.ICMPAdminProhibited, wire.ICMPv6AdminProhibited},
}

func (e *reject) eval(r *registers, c *filter.Context) {
	code := e.code
	switch e.typ {
	case unix.NFT_REJECT_TCP_RST:
		c.RejectReset()
		r.verdict = dropVerdict
		return
	case rejectICMPX:
		code = icmpx[e.code][0]
		if c.Family == unix.AF_INET6 {
			code = icmpx[e.code][1]
		}
	}
	c.RejectUnreachable(code)
	r.verdict = dropVerdict
}

func (e *reject) dump(d *dumper) {
	d.AttrBE32(unix.NFTA_REJECT_TYPE, e.typ)
	if e.typ != unix.NFT_REJECT_TCP_RST {
		d.Attr8(unix.NFTA_REJECT_ICMP_CODE, e.code)
	}
}
