package tmpfs

import (
	"math/bits"
	"slices"

	"casemate/platform/memfile"

	"golang.org/x/sys/unix"
)

const (
	chunkPages = 16
	chunkShift = pageShift + 4
	chunkSize  = 1 << chunkShift
	leafChunks = 64
	leafShift  = chunkShift + 6
	// aheadSize is how much of the memory file a large file takes at once, so that
	// its chunks are neighbours there.
	aheadSize = 2 << 20
)

// A pageTable says where the pages of a file are in the memory file. It is
// sparse: leaves of 4 MiB, of chunks of 64 KiB.
type pageTable struct {
	first leaf // of offset 0
	rest  map[uint64]*leaf
	keys  []uint64      // of rest, in order
	ahead memfile.Range // allocated, for the chunks to come
	pages uint64        // how many pages there are
}

// A leaf has the chunks of 4 MiB, as many as are used.
type leaf struct{ chunks []chunk }

// A chunk is 16 pages. If it is whole, its pages are side by side from base on
// and present says which count as existing; else page has the place of each
// existing one.
type chunk struct {
	base    uint64
	page    *[chunkPages]uint64
	present uint16
	whole   bool
}

// chunk returns the chunk of off; nil if there is none.
func (t *pageTable) chunk(off uint64) *chunk {
	l := &t.first
	if i := off >> leafShift; i != 0 {
		if l = t.rest[i]; l == nil {
			return nil
		}
	}
	i := int(off >> chunkShift % leafChunks)
	if i >= len(l.chunks) {
		return nil
	}
	return &l.chunks[i]
}

// makeChunk returns the chunk of off, empty if it is new.
func (t *pageTable) makeChunk(off uint64) *chunk {
	l := &t.first
	if i := off >> leafShift; i != 0 {
		if l = t.rest[i]; l == nil {
			if t.rest == nil {
				t.rest = make(map[uint64]*leaf)
			}
			l = &leaf{}
			t.rest[i] = l
			k, _ := slices.BinarySearch(t.keys, i)
			t.keys = slices.Insert(t.keys, k, i)
		}
	}
	i := int(off >> chunkShift % leafChunks)
	for i >= len(l.chunks) {
		l.chunks = append(l.chunks, chunk{})
	}
	return &l.chunks[i]
}

// at returns where the page of off is; false for a hole.
func (c *chunk) at(off uint64) (uint64, bool) {
	p := off >> pageShift % chunkPages
	if c == nil || c.present>>p&1 == 0 {
		return 0, false
	}
	if c.whole {
		return c.base + p<<pageShift, true
	}
	return c.page[p], true
}

// run returns where the bytes from off on are, and how many of the length bytes are
// there side by side; ok is false for a hole of that length.
func (t *pageTable) run(off, length uint64) (at, n uint64, ok bool) {
	in := off % pageSize
	at, ok = t.chunk(off).at(off)
	n = pageSize - in
	for n < length {
		next, more := t.chunk(off + n).at(off + n)
		if more != ok || ok && next != at+in+n {
			break
		}
		if !ok && t.chunk(off+n) == nil {
			// A hole of a whole chunk, or up to the next leaf.
			n = t.skip(off+n) - off
			continue
		}
		n += pageSize
	}
	return at + in, min(n, length), ok
}

// skip returns where the hole at off, in which there is no chunk, may end: at the
// next chunk or leaf.
func (t *pageTable) skip(off uint64) uint64 {
	i := off >> leafShift
	if i == 0 && int(off>>chunkShift) < len(t.first.chunks) || t.rest[i] != nil {
		return off&^(chunkSize-1) + chunkSize
	}
	if k, _ := slices.BinarySearch(t.keys, i+1); k < len(t.keys) {
		return t.keys[k] << leafShift
	}
	return 1 << 63
}

// next returns the first offset from off on, below end, that is data or a hole;
// end if there is none.
func (t *pageTable) next(off, end uint64, data bool) uint64 {
	for off < end {
		_, n, ok := t.run(off, end-off)
		if ok == data {
			return off
		}
		off += n
	}
	return end
}

