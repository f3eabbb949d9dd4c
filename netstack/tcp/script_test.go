package tcp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// peer is the other side of a connection, played by a test segment by segment.
// The stack has 10.0.0.1, the peer 10.0.0.2.
type peer struct {
	t    testing.TB
	w    *wheel.Wheel
	s    *ip.Stack
	p    *Protocol
	b    *backlog.Set
	rx   pkt.Receiver
	out  []got // what the stack has sent
	irs  uint32
	iss  uint32
	port uint16       // the peer's
	to   uint16       // the stack's
	ts   bool         // put timestamps on what is sent
	tos  uint8        // of what is sent
	echo uint32       // last timestamp of the stack's
	wire func([]byte) // where packets go instead of the stack
}

// got is a segment that the stack has sent.
type got struct {
	seq, ack uint32
	flags    uint8
	wnd      uint16
	urg      uint16
	data     string
	opt      wire.TCPOptions
	sport    uint16
	tos      uint8
}

func (p *peer) Info() link.Info {
	return link.Info{Type: unix.ARPHRD_NONE, Flags: unix.IFF_NOARP, MTU: 1500, Queues: 1}
}
func (p *peer) Attach(rx pkt.Receiver, b *backlog.Set) error { p.rx, p.b = rx, b; return nil }
func (p *peer) Close()                                       {}

func (p *peer) Send(b *pkt.Packet) {
	defer b.Free()
	raw := make([]byte, b.Len())
	b.CopyOut(0, raw)
	h := wire.IPv4(raw)
	if !h.SumOK() || h.TotalLen() != len(raw) {
		p.t.Errorf("bad IP header: %x", raw)
		return
	}
	if h.Proto() != unix.IPPROTO_TCP {
		return
	}
	seg := raw[h.HeaderLen():]
	if wire.Sum(seg, wire.PseudoSum(h.Src(), h.Dst(), unix.IPPROTO_TCP, len(seg))) != 0xffff {
		p.t.Errorf("bad checksum: %x", raw)
	}
	t := wire.TCP(seg)
	g := got{seq: t.Seq(), ack: t.Ack(), flags: t.Flags(), wnd: t.Window(), urg: t.UrgPtr(), data: string(seg[t.HeaderLen():]), sport: t.SrcPort(), tos: h.TOS()}
	g.opt.Parse(seg[wire.TCPMinLen:t.HeaderLen()])
	if g.opt.HasTS {
		p.echo = g.opt.TSVal
	}
	if g.flags&wire.SYN != 0 {
		p.irs = g.seq
	}
	p.out = append(p.out, g)
}

func newPeer(t testing.TB) *peer {
	p := &peer{t: t, w: wheel.NewManual(), iss: 1000, port: 4000}
	p.s = ip.New(ip.Options{Wheel: p.w})
	i, err := p.s.AddInterface("test0", p)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.s.AddAddress(i, ip.Address{Prefix: netip.MustParsePrefix("10.0.0.1/24")}); err != nil {
		t.Fatal(err)
	}
	p.s.SetUp(i, true)
	p.p = New(p.s)
	t.Cleanup(p.s.Close)
	return p
}

// seg sends a segment; seq and ack count from the initial sequence numbers.
func (p *peer) seg(flags uint8, seq, ack uint32, wnd uint16, data string, opts ...byte) {
	if p.ts && len(opts) == 0 {
		opts = make([]byte, 12)
		wire.PutTimestamps(opts, uint32(p.w.Now()/time.Millisecond), p.echo)
	}
	for len(opts)%4 != 0 {
		opts = append(opts, wire.OptNop)
	}
	hl := wire.TCPMinLen + len(opts)
	src, dst := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.1")
	b := make([]byte, wire.IPv4MinLen+hl+len(data))
	wire.IPv4(b).Put(&wire.IPv4Fields{Src: src, Dst: dst, TotalLen: len(b), TTL: 64, TOS: p.tos, Proto: unix.IPPROTO_TCP})
	h := wire.TCP(b[wire.IPv4MinLen:])
	f := wire.TCPFields{SrcPort: p.port, DstPort: p.to, Seq: p.iss + seq, Flags: flags, Window: wnd, HeaderLen: hl}
	if flags&wire.ACK != 0 {
		f.Ack = p.irs + ack
	}
	if flags&wire.URG != 0 {
		f.UrgPtr = uint16(len(data))
	}
	h.Put(&f)
	copy(h[wire.TCPMinLen:], opts)
	copy(h[hl:], data)
	h.SetChecksum(^wire.Sum(h, wire.PseudoSum(src, dst, unix.IPPROTO_TCP, len(h))))
	p.inject(b)
}

