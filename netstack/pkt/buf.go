package pkt

import "sync/atomic"

// Sizes of the storage classes. A class is chosen by the number of bytes asked
// for; nothing larger than LargeSize is ever allocated as one piece.
const (
	SmallSize  = 2048
	MediumSize = 16384
	LargeSize  = 65536
)

// Buf is storage for packet data, shared by reference count. The bytes that a
// Frag refers to are immutable; the bytes behind the last Frag's end may be
// filled by the one owner that allocated the Buf.
type Buf struct {
	refs  atomic.Int32
	class uint8
	data  []byte
}

const (
	classSmall = iota
	classMedium
	classLarge
	classes
)

var pools = [classes]pool{
	classSmall:  {class: classSmall, size: SmallSize},
	classMedium: {class: classMedium, size: MediumSize},
	classLarge:  {class: classLarge, size: LargeSize},
}

// Alloc returns a Buf with one reference and room for at least min(n,
// LargeSize) bytes. Its content is unspecified.
func Alloc(n int) *Buf {
	c := classLarge
	switch {
	case n <= SmallSize:
		c = classSmall
	case n <= MediumSize:
		c = classMedium
	}
	b := pools[c].get()
	b.refs.Store(1)
	return b
}

// Ref takes another reference.
func (b *Buf) Ref() { b.refs.Add(1) }

// Unref drops a reference; the last one returns the storage to its pool.
func (b *Buf) Unref() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		pools[b.class].put(b)
	case n < 0:
		panic("pkt: Buf released twice")
	}
}

// Bytes is the whole storage.
func (b *Buf) Bytes() []byte { return b.data }

// Cap is the size of the storage in bytes.
func (b *Buf) Cap() int { return len(b.data) }

// Frag is a run of bytes in a Buf. It owns one reference when it stands in a
// Packet or a queue.
type Frag struct {
	Buf *Buf
	Off uint32
	Len uint32
}

// Bytes returns the run. The caller must not write to it.
func (f Frag) Bytes() []byte { return f.Buf.data[f.Off : f.Off+f.Len] }

// Cost is the memory, in bytes, that holding f is charged for: its length, or
// more when it pins a Buf of which it uses little.
func (f Frag) Cost() int {
	n, c := int(f.Len), f.Buf.Cap()
	if n*2 >= c {
		return n + bufOverhead
	}
	return min(c, n+SmallSize) + bufOverhead
}

const bufOverhead = 64
