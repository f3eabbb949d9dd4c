package backlog

import "casemate/netstack/pkt"

// maxBatch is how many packets are received before they are processed.
const maxBatch = 32

// A Batch is what a link has received at once, on its way into a Set.
type Batch struct {
	set  *Set
	n    int
	flow uint32
}

// NewBatch makes an empty batch for s.
func NewBatch(s *Set) *Batch { return &Batch{set: s} }

// Put queues p for its Rx. Before a packet of another flow it runs the Set, which orders packets
// of one flow only: answers to several would go out in another order.
func (b *Batch) Put(p *pkt.Packet) {
	if b.n > 0 && p.Hash != b.flow {
		b.Run()
	}
	b.flow = p.Hash
	b.set.Put(p)
	if b.n++; b.n >= maxBatch {
		b.Run()
	}
}

// Run runs the Set if something has been put since it last did.
func (b *Batch) Run() {
	if b.n > 0 {
		b.n = 0
		b.set.Run()
	}
}
