package netstack

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"casemate/netstack/conntrack"
	"casemate/netstack/filter"
	"casemate/netstack/ip"
	"casemate/netstack/link/bridge"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// FuzzNAT gives frames to a router as Docker makes one of a host: eth0 leads out, with a port
// for a host behind the bridge, whose two ports' packets go out with the router's address. What
// goes out is checked for form; in the end no connection and no timer is left.
func FuzzNAT(f *testing.F) {
	var all []byte
	for k, b := range frames() {
		out := append([]byte{0, 0, 0}, b...)
		binary.BigEndian.PutUint16(out[1:], uint16(len(b)))
		f.Add(out)
		if in := out[3:]; wire.Ethernet(in).Type() == unix.ETH_P_IP { // the same from inside to outside
			inside := append([]byte{uint8(1 + k%2)}, out[1:]...)
			src, dst := netip.AddrFrom4([4]byte{172, 17, 0, 2}), peer4
			copy(inside[3+14+12:], src.AsSlice())
			copy(inside[3+14+16:], dst.AsSlice())
			f.Add(inside)
			all = append(append(all, inside...), out...)
		}
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, in []byte) {
		w := wheel.NewManual()
		s := New(ip.Options{Wheel: w})
		defer s.Close()
		s.Params.Forward.Set(1)
		s.Sysctl.Lookup("net.ipv6.conf.all.forwarding").Set(1)
		br := bridge.New(ownMAC, true)
		inside, err := s.AddInterface("br0", br)
		if err != nil {
			t.Fatal(err)
		}
		var ends []*wireEnd
		var links []*ip.Interface
		for _, name := range []string{"eth0", "p1", "p2"} {
			end := &wireEnd{t: t, bridged: len(ends) > 0}
			i, err := s.AddInterface(name, end)
			if err != nil {
				t.Fatal(err)
			}
			if len(ends) > 0 {
				if err := i.SetMaster(br); err != nil {
					t.Fatal(err)
				}
			}
			s.SetUp(i, true)
			ends, links = append(ends, end), append(links, i)
		}
		s.SetUp(inside, true)
		for _, own := range []struct {
			i      *ip.Interface
			prefix string
			hosts  []string
		}{
			{links[0], "10.0.0.1/24", []string{"10.0.0.2"}}, {links[0], "fd00::1/64", []string{"fd00::2"}},
			{inside, "172.17.0.1/16", []string{"172.17.0.2", "172.17.0.3"}}, {inside, "fd02::1/64", []string{"fd02::2", "fd02::3"}},
		} {
			if err := s.AddAddress(own.i, ip.Address{Prefix: netip.MustParsePrefix(own.prefix)}); err != nil {
				t.Fatal(err)
			}
			for k, a := range own.hosts {
				if err := s.SetNeighbour(ip.Neighbour{Index: own.i.Index(), Addr: netip.MustParseAddr(a), MAC: wire.MAC{2, 0, 0, 0, 0, uint8(2 + k)}, State: unix.NUD_PERMANENT}); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.Filter.Install("fuzz", natRules(inside.Index()), true)
		for len(in) >= 3 {
			n := min(int(binary.BigEndian.Uint16(in[1:]))%2000, len(in)-3)
			b := append([]byte(nil), in[3:3+n]...)
			fixSums(b)
			ends[int(in[0])%len(ends)].frame(b, int(in[0]))
			in = in[3+n:]
			w.Advance(10 * time.Millisecond)
		}
		for _, i := range append(links, inside) {
			s.SetUp(i, false)
		}
		w.Advance(200 * time.Hour)
		if n := s.Filter.Conns.Len(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		s.Filter.Close()
		if n := w.Len(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	})
}

// natRules have packets from an interface masqueraded, port 53 of the router lead to a host behind
// it, and port 1 refused.
func natRules(inside int32) []filter.Base {
	var l []filter.Base
	for family, server := range map[uint8]string{unix.AF_INET: "172.17.0.2", unix.AF_INET6: "fd02::2"} {
		to := netip.MustParseAddr(server)
		l = append(l,
			filter.Base{Family: family, Hook: unix.NF_INET_PRE_ROUTING, Priority: filter.PriDestination, NAT: true, Run: func(c *filter.Context) filter.Verdict {
				if _, port, ok := c.Ports(); !ok || port != 53 && port != 80 {
					return filter.Accept
				}
				return c.Replace(conntrack.Destination, &conntrack.Range{Flags: unix.NF_NAT_RANGE_MAP_IPS | unix.NF_NAT_RANGE_PROTO_SPECIFIED,
					MinAddr: to, MaxAddr: to, MinPort: 8080, MaxPort: 8080})
			}},
			filter.Base{Family: family, Hook: unix.NF_INET_FORWARD, Priority: filter.PriFilter, Run: func(c *filter.Context) filter.Verdict {
				if _, port, ok := c.Ports(); ok && port == 1 {
					if _, proto, _ := c.Transport(); proto == unix.IPPROTO_TCP {
						c.RejectReset()
					} else {
						c.RejectUnreachable(3)
					}
					return filter.Drop
				}
				return filter.Accept
			}},
			filter.Base{Family: family, Hook: unix.NF_INET_POST_ROUTING, Priority: filter.PriSource, NAT: true, Run: func(c *filter.Context) filter.Verdict {
				if c.Out != nil && c.Out.Index() != inside {
					return c.Masquerade(conntrack.Range{})
				}
				return filter.Accept
			}})
	}
	return l
}
