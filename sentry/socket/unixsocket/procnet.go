package unixsocket

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Text is /proc/net/unix.
func (n *Names) Text() string {
	n.mu.Lock()
	sockets := make([]*Socket, 0, len(n.all))
	for s := range n.all {
		sockets = append(sockets, s)
	}
	n.mu.Unlock()
	slices.SortFunc(sockets, func(a, b *Socket) int { return cmp.Compare(a.number, b.number) })
	var b strings.Builder
	b.WriteString("Num       RefCount Protocol Flags    Type St Inode Path\n")
	for _, s := range sockets {
		s.mu.Lock()
		state, name, refs, flags := s.state, s.name, 2, 0
		if s.peer != nil {
			refs++
		}
		s.mu.Unlock()
		st := 1 // SS_UNCONNECTED
		switch state {
		case connected:
			st = 3 // SS_CONNECTED
		case listening:
			flags = 1 << 16 // SO_ACCEPTCON
		}
		inode := s.common.Inode.Load()
		if inode == 0 && state == connected {
			st = 2 // SS_CONNECTING: not accepted
		}
		fmt.Fprintf(&b, "%016x: %08X %08X %08X %04X %02X %5d", s.number, refs, 0, flags, s.common.Type, st, inode)
		if name != "" {
			b.WriteString(" " + strings.ReplaceAll(name, "\x00", "@"))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Len is the number of open sockets.
func (n *Names) Len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.all)
}
