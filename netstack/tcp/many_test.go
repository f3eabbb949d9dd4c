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
	const conns = 50_000
	s, p := newLoopback(t)
	p.Params.MaxTwBuckets.Set(conns)
	// More than one address, since a client has 28,232 ports towards each.
	var listeners []*Endpoint
	for n := range byte(3) {
		l := p.NewEndpoint(unix.AF_INET)
		l.Bind(sock.Addr{Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1 + n})})
		l.Listen(4096)
		listeners = append(listeners, l)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var ends []*Endpoint
	var m sock.Msg
	b := []byte("hello")
	for n := range conns {
		l := listeners[n%len(listeners)]
		c := p.NewEndpoint(unix.AF_INET)
		if err := c.Connect(l.LocalAddr()); err != nil {
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
	// 50,000 connections, both ends, with what a sandbox has besides for each, in 2 GiB.
	if per > 6144 {
		t.Errorf("an idle endpoint takes %d bytes", per)
	}
	for _, e := range ends {
		e.Close()
	}
	for _, l := range listeners {
		l.Close()
	}
	if n := s.Counters.TCP.CurrEstab.Load(); n != 0 {
		t.Errorf("%d connections still established", n)
	}
	if n := p.memory.Load(); n != 0 {
		t.Errorf("%d bytes still charged", n)
	}
	for _, c := range p.Sockets() {
		if State(c.State) != TimeWait {
			t.Fatalf("a socket is left: %+v", c)
		}
	}
	if n := len(p.Sockets()); n > conns || n != int(p.timeWaits.Load()) {
		t.Errorf("%d sockets, %d in TIME-WAIT", n, p.timeWaits.Load())
	}
	ends, listeners = nil, nil
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / conns; n > 1024 {
		t.Errorf("%d bytes are left of each connection", n)
	}
}
