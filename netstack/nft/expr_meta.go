package nft

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
	"casemate/netstack/ip"
	"casemate/netstack/pkt"
)

// Keys of meta that x/sys does not name.
const (
	metaTimeNS   = 30 // NFT_META_TIME_NS
	metaTimeDay  = 31 // NFT_META_TIME_DAY
	metaTimeHour = 32 // NFT_META_TIME_HOUR
)

// metaSizes are the lengths of what meta loads, in bytes.
var metaSizes = map[uint32]int{
	unix.NFT_META_LEN: 4, unix.NFT_META_PROTOCOL: 2, unix.NFT_META_PRIORITY: 4, unix.NFT_META_MARK: 4, unix.NFT_META_IIF: 4, unix.NFT_META_OIF: 4,
	unix.NFT_META_IIFNAME: unix.IFNAMSIZ, unix.NFT_META_OIFNAME: unix.IFNAMSIZ, unix.NFT_META_IIFTYPE: 2, unix.NFT_META_OIFTYPE: 2,
	unix.NFT_META_SKUID: 4, unix.NFT_META_SKGID: 4, unix.NFT_META_NFTRACE: 1, unix.NFT_META_NFPROTO: 1, unix.NFT_META_L4PROTO: 1,
	unix.NFT_META_PKTTYPE: 1, unix.NFT_META_CPU: 4, unix.NFT_META_IIFGROUP: 4, unix.NFT_META_OIFGROUP: 4, unix.NFT_META_PRANDOM: 4,
	metaTimeNS: 8, metaTimeDay: 1, metaTimeHour: 4,
}

// meta loads what is known of the packet, or sets its mark.
type meta struct {
	key   uint32
	reg   register
	store bool
}

func parseMeta(p *parser) (expr, error) {
	e := &meta{key: p.be32(unix.NFTA_META_KEY, ^uint32(0))}
	n, ok := metaSizes[e.key]
	if !ok {
		return nil, unix.EOPNOTSUPP
	}
	attr := uint16(unix.NFTA_META_DREG)
	if p.has(unix.NFTA_META_SREG) {
		attr, e.store = unix.NFTA_META_SREG, true
		switch e.key {
		case unix.NFT_META_MARK, unix.NFT_META_PKTTYPE:
		default:
			return nil, unix.EOPNOTSUPP
		}
	}
	var err error
	e.reg, err = p.register(attr, n)
	return e, err
}

func (e *meta) eval(r *registers, c *filter.Context) {
	if e.store {
		if e.key == unix.NFT_META_MARK {
			c.Packet.Mark = r.get32(e.reg)
		} else if v := r.data[e.reg]; v <= pkt.OtherHost {
			c.Packet.Type = v
		}
		return
	}
	p := c.Packet
	switch e.key {
	case unix.NFT_META_LEN:
		r.put32(e.reg, uint32(p.Len()))
	case unix.NFT_META_PROTOCOL:
		proto := uint16(unix.ETH_P_IP)
		if c.Family == unix.AF_INET6 {
			proto = unix.ETH_P_IPV6
		}
		r.put16(e.reg, proto)
	case unix.NFT_META_PRIORITY, unix.NFT_META_CPU, unix.NFT_META_IIFGROUP, unix.NFT_META_OIFGROUP:
		r.put32(e.reg, 0)
	case unix.NFT_META_MARK:
		r.put32(e.reg, p.Mark)
	case unix.NFT_META_IIF, unix.NFT_META_IIFNAME, unix.NFT_META_IIFTYPE:
		e.device(r, c.In, unix.NFT_META_IIF)
	case unix.NFT_META_OIF, unix.NFT_META_OIFNAME, unix.NFT_META_OIFTYPE:
		e.device(r, c.Out, unix.NFT_META_OIF)
	case unix.NFT_META_SKUID, unix.NFT_META_SKGID:
		id := p.UID
		if e.key == unix.NFT_META_SKGID {
			id = p.GID
		}
		if !p.Owned || c.In != nil {
			r.verdict = breakVerdict
			return
		}
		r.put32(e.reg, id)
	case unix.NFT_META_NFTRACE:
		r.put8(e.reg, 0)
	case unix.NFT_META_NFPROTO:
		r.put8(e.reg, c.Family)
	case unix.NFT_META_L4PROTO:
		_, proto, _ := c.Transport()
		r.put8(e.reg, proto)
	case unix.NFT_META_PKTTYPE:
		r.put8(e.reg, packetType(c))
	case unix.NFT_META_PRANDOM:
		r.put32(e.reg, rand.Uint32())
	default:
		e.time(r, c.Filter.Stack.Wheel.Wall())
	}
}

