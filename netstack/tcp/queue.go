package tcp

import "casemate/netstack/pkt"

// ring is a double-ended queue in a slice whose length is a power of two.
type ring[T any] struct {
	buf  []T
	head int
	n    int
}

func (r *ring[T]) len() int { return r.n }

func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = v
	r.n++
}

func (r *ring[T]) grow() {
	b := make([]T, max(8, 2*len(r.buf)))
	for i := range r.n {
		b[i] = *r.at(i)
	}
	r.buf, r.head = b, 0
}

func (r *ring[T]) pop() T {
	p := &r.buf[r.head]
	v := *p
	var zero T
	*p = zero
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	return v
}

// insert puts v before index i.
func (r *ring[T]) insert(i int, v T) {
	r.push(v)
	for k := r.n - 1; k > i; k-- {
		*r.at(k) = *r.at(k - 1)
	}
	*r.at(i) = v
}

// release gives back a large buffer of an empty ring.
func (r *ring[T]) release() {
	if r.n == 0 && len(r.buf) > 64 {
		r.buf, r.head = nil, 0
	}
}

// dataQueue is bytes in order, in Frags that it owns.
type dataQueue struct {
	f    ring[pkt.Frag]
	size int // bytes
	cost int // memory charged
}

// add appends f, whose reference it takes. Bytes that follow the last ones in
// the same Buf are joined with them.
func (q *dataQueue) add(f pkt.Frag) {
	q.size += int(f.Len)
	if q.f.n > 0 {
		if l := q.f.at(q.f.n - 1); l.Buf == f.Buf && l.Off+l.Len == f.Off {
			q.cost -= l.Cost()
			l.Len += f.Len
			q.cost += l.Cost()
			f.Buf.Unref()
			return
		}
	}
	q.cost += f.Cost()
	q.f.push(f)
}

// drop removes n bytes from the front.
func (q *dataQueue) drop(n int) {
	q.size -= n
	for n > 0 {
		f := q.f.at(0)
		if n < int(f.Len) {
			q.cost -= f.Cost()
			f.Off += uint32(n)
			f.Len -= uint32(n)
			q.cost += f.Cost()
			return
		}
		n -= int(f.Len)
		q.cost -= f.Cost()
		q.f.pop().Buf.Unref()
	}
	q.f.release()
}

func (q *dataQueue) clear() { q.drop(q.size) }

// find is the Frag with the byte at off, and the offset in it.
func (q *dataQueue) find(off int) (i int, in uint32) {
	for {
		f := q.f.at(i)
		if off < int(f.Len) {
			return i, uint32(off)
		}
		off -= int(f.Len)
		i++
	}
}

// addTo appends to p up to n bytes from off on and returns how many; fewer if p
// has no more room for Frags.
func (q *dataQueue) addTo(p *pkt.Packet, off, n int) int {
	if n == 0 {
		return 0
	}
	i, in := q.find(off)
	done := 0
	for ; done < n && i < q.f.n; i++ {
		f := *q.f.at(i)
		f.Off += in
		f.Len = min(f.Len-in, uint32(n-done))
		in = 0
		f.Buf.Ref()
		if !p.AddFrag(f) {
			f.Buf.Unref()
			break
		}
		done += int(f.Len)
	}
	return done
}
