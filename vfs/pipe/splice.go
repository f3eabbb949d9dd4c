package pipe

import (
	"casemate/vfs/usermem"
	"casemate/vfs/wait"

	"golang.org/x/sys/unix"
)

const allEvents = wait.In | wait.Out | wait.RdNorm | wait.WrNorm

// Fill puts up to n bytes into the pipe that read yields, page by page, until it
// yields fewer than were asked for: splice(2) to a pipe. read is called with the
// pipe locked. EAGAIN if the pipe is full, EPIPE if it has no readers; an error of
// read only if nothing was put.
func (p *Pipe) Fill(n uint64, read func(dst []byte) (int, error)) (int, error) {
	p.mu.Lock()
	if p.readers == 0 {
		p.mu.Unlock()
		return 0, unix.EPIPE
	}
	total := 0
	var err error
	for n > 0 {
		if p.full() {
			if total == 0 {
				err = unix.EAGAIN
			}
			break
		}
		g := p.getPage()
		want := min(n, pageSize)
		var got int
		got, err = read(g[:want])
		if got <= 0 {
			p.putPage(g)
			break
		}
		p.push(g, got, false)
		total += got
		n -= uint64(got)
		if err != nil || uint64(got) < want {
			break
		}
	}
	p.mu.Unlock()
	if total > 0 {
		p.queue.Notify(wait.In | wait.RdNorm)
		return total, nil
	}
	return 0, err
}

// Drain passes up to n bytes to write, a page at most at a time, and drops what it
// has taken: splice(2) from a pipe. write is called with the pipe locked. EAGAIN
// if the pipe is empty and has writers; 0 at the end.
func (p *Pipe) Drain(n uint64, write func(src []byte) (int, error)) (int, error) {
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
	total := 0
	var err error
	for n > 0 && p.used > 0 {
		s := p.slot(0)
		want := min(n, uint64(s.len))
		var put int
		put, err = write(s.page[s.off : s.off+int(want)])
		if put > 0 {
			s.off += put
			s.len -= put
			total += put
			n -= uint64(put)
			if s.len == 0 {
				p.pop()
			}
		}
		if err != nil || uint64(put) < want {
			break
		}
	}
	wake := wasFull && !p.full()
	p.mu.Unlock()
	if wake {
		p.queue.Notify(wait.Out | wait.WrNorm)
	}
	if total > 0 {
		return total, nil
	}
	return 0, err
}

// Tee copies up to n bytes from from to to without consuming them: tee(2). EINVAL
// if they are one pipe; EAGAIN if from is empty but has writers or to is full;
// EPIPE if to has no readers.
func Tee(from, to *Pipe, n uint64) (int, error) {
	if from == to {
		return 0, unix.EINVAL
	}
	first, second := from, to
	if to.seq < from.seq {
		first, second = to, from
	}
	first.mu.Lock()
	second.mu.Lock()
	total := 0
	var err error
	switch {
	case to.readers == 0:
		err = unix.EPIPE
	case from.used == 0 && from.writers > 0, from.used > 0 && to.full():
		err = unix.EAGAIN
	}
	for i := 0; err == nil && i < from.used && n > 0 && !to.full(); i++ {
		s := from.slot(i)
		g := to.getPage()
		k := copy(g[:min(n, pageSize)], s.page[s.off:s.off+s.len])
		to.push(g, k, s.packet)
		total += k
		n -= uint64(k)
	}
	second.mu.Unlock()
	first.mu.Unlock()
	if total > 0 {
		to.queue.Notify(wait.In | wait.RdNorm)
	}
	return total, err
}

// FillFrom is Fill from application memory: vmsplice(2).
func (p *Pipe) FillFrom(src *usermem.Seq) (int, error) {
	return p.Fill(src.Len(), func(dst []byte) (int, error) { return src.CopyIn(dst) })
}

// DrainTo is Drain to application memory: vmsplice(2).
func (p *Pipe) DrainTo(dst *usermem.Seq) (int, error) {
	return p.Drain(dst.Len(), func(src []byte) (int, error) { return dst.CopyOut(src) })
}

// Move moves up to n bytes from one pipe to another: splice(2) between pipes.
// EINVAL if they are one; EAGAIN if from is empty but has writers or to is full;
// EPIPE if to has no readers; 0 at the end.
func Move(from, to *Pipe, n uint64) (int, error) {
	if from == to {
		return 0, unix.EINVAL
	}
	first, second := from, to
	if to.seq < from.seq {
		first, second = to, from
	}
	first.mu.Lock()
	second.mu.Lock()
	total := 0
	var err error
	switch {
	case to.readers == 0:
		err = unix.EPIPE
	case from.used == 0 && from.writers > 0, from.used > 0 && to.full():
		err = unix.EAGAIN
	}
	wasFull := from.full()
	for err == nil && from.used > 0 && n > 0 && !to.full() {
		s := from.slot(0)
		if uint64(s.len) <= n {
			// The whole page changes hands.
			*to.slot(to.used) = *s
			to.used++
			total += s.len
			n -= uint64(s.len)
			*s = slot{}
			from.head = (from.head + 1) & (len(from.slots) - 1)
			from.used--
			continue
		}
		g := to.getPage()
		k := copy(g[:n], s.page[s.off:s.off+s.len])
		to.push(g, k, s.packet)
		s.off += k
		s.len -= k
		total += k
		n = 0
	}
	wake := wasFull && !from.full()
	second.mu.Unlock()
	first.mu.Unlock()
	if total > 0 {
		to.queue.Notify(wait.In | wait.RdNorm)
	}
	if wake {
		from.queue.Notify(wait.Out | wait.WrNorm)
	}
	return total, err
}
