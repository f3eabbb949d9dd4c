// Package control is what runsc and the sandbox say to each other over their
// socket: one JSON object a message, in both directions.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/config"
	"casemate/runsc/netns"
)

// Descriptors that a sandbox process (runsc boot) finds open at its start. Its
// standard error is a pipe to runsc for what the Go runtime prints when it dies.
const (
	FDControl  = 3 + iota // socket to runsc
	FDGofer               // socket to the gofer
	FDDebugLog            // the debug log, or /dev/null
	FDStdin               // the container's standard input, or the terminal
	FDStdout
	FDStderr
	FDNetwork // packet sockets of Boot.Network, as many as its links say
)

// Descriptors that a gofer process (runsc gofer) finds open at its start.
const (
	FDGoferServer = 3 + iota // socket to the sandbox
	FDGoferConfig            // pipe with the GoferConfig
)

// A Tree is a directory or file of the host that the gofer serves: the root file
// system, which is the first, or the source of a bind mount.
type Tree struct {
	Source    string
	ReadOnly  bool
	Recursive bool // with what is mounted below
	Shared    bool // the host may change it while the sandbox runs
}

// GoferConfig is what a gofer process reads first.
type GoferConfig struct {
	Trees   []Tree
	ID      string
	Scratch string // a directory that the gofer mounts over, in its own namespace
}

// Boot is the first message to a sandbox: all that it needs to start.
type Boot struct {
	ID      string
	Version string
	Config  config.Config
	Spec    *specs.Spec
	// BindTrees gives for each index in Spec.Mounts that is a bind mount the tree that
	// it comes from.
	BindTrees map[int]int
	Shared    map[int]bool // trees that the host may change
	HostRoot  bool         // the root is the host's own file system (runsc do)
	Terminal  bool         // FDStdin is a terminal in raw mode
	Size      WindowSize   // its size at the start
	// Network is what the sandbox takes over of the host; nil: it has a loopback device
	// alone.
	Network *netns.Network
}

// WindowSize is a terminal's size in characters and pixels.
type WindowSize struct {
	Rows, Cols, X, Y uint16
}

// A Request is any later message to a sandbox.
type Request struct {
	Signal int         `json:",omitempty"` // send it to the container's init process
	Resize *WindowSize `json:",omitempty"`
}

// A Reply is a message from a sandbox. The last one is Exited or Failed.
type Reply struct {
	Started bool   `json:",omitempty"` // the container's process runs
	Failed  string `json:",omitempty"` // the sandbox cannot start or go on
	Code    int    `json:",omitempty"` // with Failed: the exit code that runsc ends with
	Exited  *Exit  `json:",omitempty"`
}

// Exit tells how the container's init process ended.
type Exit struct {
	Code   int // exit code; 0 if it was killed
	Signal int // signal that killed it, or 0
}

// Status is the exit code by which a shell and engines know the end: the code, or
// 128 plus the signal's number.
func (e *Exit) Status() int {
	if e.Signal != 0 {
		return 128 + e.Signal
	}
	return e.Code
}

// A Conn is one end of the control socket. Send may be called concurrently, and
// concurrently with one Receive.
type Conn struct {
	f   *os.File
	dec *json.Decoder
	in  *limitedReader
	mu  sync.Mutex
	enc *json.Encoder
}

// Limits of a message's length in bytes. A sandbox may be in the hands of the
// application: it must not make runsc take up memory without end.
const (
	MaxBoot  = 64 << 20 // to a sandbox; the OCI configuration is part of it
	MaxReply = 64 << 10 // from a sandbox
)

// NewConn returns the Conn over a connected stream socket. It receives messages of
// up to limit bytes.
func NewConn(f *os.File, limit int) *Conn {
	in := &limitedReader{r: f, limit: limit}
	return &Conn{f: f, dec: json.NewDecoder(in), in: in, enc: json.NewEncoder(f)}
}

// ErrTooLong says that a message was longer than the Conn's limit.
var ErrTooLong = errors.New("control socket: message too long")

// A limitedReader fails with ErrTooLong when limit bytes have been read since left
// was last set to it.
type limitedReader struct {
	r           io.Reader
	limit, left int
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, ErrTooLong
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// Send sends one message.
func (c *Conn) Send(message any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.enc.Encode(message); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// Receive waits for a message. It fails with io.EOF when the other end is closed,
// with ErrTooLong if the message is longer than it may be.
func (c *Conn) Receive(message any) error {
	c.in.left = c.in.limit
	return c.dec.Decode(message)
}

// Close closes the socket.
func (c *Conn) Close() error { return c.f.Close() }
