package boot

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/fifo"
	"casemate/netstack/link/packet"
	"casemate/netstack/link/xdp"
	"casemate/runsc/netns"
	"casemate/runsc/resolver"
	"casemate/sentry/socket/families"
)

// takeNetwork gives the container's stack the devices, addresses, routes and neighbours of a
// namespace that runsc has taken over. sockets are its packet sockets, which belong to
// the stack from now on, or are closed.
func (s *container) takeNetwork(n *netns.Network, sockets []int) error {
	stack := families.Of(s.kernel, s.namespaces.Net).IP
	const noIPv6 = "net.ipv6.conf.all.disable_ipv6"
	if linux := s.Spec.Linux; n.NoIPv6 && (linux == nil || linux.Sysctl[noIPv6] == "") {
		if err := stack.Sysctl.Lookup(noIPv6).Set(1); err != nil {
			closeAll(sockets)
			return err
		}
	}
	for i := range n.Links {
		l := &n.Links[i]
		count := l.Sockets
		if l.Silent {
			count++ // the last one is only kept open
		}
		if count > len(sockets) {
			closeAll(sockets)
			return fmt.Errorf("network device %s: its packet sockets are missing", l.Name)
		}
		if err := takeLink(stack, l, sockets[:l.Sockets], s.Config.Qdisc); err != nil {
			closeAll(sockets[l.Sockets:])
			return fmt.Errorf("network device %s: %w", l.Name, err)
		}
		sockets = sockets[count:]
	}
	if err := takeResolver(stack, n, sockets); err != nil {
		return fmt.Errorf("the resolver: %w", err)
	}
	// Gateways are reached by routes that have none.
	for _, gateways := range []bool{false, true} {
		for _, r := range n.Routes {
			if r.Gateway.IsValid() != gateways {
				continue
			}
			if err := stack.AddRoute(r); err != nil && err != unix.EEXIST {
				return fmt.Errorf("route to %v: %w", r.Dst, err)
			}
		}
	}
	for _, x := range n.Neighbours {
		if err := stack.SetNeighbour(x); err != nil {
			return fmt.Errorf("neighbour %v: %w", x.Addr, err)
		}
	}
	return nil
}

// takeResolver serves Docker's resolver in the stack, by the descriptors that are left
// when the links have theirs.
func takeResolver(stack *netstack.Stack, n *netns.Network, fds []int) error {
	want := 0
	for _, there := range []bool{n.Resolver, n.Tunnel} {
		if there {
			want++
		}
	}
	if len(fds) != want || n.Tunnel && !n.Resolver {
		closeAll(fds)
		return errors.New("the wrong number of descriptors has come")
	}
	if n.Tunnel {
		if err := resolver.ServeUpstream(stack, fds[1]); err != nil {
			unix.Close(fds[0])
			return err
		}
	}
	if n.Resolver {
		return resolver.Serve(stack, fds[0])
	}
	return nil
}

func takeLink(stack *netstack.Stack, l *netns.Link, sockets []int, qdisc string) error {
	if len(sockets) == 0 {
		return takeLoopback(stack, l)
	}
	dev, err := openLink(l, sockets)
	if err != nil {
		return err
	}
	if qdisc == "fifo" {
		dev = fifo.New(dev)
	}
	i, err := stack.AddInterfaceAt(l.Index, l.Name, dev)
	if err != nil {
		return err
	}
	for _, a := range l.Addresses {
		if err := stack.AddAddress(i, a); err != nil {
			return fmt.Errorf("address %v: %w", a.Prefix, err)
		}
	}
	stack.SetUp(i, l.Up)
	if slices.ContainsFunc(l.Addresses, func(a ip.Address) bool { return a.Prefix.Addr().Is6() }) {
		// The host's stack would go on to follow the link's routers.
		stack.Autoconfigure(i)
	}
	return nil
}

// openLink makes a link of a device's descriptors.
func openLink(l *netns.Link, sockets []int) (link.Link, error) {
	if l.XDP != nil {
		return xdp.New(sockets, *l.XDP, l.Info)
	}
	return packet.New(sockets, l.Info)
}

// takeLoopback brings the loopback device, which is up, into the state of the host's.
func takeLoopback(stack *netstack.Stack, l *netns.Link) error {
	lo := stack.InterfaceByName("lo")
	if !l.Up {
		for _, a := range stack.Addresses(lo) {
			if err := stack.RemoveAddress(lo, a.Prefix); err != nil {
				return err
			}
		}
	}
	for _, a := range l.Addresses {
		if err := stack.AddAddress(lo, a); err != nil && err != unix.EEXIST {
			return fmt.Errorf("address %v: %w", a.Prefix, err)
		}
	}
	stack.SetUp(lo, l.Up)
	return nil
}
