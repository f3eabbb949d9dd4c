package netdev

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/wire"
)

// memberships are the groups of an interface of one family.
func memberships(s *netstack.Stack, i *ip.Interface, v6 bool) (l []ip.Membership) {
	for _, m := range s.Memberships(i) {
		if m.Group.Is6() == v6 {
			l = append(l, m)
		}
	}
	return l
}

// DevMulticast is /proc/net/dev_mcast: the hardware addresses of groups for which Ethernet interfaces listen.
func DevMulticast(s *netstack.Stack) string {
	var b strings.Builder
	for _, i := range s.Interfaces() {
		if i.Info().Type != unix.ARPHRD_ETHER {
			continue
		}
		users := map[wire.MAC]int{}
		var order []wire.MAC
		for _, m := range s.Memberships(i) {
			if m.Group.IsInterfaceLocalMulticast() {
				continue
			}
			mac := wire.MulticastMAC(m.Group)
			if users[mac]++; users[mac] == 1 {
				order = append(order, mac)
			}
		}
		for _, mac := range order {
			fmt.Fprintf(&b, "%-4d %-15s %-5d %-5d %x\n", i.Index(), i.Name(), users[mac], 0, mac[:])
		}
	}
	return b.String()
}

// IGMP is /proc/net/igmp: the groups of IPv4. Timers are not told.
func IGMP(s *netstack.Stack) string {
	var b strings.Builder
	b.WriteString("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n")
	for _, i := range s.Interfaces() {
		l := memberships(s, i, false)
		if len(l) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%d\t%-10s: %5d %7s\n", i.Index(), i.Name(), len(l), "V3")
		for _, m := range l {
			fmt.Fprintf(&b, "\t\t\t\t%s %5d 0:%08X\t\t0\n", hex4(m.Group), m.Users, 0)
		}
	}
	return b.String()
}

// IGMP6 is /proc/net/igmp6: the groups of IPv6. Timers are not told.
func IGMP6(s *netstack.Stack) string {
	const loaded = 4 // MAF_LOADED
	var b strings.Builder
	for _, i := range s.Interfaces() {
		for _, m := range memberships(s, i, true) {
			fmt.Fprintf(&b, "%-4d %-15s %s %5d %08X 0\n", i.Index(), i.Name(), hex6(m.Group), m.Users, loaded)
		}
	}
	return b.String()
}
