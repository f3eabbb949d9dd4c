package conformance

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// A host is what is tested: Linux's stack or ours.
type host interface {
	// inject gives the host an IP packet from the link and waits until it has been processed.
	inject(b []byte)
	// sent are the IP packets that the host has sent since the last call.
	sent() [][]byte
	// await waits until the host sends something without being given anything.
	await()
	// pause lets time pass.
	pause(d time.Duration)
	// call is a call of the program; the result is what it returns, in words.
	call(name string, args []string) string
}

// Ports, and the peer's initial sequence number unless a script has another.
const (
	peerPort = 4000
	hostPort = 80
	peerISS  = 1000
	tsBase   = 1_000_000 // of the peer's timestamps
)

// A player plays a script against one host.
type player struct {
	t        *testing.T
	h        host
	v6       bool
	log      []string
	iss, irs uint32
	port     uint16 // the host's
	echo     uint32 // the host's last timestamp
	ts       bool   // the peer's segments have timestamps
	now      uint32 // and this is the next one's
	fragID   uint16
}

// addrs are the peer's address and the host's.
func (p *player) addrs() (peer, host netip.Addr) {
	if p.v6 {
		return netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::1")
	}
	return netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.1")
}

func (p *player) play(script string) []string {
	for line := range strings.Lines(script) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		p.step(f)
	}
	return p.log
}

func (p *player) step(f []string) {
	switch f[0] {
	case "open": // a connection that the peer has opened, with options for its SYN
		syn := f[1:]
		// A long round trip keeps RACK's reordering window from passing between two steps.
		k := slices.Index(syn, "slow")
		slow := k >= 0
		if slow {
			syn = slices.Delete(syn, k, k+1)
		}
		if !slices.Contains(syn, "mss") {
			syn = append(syn, "mss", "1000")
		}
		if !slices.Contains(syn, "nosack") {
			syn = append(syn, "sackok")
		}
		flags := "S"
		if k := slices.Index(syn, "ecn"); k >= 0 {
			flags, syn = "SEC", slices.Delete(syn, k, k+1)
		}
		p.step(append([]string{"<", flags, "0:0", "0"}, slices.DeleteFunc(syn, func(s string) bool { return s == "nosack" })...))
		if slow {
			p.h.pause(100 * time.Millisecond)
		}
		p.step(strings.Fields("< A 1:0 1"))
		p.step([]string{"accept"})
		return
	case "iss": // the peer's initial sequence number
		p.iss = uint32(p.number(f[1]))
		return
	case "<":
		p.log = append(p.log, strings.Join(f, " "))
		p.segment(f[1:])
	case "icmp": // an error about a segment of the host's: icmp TYPE CODE REST SEQ
		p.log = append(p.log, strings.Join(f, " "))
		p.icmp(f[1:])
	case "udp", "fragments", "echo", "protocol", "extension":
		p.log = append(p.log, strings.Join(f, " "))
		p.packet(f)
	case "await":
		p.log = append(p.log, "await")
		p.h.await()
	default:
		p.log = append(p.log, strings.Join(f, " ")+": "+p.h.call(f[0], f[1:]))
	}
	for _, b := range p.h.sent() {
		if s := p.describe(b); s != "" {
			p.log = append(p.log, "  > "+s)
		}
	}
}

func (p *player) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		p.t.Fatalf("not a number: %q", s)
	}
	return n
}

const flagLetters = "FSRPAUEC"

// pattern is the byte at a place of the stream, so that what is read shows where it came
// from. Other data for the same place has another.
func pattern(seq uint32, other bool) byte {
	if other {
		return 'A' + byte(seq%26)
	}
	return 'a' + byte(seq%26)
}

