package hostfd

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/vfs/wait"
)

// A Poller tells wait queues when host descriptors become ready. It has one
// goroutine.
type Poller struct {
	epfd int
	stop *os.File // its closing ends the goroutine
	done chan struct{}

	mu    sync.Mutex
	files map[int32]*wait.Queue
}

// NewPoller returns a running Poller.
func NewPoller() (*Poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating an epoll instance: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		unix.Close(epfd)
		return nil, fmt.Errorf("creating a pipe: %w", err)
	}
	p := &Poller{epfd: epfd, stop: w, done: make(chan struct{}), files: map[int32]*wait.Queue{}}
	ev := unix.EpollEvent{Events: unix.EPOLLHUP, Fd: int32(r.Fd())}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, int(r.Fd()), &ev); err != nil {
		r.Close()
		w.Close()
		unix.Close(epfd)
		return nil, fmt.Errorf("watching a pipe: %w", err)
	}
	go p.run(r)
	return p, nil
}

// Close ends the Poller. No descriptor may be added any more.
func (p *Poller) Close() {
	p.stop.Close()
	<-p.done
}

// Add makes q be notified of what happens at fd, each time something does.
// EPERM for files that are always ready.
func (p *Poller) Add(fd int, q *wait.Queue) error {
	p.mu.Lock()
	p.files[int32(fd)] = q
	p.mu.Unlock()
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLPRI | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
	err := unix.EpollCtl(p.epfd, unix.EPOLL_CTL_ADD, fd, &ev)
	if err != nil {
		p.forget(fd)
	}
	return err
}

// Remove ends Add. The descriptor is open still.
func (p *Poller) Remove(fd int) {
	p.forget(fd)
	unix.EpollCtl(p.epfd, unix.EPOLL_CTL_DEL, fd, nil)
}

func (p *Poller) forget(fd int) {
	p.mu.Lock()
	delete(p.files, int32(fd))
	p.mu.Unlock()
}

func (p *Poller) run(stop *os.File) {
	defer close(p.done)
	defer unix.Close(p.epfd)
	defer stop.Close()
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(p.epfd, events, -1)
		if err != nil {
			n = 0 // EINTR
		}
		for _, ev := range events[:n] {
			if ev.Fd == int32(stop.Fd()) {
				return
			}
			p.mu.Lock()
			q := p.files[ev.Fd]
			p.mu.Unlock()
			if q != nil {
				q.Notify(wait.Events(ev.Events) | normal(wait.Events(ev.Events)))
			}
		}
	}
}

// normal returns the RdNorm and WrNorm that belong to In and Out.
func normal(e wait.Events) (also wait.Events) {
	if e&wait.In != 0 {
		also |= wait.RdNorm
	}
	if e&wait.Out != 0 {
		also |= wait.WrNorm
	}
	return also
}

// Events returns which events of mask hold at fd now; Err and Hup are always included.
func Events(fd int, mask wait.Events) wait.Events {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: int16(mask)}}
	for {
		_, err := unix.Poll(fds[:], 0)
		if err != unix.EINTR {
			e := wait.Events(uint16(fds[0].Revents))
			return e | normal(e)
		}
	}
}
