package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
	"casemate/sentry/socket/netdev"
)

// Numbers of ethtool's own header (linux/ethtool.h, linux/ethtool_netlink.h).
const (
	setFeatures     = 4   // ETH_SS_FEATURES
	setLinkModes    = 9   // ETH_SS_LINK_MODES
	setTimestamping = 12  // ETH_SS_SOF_TIMESTAMPING
	linkModes       = 121 // how many there are in Linux (__ETHTOOL_LINK_MODE_MASK_NBITS)
	ethtoolFamily   = unix.GENL_START_ALLOC + 2
	ethtoolMonitor  = 6 // the number of its group
)

// ethtool is the family by which ethtool(8) asks of devices. What can be asked is what there is to tell, and what
// devices without hardware refuse to tell; nothing can be changed.
var ethtool = family{id: ethtoolFamily, name: "ethtool", version: unix.ETHTOOL_GENL_VERSION, groups: []group{{ethtoolMonitor, "monitor"}}}

func init() {
	const readable = unix.GENL_CMD_CAP_DO | unix.GENL_CMD_CAP_DUMP | unix.GENL_CMD_CAP_HASPOL
	ethtool.operations = []operation{{unix.ETHTOOL_MSG_STRSET_GET, readable, (*Socket).stringSets, nil}}
	ask := func(command uint8, put func(m *nlmsg.Builder, i *ip.Interface, flags uint32) error) {
		do := func(s *Socket, q *genericRequest) error { return s.askDevice(q, put) }
		dump := func(s *Socket, d *dumper, q *genericRequest) error { return s.askDevices(d, q, put) }
		ethtool.operations = append(ethtool.operations, operation{command, readable, do, dump})
	}
	ask(unix.ETHTOOL_MSG_LINKINFO_GET, putLinkInfo)
	ask(unix.ETHTOOL_MSG_LINKMODES_GET, putLinkModes)
	ask(unix.ETHTOOL_MSG_LINKSTATE_GET, putLinkState)
	ask(unix.ETHTOOL_MSG_FEATURES_GET, putFeatures)
	ask(unix.ETHTOOL_MSG_CHANNELS_GET, putChannels)
	ask(unix.ETHTOOL_MSG_TSINFO_GET, putTimestamping)
	ask(unix.ETHTOOL_MSG_TUNNEL_INFO_GET, func(*nlmsg.Builder, *ip.Interface, uint32) error {
		return nlmsg.Refuse(unix.EOPNOTSUPP, nil, "device does not report tunnel offload info")
	})
	for _, hardware := range [...]uint8{unix.ETHTOOL_MSG_DEBUG_GET, unix.ETHTOOL_MSG_WOL_GET, unix.ETHTOOL_MSG_PRIVFLAGS_GET, unix.ETHTOOL_MSG_RINGS_GET, unix.ETHTOOL_MSG_COALESCE_GET,
		unix.ETHTOOL_MSG_PAUSE_GET, unix.ETHTOOL_MSG_EEE_GET, unix.ETHTOOL_MSG_FEC_GET, unix.ETHTOOL_MSG_MODULE_EEPROM_GET, unix.ETHTOOL_MSG_MODULE_GET} {
		ask(hardware, func(*nlmsg.Builder, *ip.Interface, uint32) error { return unix.EOPNOTSUPP })
	}
}

// header reads the flags of a request and the device that it is about, if it names one. EINVAL, ENODEV.
func (s *Socket) header(q *genericRequest) (i *ip.Interface, flags uint32, err error) {
	const headerAttr = 1 // of all commands
	attrs, err := nlmsg.Attributes(q.attrs[headerAttr])
	if err != nil {
		return nil, 0, err
	}
	if p, ok := attrs[unix.ETHTOOL_A_HEADER_FLAGS]; ok {
		if flags, err = nlmsg.Uint32(p); err != nil {
			return nil, 0, err
		}
	}
	index, byIndex := attrs[unix.ETHTOOL_A_HEADER_DEV_INDEX]
	name, byName := attrs[unix.ETHTOOL_A_HEADER_DEV_NAME]
	switch {
	case byIndex:
		n, err := nlmsg.Uint32(index)
		if err != nil {
			return nil, 0, err
		}
		if i = s.ports.stack.Interface(int32(n)); i == nil {
			return nil, 0, nlmsg.Refuse(unix.ENODEV, index, "no device matches ifindex")
		}
	case byName:
		if i = s.ports.stack.InterfaceByName(nlmsg.String(name)); i == nil {
			return nil, 0, nlmsg.Refuse(unix.ENODEV, name, "no device matches name")
		}
	}
	return i, flags, nil
}

