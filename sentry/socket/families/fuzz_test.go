package families

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/wheel"
	"casemate/platform/memfile"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/sentry/socket/inet"
	"casemate/sentry/socket/netlink"
	"casemate/sentry/socket/packet"
	"casemate/sentry/socket/unixsocket"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// FuzzOptions makes calls on sockets of all families in any order: options of every level, ioctls,
// control messages, and between them what changes the sockets' state. Nothing panics, an option is
// no longer than asked for, and in the end nothing is left.
func FuzzOptions(f *testing.F) {
	mem, err := memfile.New()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { mem.Close() })
	user := cred.NewRootUserNamespace()
	k := kernel.New(kernel.Options{Memory: mem, VFS: vfs.New(user), UserNS: user, CPUs: 1})
	f.Cleanup(k.Close)
	fs := socket.NewFS(k.VFS())

	for kind := range byte(len(kinds)) {
		f.Add([]byte{callOpen, kind, callSet, 0, 0, byte(unix.SO_KEEPALIVE), 1, callGet, 0, 0, byte(unix.SO_KEEPALIVE), 4})
		f.Add([]byte{callOpen, kind, callBind, 0, 1, callConnect, 0, 1, callSend, 0, 0, 0, 5, callReceive, 0, 0, 200})
	}
	f.Add([]byte{callOpen, 0, callBind, 0, 1, callListen, 0, 2, callOpen, 0, callConnect, 1, 1, callAccept, 0, callSend, 1, 0, 0, 9, callReceive, 2, 0, 9})
	f.Fuzz(func(t *testing.T, in []byte) {
		w := wheel.NewManual()
		ns := k.NewNetNamespace(user)
		n := newNetwork(k, ns, fs, netstack.New(ip.Options{Wheel: w}))
		ns.Stack.Store(n)
		if err := n.IP.UpLoopback(); err != nil {
			t.Fatal(err)
		}
		c := &calls{t: t, network: n, ns: ns, in: in, wheel: w,
			ctx: &vfs.Context{Cred: cred.NewRoot(user), Mem: memory(append([]byte(nil), in...)), FileSizeLimit: unix.RLIM_INFINITY}}
		for steps := 0; len(c.in) > 0 && steps < 300; steps++ {
			c.step()
		}
		for _, f := range c.files {
			f.DecRef()
		}
		if s, err := unixsocket.New(n.Unix, unix.SOCK_DGRAM); err == nil {
			s.Release(nil) // sockets that hold each other end
		}
		ns.DecRef()
		w.Advance(200 * time.Hour)
		if ns.Alive() {
			t.Error("the namespace is left")
		}
		if n := w.Len(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	})
}

// What a step does.
const (
	callOpen byte = iota
	callSet
	callGet
	callBind
	callConnect
	callListen
	callAccept
	callSend
	callReceive
	callIoctl
	callShutdown
	callClose
	callWait
	callNames
	numCalls
)