func (e *meta) demands() demands {
	if e.store && e.key == unix.NFT_META_PKTTYPE {
		return demands{hooks: 1 << unix.NF_INET_PRE_ROUTING}
	}
	return demands{}
}

// packetType is the PACKET_* of the packet. Those of this host go to one that loops back.
func packetType(c *filter.Context) uint8 {
	if c.In == nil && c.Out != nil && c.Out.IsLoopback() {
		return unix.PACKET_LOOPBACK
	}
	return c.Packet.Type
}

// device loads something about an interface. There is none at some hooks: then its index is
// 0 and its name empty.
func (e *meta) device(r *registers, i *ip.Interface, index uint32) {
	switch e.key {
	case unix.NFT_META_IIFNAME, unix.NFT_META_OIFNAME:
		var name [unix.IFNAMSIZ]byte
		copy(name[:], filter.Name(i))
		r.put(e.reg, name[:])
		return
	case index:
		v := uint32(0)
		if i != nil {
			v = uint32(i.Index())
		}
		r.put32(e.reg, v)
		return
	}
	if i == nil {
		r.verdict = breakVerdict
		return
	}
	r.put32(e.reg, 0)
	binary.NativeEndian.PutUint16(r.data[e.reg:], i.Info().Type)
}

func (e *meta) time(r *registers, now time.Time) {
	switch e.key {
	case metaTimeNS:
		binary.NativeEndian.PutUint64(r.data[e.reg:], uint64(now.UnixNano()))
	case metaTimeDay:
		r.put8(e.reg, uint8(now.UTC().Weekday()))
	case metaTimeHour:
		r.put32(e.reg, uint32(now.Unix()%86400))
	}
}

func (e *meta) dump(d *dumper) {
	d.AttrBE32(unix.NFTA_META_KEY, e.key)
	if e.store {
		d.attrRegister(unix.NFTA_META_SREG, e.reg)
	} else {
		d.attrRegister(unix.NFTA_META_DREG, e.reg)
	}
}

// fib asks the routing tables.
type fib struct {
	to            register
	result, flags uint32
}

func parseFib(p *parser) (expr, error) {
	e := &fib{result: p.be32(unix.NFTA_FIB_RESULT, 0), flags: p.be32(unix.NFTA_FIB_FLAGS, 0)}
	addrs := e.flags & (unix.NFTA_FIB_F_SADDR | unix.NFTA_FIB_F_DADDR)
	if addrs == 0 || addrs == unix.NFTA_FIB_F_SADDR|unix.NFTA_FIB_F_DADDR || e.flags&^31 != 0 && e.flags&^(31|unix.NFTA_FIB_F_PRESENT) != 0 {
		return nil, unix.EINVAL
	}
	n := 4
	switch e.result {
	case unix.NFT_FIB_RESULT_OIF, unix.NFT_FIB_RESULT_ADDRTYPE:
	case unix.NFT_FIB_RESULT_OIFNAME:
		n = unix.IFNAMSIZ
	default:
		return nil, unix.EINVAL
	}
	var err error
	e.to, err = p.register(unix.NFTA_FIB_DREG, n)
	return e, err
}

