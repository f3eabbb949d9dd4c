package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/netstack/link/vlan"
	"casemate/netstack/nlmsg"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"casemate/vfs"
)

// Attributes of VLANs (IFLA_VLAN_*), and what is in them.
const (
	vlanID           = 1
	vlanFlags        = 2 // struct ifla_vlan_flags
	vlanProtocol     = 5
	flagReorder      = 1 // VLAN_FLAG_REORDER_HDR: frames are seen without their tags
	flagLooseBinding = 4
)

// newVLAN makes a VLAN. EINVAL without an interface to be upon or a number; ERANGE, ENODEV, EPROTONOSUPPORT,
// EOPNOTSUPP, EEXIST.
func (s *Socket) newVLAN(ctx *vfs.Context, l *linkRequest, at *Ports, data []byte) error {
	if data == nil {
		return nlmsg.Refuse(unix.EINVAL, nil, "8021q: VLAN properties not specified")
	}
	attrs, err := nlmsg.Attributes(data)
	if err != nil {
		return err
	}
	tag := pkt.Tag{Type: unix.ETH_P_8021Q}
	if p, ok := attrs[vlanProtocol]; ok && len(p) >= 2 {
		tag.Type = binary.BigEndian.Uint16(p)
	}
	if !wire.IsTag(tag.Type) {
		return nlmsg.Refuse(unix.EPROTONOSUPPORT, nil, "8021q: Invalid VLAN protocol")
	}
	id, ok := attrs[vlanID]
	if ok && len(id) >= 2 {
		if tag.TCI = ne.Uint16(id); tag.TCI > vlan.MaxID {
			return nlmsg.Refuse(unix.ERANGE, id, "8021q: Invalid VLAN id")
		}
	}
	switch {
	case len(id) < 2:
		return nlmsg.Refuse(unix.EINVAL, nil, "8021q: VLAN id not specified")
	case l.attrs[unix.IFLA_LINK] == nil:
		return nlmsg.Refuse(unix.EINVAL, nil, "8021q: link not specified")
	}
	below, err := s.below(ctx, l)
	if err != nil {
		return err
	}
	if below == nil {
		return nlmsg.Refuse(unix.ENODEV, nil, "8021q: link does not exist")
	}
	var mac wire.MAC
	if l.attrs[unix.IFLA_ADDRESS] != nil {
		if mac, err = l.mac(); err != nil {
			return err
		}
	}
	if err := l.fits(below); err != nil {
		return err
	}
	dev, err := vlan.New(below, tag, mac)
	switch err {
	case nil:
	case unix.EEXIST:
		return nlmsg.Refuse(unix.EEXIST, nil, "8021q: VLAN device already exists")
	case unix.EOPNOTSUPP:
		return nlmsg.Refuse(unix.EOPNOTSUPP, nil, "8021q: VLANs not supported on device")
	default:
		return err
	}
	if err := changeVLAN(dev, attrs); err != nil {
		return err
	}
	_, err = at.addLink(l, "vlan%d", dev)
	return err
}

// putVLAN appends the attributes of a VLAN.
func putVLAN(m *nlmsg.Builder, l *vlan.Link) {
	flags := uint32(flagReorder)
	if l.Loose.Load() {
		flags |= flagLooseBinding
	}
	m.AttrBE16(vlanProtocol, l.Tag().Type)
	m.Attr(vlanID, ne.AppendUint16(nil, l.Tag().VLAN()))
	m.Attr(vlanFlags, ne.AppendUint32(ne.AppendUint32(nil, flags), ^uint32(0)))
}

// changeVLAN sets parameters of a VLAN. EOPNOTSUPP for what VLANs here do not do: priorities, registration at
// switches (GVRP, MVRP), frames that are seen with their tags.
func changeVLAN(l *vlan.Link, attrs map[uint16][]byte) error {
	for attr, p := range attrs {
		switch attr {
		case vlanID, vlanProtocol:
		case vlanFlags:
			if len(p) < 8 {
				return nlmsg.At(unix.EINVAL, p)
			}
			flags, mask := ne.Uint32(p), ne.Uint32(p[4:])
			if (flags^flagReorder)&mask&^flagLooseBinding != 0 {
				return nlmsg.At(unix.EOPNOTSUPP, p)
			}
			if mask&flagLooseBinding != 0 {
				l.Loose.Store(flags&flagLooseBinding != 0)
			}
		default:
			return nlmsg.At(unix.EOPNOTSUPP, p)
		}
	}
	return nil
}
