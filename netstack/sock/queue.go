package sock

import (
	"io"

	"casemate/netstack/pkt"
	"golang.org/x/sys/unix"
)

// Queue is the receive queue of a datagram socket. The socket's lock guards it.
type Queue struct {
	head, tail *pkt.Packet
	cost       int
	drops      uint32
}

// Put appends p, whose owner it becomes, and reports whether there was room
// under the limit of bytes charged; one packet always has room.
func (q *Queue) Put(p *pkt.Packet, limit int) bool {
	c := p.Cost()
	if q.cost > 0 && q.cost+c > limit {
		q.drops++
		return false
	}
	p.Next = nil
	if q.tail == nil {
		q.head = p
	} else {
		q.tail.Next = p
	}
	q.tail = p
	q.cost += c
	return true
}

// Take removes the first packet, or with peek returns a clone of it; nil if
// there is none.
func (q *Queue) Take(peek bool) *pkt.Packet {
	p := q.head
	if p == nil {
		return nil
	}
	if peek {
		return p.Clone()
	}
	if q.head = p.Next; q.head == nil {
		q.tail = nil
	}
	q.cost -= p.Cost()
	p.Next = nil
	return p
}

// First is the first packet, still in the queue, or nil.
func (q *Queue) First() *pkt.Packet { return q.head }

// Charged is the memory that the queue is charged for, in bytes.
func (q *Queue) Charged() int { return q.cost }

// Drops counts the packets for which there was no room.
func (q *Queue) Drops() uint32 { return q.drops }

// Clear drops all packets.
func (q *Queue) Clear() {
	for p := q.Take(false); p != nil; p = q.Take(false) {
		p.Free()
	}
}

// CopyTo gives the first n bytes of p to w: w's errno, or EFAULT, if it does
// not take all.
func CopyTo(w io.Writer, p *pkt.Packet, n int) error {
	if err := put(w, p.Header(), &n); err != nil {
		return err
	}
	for _, f := range p.Frags() {
		if err := put(w, f.Bytes(), &n); err != nil {
			return err
		}
	}
	return nil
}

func put(w io.Writer, b []byte, n *int) error {
	b = b[:min(len(b), *n)]
	if len(b) == 0 {
		return nil
	}
	k, err := w.Write(b)
	*n -= k
	if k < len(b) {
		return Fault(err)
	}
	return nil
}

// Fill reads n bytes from r into p: r's errno, or EFAULT, if there are fewer.
func Fill(p *pkt.Packet, r io.Reader, n int) error {
	for n > 0 {
		b := pkt.Alloc(n)
		k := min(n, b.Cap())
		if _, err := io.ReadFull(r, b.Bytes()[:k]); err != nil {
			b.Unref()
			return Fault(err)
		}
		if f := (pkt.Frag{Buf: b, Len: uint32(k)}); !p.AddFrag(f) {
			b.Unref()
			return unix.ENOBUFS
		}
		n -= k
	}
	return nil
}

// Fault is the errno of a failed copy.
func Fault(err error) error {
	if e, ok := err.(unix.Errno); ok {
		return e
	}
	return unix.EFAULT
}

// FillControl sets the ancillary data that options ask for about a received
// packet. SpecDst is the destination, which the caller replaces for multicasts.
func FillControl(o *Options, family int, p *pkt.Packet, m *Msg, drops uint32) {
	c := &m.Control
	if o.Timestamp.Load() {
		c.Has |= HasTimestamp
		c.Time = p.Time
	}
	v4 := p.Src.Is4()
	if v4 && (o.RecvTTL.Load() || family == unix.AF_INET6 && o.RecvHopLimit.Load()) || !v4 && o.RecvHopLimit.Load() {
		c.Has |= HasTTL
		c.TTL = p.TTL
	}
	if v4 && o.RecvTOS.Load() || !v4 && o.RecvTClass.Load() {
		c.Has |= HasTOS
		c.TOS = p.TOS
	}
	if v4 && o.PktInfo.Load() || o.RecvPktInfo6.Load() {
		c.Has |= HasPktInfo
		c.IfIndex, c.Dst, c.SpecDst = p.InIf, Mapped(family, p.Dst), Mapped(family, p.Dst)
	}
	if o.RxqOvfl.Load() && drops != 0 {
		c.Has |= HasDrops
		c.Drops = drops
	}
}
