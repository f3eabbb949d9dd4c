package bridge

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link/veth"
	"casemate/netstack/pkt"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
)

// A network is a stack with a bridge, br0, whose ports p0, p1, p2 lead to eth0 of another stack each.
type network struct {
	*testing.T
	wheel    *wheel.Wheel
	stack    *ip.Stack
	bridge   *Bridge
	ports    []*ip.Interface
	stations []*member
}

// A member is an interface behind a port, and what has arrived there.
type member struct {
	*ip.Interface
	got []string
}

// Tap implements ip.Tap.
func (s *member) Tap(_ *ip.Interface, p *pkt.Packet) {
	if p.Type != pkt.Outgoing && wire.Ethernet(p.Header()).Type() == unix.ETH_P_LOOPBACK {
		b := make([]byte, p.Len()-wire.EthernetLen)
		p.CopyOut(wire.EthernetLen, b)
		s.got = append(s.got, string(b))
	}
}

func stationMAC(n int) wire.MAC { return wire.MAC{2, 0, 0, 0, 1, byte(n)} }
func portMAC(n int) wire.MAC    { return wire.MAC{2, 0, 0, 0, 2, byte(n)} }

func newNetwork(t *testing.T) *network {
	t.Helper()
	w := wheel.NewManual()
	b := new(backlog.Set)
	n := &network{T: t, wheel: w, stack: ip.New(ip.Options{Wheel: w, Backlog: b}), bridge: New(wire.MAC{2, 0, 0, 0, 9, 9}, false)}
	t.Cleanup(n.stack.Close)
	own, err := n.stack.AddInterface("br0", n.bridge)
	n.ok(err)
	n.stack.SetUp(own, true)
	for k := range 3 {
		here, there := veth.New(portMAC(k), stationMAC(k), 1500)
		port, err := n.stack.AddInterface(fmt.Sprintf("p%d", k), here)
		n.ok(err)
		n.ok(port.SetMaster(n.bridge))
		n.stack.SetUp(port, true)
		far := ip.New(ip.Options{Wheel: w, Backlog: b})
		t.Cleanup(far.Close)
		i, err := far.AddInterface("eth0", there)
		n.ok(err)
		s := &member{Interface: i}
		i.AddTap(s)
		far.SetUp(i, true)
		n.ports, n.stations = append(n.ports, port), append(n.stations, s)
	}
	return n
}

func (n *network) ok(err error) {
	n.Helper()
	if err != nil {
		n.Fatal(err)
	}
}

// send has a station send a frame.
func (n *network) send(from int, to wire.MAC, text string) {
	n.sendBy(n.stations[from].Interface, stationMAC(from), to, text)
}

func (n *network) sendBy(i *ip.Interface, src, to wire.MAC, text string) {
	p := pkt.New()
	p.AddBytes([]byte(text))
	wire.Ethernet(p.Prepend(wire.EthernetLen)).Put(to, src, unix.ETH_P_LOOPBACK)
	i.SendFrame(p)
	n.stack.Run()
}

// got checks what has arrived at each station since the last time.
func (n *network) got(want ...string) {
	n.Helper()
	for k, s := range n.stations {
		if got := fmt.Sprint(s.got); got != want[k] {
			n.Errorf("station %d got %v, want %v", k, got, want[k])
		}
		s.got = nil
	}
}

func TestLearnsAndFloods(t *testing.T) {
	n := newNetwork(t)
	n.send(0, stationMAC(1), "to nobody known")
	n.got("[]", "[to nobody known]", "[to nobody known]")
	n.send(1, stationMAC(0), "answer")
	n.got("[answer]", "[]", "[]")
	n.send(0, stationMAC(1), "to one")
	n.got("[]", "[to one]", "[]")
	n.send(2, wire.BroadcastMAC, "to all")
	n.got("[to all]", "[to all]", "[]")
	n.send(0, wire.MAC{1, 0x80, 0xc2, 0, 0, 3}, "to the link alone")
	n.got("[]", "[]", "[]")
	n.send(0, stationMAC(0), "to itself")
	n.got("[]", "[]", "[]")

	// A station that moves is where it was heard last.
	n.sendBy(n.stations[2].Interface, stationMAC(1), stationMAC(0), "moved")
	n.got("[moved]", "[]", "[]")
	n.send(0, stationMAC(1), "there")
	n.got("[]", "[]", "[there]")
}

func TestForgets(t *testing.T) {
	n := newNetwork(t)
	n.send(1, wire.BroadcastMAC, "here")
	n.got("[here]", "[]", "[here]")
	n.wheel.Advance(defaultAgeing - time.Second)
	n.send(0, stationMAC(1), "still known")
	n.got("[]", "[still known]", "[]")
	n.wheel.Advance(2 * time.Second)
	n.send(0, stationMAC(1), "forgotten")
	n.got("[]", "[forgotten]", "[forgotten]")

	n.send(1, wire.BroadcastMAC, "here")
	n.got("[here]", "[]", "[here]")
	n.stations[1].Stack().SetUp(n.stations[1].Interface, false)
	n.stations[1].Stack().SetUp(n.stations[1].Interface, true)
	n.send(0, stationMAC(1), "its link was down")
	n.got("[]", "[its link was down]", "[its link was down]")

	n.ok(n.bridge.AddStation(stationMAC(7), n.ports[2], true))
	n.wheel.Advance(2 * defaultAgeing)
	n.send(0, stationMAC(7), "static")
	n.got("[]", "[]", "[static]")
	n.ok(n.bridge.RemoveStation(stationMAC(7), n.ports[2]))
	if err := n.bridge.RemoveStation(stationMAC(7), n.ports[2]); err != unix.ENOENT {
		t.Errorf("removed twice: %v", err)
	}
	n.bridge.SetAgeing(0)
	n.send(1, wire.BroadcastMAC, "here")
	n.got("[here]", "[]", "[here]")
	n.send(0, stationMAC(1), "nothing is remembered")
	n.got("[]", "[nothing is remembered]", "[nothing is remembered]")
}

