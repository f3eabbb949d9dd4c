package filter

import (
	"casemate/netstack/conntrack"
	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// A Context is a packet at a hook. It is valid while the hook runs.
type Context struct {
	Filter  *Filter
	Packet  *pkt.Packet // starts with its network header
	Hook    int         // NF_INET_*
	Family  uint8       // unix.AF_INET or AF_INET6
	In, Out *ip.Interface

	parsed   bool
	proto    uint8
	at, frag int
}

// Transport is the offset of the transport header, its protocol, and the offset of a
// fragment's data in the whole: if that is not 0, there is no header.
func (c *Context) Transport() (at int, proto uint8, frag int) {
	if !c.parsed {
		c.parsed = true
		if c.Family == unix.AF_INET {
			h := wire.IPv4(c.Packet.Header())
			c.at, c.proto, c.frag = h.HeaderLen(), h.Proto(), h.FragOffset()
		} else {
			c.parse6()
		}
	}
	return c.at, c.proto, c.frag
}

// parse6 goes over extension headers.
func (c *Context) parse6() {
	p := c.Packet
	next, at := wire.IPv6(p.Header()).NextHeader(), wire.IPv6Len
	for {
		n := 8
		switch next {
		case wire.ExtHopByHop, wire.ExtDestination, wire.ExtRouting:
			h := p.Pull(at + 8)
			if h == nil {
				c.at, c.proto, c.frag = at, wire.ExtNone, 0
				return
			}
			n = 8 + int(h[at+1])*8
			next = h[at]
		case wire.ExtFragment:
			h := p.Pull(at + 8)
			if h == nil {
				c.at, c.proto, c.frag = at, wire.ExtNone, 0
				return
			}
			c.frag = int(uint16(h[at+2])<<8|uint16(h[at+3])) &^ 7
			next = h[at]
		default:
			c.at, c.proto = at, next
			return
		}
		at += n
	}
}

// TransportHeader is the first n bytes of the transport header if it is that of proto; nil
// if it is not, or is not there.
func (c *Context) TransportHeader(proto uint8, n int) []byte {
	at, p, frag := c.Transport()
	if p != proto || frag != 0 {
		return nil
	}
	h := c.Packet.Pull(at + n)
	if h == nil {
		return nil
	}
	return h[at:]
}

// Ports are the ports of a protocol that has them.
func (c *Context) Ports() (src, dst uint16, ok bool) {
	at, proto, frag := c.Transport()
	switch proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP:
	default:
		return 0, 0, false
	}
	h := c.Packet.Pull(at + 4)
	if frag != 0 || h == nil {
		return 0, 0, false
	}
	h = h[at:]
	return uint16(h[0])<<8 | uint16(h[1]), uint16(h[2])<<8 | uint16(h[3]), true
}

// Conn is the packet's connection, or nil.
func (c *Context) Conn() *conntrack.Conn {
	conn, _ := c.Packet.Conn.(*conntrack.Conn)
	return conn
}

// Info is how the packet belongs to its connection.
func (c *Context) Info() conntrack.Info { return conntrack.Info(c.Packet.ConnInfo) }

// Name is the name of an interface, "" for nil.
func Name(i *ip.Interface) string {
	if i == nil {
		return ""
	}
	return i.Name()
}

// TCPOption finds an option of a TCP segment: its offset in the packet and its length, kind
// and length bytes included.
func (c *Context) TCPOption(kind uint8) (at, n int, ok bool) {
	h := wire.TCP(c.TransportHeader(unix.IPPROTO_TCP, wire.TCPMinLen))
	if h == nil {
		return 0, 0, false
	}
	hl := h.HeaderLen()
	if h = c.TransportHeader(unix.IPPROTO_TCP, hl); h == nil || hl < wire.TCPMinLen {
		return 0, 0, false
	}
	base, _, _ := c.Transport()
	for i := wire.TCPMinLen; i < hl; {
		l := 1
		if h[i] > wire.OptNop {
			if i+1 >= hl || h[i+1] < 2 || i+int(h[i+1]) > hl {
				return 0, 0, false
			}
			l = int(h[i+1])
		}
		if h[i] == kind {
			return base + i, l, true
		}
		if h[i] == wire.OptEnd {
			break
		}
		i += l
	}
	return 0, 0, false
}

// ExtensionHeader finds an IPv6 extension header: its offset and length.
func (c *Context) ExtensionHeader(proto uint8) (at, n int, ok bool) {
	p := c.Packet
	next, at := wire.IPv6(p.Header()).NextHeader(), wire.IPv6Len
	for {
		switch next {
		case wire.ExtHopByHop, wire.ExtDestination, wire.ExtRouting, wire.ExtFragment:
		default:
			return 0, 0, false
		}
		h := p.Pull(at + 8)
		if h == nil {
			return 0, 0, false
		}
		if n = 8; next != wire.ExtFragment {
			n += int(h[at+1]) * 8
		}
		if next == proto {
			return at, n, true
		}
		next = h[at]
		at += n
	}
}

// ClampedMSS is the largest segment that fits into an MTU.
func (c *Context) ClampedMSS(mtu int) int {
	n := wire.IPv4MinLen
	if c.Family == unix.AF_INET6 {
		n = wire.IPv6Len
	}
	return max(mtu-n-wire.TCPMinLen, 0)
}
