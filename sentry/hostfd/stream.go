package hostfd

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// A stream is a host descriptor without a position: a pipe, a socket, a terminal or
// another character device. The descriptor's own O_NONBLOCK is left alone, for
// the description is shared with the host; so a transfer follows a poll that
// says it will not block.
type stream struct {
	vfs.FileDefaults
	in    *inode
	fd    int
	queue wait.Queue
	poll  *Poller
	mu    sync.Mutex // one reader, one writer between poll and transfer
	wmu   sync.Mutex
}

// chunk is how much is written after a poll has found room: a pipe that is ready
// takes that much without blocking (PIPE_BUF).
const chunk = 4096

// Readiness implements vfs.FileOps.
func (s *stream) Readiness(mask wait.Events) wait.Events {
	return Events(s.fd, mask) & (mask | wait.Err | wait.Hup)
}

// Register implements vfs.FileOps.
func (s *stream) Register(e *wait.Entry, mask wait.Events) { s.queue.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (s *stream) Unregister(e *wait.Entry) { s.queue.Unregister(e) }

// Read implements vfs.FileOps.
func (s *stream) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	if dst.Len() == 0 {
		return 0, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if Events(s.fd, wait.In) == 0 {
		return 0, unix.EAGAIN
	}
	short := false
	return moved(dst.Blocks(true, func(blocks [][]byte) (int, error) {
		if short {
			return 0, nil
		}
		short = true // what has been read does not say that there is more
		return unix.Readv(s.fd, blocks)
	}))
}

// Write implements vfs.FileOps.
func (s *stream) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	total := 0
	var buf [chunk]byte
	for src.Len() > 0 {
		if Events(s.fd, wait.Out)&(wait.Out|wait.Err|wait.Hup) == 0 {
			return moved(total, unix.EAGAIN)
		}
		n, err := src.CopyIn(buf[:min(src.Len(), chunk)])
		if n == 0 {
			return moved(total, err)
		}
		n, err = s.writeAll(buf[:n])
		total += n
		if err != nil {
			return moved(total, err)
		}
	}
	return total, nil
}

// writeAll writes p, which has been taken from its writer. The host takes a chunk
// after a poll as a whole, unless the descriptor is O_NONBLOCK and something
// else than a pipe; then the rest waits here.
func (s *stream) writeAll(p []byte) (int, error) {
	total := 0
	for total < len(p) {
		n, err := unix.Write(s.fd, p[total:])
		total += max(n, 0)
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			fds := [1]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}
			unix.Poll(fds[:], -1)
		default:
			return total, err
		}
	}
	return total, nil
}

// moved returns the result of a transfer: an error counts only if no byte has
// moved.
func moved(n int, err error) (int, error) {
	if n > 0 {
		return n, nil
	}
	if err == unix.EINTR {
		err = unix.EAGAIN
	}
	return max(n, 0), err
}

// Release implements vfs.FileOps.
func (s *stream) Release(*vfs.File) {
	if !s.in.closed() {
		return
	}
	s.poll.Remove(s.fd)
	unix.Close(s.fd)
}
