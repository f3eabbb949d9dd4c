package netlink

import (
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/sentry/socket/inet"
	"casemate/sentry/socket/unixsocket"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

type world struct {
	t     *testing.T
	ctx   *vfs.Context
	stack *netstack.Stack
	ports *Ports
}

func newWorld(t *testing.T) *world {
	t.Helper()
	stack := netstack.New(ip.Options{})
	t.Cleanup(stack.Close)
	if err := stack.UpLoopback(); err != nil {
		t.Fatal(err)
	}
	user := cred.NewRootUserNamespace()
	ns := &kernel.NetNamespace{UserNS: user}
	return &world{t, &vfs.Context{Cred: cred.NewRoot(user)}, stack, NewPorts(inet.NewSockets(ns, stack), unixsocket.NewNames(ns, stack), nil)}
}

func (w *world) socket() *Socket {
	w.t.Helper()
	s, err := New(w.ports, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// request sends one message with a body and attributes.
func (w *world) request(s *Socket, typ, flags uint16, header []byte, attrs func(*nlmsg.Builder)) {
	w.t.Helper()
	var r nlmsg.Builder
	r.Begin(typ, unix.NLM_F_REQUEST|flags, 7, 0, header...)
	if attrs != nil {
		attrs(&r)
	}
	r.End()
	w.send(s, r.B)
}

func (w *world) send(s *Socket, p []byte) {
	w.t.Helper()
	src := usermem.Kernel(p)
	if n, err := s.Send(w.ctx, &src, &socket.Message{}, 0); n != len(p) || err != nil {
		w.t.Fatalf("send: %d, %v", n, err)
	}
}

// receive returns the messages of all datagrams that wait, without the end of a dump.
func (w *world) receive(s *Socket) (l []syscall.NetlinkMessage) {
	w.t.Helper()
	for {
		p := make([]byte, 8192)
		dst := usermem.Kernel(p)
		n, err := s.Receive(w.ctx, &dst, &socket.Message{}, 0)
		if err == unix.EAGAIN {
			return l
		}
		if err != nil {
			w.t.Fatal(err)
		}
		messages, err := syscall.ParseNetlinkMessage(p[:n])
		if err != nil {
			w.t.Fatalf("a malformed answer %x: %v", p[:n], err)
		}
		for _, m := range messages {
			if m.Header.Type != unix.NLMSG_DONE {
				l = append(l, m)
			}
		}
	}
}

// errno is the errno in the only message that waits.
func (w *world) errno(s *Socket) unix.Errno {
	w.t.Helper()
	l := w.receive(s)
	if len(l) != 1 || l[0].Header.Type != unix.NLMSG_ERROR || l[0].Header.Seq != 7 {
		w.t.Fatalf("answer %+v, want one error", l)
	}
	return unix.Errno(-int32(ne.Uint32(l[0].Data)))
}

func TestDumpLinks(t *testing.T) {
	w := newWorld(t)
	s := w.socket()
	w.request(s, unix.RTM_GETLINK, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfInfomsg), nil)
	if e := s.Readiness(wait.In); e != wait.In {
		t.Errorf("ready for %#x", e)
	}
	l := w.receive(s)
	if len(l) != 1 || l[0].Header.Type != unix.RTM_NEWLINK || l[0].Header.Flags&unix.NLM_F_MULTI == 0 {
		t.Fatalf("links %+v", l)
	}
	attrs, err := syscall.ParseNetlinkRouteAttr(&l[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.IFLA_IFNAME && string(a.Value) != "lo\x00" {
			t.Errorf("name %q", a.Value)
		}
		if a.Attr.Type == unix.IFLA_MTU && ne.Uint32(a.Value) != 65536 {
			t.Errorf("MTU %d", ne.Uint32(a.Value))
		}
	}
}

// addresses are what a dump of a family shows.
func (w *world) addresses(family byte) (l []netip.Addr) {
	s := w.socket()
	defer s.Release(nil)
	w.request(s, unix.RTM_GETADDR, unix.NLM_F_DUMP, append([]byte{family}, make([]byte, unix.SizeofIfAddrmsg-1)...), nil)
	for _, m := range w.receive(s) {
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, a := range attrs {
			if a.Attr.Type == unix.IFA_ADDRESS {
				addr, _ := netip.AddrFromSlice(a.Value)
				l = append(l, addr)
			}
		}
	}
	return l
}

func TestAddresses(t *testing.T) {
	w := newWorld(t)
	four, six := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	if l := w.addresses(unix.AF_UNSPEC); len(l) != 2 || l[0] != four || l[1] != six {
		t.Errorf("all addresses: %v", l)
	}
	if l := w.addresses(unix.AF_INET6); len(l) != 1 || l[0] != six {
		t.Errorf("IPv6 addresses: %v", l)
	}
	s, monitor := w.socket(), w.socket()
	if err := monitor.Bind(w.ctx, sockaddr(nil, 0, 1<<(unix.RTNLGRP_IPV4_IFADDR-1))); err != nil {
		t.Fatal(err)
	}
	header := []byte{unix.AF_INET, 24, 0, 0, 1, 0, 0, 0}
	added := func(r *nlmsg.Builder) { r.AttrAddr(unix.IFA_LOCAL, netip.MustParseAddr("10.0.0.1")) }
	for i, want := range []unix.Errno{0, unix.EEXIST} {
		w.request(s, unix.RTM_NEWADDR, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, header, added)
		if e := w.errno(s); e != want {
			t.Errorf("adding, time %d: %v", i, e)
		}
	}
	if l := w.receive(monitor); len(l) != 1 || l[0].Header.Type != unix.RTM_NEWADDR {
		t.Errorf("the monitor got %+v", l)
	}
	if l := w.addresses(unix.AF_INET); len(l) != 2 {
		t.Errorf("addresses after adding: %v", l)
	}
	w.request(s, unix.RTM_DELADDR, unix.NLM_F_ACK, header, added)
	if e := w.errno(s); e != 0 {
		t.Errorf("removing: %v", e)
	}
	w.request(s, unix.RTM_DELADDR, unix.NLM_F_ACK, header, added)
	if e := w.errno(s); e != unix.EADDRNOTAVAIL {
		t.Errorf("removing again: %v", e)
	}
	w.ctx.Cred = cred.New(1, 1, nil, w.ctx.Cred.UserNS)
	w.request(s, unix.RTM_NEWADDR, unix.NLM_F_CREATE, header, added)
	if e := w.errno(s); e != unix.EPERM {
		t.Errorf("without privilege: %v", e)
	}
}

func TestLinkDownAndRoutes(t *testing.T) {
	w := newWorld(t)
	s := w.socket()
	w.request(s, unix.RTM_GETROUTE, unix.NLM_F_DUMP, make([]byte, unix.SizeofRtMsg), nil)
	before := len(w.receive(s))
	info := make([]byte, unix.SizeofIfInfomsg)
	info[4] = 1
	ne.PutUint32(info[12:], unix.IFF_UP) // ifi_change
	w.request(s, unix.RTM_NEWLINK, unix.NLM_F_ACK, info, nil)
	if e := w.errno(s); e != 0 {
		t.Fatal(e)
	}
	if f := w.stack.Interface(1).Flags(); f&unix.IFF_UP != 0 {
		t.Errorf("flags %#x", f)
	}
	w.request(s, unix.RTM_GETROUTE, unix.NLM_F_DUMP, make([]byte, unix.SizeofRtMsg), nil)
	if l := w.receive(s); before == 0 || len(l) != 0 {
		t.Errorf("%d routes, and %d when the interface is down", before, len(l))
	}
	route := []byte{unix.AF_INET, 8, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0, 0, 0, 0}
	attrs := func(r *nlmsg.Builder) {
		r.AttrAddr(unix.RTA_DST, netip.MustParseAddr("10.0.0.0"))
		r.Attr32(unix.RTA_OIF, 1)
	}
	w.request(s, unix.RTM_NEWROUTE, unix.NLM_F_ACK|unix.NLM_F_CREATE, route, attrs)
	if e := w.errno(s); e != unix.ENETDOWN {
		t.Errorf("a route by an interface that is down: %v", e)
	}
	w.stack.SetUp(w.stack.Interface(1), true)
	w.request(s, unix.RTM_NEWROUTE, unix.NLM_F_ACK|unix.NLM_F_CREATE, route, attrs)
	if e := w.errno(s); e != 0 {
		t.Errorf("adding a route: %v", e)
	}
	w.request(s, unix.RTM_DELROUTE, unix.NLM_F_ACK, route, attrs)
	if e := w.errno(s); e != 0 {
		t.Errorf("removing it: %v", e)
	}
}

func TestUnreadDump(t *testing.T) {
	w := newWorld(t)
	s := w.socket()
	w.request(s, unix.RTM_GETLINK, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfInfomsg), nil)
	w.request(s, unix.RTM_GETLINK, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfInfomsg), nil)
	l := w.receive(s)
	if len(l) != 2 || l[1].Header.Type != unix.NLMSG_ERROR || -int32(ne.Uint32(l[1].Data)) != int32(unix.EBUSY) {
		t.Errorf("answers %+v", l)
	}
}

func TestQueueIsBounded(t *testing.T) {
	w := newWorld(t)
	s := w.socket()
	for range 100000 {
		w.request(s, unix.RTM_GETLINK, unix.NLM_F_ACK, []byte{0}, nil)
	}
	if s.bytes > 2*defaultBuffer {
		t.Errorf("%d bytes wait", s.bytes)
	}
	dst := usermem.Kernel(make([]byte, 100))
	if _, err := s.Receive(w.ctx, &dst, &socket.Message{}, 0); err != unix.ENOBUFS {
		t.Errorf("receive: %v, want ENOBUFS", err)
	}
}

func TestPorts(t *testing.T) {
	w := newWorld(t)
	a, b := w.socket(), w.socket()
	if err := a.Bind(w.ctx, sockaddr(nil, 42, 0)); err != nil {
		t.Fatal(err)
	}
	if err := b.Bind(w.ctx, sockaddr(nil, 42, 0)); err != unix.EADDRINUSE {
		t.Errorf("a taken port: %v", err)
	}
	if err := b.Bind(w.ctx, sockaddr(nil, 0, 0)); err != nil {
		t.Error(err)
	}
	if err := b.Bind(w.ctx, sockaddr(nil, 42, 0)); err != unix.EINVAL {
		t.Errorf("another port: %v", err)
	}
	a.Release(nil)
	if err := w.socket().Bind(w.ctx, sockaddr(nil, 42, 0)); err != nil {
		t.Errorf("a port that is free again: %v", err)
	}
}

// Whatever a program sends, the answer is well-formed.
func TestMalformed(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		s := w.socket()
		var m nlmsg.Builder
		n := r.IntN(64)
		body := make([]byte, n)
		for i := range body {
			if body[i] = byte(r.Uint32()); r.IntN(3) > 0 {
				body[i] &= 0x0f
			}
		}
		m.Begin(uint16(unix.RTM_BASE+r.IntN(24)), unix.NLM_F_REQUEST|uint16(r.Uint32()), 7, 0, body...)
		m.End()
		if r.IntN(4) == 0 {
			ne.PutUint32(m.B, r.Uint32N(100))
		}
		w.send(s, m.B)
		w.receive(s)
		s.Release(nil)
	}
}

