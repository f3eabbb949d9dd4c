package ip

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// towards is what the source of packets along r is chosen for: with IPv4 the neighbour, unless
// that speaks IPv6, with IPv6 the destination (RFC 6724 section 5).
func towards(r *Route) netip.Addr {
	if r.Dst.Is4() && r.Next.Is4() {
		return r.Next
	}
	return r.Dst
}

// source chooses an address of i for packets to next: for IPv4 the first on
// next's network, or the first in general; for IPv6 by RFC 6724's rules of scope
// and longest match. Other interfaces' global addresses serve if i has none.
func (c *config) source(i *Interface, next netip.Addr) netip.Addr {
	var best netip.Addr
	score := -1
	local := next.IsLinkLocalUnicast() || next.Is6() && next.IsLinkLocalMulticast()
	consider := func(addrs []Address, penalty int) {
		for _, a := range addrs {
			ad := a.Prefix.Addr()
			if ad.Is4() != next.Is4() || a.Flags&unix.IFA_F_TENTATIVE != 0 {
				continue
			}
			n := 1000 - penalty
			if ad.IsLinkLocalUnicast() == local {
				n += 500
			} else if penalty > 0 {
				continue
			}
			if a.Flags&unix.IFA_F_DEPRECATED == 0 {
				n += 250
			}
			if next.Is4() {
				if a.Scope >= unix.RT_SCOPE_HOST && !next.IsLoopback() {
					n -= 700 // known on this host only
				}
				if a.Prefix.Contains(next) {
					n += 100
				}
				if a.Flags&unix.IFA_F_SECONDARY == 0 {
					n++
				}
			} else {
				n += min(commonBits(ad, next), a.Prefix.Bits())
			}
			if n > score {
				best, score = ad, n
			}
		}
	}
	consider(c.addrs[i.index], 0)
	if !best.IsValid() {
		for _, o := range c.ifaces {
			if !o.loopback() && o.up() {
				consider(c.addrs[o.index], 900)
			}
		}
	}
	return best
}

func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			n := i * 8
			for d&0x80 == 0 {
				d <<= 1
				n++
			}
			return n
		}
	}
	return 128
}
