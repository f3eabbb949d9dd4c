// Package backlog has the queues between a link that has received a packet and
// the protocols that process it, as Linux has its per-CPU softnet queues.
//
// A sender puts packets here while it holds its endpoint's lock (Put), and
// drains when it holds none (Run), so loopback traffic is processed to
// completion on the sender's goroutine, without a hand-over to another one, and
// no endpoint is ever locked under another. All packets of one flow, in both
// directions, are in one queue, and one goroutine at a time drains it: packets
// of a flow are never reordered.
//
// Stacks that are joined by links inside the process share one Set.
package backlog

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"casemate/netstack/pkt"
)

const queues = 64

// limit is the longest queue, in packets (net.core.netdev_max_backlog).
const limit = 1000

// Set is a set of queues. The zero Set is ready.
type Set struct {
	pending atomic.Uint64 // queues that are not empty and that nobody drains
	dropped atomic.Uint64
	adding  sync.Mutex
	sources atomic.Pointer[[]Source]
	q       [queues]queue
}

type queue struct {
	mu      sync.Mutex
	head    *pkt.Packet
	tail    *pkt.Packet
	n       int
	waiting int    // goroutines in Flush
	put     uint32 // packets queued so far
	done    uint32 // packets delivered so far
	running atomic.Bool
	passed  sync.Cond // done has grown; with mu
}

func slot(hash uint32) uint32 { return (hash * 0x9E3779B1) >> 26 }

// Put queues p for its Rx. Whoever calls it must call Run afterwards, when it
// holds no lock that a Receiver takes. A packet for a full queue is dropped.
func (s *Set) Put(p *pkt.Packet) {
	i := slot(p.Hash)
	q := &s.q[i]
	q.mu.Lock()
	if q.n >= limit {
		q.mu.Unlock()
		s.dropped.Add(1)
		p.Free()
		return
	}
	p.Next = nil
	if q.tail == nil {
		q.head = p
	} else {
		q.tail.Next = p
	}
	q.tail = p
	q.n++
	q.put++
	if !q.running.Load() && q.n == 1 {
		s.pending.Or(1 << i)
	}
	q.mu.Unlock()
}

// Run delivers what is queued, and what that brings forth, until nothing is
// left or another goroutine is at it. It may be called from anywhere that
// holds no endpoint lock, except from a Receiver, for which Run's caller goes
// on anyway.
func (s *Set) Run() {
	for {
		p := s.pending.Load()
		if p == 0 {
			return
		}
		s.drain(bits.TrailingZeros64(p))
	}
}

func (s *Set) drain(i int) {
	q := &s.q[i]
	q.mu.Lock()
	// First running, then pending: who finds pending clear finds running set.
	busy := q.running.Swap(true)
	s.pending.And(^(uint64(1) << i))
	if busy {
		q.mu.Unlock()
		return
	}
	for q.head != nil {
		p, n := q.head, q.n
		q.head, q.tail, q.n = nil, nil, 0
		q.mu.Unlock()
		for p != nil {
			next := p.Next
			p.Next = nil
			p.Followed = next != nil && next.Hash == p.Hash && next.Rx == p.Rx
			p.Rx.Receive(p)
			p = next
		}
		q.mu.Lock()
		q.done += uint32(n)
		if q.waiting > 0 {
			q.passed.Broadcast()
		}
	}
	q.running.Store(false)
	q.mu.Unlock()
}

// Flush is Run that returns only when the packets of the flow with the given
// hash that were queued before have been delivered, even if another goroutine
// is at it. The caller holds no lock that a Receiver takes.
func (s *Set) Flush(hash uint32) {
	s.Run()
	q := &s.q[slot(hash)]
	if !q.running.Load() {
		return
	}
	q.mu.Lock()
	q.passed.L = &q.mu
	q.waiting++
	for last := q.put; int32(q.done-last) < 0; {
		q.passed.Wait()
	}
	q.waiting--
	q.mu.Unlock()
}

// Dropped counts the packets that found their queue full.
func (s *Set) Dropped() uint64 { return s.dropped.Load() }
