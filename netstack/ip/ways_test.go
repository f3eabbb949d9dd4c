package ip

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWays(t *testing.T) {
	s := twoLinks(t)
	index := func(name string) int32 { return s.InterfaceByName(name).Index() }
	gateways := []string{"10.0.0.2", "10.0.1.2"}
	ways := []Way{{Gateway: netip.MustParseAddr(gateways[0]), OIF: index("e0"), Weight: 1}, {Gateway: netip.MustParseAddr(gateways[1]), Weight: 3}}
	net := netip.MustParsePrefix("192.0.2.0/24")
	if err := s.AddRoute(RouteEntry{Dst: net, Ways: &ways}); err != nil {
		t.Fatal(err)
	}
	count := func(src string, oif int32) (n [2]int) {
		t.Helper()
		from, _ := netip.ParseAddr(src)
		for last := range 256 {
			dst := netip.AddrFrom4([4]byte{192, 0, 2, byte(last)})
			r, err := s.Lookup(from, dst, oif, 0)
			if err != nil {
				t.Fatal(err)
			}
			again, err := s.Lookup(r.Src, dst, oif, 0)
			if err != nil || again.Next != r.Next {
				t.Fatalf("%s by %s, with its source by %s: %v", dst, r.Next, again.Next, err)
			}
			for k, g := range gateways {
				if r.Next.String() == g {
					n[k]++
				}
			}
		}
		return n
	}
	if n := count("", 0); n[0] < 32 || n[0] > 96 || n[0]+n[1] != 256 {
		t.Errorf("by ways of weights 1 and 3: %d", n)
	}
	if n := count("10.0.0.1", 0); n != [2]int{256, 0} {
		t.Errorf("with the first way's address: %d", n)
	}
	if n := count("", index("e1")); n != [2]int{0, 256} {
		t.Errorf("by the second way's interface: %d", n)
	}
	if err := s.SetUp(s.InterfaceByName("e1"), false); err != nil {
		t.Fatal(err)
	}
	if n := count("", 0); n != [2]int{256, 0} {
		t.Errorf("with the second way's interface down: %d", n)
	}
	s.SetUp(s.InterfaceByName("e0"), false)
	if l := s.Routes(); len(l) != 0 {
		t.Errorf("routes with no interface up: %v", l)
	}
}

func TestNexthops(t *testing.T) {
	s := twoLinks(t)
	add := func(n Nexthop) error { n.Family = unix.AF_INET; return s.AddNexthop(n, false) }
	way := func(gateway, name string) Way {
		return Way{Gateway: netip.MustParseAddr(gateway), OIF: s.InterfaceByName(name).Index()}
	}
	for _, n := range []Nexthop{{ID: 2, Way: way("10.0.0.2", "e0")}, {Way: way("10.0.1.2", "e1")}, {Way: way("10.0.1.3", "e1")},
		{ID: 9, Group: []Member{{2, 1}, {1, 1}}}, {ID: 10, Group: []Member{{1, 1}}}} {
		if err := add(n); err != nil {
			t.Fatal(n, err)
		}
	}
	for n, want := range map[*Nexthop]error{{ID: 2, Way: way("10.0.0.3", "e0")}: unix.EEXIST, {Way: way("10.9.0.2", "e0")}: unix.ENETUNREACH, {Way: Way{OIF: 99}}: ifaceError} {
		if err := add(*n); err != want {
			t.Errorf("%v: %v, want %v", n, err, want)
		}
	}
	dst := netip.MustParsePrefix("192.0.2.0/24")
	if err := s.AddRoute(RouteEntry{Dst: dst, Nexthop: 9}); err != nil {
		t.Fatal(err)
	}
	if err := s.AddRoute(RouteEntry{Dst: dst, Metric: 1, Nexthop: 99}); err != unix.EINVAL {
		t.Errorf("to what is not there: %v", err)
	}
	by := func() string {
		r, err := s.Lookup(netip.Addr{}, dst.Addr(), 0, 0)
		if err != nil {
			return err.Error()
		}
		return r.Next.String()
	}
	if err := s.RemoveNexthop(2); err != nil || by() != "10.0.1.2" {
		t.Errorf("%v, then by %s", err, by())
	}
	if err := s.AddNexthop(Nexthop{ID: 1, Family: unix.AF_INET, Way: way("10.0.0.7", "e0")}, true); err != nil || by() != "10.0.0.7" {
		t.Errorf("%v, then by %s", err, by())
	}
	if err := s.AddNexthop(Nexthop{ID: 1, Family: unix.AF_INET, Blackhole: true}, true); err != nil || by() != unix.EINVAL.Error() {
		t.Errorf("%v, then by %s", err, by())
	}
	if err := s.RemoveNexthop(1); err != nil || by() != unix.ENETUNREACH.Error() {
		t.Errorf("%v, then by %s", err, by())
	}
	if l := s.Nexthops(); len(l) != 1 || l[0].ID != 3 {
		t.Errorf("left: %v", l)
	}
	if s.SetUp(s.InterfaceByName("e1"), false); len(s.Nexthops()) != 0 {
		t.Errorf("left with no interface up: %v", s.Nexthops())
	}
}
