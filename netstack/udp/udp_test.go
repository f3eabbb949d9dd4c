package udp

import (
	"net/netip"
	"testing"

	"casemate/netstack/ip"
	"casemate/netstack/sock"
	"golang.org/x/sys/unix"
)

func newLoopback(t testing.TB) (*ip.Stack, *Protocol) {
	s := ip.New(ip.Options{})
	t.Cleanup(s.Close)
	lo := s.InterfaceByName("lo")
	if err := s.AddAddress(lo, ip.Address{Prefix: netip.MustParsePrefix("127.0.0.1/8"), Scope: unix.RT_SCOPE_HOST}); err != nil {
		t.Fatal(err)
	}
	s.SetUp(lo, true)
	return s, New(s)
}

func bound(t testing.TB, p *Protocol, family int, addr string) (*Endpoint, sock.Addr) {
	t.Helper()
	e := p.NewEndpoint(family)
	if err := e.Bind(sock.Addr{Addr: netip.MustParseAddr(addr)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e, e.LocalAddr()
}

func send(e *Endpoint, to sock.Addr, b string) error {
	m := sock.Msg{Addr: to}
	n, err := e.Send(&sock.Iovec{V: [][]byte{[]byte(b)}}, len(b), &m)
	if err == nil && n != len(b) {
		panic("short send of a datagram")
	}
	return err
}

func recv(e *Endpoint, size, flags int) (string, sock.Msg, error) {
	b := make([]byte, size)
	m := sock.Msg{Flags: flags}
	n, err := e.Recv(&sock.Iovec{V: [][]byte{b}}, size, &m)
	return string(b[:min(n, size)]), m, err
}

func TestSendReceive(t *testing.T) {
	_, p := newLoopback(t)
	for _, x := range []struct {
		family int
		addr   string
	}{{unix.AF_INET, "127.0.0.1"}, {unix.AF_INET6, "::1"}, {unix.AF_INET6, "::ffff:127.0.0.1"}} {
		a, aa := bound(t, p, x.family, x.addr)
		b, ba := bound(t, p, x.family, x.addr)
		if err := send(a, ba, "hello"); err != nil {
			t.Fatal(x, err)
		}
		if b.Readiness()&unix.POLLIN == 0 {
			t.Fatal("not readable")
		}
		if got, m, err := recv(b, 100, unix.MSG_PEEK); err != nil || got != "hello" || m.Addr != aa {
			t.Fatal(x, got, m.Addr, err)
		}
		if got, m, err := recv(b, 3, 0); err != nil || got != "hel" || m.OutFlags != unix.MSG_TRUNC {
			t.Fatal(x, got, m.OutFlags, err)
		}
		if _, _, err := recv(b, 3, 0); err != unix.EAGAIN {
			t.Fatal(err)
		}
		if err := send(b, aa, ""); err != nil {
			t.Fatal(err)
		}
		if got, _, err := recv(a, 3, 0); err != nil || got != "" {
			t.Fatal(got, err)
		}
	}
}

func TestLargest(t *testing.T) {
	_, p := newLoopback(t)
	a, _ := bound(t, p, unix.AF_INET, "127.0.0.1")
	b, ba := bound(t, p, unix.AF_INET, "127.0.0.1")
	big := string(make([]byte, 65507))
	if err := send(a, ba, big); err != nil {
		t.Fatal(err)
	}
	if got, _, err := recv(b, 70000, 0); err != nil || got != big {
		t.Fatal(len(got), err)
	}
	if err := send(a, ba, big+"x"); err != unix.EMSGSIZE {
		t.Fatal(err)
	}
}

func TestPortUnreachable(t *testing.T) {
	_, p := newLoopback(t)
	a, _ := bound(t, p, unix.AF_INET, "127.0.0.1")
	closed, ca := bound(t, p, unix.AF_INET, "127.0.0.1")
	closed.Close()
	if err := a.Connect(ca); err != nil {
		t.Fatal(err)
	}
	if err := send(a, sock.Addr{}, "x"); err != nil {
		t.Fatal(err)
	}
	if a.Readiness()&unix.POLLERR == 0 {
		t.Error("no POLLERR")
	}
	if _, _, err := recv(a, 10, 0); err != unix.ECONNREFUSED {
		t.Fatal(err)
	}
	if _, _, err := recv(a, 10, 0); err != unix.EAGAIN {
		t.Fatal("the error is reported twice:", err)
	}
	a.Options().RecvErr.Store(true)
	if err := send(a, sock.Addr{}, "abc"); err != nil {
		t.Fatal(err)
	}
	got, m, err := recv(a, 10, unix.MSG_ERRQUEUE)
	if err != nil || got != "abc" || m.Control.Err.Errno != unix.ECONNREFUSED || m.Addr != ca {
		t.Fatal(got, m, err)
	}
}

func TestBindRules(t *testing.T) {
	_, p := newLoopback(t)
	a, aa := bound(t, p, unix.AF_INET, "127.0.0.1")
	try := func(family int, addr string, reuse bool) error {
		e := p.NewEndpoint(family)
		defer e.Close()
		e.Options().ReuseAddr.Store(reuse)
		return e.Bind(sock.Addr{Addr: netip.MustParseAddr(addr), Port: aa.Port})
	}
	for _, x := range []struct {
		family int
		addr   string
		reuse  bool
		want   error
	}{
		{unix.AF_INET, "127.0.0.1", false, unix.EADDRINUSE},
		{unix.AF_INET, "0.0.0.0", false, unix.EADDRINUSE},
		{unix.AF_INET6, "::", false, unix.EADDRINUSE},
		{unix.AF_INET6, "::1", false, nil},
		{unix.AF_INET, "127.0.0.2", false, nil},
		{unix.AF_INET, "127.0.0.1", true, unix.EADDRINUSE},
		{unix.AF_INET, "10.0.0.1", false, unix.EADDRNOTAVAIL},
	} {
		if err := try(x.family, x.addr, x.reuse); err != x.want {
			t.Errorf("%v: %v", x, err)
		}
	}
	a.Close()
	if err := try(unix.AF_INET, "127.0.0.1", false); err != nil {
		t.Error("after close:", err)
	}
}

func TestConnectedFilters(t *testing.T) {
	_, p := newLoopback(t)
	a, aa := bound(t, p, unix.AF_INET, "127.0.0.1")
	b, ba := bound(t, p, unix.AF_INET, "127.0.0.1")
	c, _ := bound(t, p, unix.AF_INET, "127.0.0.1")
	if err := a.Connect(ba); err != nil {
		t.Fatal(err)
	}
	if err := send(c, aa, "from c"); err != nil {
		t.Fatal(err)
	}
	if err := send(b, aa, "from b"); err != nil {
		t.Fatal(err)
	}
	if got, _, err := recv(a, 100, 0); err != nil || got != "from b" {
		t.Fatal(got, err)
	}
}

func TestSegmentation(t *testing.T) {
	_, p := newLoopback(t)
	a, _ := bound(t, p, unix.AF_INET, "127.0.0.1")
	b, ba := bound(t, p, unix.AF_INET, "127.0.0.1")
	if err := a.SetSegment(4); err != nil {
		t.Fatal(err)
	}
	if err := send(a, ba, "aaaabbbbcc"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"aaaa", "bbbb", "cc"} {
		if got, _, err := recv(b, 100, 0); err != nil || got != want {
			t.Fatal(got, err)
		}
	}
	b.SetGRO(true)
	if err := send(a, ba, "aaaabbbbcc"); err != nil {
		t.Fatal(err)
	}
	if got, m, err := recv(b, 100, 0); err != nil || got != "aaaabbbbcc" || m.Control.Segment != 4 {
		t.Fatal(got, m.Control, err)
	}
}

func BenchmarkPingPong(bm *testing.B) {
	_, p := newLoopback(bm)
	a, aa := bound(bm, p, unix.AF_INET, "127.0.0.1")
	b, ba := bound(bm, p, unix.AF_INET, "127.0.0.1")
	buf := make([]byte, 64)
	var v [1][]byte
	iov := &sock.Iovec{}
	m := new(sock.Msg)
	step := func(from, to *Endpoint, addr sock.Addr) {
		v[0], iov.V = buf, v[:]
		m.Addr = addr
		if _, err := from.Send(iov, len(buf), m); err != nil {
			bm.Fatal(err)
		}
		v[0], iov.V = buf, v[:]
		if _, err := to.Recv(iov, len(buf), m); err != nil {
			bm.Fatal(err)
		}
	}
	bm.ReportAllocs()
	for bm.Loop() {
		step(a, b, ba)
		step(b, a, aa)
	}
}
