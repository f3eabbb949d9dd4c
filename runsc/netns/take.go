package netns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/packet"
	"casemate/netstack/link/xdp"
)

// A taker collects a Network. Its methods run on a thread in the namespace.
type taker struct {
	Options
	handle  *netlink.Handle
	links   []netlink.Link // of network.Links
	network Network
	sockets []*os.File
}

func (t *taker) close() {
	for _, f := range t.sockets {
		f.Close()
	}
}

func (t *taker) take() error {
	var err error
	if t.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("asking for its devices: %w", err)
	}
	defer t.handle.Close()
	t.network.NoIPv6 = !ipv6Enabled("all")
	links, err := t.handle.LinkList()
	if err != nil {
		return fmt.Errorf("reading its devices: %w", err)
	}
	for _, l := range links {
		if err := t.link(l); err != nil {
			return fmt.Errorf("device %s: %w", l.Attrs().Name, err)
		}
	}
	if err := t.routes(); err != nil {
		return fmt.Errorf("reading its routes: %w", err)
	}
	if err := t.neighbours(); err != nil {
		return fmt.Errorf("reading its neighbours: %w", err)
	}
	for i := range t.links {
		if err := t.strip(i); err != nil {
			return fmt.Errorf("device %s: %w", t.links[i].Attrs().Name, err)
		}
	}
	return t.resolver()
}

// link takes down what a device is and opens what its frames go by.
func (t *taker) link(l netlink.Link) error {
	a := l.Attrs()
	up := a.Flags&net.FlagUp != 0
	x := Link{Name: a.Name, Index: int32(a.Index), Up: up}
	switch {
	case a.Flags&net.FlagLoopback != 0:
		x.Info = link.Info{MTU: a.MTU}
	case !up || a.MasterIndex != 0:
		return nil // nothing goes by it, or a bridge of the namespace has it
	case a.EncapType != "ether":
		t.Note(fmt.Sprintf("the network device %s is left out: its type is %s, not ether", a.Name, a.EncapType))
		return nil
	default:
		if err := t.open(&x); err != nil {
			return err
		}
	}
	addresses, err := t.handle.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("reading its addresses: %w", err)
	}
	for i := range addresses {
		if p, ok := address(&addresses[i]); ok {
			x.Addresses = append(x.Addresses, p)
		}
	}
	if x.Sockets > 0 && !hasLinkLocal(&x) && ipv6Enabled(x.Name) {
		// The host makes it a moment after the device comes up.
		x.Addresses = append(x.Addresses, linkLocal(x.Info.HWAddr))
	}
	t.links = append(t.links, l)
	t.network.Links = append(t.network.Links, x)
	return nil
}

// open opens what a device's frames go by.
func (t *taker) open(x *Link) error {
	fds, err := t.openXDP(x)
	if err != nil {
		t.Note(fmt.Sprintf("the network device %s goes by packet sockets, without XDP: %v", x.Name, err))
	}
	if len(fds) == 0 {
		if fds, x.Info, err = packet.Open(x.Name, t.Channels); err != nil {
			return fmt.Errorf("opening a packet socket: %w", err)
		}
		if !t.GSO {
			x.Info.GSOMax = 0
		}
		if !t.GRO {
			if err := disableGRO(x.Name); err != nil {
				t.Note(fmt.Sprintf("the network device %s goes on putting packets together: %v", x.Name, err))
			}
		}
	}
	x.Sockets = len(fds)
	if x.XDP == nil {
		// Only faster: no host need be able to.
		if fd, err := packet.Silence(int(x.Index)); err == nil {
			fds, x.Silent = append(fds, fd), true
		}
	}
	for _, fd := range fds {
		t.sockets = append(t.sockets, os.NewFile(uintptr(fd), x.Name))
	}
	return nil
}

// openXDP opens AF_XDP sockets if they are wanted.
func (t *taker) openXDP(x *Link) ([]int, error) {
	if !t.XDP {
		return nil, nil
	}
	fds, layout, info, err := xdp.Open(x.Name)
	if err == nil {
		x.Info, x.XDP = info, &layout
	}
	return fds, err
}

// ipv6Enabled reports whether the host's stack speaks IPv6 on a device.
func ipv6Enabled(name string) bool {
	v, err := os.ReadFile(ipv6Switch(name))
	return err == nil && len(v) > 0 && v[0] == '0'
}

// ipv6Switch is the file of the parameter disable_ipv6 of a device.
func ipv6Switch(name string) string { return "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6" }

func hasLinkLocal(x *Link) bool {
	return slices.ContainsFunc(x.Addresses, func(a ip.Address) bool {
		return a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast()
	})
}

// linkLocal is the address that a device with that hardware address has of its own
// (RFC 4291, appendix A).
func linkLocal(mac [6]byte) ip.Address {
	a := netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
	return ip.Address{Prefix: netip.PrefixFrom(a, 64), Scope: unix.RT_SCOPE_LINK, Flags: unix.IFA_F_PERMANENT}
}

