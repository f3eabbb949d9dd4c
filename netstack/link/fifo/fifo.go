// Package fifo is a link with a queue in front of another one (tc-pfifo(8)): who sends does
// not wait for the device.
package fifo

import (
	"sync"

	"casemate/netstack/backlog"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
)

// limit is the longest queue, in packets.
const limit = 1000

// Link is a link with a queue.
type Link struct {
	link.Link
	b    *backlog.Set
	wake sync.Cond // with mu
	wg   sync.WaitGroup

	mu     sync.Mutex
	queue  []*pkt.Packet
	closed bool
}

// New puts a queue in front of l, which it owns from now on.
func New(l link.Link) *Link {
	f := &Link{Link: l}
	f.wake.L = &f.mu
	return f
}

// Attach implements link.Link. A goroutine sends what is in the queue until Close.
func (f *Link) Attach(rx pkt.Receiver, b *backlog.Set) error {
	if err := f.Link.Attach(rx, b); err != nil {
		return err
	}
	f.b = b
	f.wg.Add(1)
	go f.run()
	return nil
}

// Send implements link.Link. A packet for a full queue is dropped.
func (f *Link) Send(p *pkt.Packet) {
	f.mu.Lock()
	full := f.closed || len(f.queue) >= limit
	if !full {
		f.queue = append(f.queue, p)
	}
	f.mu.Unlock()
	if full {
		p.Free()
		return
	}
	f.wake.Signal()
}

// run sends what is in the queue.
func (f *Link) run() {
	defer f.wg.Done()
	var batch []*pkt.Packet
	for {
		f.mu.Lock()
		for len(f.queue) == 0 && !f.closed {
			f.wake.Wait()
		}
		batch, f.queue = f.queue, batch[:0]
		closed := f.closed
		f.mu.Unlock()
		if closed {
			for _, p := range batch {
				p.Free()
			}
			return
		}
		for i, p := range batch {
			batch[i] = nil
			f.Link.Send(p)
		}
		f.b.Run()
	}
}

// Close implements link.Link.
func (f *Link) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.wake.Signal()
	f.wg.Wait()
	f.Link.Close()
}
