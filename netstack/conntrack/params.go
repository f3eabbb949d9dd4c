package conntrack

import (
	"strings"
	"time"

	"casemate/netstack/sysctl"
)

// maxConns is nf_conntrack_max as it is at first: some 40 MiB.
const maxConns = 65536

// Params are the parameters net.netfilter.nf_conntrack_*.
type Params struct {
	max                           *sysctl.Int
	tcp                           [len(tcpTimeouts)]seconds
	udp, udpStream, icmp, generic seconds
}

// seconds is a parameter that is a time.
type seconds struct{ *sysctl.Int }

func (s seconds) duration() time.Duration { return time.Duration(s.Get()) * time.Second }

// NewParams puts the parameters into a stack's table.
func NewParams(t *sysctl.Table) Params {
	timeout := func(name string, d time.Duration) seconds {
		return seconds{t.New("net.netfilter.nf_conntrack_"+name, 0, 1<<31-1, int64(d/time.Second))}
	}
	p := Params{
		max: t.New("net.netfilter.nf_conntrack_max", 0, 1<<20, maxConns),
		udp: timeout("udp_timeout", udpTimeout), udpStream: timeout("udp_timeout_stream", udpStreamTimeout),
		icmp: timeout("icmp_timeout", icmpTimeout), generic: timeout("generic_timeout", genericTimeout),
	}
	for s, d := range tcpTimeouts {
		switch state := TCPState(s); state {
		case TCPNone, TCPSynSent2:
		default:
			p.tcp[s] = timeout("tcp_timeout_"+strings.ToLower(state.String()), d)
		}
	}
	p.tcp[TCPNone], p.tcp[TCPSynSent2] = p.tcp[TCPSynSent], p.tcp[TCPSynSent]
	return p
}
