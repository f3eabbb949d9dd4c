package resolver

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
)

// hostSide returns a descriptor for Serve and the other end of it.
func hostSide(t *testing.T) (fd, other int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	return fds[0], fds[1]
}

func newStack(t *testing.T) *netstack.Stack {
	t.Helper()
	s := netstack.New(ip.Options{})
	if err := s.UpLoopback(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func message(id uint16, text string) []byte {
	return append([]byte{byte(id >> 8), byte(id), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, text...)
}

// TestServe has two askers use the same number, and get each its own answer, from port 53.
func TestServe(t *testing.T) {
	s := newStack(t)
	fd, host := hostSide(t)
	if err := Serve(s, fd); err != nil {
		t.Fatal(err)
	}
	to := sock.Addr{Addr: Address, Port: port}
	var askers []*endpoint
	for _, text := range []string{"first", "second"} {
		e, err := newEndpoint(s, netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.send(message(7, text), to); err != nil {
			t.Fatal(err)
		}
		askers = append(askers, e)
	}
	var got [2][]byte
	for i := range got {
		buf := make([]byte, 100)
		n, err := unix.Read(host, buf)
		if err != nil {
			t.Fatal(err)
		}
		got[i] = buf[:n]
	}
	if bytes.Equal(got[0][:2], got[1][:2]) {
		t.Errorf("both questions have the number %x", got[0][:2])
	}
	// Answered in the other order, once more than was asked, and one that nobody asked for.
	for _, a := range [][]byte{message(0, "nobody"), got[1], got[1], got[0]} {
		if _, err := unix.Write(host, a); err != nil {
			t.Fatal(err)
		}
	}
	for i, text := range []string{"first", "second"} {
		buf := make([]byte, 100)
		n, from, err := askers[i].receive(buf)
		if err != nil || !bytes.Equal(buf[:n], message(7, text)) || from.Addr != Address || from.Port != port {
			t.Errorf("%s: got %q from %v: %v", text, buf[:n], from, err)
		}
		if n, err := askers[i].Available(); n != 0 || err != nil {
			t.Errorf("%s: %d bytes more: %v", text, n, err)
		}
	}
}

// TestServeUpstream asks a server in the stack as dockerd would.
func TestServeUpstream(t *testing.T) {
	s := newStack(t)
	lo := s.InterfaceByName("lo")
	server := netip.MustParseAddr("192.0.2.53")
	if err := s.AddAddress(lo, ip.Address{Prefix: netip.PrefixFrom(server, 32)}); err != nil {
		t.Fatal(err)
	}
	e, err := newEndpoint(s, netip.AddrPortFrom(server, port))
	if err != nil {
		t.Fatal(err)
	}
	fd, host := hostSide(t)
	if err := ServeUpstream(s, fd); err != nil {
		t.Fatal(err)
	}
	f := flow{netip.MustParseAddrPort("169.254.11.1:1000"), netip.AddrPortFrom(server, port)}
	question := flow{f.to, f.from} // answer makes packets from to, to from
	buf := make([]byte, 200)
	copy(buf[wire.IPv4MinLen+wire.UDPLen:], "question")
	if _, err := unix.Write(host, answer(buf, len("question"), question)); err != nil {
		t.Fatal(err)
	}
	in := make([]byte, 100)
	n, from, err := e.receive(in)
	if err != nil || string(in[:n]) != "question" {
		t.Fatalf("got %q: %v", in[:n], err)
	}
	if err := e.send([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	if n, err = unix.Read(host, in); err != nil {
		t.Fatal(err)
	}
	h := wire.IPv4(in[:n])
	d := wire.UDP(h[wire.IPv4MinLen:])
	if h.Src() != f.to.Addr() || h.Dst() != f.from.Addr() || d.SrcPort() != port || d.DstPort() != f.from.Port() ||
		h.TotalLen() != n || !h.SumOK() || string(d[wire.UDPLen:]) != "answer" {
		t.Errorf("got %x", in[:n])
	}
}

func FuzzParse(f *testing.F) {
	buf := make([]byte, 64)
	f.Add(answer(buf, 12, flow{netip.MustParseAddrPort("10.0.0.1:53"), netip.MustParseAddrPort("10.0.0.2:53")}))
	f.Add(answer(buf, 12, flow{netip.MustParseAddrPort("10.0.0.1:5353"), netip.MustParseAddrPort("10.0.0.2:1")}))
	f.Fuzz(func(t *testing.T, p []byte) {
		if fl, data, ok := parse(p); ok && (fl.to.Port() != port || len(data)+wire.IPv4MinLen+wire.UDPLen > len(p)) {
			t.Errorf("%v, %d bytes of %d", fl, len(data), len(p))
		}
	})
}
