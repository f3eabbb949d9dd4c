package tcp

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

var testPeer = netip.MustParseAddr("10.0.0.2")

// fastSend is sendto(2) with MSG_FASTOPEN.
func (p *peer) fastSend(e *Endpoint, data string) (int, error) {
	m := sock.Msg{Flags: unix.MSG_FASTOPEN, Addr: sock.Addr{Addr: testPeer, Port: p.port}}
	return e.Send(&sock.Iovec{V: [][]byte{[]byte(data)}}, len(data), &m)
}

// fo is the options of a SYN of the peer's with a Fast Open option.
func fo(cookie []byte) []byte {
	o := wire.SYNOptions{MSS: 1000, WindowScale: -1, SACKPermitted: true, FastOpen: cookie}
	b := make([]byte, 40)
	return b[:o.Put(b)]
}

// abandon closes e with nothing left to be sent again.
func abandon(e *Endpoint) {
	e.Options().SetLinger(true, 0)
	e.Close()
}

func TestFastOpenClient(t *testing.T) {
	p := newPeer(t)
	cookie := []byte("12345678")
	// Without a cookie the SYN asks for one, and the data goes later.
	e := p.p.NewEndpoint(unix.AF_INET)
	if _, err := p.fastSend(e, "hello"); err != unix.EINPROGRESS {
		t.Fatal(err)
	}
	if g := p.out[0]; !g.opt.HasFastOpen || len(g.opt.FastOpen) != 0 || g.data != "" {
		t.Errorf("first SYN: %+v", g)
	}
	p.expect("S 0:0")
	p.to = e.LocalAddr().Port
	if _, err := p.fastSend(e, "hello"); err != unix.EAGAIN {
		t.Errorf("again: %v", err)
	}
	p.seg(syn|ack, 0, 1, 65535, "", fo(cookie)...)
	p.expect("A 1:0 1")
	if n, err := p.fastSend(e, "hello"); n != 5 || err != nil {
		t.Errorf("after the connection was made: %d, %v", n, err)
	}
	p.expect("PA 1:5 1")
	if _, err := p.fastSend(p.p.NewEndpoint(unix.AF_INET6), "x"); err != unix.EAFNOSUPPORT {
		t.Errorf("wrong family: %v", err)
	}
	abandon(e)
	p.out = nil

	// With it the data goes at once.
	start := func(data string) *Endpoint {
		e := p.p.NewEndpoint(unix.AF_INET)
		if n, err := p.fastSend(e, data); n != len(data) || err != nil {
			t.Fatal(n, err)
		}
		p.to = e.LocalAddr().Port
		if g := p.out[0]; !bytes.Equal(g.opt.FastOpen, cookie) || g.data != data {
			t.Errorf("SYN: %+v", g)
		}
		p.out = nil
		return e
	}
	e = start("hello")
	p.seg(syn|ack, 0, 6, 65535, "")
	p.expect("A 6:0 1")
	if e.Info().Options&32 == 0 {
		t.Error("TCP_INFO does not say that the data came with the SYN")
	}
	abandon(e)
	p.out = nil

	// A server that takes the SYN alone gets the data again at once.
	e = start("hello")
	p.seg(syn|ack, 0, 1, 65535, "")
	p.expect("PA 1:5 1", "A 6:0 1")
	p.seg(ack, 1, 6, 65535, "")
	p.is("unacknowledged", first(e.Unsent()), 0)
	abandon(e)
	p.out = nil

	// A SYN that is sent again has neither data nor option.
	e = start("hello")
	p.w.Advance(1200 * time.Millisecond)
	if len(p.out) != 1 || p.out[0].data != "" || p.out[0].opt.HasFastOpen {
		t.Errorf("SYN sent again: %+v", p.out)
	}
	p.out = nil
	p.seg(syn|ack, 0, 1, 65535, "")
	p.expect("PA 1:5 1", "A 6:0 1")
	abandon(e)
	p.out = nil

	// TCP_FASTOPEN_CONNECT: the SYN waits for the data.
	e = p.p.NewEndpoint(unix.AF_INET)
	if err := e.SetFastOpenConnect(1); err != nil {
		t.Fatal(err)
	}
	if err := e.Connect(sock.Addr{Addr: testPeer, Port: p.port}); err != nil || !e.Deferred() {
		t.Fatal(err)
	}
	p.expect()
	if e.Readiness()&unix.POLLOUT == 0 {
		t.Error("not writable")
	}
	p.send(e, "early")
	if len(p.out) != 1 || p.out[0].data != "early" {
		t.Errorf("sent %+v", p.out)
	}
	p.out = nil
	e.Close()

	p.p.Params.FastOpen.Set(0)
	e = p.p.NewEndpoint(unix.AF_INET)
	if _, err := p.fastSend(e, "x"); err != unix.EOPNOTSUPP {
		t.Errorf("switched off: %v", err)
	}
	e.Close()
}

