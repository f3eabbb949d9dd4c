package netlink

import (
	"crypto/rand"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/bridge"
	"casemate/netstack/link/dummy"
	"casemate/netstack/link/ipvlan"
	"casemate/netstack/link/macvlan"
	"casemate/netstack/link/veth"
	"casemate/netstack/link/vlan"
	"casemate/netstack/nlmsg"
	"casemate/netstack/wire"
	"casemate/sentry/socket/netdev"
	"casemate/vfs"
)

// Attributes of IFLA_LINKINFO, and what is in them.
const (
	infoKind      = 1 // IFLA_INFO_KIND
	infoData      = 2 // IFLA_INFO_DATA
	infoSlaveKind = 4 // IFLA_INFO_SLAVE_KIND
	infoSlaveData = 5 // IFLA_INFO_SLAVE_DATA
	vethPeer      = 1 // VETH_INFO_PEER
	vethMTU       = 1500
	maxNames      = 256
)

// A kind is a link of which rtnetlink tells the kind.
type kind interface{ Kind() string }

// Made reports whether an interface is one that programs make, and not a device of the host.
func Made(i *ip.Interface) bool {
	_, ok := i.Link().(kind)
	return ok
}

// linked is the interface to which another one leads (IFLA_LINK): the other end of a veth, or what it is
// upon, in whatever namespace that is; nil if there is none.
func linked(i *ip.Interface) *ip.Interface {
	if below := underneath(i); below != nil {
		return below
	}
	return netdev.Peer(i)
}

// underneath is the interface that another one is upon; nil if there is none.
func underneath(i *ip.Interface) *ip.Interface {
	if l, ok := i.Link().(interface{ Below() *ip.Interface }); ok {
		return l.Below()
	}
	return nil
}

// target is the namespace that a request names for an interface: s's own if it names none. EINVAL, and EPERM
// without CAP_NET_ADMIN there.
func (s *Socket) target(ctx *vfs.Context, l *linkRequest) (*Ports, error) {
	if p, ok := l.attrs[unix.IFLA_TARGET_NETNSID]; ok {
		return s.numbered(ctx, p)
	}
	ns, err := namespaceOf(ctx, l.attrs[unix.IFLA_NET_NS_PID], l.attrs[unix.IFLA_NET_NS_FD])
	if err != nil || ns == nil {
		return s.ports, err
	}
	defer ns.DecRef()
	if !ns.HasCap(ctx.Cred, unix.CAP_NET_ADMIN) {
		return nil, unix.EPERM
	}
	return s.ports.of(ns), nil
}

// moveLink moves an interface to another namespace. EINVAL for the loopback and bridges, which stay
// where they are, EEXIST.
func moveLink(i *ip.Interface, to *Ports, l *linkRequest) (*ip.Interface, error) {
	if _, ok := i.Link().(*bridge.Bridge); ok {
		return nil, unix.EINVAL
	}
	name := i.Name()
	if p, ok := l.attrs[unix.IFLA_IFNAME]; ok && l.index > 0 {
		name = nlmsg.String(p)
	}
	return i.Stack().Move(i, to.stack.Stack, name)
}

// newLink makes an interface, or a pair of type veth. EOPNOTSUPP for a type that there is not.
func (s *Socket) newLink(ctx *vfs.Context, l *linkRequest) error {
	info, err := nlmsg.Attributes(l.attrs[unix.IFLA_LINKINFO])
	if err != nil {
		return err
	}
	mac, err := l.mac()
	if err != nil {
		return err
	}
	at, err := s.target(ctx, l)
	if err != nil {
		return err
	}
	switch nlmsg.String(info[infoKind]) {
	case "dummy":
		_, err := at.addLink(l, "dummy%d", dummy.New(mac))
		return err
	case "bridge":
		_, fixed := l.attrs[unix.IFLA_ADDRESS]
		_, err := at.addLink(l, "bridge%d", bridge.New(mac, fixed))
		return err
	case "veth":
		return s.newPair(ctx, l, at, mac, info[infoData])
	case "vlan":
		return s.newVLAN(ctx, l, at, info[infoData])
	case "macvlan":
		return s.newMacvlan(ctx, l, at, mac, info[infoData])
	case "ipvlan":
		return s.newIPVLAN(ctx, l, at, info[infoData])
	case "":
		return unix.ENODEV
	}
	return nlmsg.Refuse(unix.EOPNOTSUPP, info[infoKind], "Unknown device type")
}

