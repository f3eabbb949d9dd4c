package netlink

import (
	"bytes"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/bridge"
	"casemate/netstack/link/dummy"
	"casemate/netstack/link/ipvlan"
	"casemate/netstack/link/macvlan"
	"casemate/netstack/link/tap"
	"casemate/netstack/link/vlan"
	"casemate/netstack/nlmsg"
	"casemate/netstack/wire"
	"casemate/sentry/socket/netdev"
	"casemate/vfs"
)

// Attributes of links that x/sys does not name, and what is in them.
const (
	iflaMinMTU     = 50 // IFLA_MIN_MTU
	iflaMaxMTU     = 51 // IFLA_MAX_MTU
	iflaGROMaxSize = 58
	iflaTSOMaxSize = 59
	iflaTSOMaxSegs = 60
	iflaAllMulti   = 61
	addrGenMode    = 8      // IFLA_INET6_ADDR_GEN_MODE
	addrGenNone    = 1      // IN6_ADDR_GEN_MODE_NONE; 0: by the hardware address
	maxAlias       = 256    // IFALIASZ
	maxTSOSize     = 524280 // TSO_MAX_SIZE
	operUnknown    = 0      // IF_OPER_UNKNOWN
	operDown       = 2      // IF_OPER_DOWN
	operLowerDown  = 3      // IF_OPER_LOWERLAYERDOWN
	operUp         = 6      // IF_OPER_UP
	maxGSOSize     = 65536
	maxGSOCount    = 65535
	ifinfomsgLen   = unix.SizeofIfInfomsg
)

// A linkRequest is a struct ifinfomsg with its attributes.
type linkRequest struct {
	index         int32
	flags, change uint32
	attrs         map[uint16][]byte
}

func parseLink(r *nlmsg.Request) (l linkRequest, err error) {
	if len(r.Body) < ifinfomsgLen {
		return l, unix.EINVAL
	}
	l.index, l.flags, l.change = int32(ne.Uint32(r.Body[4:])), ne.Uint32(r.Body[8:]), ne.Uint32(r.Body[12:])
	l.attrs, err = nlmsg.Attributes(r.Body[ifinfomsgLen:])
	return l, err
}

// link finds the interface that a request means. ENODEV, EINVAL.
func (p *Ports) link(l *linkRequest) (*ip.Interface, error) {
	var i *ip.Interface
	switch name, ok := l.attrs[unix.IFLA_IFNAME]; {
	case l.index > 0:
		i = p.stack.Interface(l.index)
	case ok:
		i = p.stack.InterfaceByName(nlmsg.String(name))
	default:
		return nil, unix.EINVAL
	}
	if i == nil {
		return nil, unix.ENODEV
	}
	return i, nil
}

// ifinfo is the struct ifinfomsg of an interface.
func ifinfo(family uint8, i *ip.Interface) []byte {
	flags := i.Flags()
	if flags&unix.IFF_RUNNING != 0 {
		flags |= unix.IFF_LOWER_UP
	}
	p := []byte{family, 0}
	p = ne.AppendUint16(p, i.Info().Type)
	p = ne.AppendUint32(p, uint32(i.Index()))
	p = ne.AppendUint32(p, flags)
	return ne.AppendUint32(p, 0)
}

// operState is the interface's IF_OPER_* (RFC 2863).
func operState(i *ip.Interface) uint8 {
	_, nowhere := i.Link().(*dummy.Link)
	_, program := i.Link().(*tap.Link)
	switch flags := i.Flags(); {
	case flags&unix.IFF_UP == 0:
		return operDown
	case flags&unix.IFF_RUNNING == 0:
		if peer := linked(i); peer != nil {
			// Linux looks for the other's index in i's namespace, wherever it is.
			o := i.Stack().Interface(peer.Index())
			if o != nil && o != i && !hasCarrier(o) {
				return operLowerDown
			}
		}
		return operDown
	case nowhere, program, i.IsLoopback():
		return operUnknown
	}
	return operUp
}

// hasCarrier reports whether an interface's link has a carrier, whether or not the interface is up.
func hasCarrier(i *ip.Interface) bool {
	c, ok := i.Link().(link.Carried)
	return !ok || c.Carrier()
}

// bit is 1 if flags has the flag.
func bit(flags, flag uint32) uint32 {
	if flags&flag != 0 {
		return 1
	}
	return 0
}

