package netstack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/vlan"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// wireEnd is a link whose frames a test makes; what the stack sends is checked
// for form and dropped.
type wireEnd struct {
	t  testing.TB
	rx pkt.Receiver
	b  *backlog.Set
	n  int
	// bridged says that what others have made, of whatever form, goes out as well.
	bridged bool
}

func (w *wireEnd) Info() link.Info {
	return link.Info{Type: unix.ARPHRD_ETHER, Flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, MTU: 1500, HWAddr: [6]byte{2, 0, 0, 0, 0, 1}, Queues: 1}
}
func (w *wireEnd) Attach(rx pkt.Receiver, b *backlog.Set) error { w.rx, w.b = rx, b; return nil }
func (w *wireEnd) Close()                                       {}
func (w *wireEnd) Send(p *pkt.Packet) {
	w.n++
	b := make([]byte, p.Len())
	p.CopyOut(0, b)
	p.Free()
	longest := 1514
	if w.bridged || len(b) > 14 && wire.Ethernet(b).Type() == unix.ETH_P_8021Q {
		longest += 4 // of what is bridged as if all were tagged
	}
	if len(b) > longest {
		w.t.Errorf("a frame of %d bytes", len(b))
	}
	if !w.bridged && b[14]>>4 == 4 && wire.Ethernet(b).Type() == unix.ETH_P_IP {
		if h := wire.IPv4(b[14:]); !h.SumOK() || h.TotalLen() != len(b)-14 {
			w.t.Errorf("bad IP header: %x", b)
		}
	}
}

func (w *wireEnd) frame(b []byte, split int) {
	p := pkt.New()
	split = min(split, len(b))
	p.AddBytes(b[:split])
	p.AddBytes(b[split:])
	p.Rx = w.rx
	if len(b) > 14 {
		p.Hash = wire.PacketHash(b[14:])
	}
	w.b.Put(p)
	w.b.Run()
}

// FuzzFrames gives a stack frames, with right checksums where the frame is long
// enough, and lets time pass.
func FuzzFrames(f *testing.F) {
	for _, s := range frames() {
		f.Add(s, uint16(20), true)
		f.Add(append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...), uint16(0), false)
		if len(s) >= 14 {
			f.Add(slices.Insert(slices.Clone(s), 12, 0x81, 0, 0, 5), uint16(20), true) // to the VLAN
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, split uint16, single bool) {
		w := wheel.NewManual()
		s := New(ip.Options{Wheel: w})
		defer s.Close()
		end := &wireEnd{t: t}
		i, err := s.AddInterface("eth0", end)
		if err != nil {
			t.Fatal(err)
		}
		s.SetUp(i, true)
		for _, a := range []string{"10.0.0.1/24", "fd00::1/64"} {
			s.AddAddress(i, ip.Address{Prefix: netip.MustParsePrefix(a)})
		}
		s.Autoconfigure(i)
		upon, err := vlan.New(i, pkt.Tag{Type: unix.ETH_P_8021Q, TCI: 5}, wire.MAC{})
		if err != nil {
			t.Fatal(err)
		}
		tagged, err := s.AddInterface("eth0.5", upon)
		if err != nil {
			t.Fatal(err)
		}
		s.SetUp(tagged, true)
		s.AddAddress(tagged, ip.Address{Prefix: netip.MustParsePrefix("10.0.5.1/24")})
		s.Autoconfigure(tagged)
		s.Params.Forward.Set(1)
		l := s.TCP.NewEndpoint(unix.AF_INET6)
		l.Bind(sock.Addr{Addr: netip.IPv6Unspecified(), Port: 80})
		l.Listen(3)
		u := s.UDP.NewEndpoint(unix.AF_INET6)
		u.Bind(sock.Addr{Addr: netip.IPv6Unspecified(), Port: 53})
		for _, group := range []string{"224.1.2.3", "ff02::5"} {
			u.JoinGroup(netip.MustParseAddr(group), i.Index(), netip.Addr{})
		}
		r := s.Raw.NewEndpoint(unix.AF_INET, 1)
		for len(in) > 0 {
			b := in
			if single {
				in = nil
			} else {
				if len(in) < 2 {
					break
				}
				n := min(int(binary.BigEndian.Uint16(in))%2000, len(in)-2)
				b, in = in[2:2+n], in[2+n:]
			}
			b = append([]byte(nil), b...)
			fixSums(b)
			end.frame(b, int(split))
			w.Advance(10 * time.Millisecond)
		}
		u.Close()
		l.Close()
		r.Close()
		s.SetUp(i, false) // routers are asked for as long as it is up
		w.Advance(200 * time.Hour)
		if n := w.Len(); n != 0 {
			t.Errorf("%d timers left", n)
		}
	})
}

// fixSums makes the checksums of a frame right, so that more than their checks
// is reached.
func fixSums(b []byte) {
	if len(b) < 14+20 {
		return
	}
	switch wire.Ethernet(b).Type() {
	case unix.ETH_P_8021Q:
		inner := slices.Delete(slices.Clone(b), 12, 16)
		fixSums(inner)
		copy(b[16:], inner[12:])
	case unix.ETH_P_IP:
		h := wire.IPv4(b[14:])
		if hl := h.HeaderLen(); hl >= 20 && hl <= len(h) {
			h.SetSum()
			if n := h.TotalLen(); n >= hl && n <= len(h) && h.Frag()&^wire.IPv4DF == 0 {
				fixTransport(h[hl:n], h.Src(), h.Dst(), h.Proto())
			}
		}
	case unix.ETH_P_IPV6:
		if h := wire.IPv6(b[14:]); len(h) >= 40 && 40+h.PayloadLen() <= len(h) {
			rest, proto := h[40:40+h.PayloadLen()], h.NextHeader()
			for len(rest) >= 8 && (proto == wire.ExtHopByHop || proto == unix.IPPROTO_DSTOPTS) && 8+8*int(rest[1]) <= len(rest) {
				proto, rest = rest[0], rest[8+8*int(rest[1]):]
			}
			fixTransport(rest, h.Src(), h.Dst(), proto)
		}
	}
}

func fixTransport(b []byte, src, dst netip.Addr, proto uint8) {
	at, sum := 0, wire.PseudoSum(src, dst, proto, len(b))
	switch proto {
	case 6:
		at = 16
	case 17:
		at = 6
	case 58:
		at = 2
	case 1, 2:
		at, sum = 2, 0
	default:
		return
	}
	if len(b) < at+2 {
		return
	}
	b[at], b[at+1] = 0, 0
	binary.BigEndian.PutUint16(b[at:], ^wire.Sum(b, sum))
}
