package netem

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"casemate/netstack/netconn"
	"golang.org/x/sys/unix"
)

// Who sends on the near side, or receives there.
const (
	linux = iota
	ours
)

// A flow is a TCP connection along a path that carries as much as it can.
type flow struct {
	who       int    // of the near side
	towards   bool   // the near side receives
	algorithm string // of congestion control, on both sides
	bytes     atomic.Int64
	total     int64 // bytes of the time that counts
}

// run has all flows send at once, and counts what arrives in a time after a start.
func (p *path) run(t *testing.T, flows []*flow, start, d time.Duration) {
	t.Helper()
	var conns []net.Conn
	var all sync.WaitGroup
	defer func() {
		for _, c := range conns {
			c.Close()
		}
		all.Wait()
	}()
	for k, f := range flows {
		near, distant, err := p.connect(f, uint16(5000+k))
		if err != nil {
			t.Error(err)
			return
		}
		conns = append(conns, near, distant)
		from, to := near, distant
		if f.towards {
			from, to = distant, near
		}
		all.Go(func() {
			b := make([]byte, 65536)
			for {
				if _, err := from.Write(b); err != nil {
					return
				}
			}
		})
		all.Go(func() {
			b := make([]byte, 65536)
			for {
				n, err := to.Read(b)
				f.bytes.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	time.Sleep(start)
	for _, f := range flows {
		f.bytes.Store(0)
	}
	time.Sleep(d)
	for _, f := range flows {
		f.total = f.bytes.Load()
	}
}

// connect makes a connection from the near side to the far one.
func (p *path) connect(f *flow, port uint16) (near, distant net.Conn, err error) {
	to := netip.AddrPortFrom(far, port)
	var l net.Listener
	p.far.in(func() {
		c := net.ListenConfig{Control: choose(f.algorithm)}
		l, err = c.Listen(context.Background(), "tcp4", to.String())
	})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	accepted := make(chan error, 1)
	go func() {
		var err error
		distant, err = l.Accept()
		accepted <- err
	}()
	if f.who == ours {
		if err = p.ours.TCP.Params.SetCongestion(f.algorithm); err != nil {
			return nil, nil, err
		}
		near, err = netconn.DialTCP(context.Background(), p.ours, to)
	} else {
		near, err = p.dialLinux(to, f.algorithm)
	}
	if err == nil {
		err = <-accepted
	}
	return near, distant, err
}

// dialLinux connects in the near namespace; the call does not leave the namespace's thread.
func (p *path) dialLinux(to netip.AddrPort, algorithm string) (c net.Conn, err error) {
	p.near.in(func() {
		var fd int
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return
		}
		f := os.NewFile(uintptr(fd), "flow")
		defer f.Close()
		if err = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, algorithm); err != nil {
			return
		}
		for {
			if err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != unix.EINTR && err != unix.EALREADY {
				break
			}
		}
		if err == nil {
			c, err = net.FileConn(f)
		}
	})
	return c, err
}

// choose sets the congestion control of sockets.
func choose(algorithm string) func(_, _ string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, algorithm)
		}); e != nil {
			return e
		}
		return err
	}
}

// needs skips a test for which Linux lacks a congestion control algorithm.
func needs(t *testing.T, algorithm string) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	if unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, algorithm) == unix.ENOENT {
		t.Skip("the kernel has no", algorithm)
	}
}
