package netstack

import (
	"casemate/netstack/filter"
	"casemate/netstack/ip"
	"casemate/netstack/iptables"
	"casemate/netstack/nft"
	"casemate/netstack/raw"
	"casemate/netstack/sock"
	"casemate/netstack/tcp"
	"casemate/netstack/udp"
	"golang.org/x/sys/unix"
)

// Stack is the network of one network namespace: IP with its transport
// protocols.
type Stack struct {
	*ip.Stack
	TCP *tcp.Protocol
	UDP *udp.Protocol
	Raw *raw.Protocol

	// Filter is the packet filter, which the three front ends configure.
	Filter    *filter.Filter
	NFTables  *nft.Ruleset
	IPTables  *iptables.Tables
	IP6Tables *iptables.Tables
}

// New makes a stack with an interface lo that is down, as in a new network
// namespace.
func New(o ip.Options) *Stack {
	s := ip.New(o)
	f := filter.New(s)
	return &Stack{Stack: s, TCP: tcp.New(s), UDP: udp.New(s), Raw: raw.New(s),
		Filter: f, NFTables: nft.New(f), IPTables: iptables.New4(f), IP6Tables: iptables.New6(f)}
}

// Close removes all interfaces and stops the stack's timers. Endpoints have been closed by
// then.
func (s *Stack) Close() {
	s.Filter.Close()
	s.TCP.Close()
	s.Stack.Close()
}

// UpLoopback brings lo up, as every container engine does first.
func (s *Stack) UpLoopback() error {
	lo := s.InterfaceByName("lo")
	if lo == nil {
		return unix.ENODEV
	}
	s.SetUp(lo, true)
	return nil
}

// Socket makes an endpoint as socket(2) does for AF_INET and AF_INET6:
// EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT. Whether the caller may open
// raw sockets is the caller's to check.
func (s *Stack) Socket(family, typ, protocol int) (sock.Endpoint, error) {
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return nil, unix.EAFNOSUPPORT
	}
	if protocol < 0 || protocol > 255 && protocol != unix.IPPROTO_MPTCP {
		return nil, unix.EINVAL
	}
	switch {
	case typ == unix.SOCK_STREAM && (protocol == 0 || protocol == unix.IPPROTO_TCP):
		return s.TCP.NewEndpoint(family), nil
	case typ == unix.SOCK_DGRAM && (protocol == 0 || protocol == unix.IPPROTO_UDP):
		return s.UDP.NewEndpoint(family), nil
	case typ == unix.SOCK_DGRAM && (family == unix.AF_INET && protocol == unix.IPPROTO_ICMP || family == unix.AF_INET6 && protocol == unix.IPPROTO_ICMPV6):
		return s.Raw.NewPing(family), nil
	case typ == unix.SOCK_RAW && protocol != 0 && protocol <= 255:
		return s.Raw.NewEndpoint(family, uint8(protocol)), nil
	case typ == unix.SOCK_STREAM, typ == unix.SOCK_DGRAM, typ == unix.SOCK_RAW:
		return nil, unix.EPROTONOSUPPORT
	}
	return nil, unix.ESOCKTNOSUPPORT
}
