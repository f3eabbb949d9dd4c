package ip

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// checks are the addresses of an interface that are being checked for duplicates (RFC 4862
// section 5.4).
type checks struct {
	mu sync.Mutex
	m  map[netip.Addr]*check
}

type check struct {
	i     *Interface
	addr  netip.Addr
	left  int // solicitations to be sent
	timer wheel.Timer
}

// maxDelay is the most that the first message after an interface comes up is held back
// (MAX_RTR_SOLICITATION_DELAY of RFC 4861 section 10).
const maxDelay = time.Second

// mustCheck reports whether an address that claims to be tentative has to be checked.
func (i *Interface) mustCheck(a *Address) bool {
	return a.Prefix.Addr().Is6() && a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_NODAD == 0 &&
		i.info.Type == unix.ARPHRD_ETHER && i.flags.Load()&unix.IFF_NOARP == 0 &&
		i.conf6.AcceptDAD.Bool() && i.conf6.DADTransmits.Get() > 0
}

// checkAddresses starts to check the interface's tentative addresses, if it is up.
func (i *Interface) checkAddresses() {
	if !i.up() {
		return
	}
	now := i.stack.Wheel.Now()
	for _, a := range i.stack.conf.Load().addrs[i.index] {
		if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != unix.IFA_F_TENTATIVE {
			continue
		}
		ad := a.Prefix.Addr()
		i.checks.mu.Lock()
		if i.checks.m[ad] == nil {
			c := &check{i: i, addr: ad, left: i.conf6.DADTransmits.Get()}
			c.timer.Init(i.stack.Wheel, c.step)
			if i.checks.m == nil {
				i.checks.m = make(map[netip.Addr]*check)
			}
			i.checks.m[ad] = c
			c.timer.Reset(now + within(maxDelay))
		}
		i.checks.mu.Unlock()
	}
}

// step sends the next solicitation, or finds that nobody has answered.
func (c *check) step() {
	i := c.i
	s := i.stack
	defer s.Run()
	i.checks.mu.Lock()
	if i.checks.m[c.addr] != c {
		i.checks.mu.Unlock()
		return
	}
	if c.left > 0 && i.up() {
		c.left--
		c.timer.Reset(s.Wheel.Now() + neighRetrans)
		i.checks.mu.Unlock()
		dst := SolicitedNode(c.addr)
		i.sendNDP(wire.ICMPv6NeighborSolicit, 0, c.addr, 0, netip.IPv6Unspecified(), dst, wire.MulticastMAC(dst))
		return
	}
	delete(i.checks.m, c.addr)
	i.checks.mu.Unlock()
	if !i.up() {
		return
	}
	s.changeFlags(i, c.addr, 0, unix.IFA_F_TENTATIVE)
	if c.addr.IsLinkLocalUnicast() {
		i.routers.start(i)
	}
}

// duplicate is called when somebody else has shown to have, or to want, an address. It
// reports whether it was being checked, and so is not for us to use.
func (i *Interface) duplicate(a netip.Addr) bool {
	i.checks.mu.Lock()
	c := i.checks.m[a]
	if c != nil {
		delete(i.checks.m, a)
		c.timer.Stop()
	}
	i.checks.mu.Unlock()
	if c == nil {
		return false
	}
	i.stack.changeFlags(i, a, unix.IFA_F_DADFAILED, 0)
	return true
}

// stop ends all checks, when the interface goes down.
func (c *checks) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for a, x := range c.m {
		x.timer.Stop()
		delete(c.m, a)
	}
}

// changeFlags sets and clears flags of an address.
func (s *Stack) changeFlags(i *Interface, ad netip.Addr, set, clear uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.addrs = slices.Clone(i.addrs)
	for k := range i.addrs {
		if a := &i.addrs[k]; a.Prefix.Addr() == ad {
			a.Flags = a.Flags&^clear | set
		}
	}
	s.rebuild()
}
