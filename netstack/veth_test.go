package netstack

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link/veth"
	"casemate/netstack/sock"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// joined is two stacks on the ends of a veth, with addresses ending in 1 and 2.
func joined(t *testing.T, mtu int) (*wheel.Wheel, *Stack, *Stack) {
	w := wheel.NewManual()
	b := new(backlog.Set)
	x, y := veth.New(wire.MAC{2, 0, 0, 0, 0, 1}, wire.MAC{2, 0, 0, 0, 0, 2}, mtu)
	var s [2]*Stack
	for k, l := range []*veth.Link{x, y} {
		s[k] = New(ip.Options{Wheel: w, Backlog: b})
		t.Cleanup(s[k].Close)
		i, err := s[k].AddInterface("eth0", l)
		if err != nil {
			t.Fatal(err)
		}
		s[k].SetUp(i, true)
		for _, a := range []string{"10.0.0.", "fd00::"} {
			bits := map[string]string{"10.0.0.": "/24", "fd00::": "/64"}[a]
			if err := s[k].AddAddress(i, ip.Address{Prefix: netip.MustParsePrefix(a + string(rune('1'+k)) + bits)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w, s[0], s[1]
}

// TestResolution connects across a veth, which needs ARP and neighbour
// discovery first.
func TestResolution(t *testing.T) {
	_, a, b := joined(t, 1500)
	for _, x := range []struct {
		family int
		addr   string
	}{{unix.AF_INET, "10.0.0.2"}, {unix.AF_INET6, "fd00::2"}} {
		l := b.TCP.NewEndpoint(x.family)
		defer l.Close()
		to := sock.Addr{Addr: netip.MustParseAddr(x.addr), Port: 80}
		if err := l.Bind(to); err != nil {
			t.Fatal(err)
		}
		l.Listen(5)
		c := a.TCP.NewEndpoint(x.family)
		defer c.Close()
		if err := c.Connect(to); err != nil {
			t.Fatal(x.addr, err)
		}
		e, _, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		data := strings.Repeat("x", 20000)
		var m sock.Msg
		if n, err := c.Send(&sock.Iovec{V: [][]byte{[]byte(data)}}, len(data), &m); n != len(data) {
			t.Fatal(n, err)
		}
		got := make([]byte, 30000)
		if n, err := e.Recv(&sock.Iovec{V: [][]byte{got}}, len(got), &m); n != len(data) {
			t.Fatal(n, err)
		}
	}
	if l := a.Neighbours(); len(l) != 2 || l[0].State != unix.NUD_REACHABLE || l[1].State != unix.NUD_REACHABLE {
		t.Errorf("%+v", l)
	}
}

// TestNoNeighbour connects to an address that nobody has.
func TestNoNeighbour(t *testing.T) {
	w, a, _ := joined(t, 1500)
	for family, addr := range map[int]string{unix.AF_INET: "10.0.0.9", unix.AF_INET6: "fd00::9"} {
		c := a.TCP.NewEndpoint(family)
		defer c.Close()
		if err := c.Connect(sock.Addr{Addr: netip.MustParseAddr(addr), Port: 80}); err != unix.EINPROGRESS {
			t.Fatal(err)
		}
		w.Advance(4 * time.Second)
		if err := c.TakeError(); err != unix.EHOSTUNREACH {
			t.Error(addr, err)
		}
	}
}

// TestFragments sends datagrams that need fragments.
func TestFragments(t *testing.T) {
	w, a, b := joined(t, 1500)
	for _, x := range []struct {
		family     int
		from, addr string
	}{{unix.AF_INET, "10.0.0.1", "10.0.0.2"}, {unix.AF_INET6, "fd00::1", "fd00::2"}} {
		r := b.UDP.NewEndpoint(x.family)
		defer r.Close()
		to := sock.Addr{Addr: netip.MustParseAddr(x.addr), Port: 53}
		if err := r.Bind(to); err != nil {
			t.Fatal(err)
		}
		e := a.UDP.NewEndpoint(x.family)
		defer e.Close()
		// With IP_PMTUDISC_WANT the packet goes in fragments.
		data := []byte(strings.Repeat("0123456789", 2000))
		m := sock.Msg{Addr: to}
		if n, err := e.Send(&sock.Iovec{V: [][]byte{data}}, len(data), &m); n != len(data) {
			t.Fatal(n, err)
		}
		got := make([]byte, 30000)
		n, err := r.Recv(&sock.Iovec{V: [][]byte{got}}, len(got), &m)
		if err != nil || string(got[:n]) != string(data) || m.Addr.Addr.String() != x.from {
			t.Fatal(x.addr, n, m.Addr, err)
		}
		e.Options().MTUDiscover.Store(unix.IP_PMTUDISC_DO)
		e.Options().MTUDiscover6.Store(unix.IPV6_PMTUDISC_DO)
		m = sock.Msg{Addr: to}
		if _, err := e.Send(&sock.Iovec{V: [][]byte{data}}, len(data), &m); err != unix.EMSGSIZE {
			t.Error(err)
		}
	}
	w.Advance(2 * time.Minute)
	if n := b.Counters.IP.ReasmOKs.Load() + b.Counters.IP6.ReasmOKs.Load(); n != 2 {
		t.Errorf("%d reassembled", n)
	}
}

// TestNoIPv6 turns IPv6 off and on by its parameters.
func TestNoIPv6(t *testing.T) {
	_, a, _ := joined(t, 1500)
	if err := a.UpLoopback(); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		for _, i := range a.Interfaces() {
			for _, x := range a.Addresses(i) {
				if x.Prefix.Addr().Is6() {
					n++
				}
			}
		}
		return n
	}
	if n := count(); n != 2 {
		t.Fatalf("%d addresses", n)
	}
	all, lo := a.Sysctl.Lookup("net.ipv6.conf.all.disable_ipv6"), a.Sysctl.Lookup("net.ipv6.conf.lo.disable_ipv6")
	if err := all.Set(1); err != nil || count() != 0 || !lo.Bool() {
		t.Errorf("off: %v, %d addresses are left, lo %v", err, count(), lo)
	}
	if _, err := a.Lookup(netip.Addr{}, netip.MustParseAddr("fd00::2"), 0, 0); err != unix.ENETUNREACH {
		t.Errorf("off: a route: %v", err)
	}
	if err := a.AddAddress(a.InterfaceByName("eth0"), ip.Address{Prefix: netip.MustParsePrefix("fd00::1/64")}); err != unix.EACCES {
		t.Errorf("off: adding an address: %v", err)
	}
	if err := lo.Set(0); err != nil || count() != 1 {
		t.Errorf("lo on: %v, %d addresses", err, count())
	}
	if err := all.Set(0); err != nil || count() != 1 {
		t.Errorf("on: %v, %d addresses", err, count())
	}
	if err := a.AddAddress(a.InterfaceByName("eth0"), ip.Address{Prefix: netip.MustParsePrefix("fd00::1/64")}); err != nil {
		t.Errorf("on: adding an address: %v", err)
	}
}

// What is sent to a group, or to all, comes back to who is in it on the host that sends.
func TestReturns(t *testing.T) {
	_, a, _ := joined(t, 1500)
	eth0 := a.InterfaceByName("eth0").Index()
	for k, x := range []struct {
		family   int
		own, dst string
	}{{unix.AF_INET, "10.0.0.1", "224.1.2.3"}, {unix.AF_INET, "10.0.0.1", "10.0.0.255"}, {unix.AF_INET6, "fd00::1", "ff15::1234"}} {
		r, s := a.UDP.NewEndpoint(x.family), a.UDP.NewEndpoint(x.family)
		defer r.Close()
		defer s.Close()
		own, dst := netip.MustParseAddr(x.own), netip.MustParseAddr(x.dst)
		all, port := netip.IPv4Unspecified(), uint16(5000+k)
		if x.family == unix.AF_INET6 {
			all = netip.IPv6Unspecified()
		}
		if err := r.Bind(sock.Addr{Addr: all, Port: port}); err != nil {
			t.Fatal(err)
		}
		s.Options().Broadcast.Store(true)
		s.Options().SetMulticastIf(sock.MulticastIf{Index: eth0})
		s.Options().PktInfoDev6.Store(eth0)
		send := func(text string) {
			t.Helper()
			m := sock.Msg{Addr: sock.Addr{Addr: dst, Port: port}}
			if _, err := s.Send(strings.NewReader(text), len(text), &m); err != nil {
				t.Fatal(dst, err)
			}
		}
		receive := func() (string, sock.Addr, error) {
			var (
				b strings.Builder
				m sock.Msg
			)
			_, err := r.Recv(&b, 100, &m)
			return b.String(), m.Addr, err
		}
		if dst.IsMulticast() {
			send("to others")
			if text, _, err := receive(); err != unix.EAGAIN {
				t.Errorf("%v, whose member it is not: received %q, %v", dst, text, err)
			}
			if err := r.JoinGroup(dst, eth0, netip.Addr{}); err != nil {
				t.Fatal(err)
			}
		}
		send("to all")
		if text, from, err := receive(); text != "to all" || err != nil || from.Addr != own {
			t.Errorf("%v: received %q from %v, %v", dst, text, from, err)
		}
	}
}
