package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A Conn is one end of a control connection. Send may be called concurrently, and
// concurrently with one Receive.
type Conn struct {
	f   *os.File
	fd  int
	dec *json.Decoder
	in  *reader
	mu  sync.Mutex // of Send
}

// Limits of a message's length in bytes. A sandbox may be in the hands of the
// application: it must not make runsc take up memory without end.
const (
	MaxBoot  = 64 << 20 // to a sandbox; the OCI configuration is part of it
	MaxReply = 1 << 20  // from a sandbox
)

// MaxFiles is how many descriptors can go with a message (SCM_MAX_FD, unix(7)).
const MaxFiles = 253

// NewConn returns the Conn over a connected stream socket. It receives messages of
// up to limit bytes, and no descriptors.
func NewConn(f *os.File, limit int) *Conn {
	fd := int(f.Fd())
	in := &reader{fd: fd, limit: limit}
	return &Conn{f: f, fd: fd, dec: json.NewDecoder(in), in: in}
}

// AcceptFiles has the Conn receive descriptors as well. The other end is trusted.
func (c *Conn) AcceptFiles() { c.in.rights = true }

// File returns the socket itself, to be handed to another process.
func (c *Conn) File() *os.File { return c.f }

// ErrTooLong says that a message was longer than the Conn's limit.
var ErrTooLong = errors.New("control socket: message too long")

// A reader reads the socket. It fails with ErrTooLong when limit bytes have been read
// since left was last set to it.
type reader struct {
	fd          int
	limit, left int
	rights      bool
	files       []int // descriptors that have come
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, ErrTooLong
	}
	p = p[:min(len(p), r.left)]
	var oob []byte
	if r.rights {
		oob = make([]byte, unix.CmsgSpace(4*MaxFiles))
	}
	for {
		n, oobn, flags, _, err := unix.Recvmsg(r.fd, p, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if err := r.take(oob[:oobn]); err != nil {
			return 0, err
		}
		if flags&unix.MSG_CTRUNC != 0 && r.rights {
			return 0, errors.New("control socket: too many descriptors")
		}
		if n == 0 {
			return 0, io.EOF
		}
		r.left -= n
		return n, nil
	}
}

// take keeps the descriptors that came with a message.
func (r *reader) take(oob []byte) error {
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
		r.files = append(r.files, fds...)
	}
	return nil
}

// Send sends one message, and files with it, which the caller keeps.
func (c *Conn) Send(message any, files ...*os.File) error {
	data, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
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
	c.in.left = c.in.limit
	return c.dec.Decode(message)
}

// Files returns the descriptors that have come since it was last called; the caller
// closes them.
func (c *Conn) Files() []int {
	files := c.in.files
	c.in.files = nil
	return files
}

// Close closes the socket. The connection goes on if another process has it too.
func (c *Conn) Close() error { return c.f.Close() }