// TestVLANsOfPorts has requests about VLANs of a port, of which there are none, not taken for some about the port itself.
func TestVLANsOfPorts(t *testing.T) {
	w := newWorld(t)
	s := w.socket()
	info := make([]byte, unix.SizeofIfInfomsg)
	w.request(s, unix.RTM_NEWLINK, unix.NLM_F_ACK|unix.NLM_F_CREATE, info, func(r *nlmsg.Builder) {
		r.AttrString(unix.IFLA_IFNAME, "d0")
		r.Nest(unix.IFLA_LINKINFO, func() { r.AttrString(infoKind, "dummy") })
	})
	if e := w.errno(s); e != 0 {
		t.Fatal(e)
	}
	info[0] = unix.AF_BRIDGE
	ne.PutUint32(info[4:], uint32(w.stack.InterfaceByName("d0").Index()))
	for _, typ := range []uint16{unix.RTM_SETLINK, unix.RTM_DELLINK} {
		w.request(s, typ, unix.NLM_F_ACK, info, func(r *nlmsg.Builder) { r.Nest(unix.IFLA_AF_SPEC, func() { r.Attr32(2, 5<<16) }) })
		if e := w.errno(s); e != unix.EOPNOTSUPP || w.stack.InterfaceByName("d0") == nil {
			t.Errorf("request %d: %v", typ, e)
		}
	}
}
