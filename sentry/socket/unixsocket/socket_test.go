package unixsocket

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/platform/memfile"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/tmpfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// A world is a root context on an empty tmpfs with a set of names.
type world struct {
	t     testing.TB
	ctx   *vfs.Context
	names *Names
	fs    *socket.FS
}

func newWorld(t testing.TB) *world {
	t.Helper()
	mem, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	user := cred.NewRootUserNamespace()
	v := vfs.New(user)
	root := tmpfs.New(v, mem, tmpfs.Options{Mode: 0o755})
	stack := netstack.New(ip.Options{})
	t.Cleanup(stack.Close)
	return &world{t: t, ctx: vfs.NewContext(cred.NewRoot(user), v.NewNamespace(user, root.Superblock(), 0)), names: NewNames(&kernel.NetNamespace{UserNS: user}, stack), fs: socket.NewFS(v)}
}

func (w *world) socket(typ int) *Socket {
	w.t.Helper()
	s, err := New(w.names, typ)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) pair(typ int) (*Socket, *Socket) {
	w.t.Helper()
	a, b, err := Pair(w.ctx, w.names, typ)
	if err != nil {
		w.t.Fatal(err)
	}
	return a, b
}

func (w *world) bound(typ int, name string) *Socket {
	w.t.Helper()
	s := w.socket(typ)
	if err := s.Bind(w.ctx, sockaddr(name)); err != nil {
		w.t.Fatalf("bind %q: %v", name, err)
	}
	return s
}

func (w *world) send(s *Socket, data string, to string) error {
	w.t.Helper()
	src := usermem.Kernel([]byte(data))
	var m socket.Message
	if to != "" {
		m.Addr = sockaddr(to)
	}
	n, err := s.Send(w.ctx, &src, &m, 0)
	if err == nil && n != len(data) {
		w.t.Fatalf("sent %d of %d bytes", n, len(data))
	}
	return err
}

func (w *world) receive(s *Socket, size int) (string, error) {
	w.t.Helper()
	p := make([]byte, size)
	dst := usermem.Kernel(p)
	var m socket.Message
	n, err := s.Receive(w.ctx, &dst, &m, unix.MSG_DONTWAIT)
	return string(p[:min(n, size)]), err
}

func (w *world) want(what string, got, want error) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestStream(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair(unix.SOCK_STREAM)
	for i := range 1000 {
		w.want("send", w.send(a, fmt.Sprintf("%03d", i), ""), nil)
	}
	for i := 0; i < 1000; i += 10 {
		want := ""
		for k := range 10 {
			want += fmt.Sprintf("%03d", i+k)
		}
		if got, err := w.receive(b, 30); got != want || err != nil {
			t.Fatalf("received %q, %v, want %q", got, err, want)
		}
	}
	_, err := w.receive(b, 1)
	w.want("receive from an empty socket", err, unix.EAGAIN)
	a.Release(nil)
	got, err := w.receive(b, 1)
	if got != "" || err != nil {
		t.Errorf("at the end %q, %v", got, err)
	}
	w.want("send to a closed socket", w.send(b, "x", ""), unix.EPIPE)
}

