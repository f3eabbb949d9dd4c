// Package resolver lets a container ask the resolver that Docker has in the network
// namespace of a container on a network of the user's: a socket of dockerd at 127.0.0.11,
// to whose port rules in that namespace lead what is sent to port 53.
//
// The sandbox is not in that namespace, so runsc opens two things there, and this package,
// in the sandbox, uses them: a socket that is connected to 127.0.0.11:53, through which
// questions of the container go; and a TUN device with a default route, for dockerd asks
// the servers outside from that very namespace, which has lost its addresses to the
// sandbox. Only UDP goes either way.
package resolver

import (
	"math/rand/v2"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/sock"
	"casemate/netstack/udp"
)

// Address is where Docker's resolver is asked.
var Address = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// port is DNS's.
const port = 53

// Limits of what is relayed. A message over UDP is at most as long as the largest EDNS
// buffer; questions that get no answer are forgotten when their number is used again.
const (
	maxMessage = 65535
	maxPending = 4096
)

// A resolver passes questions of the container on.
type resolver struct {
	*endpoint
	fd int

	mu      sync.Mutex
	next    uint16
	pending [maxPending]question // by number, modulo their count
}

// A question waits for its answer.
type question struct {
	from sock.Addr
	sent uint16 // the number that it was sent on with
	id   uint16 // the asker's own
	open bool
}

// Serve answers what is sent to Address and port 53 in the stack by what comes from fd, a
// connected datagram socket of the host, in blocking mode, that it takes over. It returns
// at once.
func Serve(stack *netstack.Stack, fd int) error {
	ep, err := newEndpoint(stack, netip.AddrPortFrom(Address, 0))
	if err != nil {
		unix.Close(fd)
		return err
	}
	r := &resolver{endpoint: ep, fd: fd, next: uint16(rand.Uint32())}
	stack.Redirect(Address, port, ep.LocalAddr().Port)
	go r.questions()
	go r.answers()
	return nil
}

// questions passes questions to the host.
func (r *resolver) questions() {
	buf := make([]byte, maxMessage)
	for {
		n, from, err := r.receive(buf)
		if err != nil {
			return
		}
		if n < 12 { // a DNS header (RFC 1035 section 4.1.1)
			continue
		}
		number := r.open(from, uint16(buf[0])<<8|uint16(buf[1]))
		buf[0], buf[1] = byte(number>>8), byte(number)
		// What the host does not take is lost, as packets are.
		unix.Write(r.fd, buf[:n])
	}
}

// open notes a question and returns the number to send it with.
func (r *resolver) open(from sock.Addr, id uint16) uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	r.pending[r.next%maxPending] = question{from, r.next, id, true}
	return r.next
}

// take returns the question with that number.
func (r *resolver) take(number uint16) (question, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := &r.pending[number%maxPending]
	if !q.open || q.sent != number {
		return question{}, false
	}
	q.open = false
	return *q, true
}

// answers passes answers to who has asked.
func (r *resolver) answers() {
	buf := make([]byte, maxMessage)
	for {
		n, err := unix.Read(r.fd, buf)
		if err == unix.EINTR || err == unix.ECONNREFUSED {
			continue // dockerd has nobody there for the moment
		}
		if err != nil {
			return
		}
		if n < 12 {
			continue
		}
		if q, ok := r.take(uint16(buf[0])<<8 | uint16(buf[1])); ok {
			buf[0], buf[1] = byte(q.id>>8), byte(q.id)
			r.send(buf[:n], q.from)
		}
	}
}

// An endpoint is a UDP endpoint that goroutines wait for.
type endpoint struct {
	*udp.Endpoint
	ready  chan struct{} // something may have come
	closed chan struct{}
}

func newEndpoint(stack *netstack.Stack, local netip.AddrPort) (*endpoint, error) {
	e := &endpoint{stack.UDP.NewEndpoint(unix.AF_INET), make(chan struct{}, 1), make(chan struct{})}
	e.SetNotify(func(uint32) {
		select {
		case e.ready <- struct{}{}:
		default:
		}
	})
	if err := e.Bind(sock.Addr{Addr: local.Addr(), Port: local.Port()}); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// receive waits for a datagram. Errors that ICMP has told of are passed over; it fails
// when the endpoint is closed.
func (e *endpoint) receive(buf []byte) (int, sock.Addr, error) {
	for {
		var m sock.Msg
		n, err := e.Recv(&sock.Iovec{V: [][]byte{buf}}, len(buf), &m)
		switch {
		case err == nil && m.Addr.Addr.IsValid():
			return n, m.Addr, nil
		case err == unix.EAGAIN:
			select {
			case <-e.ready:
			case <-e.closed:
				return 0, m.Addr, unix.EBADF
			}
		default:
			select {
			case <-e.closed:
				return 0, m.Addr, unix.EBADF
			default:
			}
		}
	}
}

// send sends a datagram; a connected endpoint's without an address.
func (e *endpoint) send(p []byte, to sock.Addr) error {
	_, err := e.Send(&sock.Iovec{V: [][]byte{p}}, len(p), &sock.Msg{Addr: to})
	return err
}
