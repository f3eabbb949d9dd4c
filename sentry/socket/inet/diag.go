package inet

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/sock"
	"casemate/netstack/tcp"
)

// A Diagnosis is what sock_diag(7) tells of a socket.
type Diagnosis struct {
	sock.Info
	Owner  uint32 // kernel id
	Cookie uint64
	// TCP is the struct tcp_info, Congestion the name of the algorithm; nil and "" for other protocols. BBR is the
	// struct tcp_bbr_info if it is that.
	TCP, BBR   []byte
	Congestion string
}

// Diagnose returns the sockets of a family and protocol, connections without a socket
// included. info asks for what is more than a line of /proc/net.
func (a *Sockets) Diagnose(family, protocol int, info bool) []Diagnosis {
	var all []sock.Info
	switch protocol {
	case unix.IPPROTO_TCP:
		all = a.Stack.TCP.Sockets()
	case unix.IPPROTO_UDP:
		all = a.Stack.UDP.Sockets()
	case unix.IPPROTO_RAW:
		all = a.Stack.Raw.Sockets(false)
	}
	sockets := map[sock.Endpoint]*Socket{}
	a.mu.Lock()
	for s := range a.open {
		sockets[s.ep] = s
	}
	a.mu.Unlock()
	var l []Diagnosis
	for _, i := range all {
		if i.Family != family {
			continue
		}
		d := Diagnosis{Info: i}
		s := sockets[i.Endpoint]
		if s != nil {
			d.Owner, d.Inode, d.Cookie = s.common.Owner.Load(), s.common.Inode.Load(), s.common.Cookie()
		}
		if e, ok := i.Endpoint.(*tcp.Endpoint); ok && info {
			t := e.Info()
			d.TCP = t.Bytes()
			d.Congestion, d.BBR = e.Congestion(), e.BBRInfo()
		}
		l = append(l, d)
	}
	return l
}
