package netdev

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/link/tap"
	"casemate/netstack/link/veth"
	"casemate/sentry/kernel"
	"casemate/vfs"
)

// Commands of SIOCETHTOOL (linux/ethtool.h) that x/sys does not name.
const (
	ethtoolGSettings     = 0x01 // ETHTOOL_GSET
	ethtoolGDriver       = 0x03 // ETHTOOL_GDRVINFO
	ethtoolGLink         = 0x0a // ETHTOOL_GLINK
	ethtoolGRxSum        = 0x14 // ETHTOOL_GRXCSUM
	ethtoolSRxSum        = 0x15 // ETHTOOL_SRXCSUM
	ethtoolGTxSum        = 0x16
	ethtoolSTxSum        = 0x17
	ethtoolGSG           = 0x18
	ethtoolSSG           = 0x19
	ethtoolGStrings      = 0x1b // ETHTOOL_GSTRINGS
	ethtoolGStats        = 0x1d // ETHTOOL_GSTATS
	ethtoolGTSO          = 0x1e
	ethtoolSTSO          = 0x1f
	ethtoolGPermAddr     = 0x20 // ETHTOOL_GPERMADDR
	ethtoolGGSO          = 0x23
	ethtoolSGSO          = 0x24
	ethtoolGFlags        = 0x25 // ETHTOOL_GFLAGS
	ethtoolGGRO          = 0x2b
	ethtoolSGRO          = 0x2c
	ethtoolGSets         = 0x37 // ETHTOOL_GSSET_INFO
	ethtoolGFeatures     = 0x3a // ETHTOOL_GFEATURES
	ethtoolGChannels     = 0x3c // ETHTOOL_GCHANNELS
	ethtoolGTimestamping = 0x41 // ETHTOOL_GET_TS_INFO
	ethtoolGLinkSettings = 0x4c // ETHTOOL_GLINKSETTINGS
)

// Structures of SIOCETHTOOL.
const (
	driverInfoLen   = 196 // sizeof(struct ethtool_drvinfo)
	driverStats     = 180 // offset of n_stats in it
	tsInfoLen       = 44  // sizeof(struct ethtool_ts_info)
	commandLen      = 44  // sizeof(struct ethtool_cmd)
	linkSettingsLen = 48  // sizeof(struct ethtool_link_settings)
	linkModeWords   = 4   // how many words each of its three masks has
)

// Timestamping are the time stamps of packets that there are (SOF_TIMESTAMPING_*).
const Timestamping = unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE

const errTooSmall = unix.Errno(525) // ETOOSMALL

// driver is the name of the driver that a link seems to have.
func driver(i *ip.Interface) string {
	if k, ok := i.Link().(interface{ Kind() string }); ok {
		return k.Kind()
	}
	return "veth" // what a container's device mostly is
}

// A query is a command of SIOCETHTOOL for an interface, with its structure at an address.
type query struct {
	ctx *vfs.Context
	i   *ip.Interface
	at  uint64
	cmd uint32
}

// ethtool serves SIOCETHTOOL. EOPNOTSUPP for what a device of that kind does not tell; EPERM to
// change something without CAP_NET_ADMIN.
func ethtool(ctx *vfs.Context, ns *kernel.NetNamespace, s *netstack.Stack, arg uint64) error {
	r, i, err := request(ctx, s, arg)
	if err != nil {
		return err
	}
	q := query{ctx: ctx, i: i, at: binary.NativeEndian.Uint64(r[ifreqNameSize:])}
	if q.cmd, err = q.word(0); err != nil {
		return err
	}
	if get, of := q.setting(); of {
		return q.set(ns, get)
	}
	if v, of := q.flag(q.cmd); of {
		return q.answer(v)
	}
	switch q.cmd {
	case ethtoolGDriver:
		return q.driverInfo()
	case ethtoolGPermAddr:
		return q.permanentAddress()
	case ethtoolGTimestamping:
		return q.answer(append([]uint32{Timestamping, ^uint32(0)}, make([]uint32, tsInfoLen/4-3)...)...) // no PTP clock
	case ethtoolGSettings:
		return q.settings()
	case ethtoolGLinkSettings:
		return q.linkSettings()
	case ethtoolGChannels:
		return q.channels()
	case ethtoolGSets:
		return q.stringSets()
	case ethtoolGStrings:
		return q.strings()
	case ethtoolGStats:
		return q.statistics()
	case ethtoolGFeatures:
		return q.features()
	}
	return unix.EOPNOTSUPP
}

// word is the number at an offset in the caller's structure.
func (q *query) word(off uint64) (uint32, error) {
	var b [4]byte
	_, err := q.ctx.Mem.CopyIn(b[:], q.at+off)
	return binary.NativeEndian.Uint32(b[:]), err
}

// answer writes the command and what follows it in the structure.
func (q *query) answer(v ...uint32) error {
	b := binary.NativeEndian.AppendUint32(nil, q.cmd)
	for _, x := range v {
		b = binary.NativeEndian.AppendUint32(b, x)
	}
	return q.put(b)
}

func (q *query) put(b []byte) error {
	_, err := q.ctx.Mem.CopyOut(q.at, b)
	return err
}

// flag is what a command that asks for one flag tells; of is false for other commands.
func (q *query) flag(cmd uint32) (v uint32, of bool) {
	info := q.i.Info()
	on := false
	switch cmd {
	case ethtoolGLink:
		on = HasLink(q.i)
	case ethtoolGRxSum, ethtoolGTxSum, ethtoolGSG:
		on = info.Csum
	case ethtoolGTSO, ethtoolGGSO:
		on = info.GSOMax > 0
	case ethtoolGGRO: // packets cross a pair as they are
		_, paired := q.i.Link().(*veth.Link)
		on = info.GSOMax > 0 && !paired
	case ethtoolGFlags: // of VLANs, large receive and filters: none
	default:
		return 0, false
	}
	if on {
		v = 1
	}
	return v, true
}