// mtuRange are the limits of an interface's MTU as Linux tells them; 0: none.
func mtuRange(i *ip.Interface) (lowest, highest uint32) {
	switch i.Link().(type) {
	case *dummy.Link:
		return 0, 0
	case *vlan.Link:
		return 0, 65535
	}
	if i.IsLoopback() {
		return 0, 0
	}
	return 68, 65535
}

// parameters is what appends the attributes of a link of a kind that has some.
func parameters(k kind) (put func(m *nlmsg.Builder), ok bool) {
	switch l := k.(type) {
	case *bridge.Bridge:
		return func(m *nlmsg.Builder) { putBridge(m, l) }, true
	case *vlan.Link:
		return func(m *nlmsg.Builder) { putVLAN(m, l) }, true
	case *macvlan.Link:
		return func(m *nlmsg.Builder) { putMacvlan(m, l) }, true
	case *ipvlan.Link:
		return func(m *nlmsg.Builder) { putIPVLAN(m, l) }, true
	}
	return nil, false
}

// putLink appends the attributes of an interface, as those in p's namespace see it.
func (p *Ports) putLink(m *nlmsg.Builder, i *ip.Interface) {
	info := i.Info()
	state := operState(i)
	carrier, qdisc := uint8(0), "noqueue"
	if i.Flags()&unix.IFF_RUNNING != 0 {
		carrier = 1
	}
	if !i.Activated() || i.Stack().Interface(i.Index()) != i {
		qdisc = "noop"
	}
	m.AttrString(unix.IFLA_IFNAME, i.Name())
	m.Attr32(unix.IFLA_TXQLEN, netdev.TxQueueLen(i))
	m.Attr8(unix.IFLA_OPERSTATE, state)
	m.Attr8(unix.IFLA_LINKMODE, 0)
	m.Attr32(unix.IFLA_MTU, uint32(i.MTU()))
	lowest, highest := mtuRange(i)
	m.Attr32(iflaMinMTU, lowest)
	m.Attr32(iflaMaxMTU, highest)
	m.Attr32(unix.IFLA_GROUP, i.Notes().Group.Load())
	m.Attr32(unix.IFLA_PROMISCUITY, i.Promiscuity())
	m.Attr32(iflaAllMulti, bit(i.Flags(), unix.IFF_ALLMULTI))
	m.Attr32(unix.IFLA_NUM_TX_QUEUES, uint32(max(info.Queues, 1)))
	m.Attr32(unix.IFLA_GSO_MAX_SEGS, maxGSOCount)
	m.Attr32(unix.IFLA_GSO_MAX_SIZE, maxGSOSize)
	m.Attr32(iflaGROMaxSize, maxGSOSize)
	m.Attr32(iflaTSOMaxSize, maxTSOSize)
	m.Attr32(iflaTSOMaxSegs, maxGSOCount)
	m.Attr32(unix.IFLA_NUM_RX_QUEUES, uint32(max(info.Queues, 1)))
	m.Attr8(unix.IFLA_CARRIER, carrier)
	m.AttrString(unix.IFLA_QDISC, qdisc)
	if info.Type == unix.ARPHRD_ETHER || info.Type == unix.ARPHRD_LOOPBACK {
		broadcast := [6]byte{}
		if info.Type == unix.ARPHRD_ETHER {
			broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		}
		m.Attr(unix.IFLA_ADDRESS, info.HWAddr[:])
		m.Attr(unix.IFLA_BROADCAST, broadcast[:])
	}
	if alias := i.Notes().Alias.Load(); alias != nil {
		m.AttrString(unix.IFLA_IFALIAS, *alias)
	}
	if peer := linked(i); peer != nil {
		m.Attr32(unix.IFLA_LINK, uint32(peer.Index()))
		if at := portsOf(peer); at != p {
			m.Attr32(unix.IFLA_LINK_NETNSID, uint32(p.idOf(at.inet.Net)))
		}
	}
	master := i.Master()
	if master != nil {
		m.Attr32(unix.IFLA_MASTER, uint32(master.Interface().Index()))
	}
	if k, ok := i.Link().(kind); ok {
		m.Nest(unix.IFLA_LINKINFO, func() {
			m.AttrString(infoKind, k.Kind())
			if p, ok := parameters(k); ok {
				m.Nest(infoData, func() { p(m) })
			}
			if master != nil {
				m.AttrString(infoSlaveKind, "bridge")
			}
		})
	}
	t := &i.Stats
	counters := [...]uint64{t.RxPackets.Load(), t.TxPackets.Load(), t.RxBytes.Load(), t.TxBytes.Load(), t.RxErrors.Load(),
		t.TxErrors.Load(), t.RxDropped.Load(), t.TxDropped.Load(), t.Multicast.Load()}
	var wide, narrow []byte
	for k := range 25 { // struct rtnl_link_stats64
		v := uint64(0)
		if k < len(counters) {
			v = counters[k]
		}
		wide = ne.AppendUint64(wide, v)
		if k < 24 { // struct rtnl_link_stats
			narrow = ne.AppendUint32(narrow, uint32(v))
		}
	}
	m.Attr(unix.IFLA_STATS64, wide)
	m.Attr(unix.IFLA_STATS, narrow)
	// Programs look for the family as it is, without the flag of what is nested.
	var six nlmsg.Builder
	mode := uint8(0)
	if !i.MakesLinkLocal() {
		mode = addrGenNone
	}
	six.Attr8(addrGenMode, mode)
	m.Nest(unix.IFLA_AF_SPEC, func() { m.Attr(unix.AF_INET6, six.B) })
}

