package gofer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Tree is a part of the host's file system that a server serves.
type Tree struct {
	// FD is an open descriptor (O_PATH will do) of the tree's root: a
	// directory, or a file for a tree that is a single file. The server
	// takes a copy of it.
	FD int
	// ReadOnly makes every change fail with EROFS.
	ReadOnly bool
	// Shared tells the client that others change the tree meanwhile, so that
	// what it caches must be revalidated. The server treats all trees alike.
	Shared bool
	// Connect lets the client be connected to the unix sockets of the tree.
	Connect bool
}

// Server serves trees to one client.
type Server struct {
	conn  int
	mem   memory
	memFD int
	socks [numSlots]int // the server's ends of the slots' sockets
	trees []Tree
	procs int // a directory whose entries lead to our descriptors: /proc/self/fd

	nodes nodeTable

	busy    [numSlots]atomic.Bool // the slot is being served
	closing atomic.Bool
	polling atomic.Bool // a worker polls
	spin    spinner

	idleWatch idleWatch
	idle      atomic.Int32 // workers that are not serving
	started   atomic.Int32 // workers
	finished  sync.WaitGroup
}

// reservedFDs is how many descriptors the limit on handles leaves for
// everything else that the process opens.
const reservedFDs = 256

// OpenProcs returns an O_PATH descriptor of /proc/self/fd below proc, a directory
// where procfs is mounted, for [NewServer].
func OpenProcs(proc string) (int, error) {
	fd, err := unix.Open(proc+"/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("gofer: opening %s/self/fd: %w", proc, err)
	}
	return fd, nil
}

// NewServer prepares to serve trees to the client at the other end of conn, a
// socket of type SOCK_SEQPACKET. procs is what [OpenProcs] returns, best from a
// procfs that shows nothing but this process, for it is the working directory of
// those who serve. The server owns both from now on.
//
// It opens what it needs for good: after it, only the calls that
// [SyscallsNeeded] lists are made, and nothing outside the trees is opened. It
// needs /proc to be mounted while it runs, but not later.
//
// A client may hold as many handles as the soft limit RLIMIT_NOFILE leaves
// room for.
func NewServer(conn, procs int, trees []Tree) (s *Server, err error) {
	s = &Server{conn: conn, memFD: -1, procs: procs}
	s.idleWatch.fd, s.nodes.watcher.fd = -1, -1
	for i := range s.socks {
		s.socks[i] = -1
	}
	defer func() {
		if err != nil {
			s.closeFiles()
		}
	}()
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return nil, fmt.Errorf("gofer: reading the limit on open files: %w", err)
	}
	s.nodes.max = int(min(max(lim.Cur, 2*reservedFDs)-reservedFDs, 1<<20))
	if err = s.idleWatch.open(); err != nil {
		return nil, fmt.Errorf("gofer: opening /proc/loadavg: %w", err)
	}
	for i, t := range trees {
		fd, e := fcntlDup(t.FD)
		if e != 0 {
			return nil, fmt.Errorf("gofer: descriptor of tree %d: %w", i, e)
		}
		t.FD = fd
		s.trees = append(s.trees, t)
	}
	s.nodes.watcher.open(s.trees)
	if s.memFD, err = unix.MemfdCreate("gofer", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING); err != nil {
		return nil, fmt.Errorf("gofer: creating the shared memory: %w", err)
	}
	if err = unix.Ftruncate(s.memFD, memSize); err != nil {
		return nil, fmt.Errorf("gofer: sizing the shared memory: %w", err)
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err = unix.FcntlInt(uintptr(s.memFD), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("gofer: sealing the shared memory: %w", err)
	}
	if s.mem, err = mapMemory(s.memFD); err != nil {
		return nil, fmt.Errorf("gofer: mapping the shared memory: %w", err)
	}
	return s, s.hello()
}

