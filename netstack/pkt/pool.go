package pkt

import "sync"

// hot is how many free Bufs of a class are kept in the order of their use: 2 MiB of the largest.
const hot = 32

// A pool has the free Bufs of a class. The one that was given back last is taken first, by
// whichever processor: the caches still have it, while a sync.Pool, whose processors take from
// each other what has lain longest, walks through all that were ever in use together.
type pool struct {
	class uint8
	size  int

	mu   sync.Mutex
	n    int
	free [hot]*Buf

	more sync.Pool // what free has no room for
}

// get takes a Buf or makes one. Its reference count is 0.
func (p *pool) get() *Buf {
	p.mu.Lock()
	if p.n > 0 {
		p.n--
		b := p.free[p.n]
		p.free[p.n] = nil
		p.mu.Unlock()
		return b
	}
	p.mu.Unlock()
	if b, ok := p.more.Get().(*Buf); ok {
		return b
	}
	b := &Buf{class: p.class}
	if p.size > 0 {
		b.data = make([]byte, p.size)
	}
	return b
}

// put gives back a Buf that nobody refers to.
func (p *pool) put(b *Buf) {
	p.mu.Lock()
	if p.n < hot {
		p.free[p.n] = b
		p.n++
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.more.Put(b)
}
