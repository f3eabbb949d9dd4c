package tcp

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// The same scripts are played against a Linux socket, behind a TUN device, and
// against ours; what the two send in answer must be the same.

// hostSide is a Linux TCP socket with the peer behind a TUN device.
type hostSide struct {
	*peer
	tun      int
	listener int
	fd       int
}

func newHostSide(t *testing.T, p *peer) *hostSide {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("no TUN device:", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	r, _ := unix.NewIfreq("c0")
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		t.Skip("cannot make a TUN device:", err)
	}
	for _, c := range []string{"addr add 10.0.0.1/24 dev c0", "link set c0 up", "link set lo up"} {
		if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", c, err, out)
		}
	}
	h := &hostSide{peer: p, tun: fd}
	if h.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	unix.SetsockoptInt(h.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	t.Cleanup(func() { unix.Close(h.listener) })
	if err := unix.Bind(h.listener, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{10, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(h.listener, 5); err != nil {
		t.Fatal(err)
	}
	return h
}

// flush takes what the host has sent within a short time.
func (h *hostSide) flush() {
	b := make([]byte, 70000)
	for {
		fds := []unix.PollFd{{Fd: int32(h.tun), Events: unix.POLLIN}}
		if n, _ := unix.Poll(fds, 15); n == 0 {
			return
		}
		n, err := unix.Read(h.tun, b)
		if err != nil || b[0]>>4 != 4 {
			continue
		}
		q := pkt.New()
		q.AddBytes(b[:n])
		h.peer.Send(q)
	}
}

func (h *hostSide) app(t *testing.T, op, arg string) string {
	switch op {
	case "accept":
		fds := []unix.PollFd{{Fd: int32(h.listener), Events: unix.POLLIN}}
		unix.Poll(fds, 1000)
		fd, _, err := unix.Accept4(h.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		h.fd = fd
		return fmt.Sprint(err)
	case "send":
		_, err := unix.Write(h.fd, []byte(arg))
		return fmt.Sprint(err)
	case "recv":
		b := make([]byte, 100000)
		n, err := unix.Read(h.fd, b)
		return fmt.Sprint(string(b[:max(n, 0)]), err)
	case "shutdown":
		return fmt.Sprint(unix.Shutdown(h.fd, unix.SHUT_WR))
	case "nodelay":
		return fmt.Sprint(unix.SetsockoptInt(h.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	case "linger0":
		return fmt.Sprint(unix.SetsockoptLinger(h.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	case "close":
		return fmt.Sprint(unix.Close(h.fd))
	case "poll":
		fds := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN | unix.POLLOUT | unix.POLLPRI | unix.POLLRDHUP}}
		unix.Poll(fds, 0)
		return fmt.Sprintf("%#x", fds[0].Revents)
	}
	t.Fatal("unknown operation", op)
	return ""
}

// ourSide is the same for our stack.
type ourSide struct {
	*peer
	l, e *Endpoint
}

func (o *ourSide) app(t *testing.T, op, arg string) string {
	var m sock.Msg
	switch op {
	case "accept":
		e, _, err := o.l.AcceptTCP()
		o.e = e
		return fmt.Sprint(err)
	case "send":
		_, err := o.e.Send(&sock.Iovec{V: [][]byte{[]byte(arg)}}, len(arg), &m)
		return fmt.Sprint(err)
	case "recv":
		b := make([]byte, 100000)
		n, err := o.e.Recv(&sock.Iovec{V: [][]byte{b}}, len(b), &m)
		return fmt.Sprint(string(b[:n]), err)
	case "shutdown":
		return fmt.Sprint(o.e.Shutdown(unix.SHUT_WR))
	case "nodelay":
		o.e.SetNoDelay(true)
		return fmt.Sprint(nil)
	case "linger0":
		o.e.Options().SetLinger(true, 0)
		return fmt.Sprint(nil)
	case "close":
		o.e.Close()
		return fmt.Sprint(nil)
	case "poll":
		const asked = unix.POLLIN | unix.POLLOUT | unix.POLLPRI | unix.POLLRDHUP | unix.POLLERR | unix.POLLHUP
		return fmt.Sprintf("%#x", o.e.Readiness()&asked)
	}
	t.Fatal("unknown operation", op)
	return ""
}

// step is a line of a script: a segment of the peer's, or an operation.
type step struct {
	flags    uint8
	seq, ack uint32
	wnd      uint16
	data     string
	opts     []byte
	op       string
}

func play(t *testing.T, p *peer, app func(*testing.T, string, string) string, flush func(), script []step) []string {
	var log []string
	note := func() {
		flush()
		for _, g := range p.out {
			log = append(log, "  > "+p.show(g))
		}
		p.out = nil
	}
	p.to = 80
	for _, s := range script {
		if s.op != "" {
			log = append(log, s.op+": "+app(t, s.op, s.data))
		} else {
			log = append(log, fmt.Sprintf("segment %#x %d:%d %d", s.flags, s.seq, len(s.data), s.ack))
			p.seg(s.flags, s.seq, s.ack, s.wnd, s.data, s.opts...)
		}
		note()
	}
	return log
}

// normal leaves out what may differ: where PSH stands, since Linux sets it on
// each of the bursts into which it cuts data by its pacing rate, and
// repetitions, since a probe may be due before the test goes on.
func normal(log []string) string {
	s := strings.ReplaceAll(strings.Join(log, "\n"), "> PA", "> A")
	return strings.Join(slices.Compact(strings.Split(s, "\n")), "\n")
}

func TestConformance(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	sackOK := []byte{wire.OptMSS, 4, 1000 >> 8, 1000 & 255, wire.OptSACKPermitted, 2}
	opened := []step{
		{flags: syn, wnd: 65535, opts: sackOK},
		{flags: ack, seq: 1, ack: 1, wnd: 65535},
		{op: "accept"},
	}
	const w = 65535
	x := strings.Repeat
	scripts := map[string][]step{
		"close":                 {{op: "close"}, {flags: ack, seq: 1, ack: 2, wnd: w}, {flags: ack | fin, seq: 1, ack: 2, wnd: w}, {flags: ack | fin, seq: 1, ack: 2, wnd: w}},
		"peer closes":           {{flags: ack | fin, seq: 1, ack: 1, wnd: w}, {op: "poll"}, {op: "recv"}, {op: "send", data: "x"}, {flags: ack, seq: 2, ack: 2, wnd: w}, {op: "close"}, {flags: ack, seq: 2, ack: 3, wnd: w}, {flags: ack, seq: 2, ack: 3, wnd: w}},
		"simultaneous close":    {{op: "shutdown"}, {flags: ack | fin, seq: 1, ack: 1, wnd: w}, {flags: ack, seq: 2, ack: 2, wnd: w}, {op: "poll"}, {op: "recv"}, {op: "close"}},
		"out of order":          {{flags: ack, seq: 4, ack: 1, wnd: w, data: "def"}, {flags: ack, seq: 10, ack: 1, wnd: w, data: "jkl"}, {flags: ack, seq: 7, ack: 1, wnd: w, data: "ghi"}, {flags: ack, seq: 1, ack: 1, wnd: w, data: "abc"}, {op: "recv"}, {op: "close"}},
		"overlap":               {{flags: ack, seq: 4, ack: 1, wnd: w, data: "def"}, {flags: ack, seq: 5, ack: 1, wnd: w, data: "efghij"}, {flags: ack, seq: 1, ack: 1, wnd: w, data: "abcdefgh"}, {op: "recv"}},
		"old data":              {{flags: ack, seq: 1, ack: 1, wnd: w, data: "abc"}, {flags: ack, seq: 1, ack: 1, wnd: w, data: "abc"}, {flags: ack, seq: 2, ack: 1, wnd: w, data: "bcde"}, {op: "recv"}},
		"many gaps":             {{flags: ack, seq: 11, ack: 1, wnd: w, data: "a"}, {flags: ack, seq: 21, ack: 1, wnd: w, data: "b"}, {flags: ack, seq: 31, ack: 1, wnd: w, data: "c"}, {flags: ack, seq: 41, ack: 1, wnd: w, data: "d"}, {flags: ack, seq: 51, ack: 1, wnd: w, data: "e"}, {flags: ack, seq: 22, ack: 1, wnd: w, data: "f"}},
		"FIN out of order":      {{flags: ack | fin, seq: 4, ack: 1, wnd: w, data: "def"}, {flags: ack, seq: 1, ack: 1, wnd: w, data: "abc"}, {op: "recv"}, {op: "poll"}},
		"reset":                 {{flags: ack, seq: 1, ack: 1, wnd: w, data: "abc"}, {flags: rst, seq: 100}, {flags: rst, seq: 4}, {op: "poll"}, {op: "recv"}, {op: "recv"}, {op: "recv"}, {op: "send", data: "x"}},
		"SYN in connection":     {{flags: syn, seq: 500, wnd: w}, {op: "poll"}},
		"beyond window":         {{flags: ack, seq: 200000, ack: 1, wnd: w, data: "x"}, {op: "poll"}},
		"ack of unsent":         {{flags: ack, seq: 1, ack: 1000, wnd: w, data: "x"}, {op: "poll"}},
		"no ACK flag":           {{flags: psh, seq: 1, wnd: w, data: "x"}, {op: "poll"}},
		"close with unread":     {{flags: ack, seq: 1, ack: 1, wnd: w, data: "abc"}, {op: "close"}},
		"linger zero":           {{op: "linger0"}, {op: "close"}},
		"data after close":      {{op: "close"}, {flags: ack, seq: 1, ack: 2, wnd: w, data: "abc"}},
		"Nagle":                 {{op: "send", data: "a"}, {op: "send", data: "b"}, {op: "send", data: "c"}, {flags: ack, seq: 1, ack: 2, wnd: w}},
		"no delay":              {{op: "nodelay"}, {op: "send", data: "a"}, {op: "send", data: "b"}},
		"segments":              {{op: "send", data: x("x", 3500)}, {flags: ack, seq: 1, ack: 3501, wnd: w}},
		"small window":          {{flags: ack, seq: 1, ack: 1, wnd: 0}, {flags: ack, seq: 1, ack: 1, wnd: 1500}, {op: "send", data: x("x", 3500)}, {flags: ack, seq: 1, ack: 1501, wnd: 5000}},
		"reset in CLOSE-WAIT":   {{flags: ack | fin, seq: 1, ack: 1, wnd: w}, {flags: rst, seq: 2}, {op: "poll"}, {op: "send", data: "x"}, {op: "recv"}},
		"segment to TIME-WAIT":  {{op: "close"}, {flags: ack | fin, seq: 1, ack: 2, wnd: w}, {flags: ack, seq: 2, ack: 2, wnd: w}, {flags: ack, seq: 2, ack: 2, wnd: w, data: "late"}},
		"new SYN to TIME-WAIT":  {{op: "close"}, {flags: ack | fin, seq: 1, ack: 2, wnd: w}, {flags: syn, seq: 5000, wnd: w, opts: sackOK}},
		"urgent":                {{flags: ack | wire.URG, seq: 1, ack: 1, wnd: w, data: "abc"}, {op: "poll"}, {op: "recv"}, {flags: ack, seq: 4, ack: 1, wnd: w, data: "def"}, {op: "recv"}},
		"half-close and answer": {{op: "shutdown"}, {flags: ack, seq: 1, ack: 2, wnd: w}, {flags: ack, seq: 1, ack: 2, wnd: w, data: "abc"}, {op: "poll"}, {op: "recv"}, {op: "send", data: "x"}, {flags: ack | fin, seq: 4, ack: 2, wnd: w}, {op: "poll"}},
	}
	closed := map[string][]step{
		"SYN to closed port": {{flags: syn, seq: 0, wnd: w}},
		"ACK to listener":    {{flags: ack, seq: 0, ack: 77, wnd: w}},
		"RST to listener":    {{flags: rst, seq: 0}},
		"SYN twice":          {{flags: syn, wnd: w, opts: sackOK}, {flags: syn, wnd: w, opts: sackOK}},
		"bad ACK to SYN-RECEIVED": {{flags: syn, wnd: w, opts: sackOK}, {flags: ack, seq: 1, ack: 100, wnd: w}, {flags: ack, seq: 1, ack: 1, wnd: w},
			{op: "accept"}},
		"RST to SYN-RECEIVED":  {{flags: syn, wnd: w, opts: sackOK}, {flags: rst, seq: 1}, {flags: ack, seq: 1, ack: 1, wnd: w}},
		"data with third ACK":  {{flags: syn, wnd: w, opts: sackOK}, {flags: ack | psh, seq: 1, ack: 1, wnd: w, data: "hello"}, {op: "accept"}, {op: "recv"}},
		"SYN with data":        {{flags: syn, wnd: w, data: "early"}, {flags: ack, seq: 1, ack: 1, wnd: w, data: "early"}, {op: "accept"}, {op: "recv"}},
		"SYN and FIN together": {{flags: syn | fin, wnd: w}},
	}
	for name, s := range scripts {
		closed[name] = append(append([]step{}, opened...), s...)
	}
	for name, script := range closed {
		t.Run(name, func(t *testing.T) {
			port := uint16(4000)
			our := &ourSide{peer: newPeer(t)}
			our.peer.port = port
			our.l = our.p.NewEndpoint(unix.AF_INET)
			our.l.Bind(sock.Addr{Addr: netip.MustParseAddr("10.0.0.1"), Port: 80})
			our.l.Listen(5)
			defer our.l.Close()
			step := func() {
				// The round trip takes about as long as it does with the host.
				our.w.Advance(15 * time.Millisecond)
			}
			got := play(t, our.peer, our.app, step, script)
			if our.e != nil {
				our.e.Close()
			}

			var want []string
			runtime.LockOSThread() // never unlocked: the thread ends with the test
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				t.Skip("cannot make a network namespace:", err)
			}
			p := &peer{t: t, w: our.w, iss: 1000, port: port}
			h := newHostSide(t, p)
			p.wire = func(b []byte) { unix.Write(h.tun, b) }
			want = play(t, p, h.app, h.flush, script)
			if g, w := normal(got), normal(want); g != w {
				t.Errorf("ours:\n%s\n\nLinux:\n%s", g, w)
			}
		})
	}
}
