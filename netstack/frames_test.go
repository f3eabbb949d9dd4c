package netstack

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// The peer of the stacks that the fuzzers make, and these.
var (
	peerMAC = wire.MAC{2, 0, 0, 0, 0, 2}
	ownMAC  = wire.MAC{2, 0, 0, 0, 0, 1}
	peer4   = netip.AddrFrom4([4]byte{10, 0, 0, 2})
	own4    = netip.AddrFrom4([4]byte{10, 0, 0, 1})
	peer6   = netip.MustParseAddr("fd00::2")
	own6    = netip.MustParseAddr("fd00::1")
	router6 = netip.MustParseAddr("fe80::2")
)

// frames is one of each kind of frame that a stack reads: what fuzzers begin with.
func frames() [][]byte {
	arp := make([]byte, 14+28)
	wire.Ethernet(arp).Put(wire.BroadcastMAC, peerMAC, unix.ETH_P_ARP)
	wire.ARP(arp[14:]).Put(wire.ARPRequest, peerMAC, peer4, wire.MAC{}, own4)
	l := [][]byte{arp}

	data := datagram(1, 53, []byte("data"))
	syn := make([]byte, wire.TCPMinLen, wire.TCPMinLen+20)
	wire.TCP(syn).Put(&wire.TCPFields{SrcPort: 1000, DstPort: 80, Seq: 1, Flags: wire.SYN, Window: 1000, HeaderLen: wire.TCPMinLen + 20})
	syn = append(syn, 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7)

	// IPv4: what sockets get, fragments, options, errors about what was sent, and groups.
	l = append(l, ipv4(peer4, own4, unix.IPPROTO_UDP, 0, nil, data), ipv4(peer4, own4, unix.IPPROTO_TCP, 0, nil, syn))
	for _, proto := range []uint8{1, 6, 17, 99} {
		l = append(l, ipv4(peer4, own4, proto, wire.IPv4MF, nil, make([]byte, 40)), ipv4(peer4, own4, proto, 5, nil, make([]byte, 13)))
	}
	for _, options := range [][]byte{
		{7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0},          // record route
		{68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0},         // timestamps with addresses
		{131, 7, 4, 10, 0, 0, 3, 0},                    // loose source route
		{0x94, 4, 0, 0}, {1, 1, 1, 0}, {130, 11, 0, 0}, // router alert, padding, one that is cut off
	} {
		l = append(l, ipv4(peer4, own4, unix.IPPROTO_ICMP, 0, options, icmp(8, 0, 1, []byte("ping"))))
	}
	sent4 := ipv4(own4, peer4, unix.IPPROTO_TCP, 0, nil, syn)[14:]
	for _, e := range [][2]uint8{{3, 1}, {3, 3}, {3, 4}, {5, 1}, {11, 0}, {12, 0}} {
		l = append(l, ipv4(peer4, own4, unix.IPPROTO_ICMP, 0, nil, icmp(e[0], e[1], 1000, sent4)))
	}
	for _, typ := range []uint8{0, 8, 13, 15, 17} {
		l = append(l, ipv4(peer4, own4, unix.IPPROTO_ICMP, 0, nil, icmp(typ, 0, 1<<16|1, make([]byte, 12))))
	}
	group := []byte{224, 1, 2, 3}
	for _, m := range [][]byte{
		slices.Concat([]byte{0x11, 0, 0, 0}, group), slices.Concat([]byte{0x11, 100, 0, 0}, group), // queries of IGMPv1, IGMPv2
		slices.Concat([]byte{0x11, 100, 0, 0}, group, []byte{2, 125, 0, 1, 10, 0, 0, 9}),         // of IGMPv3, about a source
		slices.Concat([]byte{0x16, 0, 0, 0}, group), slices.Concat([]byte{0x17, 0, 0, 0}, group), // report, leave
	} {
		l = append(l, ipv4(peer4, netip.AddrFrom4([4]byte(group)), unix.IPPROTO_IGMP, 0, []byte{0x94, 4, 0, 0}, m))
	}

	// IPv6: the same, with extension headers, and neighbour discovery.
	l = append(l, ipv6(peer6, own6, unix.IPPROTO_UDP, 64, data), ipv6(peer6, own6, unix.IPPROTO_TCP, 64, syn),
		ipv6(peer6, own6, wire.ExtFragment, 64, append([]byte{unix.IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 1}, data...)),
		ipv6(peer6, own6, wire.ExtFragment, 64, append([]byte{unix.IPPROTO_UDP, 0, 0, 16, 0, 0, 0, 1}, data...)))
	for _, option := range [][]byte{{1, 4, 0, 0, 0, 0}, {5, 2, 0, 0, 1, 0}, {0xc2, 4, 0, 1, 0, 0}, {0xfe, 4, 0, 0, 0, 0}} {
		for _, header := range []uint8{wire.ExtHopByHop, unix.IPPROTO_DSTOPTS} {
			l = append(l, ipv6(peer6, own6, header, 64, slices.Concat([]byte{unix.IPPROTO_UDP, 0}, option, data)))
		}
	}
	l = append(l, ipv6(peer6, own6, unix.IPPROTO_ROUTING, 64, slices.Concat([]byte{unix.IPPROTO_UDP, 2, 0, 1, 0, 0, 0, 0}, peer6.AsSlice(), data)))
	sent6 := ipv6(own6, peer6, unix.IPPROTO_TCP, 64, syn)[14:]
	for _, e := range [][2]uint8{{1, 0}, {1, 4}, {2, 0}, {3, 0}, {4, 1}} {
		l = append(l, ipv6(peer6, own6, unix.IPPROTO_ICMPV6, 64, icmp(e[0], e[1], 1300, sent6)))
	}
	link := func(option uint8) []byte { return slices.Concat([]byte{option, 1}, peerMAC[:]) }
	prefix := slices.Concat([]byte{3, 4, 64, 0xc0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0}, netip.MustParseAddr("fd01::").AsSlice())
	mtu := []byte{5, 1, 0, 0, 0, 0, 5, 0}
	for _, m := range []struct {
		src, dst netip.Addr
		message  []byte
	}{
		{peer6, own6, icmp(128, 0, 1, []byte("ping"))}, {peer6, own6, icmp(129, 0, 1, []byte("ping"))},
		{router6, netip.IPv6LinkLocalAllNodes(), icmp(134, 0, 64<<24|1800, slices.Concat(make([]byte, 8), link(1), mtu, prefix))},
		{router6, netip.IPv6LinkLocalAllRouters(), icmp(133, 0, 0, link(1))},
		{peer6, netip.MustParseAddr("ff02::1:ff00:1"), icmp(135, 0, 0, slices.Concat(own6.AsSlice(), link(1)))},
		{netip.IPv6Unspecified(), netip.MustParseAddr("ff02::1:ff00:1"), icmp(135, 0, 0, own6.AsSlice())},
		{peer6, own6, icmp(136, 0, 0xe0<<24, slices.Concat(peer6.AsSlice(), link(2)))},
		{router6, own6, icmp(137, 0, 0, slices.Concat(peer6.AsSlice(), peer6.AsSlice(), link(2)))},
	} {
		l = append(l, ipv6(m.src, m.dst, unix.IPPROTO_ICMPV6, 255, m.message))
	}
	alert := []byte{unix.IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0}
	group6 := netip.MustParseAddr("ff02::5")
	for _, m := range [][]byte{
		icmp(130, 0, 100<<16, group6.AsSlice()), icmp(130, 0, 100<<16, append(group6.AsSlice(), 2, 125, 0, 0)), // queries of MLDv1, MLDv2
		icmp(131, 0, 0, group6.AsSlice()), icmp(132, 0, 0, group6.AsSlice()),
	} {
		l = append(l, ipv6(router6, group6, wire.ExtHopByHop, 1, append(alert, m...)))
	}
	for _, f := range l {
		fixSums(f)
	}
	return l
}

