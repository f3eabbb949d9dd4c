// Package netns takes over the network of a network namespace that an engine has
// prepared: addresses, routes and neighbours leave the host's devices, and packet
// sockets on these are what the sandbox sends and receives by.
//
// A namespace that outlives the sandbox gets back what was taken (GiveBack).
package netns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/xdp"
)

// A Network is what a sandbox takes over of a namespace, as JSON on its way there.
type Network struct {
	Links      []Link
	Routes     []ip.RouteEntry
	Neighbours []ip.Neighbour
	// NoIPv6 says that net.ipv6.conf.all.disable_ipv6 is set.
	NoIPv6 bool
	// Resolver and Tunnel say that descriptors for package resolver follow the links':
	// the socket connected to Docker's resolver, and the TUN device.
	Resolver, Tunnel bool
}

// A Link is a device of the namespace.
type Link struct {
	Name      string
	Index     int32
	Up        bool
	Info      link.Info
	Addresses []ip.Address
	// Sockets is how many of the descriptors that go with the Network are this link's,
	// in order: none for the loopback device.
	Sockets int
	// Silent says that one more descriptor follows them, that of packet.Silence.
	Silent bool `json:",omitempty"`
	// XDP is how the descriptors are laid out if they are package xdp's; else they are packet
	// sockets.
	XDP *xdp.Layout `json:",omitempty"`
}

// UpLoopback has the sandbox's loopback device up, whatever the namespace's was.
func (n *Network) UpLoopback() {
	for i := range n.Links {
		if l := &n.Links[i]; l.Sockets == 0 {
			l.Up = true
		}
	}
}

// Options say how a namespace's devices are taken over.
type Options struct {
	GSO, GRO bool
	Channels int // packet sockets for each device, at least 1
	// XDP has AF_XDP sockets where the host lets them be.
	XDP bool
	// Note is called with what cannot be taken over.
	Note func(string)
}

// Take takes over the namespace at path, such as /proc/PID/ns/net, and returns the
// packet sockets beside the description. It needs CAP_SYS_ADMIN, CAP_NET_ADMIN and
// CAP_NET_RAW in the user namespace that owns it.
func Take(path string, o *Options) (n *Network, sockets []*os.File, err error) {
	err = within(path, func() error {
		t := taker{Options: *o}
		if err := t.take(); err != nil {
			t.close()
			return err
		}
		n, sockets = &t.network, t.sockets
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("taking over the network namespace %s: %w", path, err)
	}
	return n, sockets, nil
}

// within calls f on a thread that is in the namespace at path, and waits for it.
func within(path string, f func() error) error {
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering it: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// Same reports whether two paths are those of one namespace (namespaces(7)).
func Same(path, other string) (bool, error) {
	var of [2]unix.Stat_t
	for i, p := range []string{path, other} {
		if err := unix.Stat(p, &of[i]); err != nil {
			return false, fmt.Errorf("looking at the network namespace %s: %w", p, err)
		}
	}
	return of[0].Dev == of[1].Dev && of[0].Ino == of[1].Ino, nil
}

// Enter moves the calling thread, which the caller has locked to its goroutine, into the
// namespace at path. leave moves it back.
func Enter(path string) (leave func() error, err error) {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	ns, err := os.Open(path)
	if err != nil {
		own.Close()
		return nil, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		own.Close()
		return nil, fmt.Errorf("entering the network namespace %s: %w", path, err)
	}
	return func() error {
		defer own.Close()
		return unix.Setns(int(own.Fd()), unix.CLONE_NEWNET)
	}, nil
}
