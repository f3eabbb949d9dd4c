// Package pipe has pipes and FIFOs: pipe(7), fifo(7), and what splice(2), tee(2)
// and vmsplice(2) do with them.
//
// A pipe is a ring of slots of a page each, as Linux's: a write goes into the last
// page if what it has over whole pages fits there, and into new ones. Locks:
// Pipe.mu, which is held while application memory is copied; of two pipes the
// one that was made first is locked first.
package pipe

import (
	"sync"
	"sync/atomic"

	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"

	"golang.org/x/sys/unix"
)

const (
	pageSize = 4096
	// DefaultSlots is the number of pages of a new pipe.
	DefaultSlots = 16
	// MaxSize is /proc/sys/fs/pipe-max-size: what F_SETPIPE_SZ allows without
	// CAP_SYS_RESOURCE.
	MaxSize = 1 << 20
	// Atomic is PIPE_BUF: writes up to that size are not split.
	Atomic = 4096
)

type page [pageSize]byte

var pages = sync.Pool{New: func() any { return new(page) }}

// pipeSeq numbers pipes for the locking order.
var pipeSeq atomic.Uint64

// A slot is a page with data.
type slot struct {
	page     *page
	off, len int
	packet   bool // the reader gets it by one read, and loses what it has no room for
}

// A Pipe is a pipe, or the inside of a FIFO.
type Pipe struct {
	seq   uint64
	queue wait.Queue

	mu      sync.Mutex
	slots   []slot // a ring; its length is a power of two
	head    int    // the first slot with data
	used    int    // slots with data
	spare   *page
	readers int
	writers int
	// readerSeq and writerSeq count openings.
	readerSeq, writerSeq uint64
}

// newPipe returns an empty pipe without ends.
func newPipe() *Pipe {
	return &Pipe{seq: pipeSeq.Add(1), slots: make([]slot, DefaultSlots)}
}

func (p *Pipe) slot(i int) *slot { return &p.slots[(p.head+i)&(len(p.slots)-1)] }

func (p *Pipe) getPage() *page {
	if g := p.spare; g != nil {
		p.spare = nil
		return g
	}
	return pages.Get().(*page)
}

func (p *Pipe) putPage(g *page) {
	if p.spare == nil {
		p.spare = g
		return
	}
	pages.Put(g)
}

// pop drops the first slot.
func (p *Pipe) pop() {
	s := p.slot(0)
	p.putPage(s.page)
	*s = slot{}
	p.head = (p.head + 1) & (len(p.slots) - 1)
	p.used--
}

// push adds a slot of n bytes of g.
func (p *Pipe) push(g *page, n int, packet bool) {
	*p.slot(p.used) = slot{page: g, len: n, packet: packet}
	p.used++
}

func (p *Pipe) full() bool { return p.used == len(p.slots) }

// read moves data to dst. p.mu is held.
func (p *Pipe) read(dst *usermem.Seq) (int, error) {
	total := 0
	for p.used > 0 && dst.Len() > 0 {
		s := p.slot(0)
		n, err := dst.CopyOut(s.page[s.off : s.off+s.len])
		if err != nil {
			// The page stays, with what has been copied of it.
			if total == 0 {
				return 0, err
			}
			break
		}
		total += n
		s.off += n
		s.len -= n
		packet := s.packet
		if s.len == 0 || packet {
			p.pop()
		}
		if packet {
			break
		}
	}
	return total, nil
}

// write moves data from src. p.mu is held.
func (p *Pipe) write(src *usermem.Seq, packet bool) (int, error) {
	total := 0
	if over := int(src.Len() % pageSize); over > 0 && p.used > 0 && !packet {
		s := p.slot(p.used - 1)
		if end := s.off + s.len; !s.packet && end+over <= pageSize {
			n, err := src.CopyIn(s.page[end : end+over])
			if err != nil {
				return 0, err
			}
			s.len += n
			total = n
		}
	}
	for src.Len() > 0 {
		if p.full() {
			if total == 0 {
				return 0, unix.EAGAIN
			}
			break
		}
		g := p.getPage()
		n, err := src.CopyIn(g[:])
		if err != nil {
			// The page is dropped with what has been copied.
			p.putPage(g)
			if total == 0 {
				return 0, err
			}
			break
		}
		p.push(g, n, packet)
		total += n
	}
	return total, nil
}

// Size is the capacity in bytes: F_GETPIPE_SZ.
func (p *Pipe) Size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.slots) * pageSize
}