// newPair makes a pair of interfaces, the first of them in the namespace of at.
func (s *Socket) newPair(ctx *vfs.Context, l *linkRequest, at *Ports, mac wire.MAC, data []byte) error {
	attrs, err := nlmsg.Attributes(data)
	if err != nil {
		return err
	}
	other := linkRequest{attrs: map[uint16][]byte{}}
	if b, ok := attrs[vethPeer]; ok {
		if other, err = parseLink(&nlmsg.Request{Body: b}); err != nil {
			return err
		}
	}
	otherMAC, err := other.mac()
	if err != nil {
		return err
	}
	otherAt := at
	if other.attrs[unix.IFLA_NET_NS_PID] != nil || other.attrs[unix.IFLA_NET_NS_FD] != nil {
		if otherAt, err = s.target(ctx, &other); err != nil {
			return err
		}
	}
	a, b := veth.New(mac, otherMAC, vethMTU)
	peer, err := otherAt.addLink(&other, "veth%d", b)
	if err != nil {
		return err
	}
	if _, err := at.addLink(l, "veth%d", a); err != nil {
		peer.Stack().RemoveInterface(peer.Index())
		return err
	}
	return nil
}

// changeKind sets what of an interface's own kind a request gives. EOPNOTSUPP if it is of another kind.
func changeKind(i *ip.Interface, linkInfo []byte) error {
	info, err := nlmsg.Attributes(linkInfo)
	if err != nil {
		return err
	}
	if p := info[infoSlaveData]; p != nil {
		b, ok := i.Master().(*bridge.Bridge)
		if !ok {
			return unix.EOPNOTSUPP
		}
		attrs, err := nlmsg.Attributes(p)
		if err != nil {
			return err
		}
		return changePort(b, i, attrs)
	}
	if info[infoData] == nil {
		return nil
	}
	if k, ok := i.Link().(kind); !ok || k.Kind() != nlmsg.String(info[infoKind]) {
		return unix.EOPNOTSUPP
	}
	attrs, err := nlmsg.Attributes(info[infoData])
	if err != nil {
		return err
	}
	switch l := i.Link().(type) {
	case *bridge.Bridge:
		return changeBridge(l, attrs)
	case *vlan.Link:
		return changeVLAN(l, attrs)
	case *ipvlan.Link:
		return changeIPVLAN(l, attrs)
	case *macvlan.Link:
		return changeMacvlan(l, attrs)
	}
	return nil
}

// mac is the address that a request gives, or one of chance. EINVAL.
func (l *linkRequest) mac() (mac wire.MAC, err error) {
	if p, ok := l.attrs[unix.IFLA_ADDRESS]; ok {
		if len(p) != len(mac) || p[0]&1 != 0 {
			return mac, unix.EINVAL
		}
		return wire.MAC(p), nil
	}
	rand.Read(mac[:])
	mac[0] = mac[0]&^1 | 2 // a local address, of one station
	return mac, nil
}

// addLink adds an interface with the name of the request, or the first of a pattern's that is
// free, and sets what else the request says.
func (p *Ports) addLink(l *linkRequest, pattern string, dev link.Link) (*ip.Interface, error) {
	if name := nlmsg.String(l.attrs[unix.IFLA_IFNAME]); name != "" {
		pattern = name
	}
	for n := range maxNames {
		name := strings.Replace(pattern, "%d", strconv.Itoa(n), 1)
		i, err := p.stack.AddInterfaceAt(max(l.index, 0), name, dev)
		if err == unix.EEXIST && name != pattern {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := changeLink(i, &linkRequest{flags: l.flags, change: l.change, attrs: l.attrs}); err != nil {
			p.stack.RemoveInterface(i.Index())
			return nil, err
		}
		p.stack.Autoconfigure(i)
		return i, nil
	}
	return nil, unix.ENFILE
}
