// Package capture shows what goes through a stack's interfaces: in a file that tcpdump and
// Wireshark read, or as lines of text.
package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// A File is a capture file (pcap-savefile(5)). It implements ip.Tap.
type File struct {
	mu sync.Mutex
	w  io.Writer
	b  []byte
}

// Fields of the file.
const (
	pcapMagic    = 0xa1b23c4d // times are in ns
	pcapMajor    = 2
	pcapMinor    = 4
	snapLen      = 262144
	linkEthernet = 1 // LINKTYPE_ETHERNET
)

// NewFile writes the header of a file.
func NewFile(w io.Writer) (*File, error) {
	ne := binary.NativeEndian
	b := ne.AppendUint32(nil, pcapMagic)
	b = ne.AppendUint16(b, pcapMajor)
	b = ne.AppendUint16(b, pcapMinor)
	for _, v := range [...]uint32{0, 0, snapLen, linkEthernet} {
		b = ne.AppendUint32(b, v)
	}
	_, err := w.Write(b)
	return &File{w: w}, err
}

// seen reports whether a packet on lo is seen a second time, as it arrives.
func seen(i *ip.Interface, p *pkt.Packet) bool { return i.IsLoopback() && p.Type != pkt.Outgoing }

// Tap implements ip.Tap. Packets without an Ethernet header get one that says nothing, as on
// Linux's lo. What cannot be written is left out.
func (f *File) Tap(i *ip.Interface, p *pkt.Packet) {
	if seen(i, p) {
		return
	}
	n := p.Len()
	header := 0
	if i.Info().Type != unix.ARPHRD_ETHER {
		header = wire.EthernetLen
	}
	now := i.Stack().Wheel.Wall()
	f.mu.Lock()
	defer f.mu.Unlock()
	ne := binary.NativeEndian
	f.b = ne.AppendUint32(f.b[:0], uint32(now.Unix()))
	f.b = ne.AppendUint32(f.b, uint32(now.Nanosecond()))
	f.b = ne.AppendUint32(f.b, uint32(n+header))
	f.b = ne.AppendUint32(f.b, uint32(n+header))
	if header > 0 {
		f.b = append(f.b, make([]byte, 2*len(wire.MAC{}))...)
		f.b = binary.BigEndian.AppendUint16(f.b, p.EtherType)
	}
	at := len(f.b)
	f.b = append(f.b, make([]byte, n)...)
	p.CopyOut(0, f.b[at:])
	f.w.Write(f.b)
}

// A Printer prints a line for each packet. It implements ip.Tap.
type Printer struct {
	Print func(line string)
}

// Tap implements ip.Tap.
func (t *Printer) Tap(i *ip.Interface, p *pkt.Packet) {
	if seen(i, p) {
		return
	}
	direction := "in"
	if p.Type == pkt.Outgoing {
		direction = "out"
	}
	var room [wire.EthernetLen + wire.IPv4MaxLen + wire.TCPMinLen]byte
	b := room[:p.CopyOut(0, room[:])]
	typ := p.EtherType
	if i.Info().Type == unix.ARPHRD_ETHER && len(b) >= wire.EthernetLen {
		typ = wire.Ethernet(b).Type()
		b = b[wire.EthernetLen:]
	}
	t.Print(fmt.Sprintf("packet %s %s: %s, %d bytes", i.Name(), direction, describe(typ, b), p.Len()))
}

// describe says what a packet is.
func describe(typ uint16, b []byte) string {
	var src, dst netip.Addr
	var proto uint8
	switch {
	case typ == unix.ETH_P_IP && len(b) >= wire.IPv4MinLen && len(b) >= wire.IPv4(b).HeaderLen():
		h := wire.IPv4(b)
		src, dst, proto, b = h.Src(), h.Dst(), h.Proto(), b[h.HeaderLen():]
	case typ == unix.ETH_P_IPV6 && len(b) >= wire.IPv6Len:
		h := wire.IPv6(b)
		src, dst, proto, b = h.Src(), h.Dst(), h.NextHeader(), b[wire.IPv6Len:]
	case typ == unix.ETH_P_ARP:
		return "ARP"
	default:
		return fmt.Sprintf("protocol %#04x", typ)
	}
	switch {
	case proto == unix.IPPROTO_TCP && len(b) >= wire.TCPMinLen:
		h := wire.TCP(b)
		return fmt.Sprintf("TCP %v -> %v flags %#02x seq %d ack %d window %d", netip.AddrPortFrom(src, h.SrcPort()), netip.AddrPortFrom(dst, h.DstPort()),
			h.Flags(), h.Seq(), h.Ack(), h.Window())
	case proto == unix.IPPROTO_UDP && len(b) >= wire.UDPLen:
		h := wire.UDP(b)
		return fmt.Sprintf("UDP %v -> %v", netip.AddrPortFrom(src, h.SrcPort()), netip.AddrPortFrom(dst, h.DstPort()))
	case (proto == unix.IPPROTO_ICMP || proto == unix.IPPROTO_ICMPV6) && len(b) >= wire.ICMPLen:
		return fmt.Sprintf("ICMP %v -> %v type %d code %d", src, dst, b[0], b[1])
	}
	return fmt.Sprintf("protocol %d %v -> %v", proto, src, dst)
}
