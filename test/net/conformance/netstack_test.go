package conformance

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"casemate/netstack"
	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/tcp"
	"casemate/netstack/udp"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// ours is netstack, whose time stands still but while something is awaited. It is its own
// link.
type ours struct {
	t        *testing.T
	v6       bool
	w        *wheel.Wheel
	s        *netstack.Stack
	rx       pkt.Receiver
	b        *backlog.Set
	out      [][]byte
	injected int
	listener *tcp.Endpoint
	udp      *udp.Endpoint
	e        *tcp.Endpoint
}

// ourSettings are the counterpart of settings.
const ourSettings = `
net.ipv4.tcp_invalid_ratelimit=0
net.ipv4.icmp_ratelimit=0
net.ipv4.tcp_early_retrans=0
`

func newOurs(t *testing.T, v6 bool, before string) *ours {
	h := &ours{t: t, v6: v6, w: wheel.NewManual()}
	h.s = netstack.New(ip.Options{Wheel: h.w})
	h.ok(h.s.TCP.Params.SetCongestion("reno"))
	for s := range strings.Lines(ourSettings + before) {
		name, value, ok := strings.Cut(strings.TrimSpace(s), "=")
		if !ok {
			continue
		}
		p := h.s.Sysctl.Lookup(name)
		if p == nil {
			t.Fatalf("no parameter %s", name)
		}
		h.ok(p.Parse(value))
	}
	i, err := h.s.AddInterface("c0", h)
	h.ok(err)
	for _, a := range []string{"10.0.0.1/24", "fd00::1/64"} {
		h.ok(h.s.AddAddress(i, ip.Address{Prefix: netip.MustParsePrefix(a)}))
	}
	h.s.SetUp(i, true)
	h.ok(h.s.UpLoopback())
	h.listener = h.s.TCP.NewEndpoint(h.family())
	h.ok(h.listener.Bind(h.name(hostPort)))
	h.ok(h.listener.Listen(5))
	h.udp = h.s.UDP.NewEndpoint(h.family())
	h.ok(h.udp.Bind(h.name(udpPort)))
	t.Cleanup(func() {
		h.udp.Close()
		h.listener.Close()
		if h.e != nil {
			h.e.Close()
		}
		h.s.Close()
	})
	h.out = nil
	return h
}

func (h *ours) Info() link.Info {
	return link.Info{Type: unix.ARPHRD_NONE, Flags: unix.IFF_NOARP | unix.IFF_POINTOPOINT | unix.IFF_MULTICAST, MTU: 1500, Queues: 1}
}
func (h *ours) Attach(rx pkt.Receiver, b *backlog.Set) error { h.rx, h.b = rx, b; return nil }
func (h *ours) Close()                                       {}

func (h *ours) Send(p *pkt.Packet) {
	b := make([]byte, p.Len())
	p.CopyOut(0, b)
	p.Free()
	h.out = append(h.out, b)
}

