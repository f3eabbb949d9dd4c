package control

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A Conn is one end of a control connection. Send may be called concurrently, and
// concurrently with one Receive. A message is its length, in four bytes with the lowest
// first, and that many bytes of JSON; descriptors go with the first of them. Receive takes
// no byte from the socket that is not the message's: another process may inherit the
// socket and receive the next one.
type Conn struct {
	f      *os.File
	fd     int
	limit  int
	rights bool       // descriptors are received
	files  []int      // that have come
	mu     sync.Mutex // of Send
}

// Limits of a message's length in bytes. A sandbox may be in the hands of the
// application: it must not make runsc take up memory without end.
const (
	MaxBoot  = 64 << 20 // to a sandbox; the OCI configuration is part of it
	MaxReply = 1 << 20  // from a sandbox
)

// MaxFiles is how many descriptors can go with a message (SCM_MAX_FD, unix(7)).
const MaxFiles = 253

// headerSize is that of a message's length, in bytes.
const headerSize = 4

// NewConn returns the Conn over a connected stream socket. It receives messages of
// up to limit bytes, and no descriptors.
func NewConn(f *os.File, limit int) *Conn {
	return &Conn{f: f, fd: int(f.Fd()), limit: limit}
}

// AcceptFiles has the Conn receive descriptors as well. The other end is trusted.
func (c *Conn) AcceptFiles() { c.rights = true }

// File returns the socket itself, to be handed to another process.
func (c *Conn) File() *os.File { return c.f }

// ErrTooLong says that a message was longer than the Conn's limit.
var ErrTooLong = errors.New("control socket: message too long")

// read fills p. It fails with io.EOF if the other end is closed before the first byte.
func (c *Conn) read(p []byte) error {
	var oob []byte
	if c.rights {
		oob = make([]byte, unix.CmsgSpace(4*MaxFiles))
	}
	for got := 0; got < len(p); {
		n, oobn, flags, _, err := unix.Recvmsg(c.fd, p[got:], oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.take(oob[:oobn]); err != nil {
			return err
		}
		switch {
		case flags&unix.MSG_CTRUNC != 0 && c.rights:
			return errors.New("control socket: too many descriptors")
		case n == 0 && got == 0:
			return io.EOF
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		got += n
	}
	return nil
}

// take keeps the descriptors that came with a message.
func (c *Conn) take(oob []byte) error {
	if len(oob) == 0 {
		return nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue // something else than descriptors
		}
		c.files = append(c.files, fds...)
	}
	return nil
}

// Send sends one message, and files with it, which the caller keeps.
func (c *Conn) Send(message any, files ...*os.File) error {
	body, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if len(body) > math.MaxUint32 {
		return ErrTooLong
	}
	data := append(binary.LittleEndian.AppendUint32(make([]byte, 0, headerSize+len(body)), uint32(len(body))), body...)
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			// File.Fd would make it a blocking one.
			raw, err := f.SyscallConn()
			if err == nil {
				err = raw.Control(func(fd uintptr) { fds[i] = int(fd) })
			}
			if err != nil {
				return fmt.Errorf("control socket: %w", err)
			}
		}
		rights = unix.UnixRights(fds...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(files) == 0 {
		if _, err := c.f.Write(data); err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
		return nil
	}
	for len(data) > 0 {
		n, err := unix.SendmsgN(c.fd, data, rights, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
		data, rights = data[n:], nil
	}
	return nil
}

// Receive waits for a message. It fails with io.EOF when the other end is closed,
// with ErrTooLong if the message is longer than it may be.
func (c *Conn) Receive(message any) error {
	var header [headerSize]byte
	if err := c.read(header[:]); err != nil {
		return err
	}
	size := binary.LittleEndian.Uint32(header[:])
	if uint64(size) > uint64(c.limit) {
		return ErrTooLong
	}
	body := make([]byte, size)
	if err := c.read(body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if err := json.Unmarshal(body, message); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// Files returns the descriptors that have come since it was last called; the caller
// closes them.
func (c *Conn) Files() []int {
	files := c.files
	c.files = nil
	return files
}

// Close closes the socket. The connection goes on if another process has it too.
func (c *Conn) Close() error { return c.f.Close() }
