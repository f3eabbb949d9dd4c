package filter

import (
	"net/netip"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// RejectUnreachable answers the packet with destination unreachable and a code of the
// packet's family. The caller then drops it.
func (c *Context) RejectUnreachable(code uint8) {
	p := c.Packet
	at, proto, frag := c.Transport()
	if frag != 0 {
		return
	}
	// Errors quote from the network header on; the answer depends on what the packet holds.
	netLen, was := p.NetLen, p.Proto
	p.NetLen, p.Proto = uint16(at), proto
	typ := uint8(wire.ICMPUnreachable)
	if c.Family == unix.AF_INET6 {
		typ = wire.ICMPv6Unreachable
	}
	c.Filter.Stack.SendError(p, typ, code, 0)
	p.NetLen, p.Proto = netLen, was
}

// RejectReset answers a TCP segment with a reset (RFC 9293 section 3.10.7.1). The caller
// then drops it.
func (c *Context) RejectReset() {
	p, s := c.Packet, c.Filter.Stack
	at, _, _ := c.Transport()
	h := wire.TCP(c.TransportHeader(unix.IPPROTO_TCP, wire.TCPMinLen))
	if h == nil || h.Flags()&wire.RST != 0 || p.Type != pkt.ToHost || c.Out == nil && s.AddrType(p.Dst, nil) == unix.RTN_BROADCAST {
		return
	}
	f := wire.TCPFields{SrcPort: h.DstPort(), DstPort: h.SrcPort(), Flags: wire.RST, HeaderLen: wire.TCPMinLen}
	if h.Flags()&wire.ACK != 0 {
		f.Seq = h.Ack()
	} else {
		n := uint32(p.Len() - at - h.HeaderLen())
		for _, flag := range [...]uint8{wire.SYN, wire.FIN} {
			if h.Flags()&flag != 0 {
				n++
			}
		}
		f.Ack, f.Flags = h.Seq()+n, wire.RST|wire.ACK
	}
	r, err := s.Lookup(netip.Addr{}, p.Src, 0, p.Mark)
	if err != nil {
		return
	}
	q := pkt.New()
	seg := wire.TCP(q.Append(wire.TCPMinLen))
	seg.Put(&f)
	q.Src, q.Dst, q.Proto, q.DF = p.Dst, p.Src, unix.IPPROTO_TCP, true
	q.TTL = s.SelectTTL(q.Dst, -1)
	q.Conn, q.ConnInfo, q.Answers = p.Conn, p.ConnInfo, p.Conn != nil
	seg.SetChecksum(^q.SumFrom(0, wire.PseudoSum(q.Src, q.Dst, q.Proto, wire.TCPMinLen)))
	q.Hash = wire.FlowHash(q.Src, q.Dst, f.SrcPort, f.DstPort)
	s.Output(q, &r)
}