// kinds are the sockets that there are: family, type, protocol.
var kinds = [...][3]int{
	{unix.AF_INET, unix.SOCK_STREAM, 0}, {unix.AF_INET6, unix.SOCK_STREAM, 0},
	{unix.AF_INET, unix.SOCK_DGRAM, 0}, {unix.AF_INET6, unix.SOCK_DGRAM, 0},
	{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, {unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
	{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW}, {unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_UDP},
	{unix.AF_PACKET, unix.SOCK_RAW, 0x0300}, {unix.AF_PACKET, unix.SOCK_DGRAM, 0x0300},
	{unix.AF_UNIX, unix.SOCK_STREAM, 0}, {unix.AF_UNIX, unix.SOCK_DGRAM, 0}, {unix.AF_UNIX, unix.SOCK_SEQPACKET, 0},
	{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG},
	{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER},
}

// levels are those of options and control messages.
var levels = [...]int{unix.SOL_SOCKET, unix.IPPROTO_IP, unix.IPPROTO_IPV6, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.SOL_RAW,
	unix.IPPROTO_ICMPV6, unix.SOL_PACKET, unix.SOL_NETLINK}

// calls are a run of FuzzOptions.
type calls struct {
	t       *testing.T
	network *Network
	ns      *kernel.NetNamespace
	ctx     *vfs.Context
	wheel   *wheel.Wheel
	in      []byte
	files   []*vfs.File
}

// next takes a number off the input.
func (c *calls) next() int {
	if len(c.in) == 0 {
		return 0
	}
	b := c.in[0]
	c.in = c.in[1:]
	return int(b)
}

// value takes a value of up to n bytes off the input: for 4 a small number, else bytes.
func (c *calls) value(n int) []byte {
	if n == 4 {
		return socket.Int32(int(int8(c.next())))
	}
	n = min(n, len(c.in))
	p := append([]byte{}, c.in[:n]...)
	c.in = c.in[n:]
	return p
}

// addr is an address of a family, sometimes cut short.
func (c *calls) addr(family int) []byte {
	k := c.next()
	port := []byte{0, byte(k & 3)}
	p := binary.NativeEndian.AppendUint16(nil, uint16(family))
	switch family {
	case unix.AF_INET:
		hosts := [...][]byte{{127, 0, 0, 1}, {0, 0, 0, 0}, {224, 1, 2, 3}, {10, 0, 0, 1}}
		p = append(append(append(p, port...), hosts[k>>2&3]...), make([]byte, 8)...)
	case unix.AF_INET6:
		host := make([]byte, 16)
		switch k >> 2 & 3 {
		case 0:
			host[15] = 1
		case 1:
			copy(host, []byte{0xff, 2})
		case 2:
			copy(host[10:], []byte{0xff, 0xff, 127, 0, 0, 1})
		}
		p = append(append(append(append(p, port...), 0, 0, 0, 0), host...), 1, 0, 0, 0)
	case unix.AF_UNIX:
		p = append(p, 0, 'a'+byte(k&3)) // an abstract name
	case unix.AF_PACKET:
		p = append(p, 8, 0, byte(k&1), 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0)
	case unix.AF_NETLINK:
		p = append(p, 0, 0, byte(k&3), 0, 0, 0, byte(k>>2), 0, 0, 0)
	}
	switch k >> 5 {
	case 7:
		p = p[:min(len(p), k&31)]
	case 6:
		p[0] = byte(k & 31)
	}
	if len(p) > 2 && p[0] == unix.AF_UNIX {
		p[2] = 0 // there are no files
	}
	return p
}

// open makes a socket.
func (c *calls) open() (s socket.Socket, err error) {
	n, kind := c.network, kinds[c.next()%len(kinds)]
	switch family, typ, protocol := kind[0], kind[1], kind[2]; family {
	case unix.AF_UNIX:
		s, err = unixsocket.New(n.Unix, typ)
	case unix.AF_PACKET:
		s, err = packet.New(c.ctx, c.ns, n.IP, typ, protocol)
	case unix.AF_NETLINK:
		s, err = netlink.New(n.Netlink, typ, protocol)
	default:
		s, err = inet.New(c.ctx, n.Inet, family, typ, protocol)
	}
	return s, err
}

func (c *calls) add(s socket.Socket) {
	c.files = append(c.files, c.network.FS.NewFile(c.ctx, s, unix.O_NONBLOCK))
}

// step makes the call that is next in the input.
func (c *calls) step() {
	op := byte(c.next()) % numCalls
	if op == callOpen || len(c.files) == 0 {
		if len(c.files) < 20 {
			s, err := c.open()
			if err != nil {
				c.t.Fatal(err)
			}
			c.add(s)
		}
		return
	}
	at := c.next() % len(c.files)
	f := c.files[at]
	s := f.Ops().(socket.Socket)
	family := s.Common().Family
	switch op {
	case callSet:
		level, name := levels[c.next()%len(levels)], c.next()
		socket.Set(c.ctx, s, level, name, c.value(c.next()))
	case callGet:
		c.get(s)
	case callBind:
		s.Bind(c.ctx, c.addr(family))
	case callConnect:
		s.Connect(c.ctx, c.addr(family))
	case callListen:
		s.Listen(c.ctx, c.next()%4)
	case callAccept:
		if other, _, err := s.Accept(c.ctx); err == nil {
			c.add(other)
		}
	case callSend:
		c.send(s)
	case callReceive:
		c.receive(s)
	case callIoctl:
		cmd, arg := 0x8900+uint32(c.next()), uint64(c.next())
		s.Ioctl(c.ctx, f, cmd, arg)
	case callShutdown:
		s.Shutdown(c.next() % 4)
	case callClose:
		c.files = append(c.files[:at], c.files[at+1:]...)
		f.DecRef()
	case callWait:
		c.wheel.Advance(time.Duration(c.next()*c.next()) * time.Millisecond)
	case callNames:
		s.LocalAddr()
		s.PeerAddr()
		s.Readiness(wait.Readable | wait.Writable)
	}
}

// get asks for an option, by Ask first as getsockopt(2) does.
func (c *calls) get(s socket.Socket) {
	level, name, length := levels[c.next()%len(levels)], c.next(), c.next()
	if a, ok := s.(socket.Asker); ok && length >= 4 {
		value := make([]byte, min(length, socket.MaxAsked))
		copy(value, c.value(c.next()))
		if _, asked, _ := a.Ask(c.ctx, level, name, value, length); asked {
			return
		}
	}
	if v, err := socket.Get(c.ctx, s, level, name, length); err == nil && len(v) > 1<<16 {
		c.t.Errorf("option %d of level %d: %d bytes", name, level, len(v))
	}
}

// send sends some bytes of the input with control messages and perhaps an address.
func (c *calls) send(s socket.Socket) {
	flags, control, n := c.next(), c.next(), c.next()
	var m socket.Message
	if flags&1 != 0 {
		m.Addr = c.addr(s.Common().Family)
	}
	for range control & 3 {
		if s.Common().Family != unix.AF_UNIX {
			m.Control.Other = append(m.Control.Other, socket.Item{Level: int32(levels[c.next()%len(levels)]), Type: int32(c.next()), Data: c.value(c.next() % 32)})
			continue
		}
		f := c.files[c.next()%len(c.files)]
		f.IncRef()
		m.Control.Files = append(m.Control.Files, f)
		m.Control.Cred = socket.SenderOf(c.ctx)
	}
	data := c.value(n)
	if control&4 != 0 {
		data = make([]byte, n*n)
	}
	src := usermem.Kernel(data)
	known := [...]int{0, unix.MSG_OOB, unix.MSG_MORE, unix.MSG_CONFIRM, unix.MSG_DONTROUTE, unix.MSG_EOR, unix.MSG_FASTOPEN, unix.MSG_ZEROCOPY}
	n, err := s.Send(c.ctx, &src, &m, unix.MSG_DONTWAIT|known[flags>>1&7])
	if err != nil {
		m.Control.Drop()
	}
	if z, ok := s.(socket.Completer); ok && err == nil {
		z.Sent(n)
	}
}

// receive receives a message and lets go of what came with it.
func (c *calls) receive(s socket.Socket) {
	flags, n := c.next(), c.next()
	known := [...]int{0, unix.MSG_PEEK, unix.MSG_OOB, unix.MSG_TRUNC, unix.MSG_ERRQUEUE, unix.MSG_WAITALL, unix.MSG_PEEK | unix.MSG_TRUNC, unix.MSG_CMSG_CLOEXEC}
	dst := usermem.Kernel(make([]byte, n))
	var m socket.Message
	if got, err := s.Receive(c.ctx, &dst, &m, unix.MSG_DONTWAIT|known[flags&7]); err == nil && got > n && flags&7 != 3 && flags&7 != 6 {
		c.t.Errorf("%d bytes in a buffer of %d", got, n)
	}
	if len(m.Addr) > socket.MaxAddr {
		c.t.Errorf("an address of %d bytes", len(m.Addr))
	}
	m.Control.Drop()
}

// memory is an application's memory that begins at 0.
type memory []byte

// at is the memory at an address, at most n bytes.
func (m memory) at(addr uint64, n int) []byte {
	if addr >= uint64(len(m)) {
		return nil
	}
	return m[addr:min(uint64(len(m)), addr+uint64(n))]
}

func (m memory) CopyIn(dst []byte, addr uint64) (int, error) {
	return full(copy(dst, m.at(addr, len(dst))), len(dst))
}

func (m memory) CopyOut(addr uint64, src []byte) (int, error) {
	return full(copy(m.at(addr, len(src)), src), len(src))
}

func full(n, want int) (int, error) {
	if n < want {
		return n, unix.EFAULT
	}
	return n, nil
}

func (m memory) CopyInString(addr uint64, max int) (string, error) {
	for i, b := range m.at(addr, max) {
		if b == 0 {
			return string(m[addr : addr+uint64(i)]), nil
		}
	}
	return "", unix.EFAULT
}

func (m memory) Zero(addr, length uint64) (uint64, error) {
	p := m.at(addr, int(length))
	clear(p)
	n, err := full(len(p), int(length))
	return uint64(n), err
}

func (m memory) Blocks(addr, length uint64, _ bool, f func([][]byte) (int, error)) (int, error) {
	if p := m.at(addr, int(length)); len(p) > 0 {
		return f([][]byte{p})
	}
	return 0, unix.EFAULT
}

func (m memory) SwapUint32(uint64, uint32) (uint32, error) { return 0, unix.EFAULT }

func (m memory) CompareAndSwapUint32(uint64, uint32, uint32) (uint32, error) { return 0, unix.EFAULT }

func (m memory) LoadUint32(uint64) (uint32, error) { return 0, unix.EFAULT }