func (s *Socket) dumpLinks(ctx *vfs.Context, d *dumper) error {
	if d.r.Body[0] == unix.AF_BRIDGE {
		return s.dumpPorts(d)
	}
	at, id, err := s.dumped(ctx, d.r, ifinfomsgLen, unix.IFLA_TARGET_NETNSID)
	if err != nil {
		return err
	}
	for _, i := range at.stack.Interfaces() {
		d.next(unix.RTM_NEWLINK, ifinfo(unix.AF_UNSPEC, i)...)
		if id != nil {
			d.Attr(unix.IFLA_TARGET_NETNSID, id)
		}
		at.putLink(&d.Builder, i)
		d.End()
	}
	return nil
}

// getLink answers with one interface, of the namespace that the request names by a number
// (IFLA_TARGET_NETNSID), or s's own.
func (s *Socket) getLink(ctx *vfs.Context, r *nlmsg.Request) error {
	l, err := parseLink(r)
	if err != nil {
		return err
	}
	at, id := s.ports, l.attrs[unix.IFLA_TARGET_NETNSID]
	if id != nil {
		if at, err = s.numbered(ctx, id); err != nil {
			return err
		}
	}
	i, err := at.link(&l)
	if err != nil {
		return err
	}
	var m nlmsg.Builder
	m.Begin(unix.RTM_NEWLINK, 0, r.Seq, s.localPort(), ifinfo(unix.AF_UNSPEC, i)...)
	if id != nil {
		m.Attr(unix.IFLA_TARGET_NETNSID, id[:4])
	}
	at.putLink(&m, i)
	m.End()
	s.deliver(datagram{data: m.B})
	return nil
}

// setLink changes an interface, or makes one.
func (s *Socket) setLink(ctx *vfs.Context, r *nlmsg.Request) error {
	l, err := parseLink(r)
	if err != nil {
		return err
	}
	i, err := s.ports.link(&l)
	create := r.Type == unix.RTM_NEWLINK && r.Flags&unix.NLM_F_CREATE != 0
	switch {
	case create && err != nil && l.index <= 0:
		return s.newLink(ctx, &l)
	case r.Type == unix.RTM_NEWLINK && err == unix.EINVAL:
		return unix.ENODEV // neither index nor name: a program asks whether there is such a message
	case err != nil:
		return err
	case r.Flags&unix.NLM_F_EXCL != 0:
		return unix.EEXIST
	}
	to, err := s.target(ctx, &l)
	if err != nil {
		return err
	}
	if to != s.ports {
		if i, err = moveLink(i, to, &l); err != nil {
			return err
		}
	}
	return changeLink(i, &l)
}

