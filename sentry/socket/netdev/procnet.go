package netdev

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
)

// Dev is /proc/net/dev.
func Dev(s *netstack.Stack) string {
	var b strings.Builder
	b.WriteString("Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n")
	for _, i := range s.Interfaces() {
		t := &i.Stats
		fmt.Fprintf(&b, "%6s: %7d %7d %4d %4d %4d %5d %10d %9d %8d %7d %4d %4d %4d %5d %7d %10d\n", i.Name(),
			t.RxBytes.Load(), t.RxPackets.Load(), t.RxErrors.Load(), t.RxDropped.Load(), 0, 0, 0, t.Multicast.Load(),
			t.TxBytes.Load(), t.TxPackets.Load(), t.TxErrors.Load(), t.TxDropped.Load(), 0, 0, 0, 0)
	}
	return b.String()
}

// hex4 is an IPv4 address as /proc/net shows it: a number in memory order.
func hex4(a netip.Addr) string {
	var b [4]byte
	if a.Is4() {
		b = a.As4()
	}
	return fmt.Sprintf("%02X%02X%02X%02X", b[3], b[2], b[1], b[0])
}

// hex6 is an IPv6 address as /proc/net/if_inet6 shows it.
func hex6(a netip.Addr) string {
	var b [16]byte
	if a.IsValid() {
		b = a.As16()
	}
	return fmt.Sprintf("%x", b[:])
}

// Flags of routes (RTF_*).
func routeFlags(e *ip.RouteEntry) int {
	f := unix.RTF_UP
	if e.Gateway.IsValid() {
		f |= unix.RTF_GATEWAY
	}
	if e.Dst.IsSingleIP() {
		f |= unix.RTF_HOST
	}
	if e.Type == unix.RTN_UNREACHABLE || e.Type == unix.RTN_PROHIBIT || e.Type == unix.RTN_BLACKHOLE {
		f |= unix.RTF_REJECT
	}
	return f
}

// Route is /proc/net/route.
func Route(s *netstack.Stack) string {
	var b strings.Builder
	line := func(text string) { fmt.Fprintf(&b, "%-127s\n", text) }
	for _, e := range s.Routes() {
		if !e.Dst.Addr().Is4() {
			continue
		}
		name := "*"
		if i := s.Interface(e.OIF); i != nil {
			name = i.Name()
		}
		if b.Len() == 0 {
			line("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT")
		}
		line(fmt.Sprintf("%s\t%s\t%s\t%04X\t%d\t%d\t%d\t%s\t%d\t%d\t%d", name, hex4(e.Dst.Addr()), hex4(e.Gateway), routeFlags(&e), 0, 0,
			e.Metric, hex4(mask(e.Dst)), e.MTU, 0, 0))
	}
	return b.String()
}

// IPv6Route is /proc/net/ipv6_route.
func IPv6Route(s *netstack.Stack) string {
	var b strings.Builder
	for _, e := range s.Routes() {
		if !e.Dst.Addr().Is6() {
			continue
		}
		name := ""
		if i := s.Interface(e.OIF); i != nil {
			name = i.Name()
		}
		fmt.Fprintf(&b, "%s %02x %s 00 %s %08x %08x %08x %08x %8s\n", hex6(e.Dst.Addr()), e.Dst.Bits(), hex6(netip.Addr{}), hex6(e.Gateway),
			e.Metric, 1, 0, routeFlags(&e)&^unix.RTF_HOST, name)
	}
	return b.String()
}

// IfInet6 is /proc/net/if_inet6.
func IfInet6(s *netstack.Stack) string {
	var b strings.Builder
	for _, i := range s.Interfaces() {
		for _, a := range s.Addresses(i) {
			addr := a.Prefix.Addr()
			if !addr.Is6() {
				continue
			}
			scope := 0x00 // IPV6_ADDR_SCOPE_GLOBAL
			switch {
			case addr.IsLoopback():
				scope = 0x10 // IPV6_ADDR_LOOPBACK
			case addr.IsLinkLocalUnicast():
				scope = 0x20 // IPV6_ADDR_LINKLOCAL
			}
			fmt.Fprintf(&b, "%s %02x %02x %02x %02x %8s\n", hex6(addr), i.Index(), a.Prefix.Bits(), scope, a.Flags&0xff, i.Name())
		}
	}
	return b.String()
}

// ARP is /proc/net/arp.
func ARP(s *netstack.Stack) string {
	var b strings.Builder
	b.WriteString("IP address       HW type     Flags       HW address            Mask     Device\n")
	for _, n := range s.Neighbours() {
		i := s.Interface(n.Index)
		if !n.Addr.Is4() || i == nil {
			continue
		}
		flags := 0
		if n.MAC != [6]byte{} {
			flags = 2 // ATF_COM
		}
		if n.State&unix.NUD_PERMANENT != 0 {
			flags |= 4 // ATF_PERM
		}
		m := n.MAC
		fmt.Fprintf(&b, "%-16s 0x%-10x0x%-10x%02x:%02x:%02x:%02x:%02x:%02x     *        %s\n", n.Addr, i.Info().Type, flags,
			m[0], m[1], m[2], m[3], m[4], m[5], i.Name())
	}
	return b.String()
}
