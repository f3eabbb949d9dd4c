package boot

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/runsc/control"
	"casemate/sentry/tty"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/wait"
)

func winsize(w control.WindowSize) unix.Winsize {
	return unix.Winsize{Row: w.Rows, Col: w.Cols, Xpixel: w.X, Ypixel: w.Y}
}

// A console is a process's terminal, /dev/pts/N, whose master end is a terminal of the
// host in raw mode.
type console struct {
	*tty.Terminal
	fd   int // of the host's terminal
	stop int // an eventfd: input ends when it is readable
	more chan struct{}
	end  chan struct{} // closed when the process has ended
	wg   sync.WaitGroup
}

// openTerminal makes p's console and opens its terminal. It takes over fd. The first
// process's terminal is /dev/console as well.
func (s *container) openTerminal(p *process, c *cred.Credentials, fd int, size control.WindowSize, first bool) (*vfs.File, error) {
	if s.devpts == nil {
		unix.Close(fd)
		return nil, errors.New("process.terminal is true, but no devpts is mounted")
	}
	t, err := s.devpts.NewTerminal(c.EUID, c.EGID)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making the terminal: %w", err)
	}
	t.Unlock()
	t.Resize(winsize(size))
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making the terminal: %w", err)
	}
	p.console = &console{Terminal: t, fd: fd, stop: stop, more: make(chan struct{}, 1), end: make(chan struct{})}
	p.console.wg.Add(2)
	go p.console.pumpInput()
	go p.console.pumpOutput()
	name := fmt.Sprintf("/dev/pts/%d", t.Index())
	f, err := s.ctx.Open(vfs.Start{}, name, unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", name, err)
	}
	if first {
		if err := s.bindConsole(f); err != nil {
			f.DecRef()
			return nil, fmt.Errorf("/dev/console: %w", err)
		}
	}
	return f, nil
}

func (s *container) bindConsole(f *vfs.File) error {
	at, err := s.mountPoint("/dev/console", false)
	if err != nil {
		return err
	}
	defer at.DecRef()
	_, err = s.vfs.Bind(f.Path(), at, false, nil)
	return err
}

// pumpInput passes what is typed on to the container's terminal.
func (c *console) pumpInput() {
	defer c.wg.Done()
	room := make(chan struct{}, 1)
	e := wait.Entry{Notify: func(*wait.Entry, wait.Events) { poke(room) }}
	q := c.MasterQueue()
	q.Register(&e, wait.Out)
	defer q.Unregister(&e)
	defer c.CloseMaster()
	var buf [1024]byte
	for {
		fds := [2]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}, {Fd: int32(c.stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds[:], -1); err == unix.EINTR {
			continue
		}
		if fds[1].Revents != 0 {
			return
		}
		n, err := unix.Read(c.fd, buf[:])
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if n <= 0 || err != nil {
			return
		}
		for p := buf[:n]; len(p) > 0; {
			taken := c.Input(p)
			p = p[taken:]
			if taken == 0 {
				select {
				case <-room:
				case <-c.end:
					return
				}
			}
		}
	}
}

// pumpOutput shows what the container writes to its terminal.
func (c *console) pumpOutput() {
	defer c.wg.Done()
	e := wait.Entry{Notify: func(*wait.Entry, wait.Events) { poke(c.more) }}
	q := c.MasterQueue()
	q.Register(&e, wait.In)
	defer q.Unregister(&e)
	for {
		if c.show() {
			continue
		}
		select {
		case <-c.more:
		case <-c.end:
			for c.show() {
			}
			return
		}
	}
}

// show passes output on to the host's terminal and reports whether there was any.
func (c *console) show() bool {
	var buf [4096]byte
	n := c.Output(buf[:])
	for p := buf[:n]; len(p) > 0; {
		k, err := unix.Write(c.fd, p)
		if err == unix.EAGAIN {
			waitHost(c.fd, unix.POLLOUT)
		} else if err != nil && err != unix.EINTR {
			break // nobody looks any more
		}
		p = p[max(k, 0):]
	}
	return n > 0
}

// close shows what is left of the output, and hangs the terminal up. c may be nil.
func (c *console) close() {
	if c == nil {
		return
	}
	close(c.end)
	unix.Write(c.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	c.wg.Wait()
	unix.Close(c.stop)
	unix.Close(c.fd)
}

// follow takes the size of the host's terminal over.
func (c *console) follow() {
	if ws, err := unix.IoctlGetWinsize(c.fd, unix.TIOCGWINSZ); err == nil {
		c.Resize(*ws)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// waitHost waits for a host descriptor that is O_NONBLOCK.
func waitHost(fd int, events int16) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	unix.Poll(fds, -1)
}