// changeLink makes an interface what a request says.
func changeLink(i *ip.Interface, l *linkRequest) error {
	stack := i.Stack()
	if p, ok := l.attrs[unix.IFLA_MTU]; ok {
		mtu, err := nlmsg.Uint32(p)
		switch lowest, highest := mtuRange(i); {
		case err != nil:
		case mtu < lowest:
			return nlmsg.Refuse(unix.EINVAL, nil, "mtu less than device minimum")
		case highest != 0 && mtu > highest:
			return nlmsg.Refuse(unix.EINVAL, nil, "mtu greater than device maximum")
		default:
			err = stack.SetMTU(i, int(min(mtu, 1<<30)))
		}
		if err != nil {
			return err
		}
	}
	if err := note(i, l); err != nil {
		return err
	}
	if p, ok := l.attrs[unix.IFLA_IFNAME]; ok && l.index > 0 && nlmsg.String(p) != i.Name() {
		if err := stack.Rename(i, nlmsg.String(p)); err != nil {
			return err
		}
	}
	if p, ok := l.attrs[unix.IFLA_ADDRESS]; ok {
		if err := setHardware(i, p); err != nil {
			return nlmsg.At(err, p)
		}
	}
	if p, ok := l.attrs[unix.IFLA_LINKINFO]; ok {
		if err := changeKind(i, p); err != nil {
			return err
		}
	}
	if p, ok := l.attrs[unix.IFLA_MASTER]; ok {
		if err := setMaster(i, p); err != nil {
			return nlmsg.At(err, p)
		}
	}
	if l.change != 0 || l.flags != 0 {
		change := l.change
		if change == 0 {
			change = ^uint32(0)
		}
		const settable = unix.IFF_NOTRAILERS | unix.IFF_DEBUG | unix.IFF_NOARP | unix.IFF_PROMISC | unix.IFF_ALLMULTI | unix.IFF_MULTICAST
		stack.SetFlags(i, l.flags&change&settable, ^l.flags&change&settable)
		if change&unix.IFF_UP != 0 {
			return stack.SetUp(i, l.flags&unix.IFF_UP != 0)
		}
	}
	return nil
}

// note sets what a request says of an interface that is nothing to the stack, and how it makes its link-local address.
func note(i *ip.Interface, l *linkRequest) error {
	if p, ok := l.attrs[unix.IFLA_IFALIAS]; ok {
		alias := nlmsg.String(p)
		if len(alias) >= maxAlias {
			return unix.EINVAL
		}
		i.Note(func(n *ip.Notes) {
			if n.Alias.Store(&alias); alias == "" {
				n.Alias.Store(nil)
			}
		})
	}
	if p, ok := l.attrs[unix.IFLA_GROUP]; ok {
		group, err := nlmsg.Uint32(p)
		if err != nil {
			return err
		}
		i.Note(func(n *ip.Notes) { n.Group.Store(group) })
	}
	if p, ok := l.attrs[unix.IFLA_TXQLEN]; ok {
		length, err := nlmsg.Uint32(p)
		if err != nil {
			return err
		}
		i.Note(func(n *ip.Notes) { n.QueueLen.Store(&length) })
	}
	p, ok := l.attrs[unix.IFLA_AF_SPEC]
	if !ok {
		return nil
	}
	families, err := nlmsg.Attributes(p)
	if err != nil {
		return err
	}
	six, err := nlmsg.Attributes(families[unix.AF_INET6])
	if err != nil {
		return err
	}
	if p, ok := six[addrGenMode]; ok {
		if len(p) < 1 || p[0] > addrGenNone {
			return nlmsg.At(unix.EOPNOTSUPP, p)
		}
		i.SetMakesLinkLocal(p[0] != addrGenNone)
	}
	return nil
}

// setHardware sets the hardware address. EOPNOTSUPP for a device of the host, which hears nothing
// that is for another one.
func setHardware(i *ip.Interface, p []byte) error {
	mac := i.HWAddr()
	_, shared := i.Link().(*ipvlan.Link)
	switch {
	case bytes.Equal(p, mac[:]) && !shared:
		return nil
	case len(p) != len(mac):
		return unix.EINVAL
	case shared || !Made(i) || i.Info().Type != unix.ARPHRD_ETHER:
		return unix.EOPNOTSUPP
	}
	if l, ok := i.Link().(*macvlan.Link); ok {
		if err := l.MayBe(wire.MAC(p), i.Flags()&unix.IFF_UP != 0); err != nil {
			return err
		}
		if l.Mode() == macvlan.Passthru {
			i = l.Below() // whose address is that of both
		}
	}
	return i.Stack().SetHWAddr(i, wire.MAC(p))
}

// deleteLink removes an interface. EOPNOTSUPP for the loopback and for devices of the host.
func (s *Socket) deleteLink(ctx *vfs.Context, r *nlmsg.Request) error {
	l, err := parseLink(r)
	if err != nil {
		return err
	}
	at := s.ports
	if id, ok := l.attrs[unix.IFLA_TARGET_NETNSID]; ok {
		if at, err = s.numbered(ctx, id); err != nil {
			return err
		}
	}
	i, err := at.link(&l)
	if err != nil {
		return err
	}
	if i.IsLoopback() {
		return unix.EOPNOTSUPP
	}
	return at.stack.RemoveInterface(i.Index())
}