// ipv4 is a frame from the peer. frag is the field of flags and offset, in units of 8 bytes.
func ipv4(src, dst netip.Addr, proto uint8, frag uint16, options, data []byte) []byte {
	n := wire.IPv4MinLen + len(options)
	b := make([]byte, 14+n, 14+n+len(data))
	wire.Ethernet(b).Put(destination(dst), peerMAC, unix.ETH_P_IP)
	copy(b[14+wire.IPv4MinLen:], options)
	wire.IPv4(b[14:]).Put(&wire.IPv4Fields{Src: src, Dst: dst, TotalLen: n + len(data), TTL: 1, Proto: proto, Frag: frag, OptionsLen: len(options)})
	return append(b, data...)
}

// ipv6 is a frame from the peer.
func ipv6(src, dst netip.Addr, next, hops uint8, data []byte) []byte {
	b := make([]byte, 14+wire.IPv6Len, 14+wire.IPv6Len+len(data))
	wire.Ethernet(b).Put(destination(dst), peerMAC, unix.ETH_P_IPV6)
	wire.IPv6(b[14:]).Put(&wire.IPv6Fields{Src: src, Dst: dst, PayloadLen: len(data), HopLimit: hops, NextHeader: next})
	return append(b, data...)
}

func destination(a netip.Addr) wire.MAC {
	if a.IsMulticast() {
		return wire.MulticastMAC(a)
	}
	return ownMAC
}

// icmp is a message of ICMP or ICMPv6.
func icmp(typ, code uint8, rest uint32, data []byte) []byte {
	b := []byte{typ, code, 0, 0}
	return append(binary.BigEndian.AppendUint32(b, rest), data...)
}

// datagram is one of UDP.
func datagram(src, dst uint16, data []byte) []byte {
	b := make([]byte, wire.UDPLen)
	wire.UDP(b).Put(src, dst, wire.UDPLen+len(data), 0)
	return append(b, data...)
}
