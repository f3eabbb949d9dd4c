package conformance

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// udpPort is the port of the host's UDP socket.
const udpPort = 53

func TestUDP(t *testing.T)       { compare(t, datagrams, nil) }
func TestFragments(t *testing.T) { compare(t, fragments, nil) }
func TestICMP(t *testing.T)      { compare(t, messages, nil) }

// packet injects a packet that is not TCP's:
//
//	udp PORT LEN [badsum] [nosum] [short] [long] [ttl0] [ce]
//	fragments LEN RANGES     a datagram of LEN bytes to udpPort; ranges of its bytes, headers of IP not counted
//	echo LEN [badsum]
//	protocol N
//	extension N BYTES...     an IPv6 extension header, then a datagram to udpPort
func (p *player) packet(f []string) {
	src, dst := p.addrs()
	has := func(s string) bool { return slices.Contains(f, s) }
	switch f[0] {
	case "udp":
		b := p.datagram(p.number(f[1]), p.number(f[2]))
		h := wire.UDP(b)
		switch {
		case has("badsum"):
			h.Put(peerPort, h.DstPort(), len(b), h.Checksum()^1)
		case has("nosum"):
			h.Put(peerPort, h.DstPort(), len(b), 0)
		case has("short"):
			b = b[:len(b)-1]
		case has("long"):
			b = append(b, 0, 0, 0)
		}
		tos := uint8(0)
		if has("ce") {
			tos = 3
		}
		p.h.inject(p.ip(unix.IPPROTO_UDP, b, 64, tos))
	case "fragments":
		b := p.datagram(udpPort, p.number(f[1]))
		p.fragID++
		for _, r := range f[2:] {
			from, to, _ := strings.Cut(r, "-")
			p.fragment(b, p.number(from), p.number(to))
		}
	case "echo":
		m := make([]byte, wire.ICMPLen+p.number(f[1]))
		typ, proto, sum := uint8(wire.ICMPEcho), uint8(unix.IPPROTO_ICMP), uint16(0)
		if p.v6 {
			typ, proto, sum = wire.ICMPv6Echo, unix.IPPROTO_ICMPV6, wire.PseudoSum(src, dst, unix.IPPROTO_ICMPV6, len(m))
		}
		wire.ICMP(m).Put(typ, 0, 0x12340001)
		wire.ICMP(m).SetChecksum(^wire.Sum(m, sum))
		if has("badsum") {
			m[2] ^= 1
		}
		p.h.inject(p.ip(proto, m, 64, 0))
	case "protocol":
		p.h.inject(p.ip(uint8(p.number(f[1])), []byte("01234567890123456789"), 64, 0))
	case "extension":
		e := []byte{unix.IPPROTO_UDP, 0}
		for _, x := range f[2:] {
			e = append(e, byte(p.number(x)))
		}
		for len(e)%8 != 0 {
			e = append(e, 0)
		}
		e[1] = byte(len(e)/8 - 1)
		p.h.inject(p.ip(uint8(p.number(f[1])), append(e, p.datagram(udpPort, 10)...), 64, 0))
	}
}

// datagram is one of the peer's with n bytes.
func (p *player) datagram(port, n int) []byte {
	src, dst := p.addrs()
	b := make([]byte, wire.UDPLen+n)
	for k := range n {
		b[wire.UDPLen+k] = pattern(uint32(k), false)
	}
	h := wire.UDP(b)
	h.Put(peerPort, uint16(port), len(b), 0)
	h.Put(peerPort, uint16(port), len(b), ^wire.Sum(b, wire.PseudoSum(src, dst, unix.IPPROTO_UDP, len(b))))
	return b
}

