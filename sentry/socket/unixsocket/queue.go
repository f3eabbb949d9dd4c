package unixsocket

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/sentry/socket"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// A queue is what was sent to a socket and has not been received: bytes in a ring
// and, in order, what is known of them. In a stream a mark covers bytes of one
// sender without files, or begins with files; otherwise it is a message.
type queue struct {
	mu          sync.Mutex
	stream      bool
	ring        []byte // its length is a power of two
	start       int    // of the first byte in ring
	bytes       int
	marks       []mark // marks[first:] are in use
	first       int
	sendShut    bool // nothing more will come
	receiveShut bool // nothing more is wanted
	closed      bool

	overhead int // what the marks count in the sender's buffer beyond bytes

	senders wait.Queue           // datagram senders that wait for room
	polled  map[*Socket]struct{} // sockets that have been found not writable
}

// A mark describes the next n bytes of a queue.
type mark struct {
	n    int
	cred *socket.Credentials
	file *filesInFlight
	name string // the sender's, for datagrams
}

// filesInFlight are files of SCM_RIGHTS on their way.
type filesInFlight struct {
	control socket.Control
	user    *atomic.Int64 // how many files the sender's user has in flight
}

// landed says that the files are on their way no more. No lock is held.
func (f *filesInFlight) landed() {
	f.user.Add(-int64(len(f.control.Files)))
	garbage.land(f.control.Files)
}

// drop lets go of files that nobody will receive.
func (f *filesInFlight) drop() {
	f.landed()
	f.control.Drop()
}

// maxQueued is net.unix.max_dgram_qlen: how many datagrams wait for a receiver that
// is not connected to the sender.
const maxQueued = 10

// overhead is what a message of n bytes counts in a buffer beyond them: Linux's
// sk_buff and the slack of its allocation.
func overhead(n int) int {
	const header, info = 256, 320
	head := min(n, 16384-info)
	size := 512
	for size < head+info {
		size *= 2
	}
	return header + size + (n-head+4095)&^4095 - n
}

const initialRing = 4096

// streamChunk is what a stream takes at once if there is any room.
const streamChunk = 4096

func (q *queue) init(stream bool) { q.stream = stream }

// used is how much of the sender's buffer is taken.
func (q *queue) used() int { return q.bytes + q.overhead }

// room reports whether a sender with that buffer size can send (unix_writable).
func (q *queue) room(sndbuf int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.receiveShut || q.closed || q.used()*4 <= sndbuf
}

// takes reports whether a sender of datagrams with that buffer size can send: mutual
// says that the receiver is connected to it. If not, it is told when that changes.
func (q *queue) takes(sender *Socket, sndbuf int, mutual bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.receiveShut || q.closed || q.used()*4 <= sndbuf && (mutual || len(q.marks)-q.first <= maxQueued) {
		return true
	}
	if q.polled == nil {
		q.polled = map[*Socket]struct{}{}
	}
	q.polled[sender] = struct{}{}
	return false
}

// relieve tells the senders that there is room.
func (q *queue) relieve() {
	q.mu.Lock()
	polled := q.polled
	q.polled = nil
	q.mu.Unlock()
	q.senders.Notify(wait.Out | wait.WrNorm)
	for s := range polled {
		s.notify(wait.Out | wait.WrNorm | wait.WrBand)
	}
}

func (q *queue) status() (readable, sendShut, receiveShut bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.marks) > q.first, q.sendShut, q.receiveShut
}

// unwanted reports whether nothing more is wanted.
func (q *queue) unwanted() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.receiveShut || q.closed
}

// shutSend says that nothing more will come.
func (q *queue) shutSend() {
	q.mu.Lock()
	q.sendShut = true
	q.mu.Unlock()
}

// shutReceive says that nothing more is wanted.
func (q *queue) shutReceive() {
	q.mu.Lock()
	q.receiveShut = true
	q.mu.Unlock()
}

