// Package socket is what the system calls on sockets need of every kind of socket
// (socket(2)): the interface of a protocol family, the options that all have
// (socket(7)), and the file system that socket files are in. The families are in
// packages below.
package socket

import (
	"io"

	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"
)

// A Sender is a socket to which a file's data goes without a copy in between.
type Sender interface {
	// SendFrom sends up to n bytes that r gives, or lends (pkt.Lender). It does not wait: EAGAIN.
	// EOPNOTSUPP if the socket is none of this kind after all.
	SendFrom(ctx *vfs.Context, r io.Reader, n int) (int, error)
}

// A Completer is a socket that tells by its error queue when what was sent with MSG_ZEROCOPY is its
// sender's again.
type Completer interface {
	// Sent is called at the end of each call with MSG_ZEROCOPY that has sent n bytes.
	Sent(n int)
}

// A Socket is an open socket. Its methods do not wait: they give EAGAIN (Connect:
// EINPROGRESS or EAGAIN) and the system call waits for Readiness, unless the file is
// non-blocking. Addresses are struct sockaddr as bytes.
type Socket interface {
	vfs.FileOps

	// Common returns what all sockets have.
	Common() *Common
	Bind(ctx *vfs.Context, addr []byte) error
	// Connect begins to connect. EINPROGRESS: it will be done when the socket is
	// writable, and SO_ERROR tells the result. EAGAIN: it is to be called again
	// when the socket is writable.
	Connect(ctx *vfs.Context, addr []byte) error
	Listen(ctx *vfs.Context, backlog int) error
	// Accept takes a connection. The address is the peer's.
	Accept(ctx *vfs.Context) (s Socket, peer []byte, err error)
	Shutdown(how int) error
	LocalAddr() ([]byte, error)
	PeerAddr() ([]byte, error)
	// Send sends src as sendmsg(2) does. m.Addr is the destination if not nil. It
	// owns m.Control.Files when it succeeds.
	Send(ctx *vfs.Context, src *usermem.Seq, m *Message, flags int) (int, error)
	// Receive receives into dst as recvmsg(2) does, and fills m.
	Receive(ctx *vfs.Context, dst *usermem.Seq, m *Message, flags int) (int, error)
	// GetOption returns the value of an option of a level that is not the
	// common part of SOL_SOCKET. length is what the caller has room for.
	// ENOPROTOOPT.
	GetOption(ctx *vfs.Context, level, name, length int) ([]byte, error)
	// SetOption sets such an option.
	SetOption(ctx *vfs.Context, level, name int, value []byte) error
}

// An Asker is a Socket with options that getsockopt(2) is asked with a value.
type Asker interface {
	// Ask returns the answer for a value, of which the caller has room for length bytes; value is
	// the beginning of what is there, at most MaxAsked bytes. asked is false if the option is not
	// of that kind.
	Ask(ctx *vfs.Context, level, name int, value []byte, length int) (answer []byte, asked bool, err error)
}

// MaxAsked is how much of a value an Asker sees.
const MaxAsked = 96

// A Message is what goes with the data. It can be used again after Reset.
type Message struct {
	Addr    []byte // of the receiver, or of the sender
	Control Control
	Flags   int // out: MSG_TRUNC, MSG_CTRUNC, MSG_EOR, MSG_OOB, ...

	// Name is room for Addr.
	Name [MaxAddr]byte
}

// MaxAddr is the size of struct sockaddr_storage.
const MaxAddr = 128

// Reset makes m as new. Files must have been taken or dropped.
func (m *Message) Reset() {
	m.Addr, m.Flags = nil, 0
	m.Control = Control{Other: m.Control.Other[:0]}
}

// Control is ancillary data (cmsg(3)).
type Control struct {
	Files []*vfs.File  // SCM_RIGHTS, with references
	Cred  *Credentials // SCM_CREDENTIALS
	Other []Item       // other items, in order
}

// An Item is a control message as it is in memory.
type Item struct {
	Level, Type int32
	Data        []byte
}

// Drop lets go of files that nobody takes.
func (c *Control) Drop() {
	for _, f := range c.Files {
		f.DecRef()
	}
	c.Files = nil
}

