package raw

import (
	"net/netip"
	"testing"

	"casemate/netstack/ip"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

func newLoopback(t testing.TB) *Protocol {
	s := ip.New(ip.Options{})
	t.Cleanup(s.Close)
	lo := s.InterfaceByName("lo")
	if err := s.AddAddress(lo, ip.Address{Prefix: netip.MustParsePrefix("127.0.0.1/8"), Scope: unix.RT_SCOPE_HOST}); err != nil {
		t.Fatal(err)
	}
	s.SetUp(lo, true)
	return New(s)
}

func send(e *Endpoint, to string, b []byte) error {
	m := sock.Msg{Addr: sock.Addr{Addr: netip.MustParseAddr(to)}}
	_, err := e.Send(&sock.Iovec{V: [][]byte{b}}, len(b), &m)
	return err
}

func recv(e *Endpoint) ([]byte, sock.Addr, error) {
	b := make([]byte, 2000)
	var m sock.Msg
	n, err := e.Recv(&sock.Iovec{V: [][]byte{b}}, len(b), &m)
	return b[:n], m.Addr, err
}

func echo(typ uint8, data string) []byte {
	b := append(make([]byte, wire.ICMPLen), data...)
	wire.ICMP(b).Put(typ, 0, 0xdead0007)
	return b
}

func TestPingSocket(t *testing.T) {
	p := newLoopback(t)
	for _, x := range []struct {
		family     int
		addr       string
		req, reply uint8
	}{{unix.AF_INET, "127.0.0.1", wire.ICMPEcho, wire.ICMPEchoReply}, {unix.AF_INET6, "::1", wire.ICMPv6Echo, wire.ICMPv6EchoReply}} {
		e := p.NewPing(x.family)
		defer e.Close()
		if err := send(e, x.addr, echo(x.reply, "x")); err != unix.EINVAL {
			t.Error("a reply could be sent:", err)
		}
		if err := send(e, x.addr, echo(x.req, "hello")); err != nil {
			t.Fatal(err)
		}
		b, from, err := recv(e)
		if err != nil || from.Addr.String() != x.addr {
			t.Fatal(from, err)
		}
		h := wire.ICMP(b)
		if h.Type() != x.reply || h.Ident() != e.LocalAddr().Port || h.Rest()&0xffff != 7 || string(b[wire.ICMPLen:]) != "hello" {
			t.Errorf("%v: %x", x, b)
		}
		if _, _, err := recv(e); err != unix.EAGAIN {
			t.Error("more than one answer:", err)
		}
	}
}

func TestRawICMP(t *testing.T) {
	p := newLoopback(t)
	e := p.NewEndpoint(unix.AF_INET, unix.IPPROTO_ICMP)
	defer e.Close()
	req := echo(wire.ICMPEcho, "hello")
	wire.ICMP(req).SetChecksum(^wire.Sum(req, 0))
	e.SetICMPFilter(1 << wire.ICMPEcho)
	if err := send(e, "127.0.0.1", req); err != nil {
		t.Fatal(err)
	}
	b, _, err := recv(e)
	if err != nil {
		t.Fatal(err)
	}
	h := wire.IPv4(b)
	if h[0] != 0x45 || h.TotalLen() != len(b) || h.Proto() != unix.IPPROTO_ICMP || !h.SumOK() || wire.ICMP(b[20:]).Type() != wire.ICMPEchoReply {
		t.Errorf("%x", b)
	}
	if _, _, err := recv(e); err != unix.EAGAIN {
		t.Error("the request came through the filter:", err)
	}
}

func TestHeaderIncluded(t *testing.T) {
	p := newLoopback(t)
	e := p.NewEndpoint(unix.AF_INET, unix.IPPROTO_RAW)
	defer e.Close()
	r := p.NewEndpoint(unix.AF_INET, 99)
	defer r.Close()
	b := make([]byte, 24)
	wire.IPv4(b).Put(&wire.IPv4Fields{Src: netip.IPv4Unspecified(), Dst: netip.MustParseAddr("127.0.0.1"), TTL: 7, Proto: 99})
	copy(b[20:], "data")
	if err := send(e, "127.0.0.1", b); err != nil {
		t.Fatal(err)
	}
	got, from, err := recv(r)
	if err != nil || from.Addr.String() != "127.0.0.1" {
		t.Fatal(from, err)
	}
	if h := wire.IPv4(got); h.TTL() != 7 || h.TotalLen() != 24 || h.ID() == 0 || string(got[20:]) != "data" {
		t.Errorf("%x", got)
	}
	if err := send(e, "127.0.0.1", b[:10]); err != unix.EINVAL {
		t.Error("half a header was sent:", err)
	}
}

func TestHeaderIncluded6(t *testing.T) {
	p := newLoopback(t)
	e := p.NewEndpoint(unix.AF_INET6, unix.IPPROTO_RAW)
	defer e.Close()
	r := p.NewEndpoint(unix.AF_INET6, 99)
	defer r.Close()
	r.Options().RecvHopLimit.Store(true)
	b := make([]byte, wire.IPv6Len+4)
	loopback := netip.IPv6Loopback()
	wire.IPv6(b).Put(&wire.IPv6Fields{Src: loopback, Dst: loopback, PayloadLen: 4, HopLimit: 7, NextHeader: 99})
	copy(b[wire.IPv6Len:], "data")
	if err := send(e, "::1", b); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	var m sock.Msg
	n, err := r.Recv(&sock.Iovec{V: [][]byte{got}}, len(got), &m)
	if err != nil || m.Addr.Addr != loopback || string(got[:n]) != "data" || m.Control.TTL != 7 {
		t.Errorf("%v: %q from %v, hop limit %d", err, got[:n], m.Addr, m.Control.TTL)
	}
	if err := send(e, "::1", b[:30]); err != unix.EINVAL {
		t.Error("half a header was sent:", err)
	}
}
