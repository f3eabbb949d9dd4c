package sysfs

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/sentry/socket/families"
	"casemate/sentry/socket/netdev"
)

func (fs *fileSystem) interfaces() []*ip.Interface { return families.Of(fs.k, fs.net).IP.Interfaces() }

// netLinks are /sys/class/net.
func (fs *fileSystem) netLinks() (list []entry) {
	for _, i := range fs.interfaces() {
		list = append(list, link(i.Name(), "../../devices/virtual/net/"+i.Name()))
	}
	return list
}

// netDevices are /sys/devices/virtual/net.
func (fs *fileSystem) netDevices() (list []entry) {
	for _, i := range fs.interfaces() {
		list = append(list, entry{name: i.Name(), mode: 0o755, list: func() []entry { return netDevice(i) }})
	}
	return list
}

// netDevice are the files of an interface (Documentation/ABI/testing/sysfs-class-net).
func netDevice(i *ip.Interface) []entry {
	show := func(name string, text func() (string, error)) entry {
		return entry{name: name, mode: 0o444, text: func() (string, error) {
			s, err := text()
			return s + "\n", err
		}}
	}
	number := func(name string, n func() int) entry {
		return show(name, func() (string, error) { return strconv.Itoa(n()), nil })
	}
	// Of what is not up, and of the loopback interface, these cannot be read.
	ofLink := func(name, value string) entry {
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
	return []entry{
		file("addr_assign_type", "0"), file("addr_len", "6"), file("address", hardware(info.HWAddr)), file("broadcast", broadcast),
		show("carrier", func() (string, error) {
			if i.Flags()&unix.IFF_UP == 0 {
				return "", unix.EINVAL
			}
			return "1", nil
		}),
		file("carrier_changes", "0"), file("carrier_down_count", "0"), file("carrier_up_count", "0"),
		file("dev_id", "0x0"), file("dev_port", "0"), file("dormant", "0"), ofLink("duplex", "full"),
		show("flags", func() (string, error) {
			return fmt.Sprintf("0x%x", i.Flags()&^uint32(unix.IFF_RUNNING|unix.IFF_LOWER_UP|unix.IFF_DORMANT)), nil
		}),
		file("gro_flush_timeout", "0"),
		entry{name: "ifalias", mode: 0o444, text: func() (string, error) { return "", nil }},
		file("ifindex", index), file("iflink", index), file("link_mode", "0"),
		number("mtu", i.MTU), file("name_assign_type", "2"), file("netdev_group", "0"),
		show("operstate", func() (string, error) {
			switch {
			case i.Flags()&unix.IFF_UP == 0:
				return "down", nil
			case i.IsLoopback():
				return "unknown", nil
			}
			return "up", nil
		}),
		file("proto_down", "0"), dir("queues", dir("rx-0"), dir("tx-0")), ofLink("speed", "10000"),
		dir("statistics", statistics(i)...), link("subsystem", "../../../../class/net"), file("testing", "0"), file("threaded", "0"),
		number("tx_queue_len", func() int { return netdev.TxQueueLen }), file("type", strconv.Itoa(int(info.Type))),
		show("uevent", func() (string, error) { return "INTERFACE=" + i.Name() + "\nIFINDEX=" + index, nil }),
	}
}

// hardware is a hardware address as Linux writes it.
func hardware(a [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5])
}

// statistics are an interface's counters.
func statistics(i *ip.Interface) (list []entry) {
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
		list = append(list, entry{name: name, mode: 0o444, text: func() (string, error) {
			if count == nil {
				return "0\n", nil
			}
			return strconv.FormatUint(count(), 10) + "\n", nil
		}})
	}
	return list
}
