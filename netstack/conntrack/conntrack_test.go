package conntrack

import (
	"net/netip"
	"testing"
	"time"

	"casemate/netstack/pkt"
	"casemate/netstack/sysctl"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

var (
	client  = netip.MustParseAddr("10.0.0.1")
	server  = netip.MustParseAddr("10.0.0.2")
	service = netip.MustParseAddr("10.96.0.1")
)

func newTable(t *testing.T) (*Table, *wheel.Wheel) {
	w := wheel.NewManual()
	var s sysctl.Table
	return NewTable(w, NewParams(&s)), w
}

// segment is a TCP segment with its checksums.
func segment(src, dst netip.Addr, sport, dport uint16, flags uint8) *pkt.Packet {
	p := pkt.New()
	h := wire.TCP(p.Append(wire.TCPMinLen))
	h.Put(&wire.TCPFields{SrcPort: sport, DstPort: dport, Flags: flags, HeaderLen: wire.TCPMinLen})
	p.Src, p.Dst, p.Proto = src, dst, unix.IPPROTO_TCP
	h.SetChecksum(^p.SumFrom(0, wire.PseudoSum(src, dst, p.Proto, wire.TCPMinLen)))
	ip := wire.IPv4(p.Prepend(wire.IPv4MinLen))
	ip.Put(&wire.IPv4Fields{Src: src, Dst: dst, TotalLen: wire.IPv4MinLen + wire.TCPMinLen, TTL: 64, Proto: unix.IPPROTO_TCP})
	p.NetLen = wire.IPv4MinLen
	return p
}

// pass tracks a packet, has it rewritten at both ends and confirms it.
func pass(t *testing.T, table *Table, p *pkt.Packet) {
	t.Helper()
	table.Track(p, wire.IPv4MinLen, p.Proto)
	for _, m := range []Manip{Destination, Source} {
		if !table.Rewrite(p, wire.IPv4MinLen, p.Proto, m) {
			t.Fatal("a packet cannot be rewritten")
		}
	}
	if !table.Confirm(p) {
		t.Fatal("a connection cannot be confirmed")
	}
}

// valid checks the checksums of a packet.
func valid(t *testing.T, p *pkt.Packet) {
	t.Helper()
	if !wire.IPv4(p.Header()).SumOK() {
		t.Error("the header's checksum is wrong")
	}
	n := p.Len() - wire.IPv4MinLen
	if s := p.SumFrom(wire.IPv4MinLen, wire.PseudoSum(p.Src, p.Dst, p.Proto, n)); s != 0xffff {
		t.Errorf("the segment's checksum is wrong: %#x", s)
	}
}

// TestConnection follows a connection from its first segment to its end.
func TestConnection(t *testing.T) {
	table, w := newTable(t)
	var conn *Conn
	for _, s := range []struct {
		reply bool
		flags uint8
		info  Info
		state TCPState
	}{
		{false, wire.SYN, New, TCPSynSent}, {true, wire.SYN | wire.ACK, EstablishedReply, TCPSynRecv}, {false, wire.ACK, Established, TCPEstablished},
		{true, wire.ACK | wire.PSH, EstablishedReply, TCPEstablished}, {false, wire.FIN | wire.ACK, Established, TCPFinWait},
		{true, wire.ACK, EstablishedReply, TCPCloseWait}, {true, wire.FIN | wire.ACK, EstablishedReply, TCPLastAck}, {false, wire.ACK, Established, TCPTimeWait},
	} {
		p := segment(client, server, 1000, 80, s.flags)
		if s.reply {
			p = segment(server, client, 80, 1000, s.flags)
		}
		pass(t, table, p)
		conn, _ = p.Conn.(*Conn)
		if conn == nil || Info(p.ConnInfo) != s.info || conn.TCP() != s.state {
			t.Fatalf("flags %#x: %v, %+v", s.flags, p.ConnInfo, conn)
		}
		p.Free()
	}
	if table.Len() != 1 || conn.Status()&(Assured|SeenReply|Confirmed) != Assured|SeenReply|Confirmed {
		t.Error(table.Len(), conn.Status())
	}
	w.Advance(tcpTimeouts[TCPTimeWait] + 2*sweep)
	if table.Len() != 0 || w.Len() != 0 {
		t.Errorf("%d connections and %d timers are left", table.Len(), w.Len())
	}
}

// TestInvalid has segments that begin no connection.
func TestInvalid(t *testing.T) {
	table, _ := newTable(t)
	for _, flags := range []uint8{wire.RST, wire.FIN | wire.ACK, wire.SYN | wire.FIN, 0, wire.SYN | wire.ACK} {
		p := segment(client, server, 1000, 80, flags)
		table.Track(p, wire.IPv4MinLen, p.Proto)
		if p.Conn != nil || Info(p.ConnInfo).State() != StateInvalid {
			t.Errorf("flags %#x: %v", flags, p.Conn)
		}
		p.Free()
	}
}

// TestDestination gives a connection another destination, and its replies the first one.
func TestDestination(t *testing.T) {
	table, _ := newTable(t)
	p := segment(client, service, 1000, 80, wire.SYN)
	table.Track(p, wire.IPv4MinLen, p.Proto)
	r := Range{Flags: unix.NF_NAT_RANGE_MAP_IPS | unix.NF_NAT_RANGE_PROTO_SPECIFIED, MinAddr: server, MaxAddr: server, MinPort: 8080, MaxPort: 8080}
	if !table.Replace(p.Conn.(*Conn), Destination, &r) || !table.Replace(p.Conn.(*Conn), Source, &Range{}) {
		t.Fatal("nothing is free")
	}
	pass(t, table, p)
	if p.Dst != server || wire.TCP(p.Header()[wire.IPv4MinLen:]).DstPort() != 8080 {
		t.Errorf("the packet goes to %v", p.Dst)
	}
	valid(t, p)
	q := segment(server, client, 8080, 1000, wire.SYN|wire.ACK)
	pass(t, table, q)
	if q.Src != service || wire.TCP(q.Header()[wire.IPv4MinLen:]).SrcPort() != 80 {
		t.Errorf("the reply comes from %v", q.Src)
	}
	valid(t, q)
	if table.Find(Tuple{Src: server, Dst: client, SPort: 8080, DPort: 1000, Proto: unix.IPPROTO_TCP}) != p.Conn {
		t.Error("the connection is not found by its reply")
	}
}

// TestSource has two hosts share an address: the second gets another port.
func TestSource(t *testing.T) {
	table, _ := newTable(t)
	ports := map[uint16]bool{}
	for _, from := range []string{"10.0.0.1", "10.0.0.3"} {
		p := segment(netip.MustParseAddr(from), service, 1024, 80, wire.SYN)
		table.Track(p, wire.IPv4MinLen, p.Proto)
		if !table.Replace(p.Conn.(*Conn), Source, &Range{Flags: unix.NF_NAT_RANGE_MAP_IPS, MinAddr: server, MaxAddr: server}) {
			t.Fatal("nothing is free")
		}
		pass(t, table, p)
		valid(t, p)
		ports[wire.TCP(p.Header()[wire.IPv4MinLen:]).SrcPort()] = true
		if p.Src != server {
			t.Error(p.Src)
		}
	}
	if len(ports) != 2 || !ports[1024] {
		t.Errorf("the ports are %v", ports)
	}
}

// TestQuoted translates an ICMP error about a packet that has been translated.
func TestQuoted(t *testing.T) {
	table, _ := newTable(t)
	p := segment(client, service, 1000, 80, wire.SYN)
	table.Track(p, wire.IPv4MinLen, p.Proto)
	table.Replace(p.Conn.(*Conn), Destination, &Range{Flags: unix.NF_NAT_RANGE_MAP_IPS, MinAddr: server, MaxAddr: server})
	pass(t, table, p)

	e := pkt.New()
	quote := append([]byte(nil), p.Header()...)
	wire.ICMP(e.Append(wire.ICMPLen)).Put(wire.ICMPUnreachable, wire.ICMPPortUnreachable, 0)
	copy(e.Append(len(quote)), quote)
	wire.ICMP(e.Header()).SetChecksum(^e.SumFrom(0, 0))
	n := e.Len()
	e.Src, e.Dst, e.Proto, e.NetLen = server, client, unix.IPPROTO_ICMP, wire.IPv4MinLen
	wire.IPv4(e.Prepend(wire.IPv4MinLen)).Put(&wire.IPv4Fields{Src: server, Dst: client, TotalLen: wire.IPv4MinLen + n, TTL: 64, Proto: unix.IPPROTO_ICMP})
	pass(t, table, e)
	if Info(e.ConnInfo) != RelatedReply || e.Src != service {
		t.Errorf("%v from %v", e.ConnInfo, e.Src)
	}
	in := wire.IPv4(e.Header()[wire.IPv4MinLen+wire.ICMPLen:])
	if in.Dst() != service || in.Src() != client || !in.SumOK() {
		t.Errorf("it quotes a packet from %v to %v", in.Src(), in.Dst())
	}
	if e.SumFrom(wire.IPv4MinLen, 0) != 0xffff {
		t.Error("its checksum is wrong")
	}
}

// TestLimit fills the table: those that nobody has answered go first.
func TestLimit(t *testing.T) {
	table, _ := newTable(t)
	const limit = 200
	if err := table.Params.max.Set(limit); err != nil {
		t.Fatal(err)
	}
	for port := range uint16(3 * limit) {
		p := segment(client, server, 1000+port, 80, wire.SYN)
		table.Track(p, wire.IPv4MinLen, p.Proto)
		table.Confirm(p)
		p.Free()
	}
	if n := table.Len(); n == 0 || n > limit {
		t.Errorf("there are %d connections", n)
	}
	table.Remove(func(*Conn) bool { return true })
	if table.Len() != 0 {
		t.Errorf("%d connections are left", table.Len())
	}
}

// TestDatagrams has a flow become a stream.
func TestDatagrams(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		bit   uint32
	}{{0, 0}, {3 * time.Second, Assured}} {
		table, w := newTable(t)
		datagram := func(src, dst netip.Addr, sport, dport uint16) *pkt.Packet {
			p := pkt.New()
			wire.UDP(p.Append(wire.UDPLen)).Put(sport, dport, wire.UDPLen, 0)
			p.Src, p.Dst, p.Proto, p.NetLen = src, dst, unix.IPPROTO_UDP, wire.IPv4MinLen
			wire.IPv4(p.Prepend(wire.IPv4MinLen)).Put(&wire.IPv4Fields{Src: src, Dst: dst, TotalLen: wire.IPv4MinLen + wire.UDPLen, TTL: 64, Proto: unix.IPPROTO_UDP})
			return p
		}
		pass(t, table, datagram(client, server, 1000, 53))
		pass(t, table, datagram(server, client, 53, 1000))
		w.Advance(c.after)
		p := datagram(client, server, 1000, 53)
		pass(t, table, p)
		if got := p.Conn.(*Conn).Status() & Assured; got != c.bit {
			t.Errorf("after %v: %#x", c.after, got)
		}
	}
}
