package netlink

import (
	"crypto/rand"
	"fmt"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/dummy"
	"casemate/netstack/link/veth"
	"casemate/netstack/nlmsg"
	"casemate/netstack/wire"
)

// Attributes of IFLA_LINKINFO, and what is in them.
const (
	infoKind = 1 // IFLA_INFO_KIND
	infoData = 2 // IFLA_INFO_DATA
	vethPeer = 1 // VETH_INFO_PEER
	vethMTU  = 1500
	maxNames = 256
)

// A kind is a link of which rtnetlink tells the kind.
type kind interface{ Kind() string }

// peerOf is the interface at the other end of a veth, if it is in the same namespace.
func peerOf(i *ip.Interface) *ip.Interface {
	l, ok := i.Link().(*veth.Link)
	if !ok {
		return nil
	}
	for _, o := range i.Stack().Interfaces() {
		if o.Link() == link.Link(l.Peer()) {
			return o
		}
	}
	return nil
}

// newLink makes an interface: of type dummy, or a pair of type veth. EOPNOTSUPP for others.
func (s *Socket) newLink(l *linkRequest) error {
	info, err := nlmsg.Attributes(l.attrs[unix.IFLA_LINKINFO])
	if err != nil {
		return err
	}
	mac, err := l.mac()
	if err != nil {
		return err
	}
	switch nlmsg.String(info[infoKind]) {
	case "dummy":
		_, err := s.addLink(l, "dummy%d", dummy.New(mac))
		return err
	case "veth":
		return s.newPair(l, mac, info[infoData])
	case "":
		return unix.ENODEV
	}
	return nlmsg.At(unix.EOPNOTSUPP, info[infoKind])
}

// newPair makes a pair of interfaces.
func (s *Socket) newPair(l *linkRequest, mac wire.MAC, data []byte) error {
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
	a, b := veth.New(mac, otherMAC, vethMTU)
	peer, err := s.addLink(&other, "veth%d", b)
	if err != nil {
		return err
	}
	if _, err := s.addLink(l, "veth%d", a); err != nil {
		s.ports.stack.RemoveInterface(peer.Index())
		return err
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
func (s *Socket) addLink(l *linkRequest, pattern string, dev link.Link) (*ip.Interface, error) {
	name := nlmsg.String(l.attrs[unix.IFLA_IFNAME])
	numbered := name == ""
	for n := range maxNames {
		if numbered {
			name = fmt.Sprintf(pattern, n)
		}
		i, err := s.ports.stack.AddInterface(name, dev)
		if err == unix.EEXIST && numbered {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := s.changeLink(i, l); err != nil {
			s.ports.stack.RemoveInterface(i.Index())
			return nil, err
		}
		return i, nil
	}
	return nil, unix.ENFILE
}
