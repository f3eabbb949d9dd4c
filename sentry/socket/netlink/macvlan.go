package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/link/macvlan"
	"casemate/netstack/nlmsg"
	"casemate/netstack/wire"
	"casemate/vfs"
)

// Attributes of macvlans (IFLA_MACVLAN_*), and what is in them.
const (
	macvlanMode       = 1
	macvlanFlags      = 2
	macvlanQueue      = 7 // IFLA_MACVLAN_BC_QUEUE_LEN
	macvlanQueueUsed  = 8 // IFLA_MACVLAN_BC_QUEUE_LEN_USED
	macvlanFloodQueue = 1000
)

// newMacvlan makes a macvlan. EINVAL without an interface to be upon, or for one or a mode that cannot be; ENODEV, EBUSY.
func (s *Socket) newMacvlan(ctx *vfs.Context, l *linkRequest, at *Ports, mac wire.MAC, data []byte) error {
	below, attrs, err := s.parseUpon(ctx, l, data)
	if err != nil {
		return err
	}
	mode := uint32(macvlan.VEPA)
	if p, ok := attrs[macvlanMode]; ok {
		if mode, err = nlmsg.Uint32(p); err != nil {
			return err
		}
	}
	dev, err := macvlan.New(below, mode, mac)
	if err != nil {
		return err
	}
	if mode == macvlan.Passthru {
		delete(l.attrs, unix.IFLA_ADDRESS)
	}
	if err := l.fits(below); err != nil {
		return err
	}
	_, err = at.addLink(l, "macvlan%d", dev)
	return err
}

// putMacvlan appends the attributes of a macvlan.
func putMacvlan(m *nlmsg.Builder, l *macvlan.Link) {
	m.Attr32(macvlanMode, l.Mode())
	m.Attr(macvlanFlags, ne.AppendUint16(nil, 0))
	m.Attr32(macvlanQueue, macvlanFloodQueue)
	m.Attr32(macvlanQueueUsed, macvlanFloodQueue)
}

// changeMacvlan sets parameters of a macvlan. EINVAL; EOPNOTSUPP for what macvlans here do not do: flags, lists of
// sources.
func changeMacvlan(l *macvlan.Link, attrs map[uint16][]byte) error {
	for attr, p := range attrs {
		v, err := nlmsg.Uint32(p)
		if attr != macvlanMode {
			return nlmsg.At(unix.EOPNOTSUPP, p)
		}
		if err == nil {
			err = l.SetMode(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