// putHeader appends the attribute that says what device an answer is about.
func putHeader(m *nlmsg.Builder, i *ip.Interface) {
	m.Nest(unix.ETHTOOL_A_LINKINFO_HEADER, func() {
		m.Attr32(unix.ETHTOOL_A_HEADER_DEV_INDEX, uint32(i.Index()))
		m.AttrString(unix.ETHTOOL_A_HEADER_DEV_NAME, i.Name())
	})
}

// replyTo is the command of the answer to another one: up to a number both are the same.
func replyTo(command uint8) uint8 {
	switch command {
	case unix.ETHTOOL_MSG_CHANNELS_GET, unix.ETHTOOL_MSG_TSINFO_GET:
		return command + 1
	}
	return command
}

// askDevice answers about the device that a request names. EINVAL, and put's errors.
func (s *Socket) askDevice(q *genericRequest, put func(*nlmsg.Builder, *ip.Interface, uint32) error) error {
	i, flags, err := s.header(q)
	if err != nil {
		return err
	}
	if i == nil {
		return nlmsg.Refuse(unix.EINVAL, nil, "device unspecified")
	}
	var m nlmsg.Builder
	q.begin(&m, s, 0, replyTo(q.Body[0]))
	putHeader(&m, i)
	if err := put(&m, i, flags); err != nil {
		return err
	}
	m.End()
	s.deliver(datagram{data: m.B})
	return nil
}

// askDevices answers about all devices that tell it.
func (s *Socket) askDevices(d *dumper, q *genericRequest, put func(*nlmsg.Builder, *ip.Interface, uint32) error) error {
	_, flags, err := s.header(q)
	if err != nil {
		return err
	}
	for _, i := range s.ports.stack.Interfaces() {
		var m nlmsg.Builder
		q.begin(&m, s, unix.NLM_F_MULTI, replyTo(q.Body[0]))
		putHeader(&m, i)
		if put(&m, i, flags) != nil {
			continue
		}
		m.End()
		d.add(m.B)
	}
	return nil
}

func putLinkInfo(m *nlmsg.Builder, i *ip.Interface, _ uint32) error {
	_, _, port, err := netdev.Mode(i)
	if err != nil {
		return err
	}
	m.Attr8(unix.ETHTOOL_A_LINKINFO_PORT, port)
	for attr := uint16(unix.ETHTOOL_A_LINKINFO_PHYADDR); attr <= unix.ETHTOOL_A_LINKINFO_TRANSCEIVER; attr++ {
		m.Attr8(attr, 0)
	}
	return nil
}

func putLinkModes(m *nlmsg.Builder, i *ip.Interface, flags uint32) error {
	speed, duplex, _, err := netdev.Mode(i)
	if err != nil {
		return err
	}
	m.Attr8(unix.ETHTOOL_A_LINKMODES_AUTONEG, 0)
	none := make([]uint32, (linkModes+31)/32)
	putBits(m, unix.ETHTOOL_A_LINKMODES_OURS, flags, linkModes, nil, none, none)
	m.Attr32(unix.ETHTOOL_A_LINKMODES_SPEED, speed)
	m.Attr8(unix.ETHTOOL_A_LINKMODES_DUPLEX, duplex)
	m.Attr8(unix.ETHTOOL_A_LINKMODES_RATE_MATCHING, 0)
	return nil
}

func putLinkState(m *nlmsg.Builder, i *ip.Interface, _ uint32) error {
	up := uint8(0)
	if netdev.HasLink(i) {
		up = 1
	}
	m.Attr8(unix.ETHTOOL_A_LINKSTATE_LINK, up)
	return nil
}

func putFeatures(m *nlmsg.Builder, i *ip.Interface, flags uint32) error {
	names := netdev.FeatureNames()
	active, none, all := []uint32{netdev.Features(i)}, []uint32{0}, []uint32{1<<len(names) - 1}
	putBits(m, unix.ETHTOOL_A_FEATURES_HW, flags, len(names), names, none, all) // that could be changed
	putBits(m, unix.ETHTOOL_A_FEATURES_WANTED, flags, len(names), names, active, nil)
	putBits(m, unix.ETHTOOL_A_FEATURES_ACTIVE, flags, len(names), names, active, nil)
	putBits(m, unix.ETHTOOL_A_FEATURES_NOCHANGE, flags, len(names), names, none, nil)
	return nil
}

// putChannels tells of those kinds of queues that there are.
func putChannels(m *nlmsg.Builder, i *ip.Interface, _ uint32) error {
	rx, tx, combined, err := netdev.Channels(i)
	if err != nil {
		return err
	}
	put := func(most, now uint16, n uint32) {
		if n > 0 {
			m.Attr32(most, n)
			m.Attr32(now, n)
		}
	}
	put(unix.ETHTOOL_A_CHANNELS_RX_MAX, unix.ETHTOOL_A_CHANNELS_RX_COUNT, rx)
	put(unix.ETHTOOL_A_CHANNELS_TX_MAX, unix.ETHTOOL_A_CHANNELS_TX_COUNT, tx)
	put(unix.ETHTOOL_A_CHANNELS_COMBINED_MAX, unix.ETHTOOL_A_CHANNELS_COMBINED_COUNT, combined)
	return nil
}

