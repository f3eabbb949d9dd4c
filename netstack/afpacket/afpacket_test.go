package afpacket

import (
	"net/netip"
	"testing"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link/veth"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// TestFrames sends a frame by one end of a veth and receives it at the other.
func TestFrames(t *testing.T) {
	b := new(backlog.Set)
	x, y := veth.New(wire.MAC{2, 0, 0, 0, 0, 1}, wire.MAC{2, 0, 0, 0, 0, 2}, 1500)
	sx, sy := ip.New(ip.Options{Backlog: b}), ip.New(ip.Options{Backlog: b})
	defer sx.Close()
	defer sy.Close()
	ix, err := sx.AddInterface("eth0", x)
	if err != nil {
		t.Fatal(err)
	}
	iy, err := sy.AddInterface("eth0", y)
	if err != nil {
		t.Fatal(err)
	}
	sx.SetUp(ix, true)
	sy.SetUp(iy, true)
	if err := sx.AddAddress(ix, ip.Address{Prefix: netip.MustParsePrefix("10.0.0.1/24")}); err != nil {
		t.Fatal(err)
	}
	e := New(sy, unix.SOCK_RAW, unix.ETH_P_ARP)
	defer e.Close()

	r := New(sx, unix.SOCK_DGRAM, 0)
	defer r.Close()
	ask := make([]byte, wire.ARPLen)
	target := netip.MustParseAddr("10.0.0.2")
	wire.ARP(ask).Put(wire.ARPRequest, x.Info().HWAddr, netip.MustParseAddr("10.0.0.1"), wire.MAC{}, target)
	to := Addr{Protocol: unix.ETH_P_ARP, Index: ix.Index(), HALen: 6, HWAddr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	if _, err := r.Send(&sock.Iovec{V: [][]byte{ask}}, len(ask), &to); err != nil {
		t.Fatal(err)
	}
	var m sock.Msg
	got := make([]byte, 2000)
	n, from, _, err := e.Recv(&sock.Iovec{V: [][]byte{got}}, len(got), &m)
	if err != nil || n != wire.EthernetLen+wire.ARPLen || from.PktType != unix.PACKET_BROADCAST || from.Protocol != unix.ETH_P_ARP {
		t.Fatalf("%d %+v %v", n, from, err)
	}
	if h := wire.ARP(got[wire.EthernetLen:n]); !h.Valid() || h.TargetIP() != target {
		t.Fatalf("%x", got[:n])
	}
	if _, _, _, err := e.Recv(&sock.Iovec{V: [][]byte{got}}, len(got), &m); err != unix.EAGAIN {
		t.Fatal(err)
	}
	if s := e.TakeStats(); s.Packets != 1 || s.Drops != 0 {
		t.Error(s)
	}
}