// fill makes the page of off exist; and all of its chunk below end too, if that
// is a chunk of its own. It returns how many pages are new. fs.addPages has been
// asked for as many as missing says.
func (r *regular) fill(off uint64, whole bool) error {
	t := &r.table
	c := t.makeChunk(off)
	p := off >> pageShift % chunkPages
	if c.present>>p&1 != 0 {
		return nil
	}
	if err := r.fs.addPages(1); err != nil {
		return err
	}
	if !c.whole {
		if c.present == 0 && whole {
			base, err := t.take(r.fs.mem)
			if err != nil {
				r.fs.freePages(1)
				return err
			}
			c.base, c.whole = base, true
		} else {
			one, err := r.fs.mem.Allocate(pageSize)
			if err != nil {
				r.fs.freePages(1)
				return unix.ENOSPC
			}
			if c.page == nil {
				c.page = new([chunkPages]uint64)
			}
			c.page[p] = one.Start
		}
	}
	c.present |= 1 << p
	t.pages++
	return nil
}

// take returns the place of a new chunk.
func (t *pageTable) take(mem *memfile.File) (uint64, error) {
	if t.ahead.Len() == 0 {
		size := uint64(chunkSize)
		if t.pages >= aheadSize/pageSize {
			size = aheadSize
		}
		a, err := mem.Allocate(size)
		if err != nil {
			return 0, unix.ENOSPC
		}
		t.ahead = a
	}
	base := t.ahead.Start
	t.ahead.Start += chunkSize
	return base, nil
}

// cut takes the pages in [from, to), both multiples of the page size, out of the
// table. It returns the ranges to release.
func (t *pageTable) cut(from, to uint64, free []memfile.Range) []memfile.Range {
	k, _ := slices.BinarySearch(t.keys, from>>leafShift)
	kept := t.keys[:k]
	for ; k < len(t.keys); k++ {
		i := t.keys[k]
		lo, hi := max(from, i<<leafShift), min(to, (i+1)<<leafShift)
		if lo >= hi {
			break
		}
		free = t.cutLeaf(t.rest[i], lo, hi, free)
		if len(t.rest[i].chunks) == 0 {
			delete(t.rest, i)
		} else {
			kept = append(kept, i)
		}
	}
	t.keys = append(kept, t.keys[k:]...)
	if from < 1<<leafShift {
		free = t.cutLeaf(&t.first, from, min(to, 1<<leafShift), free)
	}
	return free
}

func (t *pageTable) cutLeaf(l *leaf, from, to uint64, free []memfile.Range) []memfile.Range {
	for off := from; off < to; {
		i := int(off >> chunkShift % leafChunks)
		if i >= len(l.chunks) {
			break
		}
		end := min(to, off&^(chunkSize-1)+chunkSize)
		c := &l.chunks[i]
		lo := off >> pageShift % chunkPages
		n := (end - off) >> pageShift
		mask := uint16((1<<n - 1) << lo)
		t.pages -= uint64(bits.OnesCount16(c.present & mask))
		if c.whole {
			if c.present&^mask == 0 {
				free = append(free, memfile.Range{Start: c.base, End: c.base + chunkSize})
				*c = chunk{}
			} else if c.present&mask != 0 {
				// The pages lose their place; what is left of the chunk stays.
				free = c.split(free)
				free = c.cutPages(mask, free)
			}
		} else {
			free = c.cutPages(mask, free)
		}
		off = end
	}
	for n := len(l.chunks); n > 0 && l.chunks[n-1].present == 0 && !l.chunks[n-1].whole; n-- {
		l.chunks = l.chunks[:n-1]
	}
	return free
}

// split turns a whole chunk into one of single pages; those that do not exist are
// released.
func (c *chunk) split(free []memfile.Range) []memfile.Range {
	c.page = new([chunkPages]uint64)
	for p := range uint64(chunkPages) {
		at := c.base + p<<pageShift
		if c.present>>p&1 != 0 {
			c.page[p] = at
		} else {
			free = append(free, memfile.Range{Start: at, End: at + pageSize})
		}
	}
	c.whole, c.base = false, 0
	return free
}

// cutPages takes single pages out.
func (c *chunk) cutPages(mask uint16, free []memfile.Range) []memfile.Range {
	for p := range uint64(chunkPages) {
		if c.present&mask>>p&1 != 0 {
			at := c.page[p]
			c.page[p] = 0
			free = append(free, memfile.Range{Start: at, End: at + pageSize})
		}
	}
	c.present &^= mask
	if c.present == 0 {
		c.page = nil
	}
	return free
}