// timestampings are the names of SOF_TIMESTAMPING_*.
var timestampings = []string{"hardware-transmit", "software-transmit", "hardware-receive", "software-receive", "software-system-clock",
	"hardware-legacy-clock", "hardware-raw-clock", "option-id", "sched-transmit", "ack-transmit", "option-cmsg", "option-tsonly",
	"option-stats", "option-pktinfo", "option-tx-swhw", "bind-phc", "option-id-tcp"}

func putTimestamping(m *nlmsg.Builder, _ *ip.Interface, flags uint32) error {
	putBits(m, unix.ETHTOOL_A_TSINFO_TIMESTAMPING, flags, len(timestampings), timestampings, []uint32{netdev.Timestamping}, nil)
	return nil
}

// putBits appends a set of n bits, of which some are in the mask; a nil mask: it is a list. Flags say in what form;
// names are those of the bits in the long one.
func putBits(m *nlmsg.Builder, attr uint16, flags uint32, n int, names []string, value, mask []uint32) {
	words := func(l []uint32) (p []byte) {
		for _, w := range l {
			p = ne.AppendUint32(p, w)
		}
		return p
	}
	m.Nest(attr, func() {
		if mask == nil {
			m.Attr(unix.ETHTOOL_A_BITSET_NOMASK, nil)
		}
		m.Attr32(unix.ETHTOOL_A_BITSET_SIZE, uint32(n))
		if flags&unix.ETHTOOL_FLAG_COMPACT_BITSETS != 0 {
			m.Attr(unix.ETHTOOL_A_BITSET_VALUE, words(value))
			if mask != nil {
				m.Attr(unix.ETHTOOL_A_BITSET_MASK, words(mask))
			}
			return
		}
		m.Nest(unix.ETHTOOL_A_BITSET_BITS, func() {
			for k, name := range names {
				set := value[k/32]>>(k%32)&1 != 0
				if mask == nil && !set || mask != nil && mask[k/32]>>(k%32)&1 == 0 {
					continue
				}
				m.Nest(unix.ETHTOOL_A_BITSET_BITS_BIT, func() {
					m.Attr32(unix.ETHTOOL_A_BITSET_BIT_INDEX, uint32(k))
					m.AttrString(unix.ETHTOOL_A_BITSET_BIT_NAME, name)
					if set && mask != nil {
						m.Attr(unix.ETHTOOL_A_BITSET_BIT_VALUE, nil)
					}
				})
			}
		})
	})
}

// stringSets answers with sets of names. EOPNOTSUPP for one that there is not.
func (s *Socket) stringSets(q *genericRequest) error {
	asked, err := nlmsg.List(q.attrs[unix.ETHTOOL_A_STRSET_STRINGSETS])
	if err != nil {
		return err
	}
	_, counts := q.attrs[unix.ETHTOOL_A_STRSET_COUNTS_ONLY]
	var m nlmsg.Builder
	q.begin(&m, s, 0, q.Body[0])
	m.Nest(unix.ETHTOOL_A_STRSET_STRINGSETS, func() {
		for _, a := range asked {
			if err == nil {
				err = putStringSet(&m, a.Data, counts)
			}
		}
	})
	if err != nil {
		return err
	}
	m.End()
	s.deliver(datagram{data: m.B})
	return nil
}

// putStringSet appends the set that p asks for, or how many strings it has.
func putStringSet(m *nlmsg.Builder, p []byte, counts bool) error {
	attrs, err := nlmsg.Attributes(p)
	if err != nil {
		return err
	}
	id, err := nlmsg.Uint32(attrs[unix.ETHTOOL_A_STRINGSET_ID])
	if err != nil {
		return err
	}
	var names []string
	switch id {
	case setFeatures:
		names = netdev.FeatureNames()
	case setTimestamping:
		names = timestampings
	case setLinkModes: // there is none, whatever its name
	default:
		return unix.EOPNOTSUPP
	}
	m.Nest(unix.ETHTOOL_A_STRINGSETS_STRINGSET, func() {
		m.Attr32(unix.ETHTOOL_A_STRINGSET_ID, id)
		m.Attr32(unix.ETHTOOL_A_STRINGSET_COUNT, uint32(len(names)))
		if counts {
			return
		}
		m.Nest(unix.ETHTOOL_A_STRINGSET_STRINGS, func() {
			for k, name := range names {
				m.Nest(unix.ETHTOOL_A_STRINGS_STRING, func() {
					m.Attr32(unix.ETHTOOL_A_STRING_INDEX, uint32(k))
					m.AttrString(unix.ETHTOOL_A_STRING_VALUE, name)
				})
			}
		})
	})
	return nil
}