// TestStationsAreBounded has a station claim to be very many.
func TestStationsAreBounded(t *testing.T) {
	n := newNetwork(t)
	for k := range 2 * maxStations {
		n.sendBy(n.stations[0].Interface, wire.MAC{2, 1, 0, 0, byte(k >> 8), byte(k)}, stationMAC(1), "")
	}
	if l := len(n.bridge.Stations()); l > maxStations+len(n.ports)+1 {
		t.Errorf("%d stations are remembered", l)
	}
	n.wheel.Advance(2 * defaultAgeing)
	n.send(1, wire.BroadcastMAC, "")
	if !slices.ContainsFunc(n.bridge.Stations(), func(s Station) bool { return s.MAC == stationMAC(1) && s.Port == n.ports[1] }) {
		t.Error("there is no room for a new one when the others are old")
	}
}

func TestPorts(t *testing.T) {
	n := newNetwork(t)
	own := n.bridge.Interface()
	if own.HWAddr() != portMAC(0) {
		t.Errorf("the bridge's address is %x, not the lowest of its ports", own.HWAddr())
	}
	if err := n.ports[0].SetMaster(n.bridge); err != unix.EBUSY {
		t.Errorf("a port joins twice: %v", err)
	}
	other := New(wire.MAC{2, 0, 0, 0, 9, 8}, true)
	i, err := n.stack.AddInterface("br1", other)
	n.ok(err)
	if err := i.SetMaster(n.bridge); err != unix.ELOOP {
		t.Errorf("a bridge joins a bridge: %v", err)
	}
	n.ok(n.ports[0].SetMaster(nil))
	if own.HWAddr() != portMAC(1) {
		t.Errorf("the bridge's address is %x after its lowest port has left", own.HWAddr())
	}
	n.send(0, wire.BroadcastMAC, "outside")
	n.got("[]", "[]", "[]")
	n.send(1, wire.BroadcastMAC, "inside")
	n.got("[]", "[]", "[inside]")

	if own.Flags()&unix.IFF_RUNNING == 0 {
		t.Error("a bridge with ports has no carrier")
	}
	for k := 1; k < 3; k++ {
		n.stack.SetUp(n.ports[k], false)
	}
	if own.Flags()&unix.IFF_RUNNING != 0 {
		t.Error("a bridge has a carrier though all its ports are down")
	}
	n.ok(n.stack.RemoveInterface(own.Index()))
	for k, p := range n.ports {
		if p.Master() != nil {
			t.Errorf("port %d still has a master", k)
		}
	}
}

// TestAddressOfTheBridge has the bridge's own interface take part: it answers ARP from behind any port,
// and after the port has moved to another stack.
func TestAddressOfTheBridge(t *testing.T) {
	n := newNetwork(t)
	n.ok(n.stack.AddAddress(n.bridge.Interface(), ip.Address{Prefix: netip.MustParsePrefix("10.0.0.254/24")}))
	for k, s := range n.stations {
		n.ok(s.Stack().AddAddress(s.Interface, ip.Address{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(k + 1)}), 24)}))
	}
	reach := func(from *ip.Interface, to string) bool {
		r, err := from.Stack().Lookup(netip.Addr{}, netip.MustParseAddr(to), 0, 0)
		n.ok(err)
		p := pkt.New()
		p.Append(8)
		p.Src, p.Dst, p.Proto, p.TTL = r.Src, r.Dst, unix.IPPROTO_UDP, 64
		n.ok(from.Stack().Output(p, &r))
		n.stack.Run()
		return slices.ContainsFunc(from.Stack().Neighbours(), func(x ip.Neighbour) bool { return x.Addr == r.Next && x.Usable() })
	}
	if !reach(n.stations[0].Interface, "10.0.0.254") || !reach(n.bridge.Interface(), "10.0.0.2") || !reach(n.stations[2].Interface, "10.0.0.1") {
		t.Fatal("somebody is not reached")
	}
	far := ip.New(ip.Options{Wheel: n.wheel, Backlog: n.stack.Backlog})
	t.Cleanup(far.Close)
	moved, err := n.stations[1].Stack().Move(n.stations[1].Interface, far, "eth1")
	n.ok(err)
	far.SetUp(moved, true)
	n.ok(far.AddAddress(moved, ip.Address{Prefix: netip.MustParsePrefix("10.0.0.77/24")}))
	if !reach(n.stations[0].Interface, "10.0.0.77") || !reach(moved, "10.0.0.254") {
		t.Error("the moved interface is not reached")
	}
}

func TestPortOptions(t *testing.T) {
	n := newNetwork(t)
	n.bridge.SetPortOptions(n.ports[0], PortOptions{Hairpin: true, Isolated: true})
	n.bridge.SetPortOptions(n.ports[1], PortOptions{Isolated: true})
	n.send(0, wire.BroadcastMAC, "all")
	n.got("[all]", "[]", "[all]")
	n.send(1, stationMAC(0), "isolated")
	n.got("[]", "[]", "[]")
	n.send(2, stationMAC(0), "not isolated")
	n.got("[not isolated]", "[]", "[]")
	n.sendBy(n.stations[0].Interface, stationMAC(7), stationMAC(0), "back")
	n.got("[back]", "[]", "[]")
	n.ok(n.ports[0].SetMaster(nil))
	n.ok(n.ports[0].SetMaster(n.bridge))
	if o := n.bridge.PortOptions(n.ports[0]); o != (PortOptions{}) {
		t.Errorf("a new port has %+v", o)
	}
}