func first(n int, _ error) int { return n }

func TestFastOpenServer(t *testing.T) {
	p := newPeer(t)
	p.p.Params.FastOpen.Set(tfoClient | tfoServer)
	l := p.p.NewEndpoint(unix.AF_INET)
	defer l.Close()
	l.SetFastOpen(2)
	l.Bind(sock.Addr{Addr: netip.MustParseAddr("10.0.0.1"), Port: 80})
	l.Listen(10)
	p.to = 80
	accept := func() *Endpoint {
		t.Helper()
		e, _, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		return e
	}

	// The client asks for a cookie.
	p.seg(syn, 0, 0, 65535, "", fo([]byte{})...)
	if len(p.out) != 1 || len(p.out[0].opt.FastOpen) != tfoCookieLen {
		t.Fatalf("no cookie: %+v", p.out)
	}
	cookie := p.out[0].opt.FastOpen
	p.expect("SA 0:0 1")
	p.seg(rst, 1, 0, 0, "")

	// With it the data is accepted, and answered before the handshake is over.
	p.port++
	p.seg(syn, 0, 0, 65535, "GET", fo(cookie)...)
	p.expect("SA 0:0 4")
	e := accept()
	p.is("data", p.recv(e, 0), "GET")
	p.send(e, "answer")
	p.expect("PA 1:6 4")
	p.seg(ack, 4, 7, 65535, "")
	p.is("state", e.State(), State(Established))
	abandon(e)
	p.out = nil

	// The SYN-ACK is repeated, by the timer and when the SYN comes again.
	p.port++
	p.seg(syn, 0, 0, 65535, "GET", fo(cookie)...)
	p.expect("SA 0:0 4")
	p.seg(syn, 0, 0, 65535, "")
	p.expect("SA 0:0 4")
	p.w.Advance(1200 * time.Millisecond)
	p.expect("SA 0:0 4")
	e = accept()
	p.seg(rst, 4, 0, 0, "")
	p.is("after a reset", p.recv(e, 0), "GET")
	p.is("and then", p.recv(e, 0), unix.ECONNRESET.Error())
	abandon(e)

	// A wrong cookie gives a right one; the data has to come again.
	p.port++
	p.seg(syn, 0, 0, 65535, "GET", fo([]byte("87654321"))...)
	if !bytes.Equal(p.out[0].opt.FastOpen, cookie) {
		t.Errorf("cookie %x, want %x", p.out[0].opt.FastOpen, cookie)
	}
	p.expect("SA 0:0 1")
	p.seg(ack|psh, 1, 1, 65535, "GET")
	e = accept()
	p.is("data", p.recv(e, 0), "GET")
	abandon(e)
	p.out = nil

	// No more than two may be pending.
	var pending []*Endpoint
	for n := range 3 {
		p.port++
		p.seg(syn, 0, 0, 65535, "GET", fo(cookie)...)
		if n < 2 {
			p.expect("SA 0:0 4")
			pending = append(pending, accept())
		} else {
			p.expect("SA 0:0 1")
		}
	}
	for _, e := range pending {
		e.Close()
	}
	// A half-closed one that was never confirmed still repeats its SYN-ACK.
	p.out = nil
	p.w.Advance(1200 * time.Millisecond)
	syns := 0
	for _, g := range p.out {
		if s := p.show(g); strings.HasPrefix(s, "SA ") {
			syns++
		} else if strings.HasPrefix(s, "S ") {
			t.Errorf("a SYN from a server: %s", s)
		}
	}
	if syns == 0 {
		t.Error("no SYN-ACK was sent again")
	}
}

func TestFastOpenLoopback(t *testing.T) {
	_, p := newLoopback(t)
	p.Params.FastOpen.Set(tfoClient | tfoServer)
	l, addr := listen(t, p, unix.AF_INET, "127.0.0.1")
	defer l.Close()
	l.SetFastOpen(5)
	for round := range 3 {
		c := p.NewEndpoint(unix.AF_INET)
		m := sock.Msg{Flags: unix.MSG_FASTOPEN, Addr: addr}
		v := &sock.Iovec{V: [][]byte{[]byte("hello")}}
		n, err := c.Send(v, 5, &m)
		if round == 0 {
			if err != unix.EINPROGRESS {
				t.Fatal(err)
			}
			n, err = c.Send(v, 5, &m)
		}
		if n != 5 || err != nil {
			t.Fatalf("round %d: %d, %v", round, n, err)
		}
		s, _, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		if n, err := s.Recv(&sock.Iovec{V: [][]byte{b}}, 10, &sock.Msg{}); string(b[:n]) != "hello" || err != nil {
			t.Errorf("received %q, %v", b[:n], err)
		}
		if with := s.Info().Options&32 != 0; with != (round > 0) {
			t.Errorf("round %d: data with the SYN: %v", round, with)
		}
		c.Close()
		s.Close()
	}
}
