package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/sentry/socket/netdev"
)

// Attributes of links that x/sys does not name, and what is in them.
const (
	iflaMinMTU   = 50 // IFLA_MIN_MTU
	iflaMaxMTU   = 51 // IFLA_MAX_MTU
	operUnknown  = 0  // IF_OPER_UNKNOWN
	operDown     = 2  // IF_OPER_DOWN
	operUp       = 6  // IF_OPER_UP
	groupLink    = unix.RTNLGRP_LINK
	maxGSOSize   = 65536
	maxGSOCount  = 65535
	ifinfomsgLen = unix.SizeofIfInfomsg
)

// A linkRequest is a struct ifinfomsg with its attributes.
type linkRequest struct {
	index         int32
	flags, change uint32
	attrs         map[uint16][]byte
}

func parseLink(r *request) (l linkRequest, err error) {
	if len(r.body) < ifinfomsgLen {
		return l, unix.EINVAL
	}
	l.index, l.flags, l.change = int32(ne.Uint32(r.body[4:])), ne.Uint32(r.body[8:]), ne.Uint32(r.body[12:])
	l.attrs, err = attributes(r.body[ifinfomsgLen:])
	return l, err
}

// cstring is an attribute that is a string, without its NUL.
func cstring(p []byte) string {
	for i, c := range p {
		if c == 0 {
			return string(p[:i])
		}
	}
	return string(p)
}

// link finds the interface that a request means. ENODEV, EINVAL.
func (s *Socket) link(l *linkRequest) (*ip.Interface, error) {
	var i *ip.Interface
	switch name, ok := l.attrs[unix.IFLA_IFNAME]; {
	case l.index > 0:
		i = s.ports.stack.Interface(l.index)
	case ok:
		i = s.ports.stack.InterfaceByName(cstring(name))
	default:
		return nil, unix.EINVAL
	}
	if i == nil {
		return nil, unix.ENODEV
	}
	return i, nil
}

// ifinfo is the struct ifinfomsg of an interface.
func ifinfo(i *ip.Interface) []byte {
	flags := i.Flags()
	if flags&unix.IFF_RUNNING != 0 {
		flags |= unix.IFF_LOWER_UP
	}
	p := []byte{unix.AF_UNSPEC, 0}
	p = ne.AppendUint16(p, i.Info().Type)
	p = ne.AppendUint32(p, uint32(i.Index()))
	p = ne.AppendUint32(p, flags)
	return ne.AppendUint32(p, 0)
}