// Resize sets the capacity to at least size bytes and returns it: F_SETPIPE_SZ.
// EINVAL, EPERM beyond MaxSize without privilege, EBUSY if the data needs more.
func (p *Pipe) Resize(size uint32, privileged bool) (int, error) {
	if size > 1<<31 {
		return 0, unix.EINVAL
	}
	n := 1
	for n*pageSize < int(size) {
		n *= 2
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > len(p.slots) && n*pageSize > MaxSize && !privileged {
		return 0, unix.EPERM
	}
	if n < p.used {
		return 0, unix.EBUSY
	}
	wasFull := p.full()
	slots := make([]slot, n)
	for i := range p.used {
		slots[i] = *p.slot(i)
	}
	p.slots, p.head = slots, 0
	if wasFull && !p.full() {
		p.queue.Notify(wait.Out | wait.WrNorm)
	}
	return n * pageSize, nil
}

// buffered is the number of bytes in the pipe: FIONREAD.
func (p *Pipe) buffered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for i := range p.used {
		n += p.slot(i).len
	}
	return n
}

// end is what an open end of a pipe does.
type end struct {
	vfs.FileDefaults
	p *Pipe
	// read and write say which ends it has.
	read, write bool
	// since is the number of openings of the other end when this one was opened.
	since uint64
	// quiet says that a reader that did not wait for a writer is not told of a
	// hang-up until there has been one.
	quiet bool
}

func (p *Pipe) open(read, write bool) *end {
	e := &end{p: p, read: read, write: write}
	p.attach(e)
	return e
}

func (p *Pipe) attach(e *end) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.read {
		p.readers++
		p.readerSeq++
		e.since = p.writerSeq
	}
	if e.write {
		p.writers++
		p.writerSeq++
		if !e.read {
			e.since = p.readerSeq
		}
	}
}

// Read implements vfs.FileOps.
func (e *end) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	if dst.Len() == 0 {
		return 0, nil
	}
	p := e.p
	p.mu.Lock()
	if p.used == 0 {
		writers := p.writers
		p.mu.Unlock()
		if writers == 0 {
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	wasFull := p.full()
	n, err := p.read(dst)
	wake := wasFull && !p.full()
	p.mu.Unlock()
	if wake {
		p.queue.Notify(wait.Out | wait.WrNorm)
	}
	return n, err
}

// Write implements vfs.FileOps.
func (e *end) Write(_ *vfs.Context, f *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	if src.Len() == 0 {
		return 0, nil
	}
	p := e.p
	p.mu.Lock()
	if p.readers == 0 {
		p.mu.Unlock()
		return 0, unix.EPIPE
	}
	n, err := p.write(src, f.Flags()&unix.O_DIRECT != 0)
	p.mu.Unlock()
	if n > 0 {
		p.queue.Notify(wait.In | wait.RdNorm)
	}
	return n, err
}

// Readiness implements vfs.FileOps.
func (e *end) Readiness(mask wait.Events) wait.Events {
	p := e.p
	p.mu.Lock()
	defer p.mu.Unlock()
	var r wait.Events
	if e.read {
		if p.used > 0 {
			r |= wait.In | wait.RdNorm
		}
		if p.writers == 0 && !(e.quiet && p.writerSeq == e.since) {
			r |= wait.Hup
		}
	}
	if e.write {
		if !p.full() {
			r |= wait.Out | wait.WrNorm
		}
		if p.readers == 0 {
			r |= wait.Err
		}
	}
	return r & (mask | wait.Err | wait.Hup)
}

// Register implements vfs.FileOps.
func (e *end) Register(w *wait.Entry, mask wait.Events) { e.p.queue.Register(w, mask) }

// Unregister implements vfs.FileOps.
func (e *end) Unregister(w *wait.Entry) { e.p.queue.Unregister(w) }

// Ioctl implements vfs.FileOps.
func (e *end) Ioctl(ctx *vfs.Context, _ *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	if cmd != unix.TIOCINQ {
		return 0, unix.ENOTTY
	}
	n := e.p.buffered()
	b := [4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
	_, err := ctx.Mem.CopyOut(arg, b[:])
	return 0, err
}

// Release implements vfs.FileOps.
func (e *end) Release(*vfs.File) {
	p := e.p
	p.mu.Lock()
	if e.read {
		p.readers--
	}
	if e.write {
		p.writers--
	}
	if p.readers == 0 && p.writers == 0 {
		for p.used > 0 {
			p.pop()
		}
		if p.spare != nil {
			pages.Put(p.spare)
			p.spare = nil
		}
	}
	p.mu.Unlock()
	p.queue.Notify(wait.In | wait.Out | wait.RdNorm | wait.WrNorm | wait.Hup | wait.Err)
}

// Of returns the pipe of which f is an end; nil if it is none.
func Of(f *vfs.File) *Pipe {
	if e := endOf(f); e != nil {
		return e.p
	}
	return nil
}

func endOf(f *vfs.File) *end {
	switch o := f.Ops().(type) {
	case *end:
		return o
	case *fifoEnd:
		return &o.end
	}
	return nil
}
