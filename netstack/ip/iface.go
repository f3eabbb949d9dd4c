package ip

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Interface is a network interface of a stack.
type Interface struct {
	// Stats are the interface's counters (/proc/net/dev).
	Stats IfStats

	stack *Stack
	index int32
	// origin is the interface to which the link gives its packets; heir is what that has become.
	origin *Interface
	heir   atomic.Pointer[Interface]
	master atomic.Pointer[port]
	// what follows up to info is of origin
	upper       upper
	notes       Notes
	noLinkLocal atomic.Bool
	info        link.Info
	link        link.Link
	name        atomic.Pointer[string]
	flags       atomic.Uint32
	mtu         atomic.Int32
	mac         atomic.Pointer[wire.MAC]
	activated   atomic.Bool // has been up
	neigh       neighTable
	taps        atomic.Pointer[[]Tap]
	tapMu       sync.Mutex
	noIP6       atomic.Bool  // disable_ipv6
	mtu6        atomic.Int32 // of IPv6 as a router says; 0: mtu
	auto        atomic.Bool  // Autoconfigure
	conf4       conf4
	conf6       conf6

	igmp, mld reporter
	checks    checks
	routers   routers

	addrs     []Address           // guarded by Stack.mu.Mutex
	solicited map[netip.Addr]bool // groups of addrs that have been joined; guarded by it as well
}

// IfStats are an interface's counters.
type IfStats struct {
	RxPackets, RxBytes, RxErrors, RxDropped, Multicast atomic.Uint64
	TxPackets, TxBytes, TxErrors, TxDropped            atomic.Uint64
}

// Tap sees the packets of interfaces (packet(7)). It must not keep p: it
// clones it. p.Type tells the direction.
type Tap interface {
	Tap(i *Interface, p *pkt.Packet)
}

// Address is an address of an interface.
type Address struct {
	Prefix    netip.Prefix // address with the length of its network
	Peer      netip.Addr   // IFA_ADDRESS of a point-to-point address; else invalid
	Broadcast netip.Addr   // IPv4 only; may be invalid
	Scope     uint8        // RT_SCOPE_*
	Flags     uint32       // IFA_F_*
	Label     string
	Preferred uint32 // seconds; ^0 for ever
	Valid     uint32

	auto                bool          // from a router's prefix
	expires, deprecates time.Duration // by the wheel's clock; 0: never
}

// Index is the interface's index, from 1.
func (i *Interface) Index() int32 { return i.index }

// Name is the interface's name.
func (i *Interface) Name() string { return *i.name.Load() }

// Info is the link's, with the interface's own hardware address.
func (i *Interface) Info() link.Info {
	info := i.info
	info.HWAddr = i.HWAddr()
	return info
}

// Activated reports whether the interface has ever been up.
func (i *Interface) Activated() bool { return i.activated.Load() }

// HWAddr is the hardware address.
func (i *Interface) HWAddr() wire.MAC { return *i.mac.Load() }

// SetHWAddr sets the hardware address: EADDRNOTAVAIL if it is no station's. No lock is held.
func (s *Stack) SetHWAddr(i *Interface, mac wire.MAC) error {
	if mac.IsMulticast() || mac == (wire.MAC{}) {
		return unix.EADDRNOTAVAIL
	}
	s.mu.Lock()
	i.mac.Store(&mac)
	s.tell(Event{Interface: i})
	s.mu.Unlock()
	i.tellUpper()
	return nil
}

// Link is what the interface sends by.
func (i *Interface) Link() link.Link { return i.link }

// Stack is the stack that has the interface.
func (i *Interface) Stack() *Stack { return i.stack }

// MTU is in bytes.
func (i *Interface) MTU() int { return int(i.mtu.Load()) }

// Flags are IFF_*.
func (i *Interface) Flags() uint32 { return i.flags.Load() }

// IsLoopback reports whether the interface is a loopback.
func (i *Interface) IsLoopback() bool { return i.loopback() }