// address translates an address.
func address(a *netlink.Addr) (ip.Address, bool) {
	p, ok := prefix(a.IPNet)
	x := ip.Address{Prefix: p, Scope: uint8(a.Scope), Label: a.Label, Preferred: uint32(a.PreferedLft), Valid: uint32(a.ValidLft)}
	// Whether the address is free is the host's to find out no more.
	x.Flags = uint32(a.Flags) &^ (unix.IFA_F_TENTATIVE | unix.IFA_F_OPTIMISTIC | unix.IFA_F_DADFAILED | unix.IFA_F_SECONDARY)
	if p.Addr().Is6() {
		x.Flags |= uint32(a.Flags) & unix.IFA_F_TEMPORARY
	}
	if a.Peer != nil {
		if peer, ok := prefix(a.Peer); ok && peer.Addr() != p.Addr() {
			x.Peer = peer.Addr()
		}
	}
	if b, ok := netip.AddrFromSlice(a.Broadcast); ok && p.Addr().Is4() {
		x.Broadcast = b.Unmap()
	}
	return x, ok
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, length := n.Mask.Size()
	if length == 32 {
		a = a.Unmap()
	}
	if !ok || a.BitLen() != length {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, bits), true
}

// addr translates an address that need not be there.
func addr(p net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(p)
	if p.To4() != nil {
		a = a.Unmap()
	}
	return a
}

// has reports whether a device is taken over.
func (t *taker) has(index int) bool {
	return slices.ContainsFunc(t.links, func(l netlink.Link) bool { return l.Attrs().Index == index })
}

// routes takes down the routes of the main table.
func (t *taker) routes() error {
	all, err := t.handle.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return err
	}
	for i := range all {
		r := &all[i]
		switch r.Type {
		case unix.RTN_UNICAST, unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT:
		default:
			continue // of the local table, which follows from the addresses
		}
		if r.Table == unix.RT_TABLE_LOCAL {
			continue
		}
		if r.Table != unix.RT_TABLE_MAIN {
			t.Note(fmt.Sprintf("the route to %v is left out: it is in table %d", r.Dst, r.Table))
			continue
		}
		e := ip.RouteEntry{Gateway: addr(r.Gw), PrefSrc: addr(r.Src), OIF: int32(r.LinkIndex), Metric: uint32(r.Priority), MTU: r.MTU,
			Table: uint32(r.Table), Type: uint8(r.Type), Protocol: uint8(r.Protocol), Scope: uint8(r.Scope), TOS: uint8(r.Tos),
			OnLink: r.Flags&int(netlink.FLAG_ONLINK) != 0}
		if len(r.MultiPath) > 0 {
			t.Note(fmt.Sprintf("the route to %v goes by the first of its %d next hops only", r.Dst, len(r.MultiPath)))
			hop := r.MultiPath[0]
			e.OIF, e.Gateway, e.OnLink = int32(hop.LinkIndex), addr(hop.Gw), hop.Flags&int(netlink.FLAG_ONLINK) != 0
		}
		if e.OIF != 0 && !t.has(int(e.OIF)) {
			continue
		}
		var ok bool
		if e.Dst, ok = prefix(r.Dst); !ok {
			continue
		}
		t.network.Routes = append(t.network.Routes, e)
	}
	return nil
}

// neighbours takes down the neighbours whose addresses are known.
func (t *taker) neighbours() error {
	all, err := t.handle.NeighList(0, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, n := range all {
		if !t.has(n.LinkIndex) || len(n.HardwareAddr) != 6 {
			continue
		}
		x := ip.Neighbour{Index: int32(n.LinkIndex), Addr: addr(n.IP), MAC: [6]byte(n.HardwareAddr), Router: n.Flags&netlink.NTF_ROUTER != 0}
		switch n.State {
		case unix.NUD_PERMANENT:
			x.State = unix.NUD_PERMANENT
		case unix.NUD_REACHABLE, unix.NUD_STALE, unix.NUD_DELAY, unix.NUD_PROBE:
			x.State = unix.NUD_STALE
		default:
			continue
		}
		t.network.Neighbours = append(t.network.Neighbours, x)
	}
	return nil
}

// strip removes the addresses of a device, so that the host's own stack does not
// answer for them. The loopback device keeps its own: what the engine has listening
// there is still to be reached.
func (t *taker) strip(i int) error {
	l, x := t.links[i], &t.network.Links[i]
	if x.Sockets == 0 {
		return nil
	}
	// It also ends what the host does for IPv6 by itself: neighbour and router
	// discovery, multicast listener reports.
	if err := os.WriteFile(ipv6Switch(x.Name), []byte("1"), 0); err != nil && !os.IsNotExist(err) {
		t.Note(fmt.Sprintf("IPv6 stays on in the host's stack on %s: %v", x.Name, err))
	}
	addresses, err := t.handle.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("reading its addresses: %w", err)
	}
	for i := range addresses {
		// A secondary address goes with its primary one.
		if err := t.handle.AddrDel(l, &addresses[i]); err != nil && err != unix.EADDRNOTAVAIL {
			return fmt.Errorf("removing the address %v: %w", addresses[i].IPNet, err)
		}
	}
	return nil
}