// hello makes the slots' sockets and sends the client its ends and the memory.
func (s *Server) hello() error {
	fds := []int{s.memFD}
	var ends []int
	defer func() {
		for _, fd := range ends {
			closeFD(fd)
		}
	}()
	for i := range s.socks {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("gofer: creating the socket of a slot: %w", err)
		}
		s.socks[i] = p[0]
		fds, ends = append(fds, p[1]), append(ends, p[1])
	}
	var flags uint32
	if fd := s.nodes.watcher.fd; fd >= 0 {
		fds = append(fds, fd)
		flags |= helloWatches
	}
	var b [helloSize]byte
	for i, v := range []uint32{magic, version, memSize, numSlots, reqArea, replyArea, uint32(len(s.trees)), flags} {
		binary.LittleEndian.PutUint32(b[4*i:], v)
	}
	if err := unix.Sendmsg(s.conn, b[:], unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("gofer: greeting the client: %w", err)
	}
	return nil
}

// Serve answers requests until the client closes the connection, which gives a
// nil error, or the connection fails. It then releases everything.
func (s *Server) Serve() error {
	s.idle.Store(1)
	s.started.Store(1)
	s.finished.Add(1)
	go newWorker(s, firstWorker).run()

	err := s.waitHangup()

	// A worker looks at closing before it sleeps, and sleeps only while
	// pending is zero; the client can still write pending, so insist.
	s.closing.Store(true)
	done := make(chan struct{})
	go func() { s.finished.Wait(); close(done) }()
	for tick := time.NewTicker(time.Millisecond); ; {
		s.mem.pending().Or(1 << 31)
		futexWake(s.mem.pending(), numSlots+1, anySleeper)
		select {
		case <-done:
			tick.Stop()
			s.nodes.closeAll()
			s.closeFiles()
			return err
		case <-tick.C:
		}
	}
}

// waitHangup returns when the client has closed its end.
func (s *Server) waitHangup() error {
	var b [1]byte
	for {
		n, _, err := unix.Recvfrom(s.conn, b[:], 0)
		switch {
		case err == unix.EINTR:
		case err == unix.ECONNRESET:
			return nil
		case err != nil:
			return os.NewSyscallError("recvfrom", err)
		case n == 0:
			return nil
		default:
			return errors.New("gofer: the client wrote to the connection's socket")
		}
	}
}

func (s *Server) closeFiles() {
	for _, fd := range append([]int{s.conn, s.memFD, s.procs, s.idleWatch.fd, s.nodes.watcher.fd}, s.socks[:]...) {
		if fd >= 0 {
			closeFD(fd)
		}
	}
	for _, t := range s.trees {
		closeFD(t.FD)
	}
	if s.mem.b != nil {
		s.mem.unmap()
	}
}

// A worker serves requests on an OS thread of its own, whose working directory
// is /proc/self/fd and whose umask is 0. The name "7" therefore leads to the
// file of descriptor 7, for the calls that take neither a descriptor opened
// with O_PATH nor AT_EMPTY_PATH.
type worker struct {
	s    *Server
	bit  uint32           // firstWorker or otherWorker
	req  [reqArea]byte    // private copy of the request
	dir  [64 << 10]byte   // directory entries as getdents64 gives them
	text [64<<10 + 1]byte // a link's target, an extended attribute
	num  [12]byte         // a descriptor's number as a name
	st   unix.Statx_t
	// watch is that of the directory whose handle adopt has made last.
	watch WatchID
	stfs  unix.Statfs_t

	body decoder // what of req is the body
	rep  encoder // the reply, written straight to shared memory
}

func newWorker(s *Server, bit uint32) *worker { return &worker{s: s, bit: bit} }

