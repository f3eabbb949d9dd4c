package tcp

import (
	"net/netip"
	"runtime"
	"testing"

	"casemate/netstack/sock"
	"golang.org/x/sys/unix"
)

// TestManyConnections opens connections, moves data over each and checks what
// an idle one takes and that nothing is left when they are closed.
func TestManyConnections(t *testing.T) {
	const conns = 10000
	s, p := newLoopback(t)
	l := p.NewEndpoint(unix.AF_INET)
	defer l.Close()
	l.Bind(sock.Addr{Addr: netip.MustParseAddr("127.0.0.1")})
	l.Listen(4096)
	a := l.LocalAddr()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var ends []*Endpoint
	var m sock.Msg
	b := []byte("hello")
	for range conns {
		c := p.NewEndpoint(unix.AF_INET)
		if err := c.Connect(a); err != nil {
			t.Fatal(len(ends), err)
		}
		x, _, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range [][2]*Endpoint{{c, x}, {x, c}} {
			if _, err := k[0].Send(&sock.Iovec{V: [][]byte{b}}, len(b), &m); err != nil {
				t.Fatal(err)
			}
			if _, err := k[1].Recv(&sock.Iovec{V: [][]byte{b}}, len(b), &m); err != nil {
				t.Fatal(err)
			}
		}
		ends = append(ends, c, x)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := (after.HeapAlloc - before.HeapAlloc) / uint64(len(ends))
	t.Logf("%d bytes per idle endpoint", per)
	if per > 8192 {
		t.Errorf("an idle endpoint takes %d bytes", per)
	}
	for _, e := range ends {
		e.Close()
	}
	if n := s.Counters.TCP.CurrEstab.Load(); n != 0 {
		t.Errorf("%d connections still established", n)
	}
	if n := p.memory.Load(); n != 0 {
		t.Errorf("%d bytes still charged", n)
	}
}
