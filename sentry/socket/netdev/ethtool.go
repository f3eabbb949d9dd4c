package netdev

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/sentry/kernel"
	"casemate/vfs"
)

// Commands of SIOCETHTOOL (linux/ethtool.h) that x/sys does not name.
const (
	ethtoolGSettings     = 0x01 // ETHTOOL_GSET
	ethtoolGDriver       = 0x03 // ETHTOOL_GDRVINFO
	ethtoolGLink         = 0x0a // ETHTOOL_GLINK
	ethtoolGPermAddr     = 0x20 // ETHTOOL_GPERMADDR
	ethtoolGRxSum        = 0x14 // ETHTOOL_GRXCSUM
	ethtoolGTxSum        = 0x16
	ethtoolGSG           = 0x18
	ethtoolGTSO          = 0x1e
	ethtoolGGSO          = 0x23
	ethtoolGGRO          = 0x2b
	ethtoolGTimestamping = 0x41 // ETHTOOL_GET_TS_INFO

	driverInfoLen = 196 // sizeof(struct ethtool_drvinfo)
	tsInfoLen     = 44  // sizeof(struct ethtool_ts_info)
)

// driver is the name of the driver that a link seems to have.
func driver(i *ip.Interface) string {
	if k, ok := i.Link().(interface{ Kind() string }); ok {
		return k.Kind()
	}
	return "veth" // what a container's device mostly is
}

// ethtool serves the questions of SIOCETHTOOL. EOPNOTSUPP for others.
func ethtool(ctx *vfs.Context, s *netstack.Stack, arg uint64) error {
	r, i, err := request(ctx, s, arg)
	if err != nil {
		return err
	}
	at := binary.NativeEndian.Uint64(r[ifreqNameSize:])
	var cmd [4]byte
	if _, err := ctx.Mem.CopyIn(cmd[:], at); err != nil {
		return err
	}
	info := i.Info()
	flag := func(on bool) error {
		v := uint32(0)
		if on {
			v = 1
		}
		_, err := ctx.Mem.CopyOut(at+4, binary.NativeEndian.AppendUint32(nil, v))
		return err
	}
	switch binary.NativeEndian.Uint32(cmd[:]) {
	case ethtoolGDriver:
		var b [driverInfoLen]byte
		copy(b[:], cmd[:])
		if i.IsLoopback() {
			return unix.EOPNOTSUPP
		}
		copy(b[4:36], driver(i))
		copy(b[36:68], "1.0")
		_, err := ctx.Mem.CopyOut(at, b[:])
		return err
	case ethtoolGLink:
		return flag(i.Flags()&unix.IFF_RUNNING != 0)
	case ethtoolGRxSum, ethtoolGTxSum, ethtoolGSG:
		return flag(info.Csum)
	case ethtoolGTSO, ethtoolGGSO:
		return flag(info.GSOMax > 0)
	case ethtoolGGRO:
		return flag(info.GSOMax > 0)
	case ethtoolGPermAddr:
		var size [4]byte
		if _, err := ctx.Mem.CopyIn(size[:], at+4); err != nil {
			return err
		}
		n := min(int(binary.NativeEndian.Uint32(size[:])), len(info.HWAddr))
		b := binary.NativeEndian.AppendUint32(nil, uint32(n))
		_, err := ctx.Mem.CopyOut(at+4, append(b, info.HWAddr[:n]...))
		return err
	case ethtoolGTimestamping:
		var b [tsInfoLen]byte
		copy(b[:], cmd[:])
		const software = unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE
		binary.NativeEndian.PutUint32(b[4:], software)
		binary.NativeEndian.PutUint32(b[8:], ^uint32(0)) // no PTP clock
		_, err := ctx.Mem.CopyOut(at, b[:])
		return err
	case ethtoolGSettings:
		return ethtoolSettings(ctx, i, at)
	}
	return unix.EOPNOTSUPP
}

// ethtoolSettings is ETHTOOL_GSET: 10 Gbit/s, full duplex, as Linux says of a veth.
func ethtoolSettings(ctx *vfs.Context, i *ip.Interface, at uint64) error {
	if i.IsLoopback() || i.Info().Type != unix.ARPHRD_ETHER {
		return unix.EOPNOTSUPP
	}
	var b [44]byte // struct ethtool_cmd
	binary.NativeEndian.PutUint32(b[:], ethtoolGSettings)
	binary.NativeEndian.PutUint16(b[12:], 10000) // speed
	b[14] = 1                                    // DUPLEX_FULL
	_, err := ctx.Mem.CopyOut(at, b[:])
	return err
}

// rename is SIOCSIFNAME. EPERM without CAP_NET_ADMIN.
func rename(ctx *vfs.Context, ns *kernel.NetNamespace, s *netstack.Stack, arg uint64) error {
	if !ns.HasCap(ctx.Cred, unix.CAP_NET_ADMIN) {
		return unix.EPERM
	}
	r, i, err := request(ctx, s, arg)
	if err != nil {
		return err
	}
	name, _, _ := bytes.Cut(r[ifreqNameSize:ifreqNameSize+unix.IFNAMSIZ-1], []byte{0})
	return s.Rename(i, string(name))
}
