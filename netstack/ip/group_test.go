package ip

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"casemate/netstack/backlog"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// segment is an Ethernet on which the test is the only other node.
type segment struct {
	t  *testing.T
	w  *wheel.Wheel
	s  *Stack
	i  *Interface
	rx pkt.Receiver
	b  *backlog.Set
	// out has what the stack has sent since it was last looked at, in words.
	out []string
}

var (
	ourMAC   = wire.MAC{2, 0, 0, 0, 0, 1}
	theirMAC = wire.MAC{2, 0, 0, 0, 0, 2}
)

// newSegment is a stack with an interface that is up and has 10.0.0.1/24.
func newSegment(t *testing.T) *segment {
	g := &segment{t: t, w: wheel.NewManual()}
	g.s = New(Options{Wheel: g.w})
	t.Cleanup(func() {
		g.s.Close()
		if n := g.w.Len(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	})
	var err error
	if g.i, err = g.s.AddInterface("eth0", g); err != nil {
		t.Fatal(err)
	}
	g.s.AddAddress(g.i, Address{Prefix: netip.MustParsePrefix("10.0.0.1/24")})
	g.s.SetUp(g.i, true)
	return g
}

func (g *segment) Info() link.Info {
	return link.Info{Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, MTU: 1500, HWAddr: ourMAC, Queues: 1}
}
func (g *segment) Attach(rx pkt.Receiver, b *backlog.Set) error { g.rx, g.b = rx, b; return nil }
func (g *segment) Close()                                       {}

func (g *segment) Send(p *pkt.Packet) {
	b := make([]byte, p.Len())
	p.CopyOut(0, b)
	p.Free()
	g.out = append(g.out, g.describe(b))
}

// describe puts a frame into words, and checks its checksums.
func (g *segment) describe(b []byte) string {
	e := wire.Ethernet(b)
	if m := e.Dst(); e.Type() == unix.ETH_P_IPV6 && m.IsMulticast() && m != wire.MulticastMAC(wire.IPv6(b[14:]).Dst()) {
		g.t.Errorf("a frame to %x for %v", m, wire.IPv6(b[14:]).Dst())
	}
	switch e.Type() {
	case unix.ETH_P_IP:
		h := wire.IPv4(b[14:])
		p := h[h.HeaderLen():]
		if !h.SumOK() || wire.Sum(p, 0) != 0xffff {
			g.t.Errorf("wrong checksum: %x", b)
		}
		if h.Proto() != unix.IPPROTO_IGMP || h.TTL() != 1 || h.HeaderLen() != 24 || h[20] != 0x94 {
			return fmt.Sprintf("IPv4 protocol %d, TTL %d", h.Proto(), h.TTL())
		}
		m := wire.IGMP(p)
		if m.Type() == wire.IGMPv3Report {
			return fmt.Sprintf("%v>%v %s", h.Src(), h.Dst(), records(p, 4))
		}
		return fmt.Sprintf("%v>%v %#x %v", h.Src(), h.Dst(), m.Type(), m.Group())
	case unix.ETH_P_IPV6:
		h := wire.IPv6(b[14:])
		p, proto := h[wire.IPv6Len:], h.NextHeader()
		if proto == wire.ExtHopByHop {
			if p[2] != 5 || h.HopLimit() != 1 {
				g.t.Errorf("no router alert: %x", b)
			}
			p, proto = p[8:], p[0]
		}
		if proto != unix.IPPROTO_ICMPV6 || wire.Sum(p, wire.PseudoSum(h.Src(), h.Dst(), proto, len(p))) != 0xffff {
			g.t.Errorf("not ICMPv6 or a wrong checksum: %x", b)
		}
		to := fmt.Sprintf("%v>%v", h.Src(), h.Dst())
		switch t := wire.ICMP(p).Type(); t {
		case wire.ICMPv6MLDv2Report:
			return to + " " + records(p, 16)
		case wire.ICMPv6MLDReport, wire.ICMPv6MLDDone, wire.ICMPv6NeighborSolicit, wire.ICMPv6NeighborAdvert:
			return fmt.Sprintf("%s %d %v+%d", to, t, netip.AddrFrom16([16]byte(p[8:])), len(p)-24)
		default:
			return fmt.Sprintf("%s %d+%d", to, t, len(p)-8)
		}
	}
	return fmt.Sprintf("type %#x", e.Type())
}

// records puts the records of a report into words, in order of address.
func records(p []byte, size int) string {
	var l []string
	for r := p[8:]; len(r) > 0; r = r[4+size:] {
		a, _ := netip.AddrFromSlice(r[4 : 4+size])
		l = append(l, fmt.Sprintf("%d:%v", r[0], a))
	}
	slices.Sort(l)
	if int(binary.BigEndian.Uint16(p[6:])) != len(l) {
		return "the number of records is wrong"
	}
	return strings.Join(l, " ")
}

// expect checks what the stack has sent since the last call, in any order.
func (g *segment) expect(want ...string) {
	g.t.Helper()
	slices.Sort(g.out)
	slices.Sort(want)
	if !slices.Equal(g.out, want) {
		g.t.Errorf("sent\n\t%s\nwant\n\t%s", strings.Join(g.out, "\n\t"), strings.Join(want, "\n\t"))
	}
	g.out = nil
}

// inject gives the stack an IP packet.
func (g *segment) inject(b []byte) {
	p := pkt.New()
	e := wire.Ethernet(p.Append(wire.EthernetLen))
	dst, typ := wire.MAC{}, uint16(unix.ETH_P_IP)
	if b[0]>>4 == 6 {
		typ = unix.ETH_P_IPV6
		dst = wire.MulticastMAC(wire.IPv6(b).Dst())
		if !wire.IPv6(b).Dst().IsMulticast() {
			dst = ourMAC
		}
	} else {
		dst = wire.MulticastMAC(wire.IPv4(b).Dst())
	}
	e.Put(dst, theirMAC, typ)
	p.AddBytes(b)
	p.Rx = g.rx
	g.b.Put(p)
	g.b.Run()
}

// igmp injects an IGMP message of some bytes.
func (g *segment) igmp(typ, code uint8, group string, length int) {
	a := netip.MustParseAddr(group)
	dst := a
	if a.IsUnspecified() {
		dst = allHosts4
	}
	b := make([]byte, wire.IPv4MinLen+length)
	m := wire.IGMP(b[wire.IPv4MinLen:])
	m.Put(typ, a)
	m[1], m[2], m[3] = code, 0, 0
	binary.BigEndian.PutUint16(m[2:], ^wire.Sum(m, 0))
	wire.IPv4(b).Put(&wire.IPv4Fields{Src: netip.MustParseAddr("10.0.0.254"), Dst: dst, TotalLen: len(b), TTL: 1, Proto: unix.IPPROTO_IGMP})
	g.inject(b)
}

// icmp6 injects an ICMPv6 message with the checksum made right.
func (g *segment) icmp6(src, dst string, hops uint8, m []byte) {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	b := make([]byte, wire.IPv6Len, wire.IPv6Len+len(m))
	wire.IPv6(b).Put(&wire.IPv6Fields{Src: s, Dst: d, PayloadLen: len(m), NextHeader: unix.IPPROTO_ICMPV6, HopLimit: hops})
	m[2], m[3] = 0, 0
	binary.BigEndian.PutUint16(m[2:], ^wire.Sum(m, wire.PseudoSum(s, d, unix.IPPROTO_ICMPV6, len(m))))
	g.inject(append(b, m...))
}

func TestIGMP(t *testing.T) {
	g := newSegment(t)
	group := netip.MustParseAddr("239.1.2.3")
	join := func() {
		t.Helper()
		if err := g.s.JoinGroup(g.i.Index(), group); err != nil {
			t.Fatal(err)
		}
		g.w.Advance(10 * time.Millisecond)
	}
	leave := func() {
		g.s.LeaveGroup(g.i.Index(), group)
		g.w.Advance(10 * time.Millisecond)
	}
	// Version 3: a change is reported twice, a query is answered once.
	join()
	g.expect("10.0.0.1>224.0.0.22 4:239.1.2.3")
	join() // a second member
	g.expect()
	g.w.Advance(2 * time.Second)
	g.expect("10.0.0.1>224.0.0.22 4:239.1.2.3")
	g.w.Advance(time.Minute)
	g.expect()
	g.igmp(wire.IGMPQuery, 100, "0.0.0.0", 12)
	g.w.Advance(13 * time.Second)
	g.expect("10.0.0.1>224.0.0.22 2:239.1.2.3")
	g.igmp(wire.IGMPQuery, 10, "239.1.2.3", 12)
	g.igmp(wire.IGMPQuery, 10, "239.1.2.4", 12)
	g.w.Advance(2 * time.Second)
	g.expect("10.0.0.1>224.0.0.22 2:239.1.2.3")
	leave()
	g.expect()
	leave()
	g.w.Advance(time.Minute)
	g.expect("10.0.0.1>224.0.0.22 3:239.1.2.3", "10.0.0.1>224.0.0.22 3:239.1.2.3")
	// The group of all hosts is never told of.
	g.s.JoinGroup(g.i.Index(), allHosts4)
	g.w.Advance(time.Minute)
	g.expect()

	// Version 2, after a querier of it.
	g.igmp(wire.IGMPQuery, 100, "0.0.0.0", 8)
	join()
	g.expect("10.0.0.1>239.1.2.3 0x16 239.1.2.3")
	g.w.Advance(15 * time.Second)
	g.expect("10.0.0.1>239.1.2.3 0x16 239.1.2.3")
	leave()
	g.expect("10.0.0.1>224.0.0.2 0x17 239.1.2.3")
	// Another's report makes ours needless, and our leaving is then not told.
	join()
	g.expect("10.0.0.1>239.1.2.3 0x16 239.1.2.3")
	g.igmp(wire.IGMPv2Report, 0, "239.1.2.3", 8)
	g.w.Advance(15 * time.Second)
	g.expect()
	leave()
	g.expect()
	// After a while without such queries version 3 is back.
	g.w.Advance(5 * time.Minute)
	join()
	g.expect("10.0.0.1>224.0.0.22 4:239.1.2.3")
	// Going down and up again tells of it anew.
	g.w.Advance(time.Minute)
	g.out = nil
	g.s.SetUp(g.i, false)
	g.w.Advance(time.Minute)
	g.expect()
	g.s.SetUp(g.i, true)
	g.w.Advance(10 * time.Millisecond)
	g.expect("10.0.0.1>224.0.0.22 4:239.1.2.3")
	leave()
}

// mld is an MLD query.
func mld(code uint16, group string, length int) []byte {
	m := make([]byte, length)
	m[0] = wire.ICMPv6MLDQuery
	binary.BigEndian.PutUint16(m[4:], code)
	copy(m[8:], netip.MustParseAddr(group).AsSlice())
	return m
}

func TestMLD(t *testing.T) {
	g := newSegment(t)
	g.s.AddAddress(g.i, Address{Prefix: netip.MustParsePrefix("fe80::1/64")})
	g.w.Advance(10 * time.Second)
	g.expect("fe80::1>ff02::16 4:ff02::1:ff00:1", "fe80::1>ff02::16 4:ff02::1:ff00:1")
	group := netip.MustParseAddr("ff05::99")
	g.s.JoinGroup(g.i.Index(), group)
	g.w.Advance(10 * time.Second)
	g.expect("fe80::1>ff02::16 4:ff05::99", "fe80::1>ff02::16 4:ff05::99")
	g.icmp6("fe80::2", "ff02::1", 1, mld(1000, "::", 28))
	g.w.Advance(2 * time.Second)
	g.expect("fe80::1>ff02::16 2:ff02::1:ff00:1 2:ff05::99")
	g.icmp6("fe80::2", "ff02::1", 2, mld(1000, "::", 28)) // it has crossed a router
	g.icmp6("fd00::2", "ff02::1", 1, mld(1000, "::", 28))
	g.w.Advance(2 * time.Second)
	g.expect()
	// Version 1.
	g.icmp6("fe80::2", "ff05::99", 1, mld(1000, "ff05::99", 24))
	g.w.Advance(2 * time.Second)
	g.expect("fe80::1>ff05::99 131 ff05::99+0")
	g.s.LeaveGroup(g.i.Index(), group)
	g.expect("fe80::1>ff02::2 132 ff05::99+0")
	// An address that goes leaves its group.
	g.w.Advance(10 * time.Minute)
	g.s.RemoveAddress(g.i, netip.MustParsePrefix("fe80::1/64"))
	g.w.Advance(10 * time.Second)
	g.expect("::>ff02::16 3:ff02::1:ff00:1", "::>ff02::16 3:ff02::1:ff00:1")
}
