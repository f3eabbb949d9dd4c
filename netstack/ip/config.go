package ip

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// config is what input and output look up: an immutable snapshot.
type config struct {
	ifaces    []*Interface
	byIndex   map[int32]*Interface
	local     map[netip.Addr]localAddr
	localNets []localNet // of loopback interfaces: all of 127.0.0.0/8 is local
	bcast     map[netip.Addr]*Interface
	addrs     map[int32][]Address
	tables    map[uint32]*table
	main, def *table    // of tables; empty if there are none
	rules     [2][]Rule // of IPv4, of IPv6, by priority
	plain     [2]bool   // the rules are those of a new namespace
	routes    []RouteEntry
	addressed bool // some interface has, or has had, an address of IPv4
}

type localAddr struct {
	iface *Interface
	addr  Address
}

type localNet struct {
	net   netip.Prefix
	src   netip.Addr
	iface *Interface
}

// rebuild publishes a new snapshot. s.mu is held.
func (s *Stack) rebuild() {
	c := &config{ifaces: s.mu.ifaces, byIndex: map[int32]*Interface{}, local: map[netip.Addr]localAddr{},
		bcast: map[netip.Addr]*Interface{}, addrs: map[int32][]Address{}, tables: map[uint32]*table{},
		routes: s.mu.routes, rules: s.mu.rules, plain: [2]bool{slices.Equal(s.mu.rules[0], defaultRules(false)), slices.Equal(s.mu.rules[1], defaultRules(true))}}
	for _, i := range s.mu.ifaces {
		c.byIndex[i.index] = i
		c.addrs[i.index] = i.addrs
		for _, a := range i.addrs {
			ad := a.Prefix.Addr()
			c.addressed = c.addressed || ad.Is4()
			if a.Flags&unix.IFA_F_TENTATIVE != 0 {
				continue
			}
			if !i.up() && (ad.Is6() || i.loopback()) {
				continue // IPv4 addresses stay local while their interface is down
			}
			if _, ok := c.local[ad]; !ok {
				c.local[ad] = localAddr{i, a}
			}
			if ad.Is6() || !i.up() {
				continue
			}
			if i.loopback() {
				c.localNets = append(c.localNets, localNet{a.Prefix.Masked(), ad, i})
			}
			if a.Prefix.Bits() < 31 && i.flags.Load()&unix.IFF_BROADCAST != 0 {
				c.bcast[lastAddr(a.Prefix)] = i
				c.bcast[a.Prefix.Masked().Addr()] = i
			}
			if a.Broadcast.IsValid() {
				c.bcast[a.Broadcast] = i
			}
		}
	}
	for _, r := range s.mu.routes {
		if i := c.byIndex[r.OIF]; r.OIF != 0 && (i == nil || !i.up()) {
			continue
		}
		if r.Ways != nil {
			whole := r
			if r.paths = c.paths(&whole); r.paths == nil {
				continue
			}
		}
		t := c.table(r.Table)
		if r.Dst.Addr().Is4() {
			t.v4 = append(t.v4, r)
		} else {
			t.v6 = append(t.v6, r)
		}
	}
	c.main, c.def = c.table(unix.RT_TABLE_MAIN), c.table(unix.RT_TABLE_DEFAULT)
	for _, t := range c.tables {
		t.sort()
	}
	old := s.conf.Load()
	if old != nil {
		c.addressed = c.addressed || old.addressed
	}
	s.conf.Store(c)
	if old != nil && s.watched() {
		s.tellDifference(old, c)
	}
	s.armLifetimes()
	s.gen.Add(1)
}

// table is a routing table: of IPv4 and of IPv6, the longest prefix first, then the least
// metric; of interfaces that are up.
type table struct{ v4, v6 []RouteEntry }

// table is the table with a number, made if there is none. It is called by rebuild only.
func (c *config) table(n uint32) *table {
	t := c.tables[n]
	if t == nil {
		t = new(table)
		c.tables[n] = t
	}
	return t
}

func (t *table) sort() {
	for _, l := range [][]RouteEntry{t.v4, t.v6} {
		slices.SortStableFunc(l, func(a, b RouteEntry) int {
			return cmp.Or(cmp.Compare(b.Dst.Bits(), a.Dst.Bits()), cmp.Compare(a.Metric, b.Metric))
		})
	}
}

// find is the table's entry for a flow, or nil. Entries for a type of service are not used: nothing
// is routed by it.
func (t *table) find(f *flow) *RouteEntry {
	l := t.v6
	if f.dst.Is4() {
		l = t.v4
	}
	for k := range l {
		r := &l[k]
		if !r.Dst.Contains(f.dst) || r.TOS != 0 {
			continue
		}
		if r.paths != nil {
			if r = r.paths.choose(f); r != nil {
				return r
			}
		} else if f.oif == 0 || r.OIF == f.oif {
			return r
		}
	}
	return nil
}

// localIface finds the interface that has the address, and the source to use
// towards it; nil if it is not local.
func (c *config) localIface(a netip.Addr) (*Interface, netip.Addr) {
	if l, ok := c.local[a]; ok {
		return l.iface, a
	}
	if a.Is4() {
		for _, n := range c.localNets {
			if n.net.Contains(a) {
				return n.iface, n.src
			}
		}
	}
	return nil, netip.Addr{}
}

// loopback is the stack's lo.
func (c *config) loopback() *Interface {
	for _, i := range c.ifaces {
		if i.loopback() {
			return i
		}
	}
	return nil
}
