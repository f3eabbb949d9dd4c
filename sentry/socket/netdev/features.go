package netdev

import (
	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/veth"
)

// A feature is something that a device can do for the stack, of Linux's those that links here can have.
type feature struct {
	name string // by which programs know it
	of   func(d *device) bool
}

// A device is what features are asked of.
type device struct {
	link.Info
	pair, loopback bool
}

func always(*device) bool      { return true }
func checksums(d *device) bool { return d.Csum }
func segments(d *device) bool  { return d.GSOMax > 0 }
func pair(d *device) bool      { return d.pair }
func loopback(d *device) bool  { return d.loopback }

// whole: packets of any protocol cross as they are, however large.
func whole(d *device) bool { return segments(d) && (d.pair || d.loopback) }

// tunnels are whole, but for the loopback, through which none lead.
func tunnels(d *device) bool { return segments(d) && d.pair }

// merges: small packets of a flow become a large one.
func merges(d *device) bool { return segments(d) && !d.pair }

// features are in the order in which Linux has them. Their places are the bits of ETHTOOL_GFEATURES.
var features = []feature{
	{"tx-scatter-gather", checksums},
	{"tx-checksum-ip-generic", checksums},
	{"highdma", always},
	{"tx-scatter-gather-fraglist", checksums},
	{"tx-vlan-hw-insert", pair},
	{"rx-vlan-hw-parse", pair},
	{"vlan-challenged", loopback},
	{"tx-generic-segmentation", segments},
	{"rx-gro", merges},
	{"tx-tcp-segmentation", segments},
	{"tx-tcp-ecn-segmentation", segments},
	{"tx-tcp-mangleid-segmentation", whole},
	{"tx-tcp6-segmentation", segments},
	{"tx-gre-segmentation", tunnels},
	{"tx-gre-csum-segmentation", tunnels},
	{"tx-ipxip4-segmentation", tunnels},
	{"tx-ipxip6-segmentation", tunnels},
	{"tx-udp_tnl-segmentation", tunnels},
	{"tx-udp_tnl-csum-segmentation", tunnels},
	{"tx-sctp-segmentation", whole},
	{"tx-udp-segmentation", segments},
	{"tx-gso-list", whole},
	{"tx-tcp-accecn-segmentation", whole},
	{"tx-checksum-sctp", whole},
	{"rx-checksum", checksums},
	{"loopback", loopback},
	{"tx-vlan-stag-hw-insert", pair},
	{"rx-vlan-stag-hw-parse", pair},
}

// FeatureNames are the names of what Features tells.
func FeatureNames() (l []string) {
	for _, f := range features {
		l = append(l, f.name)
	}
	return l
}

// Features are those that an interface has, each a bit.
func Features(i *ip.Interface) (mask uint32) {
	_, paired := i.Link().(*veth.Link)
	d := device{Info: i.Info(), pair: paired, loopback: i.IsLoopback()}
	for k, f := range features {
		if f.of(&d) {
			mask |= 1 << k
		}
	}
	return mask
}
