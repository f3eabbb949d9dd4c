package inet

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/sock"
	"casemate/sentry/socket"
	"casemate/vfs/wait"
)

// completions are the sends with MSG_ZEROCOPY, numbered from 0, whose sender is still to be told
// that its memory is its own again. It is so at once, as the data has been copied; Linux does the
// same on a way where it must.
type completions struct {
	mu          sync.Mutex
	next        uint32      // the next send's number
	first, last uint32      // those to be told of
	waiting     atomic.Bool // there are any; read without mu as well
}

// take takes the numbers of the sends off.
func (c *completions) take() (e sock.ExtendedErr, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ok = c.waiting.Swap(false)
	return sock.ExtendedErr{Origin: unix.SO_EE_ORIGIN_ZEROCOPY, Code: unix.SO_EE_CODE_ZEROCOPY_COPIED, Info: c.first, Data: c.last}, ok
}

// Sent implements socket.Completer.
func (s *Socket) Sent(n int) {
	if !s.ep.Options().ZeroCopy.Load() || n == 0 && s.tcp != nil {
		return
	}
	c := &s.completions
	c.mu.Lock()
	if !c.waiting.Swap(true) {
		c.first = c.next
	}
	c.last = c.next
	c.next++
	c.mu.Unlock()
	s.queue.Notify(wait.Err)
}

// receiveCompletion is Receive with MSG_ERRQUEUE of what the stack has not itself an error of. EAGAIN.
func (s *Socket) receiveCompletion(m *socket.Message) error {
	e, ok := s.completions.take()
	if !ok {
		return unix.EAGAIN
	}
	m.Flags |= unix.MSG_ERRQUEUE
	s.items(&sock.Control{Has: sock.HasError, Err: e}, m)
	return nil
}

// setZeroCopy is SO_ZEROCOPY: EOPNOTSUPP but for TCP and UDP, EINVAL.
func (s *Socket) setZeroCopy(v int) error {
	if s.tcp == nil && s.udp == nil {
		return unix.EOPNOTSUPP
	}
	if v != 0 && v != 1 {
		return unix.EINVAL
	}
	s.ep.Options().ZeroCopy.Store(v != 0)
	return nil
}
