package netem

import (
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"casemate/netstack"
	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/fifo"
	"casemate/netstack/link/lossy"
	"casemate/netstack/pkt"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Addresses: of Linux on the near side, of netstack there, and of Linux on the far side.
var (
	nearLinux = netip.MustParseAddr("10.0.0.1")
	nearOurs  = netip.MustParseAddr("10.0.1.1")
	far       = netip.MustParseAddr("10.0.2.1")
)

// A path has Linux and netstack on its near side and Linux on its far side.
type path struct {
	near, far *namespace
	ours      *netstack.Stack
}

// newPath makes a path, for the test's time.
func newPath(t *testing.T, c lossy.Config) *path {
	if os.Getuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	w := wheel.New()
	t.Cleanup(w.Close)
	c.MTU = 1500
	x, y := lossy.New(w, c)
	t.Cleanup(x.Close)
	t.Cleanup(y.Close)
	b := new(backlog.Set)
	p := &path{near: newNamespace(t, nearLinux), far: newNamespace(t, far)}
	us := &ourEnd{out: x, b: b}
	p.ours = netstack.New(ip.Options{Backlog: b})
	t.Cleanup(p.ours.Close)
	// As Linux's packets do by their device, netstack's reach the path by a queue that a goroutine
	// empties. Else it would be the first to send whenever acknowledgements for both arrive, and
	// at a full bottleneck Linux would find no room.
	i, err := p.ours.AddInterface("path", fifo.New(us))
	must(t, err)
	must(t, p.ours.AddAddress(i, ip.Address{Prefix: netip.PrefixFrom(nearOurs, 24)}))
	p.ours.SetUp(i, true)
	must(t, p.ours.AddRoute(ip.RouteEntry{Dst: netip.MustParsePrefix("0.0.0.0/0"), OIF: i.Index()}))
	must(t, x.Attach(junction{p.near, us}, b))
	must(t, y.Attach(junction{p.far, nil}, b))
	p.near.forward(t, x, b)
	p.far.forward(t, y, b)
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// junction gives what comes out of the path to whom it is for.
type junction struct {
	linux *namespace
	ours  *ourEnd
}

func (j junction) Receive(p *pkt.Packet) {
	h := wire.IPv4(p.Pull(wire.IPv4MinLen))
	if h != nil && j.ours != nil && h.Dst() == nearOurs {
		j.ours.receive(p)
		return
	}
	b := make([]byte, p.Len())
	p.CopyOut(0, b)
	p.Free()
	unix.Write(j.linux.tun, b) // a packet that the device does not take is lost
}

// ourEnd is netstack's link to the path.
type ourEnd struct {
	out *lossy.Link
	b   *backlog.Set
	rx  atomic.Pointer[pkt.Receiver]
}

func (e *ourEnd) Info() link.Info {
	return link.Info{Type: unix.ARPHRD_NONE, Flags: unix.IFF_POINTOPOINT | unix.IFF_NOARP, MTU: 1500, Queues: 1}
}
func (e *ourEnd) Attach(rx pkt.Receiver, b *backlog.Set) error { e.rx.Store(&rx); return nil }
func (e *ourEnd) Close()                                       {}
func (e *ourEnd) Send(p *pkt.Packet)                           { e.out.Send(p) }

func (e *ourEnd) receive(p *pkt.Packet) {
	p.EtherType = unix.ETH_P_IP
	(*e.rx.Load()).Receive(p)
}

// A namespace is a network namespace with a TUN device. Its functions run on a thread that
// is in it.
type namespace struct {
	tun  int
	work chan func()
}

func newNamespace(t *testing.T, a netip.Addr) *namespace {
	n := &namespace{work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, and the namespace, end with the goroutine
		made <- n.make(a)
		for f := range n.work {
			f()
		}
	}()
	t.Cleanup(func() { close(n.work) })
	if err := <-made; err != nil {
		t.Skip("cannot make a network namespace with a TUN device:", err)
	}
	t.Cleanup(func() { unix.Close(n.tun) })
	return n
}

func (n *namespace) make(a netip.Addr) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	n.tun = fd
	r, _ := unix.NewIfreq("path")
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		return err
	}
	c := exec.Command("ip", "-batch", "-")
	c.Stdin = strings.NewReader("link set lo up\nlink set path up\naddr add " + a.String() + "/24 dev path\nroute add default dev path\n")
	return c.Run()
}

// in runs f in the namespace.
func (n *namespace) in(f func()) {
	done := make(chan struct{})
	n.work <- func() { f(); close(done) }
	<-done
}

// forward sends what the namespace sends along the path, until the test ends.
func (n *namespace) forward(t *testing.T, out *lossy.Link, b *backlog.Set) {
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	must(t, err)
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, 65536)
		for {
			fds := []unix.PollFd{{Fd: int32(n.tun), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
			if _, err := unix.Poll(fds, -1); err == unix.EINTR {
				continue
			}
			if fds[1].Revents != 0 {
				return
			}
			k, err := unix.Read(n.tun, buf)
			if err != nil || k < wire.IPv4MinLen || buf[0]>>4 != 4 {
				continue
			}
			p := pkt.New()
			p.AddBytes(buf[:k])
			p.Pull(wire.IPv4MinLen + wire.TCPMinLen)
			p.EtherType = unix.ETH_P_IP
			out.Send(p)
			b.Run()
		}
	})
	t.Cleanup(func() {
		unix.Write(stop, binary.NativeEndian.AppendUint64(nil, 1))
		done.Wait()
		unix.Close(stop)
	})
}
