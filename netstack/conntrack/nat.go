package conntrack

import (
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A Range is what an address and a port may be replaced by.
type Range struct {
	Flags            uint32     // NF_NAT_RANGE_*
	MinAddr, MaxAddr netip.Addr // with NF_NAT_RANGE_MAP_IPS
	MinPort, MaxPort uint16     // with NF_NAT_RANGE_PROTO_SPECIFIED
	BasePort         uint16     // with NF_NAT_RANGE_PROTO_OFFSET: the port that MinPort stands for
}

// A Manip says which end of a packet is replaced.
type Manip uint8

// The two.
const (
	Source Manip = iota
	Destination
)

func (m Manip) done() uint32 {
	if m == Source {
		return SNATDone
	}
	return DNATDone
}

func (m Manip) status() uint32 {
	if m == Source {
		return SNAT
	}
	return DNAT
}

// Decided reports whether it has been decided what replaces an end of a connection.
func (c *Conn) Decided(m Manip) bool { return c.status.Load()&m.done() != 0 }

// maxTries bounds the search for a port that is free.
const maxTries = 128

// Replace decides what replaces an end of a new connection, whose first packet the caller
// has: something in r that makes the connection unique, or with the zero Range what is there,
// unless replies to it would belong to another connection. False if nothing is free.
func (t *Table) Replace(c *Conn, m Manip, r *Range) bool {
	if c.Decided(m) || c.status.Load()&Confirmed != 0 {
		return true
	}
	now := c.Reply.Reverse() // as the packet is after what has been replaced so far
	k, ok := t.choose(now, c, m, r)
	if !ok {
		return false
	}
	if k != now {
		c.Reply = k.Reverse()
		c.status.Or(m.status())
	}
	c.status.Or(m.done())
	return true
}

// choose finds the tuple that replaces k.
func (t *Table) choose(k Tuple, c *Conn, m Manip, r *Range) (Tuple, bool) {
	const random = unix.NF_NAT_RANGE_PROTO_RANDOM_ALL
	free := func(k *Tuple) bool {
		rev := k.Reverse()
		return !t.used(&rev)
	}
	if r.Flags&unix.NF_NAT_RANGE_MAP_IPS != 0 {
		a := &k.Src
		if m == Destination {
			a = &k.Dst
		}
		*a = t.address(k, c, *a, m, r)
	}
	port, low, high := &k.SPort, uint16(0), uint16(0)
	if m == Destination {
		port = &k.DPort
	}
	specified := r.Flags&unix.NF_NAT_RANGE_PROTO_SPECIFIED != 0
	switch {
	case !hasPorts(k.Proto) && !k.isICMP():
		return k, true
	case k.isICMP():
		if m == Destination {
			return k, true
		}
		low, high = 0, 65535
		if specified {
			low, high = r.MinPort, r.MaxPort
		}
	case specified:
		low, high = r.MinPort, r.MaxPort
		if high < low {
			low, high = high, low
		}
	case m == Destination:
		return k, true
	case *port < 512:
		low, high = 1, 511
	case *port < 1024:
		low, high = 600, 1023
	default:
		low, high = 1024, 65535
	}
	if r.Flags&random == 0 && r.Flags&unix.NF_NAT_RANGE_PROTO_OFFSET == 0 {
		if (!specified || *port >= low && *port <= high) && free(&k) {
			return k, true
		}
		if specified && low == high && m == Destination {
			*port = low
			return k, true
		}
	}
	n := uint32(high-low) + 1
	var off uint32
	switch {
	case r.Flags&unix.NF_NAT_RANGE_PROTO_OFFSET != 0:
		off = uint32(*port - r.BasePort)
	case r.Flags&random != 0 || m == Source:
		off = rand.Uint32N(n)
	}
	for try := range min(n, maxTries) {
		*port = low + uint16((off+try)%n)
		if free(&k) {
			return k, true
		}
	}
	// As Linux does with destinations: several connections may have the same one.
	return k, m == Destination
}

// address chooses an address of r's: always the same for a host, or with
// NF_NAT_RANGE_PERSISTENT left out, for a pair of hosts.
func (t *Table) address(k Tuple, c *Conn, old netip.Addr, m Manip, r *Range) netip.Addr {
	if r.MinAddr == r.MaxAddr || !r.MaxAddr.IsValid() {
		return r.MinAddr
	}
	if r.Flags&unix.NF_NAT_RANGE_NETMAP != 0 {
		return netmap(old, r.MinAddr, r.MaxAddr)
	}
	if m == Source && old.Compare(r.MinAddr) >= 0 && old.Compare(r.MaxAddr) <= 0 {
		return old
	}
	pair := [2]netip.Addr{c.Orig.Src}
	if r.Flags&unix.NF_NAT_RANGE_PERSISTENT == 0 {
		pair[1] = k.Dst
	}
	h := maphash.Comparable(t.seed, pair)
	if r.MinAddr.Is4() {
		lo, hi := r.MinAddr.As4(), r.MaxAddr.As4()
		l, n := binary.BigEndian.Uint32(lo[:]), uint64(binary.BigEndian.Uint32(hi[:]))
		binary.BigEndian.PutUint32(lo[:], l+uint32(h%(n-uint64(l)+1)))
		return netip.AddrFrom4(lo)
	}
	// The low 64 bits vary; what lies between ranges that differ above them is not all used.
	lo, hi := r.MinAddr.As16(), r.MaxAddr.As16()
	l, n := binary.BigEndian.Uint64(lo[8:]), binary.BigEndian.Uint64(hi[8:])
	if d := n - l; n >= l && d != ^uint64(0) {
		h %= d + 1
	}
	binary.BigEndian.PutUint64(lo[8:], l+h)
	return netip.AddrFrom16(lo)
}

// netmap keeps the bits of a that differ between the ends of a range.
func netmap(a, lo, hi netip.Addr) netip.Addr {
	if a.BitLen() != lo.BitLen() {
		return lo
	}
	x, l, h := a.AsSlice(), lo.AsSlice(), hi.AsSlice()
	for i := range x {
		mask := l[i] ^ h[i]
		x[i] = x[i]&mask | l[i]&^mask
	}
	n, _ := netip.AddrFromSlice(x)
	return n
}
