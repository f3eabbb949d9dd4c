package xdp

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// datagram is a UDP packet over IPv4 or IPv6 with n bytes of data and a checksum that its sender
// leaves to a device.
func datagram(six bool, n int) []byte {
	length := wire.UDPLen + n
	src, dst, hl := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), wire.IPv4MinLen
	if six {
		src, dst, hl = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2"), wire.IPv6Len
	}
	b := make([]byte, hl+length)
	if six {
		wire.IPv6(b).Put(&wire.IPv6Fields{Src: src, Dst: dst, PayloadLen: length, NextHeader: unix.IPPROTO_UDP, HopLimit: 64})
	} else {
		wire.IPv4(b).Put(&wire.IPv4Fields{Src: src, Dst: dst, TotalLen: hl + length, TTL: 64, Proto: unix.IPPROTO_UDP})
	}
	wire.UDP(b[hl:]).Put(1, 2, length, wire.PseudoSum(src, dst, unix.IPPROTO_UDP, length))
	return b
}

func TestTrust(t *testing.T) {
	for _, six := range []bool{false, true} {
		b := datagram(six, 5)
		at := uint16(len(b) - wire.UDPLen - 5)
		p := pkt.New()
		trust(p, b)
		if p.Csum != pkt.CsumPartial || p.CsumStart != at || p.CsumOffset != 6 {
			t.Errorf("six %v: state %d, at %d+%d", six, p.Csum, p.CsumStart, p.CsumOffset)
		}
		p.Free()
		binary.BigEndian.PutUint16(b[at+6:], binary.BigEndian.Uint16(b[at+6:])+1)
		p = pkt.New()
		trust(p, b)
		if p.Csum != pkt.CsumNone {
			t.Errorf("six %v: another checksum is trusted", six)
		}
		p.Free()
	}
}

// FuzzTrust reads packets that the other side has made up; the checksum of what is trusted lies
// within the packet.
func FuzzTrust(f *testing.F) {
	f.Add(datagram(false, 3))
	f.Add(datagram(true, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := pkt.New()
		defer p.Free()
		trust(p, b)
		if p.Csum == pkt.CsumPartial && int(p.CsumStart)+int(p.CsumOffset)+2 > len(b) {
			t.Errorf("checksum at %d+%d of %d", p.CsumStart, p.CsumOffset, len(b))
		}
	})
}

func TestFrameSize(t *testing.T) {
	for mtu, want := range map[int]int{1500: 2048, 1774: 2048, 1775: 4096, 3822: 4096, 3823: 0} {
		if got, err := frameSize(mtu); got != want || (err != nil) != (want == 0) {
			t.Errorf("MTU %d: %d, %v", mtu, got, err)
		}
	}
}
