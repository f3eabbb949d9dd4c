package tcp

import "sort"

// outOfOrder keeps a segment that lies beyond a gap.
func (e *Endpoint) outOfOrder(g *segment, seq, end uint32, fin bool) {
	r := &e.rcv
	e.proto.ip.Counters.TCP.TCPOFOQueue.Inc()
	e.info.rcvOOO++
	r.ackDue = true
	e.quickMode(2)
	// Cut what is there already from both ends; a segment that spans others is cut into pieces.
	lo := sort.Search(len(r.ooo), func(i int) bool { return !before(r.ooo[i].end, seq) })
	if lo < len(r.ooo) {
		o := &r.ooo[lo]
		if !after(o.seq, seq) { // overlaps or touches the front
			if !after(end, o.end) {
				if before(seq, end) {
					e.dsack(seq, end)
				}
				o.fin = o.fin || fin && end == o.end
				r.oooStamp++
				o.stamp = r.oooStamp
				return
			}
			if o.fin {
				return // data behind a FIN
			}
			if d := o.end - seq; d > 0 {
				e.dsack(seq, o.end)
				g.p.TrimFront(int(d))
			}
			e.growOOO(lo, g, end, fin)
			return
		}
	}
	r.ooo = append(r.ooo, oooSegment{})
	copy(r.ooo[lo+1:], r.ooo[lo:])
	r.ooo[lo] = oooSegment{seq: seq, end: seq}
	e.growOOO(lo, g, end, fin)
}

// growOOO appends g's data, which starts at the end of entry i, to it and joins
// entries that this makes touch.
func (e *Endpoint) growOOO(i int, g *segment, end uint32, fin bool) {
	r := &e.rcv
	o := &r.ooo[i]
	was := o.q.cost
	takeFrags(&o.q, g.p)
	r.oooCost += o.q.cost - was
	e.charge(o.q.cost - was)
	o.end, o.fin = end, fin
	for i+1 < len(r.ooo) && !after(r.ooo[i+1].seq, o.end) {
		n := &r.ooo[i+1]
		was := o.q.cost + n.q.cost
		if after(o.end, n.seq) {
			e.dsackMore(n.seq, minSeq(o.end, n.end))
		}
		if over := o.end - n.seq; int32(over) >= int32(n.end-n.seq) {
			if o.end == n.end {
				o.fin = o.fin || n.fin
			}
			n.q.clear()
		} else {
			n.q.drop(int(over))
			for k := range n.q.f.n {
				o.q.add(*n.q.f.at(k))
			}
			n.q = dataQueue{}
			o.end, o.fin = n.end, n.fin
		}
		r.oooCost += o.q.cost - was
		e.charge(o.q.cost - was)
		r.ooo = append(r.ooo[:i+1], r.ooo[i+2:]...)
		o = &r.ooo[i]
	}
	r.oooStamp++
	o.stamp = r.oooStamp
}

// drainOOO moves what has become in order to the receive queue.
func (e *Endpoint) drainOOO() {
	r := &e.rcv
	high := r.nxt
	for len(r.ooo) > 0 && !after(r.ooo[0].seq, r.nxt) {
		o := &r.ooo[0]
		if before(o.seq, high) {
			e.dsack(o.seq, minSeq(o.end, high))
		}
		was := r.q.cost + r.oooCost
		r.oooCost -= o.q.cost
		fin := o.fin
		if over := r.nxt - o.seq; int32(over) < int32(o.end-o.seq) {
			if over > 0 {
				o.q.drop(int(over))
			}
			for k := range o.q.f.n {
				r.q.add(*o.q.f.at(k))
			}
			e.info.bytesReceived += uint64(o.end - r.nxt)
			r.nxt = o.end
		} else {
			o.q.clear()
			fin = fin && o.end == r.nxt
		}
		e.charge(r.q.cost + r.oooCost - was)
		r.ooo = append(r.ooo[:0], r.ooo[1:]...)
		if fin {
			e.gotFIN()
			e.charge(-r.oooCost)
			r.dropOOO()
			return
		}
	}
	if len(r.ooo) == 0 {
		r.ooo = nil
	}
}