func (i *Interface) up() bool       { return i.flags.Load()&unix.IFF_UP != 0 }
func (i *Interface) loopback() bool { return i.flags.Load()&unix.IFF_LOOPBACK != 0 }

// AddInterface makes an interface on l: EEXIST if the name is taken. It is down
// and has no addresses.
func (s *Stack) AddInterface(name string, l link.Link) (*Interface, error) {
	return s.AddInterfaceAt(0, name, l)
}

// AddInterfaceAt is AddInterface with an index of the caller's choice; EEXIST if it
// is taken. 0: the next one that is free.
func (s *Stack) AddInterfaceAt(index int32, name string, l link.Link) (*Interface, error) {
	if index < 0 {
		return nil, unix.EINVAL
	}
	if len(name) == 0 || len(name) >= unix.IFNAMSIZ {
		return nil, unix.EINVAL
	}
	i := s.newInterface(name, l)
	if err := s.insert(i, index); err != nil {
		return nil, err
	}
	if err := l.Attach(i, s.Backlog); err != nil {
		s.RemoveInterface(i.index)
		return nil, err
	}
	return i, nil
}

// newInterface makes an interface that is down and part of no stack yet.
func (s *Stack) newInterface(name string, l link.Link) *Interface {
	i := &Interface{stack: s, info: l.Info(), link: l}
	i.origin = i
	i.name.Store(&name)
	i.flags.Store(i.info.Flags)
	i.mtu.Store(int32(i.info.MTU))
	mac := wire.MAC(i.info.HWAddr)
	i.mac.Store(&mac)
	i.noIP6.Store(s.def6.Disable.Bool())
	i.igmp.init(i, false)
	i.mld.init(i, true)
	return i
}

// RemoveInterface removes an interface with its addresses and routes and
// closes its link: ENODEV if there is none.
func (s *Stack) RemoveInterface(index int32) error {
	i := s.Interface(index)
	if i == nil {
		return ifaceError
	}
	i.endUpper()
	i.release()
	if err := s.extract(i); err != nil {
		return err
	}
	i.link.Close()
	i.quiet()
	return nil
}

// quiet stops all that the interface does by itself, when it goes down or away. No lock is
// held.
func (i *Interface) quiet() {
	i.neigh.flush()
	i.igmp.stop()
	i.mld.stop()
	i.checks.stop()
	i.routers.stop()
}

// awake starts it, when the interface comes up or begins to speak IPv6.
func (i *Interface) awake() {
	i.stack.syncSolicited(i)
	i.igmp.restart()
	i.mld.restart()
	i.checkAddresses()
	i.autoconfigure()
	i.stack.Run()
}

// Interfaces are all interfaces by index.
func (s *Stack) Interfaces() []*Interface { return s.conf.Load().ifaces }

// Interface finds an interface by index, or nil.
func (s *Stack) Interface(index int32) *Interface { return s.conf.Load().byIndex[index] }

// InterfaceByName finds an interface, or nil.
func (s *Stack) InterfaceByName(name string) *Interface {
	for _, i := range s.Interfaces() {
		if i.Name() == name {
			return i
		}
	}
	return nil
}

