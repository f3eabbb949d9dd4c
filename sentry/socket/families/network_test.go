package families

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"
	"weak"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/bridge"
	"casemate/netstack/link/tap"
	"casemate/netstack/link/veth"
	"casemate/netstack/wire"
	"casemate/platform/memfile"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/sentry/socket/inet"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"
)

// A world is a kernel with its first network.
type world struct {
	*testing.T
	k    *kernel.Kernel
	ctx  *vfs.Context
	root *Network
}

func newWorld(t *testing.T) *world {
	t.Helper()
	mem, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	user := cred.NewRootUserNamespace()
	k := kernel.New(kernel.Options{Memory: mem, VFS: vfs.New(user), UserNS: user, CPUs: 1})
	t.Cleanup(k.Close)
	if err := Register(k, nil, nil); err != nil {
		t.Fatal(err)
	}
	w := &world{t, k, &vfs.Context{Cred: cred.NewRoot(user)}, Of(k, k.RootNamespaces().Net)}
	t.Cleanup(w.root.Close)
	return w
}

// ok ends the test if err is not nil.
func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// eventually waits until something is true, for at most half a minute.
func (w *world) eventually(what string, f func() bool) {
	w.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("%s has not come true", what)
		}
	}
}

// add gives a network an interface that is up and configures itself, with an address if that is
// not "".
func (w *world) add(n *Network, name string, l link.Link, address string) *ip.Interface {
	w.Helper()
	i, err := n.IP.AddInterface(name, l)
	w.ok(err)
	n.IP.SetUp(i, true)
	n.IP.Autoconfigure(i)
	if address != "" {
		w.ok(n.IP.AddAddress(i, ip.Address{Prefix: netip.MustParsePrefix(address)}))
	}
	return i
}

// open makes a socket of n with its file.
func (w *world) open(n *Network, typ int) (*inet.Socket, *vfs.File) {
	w.Helper()
	s, err := inet.New(w.ctx, n.Inet, unix.AF_INET, typ, 0)
	w.ok(err)
	return s, n.FS.NewFile(w.ctx, s, 0)
}

// at is a struct sockaddr_in.
func at(text string) []byte {
	a := netip.MustParseAddrPort(text)
	b := binary.NativeEndian.AppendUint16(nil, unix.AF_INET)
	b = binary.BigEndian.AppendUint16(b, a.Port())
	v4 := a.Addr().As4()
	return append(append(b, v4[:]...), make([]byte, 8)...)
}

// mac is an address of one station.
func mac(last byte) wire.MAC { return wire.MAC{2, 0, 0, 0, 0, last} }

// live gives a network all that keeps it busy: devices, a connection to the first network with data
// that nobody reads, a datagram for a neighbour that does not answer. It returns the files that keep
// the namespace.
func (w *world) live(n *Network) (files []*vfs.File, peer *vfs.File) {
	w.Helper()
	w.ok(n.IP.UpLoopback())
	here, there := veth.New(mac(1), mac(2), 1500)
	w.add(w.root, "outside", there, "10.0.0.1/24")
	w.add(n, "inside", here, "10.0.0.2/24")
	b := bridge.New(mac(3), false)
	w.add(n, "br0", b, "10.1.0.1/24")
	one, two := veth.New(mac(4), mac(5), 1500)
	program := tap.New(true, mac(6))
	program.Hold(func() {})
	for name, l := range map[string]link.Link{"one": one, "tap": program} {
		w.ok(w.add(n, name, l, "").SetMaster(b))
	}
	w.add(n, "two", two, "10.1.0.2/24")

	listener, file := w.open(w.root, unix.SOCK_STREAM)
	w.ok(listener.Bind(w.ctx, at("10.0.0.1:80")))
	w.ok(listener.Listen(w.ctx, 1))
	defer file.DecRef()
	c, file := w.open(n, unix.SOCK_STREAM)
	files = append(files, file)
	if err := c.Connect(w.ctx, at("10.0.0.1:80")); err != unix.EINPROGRESS {
		w.Fatal(err)
	}
	var accepted socket.Socket
	w.eventually("a connection", func() (done bool) {
		var err error
		accepted, _, err = listener.Accept(w.ctx)
		return err == nil
	})
	peer = w.root.FS.NewFile(w.ctx, accepted, 0)
	for full := false; !full; {
		src := usermem.Kernel(make([]byte, 64<<10))
		_, err := c.Send(w.ctx, &src, &socket.Message{}, 0)
		full = err == unix.EAGAIN
	}

	u, file := w.open(n, unix.SOCK_DGRAM)
	files = append(files, file)
	src := usermem.Kernel([]byte("is anybody there?"))
	_, err := u.Send(w.ctx, &src, &socket.Message{Addr: at("10.0.0.99:9")}, 0)
	w.ok(err)
	return files, peer
}

// TestNetworkGoes has namespaces come and go, and counts what is left of them.
func TestNetworkGoes(t *testing.T) {
	w := newWorld(t)
	before := runtime.NumGoroutine()
	const rounds = 20
	var gone [rounds]weak.Pointer[Network]
	for k := range gone {
		ns := w.k.NewNetNamespace(w.k.UserNS())
		n := Of(w.k, ns)
		gone[k] = weak.Make(n)
		files, peer := w.live(n)
		ns.DecRef()
		for _, f := range files {
			if !ns.Alive() {
				t.Fatal("the namespace has gone before its last socket")
			}
			f.DecRef()
		}
		if !ns.Alive() {
			t.Fatal("the namespace has gone before all was sent")
		}
		peer.DecRef() // it resets the connection, whose data nobody has read
		w.eventually("the end of the namespace", func() bool { return !ns.Alive() })
		w.eventually("the end of the peer's device", func() bool { return w.root.IP.InterfaceByName("outside") == nil })
	}
	for k, p := range gone {
		w.eventually("the end of a network", func() bool {
			runtime.GC()
			return p.Value() == nil || k == len(gone)-1 // the last may still lie on the stack
		})
	}
	w.eventually("the end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
}

// TestHostDeviceReturns has a device that nobody inside has made return when its namespace goes.
func TestHostDeviceReturns(t *testing.T) {
	w := newWorld(t)
	l := &device{Link: tap.New(true, mac(1))}
	i := w.add(w.root, "eth0", l, "10.0.0.1/24")
	ns := w.k.NewNetNamespace(w.k.UserNS())
	n := Of(w.k, ns)
	_, err := w.root.IP.Move(i, n.IP.Stack, "eth0")
	w.ok(err)
	if w.root.IP.InterfaceByName("eth0") != nil || len(n.IP.Addresses(n.IP.InterfaceByName("eth0"))) != 0 {
		t.Fatal("the device has not moved")
	}
	w.ok(func() error { _, err := w.root.IP.AddInterface("eth0", tap.New(true, mac(2))); return err }())
	ns.DecRef()
	w.eventually("the device's return", func() bool {
		for _, i := range w.root.IP.Interfaces() {
			if i.Link() == link.Link(l) {
				return i.Name() != "eth0" && i.Current() == i
			}
		}
		return false
	})
	if l.closed {
		t.Error("the device has been closed")
	}
}

// A device is a link that is of no kind that programs make.
type device struct {
	link.Link
	closed bool
}

// Close implements link.Link.
func (d *device) Close() { d.closed = true }
