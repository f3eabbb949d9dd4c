package ip

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"casemate/netstack/wire"
)

// pmtuCache has path MTUs that ICMP told (RFC 1191, RFC 8201). It is bounded;
// when full, a random entry goes.
type pmtuCache struct {
	n  atomic.Int32 // length of m, to skip the lock while there are none
	mu sync.RWMutex
	m  map[netip.Addr]pmtuEntry
}

type pmtuEntry struct {
	mtu     int
	expires time.Duration
}

const (
	pmtuMax     = 4096
	pmtuExpires = 600 // seconds (net.ipv4.route.mtu_expires)
	pmtuMin4    = 552 // net.ipv4.route.min_pmtu
)

func (c *pmtuCache) init() { c.m = make(map[netip.Addr]pmtuEntry) }

// get is the path MTU to dst, 0 if none is known.
func (c *pmtuCache) get(dst netip.Addr, now time.Duration) int {
	if c.n.Load() == 0 {
		return 0
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e, ok := c.m[dst]; ok && e.expires > now {
		return e.mtu
	}
	return 0
}

// UpdatePMTU notes that packets to dst may have at most mtu bytes.
func (s *Stack) UpdatePMTU(dst netip.Addr, mtu int) {
	life := s.Params.MTUExpires6
	switch {
	case dst.Is4():
		life = s.Params.MTUExpires
		mtu = max(mtu, s.Params.MinPMTU.Get())
	case mtu < wire.IPv6MinMTU: // RFC 8201 section 4
		return
	}
	c := &s.pmtu
	now := s.Wheel.Now()
	c.mu.Lock()
	if e, ok := c.m[dst]; ok && e.expires > now && e.mtu <= mtu {
		c.mu.Unlock()
		return
	}
	if len(c.m) >= pmtuMax {
		for a := range c.m {
			delete(c.m, a)
			break
		}
	}
	c.m[dst] = pmtuEntry{mtu, now + time.Duration(life.Get())*time.Second}
	c.n.Store(int32(len(c.m)))
	c.mu.Unlock()
	s.gen.Add(1)
}