// SetUp sets or clears IFF_UP. An interface that comes up gets the routes of
// its addresses; the loopback interface gets 127.0.0.1 and ::1, as in Linux. The error is the link's. No
// lock is held.
func (s *Stack) SetUp(i *Interface, up bool) error {
	if c, ok := i.link.(link.Checked); ok && up && !i.up() {
		if err := c.MayRise(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if up == i.up() {
		s.mu.Unlock()
		return nil
	}
	if up {
		i.flags.Or(unix.IFF_UP | i.running())
		i.activated.Store(true)
		i.addLoopback4()
		i.addLoopback6()
		for _, a := range i.addrs {
			s.addConnected(i, a)
		}
	} else {
		i.flags.And(^uint32(unix.IFF_UP | unix.IFF_RUNNING))
		i.mtu6.Store(0)
		// Addresses of IPv4 stay, those of IPv6 do not.
		i.addrs = slices.DeleteFunc(slices.Clone(i.addrs), func(a Address) bool { return a.Prefix.Addr().Is6() })
		s.dropRoutes(i)
	}
	s.tell(Event{Interface: i})
	s.rebuild()
	s.mu.Unlock()
	i.setLinkUp(up)
	i.portChanged()
	if up {
		i.awake()
	} else {
		s.syncSolicited(i)
		i.quiet()
	}
	return nil
}

// addLoopback4 gives lo its address 127.0.0.1 if it has none of IPv4. s.mu is held.
func (i *Interface) addLoopback4() {
	if !i.loopback() || slices.ContainsFunc(i.addrs, func(a Address) bool { return a.Prefix.Addr().Is4() }) {
		return
	}
	lo4 := netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8)
	i.addrs = append(slices.Clone(i.addrs), Address{Prefix: lo4, Scope: unix.RT_SCOPE_HOST, Label: i.Name(),
		Flags: unix.IFA_F_PERMANENT, Preferred: forever, Valid: forever})
}

// addLoopback6 gives lo its address ::1 if it speaks IPv6. s.mu is held.
func (i *Interface) addLoopback6() {
	lo6 := netip.PrefixFrom(netip.IPv6Loopback(), 128)
	if !i.loopback() || i.noIP6.Load() || slices.ContainsFunc(i.addrs, func(a Address) bool { return a.Prefix == lo6 }) {
		return
	}
	i.addrs = append(slices.Clone(i.addrs), Address{Prefix: lo6, Scope: unix.RT_SCOPE_HOST,
		Flags: unix.IFA_F_PERMANENT, Preferred: ^uint32(0), Valid: ^uint32(0)})
}

// SetIPv6 says whether an interface speaks IPv6 (net.ipv6.conf.*.disable_ipv6). One that
// does not loses its addresses and routes of IPv6.
func (s *Stack) SetIPv6(i *Interface, on bool) {
	s.mu.Lock()
	i.noIP6.Store(!on)
	if on {
		if i.up() {
			i.addLoopback6()
		}
	} else {
		i.addrs = slices.DeleteFunc(slices.Clone(i.addrs), func(a Address) bool { return a.Prefix.Addr().Is6() })
		s.mu.routes = slices.DeleteFunc(slices.Clone(s.mu.routes), func(r RouteEntry) bool { return r.OIF == i.index && r.Dst.Addr().Is6() })
	}
	s.rebuild()
	s.mu.Unlock()
	if on {
		i.awake()
	} else {
		i.routers.stop()
		i.checks.stop()
		s.syncSolicited(i)
	}
}

// SetFlags sets and clears flags other than IFF_UP.
func (s *Stack) SetFlags(i *Interface, set, clear uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := i.flags.Load()
	i.flags.And(^(clear &^ unix.IFF_UP))
	i.flags.Or(set &^ unix.IFF_UP)
	if i.flags.Load() != old {
		s.tell(Event{Interface: i})
	}
}

// SetMTU sets the MTU: EINVAL if it is out of range, or the link's error. No lock is held.
func (s *Stack) SetMTU(i *Interface, mtu int) error {
	if mtu < 68 || mtu > 65536 || (i.info.Type == unix.ARPHRD_ETHER && mtu > 65535) {
		return unix.EINVAL
	}
	if c, ok := i.link.(link.Checked); ok {
		if err := c.MayHave(mtu); err != nil {
			return err
		}
	}
	s.mu.Lock()
	i.mtu.Store(int32(mtu))
	s.gen.Add(1)
	s.tell(Event{Interface: i})
	s.mu.Unlock()
	i.tellUpper()
	return nil
}

// Rename gives an interface another name: EEXIST.
func (s *Stack) Rename(i *Interface, name string) error {
	if len(name) == 0 || len(name) >= unix.IFNAMSIZ {
		return unix.EINVAL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.mu.ifaces {
		if o != i && o.Name() == name {
			return unix.EEXIST
		}
	}
	i.rename(name)
	i.addrs = slices.Clone(i.addrs)
	for k := range i.addrs {
		if a := &i.addrs[k]; a.Label == i.Name() {
			a.Label = name
		}
	}
	i.name.Store(&name)
	s.rebuild()
	s.tell(Event{Interface: i})
	return nil
}

// Addresses are the interface's addresses in the order in which they were added.
func (s *Stack) Addresses(i *Interface) []Address {
	now := s.Wheel.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := slices.Clone(i.addrs)
	for k := range l {
		l[k].Valid, l[k].Preferred = left(l[k].expires, now), left(l[k].deprecates, now)
	}
	return l
}

// AddAddress adds an address and, if the interface is up, the route to its
// network: EEXIST if the interface has it, EINVAL if it is no unicast address, EACCES for
// IPv6 on an interface that does not speak it. With IFA_F_TENTATIVE an address of IPv6 is
// used only when it has been checked that nobody else has it (RFC 4862 section 5.4).
func (s *Stack) AddAddress(i *Interface, a Address) error {
	ad := a.Prefix.Addr()
	if !a.Prefix.IsValid() || ad.Is4In6() || ad.IsMulticast() || ad.IsUnspecified() {
		return unix.EINVAL
	}
	if ad.Is6() && ad.Zone() != "" {
		return unix.EINVAL
	}
	if ad.Is6() && i.noIP6.Load() {
		return unix.EACCES
	}
	if a.Valid == 0 {
		a.Valid, a.Preferred = forever, forever
	}
	if !i.mustCheck(&a) {
		a.Flags &^= unix.IFA_F_TENTATIVE
	}
	a.setLifetimes(s.Wheel.Now(), a.Preferred, a.Valid)
	s.mu.Lock()
	for _, o := range i.addrs {
		if o.Prefix.Addr() == ad && (ad.Is6() || o.Prefix.Bits() == a.Prefix.Bits()) {
			s.mu.Unlock()
			return unix.EEXIST
		}
		if ad.Is4() && o.Prefix.Masked() == a.Prefix.Masked() {
			a.Flags |= unix.IFA_F_SECONDARY
		}
	}
	i.addrs = slices.Insert(slices.Clone(i.addrs), i.place(ad), a)
	if i.up() {
		s.addConnected(i, a)
	}
	s.rebuild()
	s.mu.Unlock()
	if ad.Is6() {
		s.syncSolicited(i)
		i.checkAddresses()
	}
	return nil
}

// place is where in addrs an address goes: those of IPv6 are in order of their scopes, the widest and then the
// newest first. s.mu is held.
func (i *Interface) place(a netip.Addr) int {
	if a.Is6() {
		for k, o := range i.addrs {
			if ad := o.Prefix.Addr(); ad.Is6() && (ad.IsLinkLocalUnicast() || !a.IsLinkLocalUnicast()) {
				return k
			}
		}
	}
	return len(i.addrs)
}

// RemoveAddress removes an address with the route to its network:
// EADDRNOTAVAIL if the interface does not have it.
func (s *Stack) RemoveAddress(i *Interface, p netip.Prefix) error {
	s.mu.Lock()
	k := slices.IndexFunc(i.addrs, func(a Address) bool { return a.Prefix == p })
	if k < 0 {
		s.mu.Unlock()
		return unix.EADDRNOTAVAIL
	}
	i.addrs = slices.Delete(slices.Clone(i.addrs), k, k+1)
	last := !slices.ContainsFunc(i.addrs, func(a Address) bool { return a.Prefix.Masked() == p.Masked() })
	s.mu.routes = slices.DeleteFunc(slices.Clone(s.mu.routes), func(r RouteEntry) bool {
		return r.PrefSrc == p.Addr() || last && r.OIF == i.index && r.Protocol == unix.RTPROT_KERNEL && r.Dst == p.Masked()
	})
	s.rebuild()
	s.mu.Unlock()
	if p.Addr().Is6() {
		s.syncSolicited(i)
	}
	return nil
}

// addConnected adds the route to an address's network. s.mu is held.
func (s *Stack) addConnected(i *Interface, a Address) {
	if i.loopback() && (a.Prefix.Addr().Is4() || a.Prefix.Addr() == netip.IPv6Loopback()) || a.Flags&unix.IFA_F_NOPREFIXROUTE != 0 || a.auto {
		return
	}
	r := RouteEntry{Dst: a.Prefix.Masked(), OIF: i.index, Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST,
		Protocol: unix.RTPROT_KERNEL, Scope: unix.RT_SCOPE_LINK}
	if a.Prefix.Addr().Is4() {
		if a.Prefix.IsSingleIP() && !a.Peer.IsValid() {
			return
		}
		if a.Peer.IsValid() {
			r.Dst = netip.PrefixFrom(a.Peer, a.Prefix.Bits()).Masked()
		}
		r.PrefSrc = a.Prefix.Addr()
	} else {
		r.Metric, r.Scope = 256, unix.RT_SCOPE_UNIVERSE
	}
	if !slices.ContainsFunc(s.mu.routes, func(o RouteEntry) bool { return o.same(&r) && o.OIF == r.OIF }) {
		s.mu.routes = append(slices.Clone(s.mu.routes), r)
	}
}

// Has reports whether the interface has an address. It takes no lock.
func (i *Interface) Has(a netip.Addr) bool {
	for _, o := range i.stack.conf.Load().addrs[i.index] {
		if o.Prefix.Addr() == a {
			return true
		}
	}
	return false
}

// AddTap lets t see the packets of all interfaces, those to come as well.
func (s *Stack) AddTap(t Tap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.taps = append(s.mu.taps, t)
	for _, i := range s.mu.ifaces {
		i.AddTap(t)
	}
}

// AddTap lets t see the interface's packets.
func (i *Interface) AddTap(t Tap) {
	i.tapMu.Lock()
	defer i.tapMu.Unlock()
	var l []Tap
	if o := i.taps.Load(); o != nil {
		l = slices.Clone(*o)
	}
	l = append(l, t)
	i.taps.Store(&l)
}

// RemoveTap undoes AddTap.
func (i *Interface) RemoveTap(t Tap) {
	i.tapMu.Lock()
	defer i.tapMu.Unlock()
	o := i.taps.Load()
	if o == nil {
		return
	}
	l := slices.DeleteFunc(slices.Clone(*o), func(x Tap) bool { return x == t })
	if len(l) == 0 {
		i.taps.Store(nil)
	} else {
		i.taps.Store(&l)
	}
}

func (i *Interface) tap(p *pkt.Packet) {
	if l := i.taps.Load(); l != nil {
		for _, t := range *l {
			t.Tap(i, p)
		}
	}
}

// InterfaceByAddr finds the interface that has a local address, or nil.
func (s *Stack) InterfaceByAddr(a netip.Addr) *Interface {
	if l, ok := s.conf.Load().local[a]; ok {
		return l.iface
	}
	return nil
}

// SendFrame sends a frame of the caller's, as packet sockets do: with a link
// header on Ethernet; lo, whose frames have one that means nothing, receives it.
// The caller Runs the backlog.
func (i *Interface) SendFrame(p *pkt.Packet) {
	if i.info.Type == unix.ARPHRD_LOOPBACK {
		p.TrimFront(min(wire.EthernetLen, p.Len()))
	}
	p.OutIf = i.index
	p.Hash = wire.FlowHash(zero4, zero4, uint16(i.index), 0)
	i.send(p)
}

var zero4 = netip.IPv4Unspecified()
