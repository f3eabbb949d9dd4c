package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link/bridge"
	"casemate/netstack/nlmsg"
)

// Attributes of ports of bridges (IFLA_BRPORT_*), and what is in them.
const (
	portState     = 1
	portPriority  = 2
	portCost      = 3
	portHairpin   = 4 // IFLA_BRPORT_MODE
	portGuard     = 5
	portProtect   = 6
	portFastLeave = 7
	portLearning  = 8
	portFlood     = 9 // IFLA_BRPORT_UNICAST_FLOOD
	portMcast     = 27
	portToUcast   = 28
	portTunnel    = 29
	portBcast     = 30
	portSuppress  = 32
	portIsolated  = 33
	portLocked    = 39

	stateDisabled = 0 // BR_STATE_DISABLED
	stateForward  = 3
	ofChance      = 32 // the priority of a port of which nothing else is said
	costOf10G     = 2
)

// portFixed are the flags of a port that cannot be changed.
var portFixed = []struct {
	attr  uint16
	value uint8
}{{portGuard, 0}, {portProtect, 0}, {portFastLeave, 0}, {portLearning, 1}, {portFlood, 1}, {portMcast, 1}, {portToUcast, 0}, {portTunnel, 0},
	{portBcast, 1}, {portSuppress, 0}, {portLocked, 0}}

// putPortOptions appends the flags of a port.
func putPortOptions(m *nlmsg.Builder, master ip.Master, i *ip.Interface) {
	b, ok := master.(*bridge.Bridge)
	if !ok {
		return
	}
	flag := func(attr uint16, on bool) {
		v := uint8(0)
		if on {
			v = 1
		}
		m.Attr8(attr, v)
	}
	o := b.PortOptions(i)
	flag(portHairpin, o.Hairpin)
	flag(portIsolated, o.Isolated)
	for _, f := range portFixed {
		m.Attr8(f.attr, f.value)
	}
}

// changePort sets flags of a port. EOPNOTSUPP for those that cannot be changed, and all else.
func changePort(b *bridge.Bridge, i *ip.Interface, attrs map[uint16][]byte) error {
	o := b.PortOptions(i)
	for attr, p := range attrs {
		if len(p) < 1 {
			return nlmsg.At(unix.EINVAL, p)
		}
		on := p[0] != 0
		switch attr {
		case portHairpin:
			o.Hairpin = on
		case portIsolated:
			o.Isolated = on
		default:
			fixed := false
			for _, f := range portFixed {
				fixed = fixed || f.attr == attr && on == (f.value != 0)
			}
			if !fixed {
				return nlmsg.At(unix.EOPNOTSUPP, p)
			}
		}
	}
	b.SetPortOptions(i, o)
	return nil
}

// setPort changes a port by a message of the family AF_BRIDGE, as bridge(8) does. EOPNOTSUPP for what is no port, and
// for VLANs of ports.
func (s *Socket) setPort(r *nlmsg.Request) error {
	l, err := parseLink(r)
	if err != nil {
		return err
	}
	i, err := s.ports.link(&l)
	if err != nil {
		return err
	}
	b, ok := i.Master().(*bridge.Bridge)
	p := l.attrs[unix.IFLA_PROTINFO]
	if !ok || p == nil || r.Type == unix.RTM_DELLINK || l.attrs[unix.IFLA_AF_SPEC] != nil {
		return unix.EOPNOTSUPP
	}
	attrs, err := nlmsg.Attributes(p)
	if err != nil {
		return err
	}
	return changePort(b, i, attrs)
}

// dumpPorts are the ports of all bridges, as bridge(8), link, shows them.
func (s *Socket) dumpPorts(d *dumper) error {
	for _, i := range s.ports.stack.Interfaces() {
		master := i.Master()
		if master == nil {
			continue
		}
		d.next(unix.RTM_NEWLINK, ifinfo(unix.AF_BRIDGE, i)...)
		m := &d.Builder
		m.AttrString(unix.IFLA_IFNAME, i.Name())
		m.Attr32(unix.IFLA_MASTER, uint32(master.Interface().Index()))
		m.Attr32(unix.IFLA_MTU, uint32(i.MTU()))
		m.Attr8(unix.IFLA_OPERSTATE, operState(i))
		mac := i.HWAddr()
		m.Attr(unix.IFLA_ADDRESS, mac[:])
		if peer := linked(i); peer != nil && peer.Index() != i.Index() {
			m.Attr32(unix.IFLA_LINK, uint32(peer.Index()))
		}
		state := uint8(stateForward)
		if i.Flags()&unix.IFF_RUNNING == 0 {
			state = stateDisabled
		}
		m.Nest(unix.IFLA_PROTINFO, func() {
			m.Attr8(portState, state)
			m.Attr(portPriority, ne.AppendUint16(nil, ofChance))
			m.Attr32(portCost, costOf10G)
			putPortOptions(m, master, i)
		})
		d.End()
	}
	return nil
}
