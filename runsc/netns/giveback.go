package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
)

// GiveBack gives the namespace at path what Take has taken of it: the addresses of its
// devices, with IPv6, their routes and permanent neighbours. Devices that are gone are left
// out. The sandbox has ended.
func (n *Network) GiveBack(path string) error {
	return within(path, func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("asking for its devices: %w", err)
		}
		defer h.Close()
		var errs []error
		for i := range n.Links {
			if n.Links[i].Sockets > 0 {
				errs = append(errs, n.giveLink(h, &n.Links[i]))
			}
		}
		for _, gateways := range []bool{false, true} {
			for i := range n.Routes {
				if r := &n.Routes[i]; r.Gateway.IsValid() == gateways && r.Protocol != unix.RTPROT_KERNEL {
					errs = append(errs, giveRoute(h, r))
				}
			}
		}
		return errors.Join(errs...)
	})
}

// giveLink gives a device back its addresses and neighbours.
func (n *Network) giveLink(h *netlink.Handle, x *Link) error {
	l, err := h.LinkByName(x.Name)
	if err != nil {
		return nil
	}
	for _, a := range x.Addresses {
		if a.Prefix.Addr().Is6() {
			// What Take has turned off, so that the host's stack was silent.
			if err := os.WriteFile(ipv6Switch(x.Name), []byte("0"), 0); err != nil {
				return fmt.Errorf("device %s: turning IPv6 on: %w", x.Name, err)
			}
			break
		}
	}
	for _, a := range x.Addresses {
		if a.Prefix.Addr().IsLinkLocalUnicast() && a.Prefix.Addr().Is6() {
			continue // the host makes it
		}
		if err := h.AddrReplace(l, giveAddress(&a)); err != nil {
			return fmt.Errorf("device %s: the address %v: %w", x.Name, a.Prefix, err)
		}
	}
	for _, p := range n.Neighbours {
		if p.Index != x.Index || p.State != unix.NUD_PERMANENT {
			continue
		}
		neigh := &netlink.Neigh{LinkIndex: l.Attrs().Index, State: unix.NUD_PERMANENT, IP: p.Addr.AsSlice(), HardwareAddr: p.MAC[:]}
		if err := h.NeighSet(neigh); err != nil {
			return fmt.Errorf("device %s: the neighbour %v: %w", x.Name, p.Addr, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func giveAddress(a *ip.Address) *netlink.Addr {
	x := &netlink.Addr{IPNet: ipNet(a.Prefix), Label: a.Label, Scope: int(a.Scope), Flags: int(a.Flags &^ unix.IFA_F_PERMANENT)}
	if a.Broadcast.IsValid() {
		x.Broadcast = a.Broadcast.AsSlice()
	}
	if a.Peer.IsValid() {
		x.Peer = ipNet(netip.PrefixFrom(a.Peer, a.Prefix.Bits()))
	}
	if a.Prefix.Addr().Is6() {
		x.Flags |= unix.IFA_F_NODAD // it has been in use
	}
	return x
}

func giveRoute(h *netlink.Handle, e *ip.RouteEntry) error {
	r := &netlink.Route{Dst: ipNet(e.Dst), LinkIndex: int(e.OIF), Priority: int(e.Metric), MTU: e.MTU, Table: int(e.Table), Type: int(e.Type),
		Protocol: netlink.RouteProtocol(e.Protocol), Scope: netlink.Scope(e.Scope), Tos: int(e.TOS)}
	if e.Gateway.IsValid() {
		r.Gw = e.Gateway.AsSlice()
	}
	if e.PrefSrc.IsValid() {
		r.Src = e.PrefSrc.AsSlice()
	}
	if e.OnLink {
		r.Flags = int(netlink.FLAG_ONLINK)
	}
	if err := h.RouteReplace(r); err != nil {
		return fmt.Errorf("the route to %v: %w", e.Dst, err)
	}
	return nil
}
