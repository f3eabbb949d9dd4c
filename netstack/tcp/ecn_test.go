package tcp

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

const ece, cwr = wire.ECE, wire.CWR

// ecnAccepted is a connection with ECN that the peer has opened.
func ecnAccepted(p *peer) *Endpoint {
	l := p.p.NewEndpoint(unix.AF_INET)
	if err := l.Bind(sock.Addr{Addr: netip.MustParseAddr("10.0.0.1"), Port: 80}); err != nil {
		p.t.Fatal(err)
	}
	l.Listen(5)
	p.to = 80
	p.seg(syn|ece|cwr, 0, 0, 65535, "", wire.OptMSS, 4, 1000>>8, 1000&255, wire.OptSACKPermitted, 2)
	p.expect("SAE 0:0 1")
	p.w.Advance(10 * time.Millisecond)
	p.seg(ack, 1, 1, 65535, "")
	e, _, err := l.AcceptTCP()
	if err != nil {
		p.t.Fatal(err)
	}
	l.Close()
	p.expect()
	return e
}

func TestECNSender(t *testing.T) {
	p := newPeer(t)
	e := ecnAccepted(p)
	defer e.Close()
	p.send(e, strings.Repeat("x", 4000))
	p.expect("A 1:1000 1 tos0x2", "A 1001:1000 1 tos0x2", "A 2001:1000 1 tos0x2", "PA 3001:1000 1 tos0x2")
	was := e.Info().Snd_cwnd
	p.seg(ack|ece, 1, 1001, 65535, "")
	p.seg(ack|ece, 1, 2001, 65535, "")
	if got := e.Info(); got.Ca_state != caCWR || got.Snd_ssthresh >= was {
		t.Errorf("state %d, ssthresh %d after an echo with a window of %d", got.Ca_state, got.Snd_ssthresh, was)
	}
	reduced := e.Info().Snd_ssthresh
	p.seg(ack|ece, 1, 3001, 65535, "")
	if got := e.Info().Snd_ssthresh; got != reduced {
		t.Errorf("reduced again in one round trip: %d, then %d", reduced, got)
	}
	// New data tells that the window was reduced, once.
	p.send(e, "y")
	p.send(e, "z")
	p.seg(ack, 1, 4001, 65535, "")
	p.seg(ack, 1, 4002, 65535, "")
	p.expect("PAC 4001:1 1 tos0x2", "PA 4002:1 1 tos0x2")
	p.w.Advance(20 * time.Millisecond)
	// What is sent again is not marked (RFC 3168 section 6.1.5).
	p.w.Advance(time.Second)
	if len(p.out) == 0 || p.out[0].tos != 0 || p.out[0].data != "z" {
		t.Errorf("sent again: %+v", p.out)
	}
	p.out = nil
}

func TestECNReceiver(t *testing.T) {
	p := newPeer(t)
	e := ecnAccepted(p)
	defer e.Close()
	p.tos = ecnECT0
	p.seg(ack|psh, 1, 1, 65535, "a")
	p.expect("A 1:0 2")
	p.tos = ecnCE
	p.seg(ack|psh, 2, 1, 65535, "b")
	p.expect("AE 1:0 3")
	p.tos = ecnECT0
	p.seg(ack|psh, 3, 1, 65535, "c") // echoed until the peer says CWR
	p.expect("AE 1:0 4")
	p.seg(ack|psh|cwr, 4, 1, 65535, "d")
	p.expect("A 1:0 5")
	if o := e.Info().Options; o&24 != 24 {
		t.Errorf("TCP_INFO options %#x do not say ECN", o)
	}
}

func TestECNNegotiation(t *testing.T) {
	for _, c := range []struct {
		mode  int64
		reply uint8
		first string
		ok    bool
	}{
		{2, syn | ack | ece, "S 0:0", false}, // only asked for by the peer
		{1, syn | ack | ece, "SEC 0:0", true},
		{1, syn | ack, "SEC 0:0", false},
		{1, syn | ack | ece | cwr, "SEC 0:0", false}, // a peer that reflects what it gets
	} {
		p := newPeer(t)
		p.p.Params.ECN.Set(c.mode)
		e := p.p.NewEndpoint(unix.AF_INET)
		e.Connect(sock.Addr{Addr: netip.MustParseAddr("10.0.0.2"), Port: p.port})
		p.to = e.LocalAddr().Port
		p.expect(c.first)
		p.seg(c.reply, 0, 1, 65535, "")
		p.out = nil
		p.send(e, "x")
		want := "PA 1:1 1"
		if c.ok {
			want += " tos0x2"
		}
		p.expect(want)
		e.Close()
	}
	// A SYN that is sent again does without.
	p := newPeer(t)
	p.p.Params.ECN.Set(1)
	e := p.p.NewEndpoint(unix.AF_INET)
	defer e.Close()
	e.Connect(sock.Addr{Addr: netip.MustParseAddr("10.0.0.2"), Port: p.port})
	p.expect("SEC 0:0")
	p.w.Advance(1500 * time.Millisecond)
	p.expect("S 0:0")
	// With mode 0 the peer's wish is not heard, nor is one whose SYN says that it is ECT.
	for _, c := range []struct {
		mode int64
		tos  uint8
	}{{0, 0}, {2, ecnECT0}} {
		p := newPeer(t)
		p.p.Params.ECN.Set(c.mode)
		l := p.p.NewEndpoint(unix.AF_INET)
		l.Bind(sock.Addr{Addr: netip.MustParseAddr("10.0.0.1"), Port: 80})
		l.Listen(5)
		p.to, p.tos = 80, c.tos
		p.seg(syn|ece|cwr, 0, 0, 65535, "")
		p.expect("SA 0:0 1")
		l.Close()
	}
}

func TestECNCookie(t *testing.T) {
	p := newPeer(t)
	p.p.Params.SynCookies.Set(2)
	l := p.p.NewEndpoint(unix.AF_INET)
	defer l.Close()
	l.Bind(sock.Addr{Addr: netip.MustParseAddr("10.0.0.1"), Port: 80})
	l.Listen(5)
	p.to = 80
	ts := make([]byte, 12)
	wire.PutTimestamps(ts, 1, 0)
	p.seg(syn|ece|cwr, 0, 0, 65535, "", append([]byte{wire.OptMSS, 4, 1000 >> 8, 1000 & 255}, ts...)...)
	p.expect("SAE 0:0 1")
	p.ts = true
	p.seg(ack, 1, 1, 65535, "")
	e, _, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Info().Options&8 == 0 {
		t.Error("the cookie has not kept ECN")
	}
}
