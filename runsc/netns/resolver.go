package netns

import (
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"casemate/runsc/resolver"
)

// tunnelName is the TUN device's name.
const tunnelName = "resolver"

// tunnelAddress is what dockerd's questions come from. It is link-local, so it is nobody's
// but in this namespace.
const tunnelAddress = "169.254.11.1/32"

var everything = net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}

// hasResolver reports whether a socket at 127.0.0.11 is in the thread's namespace, which is
// Docker's resolver.
func hasResolver() (bool, error) {
	sockets, err := os.ReadFile("/proc/thread-self/net/udp")
	if err != nil {
		return false, fmt.Errorf("looking for a resolver: %w", err)
	}
	for line := range strings.Lines(string(sockets)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], "0B00007F:") {
			return true, nil
		}
	}
	return false, nil
}

// resolver opens what package resolver needs, if the namespace has a resolver. It runs
// after strip.
func (t *taker) resolver() error {
	is, err := hasResolver()
	if err != nil || !is {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	t.sockets = append(t.sockets, os.NewFile(uintptr(fd), "resolver"))
	t.network.Resolver = true
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 53, Addr: resolver.Address.As4()}); err != nil {
		return fmt.Errorf("connecting to %v: %w", resolver.Address, err)
	}
	if err := t.tunnel(); err != nil {
		t.Note(fmt.Sprintf("names outside of Docker's networks are not resolved: %v", err))
	}
	return nil
}

// tunnel makes a TUN device by which everything goes that is not local.
func (t *taker) tunnel() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/net/tun: %w", err)
	}
	f := os.NewFile(uintptr(fd), tunnelName)
	if err := t.setTunnel(fd); err != nil {
		f.Close()
		return err
	}
	t.sockets = append(t.sockets, f)
	t.network.Tunnel = true
	return nil
}

func (t *taker) setTunnel(fd int) error {
	r, err := unix.NewIfreq(tunnelName)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		return fmt.Errorf("making a TUN device: %w", err)
	}
	l, err := t.handle.LinkByName(tunnelName)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(tunnelAddress)
	if err != nil {
		return err
	}
	for _, err := range []error{
		t.handle.LinkSetMTU(l, resolver.TunnelMTU),
		t.handle.AddrAdd(l, addr),
		t.handle.LinkSetUp(l),
		t.handle.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: &everything}),
	} {
		if err != nil {
			return fmt.Errorf("setting up a TUN device: %w", err)
		}
	}
	return nil
}