// Credentials are a peer's, as the kernel has them: each reader sees the numbers of
// its own namespaces.
type Credentials struct {
	Process *kernel.ThreadGroup // nil for a process outside
	PID     int32               // used if Process is nil
	UID     uint32              // kernel ids
	GID     uint32
	Groups  []cred.GID // supplementary groups
}

// CredentialsOf returns those of a context's task that SO_PEERCRED shows: the
// effective ids.
func CredentialsOf(ctx *vfs.Context) *Credentials {
	return credentials(ctx, ctx.Cred.EUID, ctx.Cred.EGID)
}

// SenderOf returns those of a context's task that go with a message: the real ids.
func SenderOf(ctx *vfs.Context) *Credentials {
	return credentials(ctx, ctx.Cred.RUID, ctx.Cred.RGID)
}

func credentials(ctx *vfs.Context, uid cred.UID, gid cred.GID) *Credentials {
	c := &Credentials{UID: uint32(uid), GID: uint32(gid), Groups: ctx.Cred.Groups}
	if t, _ := ctx.Task.(*kernel.Task); t != nil {
		c.Process = t.ThreadGroup()
	}
	return c
}

// Common is what all sockets have: kind, time-outs and options of SOL_SOCKET that
// need nothing of the protocol.
type Common struct {
	Family, Type, Protocol int

	// Net is the network namespace that the socket is of. Its file has a reference to it.
	Net *kernel.NetNamespace

	ReceiveTimeout atomic.Int64 // ns, 0: none
	SendTimeout    atomic.Int64
	PassCred       atomic.Bool
	Err            atomic.Int32 // SO_ERROR: an errno that waits to be seen

	// Inode and Owner are the file's inode number and owner (kernel id); 0 while it
	// has no file.
	Inode atomic.Uint64
	Owner atomic.Uint32

	cookie atomic.Uint64

	mu     sync.Mutex
	values map[int][8]byte // options that are kept and have no effect here
}

// HasCap reports whether ctx has a capability towards the socket's network namespace.
func (c *Common) HasCap(ctx *vfs.Context, capability cred.Capability) bool {
	return c.Net.HasCap(ctx.Cred, capability)
}

// TakeError returns the pending error and clears it.
func (c *Common) TakeError() error {
	if e := c.Err.Swap(0); e != 0 {
		return unix.Errno(e)
	}
	return nil
}

// Timeouts are SO_RCVTIMEO and SO_SNDTIMEO in ns; 0 for none.
func (c *Common) Timeouts() (read, write int64) {
	return c.ReceiveTimeout.Load(), c.SendTimeout.Load()
}

// keep stores an option that only its reader sees.
func (c *Common) keep(name int, v []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		c.values = map[int][8]byte{}
	}
	var b [8]byte
	copy(b[:], v)
	c.values[name] = b
}

// kept returns what keep has stored, or zeros.
func (c *Common) kept(name, length int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.values[name]
	return append([]byte(nil), v[:length]...)
}

// cookies counts SO_COOKIE up.
var cookies atomic.Uint64

// Cookie is SO_COOKIE: a number that no other socket has.
func (c *Common) Cookie() uint64 {
	for {
		if v := c.cookie.Load(); v != 0 {
			return v
		}
		c.cookie.CompareAndSwap(0, cookies.Add(1))
	}
}

// Sent reports whether c are those that SenderOf would return.
func (c *Credentials) Sent(ctx *vfs.Context) bool {
	t, _ := ctx.Task.(*kernel.Task)
	return t != nil && c.Process == t.ThreadGroup() && c.UID == uint32(ctx.Cred.RUID) && c.GID == uint32(ctx.Cred.RGID)
}

// Ucred is c as struct ucred, with the numbers that ctx's task sees. A nil c is what
// a socket without a peer has: pid 0, ids -1.
func (c *Credentials) Ucred(ctx *vfs.Context) []byte {
	if c == nil {
		p := Int32(0)
		return append(append(p, Int32(-1)...), Int32(-1)...)
	}
	pid := c.PID
	if t, _ := ctx.Task.(*kernel.Task); t != nil && c.Process != nil {
		pid = c.Process.ID(t.PIDNamespace())
	}
	ns := ctx.Cred.UserNS
	p := Int32(int(pid))
	p = append(p, Int32(int(ns.ShowUID(cred.UID(c.UID))))...)
	return append(p, Int32(int(ns.ShowGID(cred.GID(c.GID))))...)
}
