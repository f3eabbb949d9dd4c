package gofer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Client is the sentry's side of a connection to a gofer. Its methods may be
// called from any number of goroutines; each makes one round trip, for which
// its caller's thread blocks, and returns an error that is a unix.Errno: the
// host's, EIO once the gofer is gone, ESTALE for a Node that has been
// released, or EROFS on a read-only tree.
//
// Requests that are in flight at the same time are served in any order.
type Client struct {
	conn struct {
		mu sync.Mutex
		fd int // -1 once it is closed
	}
	mem   memory
	trees int
	slots [numSlots]slot

	spin    spinner
	free    atomic.Uint32 // bit i set: slot i is free
	waiters struct {
		n  atomic.Int32 // callers that wait for a free slot
		mu sync.Mutex
		c  *sync.Cond // signalled under mu
	}

	dead atomic.Bool
	done chan struct{}

	changes feed

	releases struct {
		mu    sync.Mutex
		nodes []Node // to be released with the next request
		timer *time.Timer
	}
}

// A slot is the client's side of one request at a time.
type slot struct {
	i    int
	sock int
	req  encoder // the request's body, in shared memory
	buf  []byte  // private copy of the reply
}

// releaseDelay is how long a released node may wait for a request that takes
// it along.
const releaseDelay = 20 * time.Millisecond

// Dial takes the client's end of a connection that a server has been made for,
// a socket of type SOCK_SEQPACKET, which it owns from now on. It blocks until
// the server's greeting is there.
func Dial(conn int) (*Client, error) {
	c := &Client{done: make(chan struct{})}
	c.conn.fd = conn
	c.waiters.c = sync.NewCond(&c.waiters.mu)
	if err := c.greet(); err != nil {
		unix.Close(conn)
		return nil, fmt.Errorf("gofer: connecting: %w", err)
	}
	c.free.Store(1<<numSlots - 1)
	c.releases.timer = time.AfterFunc(time.Hour, c.Flush)
	c.releases.timer.Stop()
	go c.watch(conn)
	return c, nil
}

// greet reads the server's greeting and takes the descriptors in it.
func (c *Client) greet() error {
	var b [helloSize]byte
	oob := make([]byte, unix.CmsgSpace(4*(numSlots+2)))
	var n, oobn, flags int
	var err error
	for {
		n, oobn, flags, _, err = unix.Recvmsg(c.conn.fd, b[:], oob, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.New("the server has gone")
	}
	var fds []int
	if msgs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
		for i := range msgs {
			got, _ := unix.ParseUnixRights(&msgs[i])
			fds = append(fds, got...)
		}
	}
	ok := false
	defer func() {
		for i, fd := range fds {
			if !ok || i == 0 {
				unix.Close(fd)
			}
		}
	}()
	d := decoder{b: b[:n]}
	want := [...]uint32{magic, version, memSize, numSlots, reqArea, replyArea}
	for _, v := range want {
		if d.u32() != v {
			return errors.New("the server speaks another protocol or version")
		}
	}
	c.trees = int(d.u32())
	watches := d.u32()
	if !d.ok() || watches&^helloWatches != 0 || len(fds) != 1+numSlots+int(watches&helloWatches) || flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0 {
		return errors.New("the server's greeting is malformed")
	}
	var st unix.Stat_t
	if err := unix.Fstat(fds[0], &st); err != nil {
		return err
	}
	seals, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GET_SEALS, 0)
	if err != nil || seals&unix.F_SEAL_SHRINK == 0 || st.Size != memSize {
		return errors.New("the server's memory is not sealed")
	}
	if c.mem, err = mapMemory(fds[0]); err != nil {
		return err
	}
	for i := range c.slots {
		c.slots[i] = slot{i: i, sock: fds[1+i]}
	}
	instance := -1
	if watches&helloWatches != 0 {
		instance = fds[1+numSlots]
	}
	if err := c.changes.open(instance); err != nil {
		c.mem.unmap()
		return err
	}
	ok = true
	return nil
}

