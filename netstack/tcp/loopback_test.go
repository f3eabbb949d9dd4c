package tcp

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"golang.org/x/sys/unix"
)

// newLoopback is a stack with lo up and 127.0.0.1 and ::1 on it.
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

// waiter makes an endpoint's calls block.
type waiter struct {
	e *Endpoint
	c chan struct{}
}

func wait(e *Endpoint) *waiter {
	w := &waiter{e, make(chan struct{}, 1)}
	e.SetNotify(func(uint32) {
		select {
		case w.c <- struct{}{}:
		default:
		}
	})
	return w
}

func (w *waiter) until(t testing.TB, events uint32) {
	t.Helper()
	deadline := time.After(3 * time.Second)
	for w.e.Readiness()&(events|unix.POLLERR|unix.POLLHUP) == 0 {
		select {
		case <-w.c:
		case <-deadline:
			t.Fatalf("no event %#x: state %d, %#x\n%s", events, w.e.State(), w.e.Readiness(), w.e.dump())
		}
	}
}

func (w *waiter) read(t testing.TB, b []byte) (int, error) {
	t.Helper()
	for {
		var m sock.Msg
		n, err := w.e.Recv(&sock.Iovec{V: [][]byte{b}}, len(b), &m)
		if err != unix.EAGAIN {
			return n, err
		}
		w.until(t, unix.POLLIN)
	}
}

