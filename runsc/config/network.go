package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

// NetworkOptions say how packets of a taken-over network go.
type NetworkOptions struct {
	GSO        bool   // send packets of up to 64 KiB at once, to be cut by the device
	GRO        bool   // the host's device puts packets together
	Channels   int    // packet sockets for each device
	Qdisc      string // none or fifo
	XDP        bool   // by AF_XDP sockets, where the host has them
	NetRaw     bool   // CAP_NET_RAW counts
	LogPackets bool   // to the debug log
	PCAP       string // file; "" is none
}

// maxChannels is the largest --num-network-channels.
const maxChannels = 64

func (c *NetworkOptions) setFlags(f *flag.FlagSet) {
	f.BoolVar(&c.GSO, "gso", true, "send segments of up to 64 KiB at once (generic segmentation offload)")
	f.BoolVar(&c.GRO, "gro", true, "have the host's network devices put received packets together (generic receive offload)")
	f.IntVar(&c.Channels, "num-network-channels", 1, "number of packet sockets, each with a receiver, for each network device")
	f.StringVar(&c.Qdisc, "qdisc", "none", "queue in front of network devices: none (the sender writes to the device) or fifo")
	f.BoolVar(&c.XDP, "xdp", false, "send and receive by AF_XDP sockets, one for each queue of a network device; by packet sockets where the host refuses, which a warning says")
	f.BoolVar(&c.NetRaw, "net-raw", true, "let containers that have CAP_NET_RAW use it; with false it is taken from them")
	f.BoolVar(&c.LogPackets, "log-packets", false, "write a line about every packet to the debug log")
	f.StringVar(&c.PCAP, "pcap", "", "write all packets of the sandbox to a `file` that tcpdump and Wireshark read; %ID% is replaced")
}

func (c *NetworkOptions) check() error {
	if c.Channels < 1 || c.Channels > maxChannels {
		return fmt.Errorf("invalid value %d for --num-network-channels: it must be from 1 to %d", c.Channels, maxChannels)
	}
	return oneOf("qdisc", c.Qdisc, "none", "fifo")
}

// OpenPCAP makes the file that --pcap names, empty; nil without one.
func (c *Config) OpenPCAP(id string) (*os.File, error) {
	if c.PCAP == "" {
		return nil, nil
	}
	f, err := os.OpenFile(strings.ReplaceAll(c.PCAP, "%ID%", id), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the file of --pcap: %w", err)
	}
	return f, nil
}
