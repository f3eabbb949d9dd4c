// Package pkt has the packet buffers of the stack: reference-counted storage
// (Buf), runs of it (Frag), and packets made of a contiguous header area and a
// short list of Frags (Packet). Data that enters the stack is copied once into
// a Buf, unless it is in one that the source lends, and from then on only referred to: by the sender's retransmission
// queue, by packets on their way and by the receiver's queue.
//
// Nothing here locks. A Packet has one owner at a time; a Buf may be read by
// many.
package pkt

import (
	"net/netip"
	"sync"
)

// Geometry of a Packet.
const (
	// MaxFrags is how many Frags a packet holds: 64 KiB in pieces of 4 KiB, and one.
	MaxFrags = 17
	// headroom is what senders may Prepend: virtio-net, Ethernet, VLAN, IP with options, TCP with options.
	headroom = 192
	// hdrSize bounds the header area; hdrSize-headroom bytes of a received packet can be pulled together.
	hdrSize = 576
)

// Checksum states of a Packet.
const (
	// CsumNone: the checksum stands in the header and has not been checked.
	CsumNone = iota
	// CsumPartial: the field holds the pseudo-header sum; whoever sends the packet to a wire completes it.
	CsumPartial
	// CsumValid: known to be right; need not be checked.
	CsumValid
)

// Packet types as in struct sockaddr_ll (packet(7)).
const (
	ToHost = iota
	Broadcast
	Multicast
	OtherHost
	Outgoing
)

// Receiver takes packets that arrive; it becomes their owner.
type Receiver interface {
	Receive(p *Packet)
}

// Tag is a VLAN tag (IEEE 802.1Q section 9.6). The zero Tag is none.
type Tag struct {
	Type uint16 // ETH_P_8021Q or ETH_P_8021AD
	TCI  uint16 // priority, drop eligibility, number of the VLAN
}

// VLAN is the number of the VLAN; 0 is none: the tag has a priority alone.
func (t Tag) VLAN() uint16 { return t.TCI & 0xfff }

// Packet is a network packet with what is known about it. Header bytes come
// first, the Frags' bytes follow.
type Packet struct {
	// Next links packets in a queue; it belongs to the owner.
	Next *Packet
	// Rx is who gets the packet from a backlog.
	Rx Receiver

	// Src and Dst are the IP addresses, set on input by the network layer and on output by its caller.
	Src, Dst netip.Addr
	// Time is when the packet was received, in ns of the stack's wall clock; 0 when nobody asked.
	Time int64
	// Hash chooses the queue; equal for both directions of a flow.
	Hash uint32
	// Mark is the packet's mark (SO_MARK, nftables).
	Mark uint32
	// Conn is what connection tracking knows of the packet's connection, and ConnInfo how the packet belongs to it; nil
	// and 0 unless packets are filtered. They stay with a packet that comes back by lo.
	Conn     any
	ConnInfo uint8
	// Answers says that Conn and ConnInfo are those of a packet that this one answers.
	Answers bool
	// Owned says that a socket of this host has sent the packet; UID and GID are then its owner's.
	Owned    bool
	UID, GID uint32
	// Followed says that another packet of its flow, in either direction, is received right after it.
	Followed bool
	// InIf is the index of the interface that the packet came in by.
	InIf int32
	// OutIf is the index of the interface that the packet goes out by.
	OutIf int32
	// GSOSize is the payload size of the segments that this packet stands for; 0 if it is one segment.
	GSOSize uint16
	// EtherType is the network protocol (ETH_P_*).
	EtherType uint16
	// Tag is the VLAN tag of a frame, which is not among its bytes.
	Tag Tag
	// NetLen is the length of the network header; on input the header area starts with it.
	NetLen uint16
	// CsumStart and CsumOffset say where CsumPartial's sum starts, counted from the network header, and where it is stored behind that.
	CsumStart, CsumOffset uint16
	// Csum is one of CsumNone, CsumPartial, CsumValid.
	Csum uint8
	// Proto is the transport protocol (IPPROTO_*).
	Proto uint8
	// TTL and TOS are the IP header's.
	TTL, TOS uint8
	// ID and DF are the identification and the don't-fragment flag of the IPv4 header to be made.
	ID uint16
	DF bool
	// Type is one of ToHost, Broadcast, Multicast, OtherHost, Outgoing.
	Type uint8

	nfrags uint8
	h0, h1 uint16
	flen   uint32
	frags  [MaxFrags]Frag
	hdr    [hdrSize]byte
}