// fragment injects the bytes from..to of an IP payload; it is the last if it reaches the
// end.
func (p *player) fragment(b []byte, from, to int) {
	src, dst := p.addrs()
	to = min(to, len(b))
	piece := b[from:to]
	more := to < len(b)
	if p.v6 {
		h := make([]byte, wire.IPv6Len+8)
		wire.IPv6(h).Put(&wire.IPv6Fields{Src: src, Dst: dst, PayloadLen: 8 + len(piece), NextHeader: wire.ExtFragment, HopLimit: 64})
		h[wire.IPv6Len] = unix.IPPROTO_UDP
		off := uint16(from)
		if more {
			off |= 1
		}
		binary.BigEndian.PutUint16(h[wire.IPv6Len+2:], off)
		binary.BigEndian.PutUint32(h[wire.IPv6Len+4:], uint32(p.fragID))
		p.h.inject(append(h, piece...))
		return
	}
	h := make([]byte, wire.IPv4MinLen)
	f := uint16(from / 8)
	if more {
		f |= wire.IPv4MF
	}
	wire.IPv4(h).Put(&wire.IPv4Fields{Src: src, Dst: dst, TotalLen: wire.IPv4MinLen + len(piece), ID: p.fragID, Frag: f, TTL: 64, Proto: unix.IPPROTO_UDP})
	p.h.inject(append(h, piece...))
}

var datagrams = []script{
	{name: "received", steps: `
		udp 53 10
		recvudp
		recvudp`},
	{name: "no socket", steps: `
		udp 54 10
		udp 54 2000`},
	{name: "checksums", steps: `
		udp 53 10 badsum
		recvudp
		udp 53 10 nosum
		recvudp
		udp 54 10 badsum
		udp 54 10 nosum`},
	{name: "lengths", steps: `
		udp 53 10 short
		recvudp
		udp 53 10 long
		recvudp
		udp 53 0
		recvudp
		udp 54 10 short`},
}

var fragments = []script{
	{name: "in order", steps: `
		fragments 3000 0-1000 1000-2000 2000-4000
		recvudp`},
	{name: "in reverse", steps: `
		fragments 3000 2000-4000 1000-2000 0-1000
		recvudp`},
	{name: "duplicate", steps: `
		fragments 3000 0-1000 0-1000 1000-2000 2000-4000
		recvudp`},
	{name: "overlap", steps: `
		fragments 3000 0-1000 992-2000 2000-4000
		recvudp`},
	{name: "overlap of the end", steps: `
		fragments 3000 1000-2000 0-1008 2000-4000
		recvudp`},
	{name: "contained", steps: `
		fragments 3000 0-2000 504-800 2000-4000
		recvudp`},
	{name: "two ends", steps: `
		fragments 3000 0-1000 2000-4000 1000-4000
		recvudp`},
	{name: "missing", steps: `
		fragments 3000 0-1000 2000-4000
		recvudp`},
	{name: "length not of eight", steps: `
		fragments 3000 0-1001 1000-4000
		recvudp`},
	{name: "to no socket", steps: `
		fragments 100 0-48 48-200
		recvudp`},
	{name: "one", steps: `
		fragments 100 0-200
		recvudp`},
	{name: "too large", steps: `
		fragments 65500 0-32768 32768-65520
		recvudp`},
}

var messages = []script{
	{name: "echo", steps: `
		echo 0
		echo 56
		echo 1400
		echo 56 badsum`},
	{name: "unknown protocol", steps: `
		protocol 200`},
	{name: "no next header", only: "6", steps: `
		protocol 59`},
	{name: "hop-by-hop options", only: "6", steps: `
		extension 0 1 4 0 0 0 0
		recvudp
		extension 0 30 4 0 0 0 0
		recvudp
		extension 0 94 4 0 0 0 0
		recvudp
		extension 0 158 4 0 0 0 0
		recvudp
		extension 0 222 4 0 0 0 0
		recvudp
		extension 0 1 40 0 0 0 0
		recvudp`},
	{name: "destination options", only: "6", steps: `
		extension 60 1 4 0 0 0 0
		recvudp
		extension 60 30 4 0 0 0 0
		recvudp
		extension 60 158 4 0 0 0 0
		recvudp`},
	{name: "routing header", only: "6", steps: `
		extension 43 0 0 0 0 0 0
		recvudp
		extension 43 0 1 0 0 0 0
		recvudp
		extension 43 77 0 0 0 0 0
		recvudp
		extension 43 77 1 0 0 0 0
		recvudp`},
}
