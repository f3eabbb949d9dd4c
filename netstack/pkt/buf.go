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
// filled by the one owner that allocated the Buf, unless it has sealed it.
type Buf struct {
	refs   atomic.Int32
	class  uint8
	sealed bool
	data   []byte

	// Of a Buf of somebody else's memory: whose, and what that calls it.
	owner Owner
	at    uint64
}

// An Owner has memory that Bufs are made of.
type Owner interface {
	// Return is told that the n bytes that it calls at are not used any more by a Buf that
	// was made of them. Any lock of the stack may be held.
	Return(at uint64, n int)
}

const (
	classSmall = iota
	classMedium
	classLarge
	classBorrowed
	classes
)

var pools = [classes]pool{
	classSmall:    {class: classSmall, size: SmallSize},
	classMedium:   {class: classMedium, size: MediumSize},
	classLarge:    {class: classLarge, size: LargeSize},
	classBorrowed: {class: classBorrowed},
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
	b.sealed = false
	return b
}

// Borrow returns a sealed Buf of data, which o calls at, with one reference. As with Linux's
// sendfile(2), data may change while it is under way.
func Borrow(data []byte, o Owner, at uint64) *Buf {
	b := pools[classBorrowed].get()
	b.sealed, b.data, b.owner, b.at = true, data, o, at
	b.refs.Store(1)
	return b
}

// Seal says that nothing more is filled in, before b is given to others.
func (b *Buf) Seal() { b.sealed = true }

// Ref takes another reference.
func (b *Buf) Ref() { b.refs.Add(1) }

// Unref drops a reference; the last one returns the storage to its pool or owner.
func (b *Buf) Unref() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		if o := b.owner; o != nil {
			at, n := b.at, len(b.data)
			b.owner, b.data = nil, nil
			pools[b.class].put(b)
			o.Return(at, n)
			return
		}
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

// Room returns the run of no bytes behind f, with a reference for the caller; false if
// nothing can be filled in there.
func (f Frag) Room() (Frag, bool) {
	end := f.Off + f.Len
	if f.Buf.sealed || int(end) == f.Buf.Cap() {
		return Frag{}, false
	}
	f.Buf.Ref()
	return Frag{Buf: f.Buf, Off: end}, true
}

// A Lender is a source of bytes that may have some of them in Bufs already.
type Lender interface {
	// Lend returns the next bytes, at most n, of a sealed Buf, with a reference for the caller. It returns false if
	// they are to be read.
	Lend(n int) (Frag, bool)
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