var packets = sync.Pool{New: func() any { return new(Packet) }}

// New returns an empty packet with room for headers in front.
func New() *Packet {
	p := packets.Get().(*Packet)
	p.h0, p.h1 = headroom, headroom
	return p
}

// Free drops p and its references to data.
func (p *Packet) Free() {
	p.DropFrags()
	p.Next, p.Rx = nil, nil
	p.Src, p.Dst = netip.Addr{}, netip.Addr{}
	p.Time, p.Hash, p.Mark, p.InIf, p.OutIf = 0, 0, 0, 0, 0
	p.Conn, p.ConnInfo, p.Answers, p.Owned, p.UID, p.GID = nil, 0, false, false, 0, 0
	p.GSOSize, p.EtherType, p.NetLen, p.CsumStart, p.CsumOffset = 0, 0, 0, 0, 0
	p.ID, p.DF, p.Tag = 0, false, Tag{}
	p.Csum, p.Proto, p.TTL, p.TOS, p.Type = 0, 0, 0, 0, 0
	packets.Put(p)
}

// Cross makes a packet that is sent one that rx is about to receive from a wire: what is known of who has
// sent it stays behind.
func (p *Packet) Cross(rx Receiver) {
	p.Rx, p.Mark, p.Type = rx, 0, ToHost
	p.Conn, p.ConnInfo, p.Owned = nil, 0, false
}

// Clone returns a packet with its own headers and shared data.
func (p *Packet) Clone() *Packet {
	c := New()
	h := c.hdr
	*c = *p
	c.hdr = h
	copy(c.hdr[p.h0:p.h1], p.hdr[p.h0:p.h1])
	c.Next, c.Rx = nil, nil
	for i := range c.Frags() {
		c.frags[i].Buf.Ref()
	}
	return c
}

// Len is the length of headers and data in bytes.
func (p *Packet) Len() int { return int(p.h1-p.h0) + int(p.flen) }

// DataLen is the length of the Frags in bytes.
func (p *Packet) DataLen() int { return int(p.flen) }

// Header is the header area as it stands.
func (p *Packet) Header() []byte { return p.hdr[p.h0:p.h1] }

// Prepend makes room for n bytes in front of the header area and returns them;
// their content is unspecified. It panics when the headroom is used up, which
// the sizes of the known headers exclude.
func (p *Packet) Prepend(n int) []byte {
	p.h0 -= uint16(n)
	return p.hdr[p.h0 : int(p.h0)+n : int(p.h0)+n]
}

// Append makes room for n bytes behind the header area and returns them, or
// nil if they do not fit.
func (p *Packet) Append(n int) []byte {
	if int(p.h1)+n > hdrSize {
		return nil
	}
	p.h1 += uint16(n)
	return p.hdr[int(p.h1)-n : p.h1 : p.h1]
}

// Pull makes the first n bytes of the packet contiguous in the header area and
// returns them, or nil if the packet is shorter or the area too small.
func (p *Packet) Pull(n int) []byte {
	have := int(p.h1 - p.h0)
	if have >= n {
		return p.hdr[p.h0 : int(p.h0)+n]
	}
	if n > p.Len() || int(p.h0)+n > hdrSize {
		return nil
	}
	need := n - have
	for need > 0 {
		f := &p.frags[0]
		c := copy(p.hdr[p.h1:int(p.h1)+need], f.Bytes())
		p.h1 += uint16(c)
		need -= c
		p.dropData(c)
	}
	return p.hdr[p.h0:p.h1]
}

