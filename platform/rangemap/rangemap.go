// Package rangemap is an ordered map from disjoint half-open ranges of uint64 to
// values: the mappings of an address space, the references to a file's pages.
//
// The entries lie sorted in leaves of bounded size, which a sorted slice holds:
// two binary searches find an entry, and an insertion moves little memory even
// with a hundred thousand entries.
package rangemap

import "sort"

// leafMax is the largest number of entries in a leaf.
const leafMax = 32

// A Value belongs to a range and can be cut and joined with it.
type Value[V any] interface {
	// Advance returns the value of the part of an entry that begins delta
	// after the entry's start.
	Advance(delta uint64) V
	// Continues says whether an entry with this value that begins where one
	// with value prev and length prevLen ends can be one entry with it, with
	// value prev.
	Continues(prev V, prevLen uint64) bool
}

// An Entry says that [Start, End) has a value. A caller may change Value in
// place, and nothing else.
type Entry[V Value[V]] struct {
	Start, End uint64
	Value      V
}

// Len is the length of the range.
func (e *Entry[V]) Len() uint64 { return e.End - e.Start }

type leaf[V Value[V]] struct {
	entries []Entry[V]
	// maxGap is the largest gap in front of an entry of the leaf, valid unless
	// stale. The gap in front of the first entry counts from the leaf before.
	maxGap uint64
	stale  bool
}

// A Map is the ordered map. The zero Map is empty. It has no lock.
type Map[V Value[V]] struct {
	leaves []*leaf[V]
	count  int
	spare  *leaf[V] // an empty leaf, for the next that is needed
}

// A Cursor points to an entry or past the last one. It is invalid after any
// change of the map but those of the Value.
type Cursor[V Value[V]] struct {
	m    *Map[V]
	leaf int
	pos  int
}

// Len is the number of entries.
func (m *Map[V]) Len() int { return m.count }

// Clone returns a copy.
func (m *Map[V]) Clone() Map[V] {
	c := Map[V]{leaves: make([]*leaf[V], len(m.leaves)), count: m.count}
	for i, l := range m.leaves {
		c.leaves[i] = &leaf[V]{entries: append(make([]Entry[V], 0, leafMax), l.entries...), maxGap: l.maxGap, stale: l.stale}
	}
	return c
}

