package netstack

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link/lossy"
	"casemate/netstack/sock"
	"casemate/netstack/tcp"
	"casemate/netstack/wheel"
	"golang.org/x/sys/unix"
)

// TestSoak has two stacks talk for an hour of their time over a bad link: connections that
// come and go, transfers, datagrams with fragments, errors. In the end no goroutine, timer
// or buffer is left.
func TestSoak(t *testing.T) {
	goroutines, before := runtime.NumGoroutine(), heap()
	connections, data := soak(t)
	t.Logf("%d connections, %d KiB", connections, data>>10)
	if connections < 1000 {
		t.Error("next to nothing has happened")
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines more than before", n-goroutines)
	}
	if n := int64(heap()) - int64(before); n > 4<<20 {
		t.Errorf("%d KiB are left", n>>10)
	}
}

func soak(t *testing.T) (connections, data int) {
	w := wheel.NewManual()
	b := new(backlog.Set)
	x, y := lossy.New(w, lossy.Config{Delay: 2 * time.Millisecond, Loss: 0.01, Reorder: 0.02, Duplicate: 0.01, Corrupt: 0.005, Rate: 10 << 20, Queue: 100, Seed: 3})
	defer x.Close()
	defer y.Close()
	var s [2]*Stack
	for k, l := range []*lossy.Link{x, y} {
		s[k] = New(ip.Options{Wheel: w, Backlog: b})
		i, err := s[k].AddInterface("eth0", l)
		if err != nil {
			t.Fatal(err)
		}
		s[k].SetUp(i, true)
		s[k].UpLoopback()
		for _, a := range []string{"10.0.0.", "fd00::"} {
			bits := map[string]string{"10.0.0.": "/24", "fd00::": "/64"}[a]
			if err := s[k].AddAddress(i, ip.Address{Prefix: netip.MustParsePrefix(a + string(rune('1'+k)) + bits)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	to := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")}
	rng := rand.New(rand.NewPCG(7, 7))
	l, u := s[1].TCP.NewEndpoint(unix.AF_INET6), s[1].UDP.NewEndpoint(unix.AF_INET6)
	for _, e := range []sock.Endpoint{l, u} {
		if err := e.Bind(sock.Addr{Addr: netip.IPv6Unspecified(), Port: 80}); err != nil {
			t.Fatal(err)
		}
	}
	l.Listen(20)
	var ends []*tcp.Endpoint
	buf := make([]byte, 50_000)
	for start := w.Now(); w.Now()-start < time.Hour; w.Advance(time.Duration(rng.IntN(600)) * time.Millisecond) {
		if len(ends) < 30 {
			dst := to[rng.IntN(2)]
			family := unix.AF_INET
			if dst.Is6() {
				family = unix.AF_INET6
			}
			c := s[0].TCP.NewEndpoint(family)
			port := uint16(80)
			if rng.IntN(20) == 0 {
				port = 81 // nobody listens
			}
			c.Connect(sock.Addr{Addr: dst, Port: port})
			ends = append(ends, c)
			d := s[0].UDP.NewEndpoint(family)
			n := rng.IntN(6000)
			d.Send(&sock.Iovec{V: [][]byte{buf[:n]}}, n, &sock.Msg{Addr: sock.Addr{Addr: dst, Port: port}})
			d.Close()
		}
		for {
			c, _, err := l.AcceptTCP()
			if err != nil {
				break
			}
			connections++
			ends = append(ends, c)
		}
		for k := 0; k < len(ends); k++ {
			e := ends[k]
			switch rng.IntN(8) {
			case 0, 1, 2:
				n := rng.IntN(len(buf))
				e.Send(&sock.Iovec{V: [][]byte{buf[:n]}}, n, &sock.Msg{})
			case 3, 4, 5:
				n, _ := e.Recv(&sock.Iovec{V: [][]byte{buf}}, len(buf), &sock.Msg{})
				data += n
			case 6:
				if rng.IntN(5) == 0 {
					e.Shutdown(unix.SHUT_WR)
				}
			case 7:
				if rng.IntN(3) == 0 {
					e.Close()
					ends = append(ends[:k], ends[k+1:]...)
				}
			}
		}
		u.Recv(&sock.Iovec{V: [][]byte{buf}}, len(buf), &sock.Msg{})
	}
	for _, e := range ends {
		e.Close()
	}
	l.Close()
	u.Close()
	w.Advance(time.Hour)
	for _, x := range s {
		if n := len(x.TCP.Sockets()) + len(x.UDP.Sockets()); n != 0 {
			t.Errorf("%d sockets are left", n)
		}
		x.Close()
	}
	if n := w.Len(); n != 0 {
		t.Errorf("%d timers are left", n)
	}
	return connections, data
}