// close empties the queue and reports whether something was left.
func (q *queue) close() (left bool) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	return q.purge()
}

// empty takes all out of the queue, of which the files remain, and reports whether there was
// anything.
func (q *queue) empty() (files []*filesInFlight, any bool) {
	q.mu.Lock()
	marks := q.marks[q.first:]
	q.marks, q.first, q.ring, q.bytes, q.start, q.overhead = nil, 0, nil, 0, 0, 0
	q.mu.Unlock()
	for i := range marks {
		if f := marks[i].file; f != nil {
			files = append(files, f)
		}
	}
	return files, len(marks) > 0
}

// purge throws away what the queue holds and reports whether it held anything.
func (q *queue) purge() bool {
	files, any := q.empty()
	for _, f := range files {
		f.drop()
	}
	return any
}

// reserve makes room for n more bytes in the ring.
func (q *queue) reserve(n int) {
	size := max(len(q.ring), initialRing)
	for size < q.bytes+n {
		size *= 2
	}
	if size == len(q.ring) {
		return
	}
	ring := make([]byte, size)
	a, b := q.span(0, q.bytes)
	copy(ring[copy(ring, a):], b)
	q.ring, q.start = ring, 0
}

// span returns the n bytes of the ring that begin off after its start, which may
// lie beyond what is in use.
func (q *queue) span(off, n int) (a, b []byte) {
	if n == 0 {
		return nil, nil
	}
	i := (q.start + off) & (len(q.ring) - 1)
	if i+n <= len(q.ring) {
		return q.ring[i : i+n], nil
	}
	return q.ring[i:], q.ring[:i+n-len(q.ring)]
}

// put appends up to n bytes of src, and returns how many. All or nothing for
// messages.
func (q *queue) put(src *usermem.Seq, n int) (int, error) {
	q.reserve(n)
	a, b := q.span(q.bytes, n)
	got, err := src.CopyIn(a)
	if err == nil && len(b) > 0 {
		var more int
		more, err = src.CopyIn(b)
		got += more
	}
	if err != nil && (got == 0 || !q.stream) {
		return 0, err
	}
	q.bytes += got
	return got, nil
}

// send appends data to the queue. limit is the sender's buffer size; mutual says that
// the receiver is connected to the sender. EAGAIN if there is no room, EPIPE if nobody
// wants it (ECONNREFUSED for datagrams), EMSGSIZE.
func (q *queue) send(src *usermem.Seq, m mark, limit int, mutual bool) (int, error) {
	var dropped *filesInFlight // they went with no data
	q.mu.Lock()
	defer func() {
		q.mu.Unlock()
		if dropped != nil {
			dropped.drop()
		}
	}()
	if q.closed && !q.stream {
		return 0, unix.ECONNREFUSED
	}
	if q.receiveShut || q.closed {
		return 0, unix.EPIPE
	}
	want := int(src.Len())
	if q.stream {
		space := limit - q.used()
		if space <= 0 {
			return 0, unix.EAGAIN
		}
		want = min(want, max(space, streamChunk))
	} else {
		if want > limit-32 {
			return 0, unix.EMSGSIZE
		}
		if q.used() >= limit || !mutual && len(q.marks)-q.first > maxQueued {
			return 0, unix.EAGAIN
		}
	}
	n, err := q.put(src, want)
	if err != nil {
		return 0, err
	}
	if q.stream && n == 0 {
		if m.file != nil {
			dropped = m.file
		}
		return 0, nil
	}
	m.n = n
	if !q.stream {
		q.overhead += overhead(n)
	}
	if last := len(q.marks) - 1; q.stream && m.file == nil && last >= q.first && q.marks[last].file == nil && q.marks[last].cred == m.cred {
		q.marks[last].n += n
		return n, nil
	}
	if q.first > 32 && q.first*2 > len(q.marks) {
		kept := copy(q.marks, q.marks[q.first:])
		clear(q.marks[kept:])
		q.marks, q.first = q.marks[:kept], 0
	}
	q.marks = append(q.marks, m)
	return n, nil
}