// segment injects a segment.
func (p *player) segment(f []string) {
	if len(f) < 3 {
		p.t.Fatalf("a segment of %q", f)
	}
	t := wire.TCPFields{SrcPort: peerPort, DstPort: p.port, Window: 65535}
	for _, c := range f[0] {
		if c == '-' {
			continue
		}
		k := strings.IndexRune(flagLetters, c)
		if k < 0 {
			p.t.Fatalf("flag %c", c)
		}
		t.Flags |= 1 << k
	}
	s, l, _ := strings.Cut(f[1], ":")
	seq, n := uint32(p.number(s)), p.number(l)
	t.Seq = p.iss + seq
	if t.Flags&wire.ACK != 0 {
		t.Ack = p.irs + uint32(p.number(f[2]))
	}
	var o []byte
	other, badSum, ttl, tos, ts := false, false, uint8(64), uint8(0), p.ts
	for k := 3; k < len(f); k++ {
		arg := func() int {
			k++
			if k >= len(f) {
				p.t.Fatalf("%s of what?", f[k-1])
			}
			return p.number(f[k])
		}
		switch f[k] {
		case "win":
			t.Window = uint16(arg())
		case "mss":
			o = append(o, wire.OptMSS, 4)
			o = binary.BigEndian.AppendUint16(o, uint16(arg()))
		case "sackok":
			o = append(o, wire.OptSACKPermitted, 2)
		case "ws":
			o = append(o, wire.OptWindowScale, 3, byte(arg()))
		case "ts": // and on all that follow
			p.now, ts = uint32(tsBase+arg()), true
			p.ts = true
		case "nots":
			ts = false
		case "sack":
			k++
			blocks := strings.Split(f[k], ",")
			o = append(o, wire.OptNop, wire.OptNop, wire.OptSACK, byte(2+8*len(blocks)))
			for _, b := range blocks {
				from, to, _ := strings.Cut(b, "-")
				o = binary.BigEndian.AppendUint32(o, p.irs+uint32(p.number(from)))
				o = binary.BigEndian.AppendUint32(o, p.irs+uint32(p.number(to)))
			}
		case "fastopen":
			o = append(o, wire.OptFastOpen, 2)
		case "badopt":
			o = append(o, wire.OptMSS, 1)
		case "urg":
			t.UrgPtr = uint16(arg())
		case "other":
			other = true
		case "badsum":
			badSum = true
		case "ect":
			tos |= 2
		case "ce":
			tos |= 3
		default:
			p.t.Fatalf("option %q", f[k])
		}
	}
	if ts {
		b := make([]byte, 12)
		wire.PutTimestamps(b, p.now, p.echo)
		o = append(o, b...)
	}
	for len(o)%4 != 0 {
		o = append(o, wire.OptNop)
	}
	t.HeaderLen = wire.TCPMinLen + len(o)
	b := make([]byte, t.HeaderLen+n)
	h := wire.TCP(b)
	h.Put(&t)
	copy(b[wire.TCPMinLen:], o)
	for k := range n {
		b[t.HeaderLen+k] = pattern(seq+uint32(k), other)
	}
	src, dst := p.addrs()
	h.SetChecksum(^wire.Sum(b, wire.PseudoSum(src, dst, unix.IPPROTO_TCP, len(b))))
	if badSum {
		h.SetChecksum(h.Checksum() + 1)
	}
	p.h.inject(p.ip(unix.IPPROTO_TCP, b, ttl, tos))
}

// ip puts the peer's IP header in front of b.
func (p *player) ip(proto uint8, b []byte, ttl, tos uint8) []byte {
	src, dst := p.addrs()
	if p.v6 {
		h := make([]byte, wire.IPv6Len, wire.IPv6Len+len(b))
		wire.IPv6(h).Put(&wire.IPv6Fields{Src: src, Dst: dst, PayloadLen: len(b), NextHeader: proto, HopLimit: ttl, TrafficClass: tos})
		return append(h, b...)
	}
	h := make([]byte, wire.IPv4MinLen, wire.IPv4MinLen+len(b))
	p.fragID++
	wire.IPv4(h).Put(&wire.IPv4Fields{Src: src, Dst: dst, TotalLen: wire.IPv4MinLen + len(b), ID: p.fragID, TTL: ttl, TOS: tos, Proto: proto})
	return append(h, b...)
}

// icmp injects an ICMP error about the segment of the host's at a sequence number. For IPv6
// the type is of ICMPv6.
func (p *player) icmp(f []string) {
	typ, code, rest, seq := p.number(f[0]), p.number(f[1]), p.number(f[2]), uint32(p.number(f[3]))
	src, dst := p.addrs()
	quote := make([]byte, wire.TCPMinLen)
	wire.TCP(quote).Put(&wire.TCPFields{SrcPort: p.port, DstPort: peerPort, Seq: p.irs + seq, HeaderLen: wire.TCPMinLen, Flags: wire.ACK})
	m := make([]byte, wire.ICMPLen)
	wire.ICMP(m).Put(uint8(typ), uint8(code), uint32(rest))
	if p.v6 {
		in := make([]byte, wire.IPv6Len)
		wire.IPv6(in).Put(&wire.IPv6Fields{Src: dst, Dst: src, PayloadLen: 1000, NextHeader: unix.IPPROTO_TCP, HopLimit: 64})
		m = append(append(m, in...), quote...)
		wire.ICMP(m).SetChecksum(^wire.Sum(m, wire.PseudoSum(src, dst, unix.IPPROTO_ICMPV6, len(m))))
		p.h.inject(p.ip(unix.IPPROTO_ICMPV6, m, 64, 0))
		return
	}
	in := make([]byte, wire.IPv4MinLen)
	wire.IPv4(in).Put(&wire.IPv4Fields{Src: dst, Dst: src, TotalLen: 1000, TTL: 64, Proto: unix.IPPROTO_TCP, Frag: wire.IPv4DF})
	m = append(append(m, in...), quote...)
	wire.ICMP(m).SetChecksum(^wire.Sum(m, 0))
	p.h.inject(p.ip(unix.IPPROTO_ICMP, m, 64, 0))
}

