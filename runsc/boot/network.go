package boot

import (
	"fmt"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/link/packet"
	"casemate/runsc/control"
	"casemate/runsc/netns"
)

// takeNetwork gives the stack the devices, addresses, routes and neighbours of a
// namespace that runsc has taken over. sockets are its packet sockets, which belong to
// the stack from now on.
func takeNetwork(stack *netstack.Stack, n *netns.Network, sockets []int) error {
	for i := range n.Links {
		l := &n.Links[i]
		if l.Sockets > len(sockets) {
			return fmt.Errorf("network device %s: its packet sockets are missing", l.Name)
		}
		if err := takeLink(stack, l, sockets[:l.Sockets]); err != nil {
			return fmt.Errorf("network device %s: %w", l.Name, err)
		}
		sockets = sockets[l.Sockets:]
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

func takeLink(stack *netstack.Stack, l *netns.Link, sockets []int) error {
	i := stack.InterfaceByName("lo")
	if len(sockets) > 0 {
		dev, err := packet.New(sockets[0], l.Info)
		if err != nil {
			return err
		}
		if i, err = stack.AddInterfaceAt(l.Index, l.Name, dev); err != nil {
			return err
		}
	}
	for _, a := range l.Addresses {
		if err := stack.AddAddress(i, a); err != nil && err != unix.EEXIST {
			return fmt.Errorf("address %v: %w", a.Prefix, err)
		}
	}
	stack.SetUp(i, l.Up)
	return nil
}

// newStack makes the stack of the container's network namespace.
func (s *sandbox) newStack() (*netstack.Stack, error) {
	stack := netstack.New(ip.Options{})
	if s.Network == nil {
		return stack, stack.UpLoopback()
	}
	var sockets []int
	for i := range s.Network.Links {
		for range s.Network.Links[i].Sockets {
			sockets = append(sockets, control.FDNetwork+len(sockets))
		}
	}
	return stack, takeNetwork(stack, s.Network, sockets)
}
