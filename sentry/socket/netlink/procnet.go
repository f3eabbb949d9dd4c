package netlink

import (
	"fmt"
	"strings"
)

// Text is /proc/net/netlink.
func (p *Ports) Text() string {
	var b strings.Builder
	b.WriteString("sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n")
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.open {
		s.mu.Lock()
		groups := uint32(0)
		for _, g := range s.groups {
			if g <= 32 {
				groups |= 1 << (g - 1)
			}
		}
		dump := 0
		if s.dumping > 0 {
			dump = 1
		}
		fmt.Fprintf(&b, "%016x %-3d %-10d %08x %-8d %-8d %-5d %-8d %-8d %-8d\n", 0, s.common.Protocol, s.port, groups, s.bytes, 0, dump, 2, 0,
			s.common.Inode.Load())
		s.mu.Unlock()
	}
	return b.String()
}

// Len is the number of open sockets.
func (p *Ports) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}
