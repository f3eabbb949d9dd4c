// Package netconn gives a stack's endpoints the interfaces of package net, for
// programs that use the stack as a library.
package netconn

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"casemate/netstack"
	"casemate/netstack/sock"
	"golang.org/x/sys/unix"
)

// waiter wakes goroutines that wait for an endpoint.
type waiter struct {
	ep sock.Endpoint
	mu sync.Mutex
	c  chan struct{} // closed and replaced at each event
}

func newWaiter(ep sock.Endpoint) *waiter {
	w := &waiter{ep: ep, c: make(chan struct{})}
	ep.SetNotify(func(uint32) {
		w.mu.Lock()
		close(w.c)
		w.c = make(chan struct{})
		w.mu.Unlock()
	})
	return w
}

// deadline is a point in time that can be moved while others wait for it.
type deadline struct {
	mu sync.Mutex
	t  *time.Timer
	c  chan struct{}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.t != nil {
		d.t.Stop()
	}
	d.c = make(chan struct{})
	d.t = nil
	if t.IsZero() {
		return
	}
	c := d.c
	d.t = time.AfterFunc(time.Until(t), func() { close(c) })
}

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.c
}

// block runs f until it gives something else than EAGAIN.
func (w *waiter) block(d *deadline, closed <-chan struct{}, f func() error) error {
	for {
		w.mu.Lock()
		c := w.c
		w.mu.Unlock()
		select {
		case <-closed:
			return net.ErrClosed
		case <-d.wait():
			return os.ErrDeadlineExceeded
		default:
		}
		err := f()
		if err != unix.EAGAIN {
			return err
		}
		// Events that are announced once only are announced again after this.
		if w.ep.Readiness()&(unix.POLLERR|unix.POLLHUP) != 0 {
			if err := f(); err != unix.EAGAIN {
				return err
			}
		}
		select {
		case <-c:
		case <-d.wait():
		case <-closed:
		}
	}
}

// Conn is a net.Conn over a TCP endpoint.
type Conn struct {
	*waiter
	read, write deadline
	closed      chan struct{}
	once        sync.Once
}

func newConn(ep sock.Endpoint) *Conn {
	return &Conn{waiter: newWaiter(ep), closed: make(chan struct{})}
}

// DialTCP connects to a.
func DialTCP(ctx context.Context, s *netstack.Stack, a netip.AddrPort) (*Conn, error) {
	family := unix.AF_INET
	if a.Addr().Is6() {
		family = unix.AF_INET6
	}
	c := newConn(s.TCP.NewEndpoint(family))
	err := c.ep.Connect(sock.Addr{Addr: a.Addr().WithZone(""), Port: a.Port()})
	for err == unix.EINPROGRESS || err == unix.EALREADY {
		c.mu.Lock()
		event := c.c
		c.mu.Unlock()
		if c.ep.Readiness()&(unix.POLLOUT|unix.POLLERR|unix.POLLHUP) != 0 {
			err = nil
			if e := c.ep.TakeError(); e != 0 {
				err = e
			}
			break
		}
		select {
		case <-event:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		c.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(a), Err: err}
	}
	return c, nil
}

// Read implements io.Reader.
func (c *Conn) Read(b []byte) (n int, err error) {
	err = c.block(&c.read, c.closed, func() error {
		var m sock.Msg
		n, err = c.ep.Recv(&sock.Iovec{V: [][]byte{b}}, len(b), &m)
		return err
	})
	if err == nil && n == 0 && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

// Write implements io.Writer.
func (c *Conn) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		err = c.block(&c.write, c.closed, func() error {
			var m sock.Msg
			k, err := c.ep.Send(&sock.Iovec{V: [][]byte{b[n:]}}, len(b)-n, &m)
			n += k
			return err
		})
	}
	return n, err
}

// Close implements io.Closer.
func (c *Conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.ep.Close()
	})
	return nil
}

// CloseWrite ends our direction.
func (c *Conn) CloseWrite() error { return c.ep.Shutdown(unix.SHUT_WR) }

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return tcpAddr(c.ep.LocalAddr()) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr {
	a, _ := c.ep.RemoteAddr()
	return tcpAddr(a)
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { c.read.set(t); return nil }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { c.write.set(t); return nil }

func tcpAddr(a sock.Addr) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Addr.Unmap(), a.Port))
}

// Listener is a net.Listener over a TCP endpoint.
type Listener struct {
	*waiter
	none   deadline
	closed chan struct{}
	once   sync.Once
}

// ListenTCP listens at a; the unspecified address means all.
func ListenTCP(s *netstack.Stack, a netip.AddrPort) (*Listener, error) {
	family := unix.AF_INET
	if a.Addr().Is6() {
		family = unix.AF_INET6
	}
	ep := s.TCP.NewEndpoint(family)
	ep.Options().ReuseAddr.Store(true)
	err := ep.Bind(sock.Addr{Addr: a.Addr(), Port: a.Port()})
	if err == nil {
		err = ep.Listen(128)
	}
	if err != nil {
		ep.Close()
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(a), Err: err}
	}
	return &Listener{waiter: newWaiter(ep), closed: make(chan struct{})}, nil
}

// Accept implements net.Listener.
func (l *Listener) Accept() (c net.Conn, err error) {
	err = l.block(&l.none, l.closed, func() error {
		ep, _, err := l.ep.Accept()
		if err == nil {
			c = newConn(ep)
		}
		return err
	})
	return c, err
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.ep.Close()
	})
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return tcpAddr(l.ep.LocalAddr()) }
