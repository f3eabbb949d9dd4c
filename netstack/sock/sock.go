// Package sock has what the sockets of all protocols share: addresses,
// messages with their ancillary data, options of level SOL_SOCKET and of the IP
// levels, the table of bound ports and the Endpoint interface that every
// protocol implements.
//
// No operation of an endpoint blocks: what Linux would wait for gives
// unix.EAGAIN (or EINPROGRESS), and the function set by SetNotify tells when to
// try again. All errors are unix.Errno.
package sock

import (
	"io"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Addr is a socket address of family AF_INET or AF_INET6. An endpoint of
// family AF_INET6 gives and takes IPv4 addresses in the mapped form.
type Addr struct {
	Addr     netip.Addr // never with a zone; the invalid Addr stands for "none"
	Port     uint16
	Scope    uint32 // sin6_scope_id: interface index for link-local addresses
	FlowInfo uint32 // sin6_flowinfo
}

// Events of poll(2) that x/sys does not name.
const (
	POLLRDNORM = 0x040
	POLLWRNORM = 0x100
)

// Endpoint is a socket of any protocol. All methods may be called from any
// goroutine; several may run at once.
type Endpoint interface {
	// Bind sets the local address (bind(2)).
	Bind(a Addr) error
	// Connect starts to connect, or sets the peer of a datagram socket (connect(2)). For
	// streams it gives EINPROGRESS first; the end of it is told by POLLOUT and TakeError. An
	// invalid Addr disconnects (AF_UNSPEC).
	Connect(a Addr) error
	// Listen makes the endpoint accept connections (listen(2)).
	Listen(backlog int) error
	// Accept takes an established connection, EAGAIN if there is none (accept(2)).
	Accept() (Endpoint, Addr, error)
	// Shutdown ends one or both directions: unix.SHUT_RD, SHUT_WR, SHUT_RDWR (shutdown(2)).
	Shutdown(how int) error
	// Close gives up the endpoint; what is queued is still sent, unless Linger says otherwise.
	// No other method may be called afterwards, except SetNotify and Lingering.
	Close()
	// LocalAddr is getsockname(2).
	LocalAddr() Addr
	// RemoteAddr is getpeername(2): ENOTCONN without a peer.
	RemoteAddr() (Addr, error)

	// Recv writes received data, at most n bytes, to w and fills in m. It returns what
	// recvmsg(2) returns: with MSG_TRUNC in m.Flags, a datagram's real length. If w fails
	// before it has taken all it was given, a stream keeps what was not taken; the error is
	// returned only when nothing was.
	Recv(w io.Writer, n int, m *Msg) (int, error)
	// Send reads n bytes from r and sends them to m.Addr or to the peer. A stream may take
	// fewer. If r fails, nothing of a datagram is sent, and of a stream what r gave before.
	Send(r io.Reader, n int, m *Msg) (int, error)
	// Available is SIOCINQ: bytes that can be read, or the size of the next datagram.
	Available() (int, error)
	// Unsent is SIOCOUTQ: bytes not yet acknowledged (TCP), or not yet sent.
	Unsent() (int, error)

	// Readiness is the poll(2) events that hold now: POLLIN, POLLPRI, POLLOUT, POLLERR,
	// POLLHUP, POLLRDNORM, POLLWRNORM, POLLRDHUP, as Linux's poll would give them.
	Readiness() uint32
	// SetNotify sets the function that is called when events may have begun to hold. It is
	// called without endpoint locks, from any goroutine, and must neither block nor call
	// Send, Recv or Close. It must wake all who wait for one of the events: further data is
	// not announced again until somebody has called Readiness or Recv.
	SetNotify(fn func(events uint32))

	// TakeError returns and clears the pending error (SO_ERROR); 0 if none.
	TakeError() unix.Errno
	// Options are the options that all protocols share.
	Options() *Options
	// Type is SOCK_STREAM, SOCK_DGRAM or SOCK_RAW.
	Type() int
	// Family is AF_INET or AF_INET6.
	Family() int
	// Protocol is IPPROTO_*.
	Protocol() int
}

// Msg is what goes with data in sendmsg(2) and recvmsg(2). A Msg may be reused.
type Msg struct {
	// Flags are the caller's MSG_* flags.
	Flags int
	// Later says that the packets of the call may wait in the stack's backlog: the caller
	// runs that soon.
	Later bool
	// Addr is the destination on Send (invalid: the peer), the source on Recv.
	Addr Addr
	// OutFlags are MSG_TRUNC, MSG_OOB, MSG_ERRQUEUE, MSG_CTRUNC as recvmsg gives them.
	OutFlags int
	// Control is ancillary data.
	Control Control
}

// Bits of Control.Has.
const (
	HasTimestamp = 1 << iota // SO_TIMESTAMP*
	HasTTL                   // IP_TTL, IPV6_HOPLIMIT
	HasTOS                   // IP_TOS, IPV6_TCLASS
	HasPktInfo               // IP_PKTINFO, IPV6_PKTINFO
	HasOrigDst               // IP_RECVORIGDSTADDR
	HasSegment               // UDP_SEGMENT, UDP_GRO
	HasError                 // IP_RECVERR, IPV6_RECVERR
	HasDrops                 // SO_RXQ_OVFL
	HasMark                  // SO_MARK
	HasStamps                // SO_TIMESTAMPING
)

// Control is ancillary data in decoded form. On Recv, fields are set when the
// option that asks for them is; on Send, those that Has names override.
type Control struct {
	Has     uint32
	Time    int64 // ns since the epoch
	TTL     uint8
	TOS     uint8
	IfIndex int32      // of PktInfo
	Dst     netip.Addr // of PktInfo: the header's destination; on Send the source to use
	SpecDst netip.Addr // of PktInfo: the local address
	OrigDst Addr
	Segment uint16 // bytes
	Drops   uint32
	Mark    uint32
	Stamps  uint32 // flags of SO_TIMESTAMPING, of StampSent
	Err     ExtendedErr
}

// ExtendedErr is struct sock_extended_err (recvmsg(2), ip(7)) and the address
// of the node that reported the error.
type ExtendedErr struct {
	Errno      unix.Errno
	Origin     uint8 // SO_EE_ORIGIN_*
	Type, Code uint8
	Info, Data uint32
	Offender   Addr
}

// View is an address as seen by an endpoint of a family: IPv4 addresses
// are mapped for AF_INET6, and its wildcard is ::.
func View(family int, a netip.Addr) netip.Addr {
	if family == unix.AF_INET {
		if !a.IsValid() {
			return netip.IPv4Unspecified()
		}
		return a
	}
	if !a.IsValid() {
		return netip.IPv6Unspecified()
	}
	return netip.AddrFrom16(a.As16())
}

// Mapped is View for an address that belongs to a connection over IPv4, whose
// wildcard is mapped as well.
func Mapped(family int, a netip.Addr) netip.Addr {
	if family == unix.AF_INET6 && a.Is4() {
		return netip.AddrFrom16(a.As16())
	}
	return a
}