// drop takes n bytes off the front of the ring.
func (q *queue) drop(n int) {
	if n > 0 {
		q.start = (q.start + n) & (len(q.ring) - 1)
	}
	q.bytes -= n
	if q.bytes == 0 && len(q.ring) > 1<<16 {
		q.ring = nil // do not keep what a burst needed
	}
}

// take copies n bytes, off after the start of the ring, to dst.
func (q *queue) take(dst *usermem.Seq, off, n int) (int, error) {
	a, b := q.span(off, n)
	got, err := dst.CopyOut(a)
	if err == nil && got == len(a) && len(b) > 0 {
		var more int
		more, err = dst.CopyOut(b)
		got += more
	}
	return got, err
}

// receive takes data off the queue and fills m; with peek it stays. full is the
// length of a message whose end has not fit. took says that there was something.
func (q *queue) receive(dst *usermem.Seq, m *socket.Message, peek, cred bool) (n, full int, took bool, err error) {
	var landed *filesInFlight
	q.mu.Lock()
	defer func() {
		q.mu.Unlock()
		if landed != nil {
			landed.landed()
		}
	}()
	if len(q.marks) == q.first {
		if q.sendShut || q.receiveShut {
			return 0, 0, false, nil
		}
		return 0, 0, false, unix.EAGAIN
	}
	first := &q.marks[q.first]
	if !q.stream {
		n, err = q.take(dst, 0, min(first.n, int(dst.Len())))
		if err != nil {
			return 0, 0, true, err
		}
		full = first.n
		landed = q.pass(first, m, peek, cred)
		if !peek {
			q.drop(first.n)
			q.pop()
		}
		return n, full, true, nil
	}
	off, sender := 0, first.cred
	for i := q.first; dst.Len() > 0 && i < len(q.marks); {
		k := &q.marks[i]
		if n > 0 && (m.Control.Files != nil || cred && k.cred != sender) {
			break // data after files is another read's
		}
		length := k.n
		got, e := q.take(dst, off, min(length, int(dst.Len())))
		if got == 0 && e != nil {
			if n == 0 {
				return 0, 0, true, e
			}
			break
		}
		if f := q.pass(k, m, peek, cred); f != nil {
			landed = f
		}
		n += got
		if peek {
			off += got
			i++
		} else {
			q.drop(got)
			k.n -= got
			if got == length {
				q.pop()
			}
			i = q.first
		}
		if got < length || e != nil {
			break
		}
	}
	return n, n, true, nil
}

// pass gives the reader what goes with a mark's bytes. Files go once, and have landed then.
func (q *queue) pass(k *mark, m *socket.Message, peek, cred bool) (landed *filesInFlight) {
	if cred && m.Control.Cred == nil {
		m.Control.Cred = k.cred
	}
	if k.name != "" {
		m.Addr = appendSockaddr(m.Name[:0], k.name)
	}
	if k.file == nil {
		return nil
	}
	if peek {
		for _, f := range k.file.control.Files {
			f.IncRef()
		}
		m.Control.Files = append(m.Control.Files, k.file.control.Files...)
		return nil
	}
	m.Control.Files = append(m.Control.Files, k.file.control.Files...)
	landed, k.file = k.file, nil
	return landed
}

// pop removes the first mark.
func (q *queue) pop() {
	if !q.stream {
		q.overhead -= overhead(q.marks[q.first].n)
	}
	q.marks[q.first] = mark{}
	q.first++
	if q.first == len(q.marks) {
		q.marks, q.first = q.marks[:0], 0
	}
}

// size is what FIONREAD says: all bytes, or for datagrams those of the next.
func (q *queue) size(datagrams bool) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !datagrams {
		return q.bytes
	}
	if len(q.marks) == q.first {
		return 0
	}
	return q.marks[q.first].n
}