// TrimFront drops the first n bytes; n must not exceed Len.
func (p *Packet) TrimFront(n int) {
	h := min(n, int(p.h1-p.h0))
	p.h0 += uint16(h)
	p.dropData(n - h)
}

// dropData drops n bytes of the Frags' front.
func (p *Packet) dropData(n int) {
	i := 0
	for n > 0 {
		f := &p.frags[i]
		if n < int(f.Len) {
			f.Off += uint32(n)
			f.Len -= uint32(n)
			p.flen -= uint32(n)
			break
		}
		n -= int(f.Len)
		p.flen -= f.Len
		f.Buf.Unref()
		i++
	}
	if i > 0 {
		m := copy(p.frags[:], p.frags[i:p.nfrags])
		clear(p.frags[m:p.nfrags])
		p.nfrags = uint8(m)
	}
}

// Truncate cuts the packet to n bytes; longer ones than Len are ignored.
func (p *Packet) Truncate(n int) {
	cut := p.Len() - n
	for cut > 0 && p.nfrags > 0 {
		f := &p.frags[p.nfrags-1]
		if cut < int(f.Len) {
			f.Len -= uint32(cut)
			p.flen -= uint32(cut)
			return
		}
		cut -= int(f.Len)
		p.flen -= f.Len
		f.Buf.Unref()
		*f = Frag{}
		p.nfrags--
	}
	if cut > 0 {
		p.h1 -= uint16(cut)
	}
}

// AddFrag appends f, whose reference passes to the packet. It reports false,
// and leaves the reference with the caller, when the packet is full.
func (p *Packet) AddFrag(f Frag) bool {
	if p.nfrags == MaxFrags {
		return false
	}
	p.frags[p.nfrags] = f
	p.nfrags++
	p.flen += f.Len
	return true
}

// Frags are the packet's runs of data. They stay owned by the packet.
func (p *Packet) Frags() []Frag { return p.frags[:p.nfrags] }

// TakeFrags forgets the Frags without dropping their references: the caller
// has moved them elsewhere.
func (p *Packet) TakeFrags() {
	clear(p.frags[:p.nfrags])
	p.nfrags, p.flen = 0, 0
}

// DropFrags drops the Frags and their references.
func (p *Packet) DropFrags() {
	for i := range p.frags[:p.nfrags] {
		p.frags[i].Buf.Unref()
	}
	p.TakeFrags()
}

// Cost is the memory that holding the packet is charged for, in bytes.
func (p *Packet) Cost() int {
	n := packetOverhead
	for _, f := range p.Frags() {
		n += f.Cost()
	}
	return n
}

const packetOverhead = 1280

// CopyOut copies the packet's bytes from off on into dst and returns how many.
func (p *Packet) CopyOut(off int, dst []byte) int {
	n := 0
	h := p.Header()
	if off < len(h) {
		n = copy(dst, h[off:])
		off = 0
	} else {
		off -= len(h)
	}
	for _, f := range p.Frags() {
		if n == len(dst) {
			break
		}
		b := f.Bytes()
		if off >= len(b) {
			off -= len(b)
			continue
		}
		n += copy(dst[n:], b[off:])
		off = 0
	}
	return n
}

// AddBytes copies b to the end of the packet's data in Bufs of its own. It
// reports false when it does not fit; then nothing has been added.
func (p *Packet) AddBytes(b []byte) bool {
	need := (len(b) + LargeSize - 1) / LargeSize
	if int(p.nfrags)+need > MaxFrags {
		return false
	}
	for len(b) > 0 {
		buf := Alloc(len(b))
		n := copy(buf.data, b)
		p.AddFrag(Frag{Buf: buf, Len: uint32(n)})
		b = b[n:]
	}
	return true
}
