package ip

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// forever is the lifetime in seconds that does not end.
const forever = ^uint32(0)

// setLifetimes sets how long the address is valid and preferred, in seconds from now.
func (a *Address) setLifetimes(now time.Duration, preferred, valid uint32) {
	at := func(s uint32) time.Duration {
		if s == forever {
			return 0
		}
		return now + time.Duration(s)*time.Second
	}
	a.expires, a.deprecates = at(valid), at(preferred)
	a.Preferred, a.Valid = preferred, valid
	a.Flags &^= unix.IFA_F_DEPRECATED | unix.IFA_F_PERMANENT
	if valid == forever {
		a.Flags |= unix.IFA_F_PERMANENT
	}
	if preferred == 0 {
		a.Flags |= unix.IFA_F_DEPRECATED
	}
}

// left is how much is left of a lifetime, in seconds.
func left(end, now time.Duration) uint32 {
	if end == 0 {
		return forever
	}
	return uint32((max(end-now, 0) + time.Second - 1) / time.Second)
}

// armLifetimes arms the timer for the next lifetime that ends. s.mu is held.
func (s *Stack) armLifetimes() {
	var first time.Duration
	consider := func(at time.Duration) {
		if at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	for _, i := range s.mu.ifaces {
		for k := range i.addrs {
			a := &i.addrs[k]
			consider(a.expires)
			if a.Flags&unix.IFA_F_DEPRECATED == 0 {
				consider(a.deprecates)
			}
		}
	}
	for k := range s.mu.routes {
		consider(s.mu.routes[k].expires)
	}
	if first == 0 {
		s.lifetimes.Stop()
	} else {
		s.lifetimes.Reset(first)
	}
}

// expireLifetimes removes addresses and routes whose time is over, and marks the addresses
// that are not to be used for new connections (RFC 4862 section 5.5.4).
func (s *Stack) expireLifetimes() {
	now := s.Wheel.Now()
	over := func(end time.Duration) bool { return end != 0 && end <= now }
	s.mu.Lock()
	if s.mu.closed {
		s.mu.Unlock()
		return
	}
	ifaces := s.mu.ifaces
	for _, i := range ifaces {
		i.addrs = slices.DeleteFunc(slices.Clone(i.addrs), func(a Address) bool { return over(a.expires) })
		for k := range i.addrs {
			if a := &i.addrs[k]; over(a.deprecates) {
				a.Flags |= unix.IFA_F_DEPRECATED
			}
		}
	}
	s.mu.routes = slices.DeleteFunc(slices.Clone(s.mu.routes), func(r RouteEntry) bool { return over(r.expires) })
	s.rebuild()
	s.mu.Unlock()
	for _, i := range ifaces {
		s.syncSolicited(i)
	}
	s.Run()
}
