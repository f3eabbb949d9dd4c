package boot

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"casemate/runsc/control"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/wait"
)

func winsize(w control.WindowSize) unix.Winsize {
	return unix.Winsize{Row: w.Rows, Col: w.Cols, Xpixel: w.X, Ypixel: w.Y}
}

// openTerminal makes the container's terminal, /dev/pts/0, whose master end is the
// host's terminal, and opens it.
func (s *sandbox) openTerminal(c *cred.Credentials) (*vfs.File, error) {
	if s.devpts == nil {
		return nil, errors.New("process.terminal is true, but no devpts is mounted")
	}
	t, err := s.devpts.NewTerminal(c.EUID, c.EGID)
	if err != nil {
		return nil, fmt.Errorf("making the terminal: %w", err)
	}
	t.Unlock()
	t.Resize(winsize(s.Size))
	s.terminal = t
	go s.pumpInput()
	go s.pumpOutput()
	name := fmt.Sprintf("/dev/pts/%d", t.Index())
	f, err := s.ctx.Open(vfs.Start{}, name, unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", name, err)
	}
	console, err := s.mountPoint("/dev/console", false)
	if err != nil {
		return nil, fmt.Errorf("/dev/console: %w", err)
	}
	defer console.DecRef()
	if _, err := s.vfs.Bind(f.Path(), console, false, nil); err != nil {
		return nil, fmt.Errorf("/dev/console: %w", err)
	}
	return f, nil
}

// pumpInput passes what is typed on to the container's terminal.
func (s *sandbox) pumpInput() {
	room := make(chan struct{}, 1)
	e := wait.Entry{Notify: func(*wait.Entry, wait.Events) { poke(room) }}
	q := s.terminal.MasterQueue()
	q.Register(&e, wait.Out)
	defer q.Unregister(&e)
	var buf [1024]byte
	for {
		n, err := unix.Read(control.FDStdin, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			waitHost(control.FDStdin, unix.POLLIN)
			continue
		}
		if n <= 0 || err != nil {
			s.terminal.CloseMaster()
			return
		}
		for p := buf[:n]; len(p) > 0; {
			taken := s.terminal.Input(p)
			p = p[taken:]
			if taken == 0 {
				<-room
			}
		}
	}
}

// pumpOutput shows what the container writes to its terminal.
func (s *sandbox) pumpOutput() {
	more := make(chan struct{}, 1)
	e := wait.Entry{Notify: func(*wait.Entry, wait.Events) { poke(more) }}
	q := s.terminal.MasterQueue()
	q.Register(&e, wait.In)
	defer q.Unregister(&e)
	for {
		if !s.show() {
			<-more
		}
	}
}

// show passes output on to the host's terminal and reports whether there was any.
func (s *sandbox) show() bool {
	var buf [4096]byte
	n := s.terminal.Output(buf[:])
	for p := buf[:n]; len(p) > 0; {
		k, err := unix.Write(control.FDStdout, p)
		if err == unix.EAGAIN {
			waitHost(control.FDStdout, unix.POLLOUT)
		} else if err != nil && err != unix.EINTR {
			break // nobody looks any more
		}
		p = p[max(k, 0):]
	}
	return n > 0
}

// drain shows what is left of the output at the end.
func (s *sandbox) drain() {
	if s.terminal == nil {
		return
	}
	for s.show() {
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
