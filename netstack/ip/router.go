package ip

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"casemate/netstack/pkt"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// Options of router advertisements (RFC 4861 section 4.6).
const (
	ndpPrefix = 3
	ndpMTU    = 5
)

// raLen is the length of a router advertisement without options.
const raLen = wire.ICMPLen + 8

// Intervals between router solicitations (RFC 7559 section 2).
const (
	rsInterval    = 4 * time.Second
	rsMaxInterval = time.Hour
)

// routers looks for the routers of a link.
type routers struct {
	mu       sync.Mutex
	i        *Interface
	timer    wheel.Timer
	sent     int
	interval time.Duration
}

// Autoconfigure has the interface configure IPv6 by itself whenever it is up, as those of
// a Linux host do: it makes a link-local address, asks for routers, and follows their
// advertisements (RFC 4862) as the parameters accept_ra and autoconf say.
func (s *Stack) Autoconfigure(i *Interface) {
	i.auto.Store(true)
	i.autoconfigure()
}

// autoconfigure gives an interface that is up and has a carrier its link-local address, or goes on if it has
// one. No lock is held.
func (i *Interface) autoconfigure() {
	if !i.auto.Load() || i.flags.Load()&unix.IFF_RUNNING == 0 || i.noIP6.Load() || i.info.Type != unix.ARPHRD_ETHER {
		return
	}
	has := slices.ContainsFunc(i.stack.Addresses(i), func(a Address) bool {
		return a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast()
	})
	if !has && i.MakesLinkLocal() {
		// EEXIST, if somebody is quicker, is as good.
		i.stack.AddAddress(i, Address{Prefix: netip.PrefixFrom(eui64(linkLocalNet, i.HWAddr()), 64), Scope: unix.RT_SCOPE_LINK,
			Flags: unix.IFA_F_TENTATIVE})
	}
	if i.linkLocal() != netip.IPv6Unspecified() {
		i.routers.start(i)
	}
}

var linkLocalNet = netip.AddrFrom16([16]byte{0xfe, 0x80})

