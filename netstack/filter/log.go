package filter

import (
	"encoding/binary"
	"fmt"
	"strings"

	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// What LogPacket writes besides (NF_LOG_*).
const (
	LogTCPSeq = 1 << 0
	LogTCPOpt = 1 << 1
	LogIPOpt  = 1 << 2
	LogUID    = 1 << 3
)

// LogPacket writes a line about the packet to the kernel's log, in Linux's form.
func (c *Context) LogPacket(prefix string, flags uint8) {
	f := c.Filter
	if f.Log == nil {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%sIN=%s OUT=%s ", prefix, Name(c.In), Name(c.Out))
	p := c.Packet
	h := p.Header()
	if c.Family == unix.AF_INET {
		v4 := wire.IPv4(h)
		fmt.Fprintf(&b, "SRC=%v DST=%v LEN=%d TOS=0x%02X PREC=0x%02X TTL=%d ID=%d ", p.Src, p.Dst, p.Len(), v4.TOS()&0x1e, v4.TOS()&0xe0, v4.TTL(), v4.ID())
		if v4.Frag()&wire.IPv4DF != 0 {
			b.WriteString("DF ")
		}
		if v4.Frag()&wire.IPv4MF != 0 {
			b.WriteString("MF ")
		}
		if n := v4.FragOffset(); n != 0 {
			fmt.Fprintf(&b, "FRAG:%d ", n/8)
		}
		if n := v4.Options(); flags&LogIPOpt != 0 && len(n) > 0 {
			fmt.Fprintf(&b, "OPT (%X) ", n)
		}
	} else {
		v6 := wire.IPv6(h)
		fmt.Fprintf(&b, "SRC=%s DST=%s LEN=%d TC=%d HOPLIMIT=%d FLOWLBL=%d ", p.Src.StringExpanded(), p.Dst.StringExpanded(), v6.PayloadLen()+wire.IPv6Len,
			v6.TrafficClass(), v6.HopLimit(), v6.FlowLabel())
	}
	c.logTransport(&b, flags)
	if flags&LogUID != 0 && p.Owned {
		fmt.Fprintf(&b, "UID=%d GID=%d ", p.UID, p.GID)
	}
	if p.Mark != 0 {
		fmt.Fprintf(&b, "MARK=0x%x ", p.Mark)
	}
	f.Log(b.String())
}

func (c *Context) logTransport(b *strings.Builder, flags uint8) {
	at, proto, frag := c.Transport()
	if frag != 0 {
		fmt.Fprintf(b, "PROTO=%d ", proto)
		return
	}
	switch proto {
	case unix.IPPROTO_TCP:
		h := wire.TCP(c.TransportHeader(proto, wire.TCPMinLen))
		if h == nil {
			fmt.Fprintf(b, "PROTO=TCP INCOMPLETE [%d bytes] ", c.Packet.Len()-at)
			return
		}
		fmt.Fprintf(b, "PROTO=TCP SPT=%d DPT=%d ", h.SrcPort(), h.DstPort())
		if flags&LogTCPSeq != 0 {
			fmt.Fprintf(b, "SEQ=%d ACK=%d ", h.Seq(), h.Ack())
		}
		fmt.Fprintf(b, "WINDOW=%d RES=0x%02x ", h.Window(), h[12]&0xf<<2)
		for _, x := range [...]struct {
			bit  uint8
			name string
		}{{wire.CWR, "CWR"}, {wire.ECE, "ECE"}, {wire.URG, "URG"}, {wire.ACK, "ACK"}, {wire.PSH, "PSH"}, {wire.RST, "RST"}, {wire.SYN, "SYN"}, {wire.FIN, "FIN"}} {
			if h.Flags()&x.bit != 0 {
				b.WriteString(x.name + " ")
			}
		}
		fmt.Fprintf(b, "URGP=%d ", h.UrgPtr())
		if n := h.HeaderLen() - wire.TCPMinLen; flags&LogTCPOpt != 0 && n > 0 {
			if h := c.TransportHeader(proto, wire.TCPMinLen+n); h != nil {
				fmt.Fprintf(b, "OPT (%X) ", h[wire.TCPMinLen:wire.TCPMinLen+n])
			}
		}
	case unix.IPPROTO_UDP:
		h := wire.UDP(c.TransportHeader(proto, wire.UDPLen))
		if h == nil {
			fmt.Fprintf(b, "PROTO=UDP INCOMPLETE [%d bytes] ", c.Packet.Len()-at)
			return
		}
		fmt.Fprintf(b, "PROTO=UDP SPT=%d DPT=%d LEN=%d ", h.SrcPort(), h.DstPort(), h.Length())
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		name := "ICMP"
		if proto == unix.IPPROTO_ICMPV6 {
			name = "ICMPv6"
		}
		h := wire.ICMP(c.TransportHeader(proto, wire.ICMPLen))
		if h == nil {
			fmt.Fprintf(b, "PROTO=%s INCOMPLETE [%d bytes] ", name, c.Packet.Len()-at)
			return
		}
		fmt.Fprintf(b, "PROTO=%s TYPE=%d CODE=%d ", name, h.Type(), h.Code())
		if t := h.Type(); t == wire.ICMPEcho || t == wire.ICMPEchoReply || t == wire.ICMPv6Echo || t == wire.ICMPv6EchoReply {
			fmt.Fprintf(b, "ID=%d SEQ=%d ", h.Ident(), binary.BigEndian.Uint16(h[6:]))
		}
	default:
		fmt.Fprintf(b, "PROTO=%d ", proto)
	}
}
