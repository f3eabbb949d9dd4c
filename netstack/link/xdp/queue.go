package xdp

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/pkt"
)

// A queue is a socket with its rings and its memory. The first rxFrames frames are for
// receiving, the others for sending.
type queue struct {
	socket int
	size   uint64 // of a frame
	memory []byte
	fill   *ring[uint64]       // frames for the kernel to receive into
	rx     *ring[unix.XDPDesc] // frames that it has received

	mu         sync.Mutex          // what follows
	tx         *ring[unix.XDPDesc] // frames to be sent
	completion *ring[uint64]       // frames that have been sent
	free       []uint64            // frames to send by

	dropped atomic.Uint64
}

// newQueue maps what a socket and its memory have, and has the socket receive.
func newQueue(socket, memory int, y *Layout) (q *queue, err error) {
	q = &queue{socket: socket, size: uint64(y.FrameSize)}
	defer func() {
		if err != nil {
			q.unmap()
		}
	}()
	if q.memory, err = unix.Mmap(memory, 0, y.memory(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, err
	}
	o := &y.Offsets
	if q.fill, err = newRing[uint64](socket, unix.XDP_UMEM_PGOFF_FILL_RING, &o.Fr, rxFrames); err != nil {
		return nil, err
	}
	if q.completion, err = newRing[uint64](socket, unix.XDP_UMEM_PGOFF_COMPLETION_RING, &o.Cr, txFrames); err != nil {
		return nil, err
	}
	if q.rx, err = newRing[unix.XDPDesc](socket, unix.XDP_PGOFF_RX_RING, &o.Rx, rxFrames); err != nil {
		return nil, err
	}
	if q.tx, err = newRing[unix.XDPDesc](socket, unix.XDP_PGOFF_TX_RING, &o.Tx, txFrames); err != nil {
		return nil, err
	}
	for k := range uint64(rxFrames) {
		q.fill.put(k * q.size)
	}
	for k := range uint64(txFrames) {
		q.free = append(q.free, (rxFrames+k)*q.size)
	}
	return q, nil
}

func (q *queue) unmap() {
	for _, r := range []*ring[uint64]{q.fill, q.completion} {
		if r != nil {
			r.unmap()
		}
	}
	for _, r := range []*ring[unix.XDPDesc]{q.rx, q.tx} {
		if r != nil {
			r.unmap()
		}
	}
	if q.memory != nil {
		unix.Munmap(q.memory)
	}
}

// take is the next frame that has been received, copied; nil if there is none.
func (q *queue) take() *pkt.Packet {
	for {
		d, ok := q.rx.take()
		if !ok {
			return nil
		}
		var p *pkt.Packet
		if end := d.Addr + uint64(d.Len); d.Addr < rxFrames*q.size && uint64(d.Len) <= q.size && end <= uint64(len(q.memory)) {
			p = pkt.New()
			p.AddBytes(q.memory[d.Addr:end])
		}
		q.fill.put(d.Addr &^ (q.size - 1))
		if p != nil {
			return p
		}
	}
}

// send sends a frame; for want of a free one it waits up to sendWait, then drops p.
func (q *queue) send(p *pkt.Packet) {
	defer p.Free()
	q.mu.Lock()
	defer q.mu.Unlock()
	if uint64(p.Len()) > q.size || !q.reclaim(0) && !q.reclaim(sendWait) {
		q.dropped.Add(1)
		return
	}
	at := q.free[len(q.free)-1]
	q.free = q.free[:len(q.free)-1]
	n := p.CopyOut(0, q.memory[at:at+q.size])
	q.tx.put(unix.XDPDesc{Addr: at, Len: uint32(n)}) // it has room for all frames
	if q.tx.sleeps() {
		q.wake(0)
	}
}

// sendWait is how long, in ms, the processing of a queue waits for the device.
const sendWait = 20

// reclaim takes back the frames that have been sent, and reports whether one is free. It has
// the device go on for up to wait ms.
func (q *queue) reclaim(wait int) bool {
	if wait > 0 {
		q.wake(wait)
	}
	for {
		at, ok := q.completion.take()
		if !ok {
			return len(q.free) > 0
		}
		if at >= rxFrames*q.size && at < uint64(len(q.memory)) && len(q.free) < txFrames {
			q.free = append(q.free, at&^(q.size-1))
		}
	}
}

// wake has the kernel send what is in the ring. poll(2) does that too, and the sandbox may
// call it.
func (q *queue) wake(wait int) {
	fds := []unix.PollFd{{Fd: int32(q.socket), Events: unix.POLLOUT}}
	unix.Poll(fds, wait)
}
