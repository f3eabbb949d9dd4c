package ip

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// flagsOf are the flags of an address of the interface; ok is false if it has none such.
func (g *segment) flagsOf(a string) (flags uint32, ok bool) {
	ad := netip.MustParseAddr(a)
	l := g.s.Addresses(g.i)
	k := slices.IndexFunc(l, func(x Address) bool { return x.Prefix.Addr() == ad })
	if k < 0 {
		return 0, false
	}
	return l[k].Flags, true
}

// withoutReports drops from what was sent the reports of groups, which these tests are not
// about.
func (g *segment) withoutReports() {
	g.out = slices.DeleteFunc(g.out, func(s string) bool { return strings.Contains(s, ">ff02::16 ") })
}

func TestDuplicateAddress(t *testing.T) {
	add := func(g *segment) {
		t.Helper()
		if err := g.s.AddAddress(g.i, Address{Prefix: netip.MustParsePrefix("fd00::1/64"), Flags: unix.IFA_F_TENTATIVE}); err != nil {
			t.Fatal(err)
		}
	}
	us := netip.MustParseAddr("fd00::1")
	solicit := func(src string) []byte {
		m := make([]byte, ndpMinLen)
		m[0] = wire.ICMPv6NeighborSolicit
		copy(m[8:], us.AsSlice())
		return m
	}

	// Nobody answers.
	g := newSegment(t)
	add(g)
	if f, _ := g.flagsOf("fd00::1"); f&unix.IFA_F_TENTATIVE == 0 || g.s.IsLocal(us) {
		t.Errorf("flags %#x before the check, local %v", f, g.s.IsLocal(us))
	}
	g.icmp6("fd00::2", "ff02::1:ff00:1", 255, solicit("fd00::2")) // we do not have it yet
	g.w.Advance(1100 * time.Millisecond)
	g.withoutReports()
	g.expect("::>ff02::1:ff00:1 135 fd00::1+0")
	g.w.Advance(1100 * time.Millisecond)
	if f, _ := g.flagsOf("fd00::1"); f&unix.IFA_F_TENTATIVE != 0 || !g.s.IsLocal(us) {
		t.Errorf("flags %#x after the check, local %v", f, g.s.IsLocal(us))
	}

	// Somebody has it, or wants it as well.
	for _, x := range []struct {
		name, src, dst string
		m              []byte
	}{
		{"advertised", "fd00::1", "ff02::1", append([]byte{wire.ICMPv6NeighborAdvert, 0, 0, 0, naOverride, 0, 0, 0}, us.AsSlice()...)},
		{"solicited", "::", "ff02::1:ff00:1", solicit("::")},
	} {
		g := newSegment(t)
		add(g)
		g.w.Advance(100 * time.Millisecond)
		g.icmp6(x.src, x.dst, 255, x.m)
		g.w.Advance(10 * time.Second)
		const want = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
		if f, _ := g.flagsOf("fd00::1"); f&want != want || g.s.IsLocal(us) {
			t.Errorf("%s: flags %#x, local %v", x.name, f, g.s.IsLocal(us))
		}
	}

	// Without a check it can be used at once.
	g = newSegment(t)
	g.i.conf6.DADTransmits.Set(0)
	add(g)
	if !g.s.IsLocal(us) {
		t.Error("not local with dad_transmits 0")
	}
	// While the interface is down there is none; it follows.
	g = newSegment(t)
	g.s.SetUp(g.i, false)
	add(g)
	g.w.Advance(10 * time.Second)
	if g.s.IsLocal(us) {
		t.Error("local while the interface is down")
	}
	g.s.SetUp(g.i, true)
	g.w.Advance(3 * time.Second)
	if !g.s.IsLocal(us) {
		t.Error("not local after the interface came up")
	}
}

// advert is a router advertisement with options.
func advert(life uint16, options ...[]byte) []byte {
	m := make([]byte, raLen)
	m[0], m[4] = wire.ICMPv6RouterAdvert, 64
	binary.BigEndian.PutUint16(m[6:], life)
	return append(m, slices.Concat(options...)...)
}

// prefixOption is a prefix of 64 bits for addresses and on the link.
func prefixOption(prefix string, valid, preferred uint32) []byte {
	o := make([]byte, 32)
	o[0], o[1], o[2], o[3] = ndpPrefix, 4, 64, 0xc0
	binary.BigEndian.PutUint32(o[4:], valid)
	binary.BigEndian.PutUint32(o[8:], preferred)
	copy(o[16:], netip.MustParseAddr(prefix).AsSlice())
	return o
}

