package vlan

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link/veth"
	"casemate/netstack/pkt"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
)

var macs = [2]wire.MAC{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}}

// A side is a stack with an end of a pair.
type side struct {
	*ip.Stack
	eth *ip.Interface
}

func newSides(t *testing.T) (sides [2]side) {
	t.Helper()
	w, b := wheel.NewManual(), new(backlog.Set)
	var links [2]*veth.Link
	links[0], links[1] = veth.New(macs[0], macs[1], 1500)
	for k := range sides {
		s := ip.New(ip.Options{Wheel: w, Backlog: b})
		t.Cleanup(s.Close)
		i, err := s.AddInterface("eth0", links[k])
		if err != nil {
			t.Fatal(err)
		}
		sides[k] = side{s, i}
	}
	for _, s := range sides {
		s.SetUp(s.eth, true)
	}
	return sides
}

// add adds the VLAN with a tag upon an interface.
func (s side) add(t *testing.T, below *ip.Interface, tag pkt.Tag) *ip.Interface {
	t.Helper()
	l, err := New(below, tag, wire.MAC{})
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.AddInterface(fmt.Sprintf("%s.%d", below.Name(), tag.VLAN()), l)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetUp(i, true); err != nil {
		t.Fatal(err)
	}
	return i
}

// A listener notes the frames that an interface receives.
type listener struct{ got []string }

// Tap implements ip.Tap.
func (l *listener) Tap(i *ip.Interface, p *pkt.Packet) {
	if p.Type != pkt.Outgoing && p.EtherType == unix.ETH_P_LOOPBACK {
		b := make([]byte, p.Len()-wire.EthernetLen)
		p.CopyOut(wire.EthernetLen, b)
		l.got = append(l.got, fmt.Sprintf("%s by %s, tag %#x %d", b, i.Name(), p.Tag.Type, p.Tag.TCI))
	}
}

func send(i *ip.Interface, header ...byte) {
	p := pkt.New()
	copy(p.Append(len(header)), header)
	p.AddBytes([]byte("hello"))
	i.SendFrame(p)
	i.Stack().Run()
}

// frame is a header for all, with tags in front of the type.
func frame(tags ...byte) []byte {
	h := append(append(wire.BroadcastMAC[:], macs[0][:]...), tags...)
	return append(h, 0x90, 0) // ETH_P_LOOPBACK
}

func TestTags(t *testing.T) {
	sides := newSides(t)
	tag := pkt.Tag{Type: unix.ETH_P_8021Q, TCI: 5}
	near := sides[0].add(t, sides[0].eth, tag)
	inner := sides[0].add(t, near, pkt.Tag{Type: unix.ETH_P_8021AD, TCI: 7})
	far := sides[1].add(t, sides[1].eth, tag)
	farInner := sides[1].add(t, far, pkt.Tag{Type: unix.ETH_P_8021AD, TCI: 7})
	below, vlan, innermost := new(listener), new(listener), new(listener)
	sides[1].eth.AddTap(below)
	far.AddTap(vlan)
	farInner.AddTap(innermost)
	for _, c := range []struct {
		by                 *ip.Interface
		header             []byte
		eth, vlan, farther string
	}{
		{sides[0].eth, frame(), "[hello by eth0, tag 0x0 0]", "[]", "[]"},
		{near, frame(), "[hello by eth0, tag 0x8100 5]", "[hello by eth0.5, tag 0x0 0]", "[]"},
		{sides[0].eth, frame(0x81, 0, 0xe0, 5), "[hello by eth0, tag 0x8100 57349]", "[hello by eth0.5, tag 0x0 0]", "[]"},
		{sides[0].eth, frame(0x81, 0, 0, 6), "[hello by eth0, tag 0x8100 6]", "[]", "[]"},
		{sides[0].eth, frame(0x88, 0xa8, 0, 5), "[hello by eth0, tag 0x88a8 5]", "[]", "[]"},
		{inner, frame(), "[]", "[hello by eth0.5, tag 0x88a8 7]", "[hello by eth0.5.7, tag 0x0 0]"},
	} {
		*below, *vlan, *innermost = listener{}, listener{}, listener{}
		send(c.by, c.header...)
		if got, want := fmt.Sprint(below.got, vlan.got, innermost.got), c.eth+" "+c.vlan+" "+c.farther; got != want {
			t.Errorf("%s, %x: got %s, want %s", c.by.Name(), c.header, got, want)
		}
	}
	errors := sides[1].eth.Stats.RxErrors.Load()
	p := pkt.New()
	copy(p.Append(14), append(append(wire.BroadcastMAC[:], macs[0][:]...), 0x81, 0))
	sides[0].eth.SendFrame(p)
	sides[0].Run()
	if got := sides[1].eth.Stats.RxErrors.Load() - errors; got != 1 {
		t.Errorf("%d errors of a frame that ends in its tag", got)
	}
}

func TestFollows(t *testing.T) {
	sides := newSides(t)
	s, eth := sides[0], sides[0].eth
	i := s.add(t, eth, pkt.Tag{Type: unix.ETH_P_8021Q, TCI: 5})
	if _, err := New(eth, pkt.Tag{Type: unix.ETH_P_8021Q, TCI: 5}, wire.MAC{}); err != unix.EEXIST {
		t.Errorf("made twice: %v", err)
	}
	if _, err := New(s.Interfaces()[0], pkt.Tag{Type: unix.ETH_P_8021Q, TCI: 5}, wire.MAC{}); err != unix.EOPNOTSUPP {
		t.Errorf("upon lo: %v", err)
	}
	s.SetUp(eth, false)
	if i.Flags()&unix.IFF_UP != 0 {
		t.Error("the VLAN is up, what it is upon is down")
	}
	if err := s.SetUp(i, true); err != unix.ENETDOWN {
		t.Errorf("comes up upon an interface that is down: %v", err)
	}
	s.SetUp(eth, true)
	if i.Flags()&unix.IFF_RUNNING == 0 {
		t.Error("the VLAN does not come up with what it is upon")
	}
	sides[1].SetUp(sides[1].eth, false)
	if i.Flags()&(unix.IFF_UP|unix.IFF_RUNNING) != unix.IFF_UP {
		t.Errorf("flags %#x without a carrier below", i.Flags())
	}
	if err := s.SetMTU(i, 1501); err != unix.ERANGE {
		t.Errorf("an MTU beyond that below: %v", err)
	}
	s.SetMTU(eth, 1400)
	s.SetHWAddr(eth, macs[1])
	if i.MTU() != 1400 || i.HWAddr() != macs[1] {
		t.Errorf("MTU %d, address %x", i.MTU(), i.HWAddr())
	}
	far, err := s.Move(eth, sides[1].Stack, "moved")
	if err != nil {
		t.Fatal(err)
	}
	if err := sides[1].RemoveInterface(far.Index()); err != nil {
		t.Fatal(err)
	}
	if s.Interface(i.Index()) == i {
		t.Error("the VLAN is left when what it was upon has gone, from another stack")
	}
}
