package inet

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/netstack/sock"
	"casemate/netstack/tcp"
)

// list returns the open sockets for which want is true, oldest first.
func (a *Sockets) list(want func(*Socket) bool) (l []*Socket) {
	a.mu.Lock()
	for s := range a.open {
		if want(s) {
			l = append(l, s)
		}
	}
	a.mu.Unlock()
	slices.SortFunc(l, func(x, y *Socket) int { return cmp.Compare(x.common.Inode.Load(), y.common.Inode.Load()) })
	return l
}

// hexAddr is an address and port as /proc/net/tcp shows them: 32-bit numbers in
// memory order.
func hexAddr(family int, a sock.Addr) string {
	var b [16]byte
	p := b[:]
	if family == unix.AF_INET {
		p = b[:4]
		if a.Addr.Is4() {
			v := a.Addr.As4()
			copy(p, v[:])
		}
	} else if a.Addr.IsValid() {
		b = a.Addr.As16()
	}
	var t strings.Builder
	for i := 0; i < len(p); i += 4 {
		fmt.Fprintf(&t, "%08X", binary.NativeEndian.Uint32(p[i:]))
	}
	fmt.Fprintf(&t, ":%04X", a.Port)
	return t.String()
}

// peerOf is the peer, or the wildcard.
func (s *Socket) peerOf() sock.Addr {
	a, err := s.ep.RemoteAddr()
	if err != nil {
		return sock.Addr{Addr: netip.Addr{}}
	}
	return a
}

// TCP is /proc/net/tcp, or tcp6 for AF_INET6.
func (a *Sockets) TCP(family int) string {
	var b strings.Builder
	title := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
	if family == unix.AF_INET6 {
		title = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
		fmt.Fprintf(&b, "%s\n", title)
	} else {
		fmt.Fprintf(&b, "%-149s\n", title)
	}
	sockets := a.list(func(s *Socket) bool { return s.tcp != nil && s.common.Family == family })
	n := 0
	for _, s := range sockets {
		state := s.tcp.State()
		if state == tcp.Close {
			continue
		}
		tx, _ := s.ep.Unsent()
		rx, _ := s.ep.Available()
		if state == tcp.Listen {
			info := s.tcp.Info()
			tx, rx = 0, int(info.Unacked)
		}
		line := fmt.Sprintf("%4d: %s %s %02X %08X:%08X 00:00000000 00000000 %5d        0 %d 1 0000000000000000 100 0 0 10 0", n,
			hexAddr(family, s.ep.LocalAddr()), hexAddr(family, s.peerOf()), int(state), tx, rx, s.common.Owner.Load(), s.common.Inode.Load())
		if family == unix.AF_INET6 {
			fmt.Fprintf(&b, "%s\n", line)
		} else {
			fmt.Fprintf(&b, "%-149s\n", line)
		}
		n++
	}
	return b.String()
}

// Datagrams is /proc/net/udp, udp6, raw, raw6, icmp or icmp6, by type and, for ICMP,
// protocol.
func (a *Sockets) Datagrams(family, typ int, ping bool) string {
	var b strings.Builder
	if family == unix.AF_INET6 {
		b.WriteString("  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n")
	} else {
		fmt.Fprintf(&b, "%-127s\n", "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops")
	}
	sockets := a.list(func(s *Socket) bool {
		return s.tcp == nil && s.common.Family == family && s.common.Type == typ && (s.raw != nil && typ == unix.SOCK_DGRAM) == ping
	})
	for _, s := range sockets {
		local, peer := s.ep.LocalAddr(), s.peerOf()
		if s.udp != nil && local.Port == 0 {
			continue // not bound
		}
		if typ == unix.SOCK_RAW {
			local.Port, peer.Port = uint16(s.common.Protocol), 0
		}
		state := 7 // TCP_CLOSE
		if peer.Addr.IsValid() {
			state = 1 // TCP_ESTABLISHED
		}
		rx, _ := s.ep.Available()
		line := fmt.Sprintf("%5d: %s %s %02X %08X:%08X 00:00000000 00000000 %5d        0 %d 2 0000000000000000 0", local.Port,
			hexAddr(family, local), hexAddr(family, peer), state, 0, rx, s.common.Owner.Load(), s.common.Inode.Load())
		if family == unix.AF_INET6 {
			fmt.Fprintf(&b, "%s\n", line)
		} else {
			fmt.Fprintf(&b, "%-127s\n", line)
		}
	}
	return b.String()
}

// counts is how many sockets of a kind are in use: bound or connected.
func (a *Sockets) counts(family int) (tcps, udps, raws int) {
	for _, s := range a.list(func(s *Socket) bool { return s.common.Family == family }) {
		switch {
		case s.tcp != nil && s.tcp.State() != tcp.Close:
			tcps++
		case s.udp != nil && s.ep.LocalAddr().Port != 0:
			udps++
		case s.raw != nil && s.common.Type == unix.SOCK_RAW:
			raws++
		}
	}
	return tcps, udps, raws
}

// Sockstat is /proc/net/sockstat; used is the number of all sockets of the namespace.
func (a *Sockets) Sockstat(used int) string {
	t, u, r := a.counts(unix.AF_INET)
	all := len(a.list(func(s *Socket) bool { return s.tcp != nil }))
	return fmt.Sprintf("sockets: used %d\nTCP: inuse %d orphan 0 tw 0 alloc %d mem 0\nUDP: inuse %d mem 0\nUDPLITE: inuse 0\nRAW: inuse %d\nFRAG: inuse 0 memory 0\n",
		used, t, all, u, r)
}

// Sockstat6 is /proc/net/sockstat6.
func (a *Sockets) Sockstat6() string {
	t, u, r := a.counts(unix.AF_INET6)
	return fmt.Sprintf("TCP6: inuse %d\nUDP6: inuse %d\nUDPLITE6: inuse 0\nRAW6: inuse %d\nFRAG6: inuse 0 memory 0\n", t, u, r)
}

// Len is the number of open sockets.
func (a *Sockets) Len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open)
}
