package families

import (
	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/sentry/kernel"
	"casemate/sentry/socket/netdev"
)

// ProcNet returns what makes the files of /proc/net, for procfs.Options.Net.
func ProcNet(k *kernel.Kernel) map[string]func(ns *kernel.NetNamespace) string {
	m := map[string]func(ns *kernel.NetNamespace) string{}
	add := func(name string, text func(n *Network) string) {
		m[name] = func(ns *kernel.NetNamespace) string {
			n := Of(k, ns)
			if n.Host != nil {
				if text, ok := n.Host.ProcNet(name); ok {
					return text
				}
			}
			return text(n)
		}
	}
	for name, text := range map[string]func(*netstack.Stack) string{
		"dev": netdev.Dev, "route": netdev.Route, "ipv6_route": netdev.IPv6Route, "if_inet6": netdev.IfInet6, "arp": netdev.ARP,
		"snmp": netdev.SNMP, "snmp6": netdev.SNMP6, "netstat": netdev.Netstat,
		"dev_mcast": netdev.DevMulticast, "igmp": netdev.IGMP, "igmp6": netdev.IGMP6,
	} {
		add(name, func(n *Network) string { return text(n.IP) })
	}
	add("tcp", func(n *Network) string { return n.Inet.TCP(unix.AF_INET) })
	add("tcp6", func(n *Network) string { return n.Inet.TCP(unix.AF_INET6) })
	for name, kind := range map[string]struct {
		family, typ int
		ping        bool
	}{
		"udp": {unix.AF_INET, unix.SOCK_DGRAM, false}, "udp6": {unix.AF_INET6, unix.SOCK_DGRAM, false},
		"raw": {unix.AF_INET, unix.SOCK_RAW, false}, "raw6": {unix.AF_INET6, unix.SOCK_RAW, false},
		"icmp": {unix.AF_INET, unix.SOCK_DGRAM, true}, "icmp6": {unix.AF_INET6, unix.SOCK_DGRAM, true},
	} {
		add(name, func(n *Network) string { return n.Inet.Datagrams(kind.family, kind.typ, kind.ping) })
	}
	add("ip_tables_names", func(n *Network) string { return n.IP.IPTables.Names() })
	add("ip6_tables_names", func(n *Network) string { return n.IP.IP6Tables.Names() })
	add("nf_conntrack", func(n *Network) string { return netdev.Conntrack(n.IP) })
	add("unix", func(n *Network) string { return n.Unix.Text() })
	add("netlink", func(n *Network) string { return n.Netlink.Text() })
	add("sockstat", func(n *Network) string { return n.Inet.Sockstat(n.Inet.Len() + n.Unix.Len() + n.Netlink.Len()) })
	add("sockstat6", func(n *Network) string { return n.Inet.Sockstat6() })
	// Packet sockets are not listed; programs take the file as a sign of the family.
	add("packet", func(*Network) string { return "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n" })
	return m
}