// eui64 is the address with a prefix of 64 bits and the interface identifier of a hardware
// address (RFC 4291 appendix A).
func eui64(prefix netip.Addr, mac wire.MAC) netip.Addr {
	a := prefix.As16()
	copy(a[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(a)
}

// listensToRouters reports whether router advertisements are followed.
func (i *Interface) listensToRouters() bool {
	switch i.conf6.AcceptRA.Get() {
	case 0:
		return false
	case 1:
		return !i.conf6.Forwarding.Bool()
	}
	return true
}

// start begins to ask for routers, if they are to be listened to.
func (r *routers) start(i *Interface) {
	if !i.auto.Load() || !i.listensToRouters() || i.conf6.RouterSolicitations.Get() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.i == nil {
		r.i = i
		r.timer.Init(i.stack.Wheel, r.solicit)
	}
	r.sent, r.interval = 0, rsInterval
	r.timer.Reset(i.stack.Wheel.Now() + within(maxDelay))
}

func (r *routers) stop() {
	r.mu.Lock()
	r.timer.Stop()
	r.mu.Unlock()
}

// solicit asks once more.
func (r *routers) solicit() {
	i := r.i
	if !i.up() || i.noIP6.Load() || !i.listensToRouters() {
		return
	}
	r.mu.Lock()
	r.sent++
	if n := i.conf6.RouterSolicitations.Get(); n < 0 || r.sent < n {
		r.timer.Reset(i.stack.Wheel.Now() + r.interval*9/10 + within(r.interval/5))
		r.interval = min(2*r.interval, rsMaxInterval)
	}
	r.mu.Unlock()
	i.sendRouterSolicitation()
	i.stack.Run()
}

// sendRouterSolicitation sends an RS to all routers (RFC 4861 section 4.1).
func (i *Interface) sendRouterSolicitation() {
	src, dst := i.linkLocal(), netip.IPv6LinkLocalAllRouters()
	p := pkt.New()
	n := wire.ICMPLen
	if !src.IsUnspecified() {
		n += 8
	}
	h := wire.ICMP(p.Append(n))
	h.Put(wire.ICMPv6RouterSolicit, 0, 0)
	if n > wire.ICMPLen {
		h[8], h[9] = ndpSourceLink, 1
		mac := i.HWAddr()
		copy(h[10:], mac[:])
	}
	i.finishNDP(p, src, dst)
	i.sendFrame(p, wire.MulticastMAC(dst))
}

// routerAdvertised takes a router advertisement (RFC 4861 section 6.3.4, RFC 4862 section
// 5.5.3); b is the message.
func (i *Interface) routerAdvertised(src netip.Addr, b []byte) {
	if len(b) < raLen || !src.IsLinkLocalUnicast() || !i.listensToRouters() || i.stack.IsLocal(src) {
		return
	}
	s := i.stack
	c := &i.conf6
	life := uint32(binary.BigEndian.Uint16(b[6:]))
	if life != 0 {
		i.routers.stop()
	}
	if c.AcceptRADefRtr.Bool() {
		s.setExpiring(RouteEntry{Dst: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Gateway: src, OIF: i.index, Metric: 1024,
			Protocol: unix.RTPROT_RA}, life)
	}
	for o := b[raLen:]; len(o) >= 8; {
		l := int(o[1]) * 8
		if l == 0 || l > len(o) {
			return
		}
		switch {
		case o[0] == ndpSourceLink && l == 8:
			if mac := wire.MAC(o[2:8]); !mac.IsMulticast() {
				i.learn(src, mac, true, false, true)
				i.neigh.setRouter(src, life != 0)
			}
		case o[0] == ndpMTU && l == 8 && c.AcceptRAMTU.Bool():
			if mtu := int(binary.BigEndian.Uint32(o[4:])); mtu >= wire.IPv6MinMTU && mtu <= i.MTU() {
				i.mtu6.Store(int32(mtu))
				s.gen.Add(1)
			}
		case o[0] == ndpPrefix && l == 32 && c.AcceptRAPinfo.Bool():
			i.prefixAdvertised(o)
		}
		o = o[l:]
	}
}

// prefixAdvertised takes a prefix information option (RFC 4861 section 4.6.2).
func (i *Interface) prefixAdvertised(o []byte) {
	const (
		onLink     = 0x80
		autonomous = 0x40
	)
	s := i.stack
	bits, flags := int(o[2]), o[3]
	valid, preferred := binary.BigEndian.Uint32(o[4:]), binary.BigEndian.Uint32(o[8:])
	net := netip.PrefixFrom(netip.AddrFrom16([16]byte(o[16:32])), bits).Masked()
	if !net.IsValid() || preferred > valid || net.Addr().IsLinkLocalUnicast() || net.Addr().IsMulticast() {
		return
	}
	if flags&onLink != 0 {
		s.setExpiring(RouteEntry{Dst: net, OIF: i.index, Metric: 256, Protocol: unix.RTPROT_KERNEL}, valid)
	}
	if flags&autonomous == 0 || bits != 64 || !i.conf6.Autoconf.Bool() {
		return
	}
	i.autoAddress(netip.PrefixFrom(eui64(net.Addr(), i.HWAddr()), 64), preferred, valid)
}

// autoAddress makes the address of an advertised prefix, or renews it; one that is there
// is not cut short by less than two hours, since an advertisement may be forged (RFC 4862
// section 5.5.3).
func (i *Interface) autoAddress(p netip.Prefix, preferred, valid uint32) {
	const twoHours = 2 * 60 * 60
	s := i.stack
	now := s.Wheel.Now()
	s.mu.Lock()
	k := slices.IndexFunc(i.addrs, func(a Address) bool { return a.Prefix.Addr() == p.Addr() })
	if k >= 0 {
		i.addrs = slices.Clone(i.addrs)
		a := &i.addrs[k]
		if a.auto {
			if rest := left(a.expires, now); valid <= twoHours && valid <= rest {
				valid = min(rest, twoHours)
			}
			a.setLifetimes(now, min(preferred, valid), valid)
			s.rebuild()
		}
		s.mu.Unlock()
		return
	}
	n := 0
	for _, a := range i.addrs {
		if a.auto {
			n++
		}
	}
	s.mu.Unlock()
	if valid == 0 || n >= maxAutoAddresses {
		return
	}
	// EEXIST, if somebody is quicker, is as good.
	s.AddAddress(i, Address{Prefix: p, Flags: unix.IFA_F_TENTATIVE, Preferred: preferred, Valid: valid, auto: true})
}

// maxAutoAddresses is how many addresses advertisements can bring forth (max_addresses).
const maxAutoAddresses = 16

// maxAutoRoutes is the same for routes.
const maxAutoRoutes = 64

// setExpiring adds a route that lasts for a time in seconds, or renews it; 0 removes it.
func (s *Stack) setExpiring(r RouteEntry, life uint32) {
	r.Table, r.Type = unix.RT_TABLE_MAIN, unix.RTN_UNICAST
	now := s.Wheel.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := slices.Clone(s.mu.routes)
	n := 0
	k := -1
	for x, o := range l {
		if o.learned {
			n++
		}
		if o.same(&r) {
			k = x
		}
	}
	if k >= 0 && !l[k].learned {
		return // somebody's own
	}
	r.learned = true
	if life != forever {
		r.expires = now + time.Duration(life)*time.Second
	}
	switch {
	case life == 0 && k >= 0:
		l = slices.Delete(l, k, k+1)
	case life == 0 || k < 0 && n >= maxAutoRoutes:
		return
	case k >= 0:
		l[k].expires = r.expires
	default:
		l = append(l, r)
	}
	s.mu.routes = l
	s.rebuild()
}