func (w *waiter) write(t testing.TB, b []byte) error {
	t.Helper()
	for len(b) > 0 {
		var m sock.Msg
		n, err := w.e.Send(&sock.Iovec{V: [][]byte{b}}, len(b), &m)
		b = b[n:]
		if err == unix.EAGAIN {
			w.until(t, unix.POLLOUT)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func listen(t testing.TB, p *Protocol, family int, addr string) (*Endpoint, sock.Addr) {
	t.Helper()
	l := p.NewEndpoint(family)
	if err := l.Bind(sock.Addr{Addr: netip.MustParseAddr(addr)}); err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(16); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, l.LocalAddr()
}

// pair is a connection on loopback.
func pair(t testing.TB, p *Protocol) (client, server *Endpoint) {
	t.Helper()
	l, a := listen(t, p, unix.AF_INET, "127.0.0.1")
	client = p.NewEndpoint(unix.AF_INET)
	if err := client.Connect(a); err != nil {
		t.Fatal("connect:", err)
	}
	server, from, err := l.AcceptTCP()
	if err != nil {
		t.Fatal("accept:", err)
	}
	if from != client.LocalAddr() {
		t.Fatalf("accepted from %v, client is %v", from, client.LocalAddr())
	}
	l.Close()
	t.Cleanup(client.Close)
	t.Cleanup(server.Close)
	return client, server
}

func TestLoopbackTransfer(t *testing.T) {
	_, p := newLoopback(t)
	c, s := pair(t, p)
	data := make([]byte, 5<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	done := make(chan error)
	go func() {
		err := wait(c).write(t, data)
		c.Shutdown(unix.SHUT_WR)
		done <- err
	}()
	var got bytes.Buffer
	w := wait(s)
	b := make([]byte, 100000)
	for {
		n, err := w.read(t, b)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		got.Write(b[:n])
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), data) {
		t.Fatal("data differ")
	}
	if s.Readiness()&unix.POLLRDHUP == 0 {
		t.Error("no POLLRDHUP after the peer's FIN")
	}
	c.Close()
	s.Close()
	if n := p.memory.Load(); n != 0 {
		t.Errorf("%d bytes still charged", n)
	}
}

func TestConnectRefused(t *testing.T) {
	_, p := newLoopback(t)
	c := p.NewEndpoint(unix.AF_INET)
	defer c.Close()
	if err := c.Connect(sock.Addr{Addr: netip.MustParseAddr("127.0.0.1"), Port: 1}); err != unix.ECONNREFUSED {
		t.Fatal(err)
	}
}

func TestSelfConnect(t *testing.T) {
	_, p := newLoopback(t)
	c := p.NewEndpoint(unix.AF_INET)
	defer c.Close()
	if err := c.Bind(sock.Addr{Addr: netip.MustParseAddr("127.0.0.1")}); err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(c.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	w := wait(c)
	if err := w.write(t, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, err := w.read(t, b); err != nil || string(b[:n]) != "hello" {
		t.Fatal(string(b[:n]), err)
	}
}

func TestIPv6AndMapped(t *testing.T) {
	_, p := newLoopback(t)
	l, a := listen(t, p, unix.AF_INET6, "::")
	for _, x := range []struct {
		family int
		dst    string
		peer   string
	}{{unix.AF_INET6, "::1", "::1"}, {unix.AF_INET, "127.0.0.1", "::ffff:127.0.0.1"}, {unix.AF_INET6, "::ffff:127.0.0.1", "::ffff:127.0.0.1"}, {unix.AF_INET, "0.0.0.0", "::ffff:127.0.0.1"}, {unix.AF_INET6, "::", "::1"}} {
		c := p.NewEndpoint(x.family)
		if err := c.Connect(sock.Addr{Addr: netip.MustParseAddr(x.dst), Port: a.Port}); err != nil {
			t.Fatal(x, err)
		}
		s, from, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(x, err)
		}
		if from.Addr.String() != x.peer {
			t.Errorf("%v: accepted from %v", x, from)
		}
		c.Close()
		s.Close()
	}
}

// faulty takes n bytes and then fails.
type faulty struct{ n int }

func (f *faulty) Write(p []byte) (int, error) {
	k := min(len(p), f.n)
	f.n -= k
	if k < len(p) {
		return k, unix.EFAULT
	}
	return k, nil
}

func (f *faulty) Read(p []byte) (int, error) {
	if f.n == 0 {
		return 0, unix.EFAULT
	}
	k := min(len(p), f.n)
	f.n -= k
	return k, nil
}

func TestFaults(t *testing.T) {
	_, p := newLoopback(t)
	c, s := pair(t, p)
	var m sock.Msg
	if n, err := c.Send(&faulty{}, 10, &m); n != 0 || err != unix.EFAULT {
		t.Fatal(n, err)
	}
	if n, err := c.Send(&faulty{100}, 1000, &m); n != 100 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := s.Recv(&faulty{}, 1000, &m); n != 0 || err != unix.EFAULT {
		t.Fatal(n, err)
	}
	if n, err := s.Recv(&faulty{30}, 1000, &m); n != 30 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := s.Available(); n != 70 || err != nil {
		t.Fatal(n, err)
	}
}

func BenchmarkConnectAcceptClose(b *testing.B) {
	_, p := newLoopback(b)
	l, a := listen(b, p, unix.AF_INET, "127.0.0.1")
	b.ReportAllocs()
	for b.Loop() {
		c := p.NewEndpoint(unix.AF_INET)
		if err := c.Connect(a); err != nil {
			b.Fatal(err)
		}
		s, _, err := l.AcceptTCP()
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
		s.Close()
	}
}

func BenchmarkPingPong(b *testing.B) {
	_, p := newLoopback(b)
	c, s := pair(b, p)
	one := make([]byte, 1)
	var m sock.Msg
	var v [1][]byte
	iov := &sock.Iovec{}
	step := func(from, to *Endpoint) {
		v[0] = one
		iov.V = v[:]
		if _, err := from.Send(iov, 1, &m); err != nil {
			b.Fatal(err)
		}
		v[0] = one
		iov.V = v[:]
		if _, err := to.Recv(iov, 1, &m); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		step(c, s)
		step(s, c)
	}
}

func BenchmarkStream(b *testing.B) {
	_, p := newLoopback(b)
	c, s := pair(b, p)
	data := make([]byte, 1<<20)
	done := make(chan struct{})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	go func() {
		defer close(done)
		w := wait(s)
		buf := make([]byte, 1<<20)
		for {
			n, err := w.read(b, buf)
			if n == 0 || err != nil {
				return
			}
		}
	}()
	w := wait(c)
	for b.Loop() {
		if err := w.write(b, data); err != nil {
			b.Fatal(err)
		}
	}
	c.Shutdown(unix.SHUT_WR)
	<-done
}

func TestSockets(t *testing.T) {
	_, p := newLoopback(t)
	l, a := listen(t, p, unix.AF_INET6, "::")
	c := p.NewEndpoint(unix.AF_INET)
	c.Options().Inode.Store(77)
	if err := c.Connect(sock.Addr{Addr: netip.MustParseAddr("127.0.0.1"), Port: a.Port}); err != nil {
		t.Fatal(err)
	}
	s, _, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	states := map[uint8]int{}
	for _, i := range p.Sockets() {
		states[i.State]++
		if i.Inode == 77 && (i.Local != c.LocalAddr() || i.Remote.Port != a.Port) {
			t.Errorf("%+v", i)
		}
	}
	if states[uint8(Listen)] != 1 || states[uint8(Established)] != 2 {
		t.Error(states)
	}
	c.Close()
	s.Close()
	for _, i := range p.Sockets() {
		if State(i.State) != Listen && State(i.State) != TimeWait {
			t.Errorf("%+v", i)
		}
	}
}

// TestAcceptAnnounced checks that every connection is announced to who only calls Accept.
func TestAcceptAnnounced(t *testing.T) {
	_, p := newLoopback(t)
	l, a := listen(t, p, unix.AF_INET, "127.0.0.1")
	w := wait(l)
	for i := range 3 {
		if _, _, err := l.AcceptTCP(); err != unix.EAGAIN {
			t.Fatalf("before connection %d: accept gives %v", i, err)
		}
		c := p.NewEndpoint(unix.AF_INET)
		if err := c.Connect(a); err != nil {
			t.Fatal("connect:", err)
		}
		defer c.Close()
		select {
		case <-w.c:
		case <-time.After(3 * time.Second):
			t.Fatalf("connection %d is not announced", i)
		}
		s, _, err := l.AcceptTCP()
		if err != nil {
			t.Fatalf("connection %d: accept gives %v", i, err)
		}
		defer s.Close()
	}
}

// lent is a source that lends all it has.
type lent struct{ f []pkt.Frag }

func (l *lent) Read([]byte) (int, error) { return 0, io.EOF }

// Lend implements pkt.Lender.
func (l *lent) Lend(n int) (pkt.Frag, bool) {
	if len(l.f) == 0 {
		return pkt.Frag{}, false
	}
	f := &l.f[0]
	f.Buf.Ref()
	part := pkt.Frag{Buf: f.Buf, Off: f.Off, Len: min(f.Len, uint32(n))}
	f.Off += part.Len
	if f.Len -= part.Len; f.Len == 0 {
		f.Buf.Unref()
		l.f = l.f[1:]
	}
	return part, true
}

// What a source lends is sent without a copy, and what follows does not go into its Buf.
func TestLend(t *testing.T) {
	_, p := newLoopback(t)
	client, server := pair(t, p)
	c, s := wait(client), wait(server)
	head, tail := []byte("in front"), []byte("behind")
	var src lent
	want := bytes.Clone(head)
	size := 0
	for i, n := range []int{pkt.LargeSize, 1000} {
		b := pkt.Alloc(n)
		for k := range b.Bytes() {
			b.Bytes()[k] = byte(k*7 + i)
		}
		b.Seal()
		b.Ref() // ours, to look at it afterwards
		defer b.Unref()
		src.f = append(src.f, pkt.Frag{Buf: b, Len: uint32(n)})
		want = append(want, b.Bytes()[:n]...)
		size += n
	}
	want = append(want, tail...)
	last := src.f[1].Buf
	behind := last.Bytes()[1000]

	got := make(chan []byte)
	go func() {
		b := make([]byte, len(want))
		for n := 0; n < len(b); {
			k, err := s.read(t, b[n:])
			if k == 0 || err != nil {
				t.Errorf("read: %d, %v", k, err)
				break
			}
			n += k
		}
		got <- b
	}()
	if err := c.write(t, head); err != nil {
		t.Fatal(err)
	}
	for sent := 0; sent < size; {
		var m sock.Msg
		n, err := c.e.Send(&src, size-sent, &m)
		if sent += n; err == unix.EAGAIN {
			c.until(t, unix.POLLOUT)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.write(t, tail); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(<-got, want) {
		t.Error("something else was received")
	}
	if last.Bytes()[1000] != behind {
		t.Error("what follows was put into a sealed Buf")
	}
}
