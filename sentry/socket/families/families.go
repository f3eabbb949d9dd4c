// Package families knows all families of sockets, and what a network namespace has of
// each.
//
// Register must have been called for a kernel before its first process runs.
package families

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/sentry/socket/hostinet"
	"casemate/sentry/socket/inet"
	"casemate/sentry/socket/netlink"
	"casemate/sentry/socket/packet"
	"casemate/sentry/socket/unixsocket"
	"casemate/vfs"
)

// A Network is what a network namespace has. It is what NetNamespace.Stack holds.
type Network struct {
	// FS is sockfs, the same for all namespaces.
	FS *socket.FS
	// Unix are the abstract names of AF_UNIX.
	Unix *unixsocket.Names
	// IP is the stack of AF_INET and AF_INET6.
	IP *netstack.Stack
	// Inet are the sockets of AF_INET and AF_INET6.
	Inet *inet.Sockets
	// Netlink are the netlink sockets.
	Netlink *netlink.Ports
	root    *Network // of the root namespace; nil for that one itself
	// Host, if not nil, has the sockets of AF_INET, AF_INET6 and AF_NETLINK instead.
	Host *hostinet.Host
}

// patience is how long a task that is about to block looks for packets of a stream that is coming,
// at most: about twice as long as it takes until another thread has received them and the task runs
// again.
const patience = 100 * time.Microsecond

// Register prepares k for sockets: it makes sockfs and the network of k's root
// namespace. stack is that one's IP; nil for one with nothing but a loopback interface
// that is up. host, if not nil, has its place for programs (--network=host).
func Register(k *kernel.Kernel, stack *netstack.Stack, host *hostinet.Host) error {
	if stack == nil {
		stack = netstack.New(ip.Options{})
		if err := stack.UpLoopback(); err != nil {
			return err
		}
	}
	k.BeforeBlock = func() { stack.Backlog.Poll(patience) }
	root := k.RootNamespaces().Net
	n := newNetwork(k, root, socket.NewFS(k.VFS()), stack)
	if n.Host = host; host != nil {
		host.Net = root
		n.Unix.Devices = host.Ioctl
	}
	root.Stack.Store(n)
	return nil
}

func newNetwork(k *kernel.Kernel, ns *kernel.NetNamespace, fs *socket.FS, stack *netstack.Stack) *Network {
	n := &Network{FS: fs, Unix: unixsocket.NewNames(ns, stack), IP: stack, Inet: inet.NewSockets(ns, stack)}
	n.Netlink = netlink.NewPorts(n.Inet, n.Unix, func(ns *kernel.NetNamespace) *netlink.Ports { return Of(k, ns).Netlink })
	stack.Filter.Log = func(text string) { k.Printk(kernel.LevelWarning, "%s", text) }
	return n
}

// Close ends the network with its namespace. Nothing of it is in use any more. Devices go, but for
// those that nobody inside has made: they return to the root namespace (network_namespaces(7)).
func (n *Network) Close() {
	for _, i := range n.IP.Interfaces() {
		if netlink.Made(i) || i.IsLoopback() || n.root == nil {
			continue
		}
		if _, err := n.IP.Move(i, n.root.IP.Stack, i.Name()); err == unix.EEXIST {
			// A name that is taken becomes one that says which device it is.
			n.IP.Move(i, n.root.IP.Stack, fmt.Sprintf("dev%d", i.Index()))
		}
	}
	n.Netlink.Close()
	n.IP.Close()
}

// Of returns the network of ns, which it makes if ns is new.
func Of(k *kernel.Kernel, ns *kernel.NetNamespace) *Network {
	if n, ok := ns.Stack.Load().(*Network); ok {
		return n
	}
	root := k.RootNamespaces().Net.Stack.Load().(*Network)
	// Devices lead from one stack to another: packets go by the one backlog.
	n := newNetwork(k, ns, root.FS, netstack.New(ip.Options{Backlog: root.IP.Backlog}))
	n.root = root
	n.inherit()
	if !ns.Stack.CompareAndSwap(nil, n) {
		n.Close()
		n = ns.Stack.Load().(*Network)
	}
	return n
}

// inherit gives a new network the parameters that Linux takes over from the first one's
// (ip-sysctl, devconf_inherit_init_net).
func (n *Network) inherit() {
	for _, of := range []string{"all", "default"} {
		for _, name := range n.root.IP.Sysctl.List("net.ipv4.conf." + of + ".") {
			if v, ok := n.root.IP.Sysctl.Read(name); ok {
				n.IP.Sysctl.Write(name, v) // a value that the other has is in range
			}
		}
	}
}

func network(t *kernel.Task) *Network { return Of(t.Kernel(), t.Namespaces().Net) }

// maxFamily is AF_MAX, maxType SOCK_MAX.
const (
	maxFamily = 46
	maxType   = 11
)

// New makes a socket as socket(2) does; typ is without flags. EAFNOSUPPORT, EINVAL,
// ESOCKTNOSUPPORT, EPROTONOSUPPORT, EPERM.
func New(t *kernel.Task, family, typ, protocol int) (socket.Socket, error) {
	if family < 0 || family >= maxFamily {
		return nil, unix.EAFNOSUPPORT
	}
	if typ < 0 || typ >= maxType {
		return nil, unix.EINVAL
	}
	n := network(t)
	if n.Host != nil && (family == unix.AF_INET || family == unix.AF_INET6 || family == unix.AF_NETLINK) {
		s, err := n.Host.Socket(t.FSContext(), family, typ, protocol)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	switch family {
	case unix.AF_UNIX:
		if protocol != 0 && protocol != unix.AF_UNIX {
			return nil, unix.EPROTONOSUPPORT
		}
		s, err := unixsocket.New(n.Unix, typ)
		if err != nil {
			return nil, err
		}
		return s, nil
	case unix.AF_INET, unix.AF_INET6:
		s, err := inet.New(t.FSContext(), n.Inet, family, typ, protocol)
		if err != nil {
			return nil, err
		}
		return s, nil
	case unix.AF_PACKET:
		if n.Host != nil {
			return nil, unix.EPERM
		}
		s, err := packet.New(t.FSContext(), t.Namespaces().Net, n.IP, typ, protocol)
		if err != nil {
			return nil, err
		}
		return s, nil
	case unix.AF_NETLINK:
		s, err := netlink.New(n.Netlink, typ, protocol)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, unix.EAFNOSUPPORT
}

// Pair makes two connected sockets as socketpair(2) does: also EOPNOTSUPP.
func Pair(t *kernel.Task, family, typ, protocol int) (a, b socket.Socket, err error) {
	s, err := New(t, family, typ, protocol)
	if err != nil {
		return nil, nil, err
	}
	s.Release(nil)
	if family != unix.AF_UNIX {
		return nil, nil, unix.EOPNOTSUPP
	}
	x, y, err := unixsocket.Pair(t.FSContext(), network(t).Unix, typ)
	if err != nil {
		return nil, nil, err
	}
	return x, y, nil
}

// NewFile makes the file of a socket. flags are of O_NONBLOCK.
func NewFile(t *kernel.Task, s socket.Socket, flags uint32) *vfs.File {
	return network(t).FS.NewFile(t.FSContext(), s, flags)
}