// Trees returns how many trees the server has.
func (c *Client) Trees() int { return c.trees }

// Done is closed when the server is gone, or Close has been called, after
// which every call returns EIO.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the connection. Calls that are in flight return EIO.
func (c *Client) Close() { c.fail() }

// fail ends a connection whose server is not to be relied on any more: the
// watcher sees the socket shut down and does the rest.
func (c *Client) fail() {
	c.dead.Store(true)
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if c.conn.fd >= 0 {
		unix.Shutdown(c.conn.fd, unix.SHUT_RDWR)
	}
}

// watch waits for the end of the connection, wakes the calls in flight, waits
// for them to be over and gives everything back.
func (c *Client) watch(conn int) {
	var b [1]byte
	for {
		n, _, err := unix.Recvfrom(conn, b[:], 0)
		if err == unix.EINTR || err == nil && n > 0 {
			continue
		}
		break
	}
	c.dead.Store(true)
	for i := range c.slots {
		w := c.mem.state(i)
		w.Store(stateClosed)
		futexWake(w, 1, anySleeper)
	}
	close(c.done)
	c.waiters.mu.Lock()
	c.waiters.c.Broadcast()
	c.waiters.mu.Unlock()
	c.changes.close()
	// A slot that is taken here is never given back, so that its memory and
	// socket can go; begin fails from now on.
	for range c.slots {
		s := c.takeSlot(true)
		unix.Close(s.sock)
	}
	c.releases.mu.Lock()
	c.releases.timer.Stop()
	c.releases.nodes = nil
	c.releases.mu.Unlock()
	c.conn.mu.Lock()
	unix.Close(conn)
	c.conn.fd = -1
	c.conn.mu.Unlock()
	c.mem.unmap()
}

// begin takes a slot for a request; it waits while all are in use. It returns
// nil if the server is gone. The caller encodes the body to s.req, calls call
// and, when it has decoded the reply, end.
func (c *Client) begin() *slot {
	s := c.takeSlot(false)
	if s == nil {
		return nil
	}
	s.req = encoder{b: c.mem.request(s.i), n: reqHeader}
	n := c.takeReleases(&s.req)
	binary.LittleEndian.PutUint16(s.req.b[2:], uint16(n))
	return s
}

// takeSlot waits for a free slot; nil means that the server is gone, unless
// the caller wants one even so.
func (c *Client) takeSlot(always bool) *slot {
	if c.dead.Load() && !always {
		return nil
	}
	if s := c.trySlot(); s != nil {
		return s
	}
	w := &c.waiters
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n.Add(1)
	defer w.n.Add(-1)
	for always || !c.dead.Load() {
		if s := c.trySlot(); s != nil {
			return s
		}
		w.c.Wait()
	}
	return nil
}

// trySlot takes the lowest free slot, whose memory is likely in the cache.
func (c *Client) trySlot() *slot {
	for {
		free := c.free.Load()
		if free == 0 {
			return nil
		}
		if c.free.CompareAndSwap(free, free&(free-1)) {
			return &c.slots[bits.TrailingZeros32(free)]
		}
	}
}

// end gives a slot back.
func (c *Client) end(s *slot) {
	c.free.Or(1 << s.i)
	if c.waiters.n.Load() > 0 {
		c.waiters.mu.Lock()
		c.waiters.c.Signal()
		c.waiters.mu.Unlock()
	}
}

