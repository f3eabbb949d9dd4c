package sysfs

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/sentry/socket/families"
	"casemate/sentry/socket/netdev"
	"casemate/sentry/textfs"
	"casemate/vfs"
)

func (fs *fileSystem) interfaces() []*ip.Interface { return families.Of(fs.k, fs.net).IP.Interfaces() }

// netLinks are /sys/class/net.
func (fs *fileSystem) netLinks() (list []textfs.Entry) {
	for _, i := range fs.interfaces() {
		list = append(list, textfs.Link(i.Name(), "../../devices/virtual/net/"+i.Name()))
	}
	return list
}

// netDevices are /sys/devices/virtual/net.
func (fs *fileSystem) netDevices() (list []textfs.Entry) {
	for _, i := range fs.interfaces() {
		list = append(list, textfs.Entry{Name: i.Name(), Mode: 0o755, List: func() []textfs.Entry { return netDevice(i) }})
	}
	return list
}

// netDevice are the files of an interface (Documentation/ABI/testing/sysfs-class-net).
func netDevice(i *ip.Interface) []textfs.Entry {
	show := func(name string, text func() (string, error)) textfs.Entry {
		return textfs.Entry{Name: name, Mode: 0o444, Text: func(*vfs.Context) (string, error) {
			s, err := text()
			return s + "\n", err
		}}
	}
	number := func(name string, n func() int) textfs.Entry {
		return show(name, func() (string, error) { return strconv.Itoa(n()), nil })
	}
	// Of what is not up, and of the loopback interface, these cannot be read.
	ofLink := func(name, value string) textfs.Entry {
		return show(name, func() (string, error) {
			if i.IsLoopback() || i.Flags()&unix.IFF_UP == 0 {
				return "", unix.EINVAL
			}
			return value, nil
		})
	}
	info, index := i.Info(), strconv.Itoa(int(i.Index()))
	broadcast := "ff:ff:ff:ff:ff:ff"
	if i.IsLoopback() {
		broadcast = hardware([6]byte{})
	}
	return []textfs.Entry{
		textfs.File("addr_assign_type", "0"), textfs.File("addr_len", "6"), textfs.File("address", hardware(info.HWAddr)), textfs.File("broadcast", broadcast),
		show("carrier", func() (string, error) {
			if i.Flags()&unix.IFF_UP == 0 {
				return "", unix.EINVAL
			}
			return "1", nil
		}),
		textfs.File("carrier_changes", "0"), textfs.File("carrier_down_count", "0"), textfs.File("carrier_up_count", "0"),
		textfs.File("dev_id", "0x0"), textfs.File("dev_port", "0"), textfs.File("dormant", "0"), ofLink("duplex", "full"),
		show("flags", func() (string, error) {
			return fmt.Sprintf("0x%x", i.Flags()&^uint32(unix.IFF_RUNNING|unix.IFF_LOWER_UP|unix.IFF_DORMANT)), nil
		}),
		textfs.File("gro_flush_timeout", "0"),
		textfs.Entry{Name: "ifalias", Mode: 0o444, Text: func(*vfs.Context) (string, error) { return "", nil }},
		textfs.File("ifindex", index), textfs.File("iflink", index), textfs.File("link_mode", "0"),
		number("mtu", i.MTU), textfs.File("name_assign_type", "2"), textfs.File("netdev_group", "0"),
		show("operstate", func() (string, error) {
			switch {
			case i.Flags()&unix.IFF_UP == 0:
				return "down", nil
			case i.IsLoopback():
				return "unknown", nil
			}
			return "up", nil
		}),
		textfs.File("proto_down", "0"), textfs.Dir("queues", textfs.Dir("rx-0"), textfs.Dir("tx-0")), ofLink("speed", "10000"),
		textfs.Dir("statistics", statistics(i)...), textfs.Link("subsystem", "../../../../class/net"), textfs.File("testing", "0"), textfs.File("threaded", "0"),
		number("tx_queue_len", func() int { return int(netdev.TxQueueLen(i)) }), textfs.File("type", strconv.Itoa(int(info.Type))),
		show("uevent", func() (string, error) { return "INTERFACE=" + i.Name() + "\nIFINDEX=" + index, nil }),
	}
}

// hardware is a hardware address as Linux writes it.
func hardware(a [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5])
}

// statistics are an interface's counters.
func statistics(i *ip.Interface) (list []textfs.Entry) {
	counted := map[string]func() uint64{
		"multicast": i.Stats.Multicast.Load,
		"rx_bytes":  i.Stats.RxBytes.Load, "rx_dropped": i.Stats.RxDropped.Load, "rx_errors": i.Stats.RxErrors.Load, "rx_packets": i.Stats.RxPackets.Load,
		"tx_bytes": i.Stats.TxBytes.Load, "tx_dropped": i.Stats.TxDropped.Load, "tx_errors": i.Stats.TxErrors.Load, "tx_packets": i.Stats.TxPackets.Load,
	}
	for _, name := range []string{
		"collisions", "multicast", "rx_bytes", "rx_compressed", "rx_crc_errors", "rx_dropped", "rx_errors", "rx_fifo_errors",
		"rx_frame_errors", "rx_length_errors", "rx_missed_errors", "rx_nohandler", "rx_over_errors", "rx_packets", "tx_aborted_errors",
		"tx_bytes", "tx_carrier_errors", "tx_compressed", "tx_dropped", "tx_errors", "tx_fifo_errors", "tx_heartbeat_errors", "tx_packets", "tx_window_errors",
	} {
		count := counted[name]
		list = append(list, textfs.Entry{Name: name, Mode: 0o444, Text: func(*vfs.Context) (string, error) {
			if count == nil {
				return "0\n", nil
			}
			return strconv.FormatUint(count(), 10) + "\n", nil
		}})
	}
	return list
}
