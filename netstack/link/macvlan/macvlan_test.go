package macvlan

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

// A listener counts the frames that an interface receives.
type listener struct{ got int }

// Tap implements ip.Tap.
func (l *listener) Tap(_ *ip.Interface, p *pkt.Packet) {
	if p.Type != pkt.Outgoing && p.EtherType == unix.ETH_P_LOOPBACK {
		l.got++
	}
}

func mac(n int) wire.MAC { return wire.MAC{2, 0, 0, 0, 0, byte(n)} }

// TestModes has two macvlans upon an end of a pair, which is 0; they are 1 and 2, what is at the other end is 3.
func TestModes(t *testing.T) {
	for _, c := range []struct {
		modes    [2]uint32
		from, to int // to 9: broadcast
		want     string
	}{
		{[2]uint32{Bridge, Bridge}, 1, 2, "[0 0 1 0]"},
		{[2]uint32{Bridge, Bridge}, 1, 3, "[0 0 0 1]"},
		{[2]uint32{Bridge, Bridge}, 1, 0, "[0 0 0 1]"},
		{[2]uint32{Bridge, Bridge}, 1, 9, "[0 0 1 1]"},
		{[2]uint32{Bridge, Bridge}, 3, 9, "[1 1 1 0]"},
		{[2]uint32{Bridge, Bridge}, 3, 2, "[1 0 1 0]"},
		{[2]uint32{Private, Bridge}, 1, 2, "[0 0 0 1]"},
		{[2]uint32{VEPA, VEPA}, 1, 9, "[0 0 0 1]"},
		{[2]uint32{Passthru, 0}, 3, 2, "[1 1 0 0]"},
	} {
		w, b := wheel.NewManual(), new(backlog.Set)
		near, far := ip.New(ip.Options{Wheel: w, Backlog: b}), ip.New(ip.Options{Wheel: w, Backlog: b})
		here, there := veth.New(mac(0), mac(3), 1500)
		below, err := near.AddInterface("eth0", here)
		if err != nil {
			t.Fatal(err)
		}
		other, err := far.AddInterface("eth0", there)
		if err != nil {
			t.Fatal(err)
		}
		near.SetUp(below, true)
		far.SetUp(other, true)
		all := []*ip.Interface{below}
		for k, mode := range c.modes {
			if mode == 0 {
				all = append(all, nil)
				continue
			}
			l, err := New(below, mode, mac(k+1))
			if err != nil {
				t.Fatal(err)
			}
			i, err := near.AddInterface(fmt.Sprintf("m%d", k+1), l)
			if err == nil {
				err = near.SetUp(i, true)
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, i)
		}
		all = append(all, other)
		heard := make([]listener, len(all))
		for k, i := range all {
			if i != nil {
				i.AddTap(&heard[k])
			}
		}
		to := mac(c.to)
		if c.to == 9 {
			to = wire.BroadcastMAC
		}
		p := pkt.New()
		p.AddBytes([]byte("hello"))
		wire.Ethernet(p.Prepend(wire.EthernetLen)).Put(to, all[c.from].HWAddr(), unix.ETH_P_LOOPBACK)
		all[c.from].SendFrame(p)
		b.Run()
		var got []int
		for _, h := range heard {
			got = append(got, h.got)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("modes %v, from %d to %d: heard by %v, want %s", c.modes, c.from, c.to, got, c.want)
		}
		near.Close()
		far.Close()
	}
}
