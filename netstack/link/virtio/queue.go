package virtio

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"casemate/netstack/backlog"
	"casemate/netstack/pkt"
	"golang.org/x/sys/unix"
)

const (
	// asks is how often Poll asks in vain until it leaves the next packet to the goroutine.
	asks = 8
	// bulk is how often Poll asks after a large packet. With small ones alone, of questions and
	// answers, little comes while it asks, and more often in vain.
	bulk = 32
	// rest is how long the goroutine leaves the packets to those who call Poll after one has found some,
	// and lately how long ago that may be. Each rest ends by a timer, which costs those who are busy.
	rest   = time.Millisecond
	lately = 4 * time.Millisecond
	// pollBytes is about how much Poll takes at once: what the caches hold.
	pollBytes = 256 << 10
	// readBytes is about how much the goroutine takes at once.
	readBytes = 1 << 20
)

// epoch is when the time of queues begins.
var epoch = time.Now()

// A queue receives by one descriptor of a link. Its goroutine waits for packets and processes
// them, which costs several switches between threads until a program has them. Under load those
// who are about to wait for packets take them themselves (Poll), and the goroutine, which each
// packet would wake up, rests: no other thread has to do with a packet then, and its data is in
// the caches of the processor that wants it.
type queue struct {
	l    *Link
	fd   int
	rx   pkt.Receiver
	bell int // eventfd: ends a rest

	mu           sync.Mutex // held by who receives
	closed       bool
	batch        *backlog.Batch
	hdr          [HeaderLen]byte
	small, large *pkt.Buf
	iov          [3]unix.Iovec
	patience     time.Duration // how long Poll looks for more of a stream
	most         time.Duration // and how long it may
	vain         time.Duration // when it has begun to look in vain last, since epoch

	hope    atomic.Int32 // how often Poll is still to ask in vain
	bulk    atomic.Int32 // how often it is to ask until a large packet has come or gone again
	stream  atomic.Bool  // large packets come
	found   atomic.Int64 // when a Poll has found packets last, in ns since epoch
	resting atomic.Bool
}

func newQueue(l *Link, fd int, rx pkt.Receiver) (*queue, error) {
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &queue{l: l, fd: fd, rx: rx, bell: bell, batch: backlog.NewBatch(l.b),
		small: pkt.Alloc(pkt.SmallSize), large: pkt.Alloc(pkt.LargeSize)}, nil
}

// close frees what the queue has. Its goroutine has ended.
func (q *queue) close() {
	q.l.b.RemoveSource(q)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.small.Unref()
	q.large.Unref()
	unix.Close(q.bell)
}

// read receives packets, until there are no more or limit bytes have come, and processes them. It
// returns how many bytes have come, and the error that has ended it. mu is held.
//
// A packet is read into a small Buf and, if it does not fit, a large one that is otherwise kept
// for the next packet.
func (q *queue) read(limit int) (got int, err error) {
	largest := 0
	for got < limit && err == nil {
		var n int
		q.iov[0], q.iov[1], q.iov[2] = iovec(q.hdr[:]), iovec(q.small.Bytes()), iovec(q.large.Bytes())
		if n, err = readv(q.fd, q.iov[:]); err == nil && n < HeaderLen {
			err = unix.EIO
		}
		if err != nil {
			break
		}
		got, largest = got+n, max(largest, n)
		q.take(n - HeaderLen)
	}
	q.batch.Run()
	if got > 0 {
		q.hope.Store(asks)
		q.stream.Store(largest > pkt.MediumSize)
		q.noteSize(largest)
	}
	return got, err
}

// noteSize notes that a packet of n bytes has come or gone.
func (q *queue) noteSize(n int) {
	if n > pkt.MediumSize && q.bulk.Load() < bulk {
		q.bulk.Store(bulk)
	}
}