// describe puts a packet of the host's into words, "" for one that has nothing to do with
// the script. What may differ is left out: PSH, since Linux sets it on each of the bursts
// into which it cuts data, timestamps' values, and windows that are not zero but in SYNs.
func (p *player) describe(b []byte) string {
	peer, _ := p.addrs()
	var proto, tos uint8
	var body []byte
	var dst netip.Addr
	frag := ""
	switch b[0] >> 4 {
	case 4:
		h := wire.IPv4(b)
		if !h.SumOK() || h.TotalLen() != len(b) {
			p.t.Errorf("a bad IP header: %x", b)
		}
		proto, tos, body, dst = h.Proto(), h.TOS(), b[h.HeaderLen():], h.Dst()
		if off := h.Frag() &^ wire.IPv4DF; off != 0 {
			frag = fmt.Sprintf(" fragment %d more %v", h.FragOffset(), off&wire.IPv4MF != 0)
		}
	case 6:
		h := wire.IPv6(b)
		if wire.IPv6Len+h.PayloadLen() != len(b) {
			p.t.Errorf("a bad IPv6 header: %x", b)
		}
		proto, tos, body, dst = h.NextHeader(), h.TrafficClass(), b[wire.IPv6Len:], h.Dst()
		if proto == wire.ExtFragment {
			off := binary.BigEndian.Uint16(body[2:])
			frag = fmt.Sprintf(" fragment %d more %v", off&^7, off&1 != 0)
			proto, body = body[0], body[8:]
		}
	}
	if dst != peer {
		return ""
	}
	if frag != "" {
		return fmt.Sprintf("protocol %d%s length %d", proto, frag, len(body))
	}
	src, to := p.addrs()
	sum := wire.PseudoSum(src, to, proto, len(body))
	if proto == unix.IPPROTO_ICMP {
		sum = 0
	}
	if wire.Sum(body, sum) != 0xffff {
		p.t.Errorf("a wrong checksum: %x", b)
	}
	switch proto {
	case unix.IPPROTO_TCP:
		return p.describeTCP(body, tos)
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		m := wire.ICMP(body)
		return fmt.Sprintf("ICMP %d.%d %#x, %d bytes, TOS %#x", m.Type(), m.Code(), m.Rest(), len(body)-wire.ICMPLen, tos)
	case unix.IPPROTO_UDP:
		return fmt.Sprintf("UDP %d bytes", len(body)-wire.UDPLen)
	}
	return fmt.Sprintf("protocol %d", proto)
}

func (p *player) describeTCP(b []byte, tos uint8) string {
	h := wire.TCP(b)
	if h.DstPort() != peerPort {
		return ""
	}
	var o wire.TCPOptions
	o.Parse(b[wire.TCPMinLen:h.HeaderLen()])
	syn := h.Flags()&wire.SYN != 0
	if syn {
		p.irs, p.port = h.Seq(), h.SrcPort()
	}
	s := ""
	for k, c := range flagLetters {
		if h.Flags()>>k&1 != 0 && c != 'P' {
			s += string(c)
		}
	}
	data := b[h.HeaderLen():]
	if seq := h.Seq(); seq == 0 && h.Flags()&wire.RST != 0 {
		s += " zero:0" // the peer's segment had no number to go by
	} else {
		s += fmt.Sprintf(" %d:%d", seq-p.irs, len(data))
	}
	if h.Flags()&wire.ACK != 0 {
		s += fmt.Sprintf(" %d", h.Ack()-p.iss)
	}
	switch {
	case syn:
		s += fmt.Sprintf(" win %d", h.Window())
	case h.Window() == 0 && h.Flags()&wire.RST == 0:
		s += " win 0"
	}
	if h.Flags()&wire.URG != 0 {
		s += fmt.Sprintf(" urg %d", h.UrgPtr())
	}
	if syn {
		s += fmt.Sprintf(" mss %d", o.MSS)
		if o.SACKPermitted {
			s += " sackok"
		}
		if o.WindowScale >= 0 {
			s += fmt.Sprintf(" ws %d", o.WindowScale)
		}
		if o.HasFastOpen {
			s += fmt.Sprintf(" fastopen %d", len(o.FastOpen))
		}
	}
	if o.HasTS {
		p.echo = o.TSVal
		s += fmt.Sprintf(" ts %d", o.TSEcr-tsBase)
	}
	for k := range o.NSACK {
		s += fmt.Sprintf(" [%d,%d)", o.SACK[k].Start-p.iss, o.SACK[k].End-p.iss)
	}
	if tos&3 != 0 {
		s += fmt.Sprintf(" ecn %d", tos&3)
	}
	return s
}