func TestStreamFillsAndDrains(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair(unix.SOCK_STREAM)
	var sent []byte
	for i := 0; ; i++ {
		data := bytes.Repeat([]byte{byte(i)}, 1000)
		src := usermem.Kernel(data)
		n, err := a.Send(w.ctx, &src, &socket.Message{}, 0)
		sent = append(sent, data[:n]...)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if e := a.Readiness(wait.Out); e != 0 {
		t.Errorf("a full socket is ready for %#x", e)
	}
	var got []byte
	for len(got) < len(sent) {
		s, err := w.receive(b, 777)
		if err != nil {
			t.Fatalf("after %d of %d bytes: %v", len(got), len(sent), err)
		}
		got = append(got, s...)
	}
	if !bytes.Equal(got, sent) {
		t.Error("received other data than was sent")
	}
	if e := a.Readiness(wait.Out); e != wait.Out {
		t.Errorf("a drained socket is ready for %#x", e)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"/path", "\x00abstract", "\x00with\x00nul"} {
		w := newWorld(t)
		l := w.bound(unix.SOCK_STREAM, name)
		w.want("a second bind", w.socket(unix.SOCK_STREAM).Bind(w.ctx, sockaddr(name)), unix.EADDRINUSE)
		c := w.socket(unix.SOCK_STREAM)
		w.want("connect before listen", c.Connect(w.ctx, sockaddr(name)), unix.ECONNREFUSED)
		w.want("listen", l.Listen(w.ctx, 1), nil)
		w.want("connect", c.Connect(w.ctx, sockaddr(name)), nil)
		w.want("connect again", c.Connect(w.ctx, sockaddr(name)), unix.EISCONN)
		s, peer, err := l.Accept(w.ctx)
		if err != nil || !bytes.Equal(peer, sockaddr("")) {
			t.Fatalf("accept: %q, %v", peer, err)
		}
		if p, err := c.PeerAddr(); err != nil || !bytes.Equal(p, sockaddr(name)) {
			t.Errorf("the peer is %q, %v", p, err)
		}
		w.want("send", w.send(c, "hello", ""), nil)
		if got, err := w.receive(s.(*Socket), 10); got != "hello" || err != nil {
			t.Errorf("received %q, %v", got, err)
		}
		l.Release(nil)
		w.want("connect to nobody", w.socket(unix.SOCK_STREAM).Connect(w.ctx, sockaddr(name)), unix.ECONNREFUSED)
	}
}

func TestAbstractNamesAreOfAType(t *testing.T) {
	w := newWorld(t)
	w.bound(unix.SOCK_STREAM, "\x00n")
	w.bound(unix.SOCK_DGRAM, "\x00n")
	w.want("connect of another type", w.socket(unix.SOCK_SEQPACKET).Connect(w.ctx, sockaddr("\x00n")), unix.ECONNREFUSED)
}

func TestBacklog(t *testing.T) {
	w := newWorld(t)
	l := w.bound(unix.SOCK_STREAM, "\x00l")
	w.want("listen", l.Listen(w.ctx, 0), nil)
	first, second := w.socket(unix.SOCK_STREAM), w.socket(unix.SOCK_STREAM)
	w.want("the first", first.Connect(w.ctx, sockaddr("\x00l")), nil)
	w.want("the second", second.Connect(w.ctx, sockaddr("\x00l")), unix.EAGAIN)
	woken := 0
	e := wait.Entry{Notify: func(*wait.Entry, wait.Events) { woken++ }}
	q := second.ConnectQueue(w.ctx, sockaddr("\x00l"))
	q.Register(&e, wait.Out)
	defer q.Unregister(&e)
	if _, _, err := l.Accept(w.ctx); err != nil || woken == 0 {
		t.Fatalf("accept: %v; woken %d times", err, woken)
	}
	w.want("the second after accept", second.Connect(w.ctx, sockaddr("\x00l")), nil)
	l.Release(nil)
	_, err := w.receive(second, 1)
	w.want("a connection that nobody accepted", err, unix.ECONNRESET)
}

// Two sockets that connect to each other must not wait for each other for ever.
func TestConnectToEachOther(t *testing.T) {
	w := newWorld(t)
	for range 1000 {
		a, b := w.socket(unix.SOCK_STREAM), w.socket(unix.SOCK_STREAM)
		w.want("bind", a.Bind(w.ctx, sockaddr("\x00a")), nil)
		w.want("bind", b.Bind(w.ctx, sockaddr("\x00b")), nil)
		var g sync.WaitGroup
		for _, s := range []struct {
			s  *Socket
			to string
		}{{a, "\x00b"}, {b, "\x00a"}} {
			g.Go(func() {
				s.s.Listen(w.ctx, 1)
				if err := s.s.Connect(w.ctx, sockaddr(s.to)); err != unix.EINVAL && err != unix.ECONNREFUSED {
					t.Errorf("connect: %v", err)
				}
			})
		}
		g.Wait()
		a.Release(nil)
		b.Release(nil)
	}
}

func TestDatagrams(t *testing.T) {
	w := newWorld(t)
	server, client := w.bound(unix.SOCK_DGRAM, "\x00s"), w.bound(unix.SOCK_DGRAM, "\x00c")
	w.want("send", w.send(client, "one", "\x00s"), nil)
	w.want("send", w.send(client, "", "\x00s"), nil)
	w.want("send", w.send(client, "three", "\x00s"), nil)
	var m socket.Message
	p := make([]byte, 2)
	dst := usermem.Kernel(p)
	n, err := server.Receive(w.ctx, &dst, &m, unix.MSG_TRUNC)
	if n != 3 || err != nil || m.Flags != unix.MSG_TRUNC || !bytes.Equal(m.Addr, sockaddr("\x00c")) || string(p) != "on" {
		t.Errorf("received %d %q from %q, flags %#x, %v", n, p, m.Addr, m.Flags, err)
	}
	for _, want := range []string{"", "three"} {
		if got, err := w.receive(server, 10); got != want || err != nil {
			t.Errorf("received %q, %v, want %q", got, err, want)
		}
	}
	w.want("connect", server.Connect(w.ctx, sockaddr("\x00c")), nil)
	w.want("a stranger", w.send(w.socket(unix.SOCK_DGRAM), "x", "\x00s"), unix.EPERM)
	w.want("connect", client.Connect(w.ctx, sockaddr("\x00s")), nil)
	server.Release(nil)
	w.want("nobody there", w.send(client, "x", ""), unix.ECONNREFUSED)
	w.want("then", w.send(client, "x", ""), unix.ENOTCONN)
}

func TestDatagramLimit(t *testing.T) {
	w := newWorld(t)
	server, client := w.bound(unix.SOCK_DGRAM, "\x00s"), w.socket(unix.SOCK_DGRAM)
	w.want("connect", client.Connect(w.ctx, sockaddr("\x00s")), nil)
	n := 0
	for w.send(client, "x", "") == nil {
		n++
	}
	if n != maxQueued+1 {
		t.Errorf("%d datagrams fit, want %d", n, maxQueued+1)
	}
	woken := wait.Events(0)
	e := wait.Entry{Notify: func(_ *wait.Entry, ev wait.Events) { woken |= ev }}
	client.Register(&e, wait.Out)
	defer client.Unregister(&e)
	if r := client.Readiness(wait.Out); r != 0 {
		t.Errorf("ready for %#x though the receiver is full", r)
	}
	if _, err := w.receive(server, 1); err != nil {
		t.Fatal(err)
	}
	if woken&wait.Out == 0 || client.Readiness(wait.Out) != wait.Out {
		t.Errorf("the sender was told %#x, and is ready for %#x", woken, client.Readiness(wait.Out))
	}

	a, b := w.pair(unix.SOCK_DGRAM)
	n = 0
	for w.send(a, "x", "") == nil {
		n++
	}
	if n != 278 { // as Linux with its default buffer
		t.Errorf("%d datagrams of one byte fit into a pair, want 278", n)
	}
	w.want("too long", w.send(b, string(make([]byte, defaultBuffer)), ""), unix.EMSGSIZE)
}

func TestUnreadDataResets(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair(unix.SOCK_STREAM)
	w.want("send", w.send(a, "x", ""), nil)
	b.Release(nil)
	if e := a.Readiness(wait.In | wait.Out | wait.RdHup); e != wait.In|wait.Out|wait.RdHup|wait.Hup|wait.Err {
		t.Errorf("ready for %#x", e)
	}
	_, err := w.receive(a, 1)
	w.want("receive", err, unix.ECONNRESET)
	_, err = w.receive(a, 1)
	w.want("receive again", err, nil)
}

func TestShutdown(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair(unix.SOCK_STREAM)
	w.want("send", w.send(a, "x", ""), nil)
	w.want("how", a.Shutdown(3), unix.EINVAL)
	w.want("shutdown", a.Shutdown(unix.SHUT_WR), nil)
	w.want("send", w.send(a, "x", ""), unix.EPIPE)
	if got, err := w.receive(b, 2); got != "x" || err != nil {
		t.Errorf("received %q, %v", got, err)
	}
	if got, err := w.receive(b, 2); got != "" || err != nil {
		t.Errorf("received %q, %v", got, err)
	}
	if e := b.Readiness(wait.In | wait.Out | wait.RdHup); e != wait.In|wait.Out|wait.RdHup {
		t.Errorf("after SHUT_WR the peer is ready for %#x", e)
	}
	w.want("shutdown", a.Shutdown(unix.SHUT_RD), nil)
	if e := b.Readiness(wait.In | wait.Out | wait.RdHup); e != wait.In|wait.Out|wait.RdHup|wait.Hup {
		t.Errorf("after both the peer is ready for %#x", e)
	}
	w.want("send", w.send(b, "x", ""), unix.EPIPE)
}

// newFile is a file that can be passed, and whether it has been released.
func (w *world) newFile() (*vfs.File, func() bool) {
	s := w.bound(unix.SOCK_STREAM, "\x00file")
	released := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.closed
	}
	return w.fs.NewFile(w.ctx, s, 0), released
}

