package inet

import (
	"bytes"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/sock"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

type world struct {
	t    testing.TB
	ctx  *vfs.Context
	all  *Sockets
	root *cred.Credentials
}

func newWorld(t testing.TB) *world {
	t.Helper()
	stack := netstack.New(ip.Options{})
	t.Cleanup(stack.Close)
	if err := stack.UpLoopback(); err != nil {
		t.Fatal(err)
	}
	user := cred.NewRootUserNamespace()
	root := cred.NewRoot(user)
	return &world{t, &vfs.Context{Cred: root}, NewSockets(&kernel.NetNamespace{UserNS: user}, stack), root}
}

func (w *world) socket(family, typ int) *Socket {
	w.t.Helper()
	s, err := New(w.ctx, w.all, family, typ, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) want(what string, got, want error) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func at(addr string) []byte {
	a := netip.MustParseAddrPort(addr)
	fam := unix.AF_INET
	if a.Addr().Is6() {
		fam = unix.AF_INET6
	}
	return appendSockaddr(nil, fam, sock.Addr{Addr: a.Addr(), Port: a.Port()})
}

// until waits for the events.
func (w *world) until(s *Socket, events wait.Events) {
	w.t.Helper()
	woken := make(chan struct{}, 1)
	e := wait.Entry{Notify: func(*wait.Entry, wait.Events) {
		select {
		case woken <- struct{}{}:
		default:
		}
	}}
	s.Register(&e, events)
	defer s.Unregister(&e)
	for s.Readiness(events) == 0 {
		<-woken
	}
}

// connected returns the two ends of a TCP connection.
func (w *world) connected(family int, listen string) (c, s *Socket) {
	w.t.Helper()
	l := w.socket(family, unix.SOCK_STREAM)
	w.want("bind", l.Bind(w.ctx, at(listen)), nil)
	w.want("listen", l.Listen(w.ctx, 1), nil)
	name, _ := l.LocalAddr()
	c = w.socket(family, unix.SOCK_STREAM)
	w.want("connect", c.Connect(w.ctx, name), unix.EINPROGRESS)
	w.until(c, wait.Out)
	w.want("connect again", c.Connect(w.ctx, name), nil)
	w.want("connect a third time", c.Connect(w.ctx, name), unix.EISCONN)
	w.until(l, wait.In)
	other, peer, err := l.Accept(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	if own, _ := c.LocalAddr(); !bytes.Equal(own, peer) {
		w.t.Errorf("accepted from %x, which is %x", peer, own)
	}
	l.Release(nil)
	return c, other.(*Socket)
}

func TestTCP(t *testing.T) {
	for family, addr := range map[int]string{unix.AF_INET: "127.0.0.1:0", unix.AF_INET6: "[::1]:0"} {
		w := newWorld(t)
		c, s := w.connected(family, addr)
		src := usermem.Kernel([]byte("hello"))
		if n, err := c.Send(w.ctx, &src, &socket.Message{}, 0); n != 5 || err != nil {
			t.Fatalf("send: %d, %v", n, err)
		}
		w.until(s, wait.In)
		p := make([]byte, 10)
		dst := usermem.Kernel(p)
		var m socket.Message
		n, err := s.Receive(w.ctx, &dst, &m, 0)
		if string(p[:n]) != "hello" || err != nil || m.Addr != nil {
			t.Errorf("received %q from %x, %v", p[:n], m.Addr, err)
		}
		c.Release(nil)
		w.until(s, wait.RdHup)
		dst = usermem.Kernel(p)
		if n, err := s.Receive(w.ctx, &dst, &m, 0); n != 0 || err != nil {
			t.Errorf("at the end: %d, %v", n, err)
		}
		s.Release(nil)
		if n := w.all.Len(); n != 0 {
			t.Errorf("%d sockets are left", n)
		}
	}
}

func TestConnectRefused(t *testing.T) {
	w := newWorld(t)
	c := w.socket(unix.AF_INET, unix.SOCK_STREAM)
	w.want("connect", c.Connect(w.ctx, at("127.0.0.1:1")), unix.EINPROGRESS)
	w.until(c, wait.Out)
	if e := c.Readiness(wait.Out); e&wait.Err == 0 {
		t.Errorf("ready for %#x", e)
	}
	for _, want := range []unix.Errno{unix.ECONNREFUSED, 0} {
		v, err := socket.Get(w.ctx, c, unix.SOL_SOCKET, unix.SO_ERROR, 4)
		if e, _ := socket.ToInt(v); unix.Errno(e) != want || err != nil {
			t.Errorf("SO_ERROR %v, %v, want %v", unix.Errno(e), err, want)
		}
	}
}

func TestUDPWithItems(t *testing.T) {
	w := newWorld(t)
	s, c := w.socket(unix.AF_INET, unix.SOCK_DGRAM), w.socket(unix.AF_INET, unix.SOCK_DGRAM)
	w.want("bind", s.Bind(w.ctx, at("127.0.0.1:0")), nil)
	name, _ := s.LocalAddr()
	for _, o := range []int{unix.IP_PKTINFO, unix.IP_RECVTTL, unix.IP_RECVTOS} {
		w.want("setsockopt", socket.Set(w.ctx, s, unix.IPPROTO_IP, o, socket.Int32(1)), nil)
	}
	w.want("setsockopt", socket.Set(w.ctx, s, unix.SOL_SOCKET, unix.SO_TIMESTAMP, socket.Int32(1)), nil)
	src := usermem.Kernel([]byte("hello"))
	m := socket.Message{Addr: name}
	m.Control.Other = []socket.Item{{Level: unix.IPPROTO_IP, Type: unix.IP_TTL, Data: socket.Int32(7)}}
	if _, err := c.Send(w.ctx, &src, &m, 0); err != nil {
		t.Fatal(err)
	}
	w.until(s, wait.In)
	p := make([]byte, 10)
	dst := usermem.Kernel(p)
	m.Reset()
	n, err := s.Receive(w.ctx, &dst, &m, 0)
	if string(p[:n]) != "hello" || err != nil {
		t.Fatalf("received %q, %v", p[:n], err)
	}
	if from, _ := c.LocalAddr(); from[2] != m.Addr[2] || from[3] != m.Addr[3] {
		t.Errorf("from %x, want the port of %x", m.Addr, from)
	}
	got := map[[2]int32][]byte{}
	for _, it := range m.Control.Other {
		got[[2]int32{it.Level, it.Type}] = it.Data
	}
	if d := got[[2]int32{unix.IPPROTO_IP, unix.IP_TTL}]; !bytes.Equal(d, socket.Int32(7)) {
		t.Errorf("TTL %x", d)
	}
	if d := got[[2]int32{unix.IPPROTO_IP, unix.IP_TOS}]; !bytes.Equal(d, []byte{0}) {
		t.Errorf("TOS %x", d)
	}
	if d := got[[2]int32{unix.IPPROTO_IP, unix.IP_PKTINFO}]; !bytes.Equal(d, []byte{1, 0, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1}) {
		t.Errorf("packet information %x", d)
	}
	if d := got[[2]int32{unix.SOL_SOCKET, unix.SCM_TIMESTAMP}]; len(d) != 16 {
		t.Errorf("time stamp %x", d)
	}
}

func TestAddressErrors(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		family int
		addr   []byte
		want   error
	}{
		{unix.AF_INET, at("127.0.0.1:0")[:15], unix.EINVAL},
		{unix.AF_INET, at("[::1]:0"), unix.EAFNOSUPPORT},
		{unix.AF_INET, at("10.1.2.3:0"), unix.EADDRNOTAVAIL},
		{unix.AF_INET, make([]byte, 16), nil}, // AF_UNSPEC, any address
		{unix.AF_INET6, at("[::1]:0")[:23], unix.EINVAL},
		{unix.AF_INET6, at("[::1]:0")[:24], nil},
		{unix.AF_INET6, append(at("127.0.0.1:0"), make([]byte, 12)...), unix.EAFNOSUPPORT},
	} {
		w.want("bind", w.socket(c.family, unix.SOCK_DGRAM).Bind(w.ctx, c.addr), c.want)
	}
}

func TestPrivileges(t *testing.T) {
	w := newWorld(t)
	w.ctx.Cred = cred.New(1, 1, nil, w.root.UserNS)
	_, err := New(w.ctx, w.all, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	w.want("raw socket", err, unix.EPERM)
	_, err = New(w.ctx, w.all, unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)
	w.want("ping socket", err, unix.EACCES)
	s := w.socket(unix.AF_INET, unix.SOCK_STREAM)
	w.want("low port", s.Bind(w.ctx, at("127.0.0.1:80")), unix.EACCES)
	for _, o := range []int{unix.SO_MARK, unix.SO_SNDBUFFORCE, unix.SO_RCVBUFFORCE} {
		w.want("privileged option", socket.Set(w.ctx, s, unix.SOL_SOCKET, o, socket.Int32(1)), unix.EPERM)
	}
	w.want("transparent", socket.Set(w.ctx, s, unix.IPPROTO_IP, unix.IP_TRANSPARENT, socket.Int32(1)), unix.EPERM)
}

func TestProcNet(t *testing.T) {
	w := newWorld(t)
	l := w.socket(unix.AF_INET, unix.SOCK_STREAM)
	w.want("bind", l.Bind(w.ctx, at("127.0.0.1:8080")), nil)
	if lines := strings.Count(w.all.TCP(unix.AF_INET), "\n"); lines != 1 {
		t.Errorf("%d lines with a closed socket", lines)
	}
	w.want("listen", l.Listen(w.ctx, 1), nil)
	if text := w.all.TCP(unix.AF_INET); !strings.Contains(text, "   0: 0100007F:1F90 00000000:0000 0A ") {
		t.Errorf("tcp:\n%s", text)
	}
	u := w.socket(unix.AF_INET6, unix.SOCK_DGRAM)
	w.want("bind", u.Bind(w.ctx, at("[::1]:53")), nil)
	if text := w.all.Datagrams(unix.AF_INET6, unix.SOCK_DGRAM, false); !strings.Contains(text, "   53: 00000000000000000000000001000000:0035 ") {
		t.Errorf("udp6:\n%s", text)
	}
}

func TestTransferDoesNotAllocate(t *testing.T) {
	w := newWorld(t)
	c, s := w.connected(unix.AF_INET, "127.0.0.1:0")
	w.want("no delay", socket.Set(w.ctx, c, unix.IPPROTO_TCP, unix.TCP_NODELAY, socket.Int32(1)), nil)
	p := make([]byte, 512)
	var src, dst usermem.Seq // the system calls have theirs in the Context
	n := testing.AllocsPerRun(1000, func() {
		src, dst = usermem.Kernel(p), usermem.Kernel(p)
		if n, err := c.Write(w.ctx, nil, &src, 0, 0); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		for s.Readiness(wait.In) == 0 {
			runtime.Gosched() // a timer's goroutine delivers
		}
		if n, err := s.Read(w.ctx, nil, &dst, 0, 0); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	})
	if n >= 1 && !raceEnabled {
		t.Errorf("%v allocations for a write and a read", n)
	}
}