// putLink appends the attributes of an interface.
func putLink(m *reply, i *ip.Interface) {
	info := i.Info()
	up := i.Flags()&unix.IFF_RUNNING != 0
	state := uint8(operUp)
	switch {
	case i.IsLoopback():
		state = operUnknown
	case !up:
		state = operDown
	}
	carrier := uint8(0)
	if up {
		carrier = 1
	}
	m.attrString(unix.IFLA_IFNAME, i.Name())
	m.attr32(unix.IFLA_TXQLEN, netdev.TxQueueLen)
	m.attr8(unix.IFLA_OPERSTATE, state)
	m.attr8(unix.IFLA_LINKMODE, 0)
	m.attr32(unix.IFLA_MTU, uint32(i.MTU()))
	if i.IsLoopback() {
		m.attr32(iflaMinMTU, 0)
		m.attr32(iflaMaxMTU, 0)
	} else {
		m.attr32(iflaMinMTU, 68)
		m.attr32(iflaMaxMTU, 65535)
	}
	m.attr32(unix.IFLA_GROUP, 0)
	m.attr32(unix.IFLA_PROMISCUITY, 0)
	m.attr32(unix.IFLA_NUM_TX_QUEUES, uint32(max(info.Queues, 1)))
	m.attr32(unix.IFLA_GSO_MAX_SEGS, maxGSOCount)
	m.attr32(unix.IFLA_GSO_MAX_SIZE, maxGSOSize)
	m.attr32(unix.IFLA_NUM_RX_QUEUES, uint32(max(info.Queues, 1)))
	m.attr8(unix.IFLA_CARRIER, carrier)
	m.attrString(unix.IFLA_QDISC, "noqueue")
	if info.Type == unix.ARPHRD_ETHER || info.Type == unix.ARPHRD_LOOPBACK {
		broadcast := [6]byte{}
		if info.Type == unix.ARPHRD_ETHER {
			broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		}
		m.attr(unix.IFLA_ADDRESS, info.HWAddr[:])
		m.attr(unix.IFLA_BROADCAST, broadcast[:])
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
	m.attr(unix.IFLA_STATS64, wide)
	m.attr(unix.IFLA_STATS, narrow)
}

func (s *Socket) dumpLinks(d *dumper) error {
	for _, i := range s.ports.stack.Interfaces() {
		d.next(unix.RTM_NEWLINK, ifinfo(i)...)
		putLink(&d.reply, i)
		d.end()
	}
	return nil
}

// getLink answers with one interface.
func (s *Socket) getLink(r *request) error {
	l, err := parseLink(r)
	if err != nil {
		return err
	}
	i, err := s.link(&l)
	if err != nil {
		return err
	}
	var m reply
	m.begin(unix.RTM_NEWLINK, 0, r.seq, s.localPort(), ifinfo(i)...)
	putLink(&m, i)
	m.end()
	s.deliver(datagram{data: m.b})
	return nil
}

// setLink changes an interface: flags, MTU, name. EOPNOTSUPP for a new one.
func (s *Socket) setLink(r *request) error {
	l, err := parseLink(r)
	if err != nil {
		return err
	}
	i, err := s.link(&l)
	if err == unix.ENODEV && r.typ == unix.RTM_NEWLINK && r.flags&unix.NLM_F_CREATE != 0 {
		return unix.EOPNOTSUPP
	}
	if err != nil {
		return err
	}
	if r.flags&unix.NLM_F_EXCL != 0 {
		return unix.EEXIST
	}
	stack := s.ports.stack
	if p, ok := l.attrs[unix.IFLA_MTU]; ok {
		mtu, err := uint32Of(p)
		if err == nil {
			err = stack.SetMTU(i, int(min(mtu, 1<<30)))
		}
		if err != nil {
			return err
		}
	}
	if p, ok := l.attrs[unix.IFLA_IFNAME]; ok && l.index > 0 && cstring(p) != i.Name() {
		if err := stack.Rename(i, cstring(p)); err != nil {
			return err
		}
	}
	if _, ok := l.attrs[unix.IFLA_ADDRESS]; ok {
		return unix.EOPNOTSUPP
	}
	if l.change != 0 || l.flags != 0 {
		change := l.change
		if change == 0 {
			change = ^uint32(0)
		}
		const settable = unix.IFF_NOTRAILERS | unix.IFF_DEBUG | unix.IFF_NOARP | unix.IFF_PROMISC | unix.IFF_ALLMULTI | unix.IFF_MULTICAST
		stack.SetFlags(i, l.flags&change&settable, ^l.flags&change&settable)
		if change&unix.IFF_UP != 0 {
			stack.SetUp(i, l.flags&unix.IFF_UP != 0)
		}
	}
	s.announceLink(unix.RTM_NEWLINK, i)
	return nil
}

// deleteLink removes an interface. EOPNOTSUPP for the loopback.
func (s *Socket) deleteLink(r *request) error {
	l, err := parseLink(r)
	if err != nil {
		return err
	}
	i, err := s.link(&l)
	if err != nil {
		return err
	}
	if i.IsLoopback() {
		return unix.EOPNOTSUPP
	}
	if err := s.ports.stack.RemoveInterface(i.Index()); err != nil {
		return err
	}
	s.announceLink(unix.RTM_DELLINK, i)
	return nil
}

// announceLink tells the members of RTNLGRP_LINK.
func (s *Socket) announceLink(typ uint16, i *ip.Interface) {
	var m reply
	m.begin(typ, 0, 0, 0, ifinfo(i)...)
	putLink(&m, i)
	m.end()
	s.ports.publish(groupLink, m.b)
}