// Seek returns the Cursor of the first entry that ends after addr: the one which
// contains addr, or else the next.
func (m *Map[V]) Seek(addr uint64) Cursor[V] {
	lo, hi := 0, len(m.leaves)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		es := m.leaves[mid].entries
		if es[len(es)-1].End > addr {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo == len(m.leaves) {
		return Cursor[V]{m, lo, 0}
	}
	es := m.leaves[lo].entries
	i, j := 0, len(es)-1
	for i < j {
		mid := int(uint(i+j) / 2)
		if es[mid].End > addr {
			j = mid
		} else {
			i = mid + 1
		}
	}
	return Cursor[V]{m, lo, i}
}

// First returns the Cursor of the first entry.
func (m *Map[V]) First() Cursor[V] { return Cursor[V]{m, 0, 0} }

// Find returns the entry that contains addr, or nil. The pointer holds until the
// next change of the map.
func (m *Map[V]) Find(addr uint64) *Entry[V] {
	c := m.Seek(addr)
	if e := c.Entry(); e != nil && e.Start <= addr {
		return e
	}
	return nil
}

// Entry returns the entry at the Cursor, or nil past the end (or before the
// beginning).
func (c Cursor[V]) Entry() *Entry[V] {
	if c.leaf < 0 || c.leaf >= len(c.m.leaves) {
		return nil
	}
	return &c.m.leaves[c.leaf].entries[c.pos]
}

// Next returns the Cursor after c.
func (c Cursor[V]) Next() Cursor[V] {
	if c.leaf < len(c.m.leaves) {
		if c.leaf < 0 {
			return c.m.First()
		}
		c.pos++
		if c.pos == len(c.m.leaves[c.leaf].entries) {
			c.leaf++
			c.pos = 0
		}
	}
	return c
}

// Prev returns the Cursor before c; its Entry is nil if there is none.
func (c Cursor[V]) Prev() Cursor[V] {
	if c.pos > 0 {
		c.pos--
		return c
	}
	c.leaf--
	if c.leaf >= 0 {
		c.pos = len(c.m.leaves[c.leaf].entries) - 1
	} else {
		c.leaf = -1
	}
	return c
}

// touch marks the gaps as changed at leaf i and the one after it.
func (m *Map[V]) touch(i int) {
	for _, j := range [2]int{i, i + 1} {
		if j < len(m.leaves) {
			m.leaves[j].stale = true
		}
	}
}

func (m *Map[V]) newLeaf() *leaf[V] {
	l := m.spare
	m.spare = nil
	if l == nil {
		l = &leaf[V]{entries: make([]Entry[V], 0, leafMax)}
	}
	l.stale = true
	return l
}

// insertAt puts e in front of the entry at c.
func (m *Map[V]) insertAt(c Cursor[V], e Entry[V]) {
	m.count++
	if len(m.leaves) == 0 {
		l := m.newLeaf()
		l.entries = append(l.entries, e)
		m.leaves = append(m.leaves, l)
		return
	}
	if c.leaf == len(m.leaves) || (c.pos == 0 && c.leaf > 0 && len(m.leaves[c.leaf].entries) == leafMax) {
		c.leaf--
		c.pos = len(m.leaves[c.leaf].entries)
	}
	l := m.leaves[c.leaf]
	if len(l.entries) == leafMax {
		// Split. Appending at the end keeps full leaves full.
		at := leafMax / 2
		if c.pos == leafMax {
			at = leafMax
		}
		right := m.newLeaf()
		right.entries = append(right.entries, l.entries[at:]...)
		clear(l.entries[at:])
		l.entries = l.entries[:at]
		m.leaves = append(m.leaves, nil)
		copy(m.leaves[c.leaf+2:], m.leaves[c.leaf+1:])
		m.leaves[c.leaf+1] = right
		l.stale = true
		if c.pos >= at {
			c.leaf++
			c.pos -= at
			l = right
		}
	}
	l.entries = append(l.entries, e)
	copy(l.entries[c.pos+1:], l.entries[c.pos:])
	l.entries[c.pos] = e
	m.touch(c.leaf)
}

// removeAt removes the entry at c and returns the Cursor of the one after it.
func (m *Map[V]) removeAt(c Cursor[V]) Cursor[V] {
	m.count--
	l := m.leaves[c.leaf]
	copy(l.entries[c.pos:], l.entries[c.pos+1:])
	last := len(l.entries) - 1
	l.entries[last] = Entry[V]{}
	l.entries = l.entries[:last]
	if last == 0 {
		m.spare = l
		copy(m.leaves[c.leaf:], m.leaves[c.leaf+1:])
		m.leaves[len(m.leaves)-1] = nil
		m.leaves = m.leaves[:len(m.leaves)-1]
		m.touch(c.leaf)
		return c
	}
	m.touch(c.leaf)
	if c.pos == last {
		return Cursor[V]{m, c.leaf + 1, 0}
	}
	return c
}

// Insert adds [start, end), which must be free and not empty, with value v. It
// joins nothing.
func (m *Map[V]) Insert(start, end uint64, v V) {
	m.insertAt(m.Seek(start), Entry[V]{start, end, v})
}

// Split makes addr a boundary between two entries if it lies within one.
func (m *Map[V]) Split(addr uint64) {
	c := m.Seek(addr)
	e := c.Entry()
	if e == nil || e.Start >= addr {
		return
	}
	right := Entry[V]{addr, e.End, e.Value.Advance(addr - e.Start)}
	e.End = addr
	m.insertAt(m.Seek(addr), right)
}

// Remove frees [start, end), cutting the entries at its ends.
func (m *Map[V]) Remove(start, end uint64) {
	m.Split(start)
	m.Split(end)
	c := m.Seek(start)
	for e := c.Entry(); e != nil && e.Start < end; e = c.Entry() {
		c = m.removeAt(c)
	}
}

// Join joins the entries that touch or lie in [start, end] with their
// neighbours where their values allow.
func (m *Map[V]) Join(start, end uint64) {
	c := m.Seek(start)
	if p := c.Prev().Entry(); p != nil && p.End == start {
		c = c.Prev()
	}
	for e := c.Entry(); e != nil && e.End <= end; e = c.Entry() {
		next := c.Next()
		n := next.Entry()
		if n == nil {
			return
		}
		if n.Start != e.End || !n.Value.Continues(e.Value, e.Len()) {
			c = next
			continue
		}
		e.End = n.End
		m.touch(c.leaf)
		m.removeAt(next)
	}
}

// gaps returns the largest gap in front of an entry of leaf i.
func (m *Map[V]) gaps(i int) uint64 {
	l := m.leaves[i]
	if l.stale {
		prev := uint64(0)
		if i > 0 {
			before := m.leaves[i-1].entries
			prev = before[len(before)-1].End
		}
		l.maxGap = 0
		for j := range l.entries {
			e := &l.entries[j]
			l.maxGap = max(l.maxGap, e.Start-prev)
			prev = e.End
		}
		l.stale = false
	}
	return l.maxGap
}

// LastGap returns the start of the highest free range of the given length that
// lies within [lo, hi), begins at a multiple of align (a power of two), and has
// nothing in it.
func (m *Map[V]) LastGap(lo, hi, length, align uint64) (uint64, bool) {
	fits := func(from, to uint64) (uint64, bool) {
		from, to = max(from, lo), min(to, hi)
		if to < length {
			return 0, false
		}
		at := (to - length) &^ (align - 1)
		return at, at >= from && from <= to
	}
	// Start with the gap in front of the first entry that begins at or after hi.
	at := sort.Search(len(m.leaves), func(i int) bool { es := m.leaves[i].entries; return es[len(es)-1].Start >= hi })
	if at == len(m.leaves) {
		end := uint64(0)
		if at > 0 {
			es := m.leaves[at-1].entries
			end = es[len(es)-1].End
		}
		if a, ok := fits(end, ^uint64(0)); ok {
			return a, true
		}
		at--
	}
	for i := at; i >= 0; i-- {
		es := m.leaves[i].entries
		if es[len(es)-1].End <= lo {
			return 0, false
		}
		if m.gaps(i) < length {
			continue
		}
		for j := len(es) - 1; j >= 0; j-- {
			prev := uint64(0)
			if j > 0 {
				prev = es[j-1].End
			} else if i > 0 {
				before := m.leaves[i-1].entries
				prev = before[len(before)-1].End
			}
			if a, ok := fits(prev, es[j].Start); ok {
				return a, true
			}
		}
	}
	return 0, false
}

// FirstGap is LastGap from the other end.
func (m *Map[V]) FirstGap(lo, hi, length, align uint64) (uint64, bool) {
	fits := func(from, to uint64) (uint64, bool) {
		from, to = max(from, lo), min(to, hi)
		at := (from + align - 1) &^ (align - 1)
		return at, at >= from && at <= to && to-at >= length
	}
	c := m.Seek(lo)
	end := uint64(0)
	if p := c.Prev().Entry(); p != nil {
		end = p.End
	}
	for i := c.leaf; i < len(m.leaves); i++ {
		es := m.leaves[i].entries
		if end >= hi {
			return 0, false
		}
		if i > c.leaf && m.gaps(i) < length {
			end = es[len(es)-1].End
			continue
		}
		j := 0
		if i == c.leaf {
			j = c.pos
		}
		for ; j < len(es); j++ {
			if a, ok := fits(end, es[j].Start); ok {
				return a, true
			}
			end = es[j].End
		}
	}
	return fits(end, ^uint64(0))
}
