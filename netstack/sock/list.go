package sock

import "time"

// Info is a line of /proc/net/tcp, udp, raw, icmp and their IPv6 forms, or an
// answer of sock_diag(7).
type Info struct {
	Family, Protocol int
	State            uint8 // as TCP numbers them; a bound datagram socket is in 7, a connected one in 1
	Local, Remote    Addr
	SendQueue        int   // bytes; of a listener its backlog
	RecvQueue        int   // bytes; of a listener the connections that wait
	Timer            uint8 // 0 none, 1 retransmission, 2 keepalive, 3 TIME-WAIT, 4 window probe
	Expires          time.Duration
	Retransmits      int
	UID              uint32
	Inode            uint64 // as the owner has set it in Options
	Drops            uint32
	Dev              int32
	// Endpoint is nil for a connection that has none: not yet, or in TIME-WAIT.
	Endpoint Endpoint
}