func TestAutoconfiguration(t *testing.T) {
	g := newSegment(t)
	g.s.Autoconfigure(g.i)
	g.w.Advance(2200 * time.Millisecond)
	const ll = "fe80::ff:fe00:1"
	if f, ok := g.flagsOf(ll); !ok || f&unix.IFA_F_TENTATIVE != 0 {
		t.Fatalf("no link-local address: %#x, %v", f, ok)
	}
	g.w.Advance(1200 * time.Millisecond)
	g.withoutReports()
	g.expect("::>ff02::1:ff00:1 135 "+ll+"+0", ll+">ff02::2 133+8")
	g.w.Advance(5 * time.Second)
	g.withoutReports()
	g.expect(ll + ">ff02::2 133+8")

	far := netip.MustParseAddr("2001:db8:ffff::1")
	if _, err := g.s.Lookup(netip.Addr{}, far, 0, 0); err != unix.ENETUNREACH {
		t.Errorf("a route before a router: %v", err)
	}
	mtu := []byte{ndpMTU, 1, 0, 0, 0, 0, 1400 >> 8, 1400 & 0xff}
	mac := append([]byte{ndpSourceLink, 1}, theirMAC[:]...)
	good := advert(600, mac, mtu, prefixOption("2001:db8:1::", 7200, 1800))
	g.icmp6("fe80::2", "ff02::1", 254, slices.Clone(good)) // from beyond a router
	g.icmp6("fd00::2", "ff02::1", 255, slices.Clone(good))
	if _, err := g.s.Lookup(netip.Addr{}, far, 0, 0); err != unix.ENETUNREACH {
		t.Errorf("a route by an advertisement that is none: %v", err)
	}
	g.icmp6("fe80::2", "ff02::1", 255, good)
	g.w.Advance(3 * time.Second)
	g.out = nil
	const global = "2001:db8:1::ff:fe00:1"
	if f, ok := g.flagsOf(global); !ok || f&(unix.IFA_F_TENTATIVE|unix.IFA_F_PERMANENT) != 0 {
		t.Fatalf("no address of the prefix: %#x, %v", f, ok)
	}
	r, err := g.s.Lookup(netip.Addr{}, far, 0, 0)
	if err != nil || r.Src.String() != global || r.Next.String() != "fe80::2" || r.MTU != 1400 {
		t.Errorf("route %+v, %v", r, err)
	}
	if r, err = g.s.Lookup(netip.Addr{}, netip.MustParseAddr("2001:db8:1::2"), 0, 0); err != nil || r.Next != r.Dst {
		t.Errorf("on the link: %+v, %v", r, err)
	}
	n := g.s.Neighbours()
	if k := slices.IndexFunc(n, func(x Neighbour) bool { return x.Addr.String() == "fe80::2" }); k < 0 || !n[k].Router || n[k].MAC != theirMAC {
		t.Errorf("neighbours %+v", n)
	}
	g.w.Advance(time.Minute)
	g.withoutReports()
	g.expect() // no more solicitations

	// A forged advertisement does not cut the address short.
	g.icmp6("fe80::2", "ff02::1", 255, advert(600, prefixOption("2001:db8:1::", 0, 0)))
	if f, ok := g.flagsOf(global); !ok || f&unix.IFA_F_DEPRECATED == 0 {
		t.Errorf("after valid lifetime 0: %#x, %v", f, ok)
	}
	g.icmp6("fe80::2", "ff02::1", 255, advert(600, prefixOption("2001:db8:1::", 7200, 1800)))
	if f, _ := g.flagsOf(global); f&unix.IFA_F_DEPRECATED != 0 {
		t.Errorf("renewed: %#x", f)
	}
	// The router goes, then the address grows old.
	g.icmp6("fe80::2", "ff02::1", 255, advert(0))
	if _, err := g.s.Lookup(netip.Addr{}, far, 0, 0); err != unix.ENETUNREACH {
		t.Errorf("a route by a router that has gone: %v", err)
	}
	g.icmp6("fe80::2", "ff02::1", 255, advert(600))
	g.w.Advance(12 * time.Minute)
	if _, err := g.s.Lookup(netip.Addr{}, far, 0, 0); err != unix.ENETUNREACH {
		t.Errorf("a route after the router's lifetime: %v", err)
	}
	g.w.Advance(25 * time.Minute)
	if f, _ := g.flagsOf(global); f&unix.IFA_F_DEPRECATED == 0 {
		t.Errorf("not deprecated: %#x", f)
	}
	g.w.Advance(3 * time.Hour)
	if _, ok := g.flagsOf(global); ok {
		t.Error("the address outlives its prefix")
	}
	// Advertisements are not followed by a router, and not without the parameter.
	for _, off := range []func(){
		func() { g.i.conf6.Forwarding.Set(1) },
		func() { g.i.conf6.Forwarding.Set(0); g.i.conf6.AcceptRA.Set(0) },
	} {
		off()
		g.icmp6("fe80::2", "ff02::1", 255, advert(600, prefixOption("2001:db8:1::", 7200, 1800)))
		if _, ok := g.flagsOf(global); ok {
			t.Error("an advertisement was followed")
		}
	}
}