// setting is the command that asks for what the query's command sets.
func (q *query) setting() (get uint32, of bool) {
	switch q.cmd {
	case ethtoolSRxSum, ethtoolSTxSum, ethtoolSSG, ethtoolSTSO, ethtoolSGSO, ethtoolSGRO:
		return q.cmd - 1, true
	}
	return 0, false
}

// set sets a flag to what it is; nothing can be changed.
func (q *query) set(ns *kernel.NetNamespace, get uint32) error {
	if !ns.HasCap(q.ctx.Cred, unix.CAP_NET_ADMIN) {
		return unix.EPERM
	}
	v, err := q.word(4)
	if err != nil {
		return err
	}
	if is, _ := q.flag(get); (v != 0) != (is != 0) {
		return unix.EOPNOTSUPP
	}
	return nil
}

// driverInfo is ETHTOOL_GDRVINFO, with the versions that Linux's drivers have.
func (q *query) driverInfo() error {
	if q.i.IsLoopback() {
		return unix.EOPNOTSUPP
	}
	name := driver(q.i)
	var b [driverInfoLen]byte
	binary.NativeEndian.PutUint32(b[:], q.cmd)
	for k, s := range [...]string{name, map[string]string{"veth": "1.0", "bridge": "2.3", "tun": "1.6"}[name]} {
		copy(b[4+32*k:4+32*k+31], s)
	}
	if l, ok := q.i.Link().(*tap.Link); ok {
		copy(b[68:], "N/A")
		bus := "tun"
		if l.Ethernet() {
			bus = "tap"
		}
		copy(b[100:], bus)
	} else if name == "bridge" {
		copy(b[68:], "N/A")
		copy(b[100:], "N/A")
	}
	binary.NativeEndian.PutUint32(b[driverStats:], uint32(len(q.statisticNames())))
	return q.put(b[:])
}

// permanentAddress is ETHTOOL_GPERMADDR: devices without hardware have none, of the length of one.
func (q *query) permanentAddress() error {
	room, err := q.word(4)
	if err != nil {
		return err
	}
	n := uint32(len(q.i.Info().HWAddr))
	if q.i.Info().Type == unix.ARPHRD_NONE {
		n = 0
	}
	if room < n {
		return errTooSmall
	}
	return q.put(append(binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, q.cmd), n), make([]byte, n)...))
}

// HasLink reports whether an interface is up and has a carrier.
func HasLink(i *ip.Interface) bool {
	const both = unix.IFF_UP | unix.IFF_RUNNING
	return i.Flags()&both == both
}

// Mode is the speed in Mbit/s, the duplex and the port that Linux tells of a device without
// hardware. EOPNOTSUPP.
func Mode(i *ip.Interface) (speed uint32, duplex, port uint8, err error) {
	switch driver(i) {
	case "veth", "tun":
		if i.IsLoopback() {
			break
		}
		return 10000, 1, 0, nil // DUPLEX_FULL, PORT_TP
	case "bridge":
		return ^uint32(0), 0xff, 0xff, nil // all unknown
	}
	return 0, 0, 0, unix.EOPNOTSUPP
}

// settings is ETHTOOL_GSET.
func (q *query) settings() error {
	speed, duplex, port, err := Mode(q.i)
	if err != nil {
		return err
	}
	var b [commandLen]byte
	binary.NativeEndian.PutUint32(b[:], q.cmd)
	binary.NativeEndian.PutUint16(b[12:], uint16(speed))
	b[14], b[15] = duplex, port
	binary.NativeEndian.PutUint16(b[28:], uint16(speed>>16))
	return q.put(b[:])
}

// linkSettings is ETHTOOL_GLINKSETTINGS. A caller that does not know the length of the masks is told
// it, as a negative number.
func (q *query) linkSettings() error {
	speed, duplex, port, err := Mode(q.i)
	if err != nil {
		return err
	}
	var b [linkSettingsLen + 3*4*linkModeWords]byte
	const words = 15 // offset of link_mode_masks_nwords
	if _, err := q.ctx.Mem.CopyIn(b[:words+1], q.at); err != nil {
		return err
	}
	known := b[words] == linkModeWords
	clear(b[4 : words+1])
	if !known {
		b[words] = 256 - linkModeWords
		return q.put(b[:linkSettingsLen])
	}
	binary.NativeEndian.PutUint32(b[4:], speed)
	b[8], b[9], b[words] = duplex, port, linkModeWords
	return q.put(b[:])
}

// Channels are the queues of an interface: to receive and to send, and for both, of which there cannot be more.
// EOPNOTSUPP.
func Channels(i *ip.Interface) (rx, tx, combined uint32, err error) {
	n := uint32(max(i.Info().Queues, 1))
	switch driver(i) {
	case "veth":
		if !i.IsLoopback() {
			return n, n, 0, nil
		}
	case "tun":
		return 0, 0, n, nil
	}
	return 0, 0, 0, unix.EOPNOTSUPP
}

// channels is ETHTOOL_GCHANNELS.
func (q *query) channels() error {
	rx, tx, combined, err := Channels(q.i)
	if err != nil {
		return err
	}
	return q.answer(rx, tx, 0, combined, rx, tx, 0, combined) // at most; now
}

// Peer is the interface at the other end of a veth, in whatever namespace that is; nil for other
// interfaces.
func Peer(i *ip.Interface) *ip.Interface {
	l, ok := i.Link().(*veth.Link)
	if !ok {
		return nil
	}
	o, ok := l.Peer().Receiver().(*ip.Interface)
	if !ok {
		return nil
	}
	return o.Current()
}