func (w *world) sendFile(s *Socket, data string, f *vfs.File) error {
	src := usermem.Kernel([]byte(data))
	m := socket.Message{Control: socket.Control{Files: []*vfs.File{f}}}
	_, err := s.Send(w.ctx, &src, &m, 0)
	return err
}

func TestRights(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair(unix.SOCK_STREAM)
	f, released := w.newFile()
	w.want("send", w.send(a, "abc", ""), nil)
	w.want("send a file", w.sendFile(a, "f", f), nil)
	w.want("send", w.send(a, "def", ""), nil)
	p := make([]byte, 16)
	dst := usermem.Kernel(p)
	var m socket.Message
	n, err := b.Receive(w.ctx, &dst, &m, 0)
	if string(p[:n]) != "abcf" || err != nil || len(m.Control.Files) != 1 || m.Control.Files[0] != f {
		t.Fatalf("received %q with %d files, %v", p[:n], len(m.Control.Files), err)
	}
	if got, err := w.receive(b, 10); got != "def" || err != nil {
		t.Errorf("received %q, %v", got, err)
	}
	w.want("send it back", w.sendFile(b, "f", f), nil)
	if released() {
		t.Error("released on its way")
	}
	a.Release(nil)
	if !released() {
		t.Error("a file that nobody can receive was not released")
	}
	if n := w.names.inFlight(cred.RootUID).Load(); n != 0 {
		t.Errorf("%d files in flight, want none", n)
	}
}

