package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/link/ipvlan"
	"casemate/netstack/nlmsg"
	"casemate/vfs"
)

// Attributes of ipvlans (IFLA_IPVLAN_*).
const (
	ipvlanMode  = 1
	ipvlanFlags = 2
	modeL3S     = 2 // IPVLAN_MODE_L3S
)

// parseIPVLAN reads mode and flags, where they are. EINVAL; EOPNOTSUPP for the mode in which the packet filter of
// the stack below has a say of what arrives.
func parseIPVLAN(attrs map[uint16][]byte, mode, flags *uint32) error {
	for attr, p := range attrs {
		if len(p) < 2 {
			return nlmsg.At(unix.EINVAL, p)
		}
		v := uint32(ne.Uint16(p))
		switch {
		case attr == ipvlanMode && v == modeL3S:
			return nlmsg.At(unix.EOPNOTSUPP, p)
		case attr == ipvlanMode:
			*mode = v
		case attr == ipvlanFlags:
			*flags = v
		}
	}
	return nil
}

// newIPVLAN makes an ipvlan. EINVAL, ENODEV, EBUSY, EOPNOTSUPP.
func (s *Socket) newIPVLAN(ctx *vfs.Context, l *linkRequest, at *Ports, data []byte) error {
	below, attrs, err := s.parseUpon(ctx, l, data)
	if err != nil {
		return err
	}
	mode, flags := uint32(ipvlan.L3), uint32(0)
	if err := parseIPVLAN(attrs, &mode, &flags); err != nil {
		return err
	}
	dev, err := ipvlan.New(below, mode, flags)
	if err != nil {
		return err
	}
	delete(l.attrs, unix.IFLA_ADDRESS)
	delete(l.attrs, unix.IFLA_LINKINFO)
	_, err = at.addLink(l, "ipvlan%d", dev)
	return err
}

// putIPVLAN appends the attributes of an ipvlan.
func putIPVLAN(m *nlmsg.Builder, l *ipvlan.Link) {
	m.Attr(ipvlanMode, ne.AppendUint16(nil, uint16(l.Mode())))
	m.Attr(ipvlanFlags, ne.AppendUint16(nil, uint16(l.Flags())))
}

// changeIPVLAN sets parameters of an ipvlan.
func changeIPVLAN(l *ipvlan.Link, attrs map[uint16][]byte) error {
	mode, flags := l.Mode(), l.Flags()
	if err := parseIPVLAN(attrs, &mode, &flags); err != nil {
		return err
	}
	return l.Set(mode, flags)
}