func (h *ours) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *ours) family() int {
	if h.v6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func (h *ours) name(port uint16) sock.Addr {
	peer, host := (&player{v6: h.v6}).addrs()
	if port == peerPort {
		host = peer
	}
	return sock.Addr{Addr: host, Port: port}
}

func (h *ours) inject(b []byte) {
	if h.injected++; h.injected <= 2 {
		h.w.Advance(time.Millisecond) // the handshake takes some time, so there is a round trip time
	} else {
		h.w.Advance(time.Microsecond)
	}
	p := pkt.New()
	p.AddBytes(b)
	p.EtherType, p.Rx = unix.ETH_P_IP, h.rx
	if b[0]>>4 == 6 {
		p.EtherType = unix.ETH_P_IPV6
	}
	p.Hash = wire.PacketHash(b)
	h.b.Put(p)
	h.b.Run()
}

func (h *ours) sent() [][]byte {
	out := h.out
	h.out = nil
	return out
}

func (h *ours) pause(d time.Duration) { h.w.Advance(d) }

func (h *ours) await() {
	peer := player{t: h.t, v6: h.v6}
	for range 3000 {
		h.w.Advance(10 * time.Millisecond)
		if slices.ContainsFunc(h.out, func(b []byte) bool { return peer.describe(b) != "" }) {
			return
		}
	}
	h.t.Fatal("nothing was sent")
}

func (h *ours) call(name string, args []string) string {
	arg := func() int {
		n, err := strconv.Atoi(args[0])
		h.ok(err)
		return n
	}
	on := func(set func()) string { set(); return "ok" }
	switch name {
	case "accept":
		e, _, err := h.listener.AcceptTCP()
		if err == nil {
			h.e = e
		}
		return words(err)
	case "connect":
		if h.e == nil {
			h.e = h.s.TCP.NewEndpoint(h.family())
		}
		return words(h.e.Connect(h.name(peerPort)))
	case "send":
		m := sock.Msg{}
		for _, a := range args[1:] {
			m.Flags |= sendFlags[a]
		}
		b := bytes.Repeat([]byte{'x'}, arg())
		n, err := h.e.Send(&sock.Iovec{V: [][]byte{b}}, len(b), &m)
		return fmt.Sprint(n, " ", words(err))
	case "recv":
		m := sock.Msg{}
		b := make([]byte, 200000)
		for _, a := range args {
			m.Flags |= recvFlags[a]
		}
		if m.Flags&unix.MSG_OOB != 0 {
			b = b[:1]
		}
		n, err := h.e.Recv(&sock.Iovec{V: [][]byte{b}}, len(b), &m)
		return received(b[:n], err)
	case "recvudp":
		b := make([]byte, 70000)
		n, err := h.udp.Recv(&sock.Iovec{V: [][]byte{b}}, len(b), &sock.Msg{})
		return received(b[:n], err)
	case "shutdown":
		return words(h.e.Shutdown(unix.SHUT_WR))
	case "close":
		h.e.Close()
		h.e = nil
		return "ok"
	case "poll":
		return fmt.Sprintf("%#x", h.e.Readiness()&(polled|unix.POLLERR|unix.POLLHUP))
	case "error":
		return words(errnoOrNil(int(h.e.TakeError())))
	case "unacked":
		n, err := h.e.Unsent()
		return fmt.Sprint(n, " ", words(err))
	case "available":
		n, err := h.e.Available()
		return fmt.Sprint(n, " ", words(err))
	case "state":
		return fmt.Sprint(h.e.Info().State)
	case "rto":
		return fmt.Sprint(h.e.Info().Rto / 1e6)
	case "backoff":
		return fmt.Sprint(h.e.Info().Backoff)
	case "mss":
		return fmt.Sprint(h.e.MaxSeg())
	case "nodelay":
		return on(func() { h.e.SetNoDelay(true) })
	case "cork":
		return on(func() { h.e.SetCork(arg() != 0) })
	case "quickack":
		return on(func() { h.e.SetQuickAck(arg() != 0) })
	case "oobinline":
		return on(func() { h.e.Options().OOBInline.Store(true) })
	case "usertimeout":
		return words(h.e.SetUserTimeout(arg()))
	case "rcvbuf":
		return on(func() { h.e.Options().SetRcvBuf(arg(), false) })
	case "recverr":
		return on(func() { h.e.Options().RecvErr.Store(true); h.e.Options().RecvErr6.Store(true) })
	case "keepalive":
		h.ok(h.e.SetKeepIdle(1))
		h.ok(h.e.SetKeepInterval(1))
		h.ok(h.e.SetKeepCount(2))
		return on(func() { h.e.SetKeepAlive(true) })
	case "linger0":
		return on(func() { h.e.Options().SetLinger(true, 0) })
	case "defer":
		return on(func() { h.listener.SetDeferAccept(arg()) })
	case "fastopen":
		return words(h.listener.SetFastOpen(arg()))
	case "close-listener":
		return on(h.listener.Close)
	case "rcvbuf-listener":
		return on(func() { h.listener.Options().SetRcvBuf(arg(), false) })
	case "backlog":
		return words(h.listener.Listen(arg()))
	}
	h.t.Fatalf("unknown call %q", name)
	return ""
}