func (p *peer) inject(b []byte) {
	if p.wire != nil {
		p.wire(b)
		return
	}
	q := pkt.New()
	q.AddBytes(b)
	q.EtherType, q.Rx = unix.ETH_P_IP, p.rx
	q.Hash = wire.PacketHash(b)
	p.b.Put(q)
	p.b.Run()
}

// expect checks what the stack has sent since the last call. Each string is
// "FLAGS seq:len ack" with numbers counted from the initial ones.
func (p *peer) expect(want ...string) {
	p.t.Helper()
	var l []string
	for _, g := range p.out {
		l = append(l, p.show(g))
	}
	p.out = nil
	if fmt.Sprint(l) != fmt.Sprint(want) {
		p.t.Errorf("sent\n\t%s\nwant\n\t%s", strings.Join(l, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (p *peer) show(g got) string {
	s := ""
	for i, c := range "FSRPAUEC" {
		if g.flags>>i&1 != 0 {
			s += string(c)
		}
	}
	s += fmt.Sprintf(" %d:%d", g.seq-p.irs, len(g.data))
	if g.flags&wire.ACK != 0 {
		s += fmt.Sprintf(" %d", g.ack-p.iss)
	}
	if g.flags&wire.URG != 0 {
		s += fmt.Sprintf(" up%d", g.urg)
	}
	if g.tos != 0 {
		s += fmt.Sprintf(" tos%#x", g.tos)
	}
	for i := range g.opt.NSACK {
		s += fmt.Sprintf(" [%d,%d)", g.opt.SACK[i].Start-p.iss, g.opt.SACK[i].End-p.iss)
	}
	return s
}

// accepted is a connection that the peer has opened, without options but SACK.
func (p *peer) accepted() *Endpoint {
	p.t.Helper()
	l := p.p.NewEndpoint(unix.AF_INET)
	if err := l.Bind(sock.Addr{Addr: netip.MustParseAddr("10.0.0.1"), Port: 80}); err != nil {
		p.t.Fatal(err)
	}
	if err := l.Listen(5); err != nil {
		p.t.Fatal(err)
	}
	p.to = 80
	p.seg(wire.SYN, 0, 0, 65535, "", wire.OptMSS, 4, 1000>>8, 1000&255, wire.OptSACKPermitted, 2)
	p.expect("SA 0:0 1")
	p.w.Advance(10 * time.Millisecond)
	p.seg(wire.ACK, 1, 1, 65535, "")
	p.expect()
	e, _, err := l.AcceptTCP()
	if err != nil {
		p.t.Fatal(err)
	}
	l.Close()
	p.expect()
	return e
}

func (p *peer) send(e *Endpoint, data string) {
	p.t.Helper()
	var m sock.Msg
	if n, err := e.Send(&sock.Iovec{V: [][]byte{[]byte(data)}}, len(data), &m); n != len(data) {
		p.t.Fatalf("sent %d of %d: %v", n, len(data), err)
	}
}

func (p *peer) recv(e *Endpoint, flags int) string {
	p.t.Helper()
	b := make([]byte, 100000)
	m := sock.Msg{Flags: flags}
	n, err := e.Recv(&sock.Iovec{V: [][]byte{b}}, len(b), &m)
	if err != nil {
		return err.Error()
	}
	return string(b[:n])
}

func (p *peer) is(what string, got, want any) {
	p.t.Helper()
	if got != want {
		p.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

const ack, psh, fin, syn, rst = wire.ACK, wire.PSH, wire.FIN, wire.SYN, wire.RST

func TestPassiveOpenAndClose(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	p.seg(ack|psh, 1, 1, 65535, "hello")
	p.expect("A 1:0 6") // quick ACKs at the start
	p.is("data", p.recv(e, 0), "hello")
	p.send(e, "world")
	p.expect("PA 1:5 6")
	p.seg(ack|fin, 6, 6, 65535, "")
	p.expect() // our own FIN may follow at once
	p.w.Advance(100 * time.Millisecond)
	p.expect("A 6:0 7")
	p.is("state", e.State(), CloseWait)
	p.is("end", p.recv(e, 0), "")
	e.Close()
	p.expect("FA 6:0 7")
	p.seg(ack, 7, 7, 65535, "")
	p.expect()
	p.seg(ack, 7, 7, 65535, "") // nothing is left of the connection
	p.expect("R 7:0")
}

func TestActiveClose(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	e.Close()
	p.expect("FA 1:0 1")
	p.seg(ack, 1, 2, 65535, "")
	p.is("state", e.State(), FinWait2)
	p.seg(ack|fin, 1, 2, 65535, "")
	p.expect("A 2:0 2")
	// In TIME-WAIT the FIN is acknowledged again.
	p.w.Advance(time.Second)
	p.seg(ack|fin, 1, 2, 65535, "")
	p.expect("A 2:0 2")
	p.w.Advance(61 * time.Second)
	p.is("TIME-WAITs", p.p.timeWaits.Load(), int32(0))
	p.is("timers", p.w.Len(), 0)
}

func TestSimultaneousClose(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	e.Shutdown(unix.SHUT_WR)
	p.expect("FA 1:0 1")
	p.seg(ack|fin, 1, 1, 65535, "")
	p.expect("A 2:0 2")
	p.is("state", e.State(), Closing)
	p.seg(ack, 2, 2, 65535, "")
	p.is("TIME-WAITs", p.p.timeWaits.Load(), int32(1))
	p.is("events", e.Readiness()&unix.POLLHUP, uint32(unix.POLLHUP))
}

func TestSimultaneousOpen(t *testing.T) {
	p := newPeer(t)
	e := p.p.NewEndpoint(unix.AF_INET)
	defer e.Close()
	p.is("connect", e.Connect(sock.Addr{Addr: netip.MustParseAddr("10.0.0.2"), Port: p.port}), unix.EINPROGRESS)
	p.to = p.out[0].sport
	p.expect("S 0:0")
	p.is("again", e.Connect(sock.Addr{Addr: netip.MustParseAddr("10.0.0.2"), Port: p.port}), unix.EALREADY)
	p.seg(syn, 0, 0, 65535, "")
	p.expect("SA 0:0 1")
	p.seg(syn|ack, 0, 1, 65535, "")
	p.is("state", e.State(), Established)
	p.is("connected", e.Connect(sock.Addr{Addr: netip.MustParseAddr("10.0.0.2"), Port: p.port}), unix.EISCONN)
}

func TestSYNRetransmission(t *testing.T) {
	p := newPeer(t)
	e := p.p.NewEndpoint(unix.AF_INET)
	defer e.Close()
	e.Connect(sock.Addr{Addr: netip.MustParseAddr("10.0.0.2"), Port: p.port})
	p.w.Advance(70 * time.Second)
	p.expect("S 0:0", "S 0:0", "S 0:0", "S 0:0", "S 0:0", "S 0:0", "S 0:0")
	p.w.Advance(80 * time.Second)
	p.expect()
	p.is("error", e.TakeError(), unix.ETIMEDOUT)
}

func TestReset(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	p.seg(ack, 1, 1, 65535, "abc")
	p.expect("A 1:0 4")
	p.seg(rst, 100, 0, 0, "") // in the window but not exact: RFC 5961
	p.expect("A 1:0 4")
	p.is("state", e.State(), Established)
	p.seg(rst, 4, 0, 0, "")
	p.expect()
	p.is("state", e.State(), Close)
	p.is("events", e.Readiness(), uint32(unix.POLLIN|unix.POLLOUT|unix.POLLERR|unix.POLLHUP|unix.POLLRDHUP|sock.POLLRDNORM|sock.POLLWRNORM))
	p.is("data", p.recv(e, 0), "abc")
	p.is("error", p.recv(e, 0), unix.ECONNRESET.Error())
	p.is("end", p.recv(e, 0), "")
	e.Close()
}

func TestChallengeSYN(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	defer e.Close()
	p.seg(syn, 5000, 0, 65535, "")
	p.expect("A 1:0 1")
	p.is("state", e.State(), Established)
}

func TestOutOfOrder(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	defer e.Close()
	p.seg(ack, 4, 1, 65535, "def")
	p.expect("A 1:0 1 [4,7)")
	p.seg(ack, 10, 1, 65535, "jkl")
	p.expect("A 1:0 1 [10,13) [4,7)")
	p.seg(ack, 5, 1, 65535, "efghij") // overlaps both
	p.expect("A 1:0 1 [5,7) [4,13)")
	p.seg(ack, 1, 1, 65535, "abcd")
	p.expect("A 1:0 13 [4,5)")
	p.is("data", p.recv(e, 0), "abcdefghijkl")
	p.seg(ack, 1, 1, 65535, "abc") // old: DSACK
	p.expect("A 1:0 13 [1,4)")
}

func TestFINOutOfOrder(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	defer e.Close()
	p.seg(ack|fin, 4, 1, 65535, "def")
	p.expect("A 1:0 1 [4,8)") // the FIN counts
	p.is("state", e.State(), Established)
	p.seg(ack, 1, 1, 65535, "abc")
	p.expect("A 1:0 8")
	p.is("state", e.State(), CloseWait)
	p.is("data", p.recv(e, 0), "abcdef")
}

func TestFastRetransmit(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	defer e.Close()
	p.w.Advance(10 * time.Millisecond)
	p.send(e, strings.Repeat("x", 5000))
	p.expect("A 1:1000 1", "A 1001:1000 1", "A 2001:1000 1", "A 3001:1000 1", "PA 4001:1000 1")
	p.w.Advance(10 * time.Millisecond)
	sack := func(from, to uint32) []byte {
		b := make([]byte, 12)
		wire.PutSACK(b, []wire.SACKBlock{{Start: p.irs + from, End: p.irs + to}})
		return b
	}
	p.seg(ack, 1, 1, 65535, "", sack(1001, 2001)...)
	p.expect()
	p.seg(ack, 1, 1, 65535, "", sack(1001, 3001)...)
	p.expect()
	p.seg(ack, 1, 1, 65535, "", sack(1001, 4001)...)
	p.expect("A 1:1000 1")
	p.seg(ack, 1, 5001, 65535, "")
	p.expect()
	p.is("in flight", e.rec.inFlight(), 0)
	p.is("state", e.rec.ca, uint8(caOpen))
}

func TestTimeoutAndBackoff(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	defer e.Close()
	p.send(e, "hello")
	p.expect("PA 1:5 1")
	p.w.Advance(2 * time.Second)
	// A tail loss probe, and timeouts that double.
	if n := len(p.out); n < 3 || n > 5 {
		t.Errorf("%d retransmissions in two seconds", n)
	}
	p.out = nil
	p.seg(ack, 1, 6, 65535, "")
	p.w.Advance(time.Minute)
	p.expect()
}

func TestZeroWindow(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	defer e.Close()
	p.seg(ack, 1, 1, 0, "")
	p.seg(ack, 1, 1, 3, "")
	p.send(e, "hello")
	p.expect() // it does not fit
	p.w.Advance(250 * time.Millisecond)
	p.expect("A 1:3 1")
	p.seg(ack, 1, 4, 0, "")
	p.expect()
	p.w.Advance(1500 * time.Millisecond)
	if len(p.out) < 2 {
		t.Fatalf("%d probes", len(p.out))
	}
	for _, g := range p.out {
		p.is("probe", p.show(g), "A 3:0 1")
	}
	p.out = nil
	p.seg(ack, 1, 4, 100, "")
	p.expect("PA 4:2 1")
}

func TestReceiveWindow(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	defer e.Close()
	data := strings.Repeat("x", 1000)
	seq := uint32(1)
	var last got
	for range 100 {
		p.seg(ack, seq, 1, 65535, data)
		if len(p.out) > 0 {
			last = p.out[len(p.out)-1]
			if last.ack-p.iss != seq+1000 {
				break
			}
			p.out = nil
		}
		seq += 1000
		if last.wnd == 0 {
			break
		}
	}
	if last.wnd > 1000 {
		t.Fatalf("the window is still %d after %d bytes", last.wnd, seq)
	}
	p.out = nil
	n := 0
	for {
		got := p.recv(e, 0)
		if got == unix.EAGAIN.Error() {
			break
		}
		n += len(got)
	}
	if len(p.out) == 0 || p.out[len(p.out)-1].wnd < 20000 {
		t.Errorf("no window update after all has been read: %v", p.out)
	}
}

func TestNagle(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	defer e.Close()
	p.send(e, "a")
	p.expect("PA 1:1 1")
	p.send(e, "b")
	p.send(e, "c")
	p.expect()
	p.seg(ack, 1, 2, 65535, "")
	p.expect("PA 2:2 1")
	e.SetNoDelay(true)
	p.send(e, "d")
	p.expect("PA 4:1 1")
	e.SetNoDelay(false)
	p.seg(ack, 1, 5, 65535, "")
	e.SetCork(true)
	p.send(e, "e")
	p.send(e, strings.Repeat("f", 1000))
	p.expect("A 5:1000 1")
	e.SetCork(false)
	p.expect("PA 1005:1 1")
}

func TestUrgent(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	defer e.Close()
	p.seg(ack|wire.URG, 1, 1, 65535, "abc")
	p.out = nil
	p.is("POLLPRI", e.Readiness()&unix.POLLPRI, uint32(unix.POLLPRI))
	p.seg(ack, 4, 1, 65535, "def")
	p.out = nil
	p.is("before the mark", p.recv(e, 0), "ab")
	p.is("at the mark", e.AtMark(), true)
	p.is("urgent", p.recv(e, unix.MSG_OOB), "c")
	p.is("again", p.recv(e, unix.MSG_OOB), unix.EINVAL.Error())
	p.is("after", p.recv(e, 0), "def")
	m := sock.Msg{Flags: unix.MSG_OOB}
	p.out = nil
	if _, err := e.Send(&sock.Iovec{V: [][]byte{[]byte("xyz")}}, 3, &m); err != nil {
		t.Fatal(err)
	}
	p.expect("PAU 1:3 7 up3")
}

func TestCloseWithUnreadData(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	p.seg(ack, 1, 1, 65535, "abc")
	p.out = nil
	e.Close()
	p.expect("RA 1:0 4")
}

func TestLingerZero(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	e.Options().SetLinger(true, 0)
	e.Close()
	p.expect("RA 1:0 1")
	p.is("timers", p.w.Len(), 0)
}

func TestDataAfterClose(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	e.Close()
	p.expect("FA 1:0 1")
	p.seg(ack, 1, 2, 65535, "abc")
	if len(p.out) != 1 || p.out[0].flags&rst == 0 {
		t.Errorf("no RST: %v", p.out)
	}
}

func TestKeepalive(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	defer e.Close()
	e.SetKeepIdle(10)
	e.SetKeepInterval(5)
	e.SetKeepCount(3)
	e.SetKeepAlive(true)
	p.w.Advance(9 * time.Second)
	p.expect()
	p.w.Advance(3 * time.Second)
	p.expect("A 0:0 1")
	p.seg(ack, 1, 1, 65535, "")
	p.w.Advance(14 * time.Second)
	p.expect("A 0:0 1")
	p.w.Advance(20 * time.Second)
	p.is("error", e.TakeError(), unix.ETIMEDOUT)
}

func TestSequenceWrap(t *testing.T) {
	p := newPeer(t)
	p.iss = 0xffffff00
	e := p.accepted()
	defer e.Close()
	want := ""
	for i := range 10 {
		d := strings.Repeat(string(rune('a'+i)), 100)
		p.seg(ack, uint32(1+100*i), 1, 65535, d)
		want += d
	}
	p.is("data", p.recv(e, 0), want)
}

func TestPAWS(t *testing.T) {
	p := newPeer(t)
	l := p.p.NewEndpoint(unix.AF_INET)
	defer l.Close()
	l.Bind(sock.Addr{Addr: netip.MustParseAddr("10.0.0.1"), Port: 80})
	l.Listen(5)
	p.to = 80
	o := make([]byte, 12)
	wire.PutTimestamps(o, 1000, 0)
	p.seg(syn, 0, 0, 65535, "", o...)
	wire.PutTimestamps(o, 1000, p.echo)
	p.seg(ack, 1, 1, 65535, "", o...)
	e, _, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p.out = nil
	wire.PutTimestamps(o, 999, p.echo)
	p.seg(ack, 1, 1, 65535, "old", o...)
	p.expect("A 1:0 1")
	p.is("data", p.recv(e, 0), unix.EAGAIN.Error())
	wire.PutTimestamps(o, 1001, p.echo)
	p.seg(ack, 1, 1, 65535, "new", o...)
	p.is("data", p.recv(e, 0), "new")
}

func TestSYNCookies(t *testing.T) {
	p := newPeer(t)
	p.p.Params.SynCookies.Set(2)
	l := p.p.NewEndpoint(unix.AF_INET)
	defer l.Close()
	l.Bind(sock.Addr{Addr: netip.MustParseAddr("10.0.0.1"), Port: 80})
	l.Listen(5)
	p.to = 80
	o := make([]byte, 12)
	wire.PutTimestamps(o, 1000, 0)
	p.seg(syn, 0, 0, 65535, "", append([]byte{wire.OptMSS, 4, 1460 >> 8, 1460 & 255, wire.OptSACKPermitted, 2, wire.OptWindowScale, 3, 7}, o...)...)
	p.is("requests", len(l.lq.requests), 0)
	if len(p.out) != 1 {
		t.Fatal(p.out)
	}
	wire.PutTimestamps(o, 1000, p.echo)
	p.seg(ack, 1, 2, 100, "", o...) // not what we sent
	if _, _, err := l.AcceptTCP(); err != unix.EAGAIN {
		t.Fatal("a forged cookie is taken")
	}
	p.seg(ack, 1, 1, 100, "hi", o...)
	e, _, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p.is("MSS", e.snd.peerMSS, 1460)
	p.is("scale", e.snd.wscale, uint8(7))
	p.is("SACK", e.sackOK, true)
	p.is("data", p.recv(e, 0), "hi")
}

func TestBacklog(t *testing.T) {
	p := newPeer(t)
	p.p.Params.SynCookies.Set(0)
	l := p.p.NewEndpoint(unix.AF_INET)
	defer l.Close()
	l.Bind(sock.Addr{Addr: netip.MustParseAddr("10.0.0.1"), Port: 80})
	l.Listen(1)
	p.to = 80
	for range 100 {
		p.port++
		p.seg(syn, 0, 0, 65535, "")
	}
	if n := len(l.lq.requests); n > 8 {
		t.Errorf("%d requests", n)
	}
	p.w.Advance(5 * time.Minute)
	p.is("requests", len(l.lq.requests), 0)
	p.is("timers", p.w.Len(), 0)
}

func TestLostSYN(t *testing.T) {
	p := newPeer(t)
	e := p.p.NewEndpoint(unix.AF_INET)
	defer e.Close()
	e.Connect(sock.Addr{Addr: netip.MustParseAddr("10.0.0.2"), Port: p.port})
	p.to = p.out[0].sport
	p.w.Advance(1500 * time.Millisecond)
	p.expect("S 0:0", "S 0:0")
	p.seg(syn|ack, 0, 1, 65535, "")
	p.expect("A 1:0 1")
	p.is("in flight", e.rec.inFlight(), 0)
	p.is("window", e.cc.cwnd, initialWindow)
	p.send(e, "hello")
	p.expect("PA 1:5 1")
}