func (e *fib) eval(r *registers, c *filter.Context) {
	a := c.Packet.Src
	if e.flags&unix.NFTA_FIB_F_DADDR != 0 {
		a = c.Packet.Dst
	}
	var dev *ip.Interface
	switch {
	case e.flags&unix.NFTA_FIB_F_IIF != 0:
		dev = c.In
	case e.flags&unix.NFTA_FIB_F_OIF != 0:
		dev = c.Out
	}
	s := c.Filter.Stack
	if e.result == unix.NFT_FIB_RESULT_ADDRTYPE {
		r.put32(e.to, uint32(s.AddrType(a, dev)))
		return
	}
	mark, oif := uint32(0), int32(0)
	if e.flags&unix.NFTA_FIB_F_MARK != 0 {
		mark = c.Packet.Mark
	}
	if dev != nil {
		oif = dev.Index()
	}
	var found *ip.Interface
	if way, err := s.Lookup(netip.Addr{}, a, oif, mark); err == nil {
		if found = way.Iface; way.Type == unix.RTN_LOCAL {
			found = s.InterfaceByAddr(a)
		}
	}
	switch {
	case e.flags&unix.NFTA_FIB_F_PRESENT != 0:
		v := uint32(0)
		if found != nil {
			v = 1
		}
		r.put32(e.to, v)
	case e.result == unix.NFT_FIB_RESULT_OIF:
		v := uint32(0)
		if found != nil {
			v = uint32(found.Index())
		}
		r.put32(e.to, v)
	default:
		var name [unix.IFNAMSIZ]byte
		copy(name[:], filter.Name(found))
		r.put(e.to, name[:])
	}
}

func (e *fib) dump(d *dumper) {
	d.attrRegister(unix.NFTA_FIB_DREG, e.to)
	d.AttrBE32(unix.NFTA_FIB_RESULT, e.result)
	d.AttrBE32(unix.NFTA_FIB_FLAGS, e.flags)
}

// rt loads what the packet's route has.
type rt struct {
	to  register
	key uint32
}

func parseRt(p *parser) (expr, error) {
	e := &rt{key: p.be32(unix.NFTA_RT_KEY, ^uint32(0))}
	n := 4
	switch e.key {
	case unix.NFT_RT_NEXTHOP4:
	case unix.NFT_RT_NEXTHOP6:
		n = 16
	case unix.NFT_RT_TCPMSS:
		n = 2
	default:
		return nil, unix.EOPNOTSUPP
	}
	var err error
	e.to, err = p.register(unix.NFTA_RT_DREG, n)
	return e, err
}

func (e *rt) eval(r *registers, c *filter.Context) {
	if c.Out == nil {
		r.verdict = breakVerdict
		return
	}
	way, err := c.Filter.Stack.Lookup(netip.Addr{}, c.Packet.Dst, c.Out.Index(), 0)
	if err != nil {
		r.verdict = breakVerdict
		return
	}
	switch {
	case e.key == unix.NFT_RT_TCPMSS:
		binary.NativeEndian.PutUint16(r.data[e.to:], 0)
		r.put32(e.to, 0)
		binary.BigEndian.PutUint16(r.data[e.to:], uint16(c.ClampedMSS(way.MTU)))
	case way.Next.Is4() == (e.key == unix.NFT_RT_NEXTHOP4):
		r.put(e.to, way.Next.AsSlice())
	default:
		r.verdict = breakVerdict
	}
}

func (e *rt) demands() demands {
	hooks := uint(1<<unix.NF_INET_FORWARD | 1<<unix.NF_INET_LOCAL_OUT | 1<<unix.NF_INET_POST_ROUTING)
	if e.key != unix.NFT_RT_TCPMSS {
		hooks |= 1 << unix.NF_INET_LOCAL_IN
	}
	return demands{hooks: hooks}
}

func (e *rt) dump(d *dumper) {
	d.attrRegister(unix.NFTA_RT_DREG, e.to)
	d.AttrBE32(unix.NFTA_RT_KEY, e.key)
}