func (w *worker) run() {
	s := w.s
	defer s.finished.Done()
	w.enter()
	pending := s.mem.pending()
	for !s.closing.Load() {
		posted := pending.Load() & (1<<numSlots - 1)
		if posted == 0 {
			if !w.poll(pending) {
				// Bits that stand for no slot would keep it from sleeping.
				if v := pending.Load(); v&^(1<<numSlots-1) != 0 && !s.closing.Load() {
					pending.And(1<<numSlots - 1)
					continue
				}
				futexWait(pending, 0, w.bit)
			}
			continue
		}
		bit := posted & -posted
		old := pending.And(^bit)
		if old&bit == 0 {
			continue
		}
		slot := bits.TrailingZeros32(bit)
		if s.busy[slot].Swap(true) {
			continue // a well-behaved client waits for the answer first
		}
		if s.idle.Add(-1) == 0 {
			w.reinforce()
		}
		if old&(1<<numSlots-1)&^bit != 0 {
			wakeWorker(pending)
		}
		w.serve(slot)
		s.idle.Add(1)
		s.busy[slot].Store(false)
		state := s.mem.state(slot)
		if state.Swap(stateDone) == stateWaiting {
			futexWake(state, 1, anySleeper)
		}
	}
}

// enter binds the worker to a thread of its own and sets that up.
func (w *worker) enter() {
	// The thread differs from the others and ends with the goroutine.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		panic(fmt.Sprintf("gofer: unshare(CLONE_FS): %v", err))
	}
	if err := unix.Fchdir(w.s.procs); err != nil {
		panic(fmt.Sprintf("gofer: entering /proc/self/fd: %v", err))
	}
	unix.Umask(0)
}

// reinforce starts one more worker, so that one is always free for the next
// request while all others may block on the disk.
func (w *worker) reinforce() {
	s := w.s
	for {
		n := s.started.Load()
		if n > numSlots {
			return
		}
		if s.started.CompareAndSwap(n, n+1) {
			s.idle.Add(1)
			s.finished.Add(1)
			go newWorker(s, otherWorker).run()
			return
		}
	}
}

// poll watches the pending word for a short while, if that is likely to pay
// and no other worker does, and reports whether it has become nonzero.
func (w *worker) poll(pending *atomic.Uint32) bool {
	s := w.s
	if s.polling.Swap(true) {
		return false
	}
	found := false
	mode := s.mem.polling()
	if s.idleWatch.idle(w.dir[:128]) {
		mode.Store(pollServer | pollClient)
		found = s.spin.poll(pending, spinServer, isPosted)
		mode.Store(pollClient)
	} else {
		mode.Store(0)
	}
	s.polling.Store(false)
	return found
}

// serve answers the request of one slot.
func (w *worker) serve(slot int) {
	shared := w.s.mem.request(slot)
	w.rep = encoder{b: w.s.mem.reply(slot), n: replyHeader}
	var head [reqHeader]byte
	copy(head[:], shared)
	code := op(binary.LittleEndian.Uint16(head[0:]))
	releases := int(binary.LittleEndian.Uint16(head[2:]))
	size := int(binary.LittleEndian.Uint32(head[4:]))
	fd, e := -1, unix.EPROTO
	if releases <= maxReleases && size <= reqArea-reqHeader-8*releases {
		body := w.req[:8*releases+size]
		copy(body, shared[reqHeader:])
		for ; releases > 0; releases-- {
			w.s.nodes.release(binary.LittleEndian.Uint64(body))
			body = body[8:]
		}
		if code < numOps && ops[code].serve != nil {
			w.body = decoder{b: body}
			fd, e = ops[code].serve(w, &w.body)
		} else {
			e = unix.ENOSYS
		}
	}
	if fd >= 0 {
		e = sendFD(w.s.socks[slot], fd)
		closeFD(fd)
	}
	if e == 0 && w.rep.full {
		e = unix.EMSGSIZE
	}
	if e != 0 {
		w.rep.n = replyHeader
	}
	head2 := w.rep.b[:replyHeader]
	binary.LittleEndian.PutUint32(head2, uint32(e))
	binary.LittleEndian.PutUint32(head2[4:], uint32(w.rep.n-replyHeader))
}

// number returns the name that leads to the file of descriptor fd from the
// worker's working directory. The next call overwrites it.
func (w *worker) number(fd int) []byte {
	i := len(w.num) - 1
	w.num[i] = 0
	for {
		i--
		w.num[i] = byte('0' + fd%10)
		fd /= 10
		if fd == 0 {
			return w.num[i:]
		}
	}
}