// TestGarbage has sockets that only their own messages refer to end, and others not.
func TestGarbage(t *testing.T) {
	w := newWorld(t)
	files := func(n int) (f []*vfs.File) {
		for range n / 2 {
			a, b := w.pair(unix.SOCK_STREAM)
			f = append(f, w.fs.NewFile(w.ctx, a, 0), w.fs.NewFile(w.ctx, b, 0))
		}
		return f
	}
	send := func(over, f *vfs.File) {
		t.Helper()
		f.IncRef()
		w.want("send", w.sendFile(over.Ops().(*Socket), "f", f), nil)
	}
	check := func(what string, f *vfs.File, want bool) {
		t.Helper()
		w.socket(unix.SOCK_DGRAM).Release(nil) // this is when garbage is looked for
		s := f.Ops().(*Socket)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed != want {
			t.Errorf("%s: closed %v, want %v", what, s.closed, want)
		}
	}
	f := files(6)
	// 0 waits in 2 and 2 in 0: each other's. 4 waits in 0, and in 2 with another.
	send(f[3], f[0])
	send(f[1], f[2])
	send(f[1], f[4])
	send(f[5], f[2])
	for _, k := range []int{1, 3, 5, 0, 2} {
		check("in use", f[0], false)
		f[k].DecRef()
	}
	check("reached by another", f[0], false)
	check("reached by another", f[2], false)
	f[4].DecRef()
	for _, k := range []int{0, 2, 4} {
		check("reached by nobody", f[k], true)
	}
	if n := garbage.flying.Load(); n != 0 {
		t.Errorf("%d sockets on their way", n)
	}
	// One that has not been accepted holds its listener.
	l := w.bound(unix.SOCK_STREAM, "\x00listener")
	w.want("listen", l.Listen(w.ctx, 1), nil)
	c := w.socket(unix.SOCK_STREAM)
	w.want("connect", c.Connect(w.ctx, sockaddr("\x00listener")), nil)
	listener, client := w.fs.NewFile(w.ctx, l, 0), w.fs.NewFile(w.ctx, c, 0)
	send(client, listener)
	listener.DecRef()
	check("a listener before its client ends", listener, true)
	client.DecRef()
}

func TestRightsWithoutData(t *testing.T) {
	w := newWorld(t)
	a, _ := w.pair(unix.SOCK_STREAM)
	f, released := w.newFile()
	w.want("send", w.sendFile(a, "", f), nil)
	if !released() {
		t.Error("a file that goes with no data was not released")
	}
}

func TestAutobind(t *testing.T) {
	w := newWorld(t)
	a, b := w.socket(unix.SOCK_DGRAM), w.socket(unix.SOCK_DGRAM)
	for _, s := range []*Socket{a, b} {
		w.want("bind", s.Bind(w.ctx, sockaddr("")), nil)
	}
	x, _ := a.LocalAddr()
	y, _ := b.LocalAddr()
	if len(x) != 2+6 || len(y) != 2+6 || bytes.Equal(x, y) {
		t.Errorf("names %q and %q", x, y)
	}
}

func TestTransferDoesNotAllocate(t *testing.T) {
	w := newWorld(t)
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		a, b := w.pair(typ)
		p := make([]byte, 512)
		var m socket.Message
		n := testing.AllocsPerRun(1000, func() {
			src, dst := usermem.Kernel(p), usermem.Kernel(p)
			if _, err := a.Send(w.ctx, &src, &m, 0); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Receive(w.ctx, &dst, &m, 0); err != nil {
				t.Fatal(err)
			}
		})
		// Without a task the sender's credentials are made each time.
		if n > 1 {
			t.Errorf("type %d: %v allocations for a message", typ, n)
		}
	}
}