// take makes a packet of n bytes that have been read.
func (q *queue) take(n int) {
	p := pkt.New()
	k := min(n, q.small.Cap())
	p.AddFrag(pkt.Frag{Buf: q.small, Len: uint32(k)})
	q.small = pkt.Alloc(pkt.SmallSize)
	if n > k {
		p.AddFrag(pkt.Frag{Buf: q.large, Len: uint32(min(n-k, q.large.Cap()))})
		q.large = pkt.Alloc(pkt.LargeSize)
	}
	if !Parse(q.hdr[:], p, q.l.eth) || !q.l.classify(p) {
		p.Free()
		return
	}
	p.Rx = q.rx
	q.batch.Put(p)
}

// Poll implements backlog.Source. Only while large packets come it stays for more.
func (q *queue) Poll(d time.Duration) {
	if q.hope.Load() <= 0 || q.bulk.Load() <= 0 {
		if d > 0 {
			q.endRest()
		}
		return
	}
	if !q.mu.TryLock() {
		return
	}
	q.bulk.Add(-1)
	if q.closed {
		q.mu.Unlock()
		return
	}
	n, err := q.read(pollBytes)
	if n == 0 && err == unix.EAGAIN && d > 0 && q.stream.Load() {
		n = q.look(d)
	}
	if n > 0 {
		q.found.Store(int64(time.Since(epoch)))
	} else if d > 0 {
		q.hope.Add(-1)
		q.endRest()
	}
	q.mu.Unlock()
}

// look looks for packets of a stream for up to d, and less if that has been in vain lately. It
// returns how many bytes have come. mu is held.
func (q *queue) look(d time.Duration) (n int) {
	q.most, q.patience = d, min(q.patience, d)
	began := time.Since(epoch)
	for err := error(unix.EAGAIN); n == 0 && err == unix.EAGAIN && time.Since(epoch)-began < q.patience; {
		// The sender may be waiting for this processor.
		unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		n, err = q.read(pollBytes)
	}
	if n == 0 {
		q.vain = began
		q.patience /= 2
	}
	return n
}

// endRest lets the goroutine wait for packets, if it rests, as others are about to.
func (q *queue) endRest() {
	if !q.resting.Load() || !q.resting.Swap(false) {
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(q.bell, one[:])
}

// receive is the queue's goroutine.
func (q *queue) receive() {
	for {
		q.mu.Lock()
		n, err := q.read(readBytes)
		if n > 0 && time.Since(epoch)-q.vain < q.most {
			q.patience = q.most // it would have found them
		}
		q.mu.Unlock()
		switch err {
		case nil, unix.EINTR:
			continue
		case unix.EAGAIN:
			if q.takeRest() {
				continue
			}
			err = q.wait(unix.POLLIN, -1)
		case unix.EIO, unix.ENETDOWN, unix.EINVAL:
			// The device is down, or gave something odd.
			err = q.wait(0, 100)
		}
		if err != nil {
			return
		}
	}
}

// takeRest leaves the packets to Poll, if it has found some lately, for as long as it goes on to. It
// reports whether they are to be looked for again before they are waited for; not so if a Poll in
// vain has ended the rest.
func (q *queue) takeRest() bool {
	now := time.Since(epoch)
	last := time.Duration(q.found.Load())
	if now-last > lately {
		return false
	}
	q.resting.Store(true)
	for until := now + rest; until > now; now = time.Since(epoch) {
		fds := []unix.PollFd{{Fd: int32(q.bell), Events: unix.POLLIN}, {Fd: int32(q.l.stop), Events: unix.POLLIN}}
		t := unix.NsecToTimespec(int64(until - now))
		unix.Ppoll(fds, &t, nil)
		if fds[0].Revents != 0 {
			var n [8]byte
			unix.Read(q.bell, n[:])
		}
		if fds[1].Revents != 0 || !q.resting.Load() {
			break
		}
		if l := time.Duration(q.found.Load()); l > last {
			last, until = l, l+rest
		}
	}
	return q.resting.Swap(false)
}

// wait waits until the descriptor has one of the events, or ms have passed. It returns an error
// when the link is closed.
func (q *queue) wait(events int16, ms int) error {
	fds := []unix.PollFd{{Fd: int32(q.fd), Events: events}, {Fd: int32(q.l.stop), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, ms); err != nil && err != unix.EINTR {
		return err
	}
	if fds[1].Revents != 0 {
		return unix.EBADF
	}
	return nil
}
