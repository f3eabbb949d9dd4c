package ip

import (
	"net/netip"
	"testing"

	"casemate/netstack/backlog"
	"casemate/netstack/link/veth"
	"casemate/netstack/wheel"
	"golang.org/x/sys/unix"
)

// twoLinks is a stack with lo up and interfaces e0, 10.0.0.1/24, and e1, 10.0.1.1/24.
func twoLinks(t *testing.T) *Stack {
	t.Helper()
	s := New(Options{Wheel: wheel.NewManual(), Backlog: new(backlog.Set)})
	t.Cleanup(s.Close)
	s.SetUp(s.InterfaceByName("lo"), true)
	for n, name := range []string{"e0", "e1"} {
		l, _ := veth.New([6]byte{2, 0, 0, 0, 0, byte(n)}, [6]byte{2, 0, 0, 0, 1, byte(n)}, 1500)
		i, err := s.AddInterface(name, l)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.AddAddress(i, Address{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n), 1}), 24)}); err != nil {
			t.Fatal(err)
		}
		s.SetUp(i, true)
	}
	return s
}

func TestRules(t *testing.T) {
	s := twoLinks(t)
	e1 := s.InterfaceByName("e1").Index()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	anywhere := netip.MustParsePrefix("0.0.0.0/0")
	far := netip.MustParseAddr("192.0.2.1")
	by := func(src string, mark uint32) string {
		t.Helper()
		var from netip.Addr
		if src != "" {
			from = netip.MustParseAddr(src)
		}
		r, err := s.Lookup(from, far, 0, mark)
		if err != nil {
			return err.Error()
		}
		return r.Iface.Name() + " " + r.Next.String()
	}
	want := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	must(s.AddRoute(RouteEntry{Dst: anywhere, Gateway: netip.MustParseAddr("10.0.0.254")}))
	must(s.AddRoute(RouteEntry{Dst: anywhere, Gateway: netip.MustParseAddr("10.0.1.254"), OIF: e1, Table: 100}))
	want(by("", 0), "e0 10.0.0.254")

	must(s.AddRule(Rule{Src: netip.MustParsePrefix("10.0.1.0/24"), Action: unix.FR_ACT_TO_TBL, Table: 100}, true))
	if r := s.Rules()[1]; r.Priority != 32765 {
		t.Errorf("priority %d, want 32765", r.Priority)
	}
	want(by("", 0), "e0 10.0.0.254")
	want(by("10.0.1.1", 0), "e1 10.0.1.254")

	must(s.AddRule(Rule{Priority: 10, Mark: 4, MarkMask: 6, Action: unix.FR_ACT_TO_TBL, Table: 100}, false))
	want(by("", 5), "e1 10.0.1.254")
	want(by("", 6), "e0 10.0.0.254")

	// As wg-quick does: all but default routes of main, then another table.
	must(s.AddRule(Rule{Priority: 20, Action: unix.FR_ACT_TO_TBL, Table: unix.RT_TABLE_MAIN, SuppressPrefix: 1}, false))
	must(s.AddRule(Rule{Priority: 21, Mark: 99, MarkMask: ^uint32(0), Invert: true, Action: unix.FR_ACT_TO_TBL, Table: 100}, false))
	want(by("", 0), "e1 10.0.1.254")
	want(by("", 99), "e0 10.0.0.254")

	prohibit := Rule{Priority: 5, Dst: netip.PrefixFrom(far, 32), IIF: "lo", Action: unix.FR_ACT_PROHIBIT}
	must(s.AddRule(prohibit, false))
	want(by("", 0), unix.EACCES.Error())
	if err := s.AddRule(prohibit, false); err != unix.EEXIST {
		t.Errorf("the same rule again: %v", err)
	}
	must(s.RemoveRule(false, func(r *Rule) bool { return r.Priority == 5 }))
	if err := s.RemoveRule(false, func(r *Rule) bool { return r.Priority == 5 }); err != unix.ENOENT {
		t.Errorf("removed twice: %v", err)
	}
	want(by("", 0), "e1 10.0.1.254")

	// Without the local table's rule this host's own addresses are not local.
	must(s.RemoveRule(false, func(r *Rule) bool { return r.Table == unix.RT_TABLE_LOCAL }))
	if r, err := s.Lookup(netip.Addr{}, netip.MustParseAddr("10.0.0.1"), 0, 0); err != nil || r.Type != unix.RTN_UNICAST {
		t.Errorf("own address without the local table: %+v, %v", r, err)
	}
	must(s.AddRule(defaultRules(false)[0], false))
	if r, err := s.Lookup(netip.Addr{}, netip.MustParseAddr("10.0.0.1"), 0, 0); err != nil || r.Type != unix.RTN_LOCAL {
		t.Errorf("own address: %+v, %v", r, err)
	}
}
