package netstack

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/tcp"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// A hostile peer must not take more memory than this, whatever it sends.
const hostileLimit = 64 << 20

// A battlefield is a stack with 10.0.0.1 and fd00::1 whose link a hostile peer has.
type battlefield struct {
	t     *testing.T
	w     *wheel.Wheel
	s     *Stack
	rx    pkt.Receiver
	b     *backlog.Set
	rng   *rand.Rand
	base  uint64 // heap in use before
	reply func(b []byte)
}

func newBattlefield(t *testing.T) *battlefield {
	f := &battlefield{t: t, w: wheel.NewManual(), rng: rand.New(rand.NewPCG(1, 2))}
	f.s = New(ip.Options{Wheel: f.w})
	i, err := f.s.AddInterface("e0", f)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"10.0.0.1/8", "fd00::1/16"} {
		if err := f.s.AddAddress(i, ip.Address{Prefix: netip.MustParsePrefix(a)}); err != nil {
			t.Fatal(err)
		}
	}
	f.s.SetUp(i, true)
	f.base = heap()
	return f
}

// heap is the live heap in bytes.
func heap() uint64 {
	// Twice, for what is in a pool outlives the first time.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// bounded checks that the attack has not taken too much.
func (f *battlefield) bounded() {
	f.t.Helper()
	n := int64(heap()) - int64(f.base)
	f.t.Logf("%.1f MiB", float64(n)/(1<<20))
	if n > hostileLimit {
		f.t.Errorf("the attack has taken %d MiB", n>>20)
	}
}

// over closes the stack and checks that nothing is left of the attack.
func (f *battlefield) over() {
	f.t.Helper()
	f.s.Close()
	f.w.Advance(24 * time.Hour)
	if n := f.w.Len(); n != 0 {
		f.t.Errorf("%d timers are left", n)
	}
	f.s = nil
	if n := int64(heap()) - int64(f.base); n > 4<<20 {
		f.t.Errorf("%d KiB are left", n>>10)
	}
}

func (f *battlefield) Info() link.Info {
	return link.Info{Type: unix.ARPHRD_NONE, Flags: unix.IFF_NOARP, MTU: 1500, Queues: 1}
}
func (f *battlefield) Attach(rx pkt.Receiver, b *backlog.Set) error { f.rx, f.b = rx, b; return nil }
func (f *battlefield) Close()                                       {}
func (f *battlefield) Send(p *pkt.Packet) {
	if f.reply != nil {
		b := make([]byte, p.Len())
		p.CopyOut(0, b)
		f.reply(b)
	}
	p.Free()
}

func (f *battlefield) inject(b []byte) {
	p := pkt.New()
	p.AddBytes(b)
	p.EtherType, p.Rx = unix.ETH_P_IP, f.rx
	if b[0]>>4 == 6 {
		p.EtherType = unix.ETH_P_IPV6
	}
	p.Hash = wire.PacketHash(b)
	f.b.Put(p)
	f.b.Run()
}

// somebody is an address of the peer's.
func (f *battlefield) somebody() netip.Addr {
	v := f.rng.Uint32()
	return netip.AddrFrom4([4]byte{10, byte(v) | 1, byte(v >> 8), byte(v >> 16)})
}

var victim = netip.MustParseAddr("10.0.0.1")

// segment injects a TCP segment.
func (f *battlefield) segment(src netip.Addr, h wire.TCPFields, opts, data []byte) {
	for len(opts)%4 != 0 {
		opts = append(opts, wire.OptNop)
	}
	h.HeaderLen = wire.TCPMinLen + len(opts)
	n := h.HeaderLen + len(data)
	b := make([]byte, wire.IPv4MinLen+n)
	wire.IPv4(b).Put(&wire.IPv4Fields{Src: src, Dst: victim, TotalLen: len(b), TTL: 64, Proto: unix.IPPROTO_TCP})
	t := wire.TCP(b[wire.IPv4MinLen:])
	t.Put(&h)
	copy(t[wire.TCPMinLen:], opts)
	copy(t[h.HeaderLen:], data)
	t.SetChecksum(^wire.Sum(t, wire.PseudoSum(src, victim, unix.IPPROTO_TCP, n)))
	f.inject(b)
}

func (f *battlefield) listen(port uint16, backlog int) *tcp.Endpoint {
	f.t.Helper()
	l := f.s.TCP.NewEndpoint(unix.AF_INET)
	if err := l.Bind(sock.Addr{Addr: victim, Port: port}); err != nil {
		f.t.Fatal(err)
	}
	if err := l.Listen(backlog); err != nil {
		f.t.Fatal(err)
	}
	return l
}

// open makes a connection from src, as an honest peer does, and accepts it. The sequence
// numbers that follow are the peer's and the victim's.
func (f *battlefield) open(l *tcp.Endpoint, src netip.Addr, port uint16, wnd uint16, opts []byte) (e *tcp.Endpoint, seq, ack uint32) {
	f.t.Helper()
	to := l.LocalAddr().Port
	var iss uint32
	was := f.reply
	f.reply = func(b []byte) {
		if h := wire.IPv4(b); h.Proto() == unix.IPPROTO_TCP && h.Dst() == src {
			if t := wire.TCP(b[wire.IPv4MinLen:]); t.DstPort() == port && t.Flags()&(wire.SYN|wire.ACK) == wire.SYN|wire.ACK {
				iss = t.Seq()
			}
		}
	}
	f.segment(src, wire.TCPFields{SrcPort: port, DstPort: to, Seq: 100, Flags: wire.SYN, Window: wnd}, opts, nil)
	f.reply = was
	f.segment(src, wire.TCPFields{SrcPort: port, DstPort: to, Seq: 101, Ack: iss + 1, Flags: wire.ACK, Window: wnd}, nil, nil)
	e, _, err := l.AcceptTCP()
	if err != nil {
		f.t.Fatal("an honest peer is refused: ", err)
	}
	return e, 101, iss + 1
}

// works checks that an honest peer can connect and be understood.
func (f *battlefield) works(l *tcp.Endpoint) {
	f.t.Helper()
	src := netip.MustParseAddr("10.255.255.1")
	port := uint16(1024 + f.rng.IntN(60000))
	e, seq, ack := f.open(l, src, port, 65535, nil)
	f.segment(src, wire.TCPFields{SrcPort: port, DstPort: l.LocalAddr().Port, Seq: seq, Ack: ack, Flags: wire.ACK, Window: 65535}, nil, []byte("hello"))
	b := make([]byte, 10)
	if n, err := e.Recv(&sock.Iovec{V: [][]byte{b}}, len(b), &sock.Msg{}); string(b[:n]) != "hello" || err != nil {
		f.t.Errorf("an honest peer's data: %q, %v", b[:n], err)
	}
	e.Options().SetLinger(true, 0)
	e.Close()
}

var mss1000 = []byte{wire.OptMSS, 4, 1000 >> 8, 1000 & 0xff}

// TestSYNFlood sends SYNs that are never followed by anything.
func TestSYNFlood(t *testing.T) {
	f := newBattlefield(t)
	l := f.listen(80, 4096)
	for n := range 200_000 {
		f.segment(f.somebody(), wire.TCPFields{SrcPort: uint16(f.rng.Uint32()) | 1, DstPort: 80, Seq: f.rng.Uint32(), Flags: wire.SYN, Window: 1000}, mss1000, nil)
		if n%20_000 == 0 {
			f.works(l)
			f.w.Advance(100 * time.Millisecond)
		}
	}
	f.works(l)
	f.bounded()
	l.Close()
	f.over()
}

// TestHalfOpen opens 100,000 connections of which the victim accepts none, and sends data
// on each.
func TestHalfOpen(t *testing.T) {
	f := newBattlefield(t)
	l, other := f.listen(80, 4096), f.listen(81, 10)
	data := make([]byte, 1000)
	for n := range 100_000 {
		src, port := f.somebody(), uint16(1024+n%60000)
		f.reply = func(b []byte) {
			h := wire.IPv4(b)
			if v := wire.TCP(b[wire.IPv4MinLen:]); h.Proto() == unix.IPPROTO_TCP && v.Flags()&(wire.SYN|wire.ACK) == wire.SYN|wire.ACK {
				iss := v.Seq()
				f.reply = nil
				f.segment(src, wire.TCPFields{SrcPort: port, DstPort: 80, Seq: 101, Ack: iss + 1, Flags: wire.ACK, Window: 1000}, nil, data)
			}
		}
		f.segment(src, wire.TCPFields{SrcPort: port, DstPort: 80, Seq: 100, Flags: wire.SYN, Window: 1000}, mss1000, nil)
		f.reply = nil
	}
	f.works(other)
	f.bounded()
	l.Close()
	other.Close()
	f.over()
}

// TestFragmentFlood sends fragments of packets that never become whole.
func TestFragmentFlood(t *testing.T) {
	f := newBattlefield(t)
	l := f.listen(80, 10)
	piece := make([]byte, 1400)
	six := netip.MustParseAddr("fd00::1")
	for n := range 100_000 {
		b := make([]byte, wire.IPv4MinLen, wire.IPv4MinLen+len(piece))
		wire.IPv4(b).Put(&wire.IPv4Fields{Src: f.somebody(), Dst: victim, TotalLen: wire.IPv4MinLen + len(piece), ID: uint16(n), TTL: 64,
			Proto: unix.IPPROTO_UDP, Frag: wire.IPv4MF | uint16(f.rng.IntN(4)*175)})
		f.inject(append(b, piece...))
		h := make([]byte, wire.IPv6Len+8, wire.IPv6Len+8+len(piece))
		src := netip.AddrFrom16([16]byte{0xfd, 14: byte(n), 15: 2})
		wire.IPv6(h).Put(&wire.IPv6Fields{Src: src, Dst: six, PayloadLen: 8 + len(piece), NextHeader: wire.ExtFragment, HopLimit: 64})
		h[wire.IPv6Len] = unix.IPPROTO_UDP
		binary.BigEndian.PutUint16(h[wire.IPv6Len+2:], uint16(f.rng.IntN(4)*1400)|1)
		binary.BigEndian.PutUint32(h[wire.IPv6Len+4:], uint32(n))
		f.inject(append(h, piece...))
	}
	f.works(l)
	f.bounded()
	l.Close()
	f.over()
}

// TestSACKFlood cuts what a victim has in flight into as many pieces as it can.
func TestSACKFlood(t *testing.T) {
	f := newBattlefield(t)
	l := f.listen(80, 10)
	src := f.somebody()
	opts := []byte{wire.OptMSS, 4, 0, 88, wire.OptSACKPermitted, 2, wire.OptWindowScale, 3, 14}
	e, seq, ack := f.open(l, src, 4000, 65535, opts)
	// A window of many small segments.
	data := make([]byte, 1<<20)
	send := func() {
		for {
			if n, err := e.Send(&sock.Iovec{V: [][]byte{data}}, len(data), &sock.Msg{}); err != nil || n < len(data) {
				return
			}
		}
	}
	acknowledge := func(blocks ...wire.SACKBlock) {
		var o []byte
		if len(blocks) > 0 {
			o = make([]byte, 4+8*len(blocks))
			wire.PutSACK(o, blocks)
		}
		f.segment(src, wire.TCPFields{SrcPort: 4000, DstPort: 80, Seq: seq, Ack: ack, Flags: wire.ACK, Window: 65535}, o, nil)
	}
	var high uint32
	f.reply = func(b []byte) {
		if h := wire.IPv4(b); h.Proto() == unix.IPPROTO_TCP {
			v := wire.TCP(b[wire.IPv4MinLen:])
			high = max(high, v.Seq()+uint32(len(v)-v.HeaderLen())-ack)
		}
	}
	for range 200 {
		send()
		f.w.Advance(time.Millisecond)
		ack += high
		high = 0
		acknowledge()
	}
	send()
	flight := high
	t.Logf("%d KiB in flight, window %d", flight>>10, e.Info().Snd_cwnd)
	for range 20_000 {
		var blocks [4]wire.SACKBlock
		for k := range blocks {
			at := ack + f.rng.Uint32N(max(flight, 2))
			blocks[k] = wire.SACKBlock{Start: at, End: at + 1 + f.rng.Uint32N(100)}
		}
		acknowledge(blocks[:]...)
	}
	f.works(l)
	f.bounded()
	e.Options().SetLinger(true, 0)
	e.Close()
	l.Close()
	f.over()
}

// TestGapFlood sends single bytes with gaps between them.
func TestGapFlood(t *testing.T) {
	f := newBattlefield(t)
	l := f.listen(80, 200)
	var ends []*tcp.Endpoint
	for c := range 100 {
		src, port := f.somebody(), uint16(4000+c)
		e, seq, ack := f.open(l, src, port, 65535, mss1000)
		ends = append(ends, e)
		for n := range uint32(2000) {
			f.segment(src, wire.TCPFields{SrcPort: port, DstPort: 80, Seq: seq + 1 + 2*n, Ack: ack, Flags: wire.ACK, Window: 65535}, nil, []byte{1})
		}
	}
	f.works(l)
	f.bounded()
	for _, e := range ends {
		e.Options().SetLinger(true, 0)
		e.Close()
	}
	ends = nil
	l.Close()
	f.over()
}

// TestTinyWindows has a thousand peers take data a byte at a time while the application
// writes all it can.
func TestTinyWindows(t *testing.T) {
	f := newBattlefield(t)
	l := f.listen(80, 2000)
	type victimOf struct {
		e        *tcp.Endpoint
		src      netip.Addr
		port     uint16
		seq, ack uint32
	}
	var all []*victimOf
	data := make([]byte, 1<<20)
	for c := range 1000 {
		v := &victimOf{src: f.somebody(), port: uint16(4000 + c)}
		v.e, v.seq, v.ack = f.open(l, v.src, v.port, 1, mss1000)
		all = append(all, v)
	}
	for range 30 {
		for _, v := range all {
			v.e.Send(&sock.Iovec{V: [][]byte{data}}, len(data), &sock.Msg{})
			v.ack++
			f.segment(v.src, wire.TCPFields{SrcPort: v.port, DstPort: 80, Seq: v.seq, Ack: v.ack, Flags: wire.ACK, Window: 1}, nil, nil)
		}
		f.w.Advance(time.Second)
	}
	f.works(l)
	f.bounded()
	for _, v := range all {
		v.e.Options().SetLinger(true, 0)
		v.e.Close()
	}
	all = nil
	l.Close()
	f.over()
}

// TestTableFlood fills what the stack remembers of others: paths, limits of errors,
// connections that are over.
func TestTableFlood(t *testing.T) {
	f := newBattlefield(t)
	l := f.listen(80, 100)
	for n := range 100_000 {
		src := f.somebody()
		// Packets too big, about segments that were never sent.
		b := make([]byte, wire.IPv4MinLen+wire.ICMPLen+wire.IPv4MinLen+8)
		wire.IPv4(b).Put(&wire.IPv4Fields{Src: src, Dst: victim, TotalLen: len(b), TTL: 64, Proto: unix.IPPROTO_ICMP})
		m := wire.ICMP(b[wire.IPv4MinLen:])
		m.Put(wire.ICMPUnreachable, wire.ICMPFragNeeded, 600)
		wire.IPv4(m[wire.ICMPLen:]).Put(&wire.IPv4Fields{Src: victim, Dst: f.somebody(), TotalLen: 1500, TTL: 64, Proto: unix.IPPROTO_TCP})
		m.SetChecksum(^wire.Sum(m, 0))
		f.inject(b)
		if n%4 == 0 {
			// A connection that the victim ends first is in TIME-WAIT for a minute.
			port := uint16(1024 + n/4)
			e, seq, ack := f.open(l, src, port, 1000, nil)
			e.Close()
			f.segment(src, wire.TCPFields{SrcPort: port, DstPort: 80, Seq: seq, Ack: ack + 1, Flags: wire.FIN | wire.ACK, Window: 1000}, nil, nil)
		}
	}
	f.works(l)
	f.bounded()
	l.Close()
	f.over()
}