// call posts the request in a slot, waits for the reply and returns its body,
// which is valid until end.
func (c *Client) call(s *slot, code op) (decoder, unix.Errno) {
	if s.req.full {
		return decoder{}, unix.E2BIG
	}
	nrel := int(binary.LittleEndian.Uint16(s.req.b[2:]))
	binary.LittleEndian.PutUint16(s.req.b[0:], uint16(code))
	binary.LittleEndian.PutUint32(s.req.b[4:], uint32(s.req.n-reqHeader-8*nrel))

	state := c.mem.state(s.i)
	state.Store(statePosted)
	if c.dead.Load() {
		return decoder{}, unix.EIO
	}
	pending := c.mem.pending()
	pending.Or(1 << s.i)
	mode := c.mem.polling().Load()
	if mode&pollServer == 0 {
		wakeWorker(pending)
	}
	if mode&pollClient != 0 && !c.spin.poll(state, spinClient, isAnswered) && pending.Load()&(1<<s.i) != 0 {
		// The worker that said it polls does not run.
		wakeWorker(pending)
	}
	if !c.await(state) {
		return decoder{}, unix.EIO
	}

	shared := c.mem.reply(s.i)
	var head [replyHeader]byte
	copy(head[:], shared)
	e := unix.Errno(binary.LittleEndian.Uint32(head[0:]))
	size := int(binary.LittleEndian.Uint32(head[4:]))
	if e > maxErrno || size > replyArea-replyHeader {
		return c.broken()
	}
	if cap(s.buf) < size {
		s.buf = make([]byte, size, max(1024, 1<<bits.Len(uint(size-1))))
	}
	s.buf = s.buf[:size]
	copy(s.buf, shared[replyHeader:])
	return decoder{b: s.buf}, e
}

// maxErrno is the greatest errno there can be (MAX_ERRNO).
const maxErrno = 4095

// await waits for the reply; false means that the server is gone.
func (c *Client) await(state *atomic.Uint32) bool {
	for {
		switch v := state.Load(); v {
		case stateDone:
			return true
		case stateClosed:
			return false
		case statePosted:
			state.CompareAndSwap(statePosted, stateWaiting)
		default:
			futexWait(state, v, anySleeper)
		}
	}
}

// broken ends the connection because the server broke the protocol.
func (c *Client) broken() (decoder, unix.Errno) {
	c.fail()
	return decoder{}, unix.EIO
}

// finish ends a request whose reply has been decoded.
func (c *Client) finish(s *slot, d *decoder, e unix.Errno) error {
	if e == 0 && !d.ok() {
		_, e = c.broken()
	}
	c.end(s)
	if e != 0 {
		return e
	}
	return nil
}

// donated takes the descriptor that came with a reply.
func (c *Client) donated(s *slot) (int, unix.Errno) {
	fd, e := recvFD(s.sock)
	if e == unix.EMFILE || e == unix.ENFILE {
		return -1, e
	}
	if e != 0 {
		_, e = c.broken()
		return -1, e
	}
	return fd, 0
}

// Release gives a node back. It does not block: nodes are released along with
// the next request, or after some milliseconds.
func (c *Client) Release(n Node) {
	if n == 0 {
		return
	}
	r := &c.releases
	r.mu.Lock()
	r.nodes = append(r.nodes, n)
	k := len(r.nodes)
	if k == 1 {
		r.timer.Reset(releaseDelay)
	}
	r.mu.Unlock()
	if k >= 4*maxReleases {
		c.Flush()
	}
}

// Flush sends the releases that wait, so that the host frees files which have
// been unlinked.
func (c *Client) Flush() {
	for {
		c.releases.mu.Lock()
		n := len(c.releases.nodes)
		c.releases.mu.Unlock()
		if n == 0 {
			return
		}
		s := c.begin()
		if s == nil {
			return
		}
		d, e := c.call(s, opRelease)
		if c.finish(s, &d, e) != nil {
			return
		}
	}
}

// takeReleases encodes some of the nodes that wait to be released and returns
// how many.
func (c *Client) takeReleases(e *encoder) int {
	r := &c.releases
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.nodes), maxReleases)
	if n == 0 {
		return 0
	}
	rest := len(r.nodes) - n
	for _, node := range r.nodes[rest:] {
		e.u64(uint64(node))
	}
	r.nodes = r.nodes[:rest]
	if rest == 0 {
		r.timer.Stop()
	}
	return n
}
